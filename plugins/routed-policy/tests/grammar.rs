//! The grammar of `<policy>` and of groups: what is read, and the one line for what is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use portero_model::{Family, Judged, PortRange, Protocol, Service, Spoof, TimeUnit, Verdict};
use portero_routed_policy::{
    Group, Mode, PeerTarget, WrittenDirection, WrittenPolicy, WrittenRule,
};
use portero_xml::{Element, Problem};
use std::collections::BTreeSet;

fn element(content: &str) -> Element {
    let xml = format!("<p:network xmlns:p='urn:portero:1'>\n{content}\n</p:network>");
    Element::parse(xml.as_bytes()).expect("XML")
}

fn read(content: &str) -> Result<WrittenPolicy, Problem> {
    WrittenPolicy::find_in(&element(content)).map(|policy| policy.expect("a policy"))
}

fn policy(content: &str) -> WrittenPolicy {
    read(content).unwrap_or_else(|problem| panic!("{content}: {problem}"))
}

fn rule(attributes: &str, content: &str) -> WrittenRule {
    let policy = policy(&format!(
        "<p:policy><p:rule {attributes}>{content}</p:rule></p:policy>"
    ));
    policy.rules[0].clone()
}

fn peer(attributes: &str) -> PeerTarget {
    let rule = rule(
        "action='accept' direction='in'",
        &format!("<p:peer {attributes}/>"),
    );
    rule.peers[0].target.clone()
}

fn service(text: &str) -> Service {
    rule("action='drop' direction='out'", text).services[0]
}

fn group(content: &str) -> Result<Group, Problem> {
    let xml = format!("<p:group xmlns:p='urn:portero:1'>\n{content}\n</p:group>");
    Group::read(&Element::parse(xml.as_bytes()).expect("XML"))
}

#[test]
fn a_network_without_policy_has_none() {
    let other = element("<p:portForward/><policy/><policy xmlns='urn:other'/>");
    assert_eq!(WrittenPolicy::find_in(&other), Ok(None));
}

#[test]
fn an_empty_policy_says_nothing() {
    let policy = policy("<p:policy/>");
    assert_eq!(policy.line, 2);
    assert_eq!(policy.mode, None);
    let defaults = [policy.default_in, policy.default_out, policy.default_host];
    assert_eq!(defaults, [None; 3]);
    assert_eq!(policy.default_log(), None);
    assert!(policy.antispoof.is_empty());
    assert!(policy.rules.is_empty() && policy.neighbors.is_empty());
}

#[test]
fn modes_are_read() {
    let modes = [
        ("inherit", None),
        ("nat", Some(Mode::Nat)),
        ("route", Some(Mode::Route)),
        ("isolated", Some(Mode::Isolated)),
    ];
    for (word, mode) in modes {
        assert_eq!(policy(&format!("<p:policy mode='{word}'/>")).mode, mode);
    }
}

#[test]
fn defaults_are_read() {
    let verdicts = [Verdict::Accept, Verdict::Drop, Verdict::Reject];
    for verdict in verdicts {
        let name = verdict.name();
        let policy = policy(&format!(
            "<p:policy><p:default in='{name}' out='{name}' host='{name}'/></p:policy>"
        ));
        let defaults = [policy.default_in, policy.default_out, policy.default_host];
        assert_eq!(defaults, [Some(verdict); 3]);
    }
    let logged = policy("<p:policy><p:default in='drop' log='yes'/></p:policy>");
    assert_eq!(logged.default_log(), Some((10, TimeUnit::Minute)));
    let silent = policy("<p:policy><p:default log='no'/></p:policy>");
    assert_eq!(silent.default_log(), None);
}

#[test]
fn antispoof_is_read() {
    let all = policy("<p:policy><p:antispoof ip='yes' mac='yes' dhcp='yes' ra='yes'/></p:policy>");
    let every = BTreeSet::from([Spoof::Ip, Spoof::Mac, Spoof::Dhcp, Spoof::Ra]);
    assert_eq!(all.antispoof, every);
    let one = policy("<p:policy><p:antispoof mac='yes' ip='no'/></p:policy>").antispoof;
    assert_eq!(one, BTreeSet::from([Spoof::Mac]));
}

