//! Reads `<policy>`: rules in the words of libvirt's nwfilter
//! (<https://libvirt.org/formatnwfilter.html>), with peers, services and defaults.

use crate::attribute::{address, is_yes, number, ports, verdict, word};
use crate::peer::{PeerTarget, WrittenPeer};
use portero_libvirt::InterfaceName;
use portero_model::{
    Family, Judged, PortRange, Protocol, RuleName, Service, Spoof, TimeUnit, Verdict,
};
use portero_xml::{Element, Problem};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A `<policy>` as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPolicy {
    /// Which of libvirt's forward modes it gives to an open network.
    pub mode: Option<Mode>,
    /// What happens to packets to guests that no rule speaks of; what the mode does when absent.
    pub default_in: Option<Verdict>,
    /// The same of packets from guests.
    pub default_out: Option<Verdict>,
    /// The same of packets from guests to the host itself; accepted when absent.
    pub default_host: Option<Verdict>,
    /// Whether what the defaults decide is logged.
    pub logs_defaults: bool,
    /// What guests may not pretend: `<antispoof>`.
    pub antispoof: BTreeSet<Spoof>,
    /// Rules in document order.
    pub rules: Vec<WrittenRule>,
    /// Addresses that the host answers for.
    pub neighbors: Vec<WrittenNeighbor>,
    /// How the mode `nat` changes addresses.
    pub nat: WrittenNat,
    /// Line of the element.
    pub line: usize,
}

/// A forward mode that a policy gives to an open network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As `<forward mode='nat'/>`.
    Nat,
    /// As `<forward mode='route'/>`.
    Route,
    /// As no `<forward>` at all.
    Isolated,
}

/// Which packets a rule is about, seen from the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenDirection {
    /// Those to it.
    In,
    /// Those from it.
    Out,
    /// Both.
    Inout,
}

impl WrittenDirection {
    /// Whether packets to the guest are meant.
    #[must_use]
    pub fn is_in(self) -> bool {
        self != Self::Out
    }

    /// Whether packets from the guest are meant.
    #[must_use]
    pub fn is_out(self) -> bool {
        self != Self::In
    }
}

/// One `<rule>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRule {
    /// Which rule of the policy it is, counted from 1 in document order: what it is known by.
    pub number: usize,
    /// What is done.
    pub verdict: Verdict,
    /// Which packets it is about.
    pub direction: WrittenDirection,
    /// Lower ones come first, -1000 to 1000.
    pub priority: i64,
    /// The family; both when absent.
    pub family: Option<Family>,
    /// Whether replies are judged too.
    pub judged: Judged,
    /// How many lines are logged in which time; nothing is when absent.
    pub log: Option<(u32, TimeUnit)>,
    /// What people say of it.
    pub comment: Option<String>,
    /// The other end, one of these; any but the host when empty.
    pub peers: Vec<WrittenPeer>,
    /// What for, one of these; anything when empty.
    pub services: Vec<Service>,
    /// Line of the element.
    pub line: usize,
}

/// One `<neighbor>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenNeighbor {
    /// The host's interface on whose LAN it answers.
    pub dev: InterfaceName,
    /// Whether it answers for IPv4 addresses.
    pub arp: bool,
    /// Whether it answers for IPv6 addresses.
    pub ndp: bool,
    /// For which; the network's DHCP reservations when empty.
    pub addresses: Vec<IpAddr>,
    /// Line of the element.
    pub line: usize,
}

/// `<nat>` as libvirt has it in `<forward>`, for the mode `nat` of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenNat {
    /// Whether IPv6 connections are masqueraded too.
    pub ipv6: bool,
    /// The addresses to take; the interface's when absent.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The ports to take.
    pub ports: PortRange,
}

/// The rate of `log='yes'` without `limit`.
const LOG_RATE: (u32, TimeUnit) = (10, TimeUnit::Minute);

/// nwfilter's default priority, and its bounds.
const PRIORITY: i64 = 500;
const PRIORITY_BOUND: i64 = 1000;

