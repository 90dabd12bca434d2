//! Gathers what a guest needs of the host: an address, names, and a way out. Nothing is changed, and nobody is asked.

use super::value::{AskedService, Leaving, LeavingNetwork, LeavingNic, Way};
use crate::doctor::restart_networks;
use crate::everybody::anybody;
use crate::explain::value::Asked;
use crate::host_port::Destination;
use crate::policy::{end, rulings};
use crate::stopped::{questions, Question};
use ipnet::IpNet;
use portero_engine::{ApplyError, Engine};
use portero_inventory::{
    advertised_uplinks, daemons, has_rules_for_routes, link, link_of, passage_of, settings,
    ActiveNetwork, Daemon, DesiredForwards, Guest, GuestNic, Journey, Object, Passage, Snapshot,
};
use portero_libvirt::{ForwardMode, ObjectName};
use portero_model::{Family, Protocol};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_system::{Paths, RouteLookup};
use portero_trace::{Flow, Leg, Link, Rules, Side, Traffic};
use std::net::IpAddr;

/// Most forwards that are explained: the guest is asked for each.
const FORWARDS: usize = 16;

/// Gathers everything of a guest; nothing when there is none of that name.
pub(super) fn gather(
    name: &ObjectName,
    to: Option<Destination>,
    rules: &Rules,
    engine: &mut Engine<'_>,
) -> Result<Option<Leaving>, ApplyError> {
    let mut snapshot = Snapshot::take(engine)?;
    let (networks, guests) = (snapshot.networks(), snapshot.guests()?);
    let (desired, owners) = (snapshot.desired_forwards()?, snapshot.owners()?);
    drop(snapshot);
    let mut all = desired.iter();
    let is_it = |one: &&DesiredForwards| matches!(&one.object, Object::Domain(domain) if domain.name == *name);
    let Some((found, Object::Domain(domain))) = all.find(is_it).map(|one| (one, &one.object))
    else {
        return Ok(None);
    };
    let networks_of_it = domain.nics.iter().filter_map(|nic| nic.network.clone());
    let is_inactive = |name: &String| !networks.iter().any(|one| one.network.name.as_str() == name);
    let running = guests.iter().find(|guest| guest.uuid == domain.uuid);
    let known = Known {
        networks: &networks,
        rules,
        daemons: &daemons(),
        to,
    };
    let nics = running.map_or(&[][..], |guest: &Guest| guest.nics.as_slice());
    let is_its = |address: IpAddr| nics.iter().any(|nic| nic.addresses.contains(&address));
    let forwards = owners.iter().flat_map(|owner| {
        let is_owner = owner.record.ruleset.owner.uuid == domain.uuid;
        let dnats = owner.record.ruleset.dnats();
        dnats.filter(move |dnat| is_owner || is_its(dnat.guest))
    });
    let forwards = forwards.map(|dnat| Asked {
        address: dnat.address,
        port: dnat.ports.start(),
        protocol: dnat.protocol,
        from: dnat.source.map(|source| source.addr()),
    });
    let forwards = forwards.take(FORWARDS).collect();
    let nics = nics.iter().map(|nic| known.nic(nic, engine));
    Ok(Some(Leaving {
        name: name.to_string(),
        connect: found.owner.connect_option(),
        state: found.state,
        inactive: networks_of_it.filter(is_inactive).collect(),
        nics: nics.collect::<Result<_, _>>()?,
        forwards,
        settings: settings(&Paths::default()),
        unread: rules.unread.clone(),
        restart: restart_networks(known.daemons),
    }))
}

/// What is known of the host, whichever interface is asked about.
struct Known<'a> {
    networks: &'a [ActiveNetwork],
    rules: &'a Rules,
    daemons: &'a [Daemon],
    to: Option<Destination>,
}

