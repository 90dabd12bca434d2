//! What can be said to `portero`.

use clap::{Parser, Subcommand};
use portero_event::InterfaceName;
use portero_host_bridge::Renderer;

/// Port forwards into libvirt's networks: look at them, and mend them.
///
/// Forwards themselves are written in the metadata of a domain or network (virsh edit, virsh
/// net-edit) or in /etc/portero; libvirt's hooks apply them when a guest or network starts.
#[derive(Debug, Parser)]
#[command(name = "portero", version, after_help = EXIT_STATUS)]
pub(crate) struct Args {
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
    Plan {
        /// Name of the bridge, 1 to 15 characters
        #[arg(long, value_name = "NAME")]
        bridge: InterfaceName,
        /// A NIC in it; the first one's IP configuration moves to the bridge
        #[arg(long = "nic", value_name = "NIC", required = true)]
        nics: Vec<InterfaceName>,
        /// Let the bridge speak the spanning tree protocol
        #[arg(long)]
        stp: bool,
        /// Format of the files, where more than one configures the NIC: ifcfg, keyfile, networkd,
        /// netplan or ifupdown
        #[arg(long, value_name = "FORMAT")]
        renderer: Option<Renderer>,
    },
}
