//! What a network's policy asks of the firewall, with every name resolved to addresses and
//! interfaces.

use crate::{Family, PortRange, Protocol};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The policy of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The network's bridge: what its packets are known by.
    pub bridge: String,
    /// What is said of packets of each direction, the first that fits decides; a direction of which
    /// nothing is said is left out.
    #[serde(rename = "ways")]
    pub rules: BTreeMap<Direction, Vec<CompiledRule>>,
    /// What happens to the addresses of its guests' connections.
    pub nat: Vec<Nat>,
    /// Addresses that the host answers for on its other interfaces.
    pub neighbors: Vec<Neighbor>,
}

impl Policy {
    /// What is said of packets of a direction, in the order in which it is asked: what looks at each
    /// packet comes first.
    pub fn in_order(&self, direction: Direction) -> impl Iterator<Item = &CompiledRule> {
        let rules = self.rules.get(&direction).map_or(&[][..], Vec::as_slice);
        let order = [Judged::EveryPacket, Judged::Opener].into_iter();
        order.flat_map(move |judged| CompiledRule::judging(rules, judged))
    }
}

/// Where packets go, seen from a network's guests, and whether through the host or to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From guests, through the host.
    Out,
    /// To guests, through the host.
    In,
    /// From guests to the host itself.
    ToHost,
    /// From the host itself to guests.
    FromHost,
}

impl Direction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Out, Self::In, Self::ToHost, Self::FromHost];

    /// Its name in chains and comments.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
            Self::ToHost => "host",
            Self::FromHost => "fromhost",
        }
    }

    /// Gives `from_guests` where packets come from guests, and `to_guests` where they go to guests.
    #[must_use]
    pub fn pick<T>(self, from_guests: T, to_guests: T) -> T {
        match self {
            Self::Out | Self::ToHost => from_guests,
            Self::In | Self::FromHost => to_guests,
        }
    }
}

/// What a compiled rule is known by, in comments, counters and logs: `in 3`, `out default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RuleName {
    /// Which packets it is about.
    pub direction: Direction,
    /// What it is made of.
    pub source: RuleSource,
}

/// What a compiled rule is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleSource {
    /// A `<rule>`: which of its policy, counted from 1 in document order.
    Rule(usize),
    /// `<default>`, or the mode.
    Default,
    /// What a default that accepts leaves over: addresses that are not the network's.
    Foreign,
    /// `<antispoof ip='yes'/>`.
    Antispoof,
    /// What every network's guests may ask of the host.
    Services,
}

impl fmt::Display for RuleSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(number) => number.fmt(formatter),
            Self::Default => formatter.write_str("default"),
            Self::Foreign => formatter.write_str("foreign"),
            Self::Antispoof => formatter.write_str("antispoof"),
            Self::Services => formatter.write_str("services"),
        }
    }
}

impl RuleName {
    /// A name.
    #[must_use]
    pub fn new(direction: Direction, source: RuleSource) -> Self {
        Self { direction, source }
    }

    /// Which `<rule>` of the policy it is of, counted from 1; nothing where it is of none.
    #[must_use]
    pub fn number(self) -> Option<usize> {
        match self.source {
            RuleSource::Rule(number) => Some(number),
            _ => None,
        }
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.direction.name(), self.source)
    }
}

/// What is no compiled rule's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a name of a compiled rule, expected one as 'in 3' or 'out default'", found.escape_debug())]
pub struct RuleNameError {
    /// What was given.
    pub found: String,
}

impl FromStr for RuleName {
    type Err = RuleNameError;

    fn from_str(text: &str) -> Result<Self, RuleNameError> {
        let read = || {
            let (direction, word) = text.split_once(' ')?;
            let direction = Direction::ALL
                .into_iter()
                .find(|known| known.name() == direction)?;
            let source = match word {
                "default" => RuleSource::Default,
                "foreign" => RuleSource::Foreign,
                "antispoof" => RuleSource::Antispoof,
                "services" => RuleSource::Services,
                number => RuleSource::Rule(number.parse().ok()?),
            };
            let name = Self { direction, source };
            // Rust reads `+3` and `03` too.
            (name.to_string() == text).then_some(name)
        };
        read().ok_or_else(|| RuleNameError {
            found: text.to_owned(),
        })
    }
}

impl TryFrom<String> for RuleName {
    type Error = RuleNameError;

    fn try_from(text: String) -> Result<Self, RuleNameError> {
        text.parse()
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.to_string()
    }
}

/// A rule with every name resolved: what is done with the packets that fit. A `<rule>` becomes one for
/// each direction that it is about; defaults and antispoof become some too. For people, and in JSON, it
/// is a clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledRule {
    /// What it is known by.
    pub name: RuleName,
    /// Families it is about; never empty.
    pub families: Vec<Family>,
    /// The guest's address.
    #[serde(default, skip_serializing_if = "Nets::is_any")]
    pub guests: Nets,
    /// The other end, one of these; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// What for, one of these; anything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Which packets of a connection are looked at.
    pub judged: Judged,
    /// What is done.
    pub verdict: Verdict,
    /// How it is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogRate>,
}

