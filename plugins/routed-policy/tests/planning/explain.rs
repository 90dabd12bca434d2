//! Who decides about a packet: compiled rules of policies, libvirt's own rules, or nobody. That the firewalls
//! do as it says is tested in tests/fake, and with real packets in tests/lab.

use crate::networks::{network, Networks};
use portero_libvirt::{ForwardMode, Network};
use portero_model::{Direction, Policy, Verdict};
use portero_routed_policy::{explain, At, Decider, End, Packet, PacketPath, Protocol, Routing};

const WEB: Protocol = Protocol::Port(portero_model::Protocol::Tcp, 80);

/// One with a policy, and one of each of libvirt's modes.
struct World {
    networks: Vec<Network>,
    policies: Vec<(String, Policy)>,
}

impl World {
    fn new(mode: &str, policy: &str) -> Self {
        let named = Networks::new();
        let policy = named.compiles(mode, policy);
        let mut networks = vec![named.own(mode)];
        for (number, mode) in (2..).zip(["route", "nat", "none", "open"]) {
            networks.push(network(&format!("of-{mode}"), number, mode, ""));
        }
        Self {
            networks,
            policies: vec![("net".to_owned(), policy)],
        }
    }

    /// Somebody of a network, of another subnet behind its bridge, outside, or the host.
    fn end(&self, who: &str) -> End {
        let behind = |interface: &str| At::Behind(interface.to_owned());
        let (at, number) = match who {
            "host" => (At::Host, 99),
            "outside" => (behind("eth0"), 98),
            "stranger" => (behind("br-net"), 97),
            name => {
                let mut networks = self.networks.iter();
                let at = networks.position(|network| network.name.as_str() == name);
                (behind(&format!("br-{name}")), at.expect("a network") + 1)
            }
        };
        End {
            address: format!("10.{number}.0.7").parse().expect("an address"),
            at,
            mac: None,
        }
    }

    /// The verdict, and everybody who has a say.
    fn explain(&self, from: &str, to: &str, protocol: Protocol) -> (Verdict, Vec<String>) {
        let (from, to) = (self.end(from), self.end(to));
        self.explain_packet(&Packet {
            from,
            to,
            protocol,
            path: PacketPath::Direct,
            routing: Routing::On,
        })
    }

    fn explain_packet(&self, packet: &Packet) -> (Verdict, Vec<String>) {
        let policy_of = |network: &Network| {
            let mut policies = self.policies.iter();
            let found = policies.find(|(name, _)| name == network.name.as_str());
            found.map(|(_, policy)| policy)
        };
        let decision = explain(packet, &self.networks, &policy_of);
        let deciders = decision.deciders.iter();
        (decision.verdict, deciders.map(short).collect())
    }

    fn verdict(&self, from: &str, to: &str) -> Verdict {
        self.explain(from, to, WEB).0
    }
}

fn short(decider: &Decider) -> String {
    let direction = |direction: &Direction| direction.name();
    match decider {
        Decider::Policy {
            network,
            direction: of,
            rule: None,
        } => format!("{network}: nothing of {}", direction(of)),
        Decider::Policy {
            network,
            rule: Some(rule),
            ..
        } => format!("{network}: {rule}"),
        Decider::Libvirt {
            network,
            direction: of,
            mode,
        } => format!("libvirt: {network} {} {mode:?}", direction(of)),
        Decider::Bridge { network } => format!("bridge of {network}"),
        Decider::Host(refusal) => format!("host: {refusal:?}"),
    }
}

