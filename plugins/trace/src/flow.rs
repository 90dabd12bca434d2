//! A connection, as far as it is known before it is opened, and its packets at the hooks of the kernel.
//!
//! A packet passes several hooks, and is not the same at each: before the destination is translated it is for the host,
//! afterwards for the guest; and connection tracking knows nothing of it before the priority at which that begins. So rules
//! are asked about a [`Packet`], which a [`Flow`] gives for a hook and a priority.

use portero_model::{Family, Protocol};
use std::net::{IpAddr, Ipv4Addr};

/// A connection that somebody opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// What for.
    pub traffic: Traffic,
    /// Who opens it.
    pub client: Side,
    /// Its address; anybody's when absent.
    pub client_address: Option<IpAddr>,
    /// Who answers.
    pub server: Side,
    /// Its address.
    pub server_address: IpAddr,
    /// What the client sent to, where the host translates that (DNAT).
    pub translated: Option<Translated>,
    /// Whether the host changes the client's address to its own (masquerade).
    pub is_masqueraded: bool,
    /// Whether rules of IP are asked about what goes from port to port of one bridge (`br_netfilter`).
    pub judges_bridged: bool,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// A port of the server.
    Port {
        /// Of this protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
        /// The client's port; any when absent.
        from: Option<u16>,
    },
    /// ICMP or ICMPv6, by the family of the addresses.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// Another protocol.
    Other,
}

/// Where an end of a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// The host itself.
    Host,
    /// Behind an interface of the host's.
    Behind(Link),
}

/// An interface of the host's that an end is behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name; any when absent.
    pub interface: Option<String>,
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// The port of the bridge, if that is known.
    pub port: Option<String>,
    /// The MAC address that packets come from, in lower case.
    pub mac: Option<String>,
    /// Whether the host's route to the end leads back by this interface.
    pub is_way_back: Option<bool>,
    /// Interfaces that carry it, as a NIC carries a VLAN.
    pub carriers: Vec<String>,
}

impl Link {
    /// Behind an interface of which no more is known.
    #[must_use]
    pub fn named(interface: Option<String>) -> Self {
        Self {
            interface,
            is_way_back: Some(true),
            ..Self::default()
        }
    }

    /// The bridge, and what carries the interface.
    fn names(&self) -> Vec<&str> {
        let bridge = self.interface.as_deref().filter(|_| self.is_bridge);
        let carriers = self.carriers.iter().map(String::as_str);
        bridge.into_iter().chain(carriers).collect()
    }

    /// Behind a bridge, whichever port.
    #[must_use]
    pub fn bridge(name: String) -> Self {
        Self {
            is_bridge: true,
            ..Self::named(Some(name))
        }
    }
}

/// What a client sent to before the host translated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translated {
    /// The host's address, if that is known.
    pub address: Option<IpAddr>,
    /// The host's port.
    pub port: u16,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// To the server; it opens the connection.
    There,
    /// Back to the client; the first answer.
    Back,
}

/// Where the kernel asks rules, in the order in which a packet comes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Hook {
    /// It came by an interface.
    Ingress,
    /// Before it is known where it goes.
    Prerouting,
    /// It goes to the host itself.
    Input,
    /// It goes from one interface to another.
    Forward,
    /// It comes from the host itself.
    Output,
    /// It leaves.
    Postrouting,
    /// It leaves by an interface.
    Egress,
}

impl Hook {
    /// Its name in nft; iptables writes it in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Whose hooks they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// An interface's.
    Netdev,
    /// A bridge's.
    Bridge,
    /// Of IPv4 and IPv6.
    Network,
}

/// Priorities at which something happens to packets (`enum nf_ip_hook_priorities`).
pub(crate) const CONNTRACK: i64 = -200;
pub(crate) const DSTNAT: i64 = -100;

/// The priority of portero's chain in nftables, which is asked before others' (plugins/firewall/src/nftables/base.rs).
const PORTERO_DSTNAT: i64 = DSTNAT - 1;

/// An interface in a packet's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dev<'a> {
    Named(&'a str),
    Unknown,
    /// There is none at this hook.
    Absent,
}

/// A connection as connection tracking knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracked {
    pub(crate) leg: Leg,
    pub(crate) is_dnat: bool,
    pub(crate) is_snat: bool,
    /// Source and destination of the packet that opened it.
    pub(crate) original: (Option<IpAddr>, Option<IpAddr>),
    pub(crate) original_port: Option<u16>,
    /// Who answers.
    pub(crate) replying: IpAddr,
    pub(crate) replying_port: Option<u16>,
}

