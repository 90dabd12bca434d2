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
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// The host's interface that it is behind; nothing for the host itself.
    pub interface: Option<String>,
    /// Its MAC address in lower case, if that is known.
    pub mac: Option<String>,
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
}

/// Says what becomes of a packet, as far as libvirt and portero have a say.
pub fn explain<'a>(
    packet: &Packet,
    networks: &'a [Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    let at = |end: &End| {
        let networks = networks.iter();
        let mut on_bridge = networks.filter(|network| {
            let bridge = network.bridge.as_ref().map(|bridge| bridge.as_str());
            network.mode.is_routed_by_host()
                && bridge.is_some()
                && bridge == end.interface.as_deref()
        });
        on_bridge.next()
    };
    let (from, to) = (at(&packet.from), at(&packet.to));
    let mut decision = Decision {
        verdict: Verdict::Accept,
        deciders: Vec::new(),
    };
    if let (Some(network), true) = (from, packet.from.interface == packet.to.interface) {
        let network = network.name.clone();
        decision.deciders.push(Decider::Bridge { network });
        return decision;
    }
    let from = from.map(|network| {
        let way = if packet.to.interface.is_none() {
            Way::ToHost
        } else {
            Way::Out
        };
        (network, way, policy_of(network))
    });
    let to = to.map(|network| {
        let way = if packet.from.interface.is_none() {
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
    for &(network, way, _) in by_libvirt {
        let verdict = verdict_of_libvirt(network, way, packet);
        decision.deciders.push(Decider::Libvirt {
            network: network.name.clone(),
            way,
            mode: network.mode,
        });
        decision.verdict = verdict;
        let is_final = way == Way::In && network.mode != ForwardMode::Open;
        if verdict != Verdict::Accept || is_final {
            break;
        }
    }
    decision
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
                .is_none_or(|named| named.fits(peer.interface.as_deref()))
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

fn is_for(service: Service, of: Family, asked: Protocol) -> bool {
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
    let own = |address: IpAddr| {
        if nets_of(network).iter().any(|net| net.contains(&address)) {
            Verdict::Accept
        } else {
            Verdict::Reject
        }
    };
    match (network.mode, way) {
        (_, Way::ToHost | Way::FromHost) | (ForwardMode::Open, _) => Verdict::Accept,
        (ForwardMode::Isolated, _) => Verdict::Reject,
        (_, Way::Out) => own(packet.from.address),
        // Without <nat ipv6='yes'/> IPv6 is routed.
        (ForwardMode::Nat, Way::In) if packet.to.address.is_ipv4() || network.masquerades_ipv6 => {
            Verdict::Reject
        }
        (_, Way::In) => own(packet.to.address),
    }
}
