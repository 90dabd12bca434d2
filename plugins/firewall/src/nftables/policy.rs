//! What policies are in nftables: chains and sets of each owner's own, in a table that is there
//! while anybody has a policy.
//!
//! A chain's name ends in a digest of what is in it. So a changed policy is another chain: it is
//! put together beside the old one, and the elements that lead to it change in the same commit.

use super::element::{address_type, ip, network, prefix, quoted, Elements, Place};
use super::object::{NewRule, NewSet};
use ipnet::IpNet;
use portero_model::{
    CompiledRule, Direction, Family, Judged, Named, Nat, NatPeer, Nets, Owner, Peer, Protocol,
    RuleName, Ruleset, Service, Verdict,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use xxhash_rust::xxh3::xxh3_64;

/// What an owner has to itself in the table of policies, apart from elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    /// Sets by their names.
    pub(crate) sets: BTreeMap<String, NewSet>,
    /// Chains with their rules.
    pub(crate) chains: BTreeMap<String, Vec<NewRule>>,
}

impl Objects {
    pub(crate) fn extend(&mut self, other: Self) {
        self.sets.extend(other.sets);
        self.chains.extend(other.chains);
    }
}

/// The map that leads packets of a direction to the chain of a bridge.
pub(crate) fn direction_map(direction: Direction) -> String {
    format!("{}_chains", direction.name())
}

/// The map that leads connections of a family to the chain that changes their addresses.
pub(crate) fn nat_map(family: Family) -> String {
    format!("nat_{}", prefix(family))
}

/// Pairs of one bridge and itself: packets that only pass from port to port.
pub(crate) const CROSS_SET: &str = "same_bridge";

/// The set of bridges with a policy in libvirt's tables, and that of [`CROSS_SET`]'s pairs there.
pub(crate) const LIBVIRT_SET: &str = "portero_policy";
/// See [`LIBVIRT_SET`].
pub(crate) const LIBVIRT_CROSS_SET: &str = "portero_same_bridge";

/// What an owner's policy is: objects of its own, and elements of the sets that all share.
pub(crate) fn objects(ruleset: &Ruleset, elements: &mut Elements) -> Objects {
    let mut objects = Objects::default();
    let Some(policy) = &ruleset.policy else {
        return objects;
    };
    let bridge = quoted(&policy.bridge);
    let mut lead = |map: String, key: &str, chain: &str| {
        let jump = Some(format!("jump {chain}"));
        elements.insert(Place::Policy, &map, key.to_owned(), jump);
    };
    let mut own_elements = Vec::new();
    for (direction, rules) in &policy.rules {
        let mut chain = ChainOf::new(*direction);
        chain.add_all(rules);
        let name = chain.name(direction.name(), &ruleset.owner);
        lead(direction_map(*direction), &bridge, &name);
        own_elements.extend(chain.finish(name, &mut objects));
    }
    let mut nat_of: BTreeMap<IpNet, Vec<NewRule>> = BTreeMap::new();
    for nat in &policy.nat {
        nat_of
            .entry(nat.guests())
            .or_default()
            .extend(nat_lines(nat));
    }
    for (index, (from, lines)) in nat_of.into_iter().enumerate() {
        let mut chain = ChainOf::new(Direction::Out);
        chain.lines = lines;
        let name = chain.name(&format!("nat{index}"), &ruleset.owner);
        lead(nat_map(Family::from(from.addr())), &network(from), &name);
        chain.finish(name, &mut objects);
    }
    for (set, keys) in own_elements {
        let keys = keys.into_iter().map(|key| (key, None));
        elements.insert_all(Place::Policy, &set, keys.collect());
    }
    let pair = format!("{bridge} . {bridge}");
    elements.insert(Place::Policy, CROSS_SET, pair.clone(), None);
    for family in Family::ALL {
        let place = Place::Libvirt(family);
        elements.insert(place, LIBVIRT_SET, bridge.clone(), None);
        elements.insert(place, LIBVIRT_CROSS_SET, pair.clone(), None);
    }
    objects
}

/// A chain that is being put together.
struct ChainOf {
    direction: Direction,
    lines: Vec<NewRule>,
    /// Elements of each set, with the compiled rule that each is of.
    sets: Vec<SetOf>,
}

