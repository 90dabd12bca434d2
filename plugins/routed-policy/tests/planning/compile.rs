//! From a policy and the networks around it to compiled rules, in their order, and what is refused.

use crate::networks::{network, Networks};
use portero_model::{
    CompiledRule, Direction, Family, Judged, Named, Nat, NatPeer, Nets, Peer, Policy, Verdict,
};
use std::net::IpAddr;

/// A compiled rule in few words: name, verdict, and whose addresses it is about.
fn short(rule: &CompiledRule) -> String {
    let guests = match &rule.guests {
        Nets::Any => String::new(),
        Nets::In(nets) => format!(" of {nets:?}"),
        Nets::NotIn(nets) => format!(" not of {nets:?}"),
    };
    format!("{}: {}{guests}", rule.name, rule.verdict)
}

fn rules(policy: &Policy, direction: Direction) -> Vec<String> {
    let rules = policy.rules.get(&direction);
    rules.into_iter().flatten().map(short).collect()
}

fn rule<'a>(policy: &'a Policy, direction: Direction, name: &str) -> &'a CompiledRule {
    let mut rules = policy.rules[&direction].iter();
    rules
        .find(|rule| rule.name.to_string() == name)
        .expect("a rule")
}

const ACCEPT: &str = "accept of [10.1.0.0/24, fd00:1::/64]";

#[test]
fn defaults_are_those_of_the_mode() {
    let out_in = |mode: &str, policy: &str| {
        let compiled = Networks::new().compiles(mode, policy);
        [Direction::Out, Direction::In].map(|direction| rules(&compiled, direction))
    };
    let open = |direction: &str| {
        vec![
            format!("{direction} default: {ACCEPT}"),
            format!("{direction} foreign: reject"),
        ]
    };
    let closed = |direction: &str| vec![format!("{direction} default: reject")];
    let plain = "<p:policy/>";
    assert_eq!(out_in("nat", plain), [open("out"), closed("in")]);
    assert_eq!(out_in("route", plain), [open("out"), open("in")]);
    assert_eq!(out_in("none", plain), [closed("out"), closed("in")]);
    let unsaid: [Vec<String>; 2] = [vec![], vec![]];
    assert_eq!(out_in("open", plain), unsaid);
    // The same for an open network that is given the mode.
    for (mode, libvirts) in [("nat", "nat"), ("route", "route"), ("isolated", "none")] {
        let given = out_in("open", &format!("<p:policy mode='{mode}'/>"));
        assert_eq!(given, out_in(libvirts, plain), "{mode}");
    }
    assert_eq!(out_in("open", "<p:policy mode='inherit'/>"), unsaid);
}

#[test]
fn defaults_can_be_others() {
    let of = |mode: &str, defaults: &str| {
        Networks::new().compiles(
            mode,
            &format!("<p:policy><p:default {defaults}/></p:policy>"),
        )
    };
    let policy = of("nat", "in='accept' out='drop'");
    assert_eq!(rules(&policy, Direction::Out), ["out default: drop"]);
    // Open to guests' own addresses only.
    let accepting = [
        format!("in default: {ACCEPT}"),
        "in foreign: reject".to_owned(),
    ];
    assert_eq!(rules(&policy, Direction::In), accepting);
    assert!(!policy.rules.contains_key(&Direction::ToHost));
    let policy = of("open", "in='accept' out='reject'");
    assert_eq!(rules(&policy, Direction::Out), ["out default: reject"]);
    assert_eq!(rules(&policy, Direction::In), [""; 0]);
    let policy = of("open", "log='yes'");
    let log = rule(&policy, Direction::In, "in default").log.clone();
    assert_eq!(log.expect("a log").prefix, "portero net in default: ");
}

#[test]
fn a_default_logs_what_it_names_and_what_it_does_not_accept() {
    let logged = |defaults: &str| {
        let text = format!("<p:policy><p:default {defaults} log='yes'/></p:policy>");
        let policy = Networks::new().compiles("nat", &text);
        let has_log = |direction, name| rule(&policy, direction, name).log.is_some();
        (
            has_log(Direction::In, "in default"),
            has_log(Direction::Out, "out default"),
        )
    };
    // The other direction of a NAT network is accepted, and nobody has asked for a line of each connection.
    assert_eq!(logged("in='reject'"), (true, false));
    assert_eq!(logged("in='reject' out='accept'"), (true, true));
    assert_eq!(logged("out='drop'"), (true, true));
    assert_eq!(logged("out='accept'"), (true, true));
    assert_eq!(logged(""), (true, true));
}