#[test]
fn a_rule_has_its_defaults() {
    let rule = rule("action='accept' direction='in'", "");
    assert_eq!((rule.number, rule.line), (1, 2));
    assert_eq!(rule.priority, 500);
    assert_eq!(rule.family, None);
    assert_eq!(rule.judged, Judged::Opener);
    assert_eq!(rule.log, None);
    assert_eq!(rule.comment, None);
    assert!(rule.peers.is_empty() && rule.services.is_empty());
}

#[test]
fn attributes_of_a_rule_are_read() {
    let all = rule(
        "action='reject' direction='out' priority='-1000' family='ipv6' statematch='false' \
         log='yes' limit='7/hour' comment='why'",
        "",
    );
    assert_eq!(all.verdict, Verdict::Reject);
    assert_eq!(all.direction, WrittenDirection::Out);
    assert_eq!(all.priority, -1000);
    assert_eq!(all.family, Some(Family::Ipv6));
    assert_eq!(all.judged, Judged::EveryPacket);
    assert_eq!(all.log, Some((7, TimeUnit::Hour)));
    assert_eq!(all.comment.as_deref(), Some("why"));
    let with = |attribute: &str| rule(&format!("action='drop' direction='in' {attribute}"), "");
    assert_eq!(with("priority='1000'").priority, 1000);
    assert_eq!(with("family='ipv4'").family, Some(Family::Ipv4));
    assert_eq!(with("log='yes'").log, Some((10, TimeUnit::Minute)));
    assert_eq!(with("log='no'").log, None);
    for (word, judged) in [
        ("true", Judged::Opener),
        ("1", Judged::Opener),
        ("yes", Judged::Opener),
        ("false", Judged::EveryPacket),
        ("0", Judged::EveryPacket),
        ("no", Judged::EveryPacket),
    ] {
        assert_eq!(with(&format!("statematch='{word}'")).judged, judged);
    }
    for unit in TimeUnit::ALL {
        let limit = with(&format!("log='yes' limit='10000/{}'", unit.name())).log;
        assert_eq!(limit, Some((10_000, unit)));
    }
    for (word, is_in, is_out) in [
        ("in", true, false),
        ("out", false, true),
        ("inout", true, true),
    ] {
        let direction = rule(&format!("action='drop' direction='{word}'"), "").direction;
        assert_eq!((direction.is_in(), direction.is_out()), (is_in, is_out));
    }
}

#[test]
fn rules_are_numbered_in_document_order() {
    let policy = policy(
        "<p:policy><p:rule action='drop' direction='in' priority='9'/>\n<p:default/>\
         <p:rule action='drop' direction='out' priority='1'/></p:policy>",
    );
    let rules: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| (rule.number, rule.line))
        .collect();
    assert_eq!(rules, [(1, 2), (2, 3)]);
}

#[test]
fn peers_are_read() {
    let name = |text: &str| text.parse().expect("a name");
    let net = |text: &str| PeerTarget::Net(text.parse().expect("a network"));
    assert_eq!(peer("network='a b'"), PeerTarget::Network(name("a b")));
    assert_eq!(peer("group='staff'"), PeerTarget::Group(name("staff")));
    assert_eq!(peer("host='yes'"), PeerTarget::Host);
    let mac = "52:54:00:aa:bb:0c".parse().expect("a MAC address");
    assert_eq!(peer("mac='52:54:00:AA:BB:C'"), PeerTarget::Mac(mac));
    assert_eq!(peer("address='192.0.2.7'"), net("192.0.2.7/32"));
    assert_eq!(peer("address='192.0.2.7' prefix='24'"), net("192.0.2.0/24"));
    assert_eq!(peer("address='0.0.0.0' prefix='0'"), net("0.0.0.0/0"));
    assert_eq!(peer("address='2001:db8::7'"), net("2001:db8::7/128"));
    assert_eq!(
        peer("address='2001:db8::7' prefix='64'"),
        net("2001:db8::/64")
    );
    let rule = rule(
        "action='accept' direction='out'",
        "<p:peer network='a' match='no'/><p:peer network='b' match='yes' nat='no'/>\
         <p:peer network='c' nat='yes'/>",
    );
    let said: Vec<_> = rule
        .peers
        .iter()
        .map(|peer| (peer.is_negated, peer.keeps_sources))
        .collect();
    assert_eq!(said, [(true, false), (false, true), (false, false)]);
}

