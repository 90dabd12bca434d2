//! What there is to draw, as a value: made in one place, drawn by others.

use super::forwarded::note_forwards;
use super::reachability::{connections, Connections};
use super::sources::{problems, MapSources, SegmentKind};
use crate::status::{rows, Row};
use portero_model::{Family, OwnerKind};
use portero_system::{Interface, InterfaceKind};
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A host with its networks and who is on them.
#[derive(Debug, Serialize)]
pub(super) struct Map {
    /// The host's name.
    pub(super) host: String,
    /// Families whose packets the host passes on.
    pub(super) passes_on: Vec<Family>,
    /// Interfaces by which the host, or a bridge of it, reaches others than guests.
    pub(super) nics: Vec<MapNic>,
    /// Where guests are: bridges of the host first, then networks behind it.
    pub(super) segments: Vec<Segment>,
    /// Who may open connections to whom, through the host or to it.
    #[serde(rename = "passages")]
    pub(super) connections: Vec<Connections>,
}

/// An interface by which the host reaches others.
#[derive(Debug, Serialize)]
pub(super) struct MapNic {
    pub(super) name: String,
    /// What it is: `wired`, `wireless`, `bond`, `vlan`, `tap` or `virtual`.
    pub(super) kind: &'static str,
    /// Whether packets can go by it.
    pub(super) is_up: bool,
    /// The host's addresses on it, with their prefixes.
    pub(super) addresses: Vec<String>,
    /// A bond's members, a VLAN's interface.
    pub(super) lower: Vec<String>,
}

/// Guests that reach each other without the host's help.
#[derive(Debug, Default, Serialize)]
pub(super) struct Segment {
    /// The name of the network behind the host, or of the bridge or interface.
    pub(super) name: String,
    /// What it is.
    pub(super) kind: SegmentKind,
    /// libvirt's networks that lead here.
    pub(super) networks: Vec<String>,
    pub(super) bridge: Option<String>,
    /// Interfaces of [`Map::nics`] that are in it.
    pub(super) nics: Vec<String>,
    /// How many more ports the bridge has, of neither NICs nor guests that are known.
    pub(super) other_ports: usize,
    /// The host's addresses here, with their prefixes.
    pub(super) addresses: Vec<String>,
    /// Whether a network here was given a policy.
    pub(super) has_policy: bool,
    /// What is not as it should be.
    pub(super) problems: Vec<String>,
    /// Guests, in the order of their names.
    pub(super) guests: Vec<PlacedGuest>,
    /// Forwards that lead to an address here that no known guest has.
    pub(super) forwards: Vec<Row>,
}

/// A guest's place in a segment.
#[derive(Debug, Default, Serialize)]
pub(super) struct PlacedGuest {
    /// Its name; its UUID where it is not known.
    pub(super) name: String,
    pub(super) uuid: String,
    /// The MAC addresses of its interfaces here.
    pub(super) macs: Vec<String>,
    /// Its addresses here, as far as DHCP knows them.
    pub(super) addresses: Vec<String>,
    /// Other segments that it is in.
    pub(super) also_in: Vec<String>,
    /// Forwards that lead to it here.
    pub(super) forwards: Vec<Row>,
}

impl Map {
    /// Keeps where a guest is, without others there, or a network.
    pub(super) fn keep(&mut self, name: &str) {
        let is_network = |segment: &Segment| {
            segment.name == name || segment.networks.iter().any(|one| one == name)
        };
        for segment in &mut self.segments {
            if !is_network(segment) {
                segment.guests.retain(|guest| guest.name == name);
                segment.forwards.retain(|row| row.owner.name == name);
            }
        }
        self.segments
            .retain(|one| is_network(one) || !one.guests.is_empty());
        let names: BTreeSet<&str> = self.segments.iter().map(|one| one.name.as_str()).collect();
        self.connections
            .retain(|one| names.contains(one.from.name()) || names.contains(one.to.name()));
    }