#[test]
fn a_forward_dev_restricts_what_the_mode_lets_pass() {
    let of = |defaults: &str| {
        Networks::new().compiles(
            "nat' dev='eth7",
            &format!("<p:policy><p:default {defaults}/></p:policy>"),
        )
    };
    let by = |policy: &Policy| rule(policy, Direction::Out, "out default").peers.clone();
    let dev = Peer {
        interface: Some(Named::Is("eth7".to_owned())),
        ..Peer::default()
    };
    for defaults in ["", "out='accept'"] {
        assert_eq!(by(&of(defaults)), std::slice::from_ref(&dev));
    }
    assert_eq!(by(&of("out='drop'")), []);
}

#[test]
fn the_host_serves_guests_unless_its_default_says_otherwise() {
    let of = |verdict: &str| {
        Networks::new().compiles(
            "nat",
            &format!("<p:policy><p:default host='{verdict}'/></p:policy>"),
        )
    };
    assert!(!of("accept").rules.contains_key(&Direction::ToHost));
    let policy = of("drop");
    let shown = rules(&policy, Direction::ToHost);
    assert_eq!(shown, ["host services: accept", "host default: drop"]);
    // DHCP, DHCPv6, DNS over both, and seven types of ICMPv6.
    let services = &rule(&policy, Direction::ToHost, "host services").services;
    assert_eq!(services.len(), 4 + 7);
    assert!(!policy.rules.contains_key(&Direction::FromHost));
}

#[test]
fn rules_come_by_priority_then_in_document_order_and_before_defaults() {
    let rule = |priority: &str| format!("<p:rule action='drop' direction='out' {priority}/>");
    let rules: String = [
        "priority='501'",
        "",
        "priority='-1'",
        "priority='500'",
        "priority='-1'",
    ]
    .map(rule)
    .concat();
    let policy = Networks::new().compiles("open", &format!("<p:policy>{rules}</p:policy>"));
    let names: Vec<String> = policy.rules[&Direction::Out]
        .iter()
        .map(|rule| rule.name.to_string())
        .collect();
    assert_eq!(
        names,
        ["out 3", "out 5", "out 2", "out 4", "out 1", "out default"]
    );
}

#[test]
fn a_direction_is_one_way_or_both() {
    let policy = Networks::new().compiles(
        "open",
        "<p:policy><p:rule action='drop' direction='in'/><p:rule action='reject' direction='inout'/>\
         <p:rule action='accept' direction='out' statematch='false'/></p:policy>",
    );
    assert_eq!(
        rules(&policy, Direction::In),
        ["in 1: drop", "in 2: reject", "in default: accept"]
    );
    let out = ["out 2: reject", "out 3: accept", "out default: accept"];
    assert_eq!(rules(&policy, Direction::Out), out);
    assert_eq!(
        rule(&policy, Direction::Out, "out 3").judged,
        Judged::EveryPacket
    );
    assert_eq!(
        rule(&policy, Direction::Out, "out 2").judged,
        Judged::Opener
    );
    // Packets to the host and from it are only meant when it is named.
    assert_eq!(policy.rules.len(), 2);
}

#[test]
fn the_host_as_peer_has_ways_of_its_own() {
    let networks = Networks::new();
    let policy = networks.compiles(
        "open",
        "<p:policy><p:rule action='drop' direction='inout'><p:peer host='yes'/></p:rule>\
         <p:rule action='drop' direction='out'><p:peer host='yes'/><p:peer address='192.0.2.1'/></p:rule>\
         <p:rule action='drop' direction='in'><p:peer host='yes' match='no'/></p:rule></p:policy>",
    );
    assert_eq!(
        rules(&policy, Direction::ToHost),
        ["host 1: drop", "host 2: drop"]
    );
    assert_eq!(rules(&policy, Direction::FromHost), ["fromhost 1: drop"]);
    assert_eq!(
        rules(&policy, Direction::Out),
        ["out 2: drop", "out default: accept"]
    );
    assert_eq!(rule(&policy, Direction::Out, "out 2").peers.len(), 1);
    // Anybody but the host: whoever is behind it.
    assert_eq!(
        rules(&policy, Direction::In),
        ["in 3: drop", "in default: accept"]
    );
    let peers = &rule(&policy, Direction::In, "in 3").peers;
    assert_eq!(peers.as_slice(), [portero_model::Peer::default()]);
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a network")
}

