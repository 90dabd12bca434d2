//! What rules of others stop of what is forwarded and of what guests need: `portero status`, `map`, `doctor` and `forward
//! add` tell of what is found here, each in its way.

use crate::everybody::anybody;
use crate::policy::rulings;
use portero_engine::{ApplyError, Engine};
use portero_inventory::{link_of, ActiveNetwork, HostFacts, OwnerStatus};
use portero_libvirt::ForwardMode;
use portero_model::{Dnat, Family, Owner, Protocol, Verdict};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_system::{Linux, RouteLookup};
use portero_trace::{Flow, Judgement, Leg, Link, Rules, Side, Stop, Traffic, Translated};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// How many forwards are followed through everybody's rules, however long that takes.
pub(crate) const FORWARDS: usize = 32;

/// How long more of them are: each meets the same chains.
const FOLLOWING: Duration = Duration::from_millis(300);

/// A port that a client may have: any of those that kernels choose (`ip_local_port_range`).
const CLIENT_PORT: u16 = 50_000;

/// A host with everybody's rules.
pub(crate) struct Host<'a> {
    pub(crate) networks: &'a [ActiveNetwork],
    pub(crate) facts: &'a HostFacts,
    /// Interfaces by which others come.
    pub(crate) outer: &'a [String],
    pub(crate) rules: &'a Rules,
}

/// Whether it is known that a rule stops what is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// It does.
    Sure,
    /// It does for some, or what decides cannot be seen from here.
    Doubtful,
}

/// A rule that stops something, or may.
#[derive(Debug)]
pub(crate) struct Obstacle {
    pub(crate) flow: Flow,
    pub(crate) leg: Leg,
    pub(crate) stop: Stop,
    pub(crate) certainty: Certainty,
}

/// What stops forwards.
#[derive(Debug, Default)]
pub(crate) struct StoppedForwards<'a> {
    pub(crate) stopped: Vec<StoppedForward<'a>>,
    /// How many forwards nobody has looked at: there are too many rules for that.
    pub(crate) left: usize,
}

impl StoppedForwards<'_> {
    /// That some were left, in words.
    pub(crate) fn unknown(&self) -> Option<String> {
        let left = self.left;
        (left > 0).then(|| {
            format!("whether others stop {left} forwards more is not known: there are too many rules to follow them all")
        })
    }
}

/// What stops a forward, of those who come by one interface.
#[derive(Debug)]
pub(crate) struct StoppedForward<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) dnat: &'a Dnat,
    /// The interface.
    pub(crate) outside: String,
    pub(crate) obstacle: Obstacle,
}

/// What keeps guests of a network from what they ask the host for.
#[derive(Debug)]
pub(crate) struct StoppedService {
    /// `names (DNS)`.
    pub(crate) service: &'static str,
    pub(crate) obstacle: Obstacle,
}

/// Interfaces by which others reach the host: those with addresses that are no network's.
pub(crate) fn outer(networks: &[ActiveNetwork]) -> Vec<String> {
    let is_bridge = |name: &str| networks.iter().any(|one| one.has_inner_bridge(name));
    let outer = Linux::interfaces().into_iter().filter(|one| {
        let mut addresses = one.addresses.iter();
        addresses.any(|net| !net.addr().is_loopback()) && !is_bridge(&one.name)
    });
    outer.map(|one| one.name).collect()
}

/// The interface by which guests' packets leave for others, over IPv4.
pub(crate) fn uplink(engine: &mut Engine<'_>) -> Result<Option<String>, ApplyError> {
    Ok(match engine.route_lookup(anybody(Family::Ipv4))? {
        RouteLookup::Behind { interface, .. } => Some(interface),
        RouteLookup::Host | RouteLookup::Nowhere => None,
    })
}

