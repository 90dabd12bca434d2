//! The verdict on one packet, and who gives it.

use crate::compile::nets_of;
use portero_libvirt::{ForwardMode, Network, ObjectName};
use portero_model::{Clause, Family, Judged, Peer, Policy, RuleName, Service, Verdict, Way};
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
    /// Whether it was sent to where it goes.
    pub course: PacketPath,
    /// Whether the host passes packets of the family on.
    pub routing: Routing,
}

/// How a packet came by its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketPath {
    /// It was sent there.
    Direct,
    /// It was sent to the host, which forwards that port.
    Forwarded,
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
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
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
    Port(portero_model::Protocol, u16),
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

impl Decision {
    fn of(verdict: Verdict, decider: Decider) -> Self {
        Self {
            verdict,
            deciders: vec![decider],
        }
    }
}

/// Who has a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// A clause of a network's policy.
    Clause {
        /// The network.
        network: ObjectName,
        /// The clause.
        clause: RuleName,
    },
    /// A policy that says nothing of the packet.
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

/// Which packet of a connection is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opener,
    Reply,
}

/// A network's part in a packet's way.
struct Side<'a> {
    network: &'a Network,
    way: Way,
    policy: Option<&'a Policy>,
}

/// Says what becomes of a packet, as far as libvirt and portero have a say.
pub fn explain<'a>(
    packet: &Packet,
    networks: &'a [Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    decide(packet, Stage::Opener, networks, policy_of)
}

/// Says what becomes of the reply to a packet that has arrived, which some judge too. Its port is
/// taken for one that nobody speaks of.
pub fn explain_reply<'a>(
    packet: &Packet,
    networks: &'a [Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    let reply = Packet {
        from: packet.to.clone(),
        to: packet.from.clone(),
        protocol: match packet.protocol {
            Protocol::Port(protocol, _) => Protocol::Port(protocol, UNSPOKEN_PORT),
            // Echo replies (RFC 792, RFC 4443).
            Protocol::Icmp(8, 0) => Protocol::Icmp(0, 0),
            Protocol::Icmp(128, 0) => Protocol::Icmp(129, 0),
            Protocol::Icmp(..) | Protocol::Other => Protocol::Other,
        },
        ..packet.clone()
    };
    decide(&reply, Stage::Reply, networks, policy_of)
}

/// The last of the ports that clients take (RFC 6335).
const UNSPOKEN_PORT: u16 = 65_535;

fn decide<'a>(
    packet: &Packet,
    stage: Stage,
    networks: &'a [Network],
    policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
) -> Decision {
    let is_inside = packet.from.at != At::Host && packet.from.at == packet.to.at;
    if let Some(network) = on_bridge(&packet.from, networks).filter(|_| is_inside) {
        let network = network.name.clone();
        return Decision::of(Verdict::Accept, Decider::Bridge { network });
    }
    if let Some((refusal, verdict)) = refused_by_host(packet) {
        return Decision::of(verdict, Decider::Host(refusal));
    }
    let side = |end, way| {
        let network = on_bridge(end, networks)?;
        network.mode.is_routed_by_host().then(|| Side {
            network,
            way,
            policy: policy_of(network),
        })
    };
    let (out, into) = match (&packet.from.at, &packet.to.at) {
        (_, At::Host) => (Way::ToHost, Way::In),
        (At::Host, _) => (Way::Out, Way::FromHost),
        _ => (Way::Out, Way::In),
    };
    let (from, to) = (side(&packet.from, out), side(&packet.to, into));
    let mut decision = Decision {
        verdict: Verdict::Accept,
        deciders: Vec::new(),
    };
    // Policies come first, in the order of the way.
    let sides = [&from, &to];
    for side in sides.into_iter().flatten() {
        let Some(policy) = side.policy else { continue };
        judge(side, policy, packet, stage, &mut decision);
        if decision.verdict != Verdict::Accept {
            return decision;
        }
    }
    // What was forwarded is accepted before libvirt is asked.
    if packet.course == PacketPath::Direct {
        ask_libvirt(from.as_ref(), to.as_ref(), packet, stage, &mut decision);
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
        // It says nothing then (`ip_error` in net/ipv4/route.c, `ip6_forward` in net/ipv6).
        (Routing::Off, _) if !is_local => Some((Refusal::NoRouter, Verdict::Drop)),
        (_, At::Nowhere) => Some((Refusal::NoRoute, Verdict::Reject)),
        _ => None,
    }
}