/// Addresses of compiled rules that differ in nothing else.
struct SetOf {
    family: Family,
    /// With the names of what they are of.
    nets: Vec<(IpNet, RuleName)>,
    /// The same by their first addresses; none of them overlaps another.
    by_start: BTreeMap<IpAddr, IpNet>,
}

impl SetOf {
    fn new(family: Family) -> Self {
        Self {
            family,
            nets: Vec::new(),
            by_start: BTreeMap::new(),
        }
    }

    fn insert(&mut self, net: IpNet, rule: RuleName) {
        self.nets.push((net, rule));
        self.by_start.insert(net.network(), net);
    }

    /// Whether a network is in one of them.
    fn holds(&self, net: IpNet) -> bool {
        let before = self.by_start.range(..=net.network()).next_back();
        before.is_some_and(|(_, known)| known.contains(&net))
    }

    fn overlaps(&self, net: IpNet) -> bool {
        let mut after = self.by_start.range(net.network()..);
        self.holds(net) || after.next().is_some_and(|(start, _)| net.contains(start))
    }
}

/// What stands for a set of it in its rules, until that is known.
const SET_MARK: &str = "@SET";

impl ChainOf {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            lines: Vec::new(),
            sets: Vec::new(),
        }
    }

    fn add_all(&mut self, rules: &[CompiledRule]) {
        let every: Vec<&CompiledRule> = CompiledRule::judging(rules, Judged::EveryPacket).collect();
        self.add_groups(&every);
        let mut passes = vec![
            ("replies", "ct direction reply counter return"),
            ("related", "ct state related counter return"),
        ];
        if self.direction == Direction::In {
            passes.push(("forwards", "ct status dnat counter return"));
        }
        for (comment, text) in passes {
            self.lines.push(NewRule::new(comment, text));
        }
        let openers: Vec<&CompiledRule> = CompiledRule::judging(rules, Judged::Opener).collect();
        self.add_groups(&openers);
    }

    /// Compiled rules in a row that differ in addresses only become one with a set, so that a packet
    /// costs the same whether there are ten or a thousand of them.
    fn add_groups(&mut self, rules: &[&CompiledRule]) {
        let mut rest = rules;
        while let Some((first, _)) = rest.split_first() {
            let family = only_nets(first);
            let mates = rest
                .iter()
                .take_while(|rule| differ_in_nets_only(first, rule));
            let alike = match family {
                None => 1,
                Some(_) => mates.count(),
            };
            let (group, others) = rest.split_at(alike);
            match family {
                Some(family) if alike > 1 => self.add_group(family, group),
                _ => self.add(first),
            }
            rest = others;
        }
    }

    /// As few sets as there can be without two elements that overlap.
    fn add_group(&mut self, family: Family, group: &[&CompiledRule]) {
        let begin = self.sets.len();
        for rule in group {
            for net in nets_of(rule) {
                let own = &mut self.sets[begin..];
                if own.iter().any(|set| set.holds(*net)) {
                    // Never reached: whoever comes first has decided.
                    continue;
                }
                match own.iter_mut().find(|set| !set.overlaps(*net)) {
                    Some(set) => set.insert(*net, rule.name),
                    None => {
                        let mut set = SetOf::new(family);
                        set.insert(*net, rule.name);
                        self.sets.push(set);
                    }
                }
            }
        }
        let (first, last) = (group[0], group[group.len() - 1]);
        for index in begin..self.sets.len() {
            let address = self.peer_address(family);
            let text = format!("{address} {SET_MARK}{index}");
            let comment = format!("{} to {}", first.name, last.name);
            // An element counts who gets as far as to it, so the services come before.
            for service in services_of(&first.services, family) {
                let matches: Vec<String> = service.into_iter().chain([text.clone()]).collect();
                self.push(first, &matches, &comment);
            }
        }
    }

    /// A compiled rule by itself.
    fn add(&mut self, rule: &CompiledRule) {
        for peer in rule.any_peers() {
            let mut named = Vec::new();
            if let Some(interface) = &peer.interface {
                let side = self.direction.pick("oifname", "iifname");
                named.push(is_named(side, interface, quoted));
            }
            if let Some(mac) = &peer.mac {
                named.push(is_named("ether saddr", mac, str::to_owned));
            }
            let is_plain = rule.guests == Nets::Any && peer.nets == Nets::Any;
            if is_plain && rule.families.len() == Family::ALL.len() {
                self.add_both(rule, &named);
                continue;
            }
            for family in &rule.families {
                let (Some(guests), Some(nets)) =
                    (rule.guests.only(*family), peer.nets.only(*family))
                else {
                    continue;
                };
                let mut matches = Vec::new();
                matches.extend(in_nets(&self.guest_address(*family), &guests));
                matches.extend(in_nets(&self.peer_address(*family), &nets));
                if matches.is_empty() {
                    matches.push(is_of_family(*family));
                }
                matches.extend(named.iter().cloned());
                for service in services_of(&rule.services, *family) {
                    let matches: Vec<String> = matches.iter().cloned().chain(service).collect();
                    self.push(rule, &matches, &rule.name.to_string());
                }
            }
        }
    }

    /// Of a compiled rule that tells the families apart by its services at most.
    fn add_both(&mut self, rule: &CompiledRule, named: &[String]) {
        if rule.services.is_empty() {
            self.push(rule, named, &rule.name.to_string());
        }
        for text in ports_of(&rule.services) {
            self.push(rule, &[named, &[text]].concat(), &rule.name.to_string());
        }
        for family in Family::ALL {
            for text in icmp_of(&rule.services, family) {
                let of = is_of_family(family);
                self.push(rule, &[named, &[of, text]].concat(), &rule.name.to_string());
            }
        }
    }

    fn push(&mut self, rule: &CompiledRule, matches: &[String], comment: &str) {
        let matches: String = matches.iter().map(|text| format!("{text} ")).collect();
        if let Some(log) = &rule.log {
            let text = format!(
                "{matches}limit rate {}/{} burst 5 packets log prefix \"{}\"",
                log.lines,
                log.unit.name(),
                log.prefix
            );
            self.lines
                .push(NewRule::new(format!("log {comment}"), text));
        }
        let verdict = match rule.verdict {
            Verdict::Accept => "return",
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
        };
        let text = format!("{matches}counter {verdict}");
        self.lines.push(NewRule::new(comment, text));
    }

    fn guest_address(&self, family: Family) -> String {
        format!("{} {}", ip(family), self.direction.pick("saddr", "daddr"))
    }

    fn peer_address(&self, family: Family) -> String {
        format!("{} {}", ip(family), self.direction.pick("daddr", "saddr"))
    }

    fn name(&self, kind: &str, owner: &Owner) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text += &line.to_string();
            text.push('\n');
        }
        for set in &self.sets {
            for (net, rule) in &set.nets {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{net} {rule}");
            }
        }
        let digest = xxh3_64(text.as_bytes());
        format!("{kind}_{}_{digest:016x}", owner.hash())
    }

    /// Gives the sets their names, which are returned with what is in them.
    fn finish(mut self, name: String, objects: &mut Objects) -> Vec<(String, Vec<String>)> {
        let mut elements = Vec::new();
        for (index, set) in self.sets.iter().enumerate() {
            let set_name = format!("{name}_{index}");
            let kind = address_type(set.family);
            let keys = set.nets.iter().map(|(net, _)| network(*net));
            elements.push((set_name.clone(), keys.collect()));
            let set = NewSet::set(&set_name, format!("{kind}; flags interval; counter"));
            objects.sets.insert(set_name, set);
        }
        for line in &mut self.lines {
            if let Some(at) = line.words.find(SET_MARK) {
                let digits = &line.words[at + SET_MARK.len()..];
                let length = digits.find(' ').unwrap_or(digits.len());
                let index = digits[..length].to_owned();
                let mark = format!("{SET_MARK}{index}");
                line.words = line.words.replacen(&mark, &format!("@{name}_{index}"), 1);
            }
        }
        objects.chains.insert(name, self.lines);
        elements
    }
}