impl Host<'_> {
    /// What stops forwards that are in the firewall, on their way to the guest or back.
    pub(crate) fn stopped_forwards<'o>(&self, owners: &'o [OwnerStatus]) -> StoppedForwards<'o> {
        let given = owners.iter().filter(|owner| owner.is_in_firewall);
        let dnats = given.flat_map(|owner| {
            let ruleset = &owner.record.ruleset;
            ruleset.dnats().map(move |dnat| (&ruleset.owner, dnat))
        });
        // What is for loopback comes by no interface.
        let is_loopback = |dnat: &Dnat| dnat.address.is_some_and(|address| address.is_loopback());
        let dnats = dnats.filter(|(_, dnat)| !is_loopback(dnat));
        let flows = dnats.filter_map(|(owner, dnat)| {
            Some((owner, dnat, forward_flow(dnat, self.networks, self.facts)?))
        });
        let mut found = StoppedForwards::default();
        let begin = Instant::now();
        for (number, (owner, dnat, flow)) in flows.enumerate() {
            if number >= FORWARDS && begin.elapsed() > FOLLOWING {
                found.left += 1;
                continue;
            }
            let is_served = |outside: &&String| dnat.dev.as_ref().is_none_or(|dev| dev == *outside);
            for outside in self.outer.iter().filter(is_served) {
                let client = Side::Behind(link_of(Some(outside.clone())));
                let flow = Flow {
                    client,
                    ..flow.clone()
                };
                let obstacles = [Leg::There, Leg::Back].into_iter().filter_map(|leg| {
                    let somebody = dnat.source.map(|source| source.addr());
                    self.obstacle(&flow, leg, somebody)
                });
                found
                    .stopped
                    .extend(obstacles.map(|obstacle| StoppedForward {
                        owner,
                        dnat,
                        outside: outside.clone(),
                        obstacle,
                    }));
            }
        }
        found
    }

    /// What keeps a network's guests from their addresses and names.
    pub(crate) fn stopped_services(&self, one: &ActiveNetwork) -> Vec<StoppedService> {
        let mut stopped: Vec<StoppedService> = Vec::new();
        for Question { service, flow, leg } in questions(one) {
            let is_known = stopped.iter().any(|known| known.service == service);
            let obstacle = (!is_known).then(|| self.obstacle(&flow, leg, None));
            if let Some(obstacle) = obstacle.flatten() {
                stopped.push(StoppedService { service, obstacle });
            }
        }
        stopped
    }

    /// What stops what a network's guests send out by an interface, where policies and libvirt let it pass.
    pub(crate) fn stopped_way_out(&self, one: &ActiveNetwork, uplink: &str) -> Option<Obstacle> {
        let bridge = one.network.bridge.as_ref()?.to_string();
        let mut subnets = one.network.subnets.iter();
        let subnet = subnets.find(|subnet| subnet.address.is_ipv4())?;
        let end = |address, dev: &str| End {
            address,
            at: At::Behind(dev.to_owned()),
            mac: None,
        };
        let packet = Packet {
            from: end(subnet.address, &bridge),
            to: end(anybody(Family::Ipv4), uplink),
            protocol: Service::Port(Protocol::Tcp, 443),
            path: PacketPath::Direct,
            routing: match self.facts.passes_on.contains(&Family::Ipv4) {
                true => Routing::On,
                false => Routing::Off,
            },
        };
        if rulings(&packet, self.networks).0.verdict != Verdict::Accept {
            return None;
        }
        let flow = Flow {
            traffic: Traffic::Port {
                protocol: Protocol::Tcp,
                port: 443,
                from: None,
            },
            client: Side::Behind(Link::bridge(bridge)),
            client_address: Some(subnet.address),
            server: Side::Behind(link_of(Some(uplink.to_owned()))),
            server_address: anybody(Family::Ipv4),
            translated: None,
            is_masqueraded: one.network.mode == ForwardMode::Nat,
            judges_bridged: self.facts.judges_bridged.contains(&Family::Ipv4),
        };
        let legs = [Leg::There, Leg::Back].into_iter();
        let obstacles = legs.filter_map(|leg| self.obstacle(&flow, leg, None));
        obstacles.min_by_key(|obstacle| obstacle.certainty)
    }

    /// What stops a connection on one of its ways. What stops none but those of other addresses than `somebody`, who is
    /// anybody when absent, or of some client's ports, is nothing to tell of.
    fn obstacle(&self, flow: &Flow, leg: Leg, somebody: Option<IpAddr>) -> Option<Obstacle> {
        let obstacle = |stop, certainty| Obstacle {
            flow: flow.clone(),
            leg,
            stop,
            certainty,
        };
        match self.rules.judge(flow, leg) {
            Judgement::Passes => None,
            Judgement::Stopped(stop) => Some(obstacle(stop, Certainty::Sure)),
            Judgement::Doubtful(_) => match self.rules.judge(&named(flow, somebody), leg) {
                Judgement::Passes => None,
                Judgement::Stopped(stop) | Judgement::Doubtful(stop) => {
                    Some(obstacle(stop, Certainty::Doubtful))
                }
            },
        }
    }
}