impl CompiledRule {
    /// What is done with whatever opens a connection.
    #[must_use]
    pub fn of_all(name: RuleName, verdict: Verdict) -> Self {
        Self {
            name,
            families: Family::ALL.to_vec(),
            guests: Nets::Any,
            peers: Vec::new(),
            services: Vec::new(),
            judged: Judged::Opener,
            verdict,
            log: None,
        }
    }

    /// Its peers, one of whom any is where it says nothing of them.
    #[must_use]
    pub fn any_peers(&self) -> &[Peer] {
        match self.peers.as_slice() {
            [] => Peer::ANY,
            peers => peers,
        }
    }

    /// Those of some compiled rules that are asked about these packets.
    pub fn judging(rules: &[Self], judged: Judged) -> impl Iterator<Item = &Self> {
        rules.iter().filter(move |rule| rule.judged == judged)
    }
}

/// Which packets a compiled rule is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// Those of whoever opened the connection; replies pass.
    Opener,
    /// Each by itself, replies too (`statematch='false'` of nwfilter).
    EveryPacket,
}

/// What is done with a packet.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Verdict {
    /// It passes, as far as this network is concerned.
    Accept,
    /// It is dropped in silence.
    Drop,
    /// Its sender is told: ICMP port unreachable, as by libvirt itself.
    Reject,
}

impl Verdict {
    /// nwfilter's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Addresses that fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nets {
    /// All.
    #[default]
    Any,
    /// Those in one of these networks.
    In(Vec<IpNet>),
    /// Those in none of these; of a family of which none of these is, all.
    NotIn(Vec<IpNet>),
}

impl Nets {
    /// Whether every address fits.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }

    /// The part of one family; nothing when no address of it fits. A network of all addresses is
    /// none: neither firewall would print it.
    #[must_use]
    pub fn only(&self, family: Family) -> Option<Self> {
        let (Self::In(nets) | Self::NotIn(nets)) = self else {
            return Some(Self::Any);
        };
        let of_family = |net: &&IpNet| Family::from(net.addr()) == family;
        let mut nets: Vec<IpNet> = nets.iter().filter(of_family).copied().collect();
        if nets.len() > 1 {
            nets = IpNet::aggregate(&nets);
            nets.sort_unstable();
        }
        let (all, none) = (nets == [family.all()], nets.is_empty());
        match self {
            Self::In(_) if all => Some(Self::Any),
            Self::In(_) => (!none).then_some(Self::In(nets)),
            _ if none => Some(Self::Any),
            _ => (!all).then_some(Self::NotIn(nets)),
        }
    }
}

/// The other end of a connection; all that is said of it has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Nets::is_any")]
    pub nets: Nets,
    /// The interface it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Named>,
    /// Its MAC address, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Named>,
}

impl Peer {
    /// Anybody.
    const ANY: &'static [Self] = &[Self {
        nets: Nets::Any,
        interface: None,
        mac: None,
    }];
}

/// A name that has to be the one, or must not be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// This one.
    Is(String),
    /// Any other.
    IsNot(String),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// A protocol with ports: the destination's, all when absent.
    Ports {
        /// The protocol.
        protocol: Protocol,
        /// Ports of the destination.
        ports: Option<PortRange>,
    },
    /// ICMP or ICMPv6, by family.
    Icmp {
        /// The family.
        family: Family,
        /// The type, all when absent.
        kind: Option<u8>,
        /// The code, all when absent.
        code: Option<u8>,
    },
}

impl Service {
    /// Whether packets of a family can be meant.
    #[must_use]
    pub fn is_of(self, family: Family) -> bool {
        match self {
            Self::Ports { .. } => true,
            Self::Icmp { family: of, .. } => of == family,
        }
    }
}

/// How often something is logged, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRate {
    /// What each line starts with: at most 29 characters, netfilter's limit for iptables, of which
    /// none ends a quotation.
    pub prefix: String,
    /// How many lines are written in one unit of time, 1 to 10000.
    pub lines: u32,
    /// The unit.
    pub unit: TimeUnit,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TimeUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl TimeUnit {
    /// All, the shortest first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// How many seconds it has.
    #[must_use]
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        }
    }
}

/// What happens to the addresses of connections that guests open; the first that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// They stay as they are towards these.
    Keep {
        /// The guests.
        from: IpNet,
        /// The other end.
        to: NatPeer,
    },
    /// They become the host's, as by libvirt's mode `nat`.
    Masquerade {
        /// The guests.
        from: IpNet,
        /// The addresses to take; that of the interface when absent.
        addresses: Option<(IpAddr, IpAddr)>,
        /// The ports to take for TCP and UDP.
        ports: PortRange,
    },
}

impl Nat {
    /// The guests whose connections it is about.
    #[must_use]
    pub fn guests(&self) -> IpNet {
        match self {
            Self::Keep { from, .. } | Self::Masquerade { from, .. } => *from,
        }
    }
}

/// Towards whom addresses stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatPeer {
    /// Everybody behind an interface.
    Interface(String),
    /// Everybody in a network.
    Net(IpNet),
}

/// An address of a guest's that the host answers for on one of its own interfaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Neighbor {
    /// The host's interface.
    pub dev: String,
    /// The guest's address.
    pub address: IpAddr,
}