impl Known<'_> {
    fn nic(&self, nic: &GuestNic, engine: &mut Engine<'_>) -> Result<LeavingNic, ApplyError> {
        let mut networks = self.networks.iter();
        let network =
            networks.find(|one| Some(one.network.name.as_str()) == nic.network.as_deref());
        let network = network.filter(|one| one.network.bridge.is_some());
        let port = nic.target.as_ref().map(ToString::to_string);
        let way = match (network, self.source(nic, network)) {
            (Some(network), Some(from)) => Some(self.way(nic, network, from, engine)?),
            _ => None,
        };
        Ok(LeavingNic {
            mac: nic.mac.to_string(),
            tap: port.map(|tap| (tap.clone(), link(&tap))),
            network: network.map(|one| self.network(nic, one)),
            addresses: nic.addresses.clone(),
            way,
        })
    }

    fn network(&self, nic: &GuestNic, one: &ActiveNetwork) -> LeavingNetwork {
        let bridge = one
            .network
            .bridge
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let questions = questions(one).into_iter().map(|question| {
            let Question {
                service,
                mut flow,
                leg,
            } = question;
            for side in [&mut flow.client, &mut flow.server] {
                if let Side::Behind(link) = side {
                    link.port = nic.target.as_ref().map(ToString::to_string);
                    link.mac = Some(nic.mac.to_string());
                }
            }
            let judgement = self.rules.judge(&flow, leg);
            AskedService {
                service,
                flow,
                leg,
                judgement,
            }
        });
        LeavingNetwork {
            name: one.network.name.to_string(),
            mode: one.network.mode,
            link: link(&bridge),
            bridge,
            has_dnsmasq: one.dnsmasq.map(|dnsmasq| dnsmasq.is_running),
            questions: questions.collect(),
        }
    }

    /// The guest's address of the destination's family: its own, or, where none is known, another of its subnet.
    fn source(&self, nic: &GuestNic, network: Option<&ActiveNetwork>) -> Option<IpAddr> {
        let family = self.to.map_or(Family::Ipv4, |to| Family::from(to.address));
        let mut own = nic.addresses.iter().copied();
        let known = own.find(|address| Family::from(*address) == family);
        known.or_else(|| {
            let mut subnets = network?.network.subnets.iter();
            let subnet = subnets.find(|subnet| Family::from(subnet.address) == family)?;
            let net = IpNet::new(subnet.address, subnet.prefix).ok()?;
            net.hosts().find(|address| *address != subnet.address)
        })
    }

    fn way(
        &self,
        nic: &GuestNic,
        network: &ActiveNetwork,
        from: IpAddr,
        engine: &mut Engine<'_>,
    ) -> Result<Way, ApplyError> {
        let family = Family::from(from);
        let to = self.to.unwrap_or(Destination {
            address: anybody(family),
            port: 443,
            protocol: Protocol::Tcp,
        });
        let bridge = network
            .network
            .bridge
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let own = engine.route_lookup(to.address)?;
        let passage = has_rules_for_routes(family).then(|| {
            passage_of(Journey {
                to: to.address,
                from,
                arrives: Some(&bridge),
                mark: None,
            })
        });
        let (route, table, is_refused) = match (own, passage) {
            (RouteLookup::Host, _) => (RouteLookup::Host, None, false),
            (own, Some(Passage::By(exit))) => match own {
                RouteLookup::Behind { ref interface, .. } if *interface == exit.interface => {
                    (own, exit.table, false)
                }
                _ => (
                    RouteLookup::Behind {
                        interface: exit.interface,
                        mac: None,
                    },
                    exit.table,
                    false,
                ),
            },
            (own, Some(Passage::Refused)) => {
                (RouteLookup::Nowhere, None, own != RouteLookup::Nowhere)
            }
            (own, Some(Passage::Unclear) | None) => (own, None, false),
        };
        let passes_on = engine.system.passes_on(family);
        let mac = nic.mac.to_string();
        let packet = Packet {
            from: End {
                address: from,
                at: At::Behind(bridge.clone()),
                mac: Some(mac.clone()),
            },
            to: end(to.address, route.clone()),
            protocol: Service::Port(to.protocol, to.port),
            path: PacketPath::Direct,
            routing: if passes_on { Routing::On } else { Routing::Off },
        };
        let is_masqueraded = network.network.mode == ForwardMode::Nat
            && (from.is_ipv4() || network.network.masquerades_ipv6)
            && network.subnet_of(to.address).is_none();
        let server = match &route {
            RouteLookup::Behind { interface, .. } => Side::Behind(link_of(Some(interface.clone()))),
            RouteLookup::Host => Side::Host,
            RouteLookup::Nowhere => Side::Behind(Link::named(None)),
        };
        let flow = Flow {
            traffic: Traffic::Port {
                protocol: to.protocol,
                port: to.port,
                from: None,
            },
            client: Side::Behind(Link {
                port: nic.target.as_ref().map(ToString::to_string),
                mac: Some(mac),
                ..Link::bridge(bridge.clone())
            }),
            client_address: Some(from),
            server,
            server_address: to.address,
            translated: None,
            is_masqueraded,
            judges_bridged: engine.system.judges_bridged(family),
        };
        let subnet = network.subnet_of(from).filter(|_| is_masqueraded);
        let subnet = subnet.and_then(|subnet| IpNet::new(subnet.address, subnet.prefix).ok());
        let mode = network.network.mode;
        let has_rules = mode.is_routed_by_host() && mode != ForwardMode::Open;
        Ok(Way {
            from,
            to: to.address,
            passes_on,
            advertised: match family {
                Family::Ipv6 if !passes_on => advertised_uplinks(),
                _ => Vec::new(),
            },
            route,
            rulings: rulings(&packet, self.networks),
            judgements: [Leg::There, Leg::Back].map(|leg| (leg, self.rules.judge(&flow, leg))),
            also: self.rules.also_decides(&flow),
            table,
            is_refused,
            flow,
            missing: if has_rules {
                self.rules.missing_of_libvirt(family, &bridge, subnet)
            } else {
                Vec::new()
            },
        })
    }
}
