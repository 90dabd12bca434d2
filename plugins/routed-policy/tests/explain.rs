//! Who decides on a packet beside the compiled rules of policies: the host, forwards, libvirt and the
//! bridge, and what becomes of the reply.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use portero_libvirt::Network;
use portero_model::{Policy, Verdict};
use portero_routed_policy::{
    compile, explain, explain_reply, At, Context, Decider, Decision, End, Packet, PacketPath,
    Protocol, Refusal, Routing, WrittenPolicy,
};
use portero_xml::Element;
use std::collections::BTreeMap;
use std::net::IpAddr;

use Verdict::{Accept, Drop, Reject};

/// All modes; IPv6 of `nat` is routed, that of `nat6` is not.
const NETWORKS: [(&str, &str); 7] = [
    ("nat", "<forward mode='nat'/>"),
    ("nat6", "<forward mode='nat'><nat ipv6='yes'/></forward>"),
    ("route", "<forward mode='route'/>"),
    ("dev", "<forward dev='eth0' mode='route'/>"),
    ("iso", ""),
    ("open", "<forward mode='open'/>"),
    ("lan", "<forward mode='bridge'/>"),
];

/// The number in the addresses of a network.
fn number(name: &str) -> usize {
    let index = NETWORKS.iter().position(|(known, _)| *known == name);
    index.unwrap_or_else(|| panic!("no network {name}"))
}

struct World {
    networks: Vec<Network>,
    policies: BTreeMap<String, Policy>,
}

impl World {
    /// All networks; these have a policy.
    fn new(policies: &[(&str, &str)]) -> Self {
        let networks: Vec<Network> = NETWORKS
            .iter()
            .map(|(name, forward)| {
                let number = number(name);
                let subnets = if *name == "lan" {
                    String::new()
                } else {
                    format!(
                        "<ip address='10.{number}.0.1' prefix='24'/>\
                         <ip family='ipv6' address='fd00:{number}::1' prefix='64'/>"
                    )
                };
                let xml = format!(
                    "<network><name>{name}</name><uuid>00000000-0000-4000-8000-00000000000{number}</uuid>\
                     {forward}<bridge name='br-{name}'/>{subnets}</network>"
                );
                Network::from_element(&Element::parse(xml.as_bytes()).unwrap()).unwrap()
            })
            .collect();
        let policies = policies.iter().map(|(name, policy)| {
            let xml = format!("<p:network xmlns:p='urn:portero:1'>{policy}</p:network>");
            let root = Element::parse(xml.as_bytes()).unwrap();
            let written = WrittenPolicy::find_in(&root).unwrap().expect("a policy");
            let network = networks.iter().find(|one| one.name.as_str() == *name);
            let context = Context {
                networks: &networks,
                groups: &|name| Err(format!("no group {name}")),
            };
            let compiled = compile(network.expect("a network"), &written, &context).unwrap();
            ((*name).to_owned(), compiled.policy)
        });
        Self {
            policies: policies.collect(),
            networks,
        }
    }

    fn explain(&self, packet: &Packet) -> Decision {
        explain(packet, &self.networks, &|network| {
            self.policies.get(network.name.as_str())
        })
    }

    fn reply(&self, packet: &Packet) -> Decision {
        explain_reply(packet, &self.networks, &|network| {
            self.policies.get(network.name.as_str())
        })
    }

    /// The verdict on the packet, and on the reply when it arrives.
    fn both(&self, packet: &Packet) -> (Verdict, Option<Verdict>) {
        let verdict = self.explain(packet).verdict;
        let arrives = verdict == Accept;
        (verdict, arrives.then(|| self.reply(packet).verdict))
    }
}

/// Somebody: a guest by its network's name, or another.
fn end(who: &str, v6: bool) -> End {
    let behind = |interface: &str| At::Behind(interface.to_owned());
    let (addresses, at) = match who {
        "host" => (["10.9.0.1", "fd00:9::1"], At::Host),
        "outside" => (["203.0.113.2", "2001:db8::2"], behind("eth0")),
        "elsewhere" => (["198.51.100.2", "2001:db8:1::2"], behind("eth1")),
        "nowhere" => (["192.0.2.2", "2001:db8:2::2"], At::Nowhere),
        "stranger" => (["10.77.0.2", "fd00:77::2"], behind("br-route")),
        network => {
            let number = number(network);
            let addresses = [format!("10.{number}.0.5"), format!("fd00:{number}::5")];
            return End {
                address: addresses[usize::from(v6)].parse().unwrap(),
                at: behind(&format!("br-{network}")),
                mac: None,
            };
        }
    };
    let address: IpAddr = addresses[usize::from(v6)].parse().unwrap();
    End {
        address,
        at,
        mac: None,
    }
}