/// What is wrong with an element that has a forerunner.
const TWICE: &str = "is there twice, expected once";

impl WrittenPolicy {
    /// The policy in a `<portero:network>`, if there is one.
    ///
    /// # Errors
    /// [`Problem`] at the first element or attribute that is not as the grammar has it.
    pub fn find_in(root: &Element) -> Result<Option<Self>, Problem> {
        let mut policies = root.all_own("policy");
        let Some(element) = policies.next() else {
            return Ok(None);
        };
        if let Some(second) = policies.next() {
            return Err(second.problem(format!(
                "a second policy, expected one (the first is in line {})",
                element.line()
            )));
        }
        Self::read(element).map(Some)
    }

    fn read(element: &Element) -> Result<Self, Problem> {
        element.only_attributes(&["mode"])?;
        element.expect_elements()?;
        let modes = [
            ("inherit", None),
            ("nat", Some(Mode::Nat)),
            ("route", Some(Mode::Route)),
            ("isolated", Some(Mode::Isolated)),
        ];
        let mut policy = Self {
            mode: element.optional("mode", word(&modes))?.flatten(),
            default_in: None,
            default_out: None,
            default_host: None,
            logs_defaults: false,
            antispoof: BTreeSet::new(),
            rules: Vec::new(),
            neighbors: Vec::new(),
            nat: WrittenNat::default(),
            line: element.line(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for child in element.children() {
            let name = child.name();
            let once = ["default", "antispoof", "nat"].contains(&name);
            if once && seen.contains(&name) {
                return Err(child.problem(TWICE));
            }
            seen.push(name);
            match child.own_name() {
                Some("default") => policy.read_default(child)?,
                Some("antispoof") => policy.antispoof = antispoof(child)?,
                Some("rule") => {
                    let number = policy.rules.len() + 1;
                    policy.rules.push(rule(child, number)?);
                }
                Some("neighbor") => policy.neighbors.push(neighbor(child)?),
                Some("nat") => {
                    if policy.mode != Some(Mode::Nat) {
                        return Err(child.problem("expected only in a policy with mode='nat'"));
                    }
                    policy.nat = nat(child)?;
                }
                _ => {
                    return Err(child.problem(
                        "not known in a policy, expected <default>, <antispoof>, <rule>, \
                         <neighbor> or <nat> of portero's namespace",
                    ))
                }
            }
        }
        Ok(policy)
    }

    fn read_default(&mut self, element: &Element) -> Result<(), Problem> {
        element.only_attributes(&["in", "out", "host", "log"])?;
        element.expect_nothing()?;
        self.default_in = element.optional("in", verdict)?;
        self.default_out = element.optional("out", verdict)?;
        self.default_host = element.optional("host", verdict)?;
        self.logs_defaults = is_yes(element, "log")?;
        Ok(())
    }

    /// The rule that a compiled rule is made of.
    #[must_use]
    pub fn rule(&self, name: RuleName) -> Option<&WrittenRule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| name.number() == Some(rule.number))
    }

    /// The rate at which defaults are logged, if they are.
    #[must_use]
    pub fn default_log(&self) -> Option<(u32, TimeUnit)> {
        self.logs_defaults.then_some(LOG_RATE)
    }
}

fn antispoof(element: &Element) -> Result<BTreeSet<Spoof>, Problem> {
    let all = [
        ("ip", Spoof::Ip),
        ("mac", Spoof::Mac),
        ("dhcp", Spoof::Dhcp),
        ("ra", Spoof::Ra),
    ];
    element.only_attributes(&all.map(|(name, _)| name))?;
    element.expect_nothing()?;
    let mut against = BTreeSet::new();
    for (name, spoof) in all {
        if is_yes(element, name)? {
            against.insert(spoof);
        }
    }
    Ok(against)
}

