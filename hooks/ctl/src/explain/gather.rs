//! Gathers what is known of a port of the host and of the way behind it. Nothing is changed; the
//! guest is asked for its address and for its port.

use super::asking::Asking;
use super::find::{self, Findings};
use super::published::publisher;
use super::value::{
    Asked, Crossing, Diverted, DomainNic, Facts, GuestDomain, GuestNetwork, GuestPath, Wanted,
};
use super::view::HostView;
use super::whose;
use crate::doctor::{misplaced, troubles};
use crate::everybody::{anybody, RULES};
use crate::policy::{end, rulings};
use crate::stop::name_stop;
use portero_engine::{ApplyError, Engine};
use portero_inventory::{
    advertised_uplinks, daemons, exit_of, find_dnat, find_reply_route, foreign_rules,
    foreign_rules_during, has_rules_for_routes, hook_links, is_masqueraded, link, link_of,
    passage_of, settings, Answer, DesiredForwards, DnatMatch, Exit, Guest, Journey, ObjectState,
    Passage, Snapshot,
};
use portero_libvirt::{Driver, ForwardMode};
use portero_model::{Family, OwnerKind, ReplyRoute, Verdict};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_system::{Deadline, Linux, Paths, RouteLookup};
use portero_trace::{Flow, Judgement, Leg, Link, Rules, Side, Stop, Traffic, Translated};
use std::net::{IpAddr, SocketAddr};

/// Gathers everything. Everybody's rules are `read` already, or are then, of one family.
pub(super) fn facts(
    asked: Asked,
    read: Option<&Rules>,
    engine: &mut Engine<'_>,
) -> Result<Facts, ApplyError> {
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
    let matched = find_dnat(&known.owners, &find::packet(&asked));
    let wanted = match (&matched, forwards) {
        (Some(DnatMatch { owner, .. }), _) => Some(Wanted::Given {
            owner: (*owner).clone(),
            state: known.state_of(owner.uuid),
            inactive: known
                .desired_of(owner.uuid)
                .map(|one| find::inactive_networks(one, &known.all_networks()))
                .unwrap_or_default(),
        }),
        (None, Some(forwards)) => {
            let refusal = snapshot.refusal(forwards);
            let family = asked.address.or(asked.from).map(Family::from);
            let found = Findings {
                refusal: refusal.as_ref().map(Into::into),
                networks: &known.all_networks(),
                guest_of: &|forward| snapshot.find_guest(forwards, forward, family),
            };
            Some(find::find_outcome(&asked, forwards, &known.owners, found))
        }
        (None, None) => None,
    };
    let (host, backends) = (snapshot.host_facts(), snapshot.backends());
    // Events of libvirt's wait for it, and the guest may take seconds to answer.
    drop(snapshot);
    let wanted = wanted.unwrap_or_else(|| unclear(&asked, read, &known.desired));
    let links = hook_links(&Paths::default());
    let troubles = troubles(&host, &daemons(), &links, &known.desired);
    let hooks = troubles.into_iter().next();
    let backend = misplaced(backends);
    let way = matched.map(|matched| way(&asked, &matched, &known, read, engine));
    let way = way.transpose()?;
    let named = way.as_ref().and_then(|way| way.address);
    let lacking = asked.address.or(named);
    let lacking = lacking.and_then(|address| whose::lacking(address, &asked, &known));
    Ok(Facts {
        lacking,
        own: known.own,
        asked,
        wanted,
        hooks,
        backend,
        way,
    })
}

/// Nobody wants the port, unless it is another program of the host, or somebody whose metadata is wrong.
fn unclear(asked: &Asked, read: Option<&Rules>, desired: &[DesiredForwards]) -> Wanted {
    let families = match asked.address.or(asked.from) {
        Some(address) => vec![Family::from(address)],
        None => Family::ALL.to_vec(),
    };
    let now = || foreign_rules(&families, Deadline::after(RULES));
    let publisher = match read {
        Some(rules) => publisher(asked, rules),
        None => publisher(asked, &now()),
    };
    if let Some(publisher) = publisher {
        return Wanted::Published(publisher);
    }
    let active = desired.iter().filter(|one| one.state != ObjectState::Off);
    let mut problems = active.filter_map(|one| one.written.as_ref().err());
    let problem = problems.next().map(ToString::to_string);
    problem.map_or(Wanted::Nobody, |problem| Wanted::Unclear { problem })
}