fn fits(nets: &Nets, address: &str) -> bool {
    let address: IpAddr = address.parse().expect("an address");
    let holds = |nets: &[ipnet::IpNet]| nets.iter().any(|net| net.contains(&address));
    match nets {
        Nets::Any => true,
        Nets::In(nets) => holds(nets),
        Nets::NotIn(nets) => !holds(nets),
    }
}

#[test]
fn negated_addresses_leave_all_others_of_their_family() {
    let networks = Networks::new();
    let policy = networks.compiles(
        "open",
        "<p:policy><p:rule action='drop' direction='in'>\
         <p:peer address='192.0.2.0' prefix='24' match='no'/><p:peer address='2001:db8::1'/></p:rule></p:policy>",
    );
    let rule = rule(&policy, Direction::In, "in 1");
    assert_eq!(rule.families, Family::ALL);
    let (not, six) = (&rule.peers[0].nets, &rule.peers[1].nets);
    assert!(fits(not, "198.51.100.1") && !fits(not, "192.0.2.9"));
    assert!(!fits(not, "2001:db8::1") && !fits(not, "2001:db8::2"));
    assert!(fits(six, "2001:db8::1") && !fits(six, "2001:db8::2"));
    assert_eq!(
        not.only(Family::Ipv4),
        Some(Nets::NotIn(vec![net("192.0.2.0/24")]))
    );
    assert_eq!(not.only(Family::Ipv6), None);
}

#[test]
fn a_negated_group_is_everybody_who_is_none_of_it() {
    let networks = Networks::new().group(
        "known",
        "<p:peer address='192.0.2.0' prefix='24'/><p:peer address='198.51.100.9'/>\
         <p:peer network='lab'/><p:peer host='yes'/><p:peer mac='52:54:00:00:00:01'/>",
    );
    let policy = networks.compiles(
        "open",
        "<p:policy><p:rule action='drop' direction='in'><p:peer group='known' match='no'/></p:rule></p:policy>",
    );
    let [peer] = rule(&policy, Direction::In, "in 1").peers.as_slice() else {
        panic!("not one peer");
    };
    assert!(fits(&peer.nets, "198.51.100.8") && !fits(&peer.nets, "198.51.100.9"));
    assert!(!fits(&peer.nets, "192.0.2.255"));
    assert_eq!(peer.interface, Some(Named::IsNot("br-lab".to_owned())));
    let mac = Named::IsNot("52:54:00:00:00:01".to_owned());
    assert_eq!(peer.mac, Some(mac));
    assert!(!policy.rules.contains_key(&Direction::FromHost));
}

#[test]
fn a_group_is_each_of_its_peers() {
    let networks = Networks::new()
        .group("all", "<p:peer address='192.0.2.1'/><p:peer address='2001:db8::1'/><p:peer network='lab'/><p:peer host='yes'/>")
        .group("none", "");
    let policy = networks.compiles(
        "open",
        "<p:policy><p:rule action='drop' direction='in'><p:peer group='all'/><p:peer group='none'/></p:rule>\
         <p:rule action='drop' direction='in'><p:peer group='none'/></p:rule>\
         <p:rule action='drop' direction='in'><p:peer group='none' match='no'/></p:rule></p:policy>",
    );
    let rule = rule(&policy, Direction::In, "in 1");
    assert_eq!(rule.peers.len(), 2);
    assert!(fits(&rule.peers[0].nets, "192.0.2.1") && fits(&rule.peers[0].nets, "2001:db8::1"));
    assert_eq!(rules(&policy, Direction::FromHost), ["fromhost 1: drop"]);
    // Nobody is of the empty one: its rule is not there; everybody is not of it.
    assert_eq!(
        rules(&policy, Direction::In),
        ["in 1: drop", "in 3: drop", "in default: accept"]
    );
}

