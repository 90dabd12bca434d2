//! Gathers what is known of a port of the host and of the way behind it. Nothing is changed; the
//! guest is asked for its address and for its port.

use super::find::{self, DnatMatch};
use super::value::{Asked, Domain, Facts, GuestPath, Network, Nic, Wanted};
use crate::doctor::{misplaced, troubles};
use crate::policy::{end, rulings};
use portero_engine::{ApplyError, Engine};
use portero_inventory::{
    ActiveNetwork, DesiredForwards, Guest, ObjectState, OwnerStatus, Snapshot,
};
use portero_inventory::{Answer, Heard};
use portero_libvirt::{ForwardMode, Subnet};
use portero_model::{Family, Owner, OwnerKind, Protocol, Verdict};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_system::{Deadline, Linux, Paths, RouteLookup};
use portero_trace::{judge, Leg, Packet as Forwarded};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for the guest's port; the kernel asks again after one second, and after three.
const ANSWER: Duration = Duration::from_millis(3500);

/// Longest wait for ICMP after a datagram.
const REFUSAL: Duration = Duration::from_millis(800);

/// Longest time to read everybody's rules.
const RULES: Duration = Duration::from_secs(10);

/// Who any machine outside may be: addresses that nobody has (RFC 5737, RFC 3849).
const ANYBODY: [(Family, IpAddr); 2] = [
    (
        Family::Ipv4,
        IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)),
    ),
    (
        Family::Ipv6,
        IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ),
];

/// What the host has, whatever is asked.
struct Known {
    desired: Vec<DesiredForwards>,
    owners: Vec<OwnerStatus>,
    networks: Vec<ActiveNetwork>,
    guests: Vec<Guest>,
    own: Vec<(String, IpAddr)>,
}

impl Known {
    /// What an object wants.
    fn desired_of(&self, uuid: Uuid) -> Option<&DesiredForwards> {
        self.desired.iter().find(|one| one.owner.uuid == uuid)
    }
}

/// Gathers everything.
pub(super) fn facts(asked: Asked, engine: &mut Engine<'_>) -> Result<Facts, ApplyError> {
    let addresses = Linux::interfaces().into_iter().flat_map(|one| {
        let name = one.name;
        let addresses = one.addresses.into_iter();
        addresses.map(move |net| (name.clone(), net.addr()))
    });
    let mut snapshot = Snapshot::take(engine)?;
    let known = Known {
        own: addresses.collect(),
        networks: snapshot.networks(),
        owners: snapshot.owners()?,
        desired: snapshot.desired_forwards()?,
        guests: snapshot.guests()?,
    };
    let forwards = find::who_wants(&asked, &known.desired);
    let matched = find::dnat_match(&asked, &known.owners);
    let wanted = match (&matched, forwards) {
        (Some((_, owner)), _) => {
            let forwards = known.desired_of(owner.uuid);
            Wanted::Given {
                owner: owner.clone(),
                state: forwards.map_or(ObjectState::Running, |forwards| forwards.state),
            }
        }
        (None, Some(forwards)) => {
            let refusal = snapshot.refusal(forwards);
            let networks: Vec<&str> = known
                .networks
                .iter()
                .map(|one| one.network.name.as_str())
                .collect();
            find::wanted(
                &asked,
                forwards,
                &known.owners,
                &known.guests,
                &networks,
                refusal.as_ref().map(Into::into),
            )
        }
        (None, None) => unclear(&known.desired),
    };
    let (host, backends) = (snapshot.host_facts(), snapshot.backends());
    // Events of libvirt's wait for it, and the guest may take seconds to answer.
    drop(snapshot);
    let troubles = troubles(
        &host,
        &portero_inventory::daemons(),
        &portero_inventory::hook_links(&Paths::default()),
        &known.desired,
    );
    let hooks = troubles.into_iter().next();
    let backend = misplaced(backends);
    let way = match matched {
        Some((matched, owner)) => Some(way(&asked, &matched, &owner, &known, engine)?),
        None => None,
    };
    let family = asked.address.map_or(Family::Ipv4, Family::from);
    let outer = outer(&known, family).next().map(|(name, _)| name.clone());
    Ok(Facts {
        outer,
        own: known.own,
        asked,
        wanted,
        hooks,
        backend,
        way,
    })
}

/// Nobody wants the port, unless it is somebody whose metadata is wrong.
fn unclear(desired: &[DesiredForwards]) -> Wanted {
    let mut desired = desired
        .iter()
        .filter(|forwards| forwards.state != ObjectState::Off);
    let problem = desired.find_map(|forwards| forwards.written.as_ref().err());
    problem.map_or(Wanted::Nobody, |problem| Wanted::Unclear {
        problem: problem.to_string(),
    })
}