/// The chain of an owner's compiled rules of a direction, and what its rules and elements are of.
pub(crate) struct NamedChain {
    /// Its name.
    pub(crate) name: String,
    /// The compiled rule that each element of its sets is of, by set and key.
    pub(crate) elements: BTreeMap<(String, String), RuleName>,
}

/// The chain of compiled rules of a direction.
pub(crate) fn named_chain(
    owner: &Owner,
    direction: Direction,
    rules: &[CompiledRule],
) -> NamedChain {
    let mut chain = ChainOf::new(direction);
    chain.add_all(rules);
    let name = chain.name(direction.name(), owner);
    let mut elements = BTreeMap::new();
    for (index, set) in chain.sets.iter().enumerate() {
        for (net, rule) in &set.nets {
            elements.insert((format!("{name}_{index}"), network(*net)), *rule);
        }
    }
    NamedChain { name, elements }
}

/// The family of a compiled rule that says nothing of its other end but addresses of one family.
fn only_nets(rule: &CompiledRule) -> Option<Family> {
    let [Peer {
        nets: Nets::In(nets),
        interface: None,
        mac: None,
    }] = rule.peers.as_slice()
    else {
        return None;
    };
    let family = Family::from(nets.first()?.addr());
    let is_one = nets.iter().all(|net| Family::from(net.addr()) == family);
    let is_some = !nets.contains(&family.all());
    let is_whole = rule.families.contains(&family);
    let plain = rule.log.is_none() && rule.guests == Nets::Any;
    (is_one && is_some && is_whole && plain).then_some(family)
}