fn judge(side: &Side<'_>, policy: &Policy, packet: &Packet, stage: Stage, decision: &mut Decision) {
    let (network, way) = (side.network.name.clone(), side.way);
    let clauses = policy.ways.get(&way).map_or(&[][..], Vec::as_slice);
    let judged = |judged| clauses.iter().filter(move |clause| clause.judged == judged);
    let (guest, peer) = if way.is_from_guests() {
        (&packet.from, &packet.to)
    } else {
        (&packet.to, &packet.from)
    };
    // Replies pass once the clauses that look at each packet have been asked; so do forwards to
    // guests.
    let passes =
        stage == Stage::Reply || (way == Way::In && packet.course == PacketPath::Forwarded);
    let openers = judged(Judged::Opener).filter(|_| !passes);
    let mut in_order = judged(Judged::EveryPacket).chain(openers);
    let decider = match in_order.find(|clause| fits(clause, guest, peer, packet)) {
        Some(found) => {
            decision.verdict = found.verdict;
            let clause = found.name;
            Decider::Clause { network, clause }
        }
        None => Decider::Unsaid { network, way },
    };
    decision.deciders.push(decider);
}

fn fits(clause: &Clause, guest: &End, peer: &End, packet: &Packet) -> bool {
    let family = Family::of(guest.address);
    let is_peer = |wanted: &Peer| {
        let (interface, mac) = (wanted.interface.as_ref(), wanted.mac.as_ref());
        wanted.nets.contains(peer.address)
            && interface.is_none_or(|named| named.fits(peer.interface()))
            && mac.is_none_or(|named| named.fits(peer.mac.as_deref()))
    };
    let is_for = |service: &Service| is_for(*service, family, packet.protocol);
    clause.families.contains(&family)
        && clause.guests.contains(guest.address)
        && (clause.peers.is_empty() || clause.peers.iter().any(is_peer))
        && (clause.services.is_empty() || clause.services.iter().any(is_for))
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

/// Asks libvirt about the ends that have no policy: first what it says of packets to guests, and
/// then, unless it has accepted already, of packets from guests. A policy takes its place.
fn ask_libvirt(
    from: Option<&Side<'_>>,
    to: Option<&Side<'_>>,
    packet: &Packet,
    stage: Stage,
    decision: &mut Decision,
) {
    let is_plain = |side: &&Side<'_>| side.policy.is_none();
    let nobody_else = from.iter().chain(&to).all(is_plain);
    let asked = [to.filter(is_plain), from.filter(is_plain)];
    for side in asked.into_iter().flatten() {
        let mode = side.network.mode;
        // It has no rules for open networks, and accepts no more of what is for the host than the
        // host does without.
        let is_passed_on = matches!(side.way, Way::Out | Way::In);
        if mode == ForwardMode::Open || !is_passed_on {
            continue;
        }
        let verdict = verdict_of_libvirt(side, packet, stage);
        decision.deciders.push(Decider::Libvirt {
            network: side.network.name.clone(),
            way: side.way,
            mode,
        });
        decision.verdict = verdict;
        if verdict != Verdict::Accept || (side.way == Way::In && nobody_else) {
            break;
        }
    }
}

/// What libvirt's own rules say (src/network/network_iptables.c, network_nftables.c).
fn verdict_of_libvirt(side: &Side<'_>, packet: &Packet, stage: Stage) -> Verdict {
    let network = side.network;
    // With <forward dev='...'/> a guest's packets go by that interface, and come by it.
    let is_own = |guest: &End| {
        let nets = nets_of(network);
        nets.iter().any(|net| net.contains(&guest.address))
    };
    let is_by = |peer: &End| {
        let dev = network.forward_dev.as_deref();
        dev.is_none_or(|dev| peer.interface() == Some(dev))
    };
    let masquerades = packet.to.address.is_ipv4() || network.masquerades_ipv6;
    let accepts = match (network.mode, side.way) {
        (ForwardMode::Isolated, _) => false,
        (_, Way::Out | Way::ToHost) => is_own(&packet.from) && is_by(&packet.to),
        // Without <nat ipv6='yes'/> IPv6 is routed.
        (ForwardMode::Nat, Way::In) if masquerades => {
            stage == Stage::Reply && is_own(&packet.to) && is_by(&packet.from)
        }
        (_, Way::In | Way::FromHost) => is_own(&packet.to) && is_by(&packet.from),
    };
    if accepts {
        Verdict::Accept
    } else {
        Verdict::Reject
    }
}
