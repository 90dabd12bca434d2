//! What the engine asks of the machine it runs on.

use crate::{Deadline, Result, RouteLookup, Uplink};
use portero_firewall::docker::DockerChains;
use portero_firewall::{
    iptables, nftables, Firewall, ForwardCounters, ObservedBans, RuleCounters, Script, Tool,
};
use portero_host_bridge::HostBridge;
use portero_libvirt::{InterfaceName, MacAddress, Nic};
use portero_model::{Claim, Dnat, Family, Neighbor, NftSet, PortRange, Protocol, ReplyRoute, Tap};
use portero_port_forward::Listener;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The machine: its firewall, sockets, connections, processes and bridges.
pub trait System {
    /// Looks which firewalls are in use; cheap.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the kernel does not answer in time.
    fn detect_backend(&mut self, deadline: Deadline) -> Result<Detected>;

    /// Reads portero's part of a family's iptables.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the firewall cannot be read in time.
    fn observe_iptables(
        &mut self,
        family: Family,
        deadline: Deadline,
    ) -> Result<iptables::Observed>;

    /// Reads portero's part of nftables.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the firewall cannot be read in time.
    fn observe_nftables(&mut self, deadline: Deadline) -> Result<nftables::Observed>;

    /// Reads what the compiled rules of policies have counted in a firewall.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the firewall cannot be read in time.
    fn count_rules(&mut self, firewall: Firewall, deadline: Deadline) -> Result<RuleCounters>;

    /// Reads what the rules or elements of forwards have counted in a firewall.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the firewall cannot be read in time.
    fn count_forwards(&mut self, firewall: Firewall, deadline: Deadline)
        -> Result<ForwardCounters>;

    /// Reads the table of what guests may not pretend.
    ///
    /// # Errors
    /// [`crate::SystemError`] when it cannot be read in time.
    fn observe_antispoof(&mut self, deadline: Deadline) -> Result<nftables::Observed>;

    /// What `nft -j list set` prints of somebody else's set; nothing when it is not there.
    ///
    /// # Errors
    /// [`crate::SystemError`] when it cannot be read in time.
    fn read_set(&mut self, _set: &NftSet, _deadline: Deadline) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// What stands in the table of bans; nothing when it is not there.
    ///
    /// # Errors
    /// [`crate::SystemError`] when it cannot be read in time.
    fn observe_bans(&mut self, _deadline: Deadline) -> Result<Option<ObservedBans>> {
        Ok(None)
    }

    /// nftables is about to be observed: that may begin now, beside what else is to be done. What it finds counts unless somebody
    /// commits anything meanwhile.
    fn preobserve_nftables(&mut self, _deadline: Deadline) {}

    /// A script for this tool is about to be planned, and may then be committed: whatever of it takes
    /// its time may begin now. Nothing is changed by that. Whoever calls this holds the lock: a program that was started under it
    /// holds it too, and outlives an event that is killed.
    fn prespawn(&mut self, _tool: Tool, _deadline: Deadline) {}

    /// Commits a script; each of its tables is changed as a whole or not at all.
    ///
    /// # Errors
    /// [`crate::SystemError`] when it was refused or did not end in time.
    fn commit(&mut self, script: &Script, deadline: Deadline) -> Result<()>;

    /// The sockets on which the host's own programs wait, at least those on ports of the claims.
    ///
    /// # Errors
    /// [`crate::SystemError`] when they cannot be listed.
    fn listeners(&mut self, claims: &[Claim]) -> Result<Vec<Listener>>;

    /// Forgets what connection tracking knows of these flows, so that the next packet is judged by
    /// the rules of now.
    ///
    /// # Errors
    /// [`crate::SystemError`] when connection tracking cannot be reached.
    fn forget(&mut self, flows: &[Flow], deadline: Deadline) -> Result<()>;

    /// Whether a process is there, one that has ended but is not waited for yet included.
    fn has_process(&mut self, process: u32) -> bool;

    /// Whether docker has its chain for administrators in any family.
    fn has_docker(&mut self, deadline: Deadline) -> bool;

    /// What stands in docker's chain for administrators and in portero's beside it; nothing where docker has none.
    ///
    /// # Errors
    /// [`crate::SystemError`] when they cannot be read.
    fn observe_docker(
        &mut self,
        family: Family,
        deadline: Deadline,
    ) -> Result<Option<DockerChains>>;

    /// What an interface of this name is for what arrives by it.
    fn interface_state(&mut self, name: &InterfaceName) -> InterfaceState;

    /// An interface's index; nothing when there is none.
    fn index(&mut self, name: &str) -> Option<u32>;

    /// Whether the host has a bridge of this name.
    fn has_bridge(&mut self, bridge: &InterfaceName) -> bool;

    /// Makes a bridge of the host as its network says, and waits until the host is reached through
    /// it as before.
    ///
    /// # Errors
    /// [`crate::SystemError`]; then all is as it was, or becomes so.
    fn make_bridge(&mut self, bridge: &InterfaceName, wanted: &HostBridge) -> Result<()>;

