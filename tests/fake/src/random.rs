//! Random networks with random policies, whose peers and services are few enough to meet the same
//! packets.

use crate::policies::{compile_in, ruleset};
use portero_libvirt::{Network, ObjectName};
use portero_model::Ruleset;
use portero_routed_policy::Group;
use portero_xml::Element;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Networks that peers are of.
pub const NETS: [(&str, u8); 9] = [
    ("192.0.2.0", 24),
    ("192.0.2.128", 25),
    ("192.0.2.200", 32),
    ("198.51.100.9", 32),
    ("0.0.0.0", 0),
    ("2001:db8::", 32),
    ("2001:db8:1::", 48),
    ("2001:db8:1::7", 128),
    ("::", 0),
];

/// MAC addresses that peers have.
pub const MACS: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];

/// Groups that peers are of: their names and what is in them.
const GROUPS: [(&str, &str); 3] = [
    (
        "mixed",
        "<p:peer address='192.0.2.128' prefix='25'/><p:peer address='198.51.100.9'/>\
         <p:peer address='2001:db8::' prefix='32'/><p:peer network='b'/><p:peer host='yes'/>",
    ),
    (
        "addresses",
        "<p:peer address='192.0.2.0' prefix='24'/><p:peer address='2001:db8:1::7'/>",
    ),
    ("empty", ""),
];

const SERVICES: [&str; 10] = [
    "<p:tcp dstportstart='22'/>",
    "<p:tcp dstportstart='80' dstportend='443'/>",
    "<p:tcp/>",
    "<p:udp dstportstart='53'/>",
    "<p:sctp dstportstart='5000'/>",
    "<p:sctp/>",
    "<p:icmp type='8'/>",
    "<p:icmp type='3' code='4'/>",
    "<p:icmpv6/>",
    "<p:icmpv6 type='128'/>",
];

/// Networks `a`, `b` and `c`: 10.1.0.0/24 and fd00:1::/64 behind `br-a`, and so on.
#[derive(Debug, Clone)]
pub struct RandomNetworks {
    /// Their XML.
    pub xml: Vec<String>,
    /// They themselves.
    pub networks: Vec<Network>,
    /// What each is given, in the same order; nothing where there is no policy.
    pub rulesets: Vec<Option<Ruleset>>,
}

impl RandomNetworks {
    /// The rulesets of those that have a policy.
    #[must_use]
    pub fn with_policy(&self) -> Vec<Ruleset> {
        self.rulesets.iter().flatten().cloned().collect()
    }
}

/// Networks of any mode; all but the last can have a policy.
pub fn random_networks() -> impl Strategy<Value = RandomNetworks> {
    let policies = prop::collection::vec(prop::option::weighted(0.8, policy()), 2);
    let modes = prop::collection::vec(prop::sample::select(&MODES[..]), 3);
    (policies, modes).prop_map(|(mut policies, modes)| {
        policies.push(None);
        let of = modes
            .into_iter()
            .zip(policies)
            .zip(["a", "b", "c"])
            .zip(1..);
        let parts: Vec<_> = of
            .map(|(((mode, policy), name), number)| (name, number, mode, policy))
            .collect();
        assemble(&parts)
    })
}

/// Some of them, the same each time.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn sample_networks(count: usize) -> Vec<RandomNetworks> {
    let mut runner = TestRunner::deterministic();
    let strategy = random_networks();
    let mut sample = || strategy.new_tree(&mut runner).expect("networks").current();
    (0..count).map(|_| sample()).collect()
}

/// libvirt's modes, with no `<forward>` at all.
const MODES: [&str; 4] = ["nat", "route", "open", ""];

/// A policy as it is written, its rules one by one.
#[derive(Debug, Clone)]
struct Written {
    mode: &'static str,
    rest: String,
    rules: Vec<String>,
}

impl Written {
    fn xml(&self, network_mode: &str, rules: &[&String]) -> String {
        let mode = match (network_mode, self.mode) {
            ("open", mode) if !mode.is_empty() => format!(" mode='{mode}'"),
            _ => String::new(),
        };
        let rules: String = rules.iter().map(|rule| rule.as_str()).collect();
        format!("<p:policy{mode}>{}{rules}</p:policy>", self.rest)
    }
}

/// Puts networks together, without rules that could never hold.
fn assemble(parts: &[(&str, u8, &str, Option<Written>)]) -> RandomNetworks {
    let bare: Vec<Network> = parts
        .iter()
        .map(|(name, number, mode, _)| read(&xml(name, *number, mode, "")))
        .collect();
    let mut all = RandomNetworks {
        xml: Vec::new(),
        networks: Vec::new(),
        rulesets: Vec::new(),
    };
    for (name, number, mode, policy) in parts {
        let with = |rules: &[&String]| match policy {
            Some(policy) => xml(name, *number, mode, &policy.xml(mode, rules)),
            None => xml(name, *number, mode, ""),
        };
        let compiles = |rules: &[&String]| compile_in(&read(&with(rules)), &bare, &group);
        let rules = policy.iter().flat_map(|policy| &policy.rules);
        let possible: Vec<&String> = rules.filter(|rule| compiles(&[*rule]).is_ok()).collect();
        let network = read(&with(&possible));
        let compiled = compiles(&possible).expect("rules that are possible one by one");
        all.rulesets
            .push(compiled.map(|compiled| ruleset(&network, compiled)));
        all.xml.push(with(&possible));
        all.networks.push(network);
    }
    all
}