fn way(
    asked: &Asked,
    matched: &DnatMatch<'_>,
    known: &HostView,
    read: Option<&Rules>,
    engine: &mut Engine<'_>,
) -> Result<GuestPath, ApplyError> {
    let (owner, guest) = (matched.owner, matched.dnat.guest);
    let family = Family::from(guest);
    let route = engine.route_lookup(guest)?;
    let back = asked.from.map(|from| engine.route_lookup(from));
    let back = back.transpose()?;
    let network = network(guest, &route, known);
    let ways = Ways::of_client(asked, matched, network.as_ref(), known);
    let outside = outside(asked, matched, known, &ways, back.as_ref(), engine)?;
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
    let inside = match (&network, &route) {
        (Some(network), _) => network.bridge.clone(),
        (None, RouteLookup::Behind { interface, .. }) => interface.clone(),
        (None, _) => String::new(),
    };
    // Of several interfaces on one network, the one that the address is known of.
    let nics = domain.iter().flat_map(|domain| &domain.nics);
    let nic = match nics.clone().count() {
        1 => nics.clone().next(),
        _ => nics.clone().find(|nic| nic.addresses.contains(&guest)),
    };
    let flow = Flow {
        traffic: Traffic::Port {
            protocol: asked.protocol,
            port: matched.port,
            from: None,
        },
        client: Side::Behind(Link {
            // What the host's own address leads to comes by that interface (rpfilter asks so).
            is_way_back: match (&ways.came, asked.from) {
                (Some(_), Some(_)) => Some(true),
                _ => back
                    .as_ref()
                    .map(|back| is_behind(back, outside.as_deref())),
            },
            ..link_of(outside.clone())
        }),
        client_address: asked.from,
        server: Side::Behind(Link {
            port: nic.and_then(|nic| Some(nic.tap.as_ref()?.0.clone())),
            mac: nic.map(|nic| nic.mac.clone()),
            ..link_of(Some(inside.clone()))
        }),
        server_address: guest,
        translated: Some(Translated {
            address: asked.address.or(matched.dnat.address),
            port: asked.port,
        }),
        is_masqueraded: network.as_ref().is_some_and(|network| network.is_isolated)
            || is_masqueraded(&known.owners, guest, None),
        judges_bridged: engine.system.judges_bridged(family),
    };
    let asking = Asking {
        asked,
        to: SocketAddr::new(guest, matched.port),
        known,
        network: network.as_ref(),
        inside: &inside,
    };
    let now;
    let (rules, said) = match read {
        Some(rules) => (rules, asking.ask()),
        None => {
            // The guest takes its time.
            let deadline = Deadline::after(RULES);
            let (rules, said) = foreign_rules_during(&[family], deadline, || asking.ask());
            now = rules;
            (&now, said)
        }
    };
    let judgements = [Leg::There, Leg::Back].map(|leg| (leg, rules.judge(&flow, leg)));
    // What the host asks has a way of its own.
    let question = |source| stopped_question(rules, &flow, source);
    let host_is_kept_out = match to_guest.verdict {
        Verdict::Accept => question(gateway.unwrap_or(guest)),
        _ => Some("a policy keeps the host itself out".to_owned()),
    };
    let answer_beyond = said
        .answer_beyond
        .map(|(beyond, answer)| match question(beyond) {
            None => (beyond, answer),
            Some(_) => (beyond, Answer::NotAsked),
        });
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
        advertised: match family {
            Family::Ipv6 if !passes_on => advertised_uplinks(),
            _ => Vec::new(),
        },
        is_reply_refused: ways.is_refused && asked.from.is_some(),
        leaves_by: asked
            .from
            .and_then(|from| leaves_by(from, guest, network.as_ref())),
        is_bare_neighbor: asked.from.is_some()
            && matches!(&back, Some(RouteLookup::Behind { interface, .. }) if *interface == inside)
            && !is_masqueraded(&known.owners, guest, asked.from),
        crossing: ways.crossing(asked, matched),
        symmetric: ways.symmetric(),
        rulings: rulings(&packet(from, PacketPath::Forwarded), &known.networks),
        judgements,
        settings: settings(&Paths::default()),
        unread: rules.unread.clone(),
        also: rules.also_decides(&flow),
        diverted: diverted(client, guest, outside.as_deref(), &inside),
        domain,
        heard: said.heard,
        discovery: stopped_discovery(rules, &flow, gateway.unwrap_or(guest)),
        others_macs: macs.collect(),
        answer: said.answer,
        answer_beyond,
        host_is_kept_out,
        back,
        reverse_path_filter,
        flow,
        network,
        route,
        outside,
    })
}