/// A packet at one hook.
#[derive(Debug, Clone)]
pub(crate) struct Packet<'a> {
    pub(crate) family: Family,
    pub(crate) leg: Leg,
    pub(crate) hook: Hook,
    pub(crate) in_dev: Dev<'a>,
    pub(crate) out_dev: Dev<'a>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: Option<IpAddr>,
    pub(crate) mac: Option<&'a str>,
    pub(crate) traffic: Traffic,
    /// Nothing before connection tracking begins.
    pub(crate) tracked: Option<Tracked>,
    /// Whether a rule may have taken it from connection tracking, so that nothing is known of that.
    pub(crate) may_be_untracked: bool,
    /// Whether portero translates its destination at this hook, and so no other chain of type `nat` is asked.
    pub(crate) is_translated_here: bool,
    /// Whether it does not arrive unless an address of it is changed.
    pub(crate) needs_nat: bool,
    /// The interface that it comes or goes by where a chain is asked for an interface, besides `in_dev` and `out_dev`: the
    /// bridge, and what carries it.
    pub(crate) carriers: Vec<&'a str>,
    /// Whether its destination is the host's own.
    pub(crate) is_to_host: Option<bool>,
    /// Whether its source would be answered by the interface that it came by.
    pub(crate) is_way_back: Option<bool>,
    /// Whether it goes from port to port of one bridge.
    pub(crate) is_bridged: bool,
    /// The bridge whose hook it is at.
    pub(crate) bridge: Option<&'a str>,
}

