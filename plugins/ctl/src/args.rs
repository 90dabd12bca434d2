//! What can be said to `portero`.

use clap::{Parser, Subcommand};
use portero_event::{InterfaceName, MacAddress};
use portero_host_bridge::Renderer;
use std::net::IpAddr;

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
    /// Draw the host's networks and bridges with their guests, forwards and policies
    Map {
        /// What to draw it as
        #[arg(long, value_enum, default_value = "tree")]
        format: MapFormat,
    },
    /// Look at who may reach virtual networks, and whom they may reach
    #[command(subcommand)]
    Policy(PolicyCommand),
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

/// A form of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MapFormat {
    /// Lines for a terminal
    Tree,
    /// A picture
    Svg,
    /// A graph for graphviz
    Dot,
    /// JSON for programs
    Json,
}

/// What is about the policies of networks.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what becomes of a packet that opens a connection, and who decides that
    ///
    /// Everybody who has a say is named in order; the last one has decided.
    Explain(Question),
}

/// A packet that opens a connection.
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_STATUS)]
pub(crate) struct Question {
    /// Address that it comes from
    #[arg(value_name = "SOURCE")]
    pub(crate) source: IpAddr,
    /// Address that it goes to
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: IpAddr,
    /// Protocol; icmp is ICMPv6 between IPv6 addresses
    #[arg(value_name = "PROTOCOL")]
    pub(crate) protocol: ProtocolName,
    /// Port of the destination, 1 to 65535; of icmp the type, 0 to 255, an echo request without
    #[arg(value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// MAC address that it comes from; by the host's neighbours without
    #[arg(long, value_name = "MAC")]
    pub(crate) mac: Option<MacAddress>,
    /// Interface of the host that it comes by; by the host's routes without
    #[arg(long, value_name = "INTERFACE")]
    pub(crate) dev: Option<InterfaceName>,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

const EXPLAIN_STATUS: &str = "Exit status: 0 said, whatever the verdict is; 1 failed; 2 usage.";

/// A protocol that can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProtocolName {
    Tcp,
    Udp,
    Sctp,
    #[value(alias = "icmpv6")]
    Icmp,
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
