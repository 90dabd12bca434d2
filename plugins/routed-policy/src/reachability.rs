//! What becomes of everything that can go from one place to another.

use crate::compile::nets_of;
use crate::evaluate::{Judge, Opinion, Party, Place, Purpose, Question, Stage};
use crate::packet::{PacketPath, Protocol, Routing};
use portero_libvirt::Network;
use portero_model::{Family, Policy, PortRange, Service, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of connections of one family from one place to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachability {
    /// What becomes of those that are for nothing that is named below.
    pub anything: Outcome,
    /// Services with another outcome, in the order of protocols and ports.
    pub services: Vec<(Service, Outcome)>,
}

/// What becomes of connections for one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The same whatever the addresses; those that are refused can be so in different ways.
    Always(Verdict),
    /// This, but some addresses, MAC addresses or interfaces can have it the other way.
    Mostly(Verdict),
}

/// Says what becomes of everything of a family that can go from one place to another, as far as
/// libvirt and portero have a say. Nothing where that is none of their business: within one place,
/// between the host and the outside, and where one of the places has no address of the family.
pub fn reachability<'a>(
    from: Place<'_>,
    to: Place<'_>,
    family: Family,
    routing: Routing,
    networks: &[Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Option<Reachability> {
    let is_network = |place: &Place<'_>| matches!(place, Place::Network(_));
    let is_possible = |place: &Place<'_>| match place {
        Place::Host | Place::Outside => true,
        Place::Network(network) => {
            let mut nets = nets_of(network).into_iter();
            let has_address = nets.any(|net| Family::from(net.addr()) == family);
            network.mode.is_routed_by_host() && network.bridge.is_some() && has_address
        }
    };
    let places = [from, to];
    if from == to || !places.iter().any(is_network) || !places.iter().all(is_possible) {
        return None;
    }
    let question = Question {
        from: Party::All(from),
        to: Party::All(to),
        family,
        path: PacketPath::Direct,
        stage: Stage::Opener,
        routing,
        networks,
    };
    let judges = question.judges(policy_of);
    let anything = outcome(&judges, Protocol::Other);
    let mut services: Vec<(Service, Outcome)> = classes(&judges, family)
        .into_iter()
        .map(|(service, protocol)| (service, outcome(&judges, protocol)))
        .collect();
    join(&mut services);
    // A type of ICMP is told even where it fares as anything does, if the other types do not.
    let others_differ = services.iter().any(|(service, outcome)| {
        matches!(service, Service::Icmp { kind: None, .. }) && *outcome != anything
    });
    services.retain(|(service, outcome)| {
        let is_type = matches!(service, Service::Icmp { kind: Some(_), .. });
        *outcome != anything || (others_differ && is_type)
    });
    Some(Reachability { anything, services })
}

/// What comes of all opinions together.
fn outcome(judges: &[Judge<'_>], protocol: Protocol) -> Outcome {
    let mut refusal = None;
    // Whether some packet is refused where most pass, and passes where most are refused.
    let (mut can_fail, mut can_pass) = (false, true);
    for judge in judges {
        let Opinion {
            verdict,
            exceptions,
            ..
        } = judge.opinion(Purpose::OfMany(protocol));
        if verdict == Verdict::Accept {
            can_fail |= exceptions.iter().any(|other| *other != Verdict::Accept);
        } else {
            can_pass &= exceptions.contains(&Verdict::Accept);
            refusal.get_or_insert(verdict);
        }
    }
    let verdict = refusal.unwrap_or(Verdict::Accept);
    let can_differ = if refusal.is_some() {
        can_pass
    } else {
        can_fail
    };
    if can_differ {
        Outcome::Mostly(verdict)
    } else {
        Outcome::Always(verdict)
    }
}

/// The services between which some compiled rule makes a difference, each with a packet of it.
fn classes(judges: &[Judge<'_>], family: Family) -> Vec<(Service, Protocol)> {
    // Where ranges of ports begin, and the first port after each.
    let mut starts: BTreeMap<portero_model::Protocol, BTreeSet<u32>> = BTreeMap::new();
    let mut kinds: BTreeSet<Option<u8>> = BTreeSet::new();
    for service in judges.iter().flat_map(Judge::services) {
        match service {
            Service::Ports { protocol, ports } => {
                for ports in [PortRange::ALL, ports.unwrap_or(PortRange::ALL)] {
                    let ends = [ports.start().into(), u32::from(ports.end()) + 1];
                    starts.entry(protocol).or_default().extend(ends);
                }
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
            let ports = some_ports(start, end);
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

/// Puts together what follows each other and has the same outcome.
fn join(services: &mut Vec<(Service, Outcome)>) {
    services.dedup_by(|(service, outcome), (before, outcome_before)| {
        let wider = both(*before, *service).filter(|_| outcome == outcome_before);
        *before = wider.unwrap_or(*before);
        wider.is_some()
    });
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
            let [ports, next] = [ports, next].map(|ports| ports.unwrap_or(PortRange::ALL));
            let ports = some_ports(ports.start(), next.end());
            Some(Service::Ports { protocol, ports })
        }
        // All types that are not named come first.
        (Service::Icmp { kind: None, .. }, Service::Icmp { .. }) => Some(before),
        _ => None,
    }
}

/// A range of ports as services have it, which is none where all ports are meant.
fn some_ports(start: u16, end: u16) -> Option<PortRange> {
    let ports = PortRange::new(start, end).ok();
    ports.filter(|ports| *ports != PortRange::ALL)
}