fn packet(from: &str, to: &str, v6: bool) -> Packet {
    Packet {
        from: end(from, v6),
        to: end(to, v6),
        protocol: Protocol::Port(portero_model::Protocol::Tcp, 80),
        path: PacketPath::Direct,
        routing: Routing::On,
    }
}

#[test]
fn libvirts_own_verdicts() {
    let world = World::new(&[]);
    let (open, refused) = ((Accept, Some(Accept)), (Reject, None));
    let leak = (Accept, Some(Reject));
    // From, to, and what becomes of the packet and of its reply, in IPv4 and in IPv6.
    let table = [
        ("outside", "nat", refused, open),
        ("outside", "nat6", refused, refused),
        ("outside", "route", open, open),
        ("outside", "dev", open, open),
        ("elsewhere", "dev", refused, refused),
        ("outside", "iso", refused, refused),
        ("outside", "open", open, open),
        ("outside", "lan", open, open),
        ("outside", "elsewhere", open, open),
        ("nat", "outside", open, open),
        ("nat6", "outside", open, open),
        ("route", "outside", open, open),
        ("stranger", "outside", refused, refused),
        ("dev", "outside", open, open),
        ("dev", "elsewhere", refused, refused),
        ("dev", "route", leak, leak),
        ("route", "dev", refused, refused),
        ("iso", "outside", refused, refused),
        ("iso", "route", leak, leak),
        ("iso", "nat", refused, leak),
        ("iso", "open", refused, refused),
        ("iso", "lan", refused, refused),
        ("route", "iso", refused, refused),
        ("route", "nat", refused, open),
        ("nat", "route", open, open),
        ("open", "iso", refused, refused),
        ("open", "route", open, open),
        ("open", "nat", refused, open),
        ("route", "open", open, open),
        ("host", "iso", open, open),
        ("iso", "host", open, open),
        ("iso", "iso", open, open),
        ("lan", "lan", open, open),
        ("host", "host", open, open),
    ];
    for (from, to, v4, v6) in table {
        for (is_v6, expected) in [(false, v4), (true, v6)] {
            let got = world.both(&packet(from, to, is_v6));
            assert_eq!(got, expected, "{from} to {to}, IPv6 {is_v6}");
        }
    }
}

#[test]
fn who_says_it() {
    let world = World::new(&[]);
    let by = |from, to| -> Vec<String> {
        let decision = world.explain(&packet(from, to, false));
        let deciders = decision.deciders.iter().map(|decider| match decider {
            Decider::Libvirt {
                network, direction, ..
            } => format!("{network} {}", direction.name()),
            Decider::Bridge { network } => format!("bridge of {network}"),
            other => format!("{other:?}"),
        });
        deciders.collect()
    };
    // What accepts packets to a guest is asked first, and nobody after it.
    assert_eq!(by("iso", "route"), ["route in"]);
    assert_eq!(by("route", "outside"), ["route out"]);
    // Of open networks and of what is for the host libvirt says nothing.
    assert_eq!(by("iso", "open"), ["iso out"]);
    assert_eq!(by("open", "outside"), [""; 0]);
    assert_eq!(by("iso", "host"), [""; 0]);
    assert_eq!(by("iso", "iso"), ["bridge of iso"]);
    assert_eq!(by("lan", "lan"), ["bridge of lan"]);
}

#[test]
fn a_policy_takes_libvirts_place_for_its_own_network_only() {
    let both = World::new(&[("route", "<p:policy/>"), ("iso", "<p:policy/>")]);
    let verdict = |from, to| both.explain(&packet(from, to, false)).verdict;
    assert_eq!(verdict("outside", "route"), Accept);
    assert_eq!(verdict("iso", "route"), Reject);
    // The leak is closed by the policy of the routed network alone.
    let routed = World::new(&[("route", "<p:policy/>")]);
    let decision = routed.explain(&packet("iso", "route", false));
    assert_eq!(decision.verdict, Reject);
    let [Decider::Policy { rule, .. }, Decider::Libvirt { network, .. }] = &decision.deciders[..]
    else {
        panic!("{decision:?}");
    };
    let rule = rule.expect("a rule").to_string();
    assert_eq!((rule.as_str(), network.as_str()), ("in default", "iso"));
    // NAT has to consent, but is open in IPv6 by libvirt itself.
    let isolated = World::new(&[(
        "iso",
        "<p:policy><p:rule action='accept' direction='out'><p:peer network='nat'/></p:rule></p:policy>",
    )]);
    let verdict = |v6| isolated.explain(&packet("iso", "nat", v6)).verdict;
    assert_eq!((verdict(false), verdict(true)), (Reject, Accept));
}

