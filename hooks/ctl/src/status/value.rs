//! What there is to say, as a value: made in one place, said by others.

use super::obstacles::Obstacles;
use super::row::{rows, Row};
use crate::map::{problems, SegmentKind};
use portero_inventory::{ActiveNetwork, Guest, OwnerStatus};
use portero_libvirt::ObjectName;
use portero_model::{Direction, ForwardCounter, OwnerKind, Policy, RuleSource, Spoof, Verdict};
use portero_routed_policy::Mode;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A host's networks, guests and forwards.
#[derive(Debug, Serialize)]
pub(super) struct HostStatus {
    /// Active networks, in the order of their names.
    pub(super) networks: Vec<NetworkStatus>,
    /// Running guests, in the order of their names.
    pub(super) guests: Vec<Guest>,
    /// Forwards, each owner's together.
    pub(super) forwards: Vec<CountedForward>,
    /// What others' rules do to them and to guests.
    #[serde(flatten)]
    pub(super) obstacles: Obstacles,
}

/// An active network.
#[derive(Debug, Serialize)]
pub(super) struct NetworkStatus {
    pub(super) name: String,
    pub(super) uuid: String,
    /// `nat`, `route`, `open`, `isolated`, `bridge` or `direct`.
    pub(super) mode: &'static str,
    pub(super) bridge: Option<String>,
    /// The host's addresses on it, with their prefixes.
    pub(super) addresses: Vec<String>,
    /// How many running guests are on it.
    pub(super) guests: usize,
    /// The policy that it was given.
    pub(super) policy: Option<PolicyStatus>,
    /// What is not as it should be.
    pub(super) problems: Vec<String>,
}

/// A policy, as it was given.
#[derive(Debug, Serialize)]
pub(super) struct PolicyStatus {
    /// The mode that it gives to an open network: `nat`, `route` or `isolated`.
    pub(super) mode: Option<&'static str>,
    /// What happens to packets to guests that no rule speaks of.
    #[serde(rename = "in")]
    pub(super) inward: Verdict,
    /// To packets from guests.
    #[serde(rename = "out")]
    pub(super) outward: Verdict,
    /// To packets from guests to the host.
    pub(super) host: Verdict,
    /// How many rules it has.
    pub(super) rules: usize,
    /// What guests may not pretend: `ip`, `mac`, `dhcp`, `ra`.
    pub(super) antispoof: Vec<Spoof>,
    /// Whether all of it is in the firewall and can be reached.
    pub(super) in_firewall: bool,
}

/// A range of ports with what went by it.
#[derive(Debug, Serialize)]
pub(super) struct CountedForward {
    /// Where it leads, and whether it does.
    #[serde(flatten)]
    pub(super) row: Row,
    /// How many connections were opened by it; unknown where the firewall does not count them.
    pub(super) connections: Option<u64>,
    /// Packets that have gone through the host both ways.
    pub(super) packets: Option<u64>,
    /// How long they were.
    pub(super) bytes: Option<u64>,
}

impl HostStatus {
    /// Keeps what is about one guest, with its networks, or one network, with its guests; says whether there is one.
    pub(super) fn keep(&mut self, name: &ObjectName) -> bool {
        let name = name.as_str();
        let is_guest = |guest: &Guest| guest.name.as_ref().is_some_and(|own| own.as_str() == name);
        let is_network = self.networks.iter().any(|network| network.name == name);
        let is_on_it = |guest: &Guest| {
            let mut nics = guest.nics.iter();
            is_network && nics.any(|nic| nic.network.as_deref() == Some(name))
        };
        let is_known = is_network || self.guests.iter().any(is_guest);
        self.guests
            .retain(|guest| is_guest(guest) || is_on_it(guest));
        let guests = self.guests.iter();
        let own: Vec<&Guest> = guests.filter(|guest| is_guest(guest)).collect();
        let nics = || own.iter().flat_map(|guest| &guest.nics);
        let networks: BTreeSet<&str> = nics().filter_map(|nic| nic.network.as_deref()).collect();
        let addresses: BTreeSet<&IpAddr> = self
            .guests
            .iter()
            .flat_map(|guest| guest.nics.iter().flat_map(|nic| &nic.addresses))
            .collect();
        self.networks
            .retain(|one| one.name == name || networks.contains(one.name.as_str()));
        self.forwards.retain(|one| {
            let leads_to = |(guest, _): (IpAddr, _)| addresses.contains(&guest);
            one.row.owner.name == name || one.row.guest.is_some_and(leads_to)
        });
        let names: BTreeSet<&str> = self.networks.iter().map(|one| one.name.as_str()).collect();
        self.obstacles.stopped.retain(|one| {
            one.owner.name == name
                || one.owner.kind == OwnerKind::Network && names.contains(one.owner.name.as_str())
        });
        is_known || !self.forwards.is_empty()
    }