#[test]
fn a_network_that_is_not_active_has_nobody_in_it_and_that_is_told() {
    let policy = "<p:policy>\n<p:rule action='accept' direction='in'><p:peer network='gone'/></p:rule>\n\
                  <p:rule action='drop' direction='in'><p:peer network='gone' match='no'/></p:rule></p:policy>";
    let compiled = Networks::new().compile("open", policy).expect("a policy");
    let told: Vec<&str> = compiled.warnings.iter().map(String::as_str).collect();
    let nobody = "network 'gone' is not active, so nobody is of it";
    assert_eq!(
        told,
        [
            format!("rule in line 2: {nobody}"),
            format!("rule in line 3: {nobody}")
        ]
    );
    assert_eq!(
        rules(&compiled.policy, Direction::In),
        ["in 2: drop", "in default: accept"]
    );
    let mut networks = Networks::new();
    networks.others.push(network("gone", 7, "nat", ""));
    let compiled = networks.compile("open", policy).expect("a policy");
    assert_eq!(compiled.warnings, [""; 0]);
    assert_eq!(rules(&compiled.policy, Direction::In)[0], "in 1: accept");
}

#[test]
fn antispoof_comes_first_and_is_asked_of_every_packet() {
    let policy = Networks::new().compiles(
        "route",
        "<p:policy><p:antispoof ip='yes'/><p:rule action='accept' direction='out' priority='-1000'/></p:policy>",
    );
    let spoof = &policy.rules[&Direction::Out][0];
    assert_eq!(
        (spoof.name.to_string(), spoof.judged),
        ("out antispoof".to_owned(), Judged::EveryPacket)
    );
    assert!(!fits(&spoof.guests, "10.1.0.9") && fits(&spoof.guests, "10.2.0.9"));
    assert!(!fits(&spoof.guests, "fd00:1::9") && fits(&spoof.guests, "fd00:2::9"));
    let host = rule(&policy, Direction::ToHost, "host antispoof");
    for own in ["10.1.0.9", "0.0.0.0", "fd00:1::9", "::", "fe80::9"] {
        assert!(!fits(&host.guests, own), "{own}");
    }
    assert!(fits(&host.guests, "10.2.0.9") && fits(&host.guests, "fd00:2::9"));
}

#[test]
fn log_prefixes_name_network_and_rule_within_netfilters_limit() {
    let mut networks = Networks::new();
    networks.name = "a \"long\" name of a network".to_owned();
    let policy = networks.compiles(
        "open",
        "<p:policy><p:rule action='drop' direction='inout' log='yes' limit='3/day'/>\
         <p:rule action='drop' direction='in' log='yes'><p:peer host='yes'/></p:rule></p:policy>",
    );
    let log = |direction, name| rule(&policy, direction, name).log.clone().expect("a log");
    assert_eq!(
        log(Direction::In, "in 1").prefix,
        "portero a__long__name_ in 1: "
    );
    assert_eq!(
        log(Direction::FromHost, "fromhost 2").prefix,
        "portero a__long_ fromhost 2: "
    );
    for log in [
        log(Direction::In, "in 1"),
        log(Direction::FromHost, "fromhost 2"),
    ] {
        assert!(log.prefix.len() <= 29, "{}", log.prefix);
    }
    assert_eq!(log(Direction::Out, "out 1").lines, 3);
}

#[test]
fn sources_are_kept_towards_peers_that_say_so() {
    let networks = Networks::new().group(
        "two",
        "<p:peer network='lab'/><p:peer address='192.0.2.7'/>",
    );
    let keeps = |mode: &str, policy: &str| -> Vec<(String, NatPeer)> {
        let policy = networks.compiles(mode, policy);
        let nat = policy.nat.into_iter();
        nat.filter_map(|nat| match nat {
            Nat::Keep { from, to } => Some((from.to_string(), to)),
            Nat::Masquerade { .. } => None,
        })
        .collect()
    };
    let (four, six) = ("10.1.0.0/24".to_owned(), "fd00:1::/64".to_owned());
    let rule = |attributes: &str, peer: &str| {
        format!("<p:rule action='accept' direction='out' {attributes}><p:peer {peer} nat='no'/></p:rule>")
    };
    let of = |rule: &str| format!("<p:policy>{rule}</p:policy>");
    let lab = NatPeer::Interface("br-lab".to_owned());
    let both = [(four.clone(), lab.clone()), (six.clone(), lab.clone())];
    assert_eq!(keeps("nat", &of(&rule("", "network='lab'"))), both);
    let ipv4 = of(&rule("family='ipv4'", "network='lab'"));
    assert_eq!(keeps("nat", &ipv4), [(four.clone(), lab.clone())]);
    let address = of(&rule("", "address='2001:db8::' prefix='32'"));
    let net = |text: &str| NatPeer::Net(text.parse().expect("a network"));
    assert_eq!(keeps("nat", &address), [(six, net("2001:db8::/32"))]);
    let group = keeps("nat", &of(&rule("family='ipv4'", "group='two'")));
    assert_eq!(
        group,
        [(four.clone(), net("192.0.2.7/32")), (four.clone(), lab)]
    );
    let open = format!(
        "<p:policy mode='nat'>{}</p:policy>",
        rule("", "address='192.0.2.7'")
    );
    assert_eq!(keeps("open", &open), [(four, net("192.0.2.7/32"))]);
}

