//! What becomes of everything that can go from one place to another.

use crate::compile::nets_of;
use crate::explain::is_for;
use crate::{explain, At, Decider, Decision, End, Packet, PacketPath, Protocol, Routing};
use ipnet::IpNet;
use portero_libvirt::Network;
use portero_model::{
    Clause, Family, Judged, Named, Nets, Peer, Policy, PortRange, Service, Verdict, Way,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Where a connection begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The host itself.
    Host,
    /// Everything that is on no network that the host routes to.
    Outside,
    /// The guests of a network, with addresses of its own.
    Network(&'a Network),
}

/// What becomes of connections of one family from one place to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachability {
    /// What becomes of those that are for nothing that is named below.
    pub anything: Fate,
    /// Services with another fate, in the order of protocols and ports.
    pub services: Vec<(Service, Fate)>,
}

/// What becomes of connections for one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The same whatever the addresses; those that are refused can be so in different ways.
    Always(Verdict),
    /// This, but some addresses, MAC addresses or interfaces can have it the other way.
    Mostly(Verdict),
}

/// Whether a clause is about packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    No,
    Some,
    All,
}

/// Those who are asked about a packet, one after the other, until one refuses it.
enum Stage<'a> {
    /// A policy: its clauses in order, and whether the ends fit each; those that never do are left
    /// out.
    Policy(Vec<(&'a Clause, Fits)>),
    /// libvirt.
    Libvirt(Fate),
}

/// Says what becomes of everything of a family that can go from one place to another, as far as
/// libvirt and portero have a say. Nothing where that is none of their business: within one place,
/// between the host and the outside, and where one of the places has no address of the family.
pub fn reachability<'a>(
    from: Place<'a>,
    to: Place<'a>,
    family: Family,
    routing: Routing,
    networks: &'a [Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Option<Reachability> {
    if from == to {
        return None;
    }
    let packet = Packet {
        from: end(from, to, family)?,
        to: end(to, from, family)?,
        protocol: Protocol::Other,
        course: PacketPath::Direct,
        routing,
    };
    let is_local = [from, to].contains(&Place::Host);
    if routing == Routing::Off && !is_local {
        return Some(Reachability {
            anything: Fate::Always(Verdict::Drop),
            services: Vec::new(),
        });
    }
    let (out, into) = match (from, to) {
        (_, Place::Host) => (Way::ToHost, Way::In),
        (Place::Host, _) => (Way::Out, Way::FromHost),
        _ => (Way::Out, Way::In),
    };
    let stage = |guests: Place<'a>, way, peers| {
        let Place::Network(guests) = guests else {
            return None;
        };
        let clauses = policy_of(guests)?.ways.get(&way)?;
        Some(of_policy(clauses, guests, peers, family, networks))
    };
    let mut stages = Vec::new();
    stages.extend(stage(from, out, to));
    stages.extend(stage(to, into, from));
    // Policies that say nothing leave it to libvirt, as far as it is asked beside them.
    let silent = |network: &Network| policy_of(network).map(|_| &SILENT);
    let by_libvirt = explain(&packet, networks, &silent);
    stages.push(Stage::Libvirt(of_libvirt(&by_libvirt, [from, to])));
    let judge = |protocol| judge(&stages, protocol, family);
    let anything = judge(Protocol::Other);
    let services = classes(&stages, family)
        .into_iter()
        .map(|(service, protocol)| (service, judge(protocol)));
    let mut services = joined(services);
    // A type of ICMP is told even where it fares as anything does, if the other types do not.
    let others_differ = services.iter().any(|(service, fate)| {
        matches!(service, Service::Icmp { kind: None, .. }) && *fate != anything
    });
    services.retain(|(service, fate)| {
        *fate != anything
            || (others_differ && matches!(service, Service::Icmp { kind: Some(_), .. }))
    });
    Some(Reachability { anything, services })
}