#[test]
fn a_policy_does_not_open_what_forward_dev_leaves_closed() {
    let world = World::new(&[("dev", "<p:policy/>")]);
    for v6 in [false, true] {
        let both = |from, to| world.both(&packet(from, to, v6));
        assert_eq!(both("outside", "dev"), (Accept, Some(Accept)));
        assert_eq!(both("dev", "outside"), (Accept, Some(Accept)));
        assert_eq!(both("elsewhere", "dev"), (Reject, None));
        assert_eq!(both("dev", "elsewhere"), (Reject, None));
        assert_eq!(both("route", "dev"), (Reject, None));
    }
}

#[test]
fn replies_are_judged_by_what_looks_at_each_packet() {
    let world = World::new(&[(
        "route",
        "<p:policy><p:default out='drop'/>\
         <p:rule action='drop' direction='out' statematch='false'>\
         <p:peer address='198.51.100.0' prefix='24'/></p:rule>\
         <p:rule action='reject' direction='out' statematch='false'>\
         <p:icmp type='0'/></p:rule></p:policy>",
    )]);
    let of_outside = packet("outside", "route", false);
    assert_eq!(world.both(&of_outside), (Accept, Some(Accept)));
    let of_elsewhere = packet("elsewhere", "route", false);
    assert_eq!(world.both(&of_elsewhere), (Accept, Some(Drop)));
    let echo = Packet {
        protocol: Protocol::Icmp(8, 0),
        ..of_outside
    };
    assert_eq!(world.both(&echo), (Accept, Some(Reject)));
}

#[test]
fn forwards_pass_what_is_closed() {
    let closed = "<p:policy><p:default in='drop' host='drop'/></p:policy>";
    let forwarded = |from, to| Packet {
        path: PacketPath::Forwarded,
        ..packet(from, to, false)
    };
    let passes = (Accept, Some(Accept));
    let world = World::new(&[]);
    assert_eq!(world.both(&packet("outside", "nat", false)).0, Reject);
    assert_eq!(world.both(&forwarded("outside", "nat")), passes);
    let world = World::new(&[("nat", closed), ("iso", closed)]);
    assert_eq!(world.both(&packet("outside", "nat", false)).0, Drop);
    assert_eq!(world.both(&forwarded("outside", "nat")), passes);
    // Whoever asks may be forbidden to.
    assert_eq!(world.both(&forwarded("iso", "nat")), (Reject, None));
    let every = "<p:policy><p:rule action='drop' direction='in' statematch='false'>\
                 <p:tcp dstportstart='80'/></p:rule></p:policy>";
    let world = World::new(&[("nat", every)]);
    assert_eq!(world.both(&forwarded("outside", "nat")), (Drop, None));
}

#[test]
fn the_host_decides_before_anybody() {
    let world = World::new(&[("route", "<p:policy><p:default in='reject'/></p:policy>")]);
    let off = |from, to| Packet {
        routing: Routing::Off,
        ..packet(from, to, false)
    };
    for (from, to) in [("outside", "route"), ("iso", "nowhere")] {
        let decision = world.explain(&off(from, to));
        assert_eq!(decision.verdict, Drop);
        assert_eq!(decision.deciders, [Decider::Host(Refusal::NoRouter)]);
    }
    // What is for the host or from it needs no router, nor what stays on a bridge.
    for (from, to) in [("host", "route"), ("iso", "host"), ("iso", "iso")] {
        assert_eq!(world.explain(&off(from, to)).verdict, Accept, "{from}");
    }
    let lost = world.explain(&packet("route", "nowhere", false));
    assert_eq!(lost.deciders, [Decider::Host(Refusal::NoRoute)]);
    assert_eq!(lost.verdict, Reject);
}