#[test]
fn an_open_network_is_masqueraded_by_its_own_mode_alone() {
    let masks = |mode: &str, policy: &str| -> Vec<String> {
        let policy = Networks::new().compiles(mode, policy);
        let nat = policy.nat.iter();
        nat.map(|nat| match nat {
            Nat::Masquerade {
                from,
                addresses,
                ports,
            } => format!("{from} to {addresses:?} {ports}"),
            Nat::Keep { .. } => "kept".to_owned(),
        })
        .collect()
    };
    assert_eq!(masks("nat", "<p:policy/>"), [""; 0]);
    assert_eq!(masks("open", "<p:policy/>"), [""; 0]);
    assert_eq!(masks("open", "<p:policy mode='route'/>"), [""; 0]);
    let plain = masks("open", "<p:policy mode='nat'/>");
    assert_eq!(plain, ["10.1.0.0/24 to None 1024-65535"]);
    let both = "<p:policy mode='nat'><p:nat ipv6='yes'><p:port start='5000' end='5999'/></p:nat></p:policy>";
    let expected = [
        "10.1.0.0/24 to None 5000-5999",
        "fd00:1::/64 to None 5000-5999",
    ];
    assert_eq!(masks("open", both), expected);
    let range = "<p:policy mode='nat'><p:nat ipv6='yes'><p:address start='203.0.113.1' end='203.0.113.9'/></p:nat></p:policy>";
    let expected = [
        "10.1.0.0/24 to Some((203.0.113.1, 203.0.113.9)) 1024-65535",
        "fd00:1::/64 to None 1024-65535",
    ];
    assert_eq!(masks("open", range), expected);
}

#[test]
fn neighbors_are_reservations_or_the_addresses_given() {
    let mut networks = Networks::new();
    networks.hosts = "<host mac='52:54:00:00:00:07' ip='10.1.0.7'/><host mac='52:54:00:00:00:08' ip='10.1.0.8'/>".to_owned();
    let neighbors = |content: &str| -> Vec<String> {
        let policy = networks.compiles("route", &format!("<p:policy>{content}</p:policy>"));
        let neighbors = policy.neighbors.iter();
        neighbors
            .map(|found| format!("{} {}", found.dev, found.address))
            .collect()
    };
    assert_eq!(
        neighbors("<p:neighbor dev='eth0' arp='yes'/>"),
        ["eth0 10.1.0.7", "eth0 10.1.0.8"]
    );
    // The reservations are IPv4 addresses, and ndp says nothing of those.
    let ndp = "<p:policy><p:neighbor dev='eth0' ndp='yes'/></p:policy>";
    let compiled = networks.compile("route", ndp).expect("a policy");
    assert_eq!(compiled.policy.neighbors, []);
    let told =
        "neighbor in line 1: there is no reservation that it is about, so it answers for nobody";
    assert_eq!(compiled.warnings, [told]);
    let given = "<p:neighbor dev='eth0' arp='yes' ndp='yes'><p:address>fd00:1::9</p:address>\
                 <p:address>10.1.0.9</p:address><p:address>10.1.0.9</p:address></p:neighbor>\
                 <p:neighbor dev='eth0' arp='yes'><p:address>10.1.0.9</p:address></p:neighbor>";
    assert_eq!(neighbors(given), ["eth0 10.1.0.9", "eth0 fd00:1::9"]);
}

