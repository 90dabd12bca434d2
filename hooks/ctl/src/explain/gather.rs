//! Gathers what is known of a port of the host and of the way behind it. Nothing is changed; the
//! guest is asked for its address and for its port.

use super::find::{self, DnatMatch};
use super::value::{Asked, DomainNic, Facts, GuestDomain, GuestNetwork, GuestPath, Wanted};
use crate::doctor::{misplaced, troubles};
use crate::policy::{end, rulings};
use portero_engine::{ApplyError, Engine};
use portero_inventory::{
    ask_tcp, ask_udp, daemons, foreign_rules, hook_links, link, settings, who_has, ActiveNetwork,
    Answer, DesiredForwards, Guest, ObjectState, OwnerStatus, Snapshot,
};
use portero_libvirt::{Driver, ForwardMode};
use portero_model::{Family, OwnerKind, Protocol, Verdict};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_system::{Deadline, Linux, Paths, RouteLookup};
use portero_trace::{judge, ForwardedPacket, Leg};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for the guest's port; the kernel asks again after one second, and after three.
const ANSWER: Duration = Duration::from_millis(3500);

/// Longest wait for ICMP after a datagram.
const REFUSAL: Duration = Duration::from_millis(800);

/// Longest time to read everybody's rules.
const RULES: Duration = Duration::from_secs(10);

