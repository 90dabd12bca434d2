//! What can be said to `portero`.

use crate::candidates::{interfaces, objects};
use crate::forward::ForwardArgs;
use crate::host_port::{Destination, HostPort, PortTextError};
use crate::map::MapFormat;
use crate::status::MetricsFormat;
use crate::who::Who;
use clap::{Parser, Subcommand, ValueHint};
use portero_bridge::Kind;
use portero_host_bridge::Renderer;
use portero_libvirt::{InterfaceName, MacAddress, ObjectName};
use portero_model::OwnerKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Port forwards into libvirt's networks: add them, look at them, and repair them.
///
/// Forwards are written in the metadata of a domain or network (portero forward, virsh metadata, virsh
/// edit, virsh net-edit) or in /etc/portero; libvirt's hooks apply them when a guest or network starts,
/// and portero-watch when they change.
#[derive(Debug, Parser)]
#[command(name = "portero", version, after_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// URI of the libvirt that 'forward' and 'import --set' connect to, as of virsh
    #[arg(id = "uri", short = 'c', long = "connect", value_name = "URI")]
    pub(crate) connect: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str =
    "Exit status: 0 done; 1 failed, 'doctor' or 'explain' found a fault, or somebody asks 'sync' or 'plan' for what \
     cannot be had; 2 usage; 3 'plan' or 'bridge plan' would change something.";

const PLAN_STATUS: &str =
    "Exit status: 0 nothing to change; 1 failed; 2 usage; 3 something to change.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Rules(RulesCommand),
    /// List networks, guests and forwards: where they lead, what they counted, and why some wait
    ///
    /// A forward is 'active', 'missing' from the firewall, 'pending' while the guest's address is not
    /// known, or 'claimed' by a domain that has not started yet. portero counts
    /// since a rule was made: connections and bytes with iptables, packets and bytes with nftables. Bytes are
    /// those that pass through the host in both directions, without the host's own connections.
    ///
    /// The JSON is an object. 'networks' have name, uuid, mode, bridge, addresses, guests (how many),
    /// policy (mode, in, out, host, rules, antispoof, in_firewall) and problems. 'guests' have name,
    /// uuid and interfaces (mac, network, target, addresses). 'forwards' have owner, name, uuid,
    /// protocol, address, dev, source, ports, guest, guest_ports, state, reason, connections, packets
    /// and bytes. 'stopped' has what rules of others (docker, ufw, firewalld, anybody's) stop: owner, name, uuid, what,
    /// outside (interfaces), more (how many forwards besides), certainty (sure or doubtful), by and explain (a command);
    /// 'unread_rules' has which of their rules could not be read. What is not known, or does not apply, is null. These
    /// names stay; others may be added.
    ///
    /// With --watch --json, each line is such an object: one at once, and one whenever anything in it has changed, a counter
    /// too. portero looks every two seconds, and ends when nobody reads any more.
    ///
    /// Metrics are bytes, packets and connections of forwards, bytes and packets of clauses of policies, how many forwards and
    /// policies are in which state, and what portero-watch has counted since boot: comparisons, those that restored rules, and
    /// errors. What is not counted is left out. portero-metrics.timer, which is off until you enable it, writes them every
    /// minute where Debian's node_exporter reads them.
    #[command(after_help = SHOW_STATUS)]
    Status {
        /// Only this guest or network
        #[arg(value_name = "NAME", add = objects(OwnerKind::Domain))]
        name: Option<ObjectName>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
        /// Repeat every two seconds; if stdout is no terminal, or with --json, only when something has changed
        #[arg(long)]
        watch: bool,
        /// Print metrics for Prometheus in this format
        #[arg(long, value_enum, conflicts_with_all = ["name", "json", "watch"])]
        format: Option<MetricsFormat>,
        /// Write the metrics to this file, as a whole or not at all, for everybody to read
        #[arg(long, value_name = "FILE", requires = "format", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    Forward(ForwardArgs),
    /// Look for what keeps guests from being reached, or lets more through than it seems
    ///
    /// It changes nothing. For each finding it prints the command that repairs it, and where to write it if the next boot
    /// undoes it.
    #[command(after_help = DOCTOR_STATUS)]
    Doctor {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Explain why a forwarded port is reached or not, or why a guest reaches nobody
    ///
    /// For a port, portero follows a packet's way from a client to the guest and back, hop by hop. For a
    /// guest, it looks at what the guest needs of this host: an address (DHCP), names (DNS) and a way
    /// out. Each hop holds, FAILS, or cannot be seen from here; the last lines are the first hop that fails
    /// and the command that repairs it. It changes nothing. For a port, it asks the guest for its address,
    /// and tries the guest's port with a connection that it closes at once.
    Explain(Explained),
    /// Draw the host's networks and bridges with their guests, forwards and policies
    Map {
        /// Only this network, or the networks of this guest
        #[arg(value_name = "NAME", add = objects(OwnerKind::Domain))]
        name: Option<ObjectName>,
        /// Format of the drawing
        #[arg(long, value_enum, default_value = "tree")]
        format: MapFormat,
    },
    /// Look at who may reach virtual networks, and whom they may reach
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Put a NIC of this host into a bridge, so that guests join its LAN
    #[command(subcommand)]
    Bridge(BridgeCommand),
    Import(ImportArgs),
    /// Check whether portero understands files; change nothing
    ///
    /// Each file is the XML of a domain or network as virsh prints it, an element of portero's as in
    /// /etc/portero, or a portero.toml. One line names the first error. Whether a port is free, or a
    /// peer exists, is checked when it is applied.
    #[command(
        after_help = "Exit status: 0 all files are valid; 1 one is not, or cannot be read; 2 usage."
    )]
    Validate {
        /// The files; '-' is stdin
        #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Write one file for a bug report: versions, what portero finds, configuration, units, rules and the log
    ///
    /// It takes up to two minutes. The end lists what could not be read. Read the file before you send it.
    Report(ReportArgs),
    /// Print the manual page of that name, or the names of all
    #[command(hide = true)]
    Page {
        /// Name of the page
        name: Option<String>,
    },
}