    /// Puts together what is known.
    pub(super) fn new(sources: &MapSources) -> Self {
        let mut places = Places {
            sources,
            segments: Vec::new(),
        };
        places.add_networks();
        places.add_bridges();
        places.add_guests();
        for row in rows(&sources.owners) {
            places.add_forward(row);
        }
        places.count_ports();
        let mut segments: Vec<Segment> = places.segments.into_iter().map(|(_, one)| one).collect();
        segments.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        for segment in &mut segments {
            segment
                .guests
                .sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        }
        note_other_places(&mut segments);
        let mut connections = connections(sources);
        note_forwards(&mut connections, sources);
        Self {
            host: match sources.host.as_str() {
                "" => "host".to_owned(),
                name => name.to_owned(),
            },
            passes_on: sources.facts.passes_on.clone(),
            nics: nics(sources, &segments),
            connections,
            segments,
        }
    }

    /// `passes IPv4 and IPv6 on`: whether the host is a router.
    pub(super) fn routing(&self) -> String {
        let families: Vec<String> = self.passes_on.iter().map(ToString::to_string).collect();
        match families.as_slice() {
            [] => "passes nothing on".to_owned(),
            families => format!("passes {} on", families.join(" and ")),
        }
    }

    /// The interfaces that are in a segment.
    pub(super) fn nics_in<'a>(&'a self, segment: &'a Segment) -> impl Iterator<Item = &'a MapNic> {
        let nics = self.nics.iter();
        nics.filter(|nic| segment.nics.contains(&nic.name))
    }

    /// How many guests there are.
    pub(super) fn guest_count(&self) -> usize {
        let guests = self.segments.iter().flat_map(|segment| &segment.guests);
        let uuids: BTreeSet<&str> = guests.map(|guest| guest.uuid.as_str()).collect();
        uuids.len()
    }

    /// How many forwards there are.
    pub(super) fn forward_count(&self) -> usize {
        self.segments.iter().map(Segment::forward_count).sum()
    }
}

impl Segment {
    /// How many forwards lead here.
    pub(super) fn forward_count(&self) -> usize {
        let of_guests = self.guests.iter().map(|guest| guest.forwards.len());
        of_guests.sum::<usize>() + self.forwards.len()
    }

    /// The guest of this UUID, made if it is not there.
    fn guest(&mut self, uuid: String, name: impl FnOnce() -> String) -> &mut PlacedGuest {
        let found = self.guests.iter().position(|guest| guest.uuid == uuid);
        let index = found.unwrap_or_else(|| {
            self.guests.push(PlacedGuest {
                name: name(),
                uuid,
                ..PlacedGuest::default()
            });
            self.guests.len() - 1
        });
        &mut self.guests[index]
    }

    fn holds(&self, address: IpAddr) -> bool {
        let nets = self.addresses.iter().map(|net| net.parse::<ipnet::IpNet>());
        nets.flatten().any(|net| net.contains(&address))
    }
}

/// What a segment is known by.
#[derive(Debug, PartialEq, Eq)]
enum SegmentKey {
    /// A network behind the host, or one without a bridge; its name.
    Network(String),
    Bridge(String),
    Nic(String),
    Elsewhere,
}

/// Segments while they are found.
struct Places<'a> {
    sources: &'a MapSources,
    segments: Vec<(SegmentKey, Segment)>,
}