/// Who any machine outside may be: an address that nobody has (RFC 5737, RFC 3849).
fn anybody(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(198, 51, 100, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// What the host has, whatever is asked.
struct HostView {
    desired: Vec<DesiredForwards>,
    owners: Vec<OwnerStatus>,
    networks: Vec<ActiveNetwork>,
    guests: Vec<Guest>,
    own: Vec<(String, IpAddr)>,
}

impl HostView {
    /// What an object wants.
    fn desired_of(&self, uuid: Uuid) -> Option<&DesiredForwards> {
        self.desired.iter().find(|one| one.owner.uuid == uuid)
    }

    fn state_of(&self, uuid: Uuid) -> ObjectState {
        let desired = self.desired_of(uuid);
        desired.map_or(ObjectState::Running, |desired| desired.state)
    }
}

/// Gathers everything.
pub(super) fn facts(asked: Asked, engine: &mut Engine<'_>) -> Result<Facts, ApplyError> {
    let addresses = Linux::interfaces().into_iter().flat_map(|one| {
        let addresses = one.addresses.into_iter();
        addresses.map(move |net| (one.name.clone(), net.addr()))
    });
    let mut snapshot = Snapshot::take(engine)?;
    let known = HostView {
        own: addresses.collect(),
        networks: snapshot.networks(),
        owners: snapshot.owners()?,
        desired: snapshot.desired_forwards()?,
        guests: snapshot.guests()?,
    };
    let forwards = find::who_wants(&asked, &known.desired);
    let matched = find::find_dnat(&asked, &known.owners);
    let wanted = match (&matched, forwards) {
        (Some(DnatMatch { owner, .. }), _) => Wanted::Given {
            owner: (*owner).clone(),
            state: known.state_of(owner.uuid),
        },
        (None, Some(forwards)) => {
            let refusal = snapshot.refusal(forwards);
            let networks = known.networks.iter();
            let networks: Vec<&str> = networks.map(|one| one.network.name.as_str()).collect();
            let (owners, guests) = (&known.owners, &known.guests);
            let refusal = refusal.as_ref().map(Into::into);
            find::find_outcome(&asked, forwards, owners, guests, &networks, refusal)
        }
        (None, None) => unclear(&known.desired),
    };
    let (host, backends) = (snapshot.host_facts(), snapshot.backends());
    // Events of libvirt's wait for it, and the guest may take seconds to answer.
    drop(snapshot);
    let links = hook_links(&Paths::default());
    let troubles = troubles(&host, &daemons(), &links, &known.desired);
    let hooks = troubles.into_iter().next();
    let backend = misplaced(backends);
    let way = matched.map(|matched| way(&asked, &matched, &known, engine));
    let way = way.transpose()?;
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
    let active = desired.iter().filter(|one| one.state != ObjectState::Off);
    let mut problems = active.filter_map(|one| one.written.as_ref().err());
    let problem = problems.next().map(ToString::to_string);
    problem.map_or(Wanted::Nobody, |problem| Wanted::Unclear { problem })
}

fn way(
    asked: &Asked,
    matched: &DnatMatch<'_>,
    known: &HostView,
    engine: &mut Engine<'_>,
) -> Result<GuestPath, ApplyError> {
    let (owner, guest) = (matched.owner, matched.dnat.guest);
    let family = Family::from(guest);
    let route = engine.route_lookup(guest)?;
    let back = asked.from.map(|from| engine.route_lookup(from));
    let back = back.transpose()?;
    let outside = outside(asked, matched, known, back.as_ref(), engine)?;
    let network = network(guest, known);
    let domain = domain(matched, network.as_ref(), known);
    let somebody = matched.dnat.source.map(|source| source.addr());
    let client = asked.from.or(somebody).unwrap_or(anybody(family));
    let passes_on = engine.system.passes_on(family);
    let packet = |from: End, path| Packet {
        from,
        to: end(guest, route.clone()),
        protocol: Service::Port(asked.protocol, matched.port),
        path,
        routing: if passes_on { Routing::On } else { Routing::Off },
    };
    let from = End {
        address: client,
        at: At::Behind(outside.clone().unwrap_or_default()),
        mac: None,
    };
    let gateway = network.as_ref().map(|network| network.gateway);
    let host = End {
        address: gateway.unwrap_or(guest),
        at: At::Host,
        mac: None,
    };
    let (to_guest, _) = rulings(&packet(host, PacketPath::Direct), &known.networks);
    let rules = foreign_rules(Deadline::after(RULES));
    let inside = match (&network, &route) {
        (Some(network), _) => network.bridge.clone(),
        (None, RouteLookup::Behind { interface, .. }) => interface.clone(),
        (None, _) => String::new(),
    };
    let others = [Leg::There, Leg::Back].map(|leg| {
        let packet = ForwardedPacket {
            protocol: asked.protocol,
            leg,
            outside: outside.clone(),
            inside: inside.clone(),
            client: asked.from,
            host: asked.address.or(matched.dnat.address),
            host_port: asked.port,
            guest,
            guest_port: matched.port,
        };
        let judgement = judge(&rules, &packet);
        (packet, judgement)
    });
    let to = SocketAddr::new(guest, matched.port);
    let ask = || {
        let network = network.as_ref()?;
        who_has(guest, network.gateway, &network.bridge)
    };
    // The kernel's own neighbour discovery, which IPv6 is left to, comes with the connection.
    let early = guest.is_ipv4().then(ask);
    let is_gone = early == Some(Some(Vec::new()));
    let answer = match asked.protocol {
        _ if is_gone => Answer::NotAsked,
        Protocol::Tcp => ask_tcp(None, to, ANSWER),
        Protocol::Udp => ask_udp(to, REFUSAL),
        Protocol::Sctp => Answer::NotAsked,
    };
    let is_there =
        asked.protocol == Protocol::Tcp && [Answer::Answered, Answer::Refused].contains(&answer);
    let beyond = source_beyond(asked, matched, known).filter(|_| is_there);
    let answer_beyond = beyond.map(|beyond| (beyond, ask_tcp(Some(beyond), to, ANSWER)));
    let heard = early.unwrap_or_else(ask);
    let macs = known.guests.iter().flat_map(|guest| {
        let nics = guest.nics.iter();
        nics.map(|nic| (nic.mac.to_string(), guest.shown_name()))
    });
    let forwards = known.desired_of(owner.uuid);
    let reverse_path_filter = match (&outside, family) {
        (Some(dev), Family::Ipv4) => portero_inventory::reverse_path_filter(dev),
        _ => None,
    };
    Ok(GuestPath {
        address: matched.dnat.address,
        written: forwards.and_then(|forwards| find::find_written(asked, forwards)),
        guest,
        port: matched.port,
        is_in_firewall: matched.is_in_firewall,
        passes_on,
        rulings: rulings(&packet(from, PacketPath::Forwarded), &known.networks),
        others: others.to_vec(),
        settings: settings(&Paths::default()),
        unread: rules.unread,
        domain,
        heard,
        others_macs: macs.collect(),
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
    matched: &DnatMatch<'_>,
    known: &HostView,
    back: Option<&RouteLookup>,
    engine: &mut Engine<'_>,
) -> Result<Option<String>, ApplyError> {
    if matched.dnat.dev.is_some() {
        return Ok(matched.dnat.dev.clone());
    }
    if let Some(RouteLookup::Behind { interface, .. }) = back {
        return Ok(Some(interface.clone()));
    }
    let address = asked.address.or(matched.dnat.address);
    let mut own = known.own.iter();
    let is_it = |(_, own): &&(String, IpAddr)| Some(*own) == address && !own.is_loopback();
    if let Some((name, _)) = own.find(is_it) {
        return Ok(Some(name.clone()));
    }
    let family = Family::from(matched.dnat.guest);
    if let RouteLookup::Behind { interface, .. } = engine.route_lookup(anybody(family))? {
        return Ok(Some(interface));
    }
    let mut outer = outer(known, family);
    Ok(outer.next().map(|(name, _)| name.clone()))
}

/// Addresses of the host that are neither its own alone nor towards guests.
fn outer(known: &HostView, family: Family) -> impl Iterator<Item = &(String, IpAddr)> {
    known.own.iter().filter(move |(name, address)| {
        let mut networks = known.networks.iter();
        let is_bridge = networks.any(|one| one.network.has_bridge(name));
        Family::from(*address) == family && !address.is_loopback() && !is_bridge
    })
}

/// An address of the host that the guest answers by its router alone.
fn source_beyond(asked: &Asked, matched: &DnatMatch<'_>, known: &HostView) -> Option<IpAddr> {
    let outer = outer(known, Family::from(matched.dnat.guest));
    let all: Vec<IpAddr> = outer.map(|(_, address)| *address).collect();
    let named = asked.address.filter(|address| all.contains(address));
    named.or(all.first().copied())
}

fn network(guest: IpAddr, known: &HostView) -> Option<GuestNetwork> {
    known.networks.iter().find_map(|one| {
        let (network, subnet) = (&one.network, one.subnet_of(guest)?);
        let bridge = network.bridge.as_ref()?.to_string();
        Some(GuestNetwork {
            name: network.name.to_string(),
            link: link(&bridge),
            bridge,
            gateway: subnet.address,
            is_isolated: network.mode == ForwardMode::Isolated,
        })
    })
}

/// The owner, or, of a network's forward, the guest that DHCP gives the address.
fn domain(
    matched: &DnatMatch<'_>,
    network: Option<&GuestNetwork>,
    known: &HostView,
) -> Option<GuestDomain> {
    let has_address = |guest: &&Guest| {
        let mut nics = guest.nics.iter();
        nics.any(|nic| nic.addresses.contains(&matched.dnat.guest))
    };
    let (owner, mut guests) = (matched.owner, known.guests.iter());
    let guest = match owner.kind {
        OwnerKind::Domain => guests.find(|guest| guest.uuid == owner.uuid),
        OwnerKind::Network => guests.find(has_address),
    }?;
    let nics = guest.nics.iter().filter(|nic| {
        network.is_none_or(|network| nic.network.as_deref() == Some(network.name.as_str()))
    });
    let nics = nics.map(|nic| DomainNic {
        mac: nic.mac.to_string(),
        tap: nic
            .target
            .as_ref()
            .map(|tap| (tap.to_string(), link(tap.as_str()))),
        addresses: nic.addresses.clone(),
    });
    Some(GuestDomain {
        name: guest.name.as_ref()?.to_string(),
        connect: guest.driver.map_or("", Driver::connect_option),
        state: known.state_of(guest.uuid),
        nics: nics.collect(),
    })
}