    /// The interface whose first IPv4 address this is, if any.
    ///
    /// # Errors
    /// [`SystemError`] when ip(8) cannot tell.
    fn interface_of_first_address(
        &mut self,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<Option<String>>;

    /// Whether loopback addresses are routed by way of a bridge (the sysctl
    /// `net.ipv4.conf.BRIDGE.route_localnet`); `None` when there is no such one.
    fn localnet(&mut self, bridge: &str) -> Option<bool>;

    /// Lets loopback addresses be routed by way of a bridge, or no more.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the setting cannot be written.
    fn set_localnet(&mut self, bridge: &str, setting: Switch) -> Result<()>;

    /// The host's addresses whose answers have a routing table of their own.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the rules cannot be read.
    fn uplinks(&mut self, deadline: Deadline) -> Result<Vec<Uplink>>;

    /// The marks by which portero has answers routed.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the rules cannot be read.
    fn reply_routes(&mut self, deadline: Deadline) -> Result<BTreeSet<ReplyRoute>>;

    /// Has answers with these marks routed by their tables, and those that are gone no more. What is as it should be stays.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the kernel refuses.
    fn set_reply_routes(
        &mut self,
        wanted: &BTreeSet<ReplyRoute>,
        gone: &BTreeSet<ReplyRoute>,
        deadline: Deadline,
    ) -> Result<()>;

    /// Refuses addresses that somebody else answers for already on the interface's LAN.
    ///
    /// # Errors
    /// [`crate::SystemError::Taken`]; others when it cannot be found out.
    fn check_neighbors(&mut self, neighbors: &[Neighbor], deadline: Deadline) -> Result<()>;

    /// Lets the host answer for these addresses on its interfaces (proxy ARP and NDP), and for those
    /// that are gone no more. What is as it should be stays.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the kernel refuses.
    fn set_neighbors(
        &mut self,
        wanted: &[Neighbor],
        gone: &[Neighbor],
        deadline: Deadline,
    ) -> Result<()>;

    /// Whether the host answers for any IPv6 address on an interface.
    ///
    /// # Errors
    /// [`crate::SystemError`] when they cannot be listed.
    fn has_proxies(&mut self, dev: &str, deadline: Deadline) -> Result<bool>;

    /// Whether an interface answers for IPv6 addresses that it is told (the sysctl
    /// `net.ipv6.conf.DEV.proxy_ndp`); `None` when there is no such one.
    fn proxy_ndp(&mut self, dev: &str) -> Option<bool>;

    /// Lets an interface answer for IPv6 addresses, or no more.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the setting cannot be written.
    fn set_proxy_ndp(&mut self, dev: &str, setting: Switch) -> Result<()>;

    /// Where packets to an address go, and so where its own come from.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the routes cannot be read.
    fn route_lookup(&mut self, address: IpAddr, deadline: Deadline) -> Result<RouteLookup>;

    /// Whether the host passes packets of a family on.
    fn passes_on(&mut self, family: Family) -> bool;

    /// Whether iptables judges packets that go from port to port of one bridge (`br_netfilter`).
    fn judges_bridged(&mut self, family: Family) -> bool;

    /// The host's ends of these interfaces of guests, of those that are in the bridge or, since libvirt has taken it
    /// away under them, in none.
    ///
    /// # Errors
    /// [`crate::SystemError`] when they cannot be listed.
    fn taps(&mut self, bridge: &str, guests: &[Nic]) -> Result<BTreeSet<Tap>>;

    /// The addresses that the kernel has seen an interface of a guest's to have on a bridge (ip-neighbour(8)).
    ///
    /// # Errors
    /// [`crate::SystemError`] when the kernel does not tell.
    fn seen(&self, bridge: &InterfaceName, mac: MacAddress) -> Result<Vec<IpAddr>>;

    /// The interfaces that are in a bridge; none when it is not there.
    ///
    /// # Errors
    /// [`crate::SystemError`] when they cannot be listed.
    fn members(&mut self, bridge: &str) -> Result<BTreeSet<String>>;

    /// Puts the host's ends of these guests' interfaces back into the bridge, if they are in none;
    /// gives the names of those it put back.
    ///
    /// # Errors
    /// [`crate::SystemError`] when the kernel refuses.
    fn reattach(&mut self, bridge: &InterfaceName, guests: &[Nic]) -> Result<Vec<String>>;
}

/// Which firewalls are in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Detected {
    /// Where libvirt has rules for a network; nothing when it has none, or none that can be seen.
    pub libvirt: Option<Firewall>,
    /// Whether portero has a table in nftables.
    pub has_nftables: bool,
    /// Whether portero has chains in iptables, as far as can be seen: where iptables writes to
    /// nftables.
    pub has_iptables: bool,
    /// Whether `iptables-restore` is installed.
    pub can_iptables: bool,
}

/// What an interface is for what arrives by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceState {
    /// There is none of that name.
    Missing,
    /// It is a port of this bridge, by which packets arrive then.
    InBridge(String),
    /// Packets arrive by it.
    OnItsOwn,
}

/// A sysctl that is on or off; off is the default of those that portero writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// 1.
    On,
    /// 0.
    Off,
}

/// Connections that a UDP rule makes or made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The host's address, any when absent.
    pub address: Option<IpAddr>,
    /// The host's ports.
    pub ports: PortRange,
    /// The guest's address.
    pub guest: IpAddr,
    /// The guest's ports.
    pub guest_ports: PortRange,
}

impl Flow {
    /// The flow of a forward of UDP; other protocols end their connections themselves.
    #[must_use]
    pub fn from_dnat(dnat: &Dnat) -> Option<Self> {
        (dnat.protocol == Protocol::Udp).then_some(Self {
            protocol: dnat.protocol,
            address: dnat.address,
            ports: dnat.ports,
            guest: dnat.guest,
            guest_ports: dnat.guest_ports,
        })
    }
}