impl Flow {
    /// The family of its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::from(self.server_address)
    }

    /// All interfaces of the host that it is known to pass.
    pub(crate) fn interfaces(&self) -> Vec<&str> {
        let sides = [&self.client, &self.server].into_iter();
        let links = sides.filter_map(|side| match side {
            Side::Behind(link) => Some(link),
            Side::Host => None,
        });
        let names = links.flat_map(|link| {
            let own = [&link.interface, &link.port].into_iter().flatten();
            own.chain(&link.carriers)
        });
        names.map(String::as_str).collect()
    }

    fn ends(&self, leg: Leg) -> (&Side, &Side) {
        match leg {
            Leg::There => (&self.client, &self.server),
            Leg::Back => (&self.server, &self.client),
        }
    }

    /// Whether both ends are on one bridge, so that nothing of it is routed.
    fn is_bridged(&self) -> bool {
        match (&self.client, &self.server) {
            (Side::Behind(one), Side::Behind(other)) => {
                one.is_bridge
                    && one.interface.is_some()
                    && one.interface == other.interface
                    && self.translated.is_none()
            }
            _ => false,
        }
    }

    /// The hooks of a leg, in their order.
    pub(crate) fn hooks(&self, leg: Leg) -> Vec<(Layer, Hook)> {
        use Hook::{Egress, Forward, Ingress, Input, Output, Postrouting, Prerouting};
        let (from, to) = self.ends(leg);
        let mut hooks = Vec::new();
        let mut add = |layer, some: &[Hook]| hooks.extend(some.iter().map(|hook| (layer, *hook)));
        if let Side::Behind(_) = from {
            add(Layer::Netdev, &[Ingress]);
        }
        if self.is_bridged() {
            add(Layer::Bridge, &[Prerouting]);
            if self.judges_bridged {
                add(Layer::Network, &[Prerouting, Forward, Postrouting]);
            }
            add(Layer::Bridge, &[Forward, Postrouting]);
            add(Layer::Netdev, &[Egress]);
            return hooks;
        }
        match (from, to) {
            (Side::Host, Side::Host) => {
                add(Layer::Network, &[Output, Postrouting, Prerouting, Input])
            }
            (Side::Host, Side::Behind(_)) => add(Layer::Network, &[Output, Postrouting]),
            (Side::Behind(link), to) => {
                if link.is_bridge {
                    add(Layer::Bridge, &[Prerouting, Input]);
                }
                add(Layer::Network, &[Prerouting]);
                match to {
                    Side::Host => add(Layer::Network, &[Input]),
                    Side::Behind(_) => add(Layer::Network, &[Forward, Postrouting]),
                }
            }
        }
        if matches!(to, Side::Behind(link) if link.is_bridge) {
            add(Layer::Bridge, &[Output, Postrouting]);
        }
        if let Side::Behind(_) = to {
            add(Layer::Netdev, &[Egress]);
        }
        hooks
    }

    /// The packet of a leg as a chain of this priority finds it. All chains of type `nat` are asked at one priority.
    pub(crate) fn packet(&self, leg: Leg, layer: Layer, hook: Hook, priority: i64) -> Packet<'_> {
        let (from, to) = self.ends(leg);
        let (in_dev, out_dev) = (self.dev(from, layer), self.dev(to, layer));
        let is_early = matches!(hook, Hook::Ingress | Hook::Prerouting | Hook::Output);
        let is_before_nat = match layer {
            Layer::Netdev => hook == Hook::Ingress,
            Layer::Bridge => matches!(hook, Hook::Prerouting | Hook::Input),
            Layer::Network => is_early && priority <= DSTNAT,
        };
        let is_before_conntrack = layer == Layer::Netdev || is_early && priority < CONNTRACK;
        let has_left = hook == Hook::Egress
            || layer == Layer::Bridge && matches!(hook, Hook::Output | Hook::Postrouting);
        let translated = (self.translated).filter(|_| leg == Leg::There && is_before_nat);
        // The host's own address, whichever that is.
        let is_to_masquerade = leg == Leg::Back && self.is_masqueraded && is_before_nat;
        let (source, destination, traffic) = match leg {
            Leg::There => (
                self.client_address
                    .filter(|_| !(self.is_masqueraded && has_left)),
                match translated {
                    Some(translated) => translated.address,
                    None => Some(self.server_address),
                },
                self.traffic.to(translated.map(|one| one.port)),
            ),
            Leg::Back => (
                match self.translated.filter(|_| has_left) {
                    Some(translated) => translated.address,
                    None => Some(self.server_address),
                },
                self.client_address.filter(|_| !is_to_masquerade),
                self.traffic
                    .reply(self.family())
                    .to(self.translated.filter(|_| has_left).map(|one| one.port)),
            ),
        };
        let has_no_in = matches!(hook, Hook::Output | Hook::Postrouting) && from == &Side::Host;
        let edge = match hook {
            Hook::Egress => to,
            _ => from,
        };
        let is_in = matches!(hook, Hook::Prerouting | Hook::Input | Hook::Ingress);
        Packet {
            family: self.family(),
            leg,
            hook,
            in_dev: if has_no_in || matches!(hook, Hook::Output | Hook::Egress) {
                Dev::Absent
            } else {
                in_dev
            },
            out_dev: if is_in { Dev::Absent } else { out_dev },
            source,
            destination,
            mac: match from {
                Side::Behind(link) => link.mac.as_deref(),
                Side::Host => None,
            },
            traffic,
            // An interface's rules may see what connection tracking knows, or not.
            may_be_untracked: hook == Hook::Egress,
            bridge: self.bridge(layer),
            // What goes to the host itself keeps its source.
            needs_nat: self.translated.is_some()
                || self.is_masqueraded && self.server != Side::Host,
            carriers: match (layer, edge) {
                // What goes from port to port does not pass the bridge itself.
                (Layer::Netdev, Side::Behind(link)) if !self.is_bridged() => link.names(),
                _ => Vec::new(),
            },
            tracked: (!is_before_conntrack).then(|| self.tracked(leg, translated)),
            is_translated_here: self.translated.is_some()
                && matches!(hook, Hook::Prerouting | Hook::Output),
            is_to_host: Some(translated.is_some() || is_to_masquerade || to == &Side::Host),
            is_way_back: match from {
                Side::Behind(link) => link.is_way_back,
                Side::Host => Some(true),
            },
            is_bridged: self.is_bridged(),
        }
    }

    fn bridge(&self, layer: Layer) -> Option<&str> {
        let sides = [&self.client, &self.server].into_iter();
        let mut bridges = sides.filter_map(|side| match side {
            Side::Behind(link) if link.is_bridge => link.interface.as_deref(),
            _ => None,
        });
        bridges.next().filter(|_| layer == Layer::Bridge)
    }

    fn dev<'a>(&'a self, side: &'a Side, layer: Layer) -> Dev<'a> {
        let Side::Behind(link) = side else {
            return Dev::Absent;
        };
        // A bridge's hooks name its ports, those of IP the bridge.
        let name = match layer {
            Layer::Bridge => &link.port,
            Layer::Netdev if link.is_bridge => &link.port,
            Layer::Netdev | Layer::Network => &link.interface,
        };
        name.as_deref().map_or(Dev::Unknown, Dev::Named)
    }

    fn tracked(&self, leg: Leg, untranslated: Option<Translated>) -> Tracked {
        let port = self.traffic.port();
        Tracked {
            leg,
            // Before it is translated nothing says that it will be.
            is_dnat: self.translated.is_some() && untranslated.is_none(),
            is_snat: self.is_masqueraded && leg == Leg::Back,
            original: (
                self.client_address,
                match self.translated {
                    Some(translated) => translated.address,
                    None => Some(self.server_address),
                },
            ),
            original_port: self
                .translated
                .map_or(port, |translated| Some(translated.port)),
            replying: self.server_address,
            replying_port: port,
        }
    }
}