/// Print the port forwards of another hook as metadata of domains, and the commands that set it
///
/// FILE is hooks.json of saschpe's libvirt-hook-qemu, or a shell hook as the one in libvirt's wiki.
/// portero reads a shell hook and never runs it; it refuses what it does not understand, and names the line. stderr names
/// what is not imported. With --set, portero sets the metadata in libvirt, for all domains or for none.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The file; '-' is stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Only this domain; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN", add = objects(OwnerKind::Domain))]
    pub(crate) domains: Vec<ObjectName>,
    /// Set it in the configuration of the domains, for their next start
    #[arg(long)]
    pub(crate) set: bool,
    /// Set it in running domains too, at once
    #[arg(long, requires = "set")]
    pub(crate) live: bool,
    /// Replace all of portero's metadata that is there; default: refuse
    #[arg(long, requires = "set")]
    pub(crate) replace: bool,
    /// URI of the libvirt to connect to, as of virsh
    #[arg(short = 'c', long = "connect", value_name = "URI", requires = "set")]
    pub(crate) connect: Option<String>,
}

const DOCTOR_STATUS: &str = "Exit status: 0 nothing found; 1 something found, or failed; 2 usage.";

/// A port or a guest to explain.
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAINED_STATUS)]
pub(crate) struct Explained {
    /// [ADDRESS:]PORT[/tcp|udp|sctp] of the host, an IPv6 address in brackets, default: tcp; or a guest's name
    #[arg(value_name = "PORT|GUEST", add = objects(OwnerKind::Domain))]
    pub(crate) what: What,
    /// For a port: address of the client; default: any machine outside
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<IpAddr>,
    /// For a guest: where it sends to, ADDRESS:PORT[/tcp|udp|sctp]; default: any machine outside
    #[arg(long, value_name = "DESTINATION", conflicts_with = "from")]
    pub(crate) to: Option<Destination>,
    /// For a port: what to print
    #[arg(long, value_enum, default_value = "text", conflicts_with = "json")]
    pub(crate) format: ExplainFormat,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// A form of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExplainFormat {
    /// Lines for a terminal
    Text,
    /// A picture
    Svg,
}

