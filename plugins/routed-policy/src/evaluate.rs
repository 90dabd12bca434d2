//! Whether compiled rules fit, and what everybody says who is asked: decided here and nowhere else.
//!
//! Two questions come here. `explain` asks about one packet, of which everything is known: a compiled rule
//! fits it or does not. `reachability` asks about all packets between two places: a compiled rule may fit
//! some of them, when it names one address of many. Both ask the same judges in the same order: the
//! host, the policies of both ends, libvirt. So this is written once, for answers that may be
//! [`Fit::Some`], and a packet is the question that never gets this answer. Were it written twice,
//! `portero map` and `portero policy explain` would say two things one day, and nobody would know
//! which of them the firewall does.
//!
//! What a [`Question`] is about are two [`Party`]s. A new condition in compiled rules becomes a method of
//! `Party` with an answer for one end and for each kind of place.

use crate::compile::nets_of;
use crate::packet::{At, End, PacketPath, Protocol, Routing};
use ipnet::IpNet;
use portero_libvirt::{ForwardMode, Network, ObjectName};
use portero_model::{
    CompiledRule, Direction, Family, Judged, Named, Nets, Peer, Policy, RuleName, Service, Verdict,
};
use std::ops::Not;

/// Where a connection begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The host itself.
    Host,
    /// Everything that is on no network that the host routes to.
    Outside,
    /// The guests of a network, with addresses of its own.
    Network(&'a Network),
}

/// Who has a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// A network's policy.
    Policy {
        /// The network.
        network: ObjectName,
        /// The direction.
        direction: Direction,
        /// The compiled rule that fits; none when the policy says nothing of the packet.
        rule: Option<RuleName>,
    },
    /// libvirt's own rules for a network.
    Libvirt {
        /// The network.
        network: ObjectName,
        /// Which of its directions.
        direction: Direction,
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
    /// It has no route.
    NoRoute,
}

/// How many of the packets that are asked about a condition is true of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    None,
    /// Some, or it cannot be told.
    Some,
    All,
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits {
            Self::All
        } else {
            Self::None
        }
    }
}

impl Not for Fit {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::None => Self::All,
            Self::Some => Self::Some,
            Self::All => Self::None,
        }
    }
}

/// One of these has to be true; where there are none, anything will do.
fn one_of(conditions: impl Iterator<Item = Fit>) -> Fit {
    conditions.max().unwrap_or(Fit::All)
}

/// Who sends what is asked about, or gets it.
#[derive(Clone, Copy)]
pub(crate) enum Party<'a> {
    /// One machine.
    One(&'a End),
    /// Everybody at a place.
    All(Place<'a>),
}

/// Which packet of a connection is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Opener,
    Reply,
}

/// What packets are for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// One packet's.
    OfPacket(Protocol),
    /// That of many packets, whose ICMP is of one type and any code.
    OfMany(Protocol),
}

/// What is asked, apart from what it is for.
pub(crate) struct Question<'a> {
    pub(crate) from: Party<'a>,
    pub(crate) to: Party<'a>,
    pub(crate) family: Family,
    pub(crate) path: PacketPath,
    pub(crate) stage: Stage,
    pub(crate) routing: Routing,
    /// All active networks.
    pub(crate) networks: &'a [Network],
}

/// One who is asked.
pub(crate) struct Judge<'a> {
    family: Family,
    /// A policy's compiled rules in order, each with whether the ends fit; those that never do are left out.
    rules: Vec<(&'a CompiledRule, Fit)>,
    /// What is said of all that no compiled rule fits.
    otherwise: Opinion,
}

/// What a judge says.
#[derive(Clone)]
pub(crate) struct Opinion {
    pub(crate) decider: Decider,
    pub(crate) verdict: Verdict,
    /// What becomes of some; nothing else than the verdict can become of one packet.
    pub(crate) exceptions: Vec<Verdict>,
}

impl Opinion {
    fn on_all(decider: Decider, verdict: Verdict) -> Self {
        Self {
            decider,
            verdict,
            exceptions: Vec::new(),
        }
    }
}