/// A connection like any of its kind, by a client that has an address and a port.
fn named(flow: &Flow, somebody: Option<IpAddr>) -> Flow {
    let traffic = match flow.traffic {
        Traffic::Port {
            protocol,
            port,
            from: None,
        } => Traffic::Port {
            protocol,
            port,
            from: Some(CLIENT_PORT),
        },
        named => named,
    };
    Flow {
        traffic,
        client_address: flow
            .client_address
            .or(somebody)
            .or(Some(anybody(flow.family()))),
        ..flow.clone()
    }
}

/// What comes in for a forward, from nobody in particular; nothing where its guest is in none of these networks.
fn forward_flow(dnat: &Dnat, networks: &[ActiveNetwork], host: &HostFacts) -> Option<Flow> {
    let mut networks = networks.iter();
    let active = networks.find(|one| one.subnet_of(dnat.guest).is_some())?;
    let bridge = active.network.bridge.as_ref()?;
    Some(Flow {
        traffic: Traffic::Port {
            protocol: dnat.protocol,
            port: dnat.guest_ports.start(),
            from: None,
        },
        client: Side::Behind(Link::named(None)),
        client_address: None,
        server: Side::Behind(Link::bridge(bridge.to_string())),
        server_address: dnat.guest,
        translated: Some(Translated {
            address: dnat.address,
            port: dnat.ports.start(),
        }),
        is_masqueraded: false,
        judges_bridged: host.judges_bridged.contains(&Family::from(dnat.guest)),
    })
}

/// A packet of what guests ask their dnsmasq, or of its answer.
pub(crate) struct Question {
    /// `names (DNS)`.
    pub(crate) service: &'static str,
    pub(crate) flow: Flow,
    pub(crate) leg: Leg,
}

/// Questions of a network's guests to its dnsmasq, and its answers.
pub(crate) fn questions(one: &ActiveNetwork) -> Vec<Question> {
    let (Some(bridge), Some(dnsmasq)) = (&one.network.bridge, &one.dnsmasq) else {
        return Vec::new();
    };
    let mut subnets = one.network.subnets.iter();
    let Some(gateway) = subnets.find(|subnet| subnet.address.is_ipv4()) else {
        return Vec::new();
    };
    let guests = Side::Behind(Link::bridge(bridge.to_string()));
    let udp = |port, from| Traffic::Port {
        protocol: Protocol::Udp,
        port,
        from,
    };
    let ask = |traffic, client: (Side, IpAddr), server: (Side, IpAddr)| Flow {
        traffic,
        client: client.0,
        client_address: Some(client.1),
        server: server.0,
        server_address: server.1,
        translated: None,
        is_masqueraded: false,
        judges_bridged: false,
    };
    // Somebody on the network; the host's own address is in the subnet.
    let (somebody, host) = ((guests.clone(), gateway.address), gateway.address);
    let mut questions = Vec::new();
    let mut add = |service, flow, leg| questions.push(Question { service, flow, leg });
    if dnsmasq.has_dhcp {
        let nobody = (guests, Ipv4Addr::UNSPECIFIED.into());
        let all = (Side::Host, Ipv4Addr::BROADCAST.into());
        let service = "addresses (DHCP)";
        add(service, ask(udp(67, Some(68)), nobody, all), Leg::There);
        // Connection tracking does not know that this answers a question to everybody.
        let answer = ask(udp(68, Some(67)), (Side::Host, host), somebody.clone());
        add(service, answer, Leg::There);
    }
    if dnsmasq.has_dns {
        let flow = ask(udp(53, Some(CLIENT_PORT)), somebody, (Side::Host, host));
        for leg in [Leg::There, Leg::Back] {
            add("names (DNS)", flow.clone(), leg);
        }
    }
    questions
}