/// By which interface what the guest sends to a client leaves: `rp_filter` asks for that.
fn leaves_by(client: IpAddr, guest: IpAddr, network: Option<&GuestNetwork>) -> Option<String> {
    let journey = Journey {
        to: client,
        from: guest,
        arrives: network.map(|network| network.bridge.as_str()),
        mark: None,
    };
    Some(exit_of(journey)?.interface)
}

/// What stops a question of the host's own to the guest, or may.
fn stopped_question(rules: &Rules, flow: &Flow, source: IpAddr) -> Option<String> {
    let question = Flow {
        client: Side::Host,
        client_address: Some(source),
        translated: None,
        is_masqueraded: false,
        ..flow.clone()
    };
    let judgements = [Leg::There, Leg::Back].map(|leg| rules.judge(&question, leg));
    judgements
        .into_iter()
        .find_map(|judgement| match judgement {
            Judgement::Passes => None,
            Judgement::Stopped(stop) | Judgement::Doubtful(stop) => Some(format!(
                "{} of what the host itself asks, by {}",
                stop.verdict,
                name_stop(&stop)
            )),
        })
}

/// What stops the guest's answers to neighbour discovery, which the host's own kernel needs to reach it.
fn stopped_discovery(rules: &Rules, flow: &Flow, host: IpAddr) -> Option<(Flow, Stop)> {
    let guest = flow.server_address;
    if guest.is_ipv4() {
        return None;
    }
    let answer = Flow {
        // A neighbour advertisement (RFC 4861).
        traffic: Traffic::Icmp { kind: 136, code: 0 },
        client: flow.server.clone(),
        client_address: Some(guest),
        server: Side::Host,
        server_address: host,
        translated: None,
        is_masqueraded: false,
        judges_bridged: flow.judges_bridged,
    };
    match rules.judge(&answer, Leg::There) {
        Judgement::Stopped(stop) => Some((answer, stop)),
        _ => None,
    }
}

/// Where what a client sends goes, if that is not towards the guest.
fn diverted(
    client: IpAddr,
    guest: IpAddr,
    outside: Option<&str>,
    inside: &str,
) -> Option<Diverted> {
    let came = outside.filter(|_| has_rules_for_routes(Family::from(guest)))?;
    let journey = Journey {
        to: guest,
        from: client,
        arrives: Some(came),
        mark: None,
    };
    let leaves = match passage_of(journey) {
        Passage::By(exit) if exit.interface == inside => return None,
        Passage::By(exit) => Some(exit),
        Passage::Refused => None,
        Passage::Unclear => return None,
    };
    Some(Diverted {
        from: client,
        came: came.to_owned(),
        leaves,
    })
}

/// Whether a route leads back by an interface.
fn is_behind(route: &RouteLookup, dev: Option<&str>) -> bool {
    matches!(route, RouteLookup::Behind { interface, .. } if Some(interface.as_str()) == dev)
}

/// By which interfaces packets of the client come, and replies leave, by the routes of now.
struct Ways {
    /// Where the host's own packets from the address that the client names leave to the client.
    came: Option<Exit>,
    /// Where the guest's replies leave.
    leaves: Option<Exit>,
    /// Whether they have no route, or one that refuses them.
    is_refused: bool,
    /// Whether they are routed by what the address came by.
    is_symmetric: bool,
}