/// What is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A port of the host.
    Port(HostPort),
    /// A guest.
    Guest(ObjectName),
}

impl FromStr for What {
    type Err = PortTextError;

    /// Whatever is a port, or would be one, is none of a guest's names.
    fn from_str(text: &str) -> Result<Self, PortTextError> {
        match (text.parse(), text.parse()) {
            (Ok(port), _) => Ok(Self::Port(port)),
            (Err(_), Ok(name))
                if !text.contains([':', '['])
                    && !text.starts_with(|one: char| one.is_ascii_digit()) =>
            {
                Ok(Self::Guest(name))
            }
            (Err(error), _) => Err(error),
        }
    }
}

const EXPLAINED_STATUS: &str =
    "Exit status: 0 every hop holds that can be seen from here; 1 one fails, or the host cannot be read; \
     2 usage.";

/// What needs the firewall.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Compare the firewall with what is wanted, and restore what differs
    Sync {
        /// Change nothing: print what would be committed, as 'plan' does
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove all of portero's rules from the firewall, as before portero is removed
    ///
    /// Guests and networks keep running. The next start of one, or 'sync', restores the rules. portero-watch would do so at once: if
    /// it runs, portero asks whether to stop and disable it, and refuses if there is no terminal.
    Withdraw {
        /// Change nothing: print what would be committed
        #[arg(long)]
        dry_run: bool,
        /// Stop and disable portero-watch without asking
        #[arg(long, conflicts_with = "dry_run")]
        yes: bool,
    },
    /// Print what 'sync' would commit, in the form iptables-restore or nft takes
    #[command(after_help = PLAN_STATUS)]
    Plan {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
}

/// Where a report goes, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// File to write, which must not exist; '-' is stdout; default: portero-report-TIME.txt in this directory
    #[arg(short = 'o', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Replace addresses, MAC addresses, UUIDs and the names of the host, its guests and networks with pseudonyms, each with the
    /// same one everywhere
    #[arg(long)]
    pub(crate) anonymous: bool,
}

/// What is about the policies of networks.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List what active networks allow and reject, in the order of evaluation, with counters
    ///
    /// In each direction the first clause that matches decides. Replies, and packets related to a connection,
    /// are allowed, and counted only by clauses that match them too.
    #[command(after_help = SHOW_STATUS)]
    Show {
        /// Only this network
        #[arg(value_name = "NETWORK", add = objects(OwnerKind::Network))]
        network: Option<ObjectName>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Show what a policy would become, and what is wrong with it; change nothing
    #[command(after_help = CHECK_STATUS)]
    Check(CheckedSubject),
    /// Show what happens to a packet that opens a connection, and who decides
    ///
    /// The list has every rule that the packet meets, in order; the last one decided.
    Explain(PacketArgs),
}

const SHOW_STATUS: &str = "Exit status: 0 done; 1 failed; 2 usage.";

/// A policy to check.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckedSubject {
    /// Active network, or file with a <network>, a <portero:network> or a <portero:group>
    ///
    /// For a network, portero reads its metadata and its file in /etc/portero/networks.
    #[arg(value_name = "NETWORK|FILE", add = objects(OwnerKind::Network))]
    pub(crate) subject: String,
    /// Active network that a <portero:network> in a file is for
    #[arg(long, value_name = "NETWORK", add = objects(OwnerKind::Network))]
    pub(crate) network: Option<ObjectName>,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

const CHECK_STATUS: &str =
    "Exit status: 0 nothing is wrong, though there may be warnings; 1 it is wrong, or cannot be read; 2 usage.";