/// One end of the packet by which libvirt is asked. It knows guests by their network's addresses, and
/// others by the interface that `<forward dev='...'/>` names.
fn end(place: Place<'_>, other: Place<'_>, family: Family) -> Option<End> {
    let (address, at) = match (place, other) {
        (Place::Host, _) => (unspecified(family), At::Host),
        (Place::Outside, Place::Network(network)) => {
            let dev = network.forward_dev.clone().unwrap_or_default();
            (unspecified(family), At::Behind(dev))
        }
        (Place::Outside, _) => return None,
        (Place::Network(network), _) if !network.mode.is_routed_by_host() => return None,
        (Place::Network(network), _) => {
            let mut nets = nets_of(network).into_iter();
            let net = nets.find(|net| Family::of(net.addr()) == family)?;
            (net.addr(), At::Behind(network.bridge.as_ref()?.to_string()))
        }
    };
    Some(End {
        address,
        at,
        mac: None,
    })
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::from([0; 4]),
        Family::Ipv6 => IpAddr::from([0; 16]),
    }
}

/// The policy of which nothing is known but that there is one.
static SILENT: Policy = Policy {
    bridge: String::new(),
    ways: BTreeMap::new(),
    nat: Vec::new(),
    neighbors: Vec::new(),
};

fn of_policy<'a>(
    clauses: &'a [Clause],
    guests: &Network,
    peers: Place<'_>,
    family: Family,
    networks: &[Network],
) -> Stage<'a> {
    let judged = |judged| clauses.iter().filter(move |clause| clause.judged == judged);
    let in_order = judged(Judged::EveryPacket).chain(judged(Judged::Opener));
    let fitting = in_order.map(|clause| (clause, fits(clause, guests, peers, family, networks)));
    let fitting = fitting.filter(|(_, fits)| *fits != Fits::No);
    Stage::Policy(fitting.collect())
}