fn rule(element: &Element, number_of_rule: usize) -> Result<WrittenRule, Problem> {
    element.only_attributes(&[
        "action",
        "direction",
        "priority",
        "family",
        "statematch",
        "log",
        "limit",
        "comment",
    ])?;
    element.expect_elements()?;
    let directions = [
        ("in", WrittenDirection::In),
        ("out", WrittenDirection::Out),
        ("inout", WrittenDirection::Inout),
    ];
    let families = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];
    // nwfilter knows true and 1, false and 0.
    let states = [
        ("true", Judged::Opener),
        ("1", Judged::Opener),
        ("yes", Judged::Opener),
        ("false", Judged::EveryPacket),
        ("0", Judged::EveryPacket),
        ("no", Judged::EveryPacket),
    ];
    let priority = |text: &str| number(text, -PRIORITY_BOUND, PRIORITY_BOUND);
    let limit = element.optional("limit", rate)?;
    let log = match (is_yes(element, "log")?, limit) {
        (true, limit) => Some(limit.unwrap_or(LOG_RATE)),
        (false, Some(_)) => return Err(element.problem("limit without log='yes'")),
        (false, None) => None,
    };
    let mut rule = WrittenRule {
        number: number_of_rule,
        verdict: element.required("action", "accept, drop or reject", verdict)?,
        direction: element.required("direction", "in, out or inout", word(&directions))?,
        priority: element.optional("priority", priority)?.unwrap_or(PRIORITY),
        family: element.optional("family", word(&families))?,
        judged: element
            .optional("statematch", word(&states))?
            .unwrap_or(Judged::Opener),
        log,
        comment: element.attribute("comment").map(str::to_owned),
        peers: Vec::new(),
        services: Vec::new(),
        line: element.line(),
    };
    for child in element.children() {
        match child.own_name() {
            Some("peer") => {
                let peer = WrittenPeer::read(child)?;
                check_peer(&rule, &peer).map_err(|reason| child.problem(reason))?;
                rule.peers.push(peer);
            }
            Some(name) if SERVICES.contains(&name) => {
                let service = service(child)?;
                if let (Service::Icmp { family, .. }, Some(only)) = (service, rule.family) {
                    if family != only {
                        return Err(child.problem("is not of the rule's family"));
                    }
                }
                rule.services.push(service);
            }
            _ => {
                return Err(child.problem(
                    "not known in a rule, expected <peer>, <tcp>, <udp>, <sctp>, <icmp> or \
                     <icmpv6> of portero's namespace",
                ))
            }
        }
    }
    Ok(rule)
}

/// Why a rule on packets from guests names no MAC address.
pub(crate) const MAC_OF_RECEIVER: &str =
    "a MAC address is seen of whoever sends, expected direction='in' of the rule";

fn check_peer(rule: &WrittenRule, peer: &WrittenPeer) -> Result<(), &'static str> {
    if matches!(peer.target, PeerTarget::Mac(_)) && rule.direction != WrittenDirection::In {
        return Err(MAC_OF_RECEIVER);
    }
    if peer.keeps_sources
        && (rule.verdict != Verdict::Accept || !rule.direction.is_out() || peer.is_negated)
    {
        return Err(
            "nat='no' is about connections that guests may open, expected action='accept', \
             direction='out' and no match='no'",
        );
    }
    Ok(())
}

const SERVICES: [&str; 5] = ["tcp", "udp", "sctp", "icmp", "icmpv6"];

/// iptables takes 255 for any type (`icmp_type_code_match` in net/netfilter/xt_tcpudp.c); both ICMPs
/// reserve it.
const LAST_ICMP_TYPE: u8 = 254;

fn service(element: &Element) -> Result<Service, Problem> {
    element.expect_nothing()?;
    let family = match element.name() {
        "icmp" => Family::Ipv4,
        "icmpv6" => Family::Ipv6,
        name => {
            element.only_attributes(&["dstportstart", "dstportend"])?;
            let protocol: Protocol = name.parse().map_err(|error| element.problem(error))?;
            return Ok(Service::Ports {
                protocol,
                ports: ports(element, "dstportstart", "dstportend")?,
            });
        }
    };
    element.only_attributes(&["type", "code"])?;
    let octet = |text: &str, last: u8| {
        let number = number(text, 0, last.into())?;
        u8::try_from(number).map_err(|error| error.to_string())
    };
    let (kind, code) = (
        element.optional("type", |text| octet(text, LAST_ICMP_TYPE))?,
        element.optional("code", |text| octet(text, u8::MAX))?,
    );
    if kind.is_none() && code.is_some() {
        return Err(element.problem("code without type"));
    }
    Ok(Service::Icmp { family, kind, code })
}

