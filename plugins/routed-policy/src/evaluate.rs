//! Whether compiled rules fit, and what everybody says who is asked: decided here and nowhere else.
//!
//! Two questions come here. `explain` asks about one packet, of which everything is known: a rule fits
//! it or does not. `reachability` asks about all packets between two places: a rule may fit some of
//! them, when it names one address of many. Both ask the same judges in the same order: the host, the
//! policies of both ends, libvirt. So this is written once, for answers that may be [`Fit::Some`], and
//! a packet is the question that never gets this answer. Were it written twice, `portero map` and
//! `portero policy explain` would say two things one day, and nobody would know which of them the
//! firewall does.
//!
//! A [`Question`] has two ends, each a [`Party`]. A new condition in rules becomes a method that
//! answers for one machine and for each kind of [`Place`], as `fit_nets` and `fit_interface` do.

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

impl Fit {
    fn at_most_some(fits: bool) -> Self {
        Self::from(fits).min(Self::Some)
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
    /// A policy's rules in order, each with whether the ends fit; those that never do are left out.
    rules: Vec<(&'a CompiledRule, Fit)>,
    /// What is said of all that no rule fits.
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
        let before = self.on_one_bridge().or_else(|| self.refused_by_host());
        if let Some((decider, verdict)) = before {
            return vec![self.judge(decider, verdict)];
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
            judges.extend(self.libvirt(from.as_ref(), to.as_ref()));
        }
        judges
    }

    /// One who says the same whatever packets are for.
    fn judge<'a>(&self, decider: Decider, verdict: Verdict) -> Judge<'a> {
        Judge {
            family: self.family,
            rules: Vec::new(),
            otherwise: Opinion {
                decider,
                verdict,
                exceptions: Vec::new(),
            },
        }
    }

    fn on_one_bridge(&self) -> Option<(Decider, Verdict)> {
        let (Party::One(from), Party::One(to)) = (self.from, self.to) else {
            return None;
        };
        let shared = self.from.network(self.networks);
        let network = shared.filter(|_| from.at == to.at)?.name.clone();
        Some((Decider::Bridge { network }, Verdict::Accept))
    }

    /// What the host says before it asks its firewall. Packets to itself and from itself need no
    /// router.
    fn refused_by_host(&self) -> Option<(Decider, Verdict)> {
        let is_local = self.from.is_host() || self.to.is_host();
        let (refusal, verdict) = match (self.routing, self.to) {
            // It says nothing then (`ip_error` in net/ipv4/route.c, `ip6_forward` in net/ipv6).
            (Routing::Off, _) if !is_local => (Refusal::NoRouter, Verdict::Drop),
            (_, Party::One(end)) if end.at == At::Nowhere => (Refusal::NoRoute, Verdict::Reject),
            _ => return None,
        };
        Some((Decider::Host(refusal), verdict))
    }

    fn policy<'a>(&self, side: &Side<'_, '_>, policy: &'a Policy) -> Judge<'a> {
        // Replies pass once the rules that look at each packet have been asked; so do forwards to guests.
        let is_forwarded = side.direction == Direction::In && self.path == PacketPath::Forwarded;
        let passes = self.stage == Stage::Reply || is_forwarded;
        let rules = policy.in_order(side.direction);
        let asked = rules.filter(|rule| !passes || rule.judged == Judged::EveryPacket);
        let fitting = asked.map(|rule| (rule, self.fit_ends(rule, side)));
        let decider = Decider::Policy {
            network: side.network.name.clone(),
            direction: side.direction,
            rule: None,
        };
        Judge {
            rules: fitting.filter(|(_, fit)| *fit != Fit::None).collect(),
            ..self.judge(decider, Verdict::Accept)
        }
    }

    /// How much of what goes between the ends a compiled rule is about, whatever it is for.
    fn fit_ends(&self, rule: &CompiledRule, side: &Side<'_, '_>) -> Fit {
        if !rule.families.contains(&self.family) {
            return Fit::None;
        }
        let peer = |peer: &Peer| {
            let interface = fit_name(peer.interface.as_ref(), &|name| {
                self.fit_interface(side.peers, name)
            });
            let mac = fit_name(peer.mac.as_ref(), &|mac| match side.peers {
                Party::One(end) => (end.mac.as_deref() == Some(mac)).into(),
                Party::All(_) => Fit::Some,
            });
            let nets = self.fit_address(side.peers, &peer.nets);
            nets.min(interface).min(mac)
        };
        let peers = one_of(rule.peers.iter().map(peer));
        self.fit_address(side.guests, &rule.guests).min(peers)
    }

    /// How many of a party's addresses these are.
    fn fit_address(&self, party: Party<'_>, nets: &Nets) -> Fit {
        match nets {
            Nets::Any => Fit::All,
            Nets::In(nets) => self.fit_nets(party, nets),
            Nets::NotIn(nets) => !self.fit_nets(party, nets),
        }
    }

    /// How many of a party's addresses are in one of these networks.
    fn fit_nets(&self, party: Party<'_>, nets: &[IpNet]) -> Fit {
        let place = match party {
            Party::One(end) => return nets.iter().any(|net| net.contains(&end.address)).into(),
            Party::All(place) => place,
        };
        let is_of_family = |net: &IpNet| Family::from(net.addr()) == self.family;
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
                    return Fit::All;
                }
                let has_some = own.iter().any(|own| holds(&nets, own));
                Fit::at_most_some(has_some || nets.iter().any(|net| holds(&own, net)))
            }
            Place::Outside => {
                let inside: Vec<IpNet> = self.routed().flat_map(nets_of).collect();
                Fit::at_most_some(!nets.iter().all(|net| holds(&inside, net)))
            }
            Place::Host => Fit::Some,
        }
    }

    /// How much of a party is behind an interface of the host's.
    fn fit_interface(&self, party: Party<'_>, interface: &str) -> Fit {
        match party {
            Party::One(end) => (end.interface() == Some(interface)).into(),
            Party::All(Place::Network(network)) => network.has_bridge(interface).into(),
            Party::All(Place::Outside) => {
                Fit::at_most_some(!self.routed().any(|one| one.has_bridge(interface)))
            }
            Party::All(Place::Host) => Fit::Some,
        }
    }

    fn routed(&self) -> impl Iterator<Item = &'q Network> {
        let networks = self.networks.iter();
        networks.filter(|network| network.mode.is_routed_by_host())
    }

    /// libvirt about the ends that have no policy, which takes its place: first about packets to
    /// guests, and then, unless it has accepted already, about packets from guests.
    fn libvirt<'a>(
        &self,
        from: Option<&Side<'_, '_>>,
        to: Option<&Side<'_, '_>>,
    ) -> Vec<Judge<'a>> {
        let is_plain = |side: &&Side<'_, '_>| side.policy.is_none();
        let nobody_else = from.iter().chain(&to).all(is_plain);
        let mut judges = Vec::new();
        for side in to.into_iter().chain(from).filter(is_plain) {
            let (mode, direction) = (side.network.mode, side.direction);
            // It has no rules for open networks, and accepts no more of what is for the host than the
            // host does without.
            if mode == ForwardMode::Open || !matches!(direction, Direction::Out | Direction::In) {
                continue;
            }
            let (verdict, exception) = match self.fit_libvirt(side) {
                Fit::All => (Verdict::Accept, None),
                Fit::Some => (Verdict::Accept, Some(Verdict::Reject)),
                Fit::None => (Verdict::Reject, None),
            };
            let network = side.network.name.clone();
            let decider = Decider::Libvirt {
                network,
                direction,
                mode,
            };
            let mut judge = self.judge(decider, verdict);
            judge.otherwise.exceptions.extend(exception);
            judges.push(judge);
            if verdict == Verdict::Accept && direction == Direction::In && nobody_else {
                break;
            }
        }
        judges
    }

    /// How much libvirt's own rules accept (src/network/network_iptables.c, network_nftables.c).
    fn fit_libvirt(&self, side: &Side<'_, '_>) -> Fit {
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
        let dev = dev.map_or(Fit::All, |dev| self.fit_interface(side.peers, dev));
        let own = self.fit_nets(side.guests, &nets_of(network));
        Fit::from(is_open).min(own).min(dev)
    }
}

