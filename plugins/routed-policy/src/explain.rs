//! The verdict on one packet, and who gives it.

use crate::compile::nets_of;
use portero_event::{ForwardMode, Network, ObjectName};
use portero_plan::{Clause, Family, Judged, Peer, Policy, Service, Verdict, Way};
use std::net::IpAddr;

/// A packet that opens a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// What for.
    pub protocol: Protocol,
    /// Whether the host passes packets of the family on.
    pub routing: Routing,
}

/// Whether the host is a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// It passes packets on.
    On,
    /// It does not.
    Off,
}

/// Where an end is, seen from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// It is the host itself.
    Host,
    /// Behind an interface of the host's.
    Behind(String),
    /// No route leads there.
    Nowhere,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// Where it is.
    pub at: At,
    /// Its MAC address in lower case, if that is known.
    pub mac: Option<String>,
}

impl End {
    /// The host's interface that it is behind.
    fn interface(&self) -> Option<&str> {
        match &self.at {
            At::Behind(interface) => Some(interface),
            At::Host | At::Nowhere => None,
        }
    }
}

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A port of the destination.
    Port(portero_plan::Protocol, u16),
    /// ICMP or ICMPv6 by the family of the addresses: type and code.
    Icmp(u8, u8),
    /// Another.
    Other,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it arrives.
    pub verdict: Verdict,
    /// Everybody who has a say, in their order; the last has decided.
    pub deciders: Vec<Decider>,
}

/// Who has a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// A clause of a network's policy.
    Clause {
        /// The network.
        network: ObjectName,
        /// Which of its ways.
        way: Way,
        /// The clause's name.
        clause: String,
    },
    /// A policy that says nothing of the way.
    Unsaid {
        /// The network.
        network: ObjectName,
        /// The way.
        way: Way,
    },
    /// libvirt's own rules for a network.
    Libvirt {
        /// The network.
        network: ObjectName,
        /// Its way.
        way: Way,
        /// Its mode.
        mode: ForwardMode,
    },
    /// The bridge that both ends are on.
    Bridge {
        /// The network.
        network: ObjectName,
    },
    /// The host itself, before anybody else is asked.
    Host(Refusal),
}

/// Why the host itself does not pass a packet on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is no router.
    NoRouter,
    /// It knows no way.
    NoRoute,
}

/// Says what becomes of a packet, as far as libvirt and portero have a say.
pub fn explain<'a>(
    packet: &Packet,
    networks: &'a [Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    let mut decision = Decision {
        verdict: Verdict::Accept,
        deciders: Vec::new(),
    };
    let is_inside = packet.from.at != At::Host && packet.from.at == packet.to.at;
    let bridged = on_bridge(&packet.from, networks).filter(|_| is_inside);
    if let Some(network) = bridged {
        let network = network.name.clone();
        decision.deciders.push(Decider::Bridge { network });
        return decision;
    }
    if let Some((refusal, verdict)) = refused_by_host(packet) {
        decision.deciders.push(Decider::Host(refusal));
        decision.verdict = verdict;
        return decision;
    }
    let routed = |end| on_bridge(end, networks).filter(|network| network.mode.is_routed_by_host());
    let (from, to) = (routed(&packet.from), routed(&packet.to));
    let from = from.map(|network| {
        let way = if packet.to.at == At::Host {
            Way::ToHost
        } else {
            Way::Out
        };
        (network, way, policy_of(network))
    });
    let to = to.map(|network| {
        let way = if packet.from.at == At::Host {
            Way::FromHost
        } else {
            Way::In
        };
        (network, way, policy_of(network))
    });
    // Policies come first, then libvirt with what it says of packets to guests; it asks no more
    // when that accepts, unless a policy has taken its place.
    let sides = [&from, &to];
    for (network, way, policy) in sides.into_iter().flatten() {
        let Some(policy) = policy else { continue };
        judge(network, *way, policy, packet, &mut decision);
        if decision.verdict != Verdict::Accept {
            return decision;
        }
    }
    let mut by_libvirt = Vec::new();
    by_libvirt.extend(to.as_ref().filter(|(_, _, policy)| policy.is_none()));
    by_libvirt.extend(from.as_ref().filter(|(_, _, policy)| policy.is_none()));
    let without_policies = from
        .iter()
        .chain(&to)
        .all(|(_, _, policy)| policy.is_none());
    for &(network, way, _) in by_libvirt {
        let verdict = verdict_of_libvirt(network, way, packet);
        decision.deciders.push(Decider::Libvirt {
            network: network.name.clone(),
            way,
            mode: network.mode,
        });
        decision.verdict = verdict;
        let is_final = way == Way::In && without_policies && network.mode != ForwardMode::Open;
        if verdict != Verdict::Accept || is_final {
            break;
        }
    }
    decision
}