/// A packet that opens a connection.
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_STATUS)]
pub(crate) struct PacketArgs {
    /// Who sends it: an address, or the name of a guest or network
    #[arg(value_name = "SOURCE", add = objects(OwnerKind::Domain))]
    pub(crate) source: Who,
    /// Where it goes: an address, or the name of a guest or network
    #[arg(value_name = "DESTINATION", add = objects(OwnerKind::Domain))]
    pub(crate) destination: Who,
    /// Protocol; icmp is ICMPv6 between IPv6 addresses
    #[arg(value_name = "PROTOCOL")]
    pub(crate) protocol: ProtocolName,
    /// Port of the destination, 1 to 65535; for icmp the type, 0 to 255; default: an echo request
    #[arg(value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// MAC address that it comes from; default: by the host's neighbors
    #[arg(long, value_name = "MAC")]
    pub(crate) mac: Option<MacAddress>,
    /// Interface of the host that it arrives at; default: by the host's routes
    #[arg(long, value_name = "INTERFACE", add = interfaces())]
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
    #[command(after_help = PLAN_STATUS)]
    Plan(Wanted),
    /// Make the bridge, and roll back unless it is confirmed in time
    ///
    /// portero keeps the files that it replaces in /var/lib/portero. It rolls back if the bridge lacks an address, route, rule
    /// or DNS server that the NIC had, if this program dies, if the gateway stops answering, if the host boots, and if nobody
    /// confirms. On a terminal it shows each step and counts down: ENTER keeps the bridge, anything else rolls back.
    Apply {
        #[command(flatten)]
        wanted: Wanted,
        /// Time to confirm in, in seconds, 10 to 3600
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=3600))]
        timeout: u64,
        /// Keep the bridge as soon as it has what the NIC had
        #[arg(long, conflicts_with = "timeout")]
        yes: bool,
        /// Accept that the bridge lacks what the NIC has: addresses, routes, metrics, rules, neighbors, dns or link
        #[arg(long, value_name = "WHAT", value_delimiter = ',')]
        accept: Vec<Kind>,
        /// Print what would change in /etc, and exit, as 'portero bridge plan' does; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the bridges that portero has made, and which of them wait to be confirmed
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a bridge that was made
    Confirm(Made),
    /// Roll back a bridge that is not confirmed
    Rollback(Made),
    /// Remove a bridge; the files become what they were before
    Remove(Made),
    /// Print the libvirt network that puts guests into a bridge
    Network {
        #[command(flatten)]
        made: Made,
        /// Name of the network; default: the bridge's
        #[arg(long)]
        name: Option<String>,
        /// Define it in libvirt instead, by virsh
        #[arg(long)]
        define: bool,
    },
    /// Watch over a bridge until it is confirmed
    #[command(hide = true)]
    Guard(Made),
    /// Restore the files of bridges that were not confirmed before the host went down
    #[command(hide = true)]
    Recover,
}

/// The bridge that is wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// Name of the bridge, 1 to 15 characters
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge: InterfaceName,
    /// A NIC in it; the IP configuration of the first one moves to the bridge
    #[arg(long = "nic", value_name = "NIC", required = true, add = interfaces())]
    pub(crate) nics: Vec<InterfaceName>,
    /// Turn on the spanning tree protocol
    #[arg(long)]
    pub(crate) stp: bool,
    /// Format of the files, where more than one configures the NIC: ifcfg, keyfile, networkd,
    /// netplan or ifupdown
    #[arg(long, value_name = "FORMAT")]
    pub(crate) renderer: Option<Renderer>,
}

/// A bridge that was made.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Made {
    /// Name of the bridge
    #[arg(value_name = "BRIDGE")]
    bridge: Option<InterfaceName>,
    /// Name of the bridge
    #[arg(long = "bridge", value_name = "NAME")]
    named: Option<InterfaceName>,
}

impl Made {
    /// The bridge, which clap has required in one of both ways.
    pub(crate) fn bridge(&self) -> Option<&InterfaceName> {
        self.bridge.as_ref().or(self.named.as_ref())
    }
}