fn way(
    asked: &Asked,
    matched: &DnatMatch,
    owner: &Owner,
    known: &Known,
    engine: &mut Engine<'_>,
) -> Result<GuestPath, ApplyError> {
    let family = Family::from(matched.guest);
    let route = engine.route_lookup(matched.guest)?;
    let back = match asked.from {
        Some(from) => Some(engine.route_lookup(from)?),
        None => None,
    };
    let outside = outside(asked, matched, known, back.as_ref(), engine)?;
    let network = network(matched.guest, known);
    let domain = domain(matched, owner, network.as_ref(), known);
    let anybody = ANYBODY.iter().find(|(of, _)| *of == family);
    let somebody = matched.source.map(|source| source.addr());
    let client = asked
        .from
        .or(somebody)
        .or(anybody.map(|(_, address)| *address));
    let passes_on = engine.system.passes_on(family);
    let packet = |from: End, path| Packet {
        from,
        to: end(matched.guest, route.clone()),
        protocol: Service::Port(asked.protocol, matched.port),
        path,
        routing: if passes_on { Routing::On } else { Routing::Off },
    };
    let from = End {
        address: client.unwrap_or(matched.guest),
        at: At::Behind(outside.clone().unwrap_or_default()),
        mac: None,
    };
    let host = End {
        address: network
            .as_ref()
            .map_or(matched.guest, |network| network.gateway),
        at: At::Host,
        mac: None,
    };
    let (to_guest, _) = rulings(&packet(host, PacketPath::Direct), &known.networks);
    let settings = portero_inventory::settings(&Paths::default());
    let rules = portero_inventory::foreign_rules(Deadline::after(RULES));
    let inside = match (&network, &route) {
        (Some(network), _) => network.bridge.clone(),
        (None, RouteLookup::Behind { interface, .. }) => interface.clone(),
        (None, _) => String::new(),
    };
    let others = [Leg::There, Leg::Back].map(|leg| {
        let packet = Forwarded {
            protocol: asked.protocol,
            leg,
            outside: outside.clone(),
            inside: inside.clone(),
            client: asked.from,
            host: asked.address.or(matched.address),
            host_port: asked.port,
            guest: matched.guest,
            guest_port: matched.port,
        };
        let judgement = judge(&rules, &packet);
        (packet, judgement)
    });
    let to = SocketAddr::new(matched.guest, matched.port);
    let ask = |network: &Option<Network>| match network {
        Some(network) => {
            portero_inventory::who_has(matched.guest, Some(network.gateway), &network.bridge)
        }
        None => Heard::NotAsked,
    };
    // The kernel's own neighbour discovery, which IPv6 is left to, comes with the connection.
    let early = matched.guest.is_ipv4().then(|| ask(&network));
    let is_gone = early == Some(Heard::Macs(Vec::new()));
    let answer = match asked.protocol {
        _ if is_gone => Answer::NotAsked,
        Protocol::Tcp => portero_inventory::ask_tcp(None, to, ANSWER),
        Protocol::Udp => portero_inventory::ask_udp(to, REFUSAL),
        Protocol::Sctp => Answer::NotAsked,
    };
    let is_there =
        asked.protocol == Protocol::Tcp && [Answer::Answered, Answer::Refused].contains(&answer);
    let beyond = source_beyond(asked, matched, known).filter(|_| is_there);
    let answer_beyond =
        beyond.map(|beyond| (beyond, portero_inventory::ask_tcp(Some(beyond), to, ANSWER)));
    let heard = early.unwrap_or_else(|| ask(&network));
    let mut macs = Vec::new();
    for guest in &known.guests {
        let name = guest
            .name
            .as_ref()
            .map_or_else(|| guest.uuid.to_string(), ToString::to_string);
        let nics = guest.nics.iter();
        macs.extend(nics.map(|nic| (nic.mac.to_string(), name.clone())));
    }
    let forwards = known.desired_of(owner.uuid);
    let reverse_path_filter = match (&outside, family) {
        (Some(dev), Family::Ipv4) => portero_inventory::reverse_path_filter(dev),
        _ => None,
    };
    Ok(GuestPath {
        address: matched.address,
        written: forwards.and_then(|forwards| find::written(asked, forwards)),
        guest: matched.guest,
        port: matched.port,
        is_in_firewall: matched.is_in_firewall,
        passes_on,
        rulings: rulings(&packet(from, PacketPath::Forwarded), &known.networks),
        others: others.to_vec(),
        settings,
        unread: rules.unread,
        domain,
        heard,
        others_macs: macs,
        answer,
        answer_beyond,
        host_is_kept_out: to_guest.verdict != Verdict::Accept,
        back,
        reverse_path_filter,
        network,
        route,
        outside,
    })
}