fn differ_in_nets_only(one: &CompiledRule, other: &CompiledRule) -> bool {
    only_nets(one) == only_nets(other)
        && (one.verdict, one.judged) == (other.verdict, other.judged)
        && one.services == other.services
}

fn nets_of(rule: &CompiledRule) -> &[IpNet] {
    match rule.peers.first().map(|peer| &peer.nets) {
        Some(Nets::In(nets)) => nets,
        _ => &[],
    }
}

fn in_nets(address: &str, nets: &Nets) -> Option<String> {
    let (sign, nets) = match nets {
        Nets::Any => return None,
        Nets::In(nets) => ("", nets),
        Nets::NotIn(nets) => ("!= ", nets),
    };
    Some(format!(
        "{address} {sign}{}",
        one_of(nets.iter().map(|net| network(*net)))
    ))
}

/// One value, or a set of several.
fn one_of(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [one] => one.clone(),
        _ => format!("{{ {} }}", values.join(", ")),
    }
}

fn is_named(what: &str, named: &Named, write: impl Fn(&str) -> String) -> String {
    match named {
        Named::Is(name) => format!("{what} {}", write(name)),
        Named::IsNot(name) => format!("{what} != {}", write(name)),
    }
}

/// A match for each protocol of services; one that is none when anything will do.
fn services_of(services: &[Service], family: Family) -> Vec<Option<String>> {
    if services.is_empty() {
        return vec![None];
    }
    let matches = ports_of(services).into_iter();
    matches.chain(icmp_of(services, family)).map(Some).collect()
}

/// A match for each protocol with ports.
fn ports_of(services: &[Service]) -> Vec<String> {
    let mut matches = Vec::new();
    for of in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let ranges = services.iter().filter_map(|service| match service {
            Service::Ports { protocol, ports } if *protocol == of => Some(*ports),
            _ => None,
        });
        let ranges: Vec<_> = ranges.collect();
        if ranges.is_empty() {
            continue;
        }
        let given: Option<Vec<String>> = ranges
            .iter()
            .map(|range| range.map(|range| range.joined('-')))
            .collect();
        matches.push(match given {
            // All of them.
            None => format!("meta l4proto {}", of.number()),
            Some(ranges) => format!("{of} dport {}", one_of(ranges.into_iter())),
        });
    }
    matches
}

fn icmp_of(services: &[Service], family: Family) -> Vec<String> {
    let (name, number) = match family {
        Family::Ipv4 => ("icmp", 1),
        Family::Ipv6 => ("icmpv6", 58),
    };
    let services = services.iter().filter(|service| service.is_of(family));
    services
        .filter_map(|service| match service {
            Service::Icmp { kind, code, .. } => Some((kind, code)),
            Service::Ports { .. } => None,
        })
        .map(|(kind, code)| match (kind, code) {
            (None, _) => format!("meta l4proto {number}"),
            (Some(kind), None) => format!("{name} type {kind}"),
            (Some(kind), Some(code)) => format!("{name} type {kind} {name} code {code}"),
        })
        .collect()
}

