//! What is said of everything that goes from one place to another holds for every packet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use portero_libvirt::{Network, ObjectName};
use portero_model::{Family, Policy, PortRange, Service, Verdict};
use portero_routed_policy::{
    compile, explain, reachability, At, Context, End, Group, Outcome, Packet, PacketPath, Place,
    Protocol, Reachability, Routing, WrittenPolicy,
};
use portero_xml::Element;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::IpAddr;

/// Networks of all modes that libvirt gives rules for, and one of `open`.
const NETWORKS: [(&str, &str); 5] = [
    ("nat", "<forward mode='nat'/>"),
    ("routed", "<forward mode='route'/>"),
    ("bound", "<forward mode='route' dev='eth0'/>"),
    ("cell", ""),
    ("open", "<forward mode='open'/>"),
];

/// Where packets can come from and go to; the host is one more.
const ADDRESSES: [&str; 14] = [
    "10.0.0.5",
    "10.0.0.6",
    "10.0.1.5",
    "10.0.1.6",
    "10.0.2.5",
    "10.0.3.5",
    "10.0.4.5",
    "fd00:0::5",
    "fd00:1::5",
    "fd00:1::6",
    "fd00:4::5",
    "198.51.100.7",
    "203.0.113.9",
    "2001:db8::7",
];

const PEERS: [&str; 14] = [
    "network='nat'",
    "network='routed'",
    "network='cell' match='no'",
    "network='open'",
    "address='10.0.0.5'",
    "address='10.0.1.0' prefix='24'",
    "address='10.0.0.0' prefix='14' match='no'",
    "address='198.51.100.0' prefix='24'",
    "address='198.51.100.0' prefix='24' match='no'",
    "address='0.0.0.0' prefix='0'",
    "address='fd00:1::5'",
    "address='2001:db8::' prefix='32'",
    "mac='52:54:00:00:00:01'",
    "host='yes'",
];

const SERVICES: [&str; 9] = [
    "<p:tcp dstportstart='22'/>",
    "<p:tcp dstportstart='20' dstportend='30'/>",
    "<p:tcp dstportstart='1' dstportend='21'/>",
    "<p:tcp/>",
    "<p:udp dstportstart='53'/>",
    "<p:icmp/>",
    "<p:icmp type='8'/>",
    "<p:icmp type='3' code='4'/>",
    "<p:icmpv6 type='128'/>",
];

fn network(index: usize, portero: &str) -> Network {
    let (name, forward) = NETWORKS[index];
    let xml = format!(
        "<network><name>{name}</name><uuid>aaaaaaaa-0000-4000-8000-00000000000{index}</uuid>\
         <metadata><p:network xmlns:p='urn:portero:1'>{portero}</p:network></metadata>{forward}\
         <bridge name='br{index}'/><ip address='10.0.{index}.1' prefix='24'/>\
         <ip family='ipv6' address='fd00:{index}::1' prefix='64'/></network>"
    );
    Network::from_element(&Element::parse(xml.as_bytes()).expect("XML")).expect("a network")
}

/// All networks, the policies of some in `portero`'s elements, and what they come to.
fn world(portero: &[String]) -> (Vec<Network>, Vec<Option<Policy>>) {
    let networks: Vec<Network> = (0..NETWORKS.len())
        .map(|index| network(index, portero.get(index).map_or("", String::as_str)))
        .collect();
    let groups = |_: &ObjectName| -> Result<Group, String> { Err("no groups".to_owned()) };
    let context = Context {
        networks: &networks,
        groups: &groups,
    };
    let policies = networks.iter().map(|network| {
        let metadata = network.metadata().expect("metadata")?;
        let written = WrittenPolicy::find_in(&metadata).expect("a policy")?;
        let compiled = compile(network, &written, &context);
        // Peers may be of another family than their rule.
        compiled.ok().map(|compiled| compiled.policy)
    });
    let policies = policies.collect();
    (networks, policies)
}

fn reachability_of(
    portero: &[String],
    from: Option<usize>,
    to: Option<usize>,
    family: Family,
) -> Option<Reachability> {
    let (networks, policies) = world(portero);
    let policy_of = |network: &Network| {
        let index = networks.iter().position(|one| one == network)?;
        policies[index].as_ref()
    };
    let place = |index: Option<usize>| match index {
        Some(index) => Place::Network(&networks[index]),
        None => Place::Outside,
    };
    let (from, to) = (place(from), place(to));
    reachability(from, to, family, Routing::On, &networks, &policy_of)
}

fn policy(rules: &str) -> String {
    format!("<p:policy>{rules}</p:policy>")
}

fn tcp(start: u16, end: u16) -> Service {
    Service::Ports {
        protocol: portero_model::Protocol::Tcp,
        ports: PortRange::new(start, end).ok(),
    }
}