/// The network whose bridge an end is behind.
fn on_bridge<'a>(end: &End, networks: &'a [Network]) -> Option<&'a Network> {
    let interface = end.interface()?;
    let has = |network: &&Network| {
        let bridge = network.bridge.as_ref();
        bridge.is_some_and(|bridge| bridge.as_str() == interface)
    };
    networks.iter().find(has)
}

/// What the host says before it asks its firewall. Packets to itself and from itself need no router.
fn refused_by_host(packet: &Packet) -> Option<(Refusal, Verdict)> {
    let is_local = [&packet.from, &packet.to]
        .iter()
        .any(|end| end.at == At::Host);
    match (packet.routing, &packet.to.at) {
        // It says nothing then (`ip_error` in net/ipv4/route.c, `ip6_forward` of net/ipv6).
        (Routing::Off, _) if !is_local => Some((Refusal::NoRouter, Verdict::Drop)),
        (_, At::Nowhere) => Some((Refusal::NoRoute, Verdict::Reject)),
        _ => None,
    }
}

fn judge(network: &Network, way: Way, policy: &Policy, packet: &Packet, decision: &mut Decision) {
    let network = network.name.clone();
    let Some(clauses) = policy.ways.get(&way) else {
        decision.deciders.push(Decider::Unsaid { network, way });
        return;
    };
    let every = |clause: &&Clause| clause.judged == Judged::EveryPacket;
    let opener = |clause: &&Clause| clause.judged == Judged::Opener;
    let in_order = clauses
        .iter()
        .filter(every)
        .chain(clauses.iter().filter(opener));
    let (guest, peer) = if way.is_from_guests() {
        (&packet.from, &packet.to)
    } else {
        (&packet.to, &packet.from)
    };
    for clause in in_order {
        if fits(clause, guest, peer, packet) {
            decision.verdict = clause.verdict;
            decision.deciders.push(Decider::Clause {
                network,
                way,
                clause: clause.name.clone(),
            });
            return;
        }
    }
    decision.deciders.push(Decider::Unsaid { network, way });
}

fn fits(clause: &Clause, guest: &End, peer: &End, packet: &Packet) -> bool {
    let family = Family::of(guest.address);
    let is_peer = |wanted: &Peer| {
        wanted.nets.contains(peer.address)
            && wanted
                .interface
                .as_ref()
                .is_none_or(|named| named.fits(peer.interface()))
            && wanted
                .mac
                .as_ref()
                .is_none_or(|named| named.fits(peer.mac.as_deref()))
    };
    clause.families.contains(&family)
        && clause.guests.contains(guest.address)
        && (clause.peers.is_empty() || clause.peers.iter().any(is_peer))
        && (clause.services.is_empty()
            || clause
                .services
                .iter()
                .any(|service| is_for(*service, family, packet.protocol)))
}

pub(crate) fn is_for(service: Service, of: Family, asked: Protocol) -> bool {
    match (service, asked) {
        (Service::Ports { protocol, ports }, Protocol::Port(wanted, port)) => {
            protocol == wanted && ports.is_none_or(|ports| ports.contains(port))
        }
        (Service::Icmp { family, kind, code }, Protocol::Icmp(wanted, with)) => {
            family == of
                && kind.is_none_or(|kind| kind == wanted)
                && code.is_none_or(|code| code == with)
        }
        _ => false,
    }
}

/// What libvirt's own rules say (src/network/network_iptables.c, network_nftables.c).
fn verdict_of_libvirt(network: &Network, way: Way, packet: &Packet) -> Verdict {
    // With <forward dev='...'/> a guest's packets go by that interface, and come by it.
    let own = |guest: &End, peer: &End| {
        let is_own = nets_of(network)
            .iter()
            .any(|net| net.contains(&guest.address));
        let dev = network.forward_dev.as_ref();
        if is_own && dev.is_none_or(|dev| peer.interface() == Some(dev.as_str())) {
            Verdict::Accept
        } else {
            Verdict::Reject
        }
    };
    match (network.mode, way) {
        (_, Way::ToHost | Way::FromHost) | (ForwardMode::Open, _) => Verdict::Accept,
        (ForwardMode::Isolated, _) => Verdict::Reject,
        (_, Way::Out) => own(&packet.from, &packet.to),
        // Without <nat ipv6='yes'/> IPv6 is routed.
        (ForwardMode::Nat, Way::In) if packet.to.address.is_ipv4() || network.masquerades_ipv6 => {
            Verdict::Reject
        }
        (_, Way::In) => own(&packet.to, &packet.from),
    }
}