#[test]
fn services_are_read() {
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let of = |ports| Service::Ports { protocol, ports };
        let range = |start, end| PortRange::new(start, end).ok();
        assert_eq!(service(&format!("<p:{protocol}/>")), of(None));
        let one = format!("<p:{protocol} dstportstart='22'/>");
        assert_eq!(service(&one), of(range(22, 22)));
        let more = format!("<p:{protocol} dstportstart='1' dstportend='65535'/>");
        assert_eq!(service(&more), of(range(1, 65535)));
    }
    for (name, family) in [("icmp", Family::Ipv4), ("icmpv6", Family::Ipv6)] {
        let of = |kind, code| Service::Icmp { family, kind, code };
        assert_eq!(service(&format!("<p:{name}/>")), of(None, None));
        assert_eq!(service(&format!("<p:{name} type='0'/>")), of(Some(0), None));
        let both = format!("<p:{name} type='254' code='255'/>");
        assert_eq!(service(&both), of(Some(254), Some(255)));
    }
}

#[test]
fn neighbors_are_read() {
    let policy = policy(
        "<p:policy><p:neighbor dev='eth0' arp='yes'/><p:neighbor dev='eth1.7' arp='yes' ndp='yes'>\
         <p:address> 192.0.2.7 </p:address><p:address>2001:db8::7</p:address></p:neighbor></p:policy>",
    );
    let [first, second] = policy.neighbors.as_slice() else {
        panic!("{:?}", policy.neighbors);
    };
    assert_eq!(
        (first.dev.as_str(), first.arp, first.ndp),
        ("eth0", true, false)
    );
    assert!(first.addresses.is_empty());
    assert_eq!(
        (second.dev.as_str(), second.arp, second.ndp),
        ("eth1.7", true, true)
    );
    let addresses: Vec<String> = second.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.7", "2001:db8::7"]);
}

#[test]
fn nat_is_read() {
    let nat = |content: &str| policy(&format!("<p:policy mode='nat'>{content}</p:policy>")).nat;
    let default = nat("");
    assert!(!default.ipv6 && default.addresses.is_none());
    assert_eq!(default.ports.to_string(), "1024-65535");
    let ipv6 = nat("<p:nat ipv6='yes'/>");
    assert!(ipv6.ipv6);
    assert_eq!(ipv6.ports, default.ports);
    let all = nat("<p:nat><p:address start='203.0.113.1' end='203.0.113.9'/><p:port start='7' end='9'/></p:nat>");
    let (first, last) = all.addresses.expect("addresses");
    assert_eq!(
        format!("{first} {last} {}", all.ports),
        "203.0.113.1 203.0.113.9 7-9"
    );
    let one = nat("<p:nat><p:address start='2001:db8::1'/></p:nat>").addresses;
    assert!(one.is_some_and(|(first, last)| first == last));
}

#[test]
fn groups_are_read() {
    let peers = "<p:peer network='a'/><p:peer address='192.0.2.0' prefix='24'/>\
                 <p:peer host='yes'/><p:peer mac='52:54:00:00:00:01'/>";
    let group = group(peers).expect("a group");
    let kinds: Vec<bool> = vec![
        matches!(group.targets()[0], PeerTarget::Network(_)),
        matches!(group.targets()[1], PeerTarget::Net(_)),
        matches!(group.targets()[2], PeerTarget::Host),
        matches!(group.targets()[3], PeerTarget::Mac(_)),
    ];
    assert_eq!((kinds, group.targets().len()), (vec![true; 4], 4));
}