/// The guests' end of a connection, and what is said of them.
struct Side<'q, 'a> {
    network: &'q Network,
    direction: Direction,
    guests: Party<'q>,
    peers: Party<'q>,
    policy: Option<&'a Policy>,
}

impl<'q> Party<'q> {
    fn is_host(self) -> bool {
        match self {
            Self::One(end) => end.at == At::Host,
            Self::All(place) => place == Place::Host,
        }
    }

    /// The network whose bridge it is behind.
    fn network(self, networks: &'q [Network]) -> Option<&'q Network> {
        match self {
            Self::One(end) => {
                let interface = end.interface()?;
                networks.iter().find(|one| one.has_bridge(interface))
            }
            Self::All(Place::Network(network)) => Some(network),
            Self::All(Place::Host | Place::Outside) => None,
        }
    }
}

impl<'q> Question<'q> {
    /// Everybody who is asked, in their order, until one refuses.
    pub(crate) fn judges<'a>(
        &self,
        policy_of: &dyn Fn(&Network) -> Option<&'a Policy>,
    ) -> Vec<Judge<'a>> {
        if let Some(opinion) = self.on_one_bridge().or_else(|| self.refused_by_host()) {
            return vec![self.judge(opinion)];
        }
        let (out, into) = match (self.from.is_host(), self.to.is_host()) {
            (_, true) => (Direction::ToHost, Direction::In),
            (true, _) => (Direction::Out, Direction::FromHost),
            _ => (Direction::Out, Direction::In),
        };
        let side = |guests: Party<'q>, peers, direction| {
            let network = guests.network(self.networks)?;
            network.mode.is_routed_by_host().then(|| Side {
                network,
                direction,
                guests,
                peers,
                policy: policy_of(network),
            })
        };
        let from = side(self.from, self.to, out);
        let to = side(self.to, self.from, into);
        // Policies come first, in the order in which packets pass.
        let with_policy = from.iter().chain(&to);
        let mut judges: Vec<Judge<'a>> = with_policy
            .filter_map(|side| Some(self.policy(side, side.policy?)))
            .collect();
        // What was forwarded is accepted before libvirt is asked.
        if self.path == PacketPath::Direct {
            let opinions = self.libvirt(from.as_ref(), to.as_ref());
            judges.extend(opinions.into_iter().map(|opinion| self.judge(opinion)));
        }
        judges
    }

    /// One who says the same whatever packets are for.
    fn judge<'a>(&self, otherwise: Opinion) -> Judge<'a> {
        Judge {
            family: self.family,
            rules: Vec::new(),
            otherwise,
        }
    }

    fn on_one_bridge(&self) -> Option<Opinion> {
        let (Party::One(from), Party::One(to)) = (self.from, self.to) else {
            return None;
        };
        let shared = self.from.network(self.networks);
        let network = shared.filter(|_| from.at == to.at)?.name.clone();
        Some(Opinion::on_all(
            Decider::Bridge { network },
            Verdict::Accept,
        ))
    }

    /// What the host says before it asks its firewall. Packets to itself and from itself need no
    /// router.
    fn refused_by_host(&self) -> Option<Opinion> {
        let is_local = self.from.is_host() || self.to.is_host();
        let (refusal, verdict) = match (self.routing, self.to) {
            // It says nothing then (`ip_error` in net/ipv4/route.c, `ip6_forward` in net/ipv6).
            (Routing::Off, _) if !is_local => (Refusal::NoRouter, Verdict::Drop),
            (_, Party::One(end)) if end.at == At::Nowhere => (Refusal::NoRoute, Verdict::Reject),
            _ => return None,
        };
        Some(Opinion::on_all(Decider::Host(refusal), verdict))
    }

    fn policy<'a>(&self, side: &Side<'_, '_>, policy: &'a Policy) -> Judge<'a> {
        // Replies pass once the compiled rules that look at each packet have been asked; so do forwards to
        // guests.
        let is_forwarded = side.direction == Direction::In && self.path == PacketPath::Forwarded;
        let passes = self.stage == Stage::Reply || is_forwarded;
        let rules = policy.in_order(side.direction);
        let asked = rules.filter(|rule| !passes || rule.judged == Judged::EveryPacket);
        let fitting = asked.map(|rule| (rule, self.fits(rule, side)));
        let decider = Decider::Policy {
            network: side.network.name.clone(),
            direction: side.direction,
            rule: None,
        };
        Judge {
            rules: fitting.filter(|(_, fit)| *fit != Fit::None).collect(),
            ..self.judge(Opinion::on_all(decider, Verdict::Accept))
        }
    }

    /// Whether a compiled rule is about the ends, whatever the packets are for.
    fn fits(&self, rule: &CompiledRule, side: &Side<'_, '_>) -> Fit {
        if !rule.families.contains(&self.family) {
            return Fit::None;
        }
        let peer = |peer: &Peer| {
            let interface = is_named(peer.interface.as_ref(), &|name| {
                self.is_behind(side.peers, name)
            });
            let mac = is_named(peer.mac.as_ref(), &|mac| match side.peers {
                Party::One(end) => (end.mac.as_deref() == Some(mac)).into(),
                Party::All(_) => Fit::Some,
            });
            let nets = self.has_address(side.peers, &peer.nets);
            nets.min(interface).min(mac)
        };
        let peers = one_of(rule.peers.iter().map(peer));
        self.has_address(side.guests, &rule.guests).min(peers)
    }

    fn has_address(&self, party: Party<'_>, nets: &Nets) -> Fit {
        match nets {
            Nets::Any => Fit::All,
            Nets::In(nets) => self.is_in(party, nets),
            Nets::NotIn(nets) => !self.is_in(party, nets),
        }
    }

    /// Whether a party's addresses are in one of these networks.
    fn is_in(&self, party: Party<'_>, nets: &[IpNet]) -> Fit {
        let place = match party {
            Party::One(end) => return nets.iter().any(|net| net.contains(&end.address)).into(),
            Party::All(place) => place,
        };
        let is_of_family = |net: &IpNet| Family::of(net.addr()) == self.family;
        let nets: Vec<IpNet> = nets.iter().copied().filter(is_of_family).collect();
        let nets = IpNet::aggregate(&nets);
        let holds = |wide: &[IpNet], net: &IpNet| wide.iter().any(|wide| wide.contains(net));
        match place {
            _ if nets.is_empty() => Fit::None,
            _ if nets.contains(&self.family.all()) => Fit::All,
            Place::Network(network) => {
                let mut own = nets_of(network);
                own.retain(is_of_family);
                if own.iter().all(|own| holds(&nets, own)) {
                    Fit::All
                } else if own.iter().any(|own| holds(&nets, own))
                    || nets.iter().any(|net| holds(&own, net))
                {
                    Fit::Some
                } else {
                    Fit::None
                }
            }
            Place::Outside => {
                let inside: Vec<IpNet> = self.routed().flat_map(nets_of).collect();
                if nets.iter().all(|net| holds(&inside, net)) {
                    Fit::None
                } else {
                    Fit::Some
                }
            }
            Place::Host => Fit::Some,
        }
    }

    /// Whether a party is behind an interface of the host's.
    fn is_behind(&self, party: Party<'_>, interface: &str) -> Fit {
        match party {
            Party::One(end) => (end.interface() == Some(interface)).into(),
            Party::All(Place::Network(network)) => network.has_bridge(interface).into(),
            Party::All(Place::Outside) if self.routed().any(|one| one.has_bridge(interface)) => {
                Fit::None
            }
            Party::All(Place::Outside | Place::Host) => Fit::Some,
        }
    }

    fn routed(&self) -> impl Iterator<Item = &'q Network> {
        let networks = self.networks.iter();
        networks.filter(|network| network.mode.is_routed_by_host())
    }

    /// libvirt about the ends that have no policy, which takes its place: first about packets to
    /// guests, and then, unless it has accepted already, about packets from guests.
    fn libvirt(&self, from: Option<&Side<'_, '_>>, to: Option<&Side<'_, '_>>) -> Vec<Opinion> {
        let is_plain = |side: &&Side<'_, '_>| side.policy.is_none();
        let nobody_else = from.iter().chain(&to).all(|side| is_plain(side));
        let mut opinions = Vec::new();
        for side in to.into_iter().chain(from).filter(is_plain) {
            let mode = side.network.mode;
            // It has no rules for open networks, and accepts no more of what is for the host than the
            // host does without.
            if mode == ForwardMode::Open
                || !matches!(side.direction, Direction::Out | Direction::In)
            {
                continue;
            }
            let (verdict, exceptions) = match self.is_accepted_by_libvirt(side) {
                Fit::All => (Verdict::Accept, Vec::new()),
                Fit::Some => (Verdict::Accept, vec![Verdict::Reject]),
                Fit::None => (Verdict::Reject, Vec::new()),
            };
            opinions.push(Opinion {
                decider: Decider::Libvirt {
                    network: side.network.name.clone(),
                    direction: side.direction,
                    mode,
                },
                verdict,
                exceptions,
            });
            if verdict == Verdict::Accept && side.direction == Direction::In && nobody_else {
                break;
            }
        }
        opinions
    }

    /// What libvirt's own rules say (src/network/network_iptables.c, network_nftables.c).
    fn is_accepted_by_libvirt(&self, side: &Side<'_, '_>) -> Fit {
        let network = side.network;
        let is_masqueraded = self.family == Family::Ipv4 || network.masquerades_ipv6;
        let is_open = match (network.mode, side.direction) {
            (ForwardMode::Isolated, _) => false,
            // Without <nat ipv6='yes'/> IPv6 is routed.
            (ForwardMode::Nat, Direction::In) if is_masqueraded => self.stage == Stage::Reply,
            _ => true,
        };
        // With <forward dev='...'/> a guest's packets go by that interface, and come by it.
        let dev = network.forward_dev.as_ref();
        let is_by_dev = dev.map_or(Fit::All, |dev| self.is_behind(side.peers, dev));
        let is_own = self.is_in(side.guests, &nets_of(network));
        Fit::from(is_open).min(is_own).min(is_by_dev)
    }
}