/// `10/minute`, as `log` of iptables and nft have it.
fn rate(text: &str) -> Result<(u32, TimeUnit), String> {
    let wrong = || {
        format!(
            "'{}' is not a rate, expected 1 to 10000 lines in a unit of time, as 10/minute",
            text.escape_debug()
        )
    };
    let (lines, unit) = text.split_once('/').ok_or_else(wrong)?;
    let lines = number(lines, 1, 10_000).ok();
    let lines = lines.and_then(|lines| u32::try_from(lines).ok());
    let unit = TimeUnit::ALL.into_iter().find(|known| known.name() == unit);
    lines.zip(unit).ok_or_else(wrong)
}

fn neighbor(element: &Element) -> Result<WrittenNeighbor, Problem> {
    element.only_attributes(&["dev", "arp", "ndp"])?;
    element.expect_elements()?;
    let mut addresses = Vec::new();
    for child in element.children() {
        if child.own_name() != Some("address") {
            return Err(child.problem("not known in a neighbor, expected <address>"));
        }
        child.only_attributes(&[])?;
        child.expect_text()?;
        addresses.push(address(child.text()).map_err(|reason| child.problem(reason))?);
    }
    let neighbor = WrittenNeighbor {
        dev: element.required("dev", "an interface of the host's", str::parse)?,
        arp: is_yes(element, "arp")?,
        ndp: is_yes(element, "ndp")?,
        addresses,
        line: element.line(),
    };
    if !neighbor.arp && !neighbor.ndp {
        return Err(element.problem("expected arp='yes', ndp='yes' or both"));
    }
    for address in &neighbor.addresses {
        if (address.is_ipv4() && !neighbor.arp) || (address.is_ipv6() && !neighbor.ndp) {
            return Err(element.problem(format!(
                "{address} is answered for by neither, expected arp='yes' for IPv4 and ndp='yes' \
                 for IPv6"
            )));
        }
    }
    Ok(neighbor)
}

/// libvirt's own (src/network/network_iptables.c).
impl Default for WrittenNat {
    fn default() -> Self {
        Self {
            ipv6: false,
            addresses: None,
            ports: PortRange::UNPRIVILEGED,
        }
    }
}

fn nat(element: &Element) -> Result<WrittenNat, Problem> {
    element.only_attributes(&["ipv6"])?;
    element.expect_elements()?;
    let mut nat = WrittenNat {
        ipv6: is_yes(element, "ipv6")?,
        ..WrittenNat::default()
    };
    let mut seen: Vec<&str> = Vec::new();
    for child in element.children() {
        let name = child.name();
        if !matches!(child.own_name(), Some("address" | "port")) {
            return Err(child.problem("not known in <nat>, expected <address> or <port>"));
        }
        // As libvirt has it (`virNetworkForwardNatDefParseXML`).
        if seen.contains(&name) {
            return Err(child.problem(TWICE));
        }
        seen.push(name);
        child.only_attributes(&["start", "end"])?;
        child.expect_nothing()?;
        if name == "address" {
            nat.addresses = Some(addresses(child)?);
        } else {
            let given = ports(child, "start", "end")?;
            nat.ports = given.ok_or_else(|| child.problem("start is missing, expected a port"))?;
        }
    }
    Ok(nat)
}

/// The addresses of `<nat>`, from the first to the last.
fn addresses(element: &Element) -> Result<(IpAddr, IpAddr), Problem> {
    let start = element.required("start", "an IP address", address)?;
    let end = element.optional("end", address)?.unwrap_or(start);
    if start.is_ipv4() != end.is_ipv4() || end < start {
        return Err(element.problem(format!("there are no addresses from {start} to {end}")));
    }
    Ok((start, end))
}