impl Ways {
    fn of_client(
        asked: &Asked,
        matched: &DnatMatch<'_>,
        network: Option<&GuestNetwork>,
        known: &HostView,
    ) -> Self {
        let guest = matched.dnat.guest;
        let client = asked.from.unwrap_or(anybody(Family::from(guest)));
        let address = named_address(asked, matched);
        let came = address.map(|address| Journey {
            to: client,
            from: address,
            arrives: None,
            mark: None,
        });
        let reply_route =
            address.and_then(|address| find_reply_route(&known.owners, address, guest));
        let leaves = network.map(|network| Journey {
            to: client,
            from: guest,
            arrives: Some(&network.bridge),
            mark: reply_route.map(ReplyRoute::bits),
        });
        let leaves = leaves.map_or(Passage::Unclear, passage_of);
        Self {
            came: came.and_then(exit_of),
            is_refused: leaves == Passage::Refused,
            leaves: match leaves {
                Passage::By(exit) => Some(exit),
                Passage::Refused | Passage::Unclear => None,
            },
            is_symmetric: reply_route.is_some(),
        }
    }

    /// The interface that replies leave by because their forward is symmetric.
    fn symmetric(&self) -> Option<String> {
        let leaves = self.leaves.as_ref().filter(|_| self.is_symmetric)?;
        Some(leaves.interface.clone())
    }

    /// Whether they are two.
    fn crossing(&self, asked: &Asked, matched: &DnatMatch<'_>) -> Option<Crossing> {
        let (came, leaves) = (self.came.as_ref()?, self.leaves.as_ref()?);
        let is_two = came.interface != leaves.interface && matched.dnat.dev.is_none();
        is_two.then_some(Crossing {
            address: named_address(asked, matched)?,
            came: came.interface.clone(),
            table: came.table.clone(),
            leaves: leaves.interface.clone(),
        })
    }
}

/// The host's address that a client from outside names, where that is known.
fn named_address(asked: &Asked, matched: &DnatMatch<'_>) -> Option<IpAddr> {
    let address = asked.address.or(matched.dnat.address);
    address.filter(|address| !address.is_loopback())
}

/// The interface towards the client: the forward's own, the one that the client's packets come by, the way to the
/// client, the interface of the host's address, or the way to everybody.
fn outside(
    asked: &Asked,
    matched: &DnatMatch<'_>,
    known: &HostView,
    ways: &Ways,
    back: Option<&RouteLookup>,
    engine: &mut Engine<'_>,
) -> Result<Option<String>, ApplyError> {
    if matched.dnat.dev.is_some() {
        return Ok(matched.dnat.dev.clone());
    }
    if let (Some(came), Some(_)) = (&ways.came, asked.from) {
        return Ok(Some(came.interface.clone()));
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
    let mut outer = known.outer(family);
    Ok(outer.next().map(|(name, _)| name.clone()))
}

/// The network with a subnet of the guest's, or else the one whose bridge the host's route to it leads to.
fn network(guest: IpAddr, route: &RouteLookup, known: &HostView) -> Option<GuestNetwork> {
    let mut networks = known.networks.iter();
    let by_subnet = networks.find_map(|one| Some((&one.network, one.subnet_of(guest)?.address)));
    let by_route = || match route {
        RouteLookup::Behind { interface, .. } => {
            let mut networks = known.networks.iter();
            let network = &networks
                .find(|one| one.network.has_bridge(interface))?
                .network;
            let family = Family::from(guest);
            let mut own = known.own.iter();
            let is_there =
                |(name, own): &&(String, IpAddr)| name == interface && Family::from(*own) == family;
            Some((network, own.find(is_there)?.1))
        }
        RouteLookup::Host | RouteLookup::Nowhere => None,
    };
    let (network, gateway) = by_subnet.or_else(by_route)?;
    let bridge = network.bridge.as_ref()?.to_string();
    Some(GuestNetwork {
        name: network.name.to_string(),
        link: link(&bridge),
        bridge,
        gateway,
        is_isolated: network.mode == ForwardMode::Isolated,
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