impl Traffic {
    /// The server's port.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Port { port, .. } => Some(port),
            Self::Icmp { .. } | Self::Other => None,
        }
    }

    /// The same to another port, if one is named.
    fn to(self, other: Option<u16>) -> Self {
        match (self, other) {
            (Self::Port { protocol, from, .. }, Some(port)) => Self::Port {
                protocol,
                port,
                from,
            },
            (traffic, _) => traffic,
        }
    }

    /// The answer's. [`Packet::ports`] has the ports change places; of ICMP an echo has another type.
    fn reply(self, family: Family) -> Self {
        match (self, family) {
            (Self::Icmp { kind: 8, code }, Family::Ipv4) => Self::Icmp { kind: 0, code },
            (Self::Icmp { kind: 128, code }, Family::Ipv6) => Self::Icmp { kind: 129, code },
            (traffic, _) => traffic,
        }
    }
}

impl Packet<'_> {
    /// Ports of source and destination, as far as they are known.
    pub(crate) fn ports(&self) -> (Option<u16>, Option<u16>) {
        let Traffic::Port { port, from, .. } = self.traffic else {
            return (None, None);
        };
        match self.leg {
            Leg::There => (from, Some(port)),
            Leg::Back => (Some(port), from),
        }
    }

    /// Its protocol's name and number; nothing for another than is known.
    pub(crate) fn protocol(&self) -> Option<(&'static str, u8)> {
        match (self.traffic, self.family) {
            (Traffic::Port { protocol, .. }, _) => Some((protocol.name(), protocol.number())),
            (Traffic::Icmp { .. }, Family::Ipv4) => Some(("icmp", 1)),
            (Traffic::Icmp { .. }, Family::Ipv6) => Some(("ipv6-icmp", 58)),
            (Traffic::Other, _) => None,
        }
    }

    /// Whether a chain of nftables' that changes addresses may be asked about it: once for a connection, and not after portero's
    /// has changed its destination.
    pub(crate) fn is_asked_to_translate(&self, priority: i64) -> bool {
        self.leg == Leg::There && (!self.is_translated_here || priority < PORTERO_DSTNAT)
    }

    /// Whether it is not known which port of a bridge it comes or goes by.
    pub(crate) fn has_unknown_port(&self) -> bool {
        self.in_dev == Dev::Unknown || self.out_dev == Dev::Unknown
    }

    /// Whether a chain of an interface is asked about it.
    pub(crate) fn passes(&self, interface: &str) -> Option<bool> {
        if self.carriers.contains(&interface) {
            return Some(true);
        }
        let dev = match self.hook {
            Hook::Egress => self.out_dev,
            _ => self.in_dev,
        };
        match dev {
            Dev::Named(name) => Some(name == interface),
            Dev::Unknown => None,
            Dev::Absent => Some(false),
        }
    }

    /// Its state for connection tracking.
    pub(crate) fn state(&self) -> &'static str {
        match (self.leg, self.traffic) {
            // Of neighbour discovery and multicast listeners it keeps nothing (nf_conntrack_proto_icmpv6.c).
            (
                _,
                Traffic::Icmp {
                    kind: 130..=137 | 143,
                    ..
                },
            ) if self.family == Family::Ipv6 => "untracked",
            (Leg::There, _) => "new",
            (Leg::Back, _) => "established",
        }
    }

    /// Flags of TCP (RFC 9293).
    pub(crate) fn tcp_flags(&self) -> Option<u64> {
        let Traffic::Port {
            protocol: Protocol::Tcp,
            ..
        } = self.traffic
        else {
            return None;
        };
        Some(match self.leg {
            Leg::There => SYN,
            Leg::Back => SYN | ACK,
        })
    }

    /// Whether all on the link get it.
    pub(crate) fn is_broadcast(&self) -> Option<bool> {
        self.destination
            .map(|to| to == IpAddr::V4(Ipv4Addr::BROADCAST))
    }
}

/// A packet opens a connection.
pub(crate) const SYN: u64 = 2;
/// It answers one.
pub(crate) const ACK: u64 = 16;

/// Flags of TCP by their names and bits.
pub(crate) const TCP_FLAGS: [(&str, u64); 8] = [
    ("fin", 1),
    ("syn", SYN),
    ("rst", 4),
    ("psh", 8),
    ("ack", ACK),
    ("urg", 32),
    ("ecn", 64),
    ("cwr", 128),
];