fn xml(name: &str, number: u8, mode: &str, policy: &str) -> String {
    let forward = match mode {
        "" => String::new(),
        mode => format!("<forward mode='{mode}'/>"),
    };
    format!(
        "<network><name>{name}</name><uuid>aaaaaaaa-0000-4000-8000-0000000000{number:02}</uuid>\
         <metadata><p:network xmlns:p='urn:portero:1'>{policy}</p:network></metadata>{forward}\
         <bridge name='br-{name}'/><ip address='10.{number}.0.1' prefix='24'/>\
         <ip family='ipv6' address='fd00:{number}::1' prefix='64'/></network>"
    )
}

fn read(xml: &str) -> Network {
    let root = Element::parse(xml.as_bytes()).expect("XML");
    Network::from_element(&root).expect("a network")
}

fn group(name: &ObjectName) -> Result<Group, String> {
    let (_, peers) = GROUPS
        .iter()
        .find(|(group, _)| *group == name.as_str())
        .ok_or_else(|| format!("there is no group {name}"))?;
    let xml = format!("<p:group xmlns:p='urn:portero:1'>{peers}</p:group>");
    let root = Element::parse(xml.as_bytes()).expect("XML");
    Group::read(&root).map_err(|problem| problem.to_string())
}

fn policy() -> impl Strategy<Value = Written> {
    let mode = prop::sample::select(&["", "nat", "route", "isolated"][..]);
    let some = prop_oneof![4 => rule().prop_map(|rule| vec![rule]), 1 => run_of_addresses()];
    let rules = prop::collection::vec(some, 0..7).prop_map(|rules| rules.concat());
    (mode, defaults(), any::<bool>(), rules).prop_map(|(mode, defaults, antispoof, rules)| {
        let antispoof = if antispoof {
            "<p:antispoof ip='yes'/>"
        } else {
            ""
        };
        Written {
            mode,
            rest: format!("{defaults}{antispoof}"),
            rules,
        }
    })
}

fn action() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["accept", "drop", "reject"][..])
}

/// An attribute, or none.
fn maybe(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    let value = prop::option::weighted(0.3, prop::sample::select(values));
    value
        .prop_map(move |value| value.map_or_else(String::new, |value| format!(" {name}='{value}'")))
}

fn defaults() -> impl Strategy<Value = String> {
    const VERDICTS: &[&str] = &["accept", "drop", "reject"];
    let attributes = (
        maybe("in", VERDICTS),
        maybe("out", VERDICTS),
        maybe("host", VERDICTS),
        maybe("log", &["yes", "no"]),
    );
    attributes.prop_map(|(into, out, host, log)| format!("<p:default{into}{out}{host}{log}/>"))
}

fn rule() -> impl Strategy<Value = String> {
    let direction = prop::sample::select(&["in", "out", "inout"][..]);
    let attributes = (
        maybe("priority", &["-5", "500", "600"]),
        maybe("family", &["ipv4", "ipv6"]),
        maybe("statematch", &["true", "false"]),
        maybe("log", &["yes"]),
    );
    let peers = prop::collection::vec(peer(), 0..3);
    let services = prop::collection::vec(prop::sample::select(&SERVICES[..]), 0..3);
    (action(), direction, attributes, peers, services).prop_map(
        |(action, direction, (priority, family, state, log), peers, services)| {
            let (peers, services) = (peers.concat(), services.concat());
            format!(
                "<p:rule action='{action}' direction='{direction}'{priority}{family}{state}{log}>\
                 {peers}{services}</p:rule>"
            )
        },
    )
}

/// Rules that differ in the addresses of their peers, and now and then in their services.
fn run_of_addresses() -> impl Strategy<Value = Vec<String>> {
    let direction = prop::sample::select(&["in", "out"][..]);
    let services =
        prop::sample::select(&[["", ""], ["<p:tcp/>", "<p:tcp/>"], ["<p:tcp/>", ""]][..]);
    let net = (prop::sample::select(&NETS[..]), 0..2_usize);
    let nets = prop::collection::vec(net, 2..6);
    (action(), direction, services, nets).prop_map(|(action, direction, services, nets)| {
        let rules = nets.into_iter().map(|((address, prefix), choice)| {
            let service = services[choice];
            format!(
                "<p:rule action='{action}' direction='{direction}'>\
                 <p:peer address='{address}' prefix='{prefix}'/>{service}</p:rule>"
            )
        });
        rules.collect()
    })
}

fn peer() -> impl Strategy<Value = String> {
    let named = |kind: &'static str, names: &'static [&'static str]| {
        prop::sample::select(names).prop_map(move |name| format!("{kind}='{name}'"))
    };
    let net = prop::sample::select(&NETS[..])
        .prop_map(|(address, prefix)| format!("address='{address}' prefix='{prefix}'"));
    let target = prop_oneof![
        3 => net,
        2 => named("network", &["a", "b", "c", "gone"]),
        2 => named("group", &["mixed", "addresses", "empty"]),
        1 => named("mac", &MACS),
        1 => Just("host='yes'".to_owned()),
    ];
    (target, prop::bool::weighted(0.35)).prop_map(|(target, is_negated)| {
        let negation = if is_negated { " match='no'" } else { "" };
        format!("<p:peer {target}{negation}/>")
    })
}
