//! The machine: both firewalls, sockets, and the settings of bridges.

use crate::iptables::Iptables;
use crate::nftables::Nftables;
use portero_firewall::docker::DockerChains;
use portero_firewall::iptables::{Observed, Table};
use portero_firewall::nftables::{Place, TableContent};
use portero_firewall::{nftables, Firewall, ForwardCounters, RuleCounters, Script, Tool};
use portero_host_bridge::HostBridge;
use portero_libvirt::{InterfaceName, MacAddress, Nic};
use portero_model::{Claim, Counter, Family, Neighbor, ReplyRoute, Tap};
use portero_port_forward::Listener;
use portero_system::{
    Deadline, Detected, Flow, InterfaceState, RouteLookup, Switch, System, SystemError, Uplink,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

/// The tables of nftables that are a firewall's.
const PLACES: [Place; 4] = [
    Place::Own,
    Place::Policy,
    Place::Libvirt(Family::Ipv4),
    Place::Libvirt(Family::Ipv6),
];

/// A machine in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// iptables of IPv4.
    ipv4: Iptables,
    /// ip6tables.
    ipv6: Iptables,
    nftables: Nftables,
    /// Where libvirt has its rules.
    pub libvirt: Option<Firewall>,
    /// Sockets on which the host's own programs wait.
    pub listeners: Vec<Listener>,
    /// Processes that have ended; all others run.
    pub ended: BTreeSet<u32>,
    /// Bridges, and whether loopback is routed by them.
    pub bridges: BTreeMap<String, bool>,
    /// Guests' taps, and the bridge that each is in.
    pub taps: BTreeMap<Tap, Option<String>>,
    /// Those of them that are ends of containers' pairs, which their names tell alone.
    pub pairs: BTreeSet<String>,
    /// Whether no firewall can be read, as while somebody else changes them all the time.
    pub is_unreadable: bool,
    /// Addresses that somebody on a LAN has.
    pub strangers: Vec<IpAddr>,
    /// Addresses that the host answers for.
    pub neighbors: BTreeSet<Neighbor>,
    /// Interfaces that answer for IPv6 addresses.
    pub proxying: BTreeSet<String>,
    /// Addresses of the host whose answers have a routing table.
    pub uplinks: Vec<Uplink>,
    /// The marks that answers are routed by.
    pub reply_routes: BTreeSet<ReplyRoute>,
    /// Where addresses are.
    pub route_lookup: BTreeMap<IpAddr, RouteLookup>,
    /// Where guests were seen.
    pub seen: BTreeMap<MacAddress, Vec<IpAddr>>,
    /// Whether packets are passed on.
    pub passes_on: bool,
    /// Whether what goes from port to port of a bridge is judged.
    pub judges_bridged: bool,
    /// What rules have counted by their comment, and elements by their key.
    pub counters: BTreeMap<String, Counter>,
    /// What was committed, in order.
    pub committed: Vec<Script>,
    /// Flows that were to be forgotten.
    pub forgotten: Vec<Flow>,
    /// Which of the next commits fail, counted from 0.
    pub failing: Range<usize>,
}

impl Machine {
    /// Makes libvirt's tables of nftables, and lets libvirt use them.
    pub fn use_nftables(&mut self) {
        self.libvirt = Some(Firewall::Nftables);
        self.nftables.make_libvirt_tables();
    }

    /// Makes libvirt's chains of iptables, and lets libvirt use them.
    pub fn use_iptables(&mut self) {
        self.libvirt = Some(Firewall::Iptables);
        self.ipv4.make_libvirt_chains();
        self.ipv6.make_libvirt_chains();
    }

    /// Takes away everything that libvirt has in its firewall, as without any network of its.
    pub fn forget_libvirt(&mut self) {
        self.libvirt = None;
        self.nftables.remove_libvirt_tables();
        self.ipv4.remove_libvirt_chains();
        self.ipv6.remove_libvirt_chains();
    }

    /// Lets a daemon that starts put libvirt's rules in again: above all others' in iptables, in new tables of nftables
    /// where these are gone.
    pub fn start_libvirt(&mut self, firewall: Firewall) {
        match firewall {
            Firewall::Nftables if self.nftables.has_libvirt_tables() => {}
            Firewall::Nftables => self.nftables.make_libvirt_tables(),
            Firewall::Iptables => {
                for tables in [&mut self.ipv4, &mut self.ipv6] {
                    tables.insert_libvirt_chains();
                }
            }
        }
        self.libvirt = Some(firewall);
    }

    /// Everything in both firewalls, for comparison and for people.
    #[must_use]
    pub fn rules(&self) -> String {
        let families = [("IPv4", &self.ipv4), ("IPv6", &self.ipv6)];
        let mut text: String = families
            .iter()
            .map(|(name, tables)| tables.show(name))
            .collect();
        text += &self.nftables.show();
        text
    }

    /// Throws everything away that is in the firewalls.
    pub fn flush(&mut self) {
        let libvirt = self.libvirt;
        self.ipv4 = Iptables::default();
        self.ipv6 = Iptables::default();
        self.nftables = Nftables::default();
        match libvirt {
            Some(Firewall::Nftables) => self.use_nftables(),
            Some(Firewall::Iptables) => self.use_iptables(),
            None => {}
        }
    }