#[test]
fn the_rule_that_decides_is_named() {
    let world = World::new(
        "route",
        "<p:policy><p:default in='drop'/><p:rule action='accept' direction='in'><p:tcp dstportstart='80'/></p:rule></p:policy>",
    );
    let says = |word: &str| vec![format!("net: {word}")];
    assert_eq!(
        world.explain("outside", "net", WEB),
        (Verdict::Accept, says("in 1"))
    );
    let ssh = Protocol::Port(portero_model::Protocol::Tcp, 22);
    assert_eq!(
        world.explain("outside", "net", ssh),
        (Verdict::Drop, says("in default"))
    );
    let udp = Protocol::Port(portero_model::Protocol::Udp, 80);
    assert_eq!(
        world.explain("outside", "net", udp),
        (Verdict::Drop, says("in default"))
    );
    assert_eq!(
        world.explain("net", "outside", WEB),
        (Verdict::Accept, says("out default"))
    );
    assert_eq!(
        world.explain("stranger", "outside", WEB),
        (Verdict::Reject, says("out foreign"))
    );
    let nothing = (Verdict::Accept, vec!["net: nothing of host".to_owned()]);
    assert_eq!(world.explain("net", "host", WEB), nothing);
}

#[test]
fn the_end_without_a_policy_is_libvirts_to_judge() {
    let world = World::new("route", "<p:policy/>");
    let said = |from: &str, to: &str| world.explain(from, to, WEB);
    let libvirt = |direction: &str, mode: &str, of: ForwardMode| {
        format!("libvirt: of-{mode} {direction} {of:?}")
    };
    let out = "net: out default".to_owned();
    for (mode, of, verdict) in [
        ("route", ForwardMode::Route, Verdict::Accept),
        ("nat", ForwardMode::Nat, Verdict::Reject),
        ("none", ForwardMode::Isolated, Verdict::Reject),
    ] {
        let expected = (verdict, vec![out.clone(), libvirt("in", mode, of)]);
        assert_eq!(said("net", &format!("of-{mode}")), expected);
    }
    // For an open network libvirt has no rules.
    assert_eq!(said("net", "of-open"), (Verdict::Accept, vec![out.clone()]));
    let into = "net: in default".to_owned();
    for (mode, of, verdict) in [
        ("route", ForwardMode::Route, Verdict::Accept),
        ("nat", ForwardMode::Nat, Verdict::Accept),
        ("none", ForwardMode::Isolated, Verdict::Reject),
    ] {
        let expected = (verdict, vec![into.clone(), libvirt("out", mode, of)]);
        assert_eq!(said(&format!("of-{mode}"), "net"), expected);
    }
    assert_eq!(said("of-open", "net"), (Verdict::Accept, vec![into]));
}