    /// Puts together what is known without the rules of others; `counters` has those of each owner's rules.
    pub(super) fn new(
        networks: &[ActiveNetwork],
        guests: &[Guest],
        owners: &[OwnerStatus],
        counters: &[Vec<ForwardCounter>],
    ) -> Self {
        Self {
            networks: networks.iter().map(|one| network(one, guests)).collect(),
            guests: guests.to_vec(),
            forwards: counted_forwards(owners, counters).collect(),
            obstacles: Obstacles::default(),
        }
    }
}

/// The forwards of owners; `counters` has those of each owner's rules.
pub(super) fn counted_forwards<'a>(
    owners: &'a [OwnerStatus],
    counters: &'a [Vec<ForwardCounter>],
) -> impl Iterator<Item = CountedForward> + 'a {
    let forwards = owners.iter().enumerate().flat_map(|(index, owner)| {
        let counted = counters.get(index).into_iter().flatten().copied();
        // Those that lead to a guest come first, and only they are counted.
        let counted = counted.chain(std::iter::repeat(ForwardCounter::default()));
        rows(std::slice::from_ref(owner)).into_iter().zip(counted)
    });
    forwards.map(|(row, counters)| CountedForward {
        row,
        connections: counters.connections,
        packets: counters.traffic.map(|counter| counter.packets),
        bytes: counters.traffic.map(|counter| counter.bytes),
    })
}

fn network(active: &ActiveNetwork, guests: &[Guest]) -> NetworkStatus {
    let network = &active.network;
    let name = network.name.to_string();
    let is_on_it = |guest: &&Guest| {
        let mut nics = guest.nics.iter();
        nics.any(|nic| nic.network.as_ref() == Some(&name))
    };
    NetworkStatus {
        uuid: network.uuid.to_string(),
        mode: SegmentKind::from_network(network).name(),
        bridge: network.bridge.as_ref().map(ToString::to_string),
        addresses: active.addresses(),
        guests: guests.iter().filter(is_on_it).count(),
        policy: policy(active),
        problems: problems(active),
        name,
    }
}

fn policy(active: &ActiveNetwork) -> Option<PolicyStatus> {
    let (given, policy) = (active.given.as_ref()?, active.policy()?);
    let written = active.written_as_given();
    let mode = written.and_then(|written| written.written.mode);
    let rules = policy.rules.values().flatten();
    let rules: BTreeSet<usize> = rules.filter_map(|rule| rule.name.number()).collect();
    let antispoof = given.antispoof.iter();
    let antispoof = antispoof.flat_map(|antispoof| &antispoof.against);
    Some(PolicyStatus {
        mode: mode.map(|mode| match mode {
            Mode::Nat => "nat",
            Mode::Route => "route",
            Mode::Isolated => "isolated",
        }),
        inward: default(policy, Direction::In),
        outward: default(policy, Direction::Out),
        host: default(policy, Direction::ToHost),
        rules: rules.len(),
        antispoof: antispoof.copied().collect(),
        in_firewall: active.is_in_firewall,
    })
}

/// What the last word on packets of a direction is; where there is none, everything passes.
fn default(policy: &Policy, direction: Direction) -> Verdict {
    let mut rules = policy.rules.get(&direction).into_iter().flatten();
    let default = rules.find(|rule| rule.name.source == RuleSource::Default);
    default.map_or(Verdict::Accept, |rule| rule.verdict)
}