    fn observe_tables(&self, places: &[Place]) -> Result<nftables::Observed, SystemError> {
        self.check_readable()?;
        let mut observed = nftables::Observed::default();
        for (place, json) in self.nftables.list(places) {
            observed.add_content(place, content(place, &json));
        }
        Ok(observed)
    }

    fn check_readable(&self) -> Result<(), SystemError> {
        match self.is_unreadable {
            true => Err(SystemError::Hung {
                program: "iptables".to_owned(),
                seconds: 3,
            }),
            false => Ok(()),
        }
    }

    fn tables(&mut self, family: Family) -> &mut Iptables {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

/// A table as nft lists it.
fn content(place: Place, json: &Value) -> TableContent {
    let content = TableContent::from_json(place, json.to_string().as_bytes());
    content.expect("what nft writes")
}

impl System for Machine {
    fn detect_backend(&mut self, _: Deadline) -> Result<Detected, SystemError> {
        Ok(Detected {
            libvirt: self.libvirt,
            has_nftables: self.nftables.has_own_table(),
            has_iptables: self.ipv4.has_portero() || self.ipv6.has_portero(),
            can_iptables: true,
        })
    }

    fn observe_iptables(&mut self, family: Family, _: Deadline) -> Result<Observed, SystemError> {
        self.check_readable()?;
        let mut observed = Observed::default();
        for table in Table::ALL {
            let lines = self.tables(family).list(table.name());
            observed.add(table, lines.iter().map(String::as_str));
        }
        Ok(observed)
    }

    fn observe_nftables(&mut self, _: Deadline) -> Result<nftables::Observed, SystemError> {
        self.observe_tables(&PLACES)
    }

    fn observe_antispoof(&mut self, _: Deadline) -> Result<nftables::Observed, SystemError> {
        self.observe_tables(&[Place::Antispoof])
    }

    fn count_rules(
        &mut self,
        firewall: Firewall,
        _: Deadline,
    ) -> Result<RuleCounters, SystemError> {
        let mut counted = RuleCounters::default();
        match firewall {
            Firewall::Iptables => {
                for tables in [&self.ipv4, &self.ipv6] {
                    let lines = tables.list_counted(Table::Filter.name(), &self.counters);
                    counted.add_iptables(lines.iter().map(String::as_str));
                }
            }
            Firewall::Nftables => {
                if let Some(json) = self.nftables.list_counted(&self.counters) {
                    counted.add_nftables(content(Place::Policy, &json));
                }
            }
        }
        Ok(counted)
    }

    fn count_forwards(&mut self, _: Firewall, _: Deadline) -> Result<ForwardCounters, SystemError> {
        let mut counts = ForwardCounters::default();
        for family in Family::ALL {
            for table in Table::ALL {
                let lines = self.tables(family).list(table.name());
                let lines: Vec<String> = lines
                    .iter()
                    .map(|line| line.replace(" -j ", " -c 0 0 -j "))
                    .collect();
                counts.add_iptables(family, lines.iter().map(String::as_str));
            }
        }
        Ok(counts)
    }

    fn commit(&mut self, script: &Script, _: Deadline) -> Result<(), SystemError> {
        let failed = |message: String| SystemError::Failed {
            program: script.tool.program().to_owned(),
            message,
        };
        let is_failing = self.failing.contains(&0);
        let earlier = |number: usize| number.saturating_sub(1);
        self.failing = earlier(self.failing.start)..earlier(self.failing.end);
        if is_failing {
            return Err(failed("told to fail".to_owned()));
        }
        match script.tool {
            Tool::Restore(family) => self.tables(family).restore(&script.text()),
            Tool::Nft => self.nftables.commit(&script.text()),
        }
        .map_err(failed)?;
        self.committed.push(script.clone());
        Ok(())
    }

    fn listeners(&mut self, _: &[Claim]) -> Result<Vec<Listener>, SystemError> {
        Ok(self.listeners.clone())
    }

    fn forget(&mut self, flows: &[Flow], _: Deadline) -> Result<(), SystemError> {
        self.forgotten.extend(flows.iter().cloned());
        Ok(())
    }

    fn has_process(&mut self, process: u32) -> bool {
        !self.ended.contains(&process)
    }

    fn has_docker(&mut self, _: Deadline) -> bool {
        false
    }

    fn observe_docker(
        &mut self,
        _: Family,
        _: Deadline,
    ) -> Result<Option<DockerChains>, SystemError> {
        Ok(None)
    }

    fn interface_state(&mut self, _: &InterfaceName) -> InterfaceState {
        InterfaceState::OnItsOwn
    }

    fn index(&mut self, name: &str) -> Option<u32> {
        let index = self.bridges.keys().position(|bridge| bridge == name)?;
        u32::try_from(index).ok()
    }

    fn has_bridge(&mut self, bridge: &InterfaceName) -> bool {
        self.bridges.contains_key(bridge.as_str())
    }

    fn make_bridge(
        &mut self,
        bridge: &InterfaceName,
        _wanted: &HostBridge,
    ) -> Result<(), SystemError> {
        self.bridges.insert(bridge.to_string(), false);
        Ok(())
    }

    fn localnet(&mut self, bridge: &str) -> Option<bool> {
        self.bridges.get(bridge).copied()
    }

    fn set_localnet(&mut self, bridge: &str, setting: Switch) -> Result<(), SystemError> {
        self.bridges
            .insert(bridge.to_owned(), setting == Switch::On);
        Ok(())
    }

    fn uplinks(&mut self, _: Deadline) -> Result<Vec<Uplink>, SystemError> {
        Ok(self.uplinks.clone())
    }

    fn reply_routes(&mut self, _: Deadline) -> Result<BTreeSet<ReplyRoute>, SystemError> {
        Ok(self.reply_routes.clone())
    }

    fn set_reply_routes(
        &mut self,
        wanted: &BTreeSet<ReplyRoute>,
        gone: &BTreeSet<ReplyRoute>,
        _: Deadline,
    ) -> Result<(), SystemError> {
        self.reply_routes.retain(|route| !gone.contains(route));
        self.reply_routes.extend(wanted);
        Ok(())
    }

    fn check_neighbors(&mut self, neighbors: &[Neighbor], _: Deadline) -> Result<(), SystemError> {
        let mut wanted = neighbors.iter();
        match wanted.find(|neighbor| self.strangers.contains(&neighbor.address)) {
            Some(Neighbor { dev, address }) => Err(SystemError::Taken {
                address: *address,
                dev: dev.clone(),
                mac: "02:00:00:00:00:01".to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn set_neighbors(
        &mut self,
        wanted: &[Neighbor],
        gone: &[Neighbor],
        _: Deadline,
    ) -> Result<(), SystemError> {
        self.neighbors.retain(|neighbor| !gone.contains(neighbor));
        self.neighbors.extend(wanted.iter().cloned());
        Ok(())
    }

    fn has_proxies(&mut self, dev: &str, _: Deadline) -> Result<bool, SystemError> {
        let mut of_ipv6 = self
            .neighbors
            .iter()
            .filter(|neighbor| neighbor.address.is_ipv6());
        Ok(of_ipv6.any(|neighbor| neighbor.dev == dev))
    }

    fn proxy_ndp(&mut self, dev: &str) -> Option<bool> {
        Some(self.proxying.contains(dev))
    }

    fn set_proxy_ndp(&mut self, dev: &str, setting: Switch) -> Result<(), SystemError> {
        match setting {
            Switch::On => self.proxying.insert(dev.to_owned()),
            Switch::Off => self.proxying.remove(dev),
        };
        Ok(())
    }

    fn interface_of_first_address(
        &mut self,
        _: IpAddr,
        _: Deadline,
    ) -> Result<Option<String>, SystemError> {
        Ok(None)
    }

    fn route_lookup(&mut self, address: IpAddr, _: Deadline) -> Result<RouteLookup, SystemError> {
        if address.is_loopback() {
            return Ok(RouteLookup::Host);
        }
        let found = self.route_lookup.get(&address).cloned();
        Ok(found.unwrap_or(RouteLookup::Nowhere))
    }

    fn passes_on(&mut self, _: Family) -> bool {
        self.passes_on
    }

    fn judges_bridged(&mut self, _: Family) -> bool {
        self.judges_bridged
    }

    fn taps(&mut self, bridge: &str, guests: &[Nic]) -> Result<BTreeSet<Tap>, SystemError> {
        let is_of = |tap: &Tap| {
            let mut guests = guests.iter().filter(|nic| nic.mac.to_string() == tap.mac);
            let named = |nic: &Nic| {
                let target = nic.target.as_ref();
                target.is_some_and(|target| target.as_str() == tap.name)
            };
            guests.any(|nic| !self.pairs.contains(&tap.name) || named(nic))
        };
        let taps = self.taps.iter();
        let is_there = |of: &Option<String>| of.as_ref().is_none_or(|of| of == bridge);
        let taps = taps.filter(|(tap, of)| is_of(tap) && is_there(of));
        Ok(taps.map(|(tap, _)| tap.clone()).collect())
    }

    fn seen(&self, _: &InterfaceName, mac: MacAddress) -> Result<Vec<IpAddr>, SystemError> {
        Ok(self.seen.get(&mac).cloned().unwrap_or_default())
    }

    fn members(&mut self, bridge: &str) -> Result<BTreeSet<String>, SystemError> {
        let members = self
            .taps
            .iter()
            .filter(|(_, of)| of.as_deref() == Some(bridge));
        Ok(members.map(|(tap, _)| tap.name.clone()).collect())
    }

    fn reattach(
        &mut self,
        bridge: &InterfaceName,
        guests: &[Nic],
    ) -> Result<Vec<String>, SystemError> {
        let mut back = Vec::new();
        for tap in self.taps(bridge.as_str(), guests)? {
            let of = self.taps.entry(tap.clone()).or_default();
            if of.replace(bridge.to_string()).is_none() {
                back.push(tap.name);
            }
        }
        Ok(back)
    }
}