/// Outside, a network with `<forward dev='...'/>` is open on that interface only.
fn of_libvirt(decision: &Decision, ends: [Place<'_>; 2]) -> Fate {
    let is_bound = decision.deciders.iter().any(|decider| match decider {
        Decider::Libvirt { network, .. } => ends.iter().any(|end| match end {
            Place::Network(end) => end.name == *network && end.forward_dev.is_some(),
            Place::Host | Place::Outside => false,
        }),
        _ => false,
    });
    let can_differ = decision.verdict == Verdict::Accept && ends.contains(&Place::Outside);
    if is_bound && can_differ {
        Fate::Mostly(decision.verdict)
    } else {
        Fate::Always(decision.verdict)
    }
}

fn judge(stages: &[Stage<'_>], asked: Protocol, family: Family) -> Fate {
    let mut refusal = None;
    // Whether some packet is refused where most pass, and passes where most are refused.
    let (mut can_fail, mut can_pass) = (false, true);
    for stage in stages {
        let (verdict, excepted) = match stage {
            Stage::Libvirt(Fate::Always(verdict)) => (*verdict, Vec::new()),
            Stage::Libvirt(Fate::Mostly(verdict)) => {
                (*verdict, vec![Verdict::Accept, Verdict::Reject])
            }
            Stage::Policy(clauses) => decided(clauses, asked, family),
        };
        if verdict == Verdict::Accept {
            can_fail |= excepted.iter().any(|verdict| *verdict != Verdict::Accept);
        } else {
            can_pass &= excepted.contains(&Verdict::Accept);
            refusal.get_or_insert(verdict);
        }
    }
    match (refusal, can_pass, can_fail) {
        (Some(verdict), true, _) => Fate::Mostly(verdict),
        (Some(verdict), false, _) => Fate::Always(verdict),
        (None, _, true) => Fate::Mostly(Verdict::Accept),
        (None, _, false) => Fate::Always(Verdict::Accept),
    }
}

/// The verdict of the first clause that is about all packets, and those of earlier ones that are
/// about some; what no clause is about passes.
fn decided(
    clauses: &[(&Clause, Fits)],
    asked: Protocol,
    family: Family,
) -> (Verdict, Vec<Verdict>) {
    let mut excepted = Vec::new();
    for (clause, ends) in clauses {
        match fits_service(clause, asked, family).min(*ends) {
            Fits::All => return (clause.verdict, excepted),
            Fits::Some => excepted.push(clause.verdict),
            Fits::No => {}
        }
    }
    (Verdict::Accept, excepted)
}

fn fits_service(clause: &Clause, asked: Protocol, family: Family) -> Fits {
    let fits = |service: &Service| match service {
        _ if !is_about(*service, family, asked) => Fits::No,
        Service::Icmp { code: Some(_), .. } => Fits::Some,
        _ => Fits::All,
    };
    one_of(clause.services.iter().map(fits))
}

/// Of several the best; where there are none, everything fits.
fn one_of(fits: impl Iterator<Item = Fits>) -> Fits {
    fits.max().unwrap_or(Fits::All)
}

/// Whether a clause is about what goes between these ends.
fn fits(
    clause: &Clause,
    guests: &Network,
    peers: Place<'_>,
    family: Family,
    networks: &[Network],
) -> Fits {
    if !clause.families.contains(&family) {
        return Fits::No;
    }
    let peer = |peer: &Peer| {
        let interface = peer.interface.as_ref();
        let interface = interface.map_or(Fits::All, |named| fits_name(named, peers, networks));
        let mac = peer.mac.as_ref().map_or(Fits::All, |_| Fits::Some);
        let nets = fits_nets(&peer.nets, peers, family, networks);
        nets.min(interface).min(mac)
    };
    let peers = one_of(clause.peers.iter().map(peer));
    fits_nets(&clause.guests, Place::Network(guests), family, networks).min(peers)
}

/// As for a packet, of whose ICMP the code is not known.
fn is_about(service: Service, family: Family, asked: Protocol) -> bool {
    let without_code = match service {
        Service::Icmp { family, kind, .. } => Service::Icmp {
            family,
            kind,
            code: None,
        },
        Service::Ports { .. } => service,
    };
    is_for(without_code, family, asked)
}

fn fits_nets(nets: &Nets, place: Place<'_>, family: Family, networks: &[Network]) -> Fits {
    match nets {
        Nets::Any => Fits::All,
        Nets::In(nets) => fits_list(nets, place, family, networks),
        Nets::NotIn(nets) => match fits_list(nets, place, family, networks) {
            Fits::All => Fits::No,
            Fits::Some => Fits::Some,
            Fits::No => Fits::All,
        },
    }
}

fn fits_list(nets: &[IpNet], place: Place<'_>, family: Family, networks: &[Network]) -> Fits {
    let is_of_family = |net: &IpNet| Family::of(net.addr()) == family;
    let nets: Vec<IpNet> = nets.iter().copied().filter(is_of_family).collect();
    let nets = IpNet::aggregate(&nets);
    let is_in = |net: &IpNet, nets: &[IpNet]| nets.iter().any(|wide| wide.contains(net));
    match place {
        _ if nets.is_empty() => Fits::No,
        _ if nets.iter().any(|net| net.prefix_len() == 0) => Fits::All,
        Place::Network(network) => {
            let mut own = nets_of(network);
            own.retain(is_of_family);
            if own.iter().all(|net| is_in(net, &nets)) {
                Fits::All
            } else if own.iter().any(|own| is_in(own, &nets))
                || nets.iter().any(|net| is_in(net, &own))
            {
                Fits::Some
            } else {
                Fits::No
            }
        }
        Place::Outside => {
            let inside: Vec<IpNet> = routed(networks).flat_map(nets_of).collect();
            if nets.iter().all(|net| is_in(net, &inside)) {
                Fits::No
            } else {
                Fits::Some
            }
        }
        Place::Host => Fits::Some,
    }
}

fn fits_name(named: &Named, place: Place<'_>, networks: &[Network]) -> Fits {
    let (Named::Is(name) | Named::IsNot(name)) = named;
    let bridges = |network: &Network| {
        let bridge = network.bridge.as_ref();
        bridge.is_some_and(|bridge| bridge.as_str() == name)
    };
    let fits = match place {
        Place::Network(network) if bridges(network) => Fits::All,
        Place::Network(_) => Fits::No,
        Place::Outside if routed(networks).any(bridges) => Fits::No,
        Place::Outside | Place::Host => Fits::Some,
    };
    match (named, fits) {
        (Named::Is(_), fits) => fits,
        (Named::IsNot(_), Fits::No) => Fits::All,
        (Named::IsNot(_), Fits::Some) => Fits::Some,
        (Named::IsNot(_), Fits::All) => Fits::No,
    }
}

fn routed(networks: &[Network]) -> impl Iterator<Item = &Network> {
    let networks = networks.iter();
    networks.filter(|network| network.mode.is_routed_by_host())
}

/// The services between which some clause makes a difference, each with a packet of it.
fn classes(stages: &[Stage<'_>], family: Family) -> Vec<(Service, Protocol)> {
    // Where ranges of ports begin, and the first port after each.
    let mut starts: BTreeMap<portero_model::Protocol, BTreeSet<u32>> = BTreeMap::new();
    let mut kinds: BTreeSet<Option<u8>> = BTreeSet::new();
    let clauses = stages.iter().flat_map(|stage| match stage {
        Stage::Policy(clauses) => clauses.as_slice(),
        Stage::Libvirt(_) => &[],
    });
    for service in clauses.flat_map(|(clause, _)| &clause.services) {
        match *service {
            Service::Ports { protocol, ports } => {
                let ports = ports.unwrap_or(PortRange::ALL);
                let ends = [ports.start().into(), u32::from(ports.end()) + 1];
                let every = [1, u32::from(u16::MAX) + 1];
                starts.entry(protocol).or_default().extend(ends);
                starts.entry(protocol).or_default().extend(every);
            }
            Service::Icmp {
                family: of, kind, ..
            } if of == family => kinds.extend([None, kind]),
            Service::Icmp { .. } => {}
        }
    }
    let mut classes = Vec::new();
    for (protocol, starts) in starts {
        let starts: Vec<u32> = starts.into_iter().collect();
        for pair in starts.windows(2) {
            let range = (u16::try_from(pair[0]), u16::try_from(pair[1] - 1));
            let (Ok(start), Ok(end)) = range else {
                continue;
            };
            let ports = PortRange::new(start, end).ok();
            let ports = ports.filter(|ports| *ports != PortRange::ALL);
            let service = Service::Ports { protocol, ports };
            classes.push((service, Protocol::Port(protocol, start)));
        }
    }
    let unnamed = (0..=u8::MAX).find(|kind| !kinds.contains(&Some(*kind)));
    for kind in &kinds {
        let service = Service::Icmp {
            family,
            kind: *kind,
            code: None,
        };
        if let Some(asked) = kind.or(unnamed) {
            classes.push((service, Protocol::Icmp(asked, 0)));
        }
    }
    classes
}

/// Puts together what follows each other and has the same fate.
fn joined(classes: impl Iterator<Item = (Service, Fate)>) -> Vec<(Service, Fate)> {
    let mut joined: Vec<(Service, Fate)> = Vec::new();
    for (service, fate) in classes {
        let wider = joined
            .last()
            .filter(|(_, before)| *before == fate)
            .and_then(|(before, _)| both(*before, service));
        match (wider, joined.last_mut()) {
            (Some(wider), Some(last)) => last.0 = wider,
            _ => joined.push((service, fate)),
        }
    }
    joined
}

fn both(before: Service, service: Service) -> Option<Service> {
    match (before, service) {
        (
            Service::Ports { protocol, ports },
            Service::Ports {
                protocol: same,
                ports: next,
            },
        ) if protocol == same => {
            let all = PortRange::ALL;
            let (ports, next) = (ports.unwrap_or(all), next.unwrap_or(all));
            let ports = PortRange::new(ports.start(), next.end()).ok();
            Some(Service::Ports {
                protocol,
                ports: ports.filter(|ports| *ports != all),
            })
        }
        // All types that are not named come first.
        (Service::Icmp { kind: None, .. }, Service::Icmp { .. }) => Some(before),
        _ => None,
    }
}