#[test]
fn both_policies_have_to_let_it_pass() {
    let mut world = World::new(
        "none",
        "<p:policy><p:default out='accept' in='accept'/></p:policy>",
    );
    assert_eq!(world.verdict("net", "of-none"), Verdict::Reject);
    let theirs = "<p:policy><p:default in='drop'/></p:policy>";
    let policy = Networks::new().compiles("none", theirs);
    let bridge = "br-of-none".to_owned();
    world
        .policies
        .push(("of-none".to_owned(), Policy { bridge, ..policy }));
    let both = ["net: out default", "of-none: in default"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(world.explain("net", "of-none", WEB), (Verdict::Drop, both));
    // Whoever forbids first is the last who is asked.
    let one = vec!["of-none: out default".to_owned()];
    assert_eq!(world.explain("of-none", "net", WEB), (Verdict::Reject, one));
}

#[test]
fn without_policies_it_is_libvirt_alone_with_its_leaks() {
    let mut world = World::new("nat", "<p:policy/>");
    world.policies.clear();
    assert_eq!(world.verdict("outside", "net"), Verdict::Reject);
    assert_eq!(world.verdict("net", "outside"), Verdict::Accept);
    assert_eq!(world.verdict("stranger", "outside"), Verdict::Reject);
    assert_eq!(world.verdict("of-none", "outside"), Verdict::Reject);
    assert_eq!(world.verdict("of-open", "outside"), Verdict::Accept);
    // libvirt accepts what goes to a routed network before it rejects what comes from an isolated one.
    let leak = vec!["libvirt: of-route in Route".to_owned()];
    assert_eq!(
        world.explain("of-none", "of-route", WEB),
        (Verdict::Accept, leak)
    );
    // IPv6 into a network of mode nat is routed, unless <nat ipv6='yes'/>.
    let six = |who: &str, address: &str| End {
        address: address.parse().expect("an address"),
        ..world.end(who)
    };
    let packet = Packet {
        from: six("outside", "2001:db8::7"),
        to: six("net", "fd00:1::7"),
        protocol: WEB,
        path: PacketPath::Direct,
        routing: Routing::On,
    };
    assert_eq!(world.explain_packet(&packet).0, Verdict::Accept);
    // A policy closes both.
    let world = World::new("nat", "<p:policy/>");
    assert_eq!(world.explain_packet(&packet).0, Verdict::Reject);
    let world = World::new("route", "<p:policy/>");
    assert_eq!(world.verdict("of-none", "net"), Verdict::Reject);
}

#[test]
fn on_one_bridge_nobody_is_asked() {
    let world = World::new(
        "none",
        "<p:policy><p:rule action='drop' direction='inout'/></p:policy>",
    );
    let bridge = vec!["bridge of net".to_owned()];
    assert_eq!(world.explain("net", "net", WEB), (Verdict::Accept, bridge));
}

#[test]
fn the_host_is_an_end_of_its_own() {
    let world = World::new(
        "nat",
        "<p:policy><p:default host='reject'/>\
         <p:rule action='drop' direction='in'><p:peer host='yes'/><p:tcp dstportstart='22'/></p:rule></p:policy>",
    );
    let dns = Protocol::Port(portero_model::Protocol::Udp, 53);
    let says = |word: &str| vec![format!("net: {word}")];
    assert_eq!(
        world.explain("net", "host", dns),
        (Verdict::Accept, says("host services"))
    );
    assert_eq!(
        world.explain("net", "host", WEB),
        (Verdict::Reject, says("host default"))
    );
    let ssh = Protocol::Port(portero_model::Protocol::Tcp, 22);
    assert_eq!(
        world.explain("host", "net", ssh),
        (Verdict::Drop, says("fromhost 1"))
    );
    let unsaid = says("nothing of fromhost");
    assert_eq!(world.explain("host", "net", WEB), (Verdict::Accept, unsaid));
    assert_eq!(world.verdict("of-none", "host"), Verdict::Accept);
    assert_eq!(world.verdict("host", "outside"), Verdict::Accept);
}

#[test]
fn every_packet_comes_before_openers_whatever_the_priorities() {
    let world = World::new(
        "open",
        "<p:policy><p:rule action='accept' direction='in' priority='-1000'/>\
         <p:rule action='drop' direction='in' priority='1000' statematch='false'/></p:policy>",
    );
    let says = vec!["net: in 2".to_owned()];
    assert_eq!(world.explain("outside", "net", WEB), (Verdict::Drop, says));
}

#[test]
fn services_are_told_apart() {
    let world = World::new(
        "open",
        "<p:policy><p:default in='drop'/><p:rule action='accept' direction='in'>\
         <p:icmp type='3' code='4'/><p:icmp type='8'/><p:sctp/><p:icmpv6/></p:rule></p:policy>",
    );
    let accepts = |protocol| world.explain("outside", "net", protocol).0 == Verdict::Accept;
    assert!(accepts(Protocol::Icmp(3, 4)) && !accepts(Protocol::Icmp(3, 3)));
    assert!(accepts(Protocol::Icmp(8, 0)) && accepts(Protocol::Icmp(8, 9)));
    // Types of ICMPv6 are others: this packet is of IPv4.
    assert!(!accepts(Protocol::Icmp(128, 0)));
    assert!(accepts(Protocol::Port(portero_model::Protocol::Sctp, 7)));
    assert!(!accepts(Protocol::Other) && !accepts(WEB));
}