/// The interface towards the client: the forward's own, the way to the client, the interface of the
/// host's address, or the way to everybody.
fn outside(
    asked: &Asked,
    matched: &DnatMatch,
    known: &Known,
    back: Option<&RouteLookup>,
    engine: &mut Engine<'_>,
) -> Result<Option<String>, ApplyError> {
    if matched.dev.is_some() {
        return Ok(matched.dev.clone());
    }
    if let Some(RouteLookup::Behind { interface, .. }) = back {
        return Ok(Some(interface.clone()));
    }
    let address = asked.address.or(matched.address);
    let mut own = known.own.iter();
    let is_it = |(_, own): &&(String, IpAddr)| Some(*own) == address && !own.is_loopback();
    if let Some((name, _)) = own.find(is_it) {
        return Ok(Some(name.clone()));
    }
    let family = Family::from(matched.guest);
    for (_, anybody) in ANYBODY.iter().filter(|(of, _)| *of == family) {
        if let RouteLookup::Behind { interface, .. } = engine.route_lookup(*anybody)? {
            return Ok(Some(interface));
        }
    }
    let mut outer = outer(known, family);
    Ok(outer.next().map(|(name, _)| name.clone()))
}

/// Addresses of the host that are neither its own alone nor towards guests.
fn outer(known: &Known, family: Family) -> impl Iterator<Item = &(String, IpAddr)> {
    known.own.iter().filter(move |(name, address)| {
        let mut networks = known.networks.iter();
        let is_bridge = networks.any(|one| one.network.has_bridge(name));
        Family::from(*address) == family && !address.is_loopback() && !is_bridge
    })
}

/// An address of the host that the guest answers by its router alone.
fn source_beyond(asked: &Asked, matched: &DnatMatch, known: &Known) -> Option<IpAddr> {
    let all: Vec<IpAddr> = outer(known, Family::from(matched.guest))
        .map(|(_, address)| *address)
        .collect();
    let named = asked.address.filter(|address| all.contains(address));
    named.or(all.first().copied())
}

fn holds(subnet: &Subnet, address: IpAddr) -> bool {
    ipnet::IpNet::new(subnet.address, subnet.prefix).is_ok_and(|net| net.contains(&address))
}

fn network(guest: IpAddr, known: &Known) -> Option<Network> {
    known.networks.iter().find_map(|one| {
        let network = &one.network;
        let mut subnets = network.subnets.iter();
        let subnet = subnets.find(|subnet| holds(subnet, guest))?;
        let bridge = network.bridge.as_ref()?.to_string();
        Some(Network {
            name: network.name.to_string(),
            link: portero_inventory::link(&bridge),
            bridge,
            gateway: subnet.address,
            is_isolated: network.mode == ForwardMode::Isolated,
        })
    })
}

/// The owner, or, of a network's forward, the guest that DHCP gives the address.
fn domain(
    matched: &DnatMatch,
    owner: &Owner,
    network: Option<&Network>,
    known: &Known,
) -> Option<Domain> {
    let has_address = |guest: &&Guest| {
        let mut nics = guest.nics.iter();
        nics.any(|nic| nic.addresses.contains(&matched.guest))
    };
    let guest = match owner.kind {
        OwnerKind::Domain => known.guests.iter().find(|guest| guest.uuid == owner.uuid),
        OwnerKind::Network => known.guests.iter().find(has_address),
    }?;
    let forwards = known.desired_of(guest.uuid);
    let nics = guest.nics.iter().filter(|nic| {
        network.is_none_or(|network| nic.network.as_deref() == Some(network.name.as_str()))
    });
    Some(Domain {
        name: guest.name.as_ref()?.to_string(),
        state: forwards.map_or(ObjectState::Running, |forwards| forwards.state),
        nics: nics
            .map(|nic| Nic {
                mac: nic.mac.to_string(),
                tap: nic
                    .target
                    .as_ref()
                    .map(|tap| (tap.to_string(), portero_inventory::link(tap.as_str()))),
                addresses: nic.addresses.clone(),
            })
            .collect(),
    })
}