impl Places<'_> {
    fn segment_at(&mut self, key: SegmentKey, kind: SegmentKind) -> &mut Segment {
        let found = self.segments.iter().position(|(known, _)| *known == key);
        let index = found.unwrap_or_else(|| {
            let name = match &key {
                SegmentKey::Network(name) | SegmentKey::Bridge(name) | SegmentKey::Nic(name) => {
                    name
                }
                SegmentKey::Elsewhere => "other guests",
            };
            let segment = Segment {
                name: name.to_owned(),
                kind,
                ..Segment::default()
            };
            self.segments.push((key, segment));
            self.segments.len() - 1
        });
        &mut self.segments[index].1
    }

    fn interface(&self, name: &str) -> Option<&Interface> {
        let mut interfaces = self.sources.interfaces.iter();
        interfaces.find(|interface| interface.name == name)
    }

    fn add_networks(&mut self) {
        for active in &self.sources.networks {
            let network = &active.network;
            let name = network.name.to_string();
            let kind = SegmentKind::from_network(network);
            let bridge = network.bridge.as_ref().map(ToString::to_string);
            let key = match (kind, &bridge) {
                (SegmentKind::Bridge, Some(bridge)) => SegmentKey::Bridge(bridge.clone()),
                _ => SegmentKey::Network(name.clone()),
            };
            let contradictions = self.sources.contradictions.get(&name);
            let contradictions = contradictions.cloned().unwrap_or_default();
            let segment = self.segment_at(key, kind);
            segment.networks.push(name);
            segment.bridge = bridge;
            segment.has_policy |= active.policy().is_some();
            segment.problems.extend(problems(active));
            segment.problems.extend(contradictions);
            if kind == SegmentKind::Direct {
                segment.nics.extend(network.forward_dev.clone());
            }
            segment.addresses.extend(active.addresses());
        }
    }

    /// Bridges of the host that no network behind it has.
    fn add_bridges(&mut self) {
        for bridge in &self.sources.interfaces {
            let is_known = self.segments.iter().any(|(_, segment)| {
                segment.kind.is_behind_host() && segment.bridge.as_ref() == Some(&bridge.name)
            });
            if bridge.kind != InterfaceKind::Bridge || is_known {
                continue;
            }
            let segment =
                self.segment_at(SegmentKey::Bridge(bridge.name.clone()), SegmentKind::Bridge);
            segment.bridge = Some(bridge.name.clone());
            segment.addresses = bridge.addresses.iter().map(ToString::to_string).collect();
        }
    }

    fn add_guests(&mut self) {
        for guest in &self.sources.guests {
            let (uuid, name) = (guest.uuid.to_string(), || guest.shown_name());
            if guest.nics.is_empty() {
                let segment = self.segment_at(SegmentKey::Elsewhere, SegmentKind::Elsewhere);
                segment.guest(uuid.clone(), name);
            }
            for nic in &guest.nics {
                let segment = self.segment_of_nic(nic);
                let place = segment.guest(uuid.clone(), name);
                place.macs.push(nic.mac.to_string());
                let addresses = nic.addresses.iter().map(ToString::to_string);
                place.addresses.extend(addresses);
            }
        }
    }

    /// Where an interface of a guest's leads: to its network, or to what the host's end is in.
    fn segment_of_nic(&mut self, nic: &portero_inventory::GuestNic) -> &mut Segment {
        let target = nic.target.as_ref();
        let target = target.and_then(|target| self.interface(target.as_str()));
        let bridge = target.and_then(|target| target.master.as_ref());
        let is_here = |segment: &Segment| match &nic.network {
            Some(name) => segment.networks.contains(name),
            None => bridge.is_some() && segment.bridge.as_ref() == bridge,
        };
        let mut segments = self.segments.iter();
        if let Some(index) = segments.position(|(_, segment)| is_here(segment)) {
            return &mut self.segments[index].1;
        }
        let (key, kind) = match target {
            Some(Interface {
                master: Some(bridge),
                ..
            }) => (SegmentKey::Bridge(bridge.clone()), SegmentKind::Bridge),
            Some(Interface { lower, .. }) if !lower.is_empty() => {
                (SegmentKey::Nic(lower[0].clone()), SegmentKind::Direct)
            }
            _ => (SegmentKey::Elsewhere, SegmentKind::Elsewhere),
        };
        let segment = self.segment_at(key, kind);
        if kind == SegmentKind::Direct && !segment.nics.contains(&segment.name) {
            segment.nics.push(segment.name.clone());
        }
        segment
    }

    /// A forward is drawn at the guest that has its address; one that waits for an address, at the
    /// guest's first place behind the host.
    fn add_forward(&mut self, row: Row) {
        let address = row.guest.map(|(address, _)| address);
        let written = address.map(|address| address.to_string());
        let has_it = |guest: &PlacedGuest| {
            let mut addresses = guest.addresses.iter();
            addresses.any(|address| Some(address) == written.as_ref())
        };
        if row.owner.kind == OwnerKind::Network {
            let mut segments = self.segments.iter();
            let network = segments.position(|(_, one)| one.networks.contains(&row.owner.name));
            let segment = match network {
                Some(index) => &mut self.segments[index].1,
                None => self.segment_at(SegmentKey::Elsewhere, SegmentKind::Elsewhere),
            };
            let mut guests = segment.guests.iter_mut();
            match guests.find(|guest| has_it(guest)) {
                Some(guest) => guest.forwards.push(row),
                None => segment.forwards.push(row),
            }
            return;
        }
        let uuid = row.owner.uuid.to_string();
        let fit = |segment: &Segment| {
            let guest = segment.guests.iter().find(|guest| guest.uuid == uuid)?;
            let could = address.is_some_and(|address| segment.holds(address));
            Some((has_it(guest), could, segment.kind.is_behind_host()))
        };
        let fits = self.segments.iter().enumerate();
        let fits = fits.filter_map(|(index, (_, segment))| Some((fit(segment)?, index)));
        let best = fits.max_by_key(|(fit, index)| (*fit, std::cmp::Reverse(*index)));
        let segment = match best {
            Some((_, index)) => &mut self.segments[index].1,
            // It is just starting, or libvirt does not know it any more.
            None => self.segment_at(SegmentKey::Elsewhere, SegmentKind::Elsewhere),
        };
        let name = row.owner.name.clone();
        let guest = segment.guest(uuid, || name);
        guest.forwards.push(row);
    }

    /// Tells the ports of bridges apart.
    fn count_ports(&mut self) {
        let nics = self.sources.guests.iter().flat_map(|guest| &guest.nics);
        let taps = nics.filter_map(|nic| Some(nic.target.as_ref()?.as_str()));
        let taps: Vec<&str> = taps.collect();
        for (_, segment) in &mut self.segments {
            let Some(bridge) = &segment.bridge else {
                continue;
            };
            let has_guests = !segment.networks.is_empty() || !segment.guests.is_empty();
            for port in &self.sources.interfaces {
                if port.master.as_ref() != Some(bridge) || taps.contains(&port.name.as_str()) {
                    continue;
                }
                // A veth pair leads to a container, or, where the host is one, to its LAN.
                match port.kind {
                    InterfaceKind::Tap => segment.other_ports += 1,
                    InterfaceKind::Virtual if !has_guests => segment.other_ports += 1,
                    _ => segment.nics.push(port.name.clone()),
                }
            }
        }
    }
}