fn fit_name(named: Option<&Named>, is: &dyn Fn(&str) -> Fit) -> Fit {
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

    /// What it says of packets for something: the verdict of the first rule that fits all of them, and
    /// those of earlier ones that fit some.
    pub(crate) fn opinion(&self, purpose: Purpose) -> Opinion {
        let mut opinion = self.otherwise.clone();
        for (rule, ends) in &self.rules {
            let services = rule.services.iter();
            let service =
                one_of(services.map(|service| purpose.fit_service(*service, self.family)));
            match service.min(*ends) {
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
    /// How much of it is a service.
    fn fit_service(self, service: Service, of: Family) -> Fit {
        let (Self::OfPacket(asked) | Self::OfMany(asked)) = self;
        match (service, asked) {
            (Service::Ports { protocol, ports }, Protocol::Port(wanted, port)) => {
                Fit::from(protocol == wanted && ports.is_none_or(|ports| ports.contains(port)))
            }
            (Service::Icmp { family, kind, code }, Protocol::Icmp(wanted, with)) => {
                let by_code = match (code, self) {
                    (None, _) => Fit::All,
                    (Some(_), Self::OfMany(_)) => Fit::Some,
                    (Some(code), Self::OfPacket(_)) => Fit::from(code == with),
                };
                let is_kind = family == of && kind.is_none_or(|kind| kind == wanted);
                Fit::from(is_kind).min(by_code)
            }
            _ => Fit::None,
        }
    }
}