/// What is wrong in the third line, the element that is named, and a part of what is said.
const WRONG_POLICIES: &[(&str, &str, &str)] = &[
    ("<p:polici/>", "polici", "not known in a policy"),
    ("<p:hostBridge/>", "hostBridge", "not known in a policy"),
    ("<default/>", "default", "of portero's namespace"),
    ("<o:rule xmlns:o='urn:other'/>", "rule", "of portero's namespace"),
    ("<p:default inn='accept'/>", "default", "attribute 'inn' is not known, expected one of in, out, host, log"),
    ("<p:default in='continue'/>", "default", "in: 'continue' is not known, expected accept, drop, reject"),
    ("<p:default out='ACCEPT'/>", "default", "out: 'ACCEPT' is not known"),
    ("<p:default host=''/>", "default", "host: '' is not known"),
    ("<p:default log='true'/>", "default", "log: 'true' is not known, expected yes, no"),
    ("<p:default limit='1/hour'/>", "default", "attribute 'limit' is not known"),
    ("<p:default><p:rule/></p:default>", "rule", "not known in <default>, expected nothing"),
    ("<p:default/><p:default/>", "default", "there twice, expected once"),
    ("<p:antispoof ip='1'/>", "antispoof", "ip: '1' is not known, expected yes, no"),
    ("<p:antispoof mac='on'/>", "antispoof", "mac: 'on' is not known"),
    ("<p:antispoof dhcp='no '/>", "antispoof", "dhcp: 'no ' is not known"),
    ("<p:antispoof ra='drop'/>", "antispoof", "ra: 'drop' is not known"),
    ("<p:antispoof arp='yes'/>", "antispoof", "attribute 'arp' is not known"),
    ("<p:antispoof><p:mac/></p:antispoof>", "mac", "not known in <antispoof>"),
    ("<p:antispoof/><p:antispoof/>", "antispoof", "there twice"),
    ("<p:rule direction='in'/>", "rule", "action is missing, expected accept, drop or reject"),
    ("<p:rule action='return' direction='in'/>", "rule", "action: 'return' is not known"),
    ("<p:rule action='drop'/>", "rule", "direction is missing, expected in, out or inout"),
    ("<p:rule action='drop' direction='both'/>", "rule", "direction: 'both' is not known, expected in, out, inout"),
    ("<p:rule action='drop' direction='in' chain='x'/>", "rule", "attribute 'chain' is not known"),
    ("<p:rule action='drop' direction='in' priority='1001'/>", "rule", "priority: '1001' is not a number, expected -1000 to 1000"),
    ("<p:rule action='drop' direction='in' priority='-1001'/>", "rule", "expected -1000 to 1000"),
    ("<p:rule action='drop' direction='in' priority='+1'/>", "rule", "'+1' is not a number"),
    ("<p:rule action='drop' direction='in' priority='high'/>", "rule", "'high' is not a number"),
    ("<p:rule action='drop' direction='in' priority=''/>", "rule", "'' is not a number"),
    ("<p:rule action='drop' direction='in' family='inet'/>", "rule", "family: 'inet' is not known, expected ipv4, ipv6"),
    ("<p:rule action='drop' direction='in' statematch='2'/>", "rule", "statematch: '2' is not known"),
    ("<p:rule action='drop' direction='in' log='maybe'/>", "rule", "log: 'maybe' is not known"),
    ("<p:rule action='drop' direction='in' limit='1/hour'/>", "rule", "limit without log='yes'"),
    ("<p:rule action='drop' direction='in' log='no' limit='1/hour'/>", "rule", "limit without log='yes'"),
    ("<p:rule action='drop' direction='in' log='yes' limit='0/hour'/>", "rule", "limit: '0/hour' is not a rate"),
    ("<p:rule action='drop' direction='in' log='yes' limit='10001/hour'/>", "rule", "expected 1 to 10000 lines"),
    ("<p:rule action='drop' direction='in' log='yes' limit='+1/hour'/>", "rule", "is not a rate"),
    ("<p:rule action='drop' direction='in' log='yes' limit='1/week'/>", "rule", "is not a rate"),
    ("<p:rule action='drop' direction='in' log='yes' limit='1/hours'/>", "rule", "is not a rate"),
    ("<p:rule action='drop' direction='in' log='yes' limit='10'/>", "rule", "is not a rate"),
    ("<p:rule action='drop' direction='in'><p:all/></p:rule>", "all", "not known in a rule, expected <peer>, <tcp>, <udp>, <sctp>, <icmp> or <icmpv6>"),
    ("<p:rule action='drop' direction='in'><tcp/></p:rule>", "tcp", "of portero's namespace"),
    ("<p:rule action='drop' direction='in'><p:tcp dstport='1'/></p:rule>", "tcp", "attribute 'dstport' is not known, expected one of dstportstart, dstportend"),
    ("<p:rule action='drop' direction='in'><p:tcp srcportstart='1'/></p:rule>", "tcp", "attribute 'srcportstart' is not known"),
    ("<p:rule action='drop' direction='in'><p:tcp dstportstart='0'/></p:rule>", "tcp", "dstportstart: '0' is not a port, expected 1 to 65535"),
    ("<p:rule action='drop' direction='in'><p:tcp dstportstart='65536'/></p:rule>", "tcp", "'65536' is not a port"),
    ("<p:rule action='drop' direction='in'><p:udp dstportstart='+53'/></p:rule>", "udp", "'+53' is not a port"),
    ("<p:rule action='drop' direction='in'><p:udp dstportstart='dns'/></p:rule>", "udp", "'dns' is not a port"),
    ("<p:rule action='drop' direction='in'><p:udp dstportend='53'/></p:rule>", "udp", "dstportend without dstportstart"),
    ("<p:rule action='drop' direction='in'><p:sctp dstportstart='9' dstportend='8'/></p:rule>", "sctp", "ends at 8, before its start 9"),
    ("<p:rule action='drop' direction='in'><p:sctp><p:tcp/></p:sctp></p:rule>", "tcp", "not known in <sctp>"),
    ("<p:rule action='drop' direction='in'><p:icmp dstportstart='1'/></p:rule>", "icmp", "attribute 'dstportstart' is not known, expected one of type, code"),
    ("<p:rule action='drop' direction='in'><p:icmp type='255'/></p:rule>", "icmp", "type: '255' is not a number, expected 0 to 254"),
    ("<p:rule action='drop' direction='in'><p:icmp type='echo-request'/></p:rule>", "icmp", "is not a number"),
    ("<p:rule action='drop' direction='in'><p:icmpv6 type='128' code='256'/></p:rule>", "icmpv6", "code: '256' is not a number, expected 0 to 255"),
    ("<p:rule action='drop' direction='in'><p:icmpv6 code='1'/></p:rule>", "icmpv6", "code without type"),
    ("<p:rule action='drop' direction='in' family='ipv4'><p:icmpv6/></p:rule>", "icmpv6", "not of the rule's family"),
    ("<p:rule action='drop' direction='in' family='ipv6'><p:icmp/></p:rule>", "icmp", "not of the rule's family"),
    ("<p:rule action='drop' direction='in'><peer/></p:rule>", "peer", "of portero's namespace"),
    ("<p:rule action='drop' direction='in'><p:peer/></p:rule>", "peer", "expected one of the attributes network, group, address, host, mac"),
    ("<p:rule action='drop' direction='in'><p:peer network='a' host='yes'/></p:rule>", "peer", "expected one of the attributes"),
    ("<p:rule action='drop' direction='in'><p:peer bridge='virbr0'/></p:rule>", "peer", "attribute 'bridge' is not known"),
    ("<p:rule action='drop' direction='in'><p:peer network='a/b'/></p:rule>", "peer", "network: 'a/b' is not an object's name"),
    ("<p:rule action='drop' direction='in'><p:peer group='../x'/></p:rule>", "peer", "group: '../x' is not an object's name"),
    ("<p:rule action='drop' direction='in'><p:peer address='example.org'/></p:rule>", "peer", "address: 'example.org' is not an IP address"),
    ("<p:rule action='drop' direction='in'><p:peer address='192.0.2.0/24'/></p:rule>", "peer", "is not an IP address"),
    ("<p:rule action='drop' direction='in'><p:peer address='192.0.2.0' prefix='33'/></p:rule>", "peer", "prefix: '33' is not a number, expected 0 to 32"),
    ("<p:rule action='drop' direction='in'><p:peer address='2001:db8::' prefix='129'/></p:rule>", "peer", "expected 0 to 128"),
    ("<p:rule action='drop' direction='in'><p:peer address='192.0.2.0' prefix='255.255.255.0'/></p:rule>", "peer", "is not a number"),
    ("<p:rule action='drop' direction='in'><p:peer network='a' prefix='24'/></p:rule>", "peer", "prefix without address"),
    ("<p:rule action='drop' direction='in'><p:peer mac='52:54:00:00:00:01' prefix='24'/></p:rule>", "peer", "prefix without address"),
    ("<p:rule action='drop' direction='in'><p:peer host='yes' prefix='24'/></p:rule>", "peer", "prefix without address"),
    ("<p:rule action='drop' direction='in'><p:peer host='no'/></p:rule>", "peer", "host: expected yes"),
    ("<p:rule action='drop' direction='in'><p:peer mac='52:54:00:00:00'/></p:rule>", "peer", "mac: '52:54:00:00:00' is not a MAC address"),
    ("<p:rule action='drop' direction='in'><p:peer network='a' match='false'/></p:rule>", "peer", "match: 'false' is not known, expected yes, no"),
    ("<p:rule action='drop' direction='in'><p:peer network='a'><p:tcp/></p:peer></p:rule>", "tcp", "not known in <peer>"),
    ("<p:rule action='drop' direction='out'><p:peer mac='52:54:00:00:00:01'/></p:rule>", "peer", "expected direction='in'"),
    ("<p:rule action='drop' direction='inout'><p:peer mac='52:54:00:00:00:01'/></p:rule>", "peer", "expected direction='in'"),
    ("<p:rule action='drop' direction='out'><p:peer network='a' nat='no'/></p:rule>", "peer", "expected action='accept'"),
    ("<p:rule action='accept' direction='in'><p:peer network='a' nat='no'/></p:rule>", "peer", "direction='out'"),
    ("<p:rule action='accept' direction='out'><p:peer network='a' nat='no' match='no'/></p:rule>", "peer", "no match='no'"),
    ("<p:rule action='accept' direction='out'><p:peer network='a' nat='never'/></p:rule>", "peer", "nat: 'never' is not known"),
    ("<p:neighbor arp='yes'/>", "neighbor", "dev is missing, expected an interface of the host's"),
    ("<p:neighbor dev='-j' arp='yes'/>", "neighbor", "dev: '-j' is not an interface name"),
    ("<p:neighbor dev='eth0'/>", "neighbor", "expected arp='yes', ndp='yes' or both"),
    ("<p:neighbor dev='eth0' arp='no' ndp='no'/>", "neighbor", "expected arp='yes', ndp='yes' or both"),
    ("<p:neighbor dev='eth0' arp='1'/>", "neighbor", "arp: '1' is not known"),
    ("<p:neighbor dev='eth0' proxy='yes'/>", "neighbor", "attribute 'proxy' is not known"),
    ("<p:neighbor dev='eth0' arp='yes'><p:address>eth0</p:address></p:neighbor>", "address", "'eth0' is not an IP address"),
    ("<p:neighbor dev='eth0' arp='yes'><p:address/></p:neighbor>", "address", "'' is not an IP address"),
    ("<p:neighbor dev='eth0' arp='yes'><p:address prefix='1'>192.0.2.7</p:address></p:neighbor>", "address", "attribute 'prefix' is not known"),
    ("<p:neighbor dev='eth0' arp='yes'><p:host/></p:neighbor>", "host", "not known in a neighbor, expected <address>"),
    ("<p:neighbor dev='eth0' arp='yes'><p:address>2001:db8::7</p:address></p:neighbor>", "neighbor", "2001:db8::7 is answered for by neither"),
    ("<p:neighbor dev='eth0' ndp='yes'><p:address>192.0.2.7</p:address></p:neighbor>", "neighbor", "192.0.2.7 is answered for by neither"),
    ("<p:nat/>", "nat", "expected only in a policy with mode='nat'"),
];

