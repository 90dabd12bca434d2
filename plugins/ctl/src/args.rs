//! What can be said to `portero`.

use crate::forward::ForwardArgs;
use clap::{Parser, Subcommand};
use portero_event::InterfaceName;
use portero_host_bridge::Renderer;

/// Port forwards into libvirt's networks: add them, look at them, and mend them.
///
/// Forwards are written in the metadata of a domain or network (portero forward, virsh metadata, virsh
/// edit, virsh net-edit) or in /etc/portero; libvirt's hooks apply them when a guest or network starts,
/// and portero-watch when they change.
#[derive(Debug, Parser)]
#[command(name = "portero", version, after_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// URI of the libvirt that 'forward' connects to, as of virsh
    #[arg(id = "uri", short = 'c', long = "connect", value_name = "URI")]
    pub(crate) connect: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str =
    "Exit status: 0 done; 1 failed; 2 usage, or 'plan' found changes to make.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Rules(RulesCommand),
    Forward(ForwardArgs),
    /// Put a NIC of this host into a bridge, so that guests join its LAN
    #[command(subcommand)]
    Bridge(BridgeCommand),
}

/// What needs the firewall.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Compare the firewall with what is wanted and mend what differs
    Sync,
    /// Print what 'sync' would commit, in the form iptables-restore or nft takes
    Plan {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// List forwards with where they lead and whether they are in the firewall
    Status {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
}

/// What needs the host's network files.
#[derive(Debug, Subcommand)]
pub(crate) enum BridgeCommand {
    /// Print what would change in /etc, as a diff; change nothing
    Plan(Wanted),
    /// Make the bridge, and take it back unless it is confirmed in time
    ///
    /// The files that are replaced are kept in /var/lib/portero. Everything is taken back when the
    /// host is not reached as before, when this program dies, when the gateway stops to answer, when
    /// the host boots, and when nobody confirms.
    Apply {
        #[command(flatten)]
        wanted: Wanted,
        /// Time to confirm in, in seconds, 10 to 3600
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=3600))]
        timeout: u64,
        /// Keep the bridge as soon as addresses, routes and gateway are there as before
        #[arg(long, conflicts_with = "timeout")]
        yes: bool,
    },
    /// Keep a bridge that was made
    Confirm(Made),
    /// Take back a bridge that is not confirmed
    Rollback(Made),
    /// Take a bridge away; the files become what they were before
    Remove(Made),
    /// Print the libvirt network that puts guests into a bridge
    Network {
        /// Name of the bridge
        #[arg(value_name = "BRIDGE")]
        bridge: InterfaceName,
        /// Name of the network; the bridge's without
        #[arg(long)]
        name: Option<String>,
        /// Define it in libvirt instead, by virsh
        #[arg(long)]
        define: bool,
    },
    /// Watch over a bridge until it is confirmed
    #[command(hide = true)]
    Guard(Made),
    /// Take back the files of bridges that were not confirmed before the host went down
    #[command(hide = true)]
    Recover,
}

/// The bridge that is wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// Name of the bridge, 1 to 15 characters
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge: InterfaceName,
    /// A NIC in it; the first one's IP configuration moves to the bridge
    #[arg(long = "nic", value_name = "NIC", required = true)]
    pub(crate) nics: Vec<InterfaceName>,
    /// Let the bridge speak the spanning tree protocol
    #[arg(long)]
    pub(crate) stp: bool,
    /// Format of the files, where more than one configures the NIC: ifcfg, keyfile, networkd,
    /// netplan or ifupdown
    #[arg(long, value_name = "FORMAT")]
    pub(crate) renderer: Option<Renderer>,
}

/// A bridge that was made.
#[derive(Debug, clap::Args)]
pub(crate) struct Made {
    /// Name of the bridge
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge: InterfaceName,
}