fn nat_lines(nat: &Nat) -> Vec<NewRule> {
    let family = Family::from(nat.guests().addr());
    let ip = ip(family);
    match nat {
        Nat::Keep { to, .. } => {
            let to = match to {
                NatPeer::Interface(name) => format!("oifname {}", quoted(name)),
                NatPeer::Net(net) => format!("{ip} daddr {}", network(*net)),
            };
            // A change to what it is already keeps libvirt from changing it (its chain is later).
            let text = format!("{to} counter snat {ip} to {ip} saddr");
            vec![NewRule::new("keep", text)]
        }
        Nat::Masquerade {
            from,
            addresses,
            ports,
        } => {
            let local = match family {
                Family::Ipv4 => "224.0.0.0/24, 255.255.255.255",
                Family::Ipv6 => "ff02::/16",
            };
            let ports = ports.joined('-');
            let (with_ports, without) = match addresses {
                None => (format!("masquerade to :{ports}"), "masquerade".to_owned()),
                Some((first, last)) => {
                    let range = if first == last {
                        first.to_string()
                    } else {
                        format!("{first}-{last}")
                    };
                    let bracketed = match family {
                        Family::Ipv4 => range.clone(),
                        Family::Ipv6 if first == last => format!("[{range}]"),
                        Family::Ipv6 => format!("[{first}]-[{last}]"),
                    };
                    (
                        format!("snat {ip} to {bracketed}:{ports}"),
                        format!("snat {ip} to {range}"),
                    )
                }
            };
            let away = format!("{ip} daddr != {}", network(*from));
            vec![
                NewRule::new("local", format!("{ip} daddr {{ {local} }} counter return")),
                NewRule::new(
                    "masquerade",
                    format!("{away} meta l4proto {{ 6, 17 }} counter {with_ports}"),
                ),
                NewRule::new("masquerade others", format!("{away} counter {without}")),
            ]
        }
    }
}

/// Asks for the family alone.
fn is_of_family(family: Family) -> String {
    format!("meta nfproto ip{}", prefix(family))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{only_nets, CompiledRule, Family, Nets, Peer, Verdict};
    use portero_model::{LogRate, Named, TimeUnit};

    /// A set has one verdict for all: what is logged, or is of some guests only, has a rule to itself.
    #[test]
    fn only_what_says_nothing_but_addresses_shares_a_set() {
        let nets = |nets: &[&str]| {
            let nets = nets.iter().map(|net| net.parse().expect("a network"));
            Nets::In(nets.collect())
        };
        let of = |nets| Peer {
            nets,
            ..Peer::default()
        };
        let name = "in 1".parse().expect("a name");
        let plain = CompiledRule {
            peers: vec![of(nets(&["10.3.0.0/24", "10.5.0.5/32"]))],
            ..CompiledRule::of_all(name, Verdict::Accept)
        };
        assert_eq!(only_nets(&plain), Some(Family::Ipv4));
        let rate = LogRate {
            prefix: "lan".to_owned(),
            lines: 1,
            unit: TimeUnit::Second,
        };
        let peer = of(nets(&["10.3.0.0/24"]));
        let named = Peer {
            interface: Some(Named::Is("virbr1".to_owned())),
            ..peer.clone()
        };
        let families = vec![Family::Ipv6];
        let both = of(nets(&["10.3.0.0/24", "fd00::/8"]));
        let all = of(nets(&["0.0.0.0/0"]));
        for other in [
            CompiledRule {
                log: Some(rate),
                ..plain.clone()
            },
            CompiledRule {
                guests: nets(&["10.9.0.7/32"]),
                ..plain.clone()
            },
            CompiledRule {
                families,
                ..plain.clone()
            },
            CompiledRule {
                peers: vec![named],
                ..plain.clone()
            },
            CompiledRule {
                peers: vec![peer.clone(), peer],
                ..plain.clone()
            },
            CompiledRule {
                peers: vec![both],
                ..plain.clone()
            },
            CompiledRule {
                peers: vec![all],
                ..plain.clone()
            },
        ] {
            assert_eq!(only_nets(&other), None, "{other:?}");
        }
    }
}