/// The same of a policy with `mode='nat'`.
const WRONG_NAT: &[(&str, &str, &str)] = &[
    ("<p:nat/><p:nat/>", "nat", "there twice"),
    ("<p:nat ipv6='1'/>", "nat", "ipv6: '1' is not known"),
    (
        "<p:nat ipv4='yes'/>",
        "nat",
        "attribute 'ipv4' is not known",
    ),
    (
        "<p:nat><p:ip/></p:nat>",
        "ip",
        "not known in <nat>, expected <address> or <port>",
    ),
    ("<p:nat><p:ip x='1'/></p:nat>", "ip", "not known in <nat>"),
    (
        "<p:nat><port start='1'/></p:nat>",
        "port",
        "not known in <nat>",
    ),
    (
        "<p:nat><p:address/></p:nat>",
        "address",
        "start is missing, expected an IP address",
    ),
    (
        "<p:nat><p:address start='x'/></p:nat>",
        "address",
        "start: 'x' is not an IP address",
    ),
    (
        "<p:nat><p:address start='192.0.2.9' end='192.0.2.8'/></p:nat>",
        "address",
        "there are no addresses from 192.0.2.9 to 192.0.2.8",
    ),
    (
        "<p:nat><p:address start='192.0.2.9' end='2001:db8::'/></p:nat>",
        "address",
        "there are no addresses",
    ),
    (
        "<p:nat><p:address start='192.0.2.9'/><p:address start='192.0.2.8'/></p:nat>",
        "address",
        "there twice",
    ),
    (
        "<p:nat><p:port/></p:nat>",
        "port",
        "start is missing, expected a port",
    ),
    (
        "<p:nat><p:port start='0'/></p:nat>",
        "port",
        "'0' is not a port",
    ),
    (
        "<p:nat><p:port start='9' end='8'/></p:nat>",
        "port",
        "before its start",
    ),
    (
        "<p:nat><p:port start='1'/><p:port start='2'/></p:nat>",
        "port",
        "there twice",
    ),
    (
        "<p:nat><p:port start='1'><p:x/></p:port></p:nat>",
        "x",
        "not known in <port>",
    ),
];