#[test]
fn without_policies_libvirts_modes_decide() {
    let always = |verdict| {
        Some(Reachability {
            anything: Outcome::Always(verdict),
            services: Vec::new(),
        })
    };
    let (nat, routed, bound, cell) = (Some(0), Some(1), Some(2), Some(3));
    let of = |from, to, family| reachability_of(&[], from, to, family);
    let (accept, reject) = (always(Verdict::Accept), always(Verdict::Reject));
    assert_eq!(of(nat, None, Family::Ipv4), accept);
    assert_eq!(of(None, nat, Family::Ipv4), reject);
    assert_eq!(of(None, nat, Family::Ipv6), accept, "libvirt's own leak");
    assert_eq!(of(None, routed, Family::Ipv4), accept);
    assert_eq!(of(cell, None, Family::Ipv4), reject);
    assert_eq!(of(cell, routed, Family::Ipv4), accept, "libvirt's own leak");
    assert_eq!(of(nat, bound, Family::Ipv4), reject);
    assert_eq!(of(None, None, Family::Ipv4), None);
    assert_eq!(of(nat, nat, Family::Ipv4), None);
    let bound = of(None, bound, Family::Ipv4).expect("reachability");
    assert_eq!(bound.anything, Outcome::Mostly(Verdict::Accept));
}

#[test]
fn services_are_told_apart_as_far_as_they_differ() {
    let accept = |services: &str| {
        policy(&format!(
            "<p:default in='drop'/>\
             <p:rule action='reject' direction='in'><p:tcp dstportstart='25'/></p:rule>\
             <p:rule action='accept' direction='in'>{services}</p:rule>"
        ))
    };
    let of = |services: &str| {
        let portero = [String::new(), accept(services)];
        let found = reachability_of(&portero, None, Some(1), Family::Ipv4).expect("reachability");
        assert_eq!(found.anything, Outcome::Always(Verdict::Drop));
        found.services
    };
    let yes = Outcome::Always(Verdict::Accept);
    let no = Outcome::Always(Verdict::Reject);
    let ranges =
        "<p:tcp dstportstart='20' dstportend='24'/><p:tcp dstportstart='22' dstportend='30'/>";
    let expected = vec![(tcp(20, 24), yes), (tcp(25, 25), no), (tcp(26, 30), yes)];
    assert_eq!(of(ranges), expected);
    let all = vec![
        (tcp(1, 24), yes),
        (tcp(25, 25), no),
        (tcp(26, u16::MAX), yes),
    ];
    assert_eq!(of("<p:tcp/>"), all);
    let icmp = Service::Icmp {
        family: Family::Ipv4,
        kind: None,
        code: None,
    };
    assert_eq!(of("<p:icmp/>"), [(tcp(25, 25), no), (icmp, yes)]);
}

#[test]
fn addresses_of_some_make_it_most() {
    let rule = |peer: &str| {
        let rule = format!("<p:rule action='accept' direction='in'><p:peer {peer}/></p:rule>");
        [
            String::new(),
            policy(&format!("<p:default in='reject'/>{rule}")),
        ]
    };
    let of = |peer: &str, from| {
        let found = reachability_of(&rule(peer), from, Some(1), Family::Ipv4);
        found.expect("reachability").anything
    };
    let some = "address='198.51.100.0' prefix='24'";
    assert_eq!(of(some, None), Outcome::Mostly(Verdict::Reject));
    assert_eq!(of(some, Some(0)), Outcome::Always(Verdict::Reject));
    assert_eq!(
        of("network='nat'", Some(0)),
        Outcome::Always(Verdict::Accept)
    );
    assert_eq!(of("network='nat'", None), Outcome::Always(Verdict::Reject));
    assert_eq!(
        of("address='10.0.0.5'", Some(0)),
        Outcome::Mostly(Verdict::Reject)
    );
    assert_eq!(
        of("address='10.0.0.0' prefix='14'", Some(0)),
        Outcome::Always(Verdict::Accept)
    );
    let mac = "mac='52:54:00:00:00:01'";
    assert_eq!(of(mac, Some(0)), Outcome::Mostly(Verdict::Reject));
    let consent = "address='10.0.4.0' prefix='24' match='no'";
    assert_eq!(of(consent, Some(4)), Outcome::Always(Verdict::Reject));
    assert_eq!(of(consent, Some(0)), Outcome::Always(Verdict::Accept));
}

/// Where an address is.
fn place_of(address: IpAddr, outside: &str) -> (At, Option<usize>) {
    let index = match address {
        IpAddr::V4(address) if address.octets()[0] == 10 => Some(address.octets()[2]),
        IpAddr::V6(address) if address.segments()[0] == 0xfd00 => {
            u8::try_from(address.segments()[1]).ok()
        }
        _ => None,
    };
    let index = index.map(usize::from);
    let interface = index.map_or(outside.to_owned(), |index| format!("br{index}"));
    (At::Behind(interface), index)
}