fn is_named(named: Option<&Named>, is: &dyn Fn(&str) -> Fit) -> Fit {
    match named {
        None => Fit::All,
        Some(Named::Is(name)) => is(name),
        Some(Named::IsNot(name)) => !is(name),
    }
}

impl Judge<'_> {
    /// The services that it tells apart.
    pub(crate) fn services(&self) -> impl Iterator<Item = Service> + '_ {
        let rules = self.rules.iter();
        rules.flat_map(|(rule, _)| rule.services.iter().copied())
    }

    /// What it says of packets for something: the verdict of the first compiled rule that fits all of them,
    /// and those of earlier ones that fit some.
    pub(crate) fn opinion(&self, purpose: Purpose) -> Opinion {
        let mut opinion = self.otherwise.clone();
        for (rule, ends) in &self.rules {
            let services = rule.services.iter();
            let is_meant = one_of(services.map(|service| purpose.is_served(*service, self.family)));
            match is_meant.min(*ends) {
                Fit::None => {}
                Fit::Some => opinion.exceptions.push(rule.verdict),
                Fit::All => {
                    opinion.verdict = rule.verdict;
                    if let Decider::Policy { rule: decider, .. } = &mut opinion.decider {
                        *decider = Some(rule.name);
                    }
                    break;
                }
            }
        }
        opinion
    }
}

impl Purpose {
    /// Whether it is a service.
    fn is_served(self, service: Service, of: Family) -> Fit {
        let (Self::OfPacket(asked) | Self::OfMany(asked)) = self;
        match (service, asked) {
            (Service::Ports { protocol, ports }, Protocol::Port(wanted, port)) => {
                Fit::from(protocol == wanted && ports.is_none_or(|ports| ports.contains(port)))
            }
            (Service::Icmp { family, kind, code }, Protocol::Icmp(wanted, with)) => {
                let has_code = match (code, self) {
                    (None, _) => Fit::All,
                    (Some(_), Self::OfMany(_)) => Fit::Some,
                    (Some(code), Self::OfPacket(_)) => Fit::from(code == with),
                };
                let is_kind = family == of && kind.is_none_or(|kind| kind == wanted);
                Fit::from(is_kind).min(has_code)
            }
            _ => Fit::None,
        }
    }
}