/// What is refused when the policy is compiled: mode of the network, policy, line and element, and a
/// part of what is said.
#[test]
fn what_cannot_be_had_is_refused_in_one_line() {
    let rule = |attributes: &str, content: &str| {
        format!("<p:policy>\n<p:rule {attributes}>{content}</p:rule></p:policy>")
    };
    let drop_in = "action='drop' direction='in'";
    let keep = rule(
        "action='accept' direction='out'",
        "<p:peer network='lab' nat='no'/>",
    );
    let neighbor = |address: &str| {
        format!("<p:policy>\n<p:neighbor dev='eth0' arp='yes'><p:address>{address}</p:address></p:neighbor></p:policy>")
    };
    let nat = |content: &str| format!("<p:policy mode='nat'>{content}</p:policy>");
    let cases = [
        ("bridge", "<p:policy/>".to_owned(), "line 1: <policy>: guests of network 'net' are not behind this host"),
        ("nat", "<p:policy mode='nat'/>".to_owned(), "line 1: <policy>: mode is given, but libvirt has rules of its own"),
        ("route", keep.clone(), "line 2: <rule>: nat='no', but connections of this network keep their addresses anyway"),
        ("open", keep, "line 2: <rule>: nat='no', but"),
        ("open", rule(drop_in, "<p:peer group='missing'/>"), "line 2: <rule>: there is no group missing"),
        ("open", rule(drop_in, "<p:peer group='wrong'/>"), "line 2: <rule>: line 1: <peer>: expected one of"),
        ("open", rule(drop_in, "<p:peer network='hosted'/>"), "line 2: <rule>: network 'hosted' has no bridge by which"),
        ("open", rule(drop_in, "<p:peer network='direct'/>"), "line 2: <rule>: network 'direct' has no bridge by which"),
        ("open", rule(drop_in, "<p:peer group='networks' match='no'/>"), "line 2: <rule>: match='no' can be said of one network"),
        ("open", rule("action='drop' direction='out'", "<p:peer group='macs'/>"), "line 2: <rule>: a MAC address is seen of whoever sends"),
        ("open", rule("action='drop' direction='inout'", "<p:peer group='macs' match='no'/>"), "line 2: <rule>: a MAC address is seen"),
        ("open", rule("action='drop' direction='in' family='ipv6'", "<p:peer address='192.0.2.1'/>"), "line 2: <rule>: no packet is of its family"),
        ("open", rule(drop_in, "<p:peer address='192.0.2.1'/><p:icmpv6/>"), "line 2: <rule>: no packet is of its family"),
        ("open", rule(drop_in, "<p:peer address='192.0.2.1' match='no'/><p:icmpv6/>"), "line 2: <rule>: no packet is of its family"),
        ("open", rule(drop_in, "<p:peer address='::' prefix='0' match='no'/>"), "line 2: <rule>: no packet is of its family"),
        ("open", nat("<p:nat><p:address start='2001:db8::1'/></p:nat>"), "line 1: <policy>: the addresses from 2001:db8::1 on are of a family that is not masqueraded"),
        ("route", neighbor("10.1.0.1"), "line 2: <neighbor>: 10.1.0.1 cannot be a guest's of this network"),
        ("route", neighbor("10.2.0.9"), "line 2: <neighbor>: 10.2.0.9 cannot be a guest's"),
        ("route", "<p:policy>\n<p:neighbor dev='br-net' arp='yes'/></p:policy>".to_owned(), "line 2: <neighbor>: br-net is the network's own bridge"),
    ];
    let mut networks = Networks::new()
        .group("networks", "<p:peer network='lab'/><p:peer network='net'/>")
        .group("macs", "<p:peer mac='52:54:00:00:00:01'/>")
        .group("wrong", "<p:peer/>");
    networks.others.push(network("hosted", 8, "bridge", ""));
    networks.others.push(network("direct", 9, "private", ""));
    for (mode, policy, expected) in cases {
        let told = networks.compile(mode, &policy).expect_err(&policy);
        assert!(
            told.starts_with(expected),
            "{policy}: '{expected}' in '{told}'"
        );
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn verdicts_of_rules_are_kept() {
    for verdict in [Verdict::Accept, Verdict::Drop, Verdict::Reject] {
        let written = format!("<p:policy><p:rule action='{verdict}' direction='in'/></p:policy>");
        let policy = Networks::new().compiles("none", &written);
        assert_eq!(rule(&policy, Direction::In, "in 1").verdict, verdict);
    }
}