fn outcome(reachability: &Reachability, asked: Protocol) -> Outcome {
    let is_for = |service: Service| match (service, asked) {
        (Service::Ports { protocol, ports }, Protocol::Port(wanted, port)) => {
            protocol == wanted && ports.is_none_or(|ports| ports.contains(port))
        }
        (Service::Icmp { kind, .. }, Protocol::Icmp(wanted, _)) => {
            kind.is_none_or(|kind| kind == wanted)
        }
        _ => false,
    };
    // A type stands after all types.
    let mut services = reachability.services.iter().rev();
    let found = services.find(|(service, _)| is_for(*service));
    found.map_or(reachability.anything, |(_, outcome)| *outcome)
}

fn rule() -> impl Strategy<Value = String> {
    let words = (
        select(vec!["accept", "reject", "drop"]),
        select(vec!["in", "out", "inout"]),
        select(vec![
            "",
            "statematch='false'",
            "family='ipv4'",
            "priority='1'",
        ]),
    );
    let peers = proptest::collection::vec(select(PEERS.to_vec()), 0..3);
    let services = proptest::collection::vec(select(SERVICES.to_vec()), 0..3);
    (words, peers, services)
        .prop_map(|((action, direction, more), peers, services)| {
            let peers: String = peers
                .iter()
                .map(|peer| format!("<p:peer {peer}/>"))
                .collect();
            format!(
                "<p:rule action='{action}' direction='{direction}' {more}>{peers}{}</p:rule>",
                services.concat()
            )
        })
        .prop_filter("a rule", |rule| is_right(rule))
}

/// Whether a rule can be had at all.
fn is_right(rule: &str) -> bool {
    let network = network(0, &policy(rule));
    let metadata = network.metadata().expect("metadata").expect("an element");
    WrittenPolicy::find_in(&metadata).is_ok()
}

fn portero() -> impl Strategy<Value = String> {
    let default = select(vec![
        "",
        "<p:default in='reject' out='drop' host='reject'/>",
        "<p:default in='accept' out='accept'/>",
    ]);
    let rules = proptest::collection::vec(rule(), 0..5);
    proptest::option::of(
        (default, rules)
            .prop_map(|(default, rules)| policy(&format!("{default}{}", rules.concat()))),
    )
    .prop_map(Option::unwrap_or_default)
}

/// What packets are for.
fn asked() -> impl Iterator<Item = Protocol> {
    let ports = [1, 19, 20, 21, 22, 23, 30, 31, 53, u16::MAX];
    let protocols = [portero_model::Protocol::Tcp, portero_model::Protocol::Udp];
    let with_ports = protocols
        .into_iter()
        .flat_map(move |protocol| ports.map(|port| Protocol::Port(protocol, port)));
    let icmp = [(8, 0), (3, 4), (3, 1), (128, 0), (13, 0)];
    let icmp = icmp.map(|(kind, code)| Protocol::Icmp(kind, code));
    with_ports.chain(icmp).chain([Protocol::Other])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_has_the_outcome_that_was_told(
        portero in proptest::collection::vec(portero(), NETWORKS.len()),
        outside in select(vec!["eth0", "eth1"]),
        mac in select(vec![None, Some("52:54:00:00:00:01"), Some("52:54:00:00:00:02")]),
        routing in select(vec![Routing::On, Routing::On, Routing::Off]),
    ) {
        let (networks, policies) = world(&portero);
        let policy_of = |network: &Network| {
            let index = networks.iter().position(|one| one == network)?;
            policies[index].as_ref()
        };
        let addresses = ADDRESSES.map(|address| address.parse::<IpAddr>().expect("an address"));
        let mut ends: Vec<(End, Place<'_>)> = Vec::new();
        for address in addresses {
            let mac = mac.map(str::to_owned);
            let (at, index) = place_of(address, outside);
            let place = index.map_or(Place::Outside, |index| Place::Network(&networks[index]));
            ends.push((End { address, at, mac: mac.clone() }, place));
            // The host has such an address too.
            let host = End { address, at: At::Host, mac };
            ends.push((host, Place::Host));
        }
        let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to)));
        for ((from, from_place), (to, to_place)) in pairs {
            let family = Family::from(from.address);
            if Family::from(to.address) != family {
                continue;
            }
            let told = reachability(*from_place, *to_place, family, routing, &networks, &policy_of);
            let Some(told) = told else { continue };
            for protocol in asked() {
                let (from, to) = (from.clone(), to.clone());
                let packet = Packet { from, to, protocol, path: PacketPath::Direct, routing };
                let seen = explain(&packet, &networks, &policy_of).verdict;
                if let Outcome::Always(verdict) = outcome(&told, protocol) {
                    let (is_told, is_seen) = (verdict == Verdict::Accept, seen == Verdict::Accept);
                    prop_assert_eq!(is_told, is_seen, "{:?} of {:?}", packet, told);
                }
            }
        }
    }
}