const WRONG_GROUPS: &[(&str, &str, &str)] = &[
    ("<p:rule/>", "rule", "not known in a group, expected <peer>"),
    ("<peer host='yes'/>", "peer", "not known in a group"),
    ("<p:peer/>", "peer", "expected one of the attributes"),
    ("<p:peer group='b'/>", "peer", "a group cannot name another"),
    (
        "<p:peer network='a' match='no'/>",
        "peer",
        "match and nat belong to the rule",
    ),
    (
        "<p:peer network='a' nat='no'/>",
        "peer",
        "match and nat belong to the rule",
    ),
];

fn is_told(problem: &Problem, line: usize, (content, element, part): (&str, &str, &str)) {
    let message = problem.to_string();
    let place = format!("line {line}: <{element}>: ");
    assert!(message.starts_with(&place), "{content}: {message}");
    assert!(message.contains(part), "{content}: '{part}' in '{message}'");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_its_place() {
    for wrong in WRONG_POLICIES {
        let problem = read(&format!("<p:policy>\n{}\n</p:policy>", wrong.0));
        is_told(&problem.expect_err(wrong.0), 3, *wrong);
    }
    for wrong in WRONG_NAT {
        let problem = read(&format!("<p:policy mode='nat'>\n{}\n</p:policy>", wrong.0));
        is_told(&problem.expect_err(wrong.0), 3, *wrong);
    }
    for wrong in WRONG_GROUPS {
        is_told(&group(wrong.0).expect_err(wrong.0), 2, *wrong);
    }
}

#[test]
fn what_is_wrong_with_the_element_itself_is_said() {
    let cases = [
        (
            "<p:policy mode='bridge'/>",
            "policy",
            "mode: 'bridge' is not known, expected inherit, nat, route, isolated",
        ),
        (
            "<p:policy in='accept'/>",
            "policy",
            "attribute 'in' is not known, expected one of mode",
        ),
        (
            "<p:policy/><p:policy/>",
            "policy",
            "a second policy, expected one (the first is in line 2)",
        ),
        (
            "<p:policy mode='route'><p:nat/></p:policy>",
            "nat",
            "expected only in a policy with mode='nat'",
        ),
    ];
    for wrong in cases {
        is_told(&read(wrong.0).expect_err(wrong.0), 2, wrong);
    }
    let root = Element::parse(b"<p:domain xmlns:p='urn:portero:1'/>").expect("XML");
    is_told(
        &Group::read(&root).expect_err("no group"),
        1,
        ("", "domain", "group"),
    );
    let root = Element::parse(b"<p:group xmlns:p='urn:portero:1' name='x'/>").expect("XML");
    is_told(
        &Group::read(&root).expect_err("no group"),
        1,
        ("", "group", "attribute 'name' is not known"),
    );
}