fn note_other_places(segments: &mut [Segment]) {
    let places = segments.iter().flat_map(|segment| {
        let guests = segment.guests.iter();
        guests.map(|guest| (guest.uuid.clone(), segment.name.clone()))
    });
    let places: Vec<(String, String)> = places.collect();
    for segment in segments {
        for guest in &mut segment.guests {
            let others = places
                .iter()
                .filter(|(uuid, name)| *uuid == guest.uuid && *name != segment.name);
            guest.also_in = others.map(|(_, name)| name.clone()).collect();
        }
    }
}

/// Interfaces that lead to others than guests: those in bridges, and those by which the host itself
/// is reached.
fn nics(sources: &MapSources, segments: &[Segment]) -> Vec<MapNic> {
    let is_in_segment = |name: &String| segments.iter().any(|one| one.nics.contains(name));
    let is_in_bond = |interface: &Interface| {
        let mut bonds = sources.interfaces.iter();
        bonds.any(|bond| {
            bond.kind == InterfaceKind::Bond && Some(&bond.name) == interface.master.as_ref()
        })
    };
    let nic = |interface: &Interface| {
        let (kind, is_drawn) = match interface.kind {
            InterfaceKind::Bridge | InterfaceKind::Loopback => return None,
            InterfaceKind::Wired => ("wired", true),
            InterfaceKind::Wireless => ("wireless", true),
            InterfaceKind::Bond => ("bond", true),
            InterfaceKind::Vlan => ("vlan", true),
            InterfaceKind::Tap => ("tap", !interface.addresses.is_empty()),
            InterfaceKind::Virtual => ("virtual", !interface.addresses.is_empty()),
        };
        let is_drawn = is_drawn && !is_in_bond(interface);
        let addresses = interface.addresses.iter();
        (is_drawn || is_in_segment(&interface.name)).then(|| MapNic {
            name: interface.name.clone(),
            kind,
            is_up: interface.is_up,
            addresses: addresses.map(ToString::to_string).collect(),
            lower: interface.lower.clone(),
        })
    };
    sources.interfaces.iter().filter_map(nic).collect()
}
