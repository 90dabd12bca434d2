//! The values that rules are made of: ports, networks of addresses, claims, owners and their names.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use ipnet::IpNet;
use portero_firewall::{Firewall, Tool};
use portero_model::{
    Claim, Counter, Direction, Family, Nets, Origin, Owner, OwnerKind, Policy, PortRange, Protocol,
    Rule, RuleName, Ruleset, Service, TimeUnit, Verdict,
};
use std::net::IpAddr;
use uuid::Uuid;

fn range(start: u16, end: u16) -> PortRange {
    PortRange::new(start, end).expect("a range")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    let nets = texts.iter();
    nets.map(|net| net.parse().expect("a network")).collect()
}

fn owner(name: &str) -> Owner {
    Owner {
        kind: OwnerKind::Domain,
        driver: None,
        uuid: Uuid::from_u128(7),
        name: name.to_owned(),
    }
}

#[test]
fn ranges_have_their_ends_and_all_between() {
    let ports = range(80, 90);
    assert_eq!((ports.start(), ports.end(), ports.count()), (80, 90, 11));
    assert!(!ports.is_single() && range(80, 80).is_single());
    assert_eq!((range(80, 80).count(), PortRange::ALL.count()), (1, 65_535));
    for (port, is_in) in [(79, false), (80, true), (90, true), (91, false)] {
        assert_eq!(ports.contains(port), is_in, "{port}");
        assert_eq!(ports.overlaps(range(port, port)), is_in, "{port}");
    }
    assert!(ports.overlaps(range(1, 80)) && ports.overlaps(range(90, 100)));
    assert!(ports.overlaps(range(1, 100)) && range(1, 100).overlaps(ports));
    assert_eq!(ports.joined(':'), "80:90");
    assert_eq!(range(80, 80).joined(':'), "80");
    let pairs: Vec<(u16, u16)> = range(80, 82).zip(range(1, 2)).collect();
    assert_eq!(pairs, [(80, 1), (81, 2)]);
    assert!(PortRange::new(0, 1).is_err() && PortRange::new(2, 1).is_err());
    for (text, port) in [("1", Some(1)), ("65535", Some(65_535)), ("080", Some(80))] {
        assert_eq!(PortRange::port(text).ok(), port);
    }
    for wrong in ["", "0", "65536", "+1", "1 ", "x"] {
        assert!(PortRange::port(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn ranges_are_moved_made_longer_and_cut() {
    let ports = range(80, 90);
    assert_eq!(ports.moved_to(8080), Some(range(8080, 8090)));
    assert_eq!(ports.moved_to(65_525), Some(range(65_525, 65_535)));
    assert_eq!(ports.moved_to(65_526), None);
    assert_eq!(ports.up_to(95), range(80, 95));
    assert_eq!(ports.up_to(85), ports);
    assert_eq!(ports.without(range(83, 85)), [range(80, 82), range(86, 90)]);
    assert_eq!(ports.without(range(80, 85)), [range(86, 90)]);
    assert_eq!(ports.without(range(85, 90)), [range(80, 84)]);
    assert_eq!(ports.without(range(81, 89)), [range(80, 80), range(90, 90)]);
    assert_eq!(ports.without(range(91, 99)), [ports]);
    for all in [ports, range(70, 100), PortRange::ALL] {
        assert_eq!(ports.without(all), []);
    }
}

#[test]
fn protocols_have_the_numbers_and_names_of_everybody() {
    let known = [
        (Protocol::Tcp, 6, "tcp"),
        (Protocol::Udp, 17, "udp"),
        (Protocol::Sctp, 132, "sctp"),
    ];
    for (protocol, number, name) in known {
        assert_eq!((protocol.number(), protocol.name()), (number, name));
        assert_eq!(protocol.to_string(), name);
        assert_eq!(name.parse(), Ok(protocol));
    }
    let error = "icmp".parse::<Protocol>().expect_err("no ports");
    assert!(error.to_string().contains("expected tcp, udp or sctp"));
}

#[test]
fn networks_of_one_family_are_joined_and_all_or_none_of_them_is_said_plainly() {
    use Family::{Ipv4, Ipv6};
    let halves = nets(&["10.1.128.0/17", "10.1.0.0/17", "10.3.0.0/16"]);
    let joined = nets(&["10.1.0.0/16", "10.3.0.0/16"]);
    assert!(Nets::Any.is_any() && !Nets::In(joined.clone()).is_any());
    assert_eq!(Nets::Any.only(Ipv4), Some(Nets::Any));
    assert_eq!(
        Nets::In(halves.clone()).only(Ipv4),
        Some(Nets::In(joined.clone()))
    );
    assert_eq!(
        Nets::NotIn(halves.clone()).only(Ipv4),
        Some(Nets::NotIn(joined))
    );
    // Nobody of the other family is in these, and everybody is in none of them.
    assert_eq!(Nets::In(halves.clone()).only(Ipv6), None);
    assert_eq!(Nets::NotIn(halves).only(Ipv6), Some(Nets::Any));
    let all = nets(&["0.0.0.0/1", "128.0.0.0/1"]);
    assert_eq!(Nets::In(all.clone()).only(Ipv4), Some(Nets::Any));
    assert_eq!(Nets::NotIn(all).only(Ipv4), None);
    let two = nets(&["10.1.0.0/16", "fd00::/64"]);
    assert_eq!(
        Nets::In(two).only(Ipv6),
        Some(Nets::In(nets(&["fd00::/64"])))
    );
}

/// Records of a version before are read after an upgrade.
#[test]
fn policies_stay_in_records_as_they_are() {
    let record = r#"{"bridge":"virbr1","ways":{"out":[{"name":"out default","families":["ipv4","ipv6"],"judged":"opener","verdict":"reject"}],"to-host":[{"name":"host 2","families":["ipv6"],"guests":{"in":["fd00::/64"]},"judged":"every-packet","verdict":"accept"}]},"nat":[],"neighbors":[]}"#;
    let policy: Policy = serde_json::from_str(record).expect("a record");
    assert_eq!(serde_json::to_string(&policy).expect("JSON"), record);
    let rules = &policy.rules[&Direction::ToHost];
    assert_eq!(rules[0].name.number(), Some(2));
}

#[test]
fn families_have_their_addresses() {
    assert_eq!(Family::from(address("10.1.2.3")), Family::Ipv4);
    assert_eq!(Family::from(address("fd00::1")), Family::Ipv6);
    let all = Family::ALL.map(|family| (family.to_string(), family.all().to_string()));
    let expected = [("IPv4", "0.0.0.0/0"), ("IPv6", "::/0")];
    assert_eq!(
        all,
        expected.map(|(name, net)| (name.to_owned(), net.to_owned()))
    );
}

#[test]
fn claims_are_in_each_others_way_when_a_packet_is_of_both() {
    let claim = Claim {
        protocol: Protocol::Tcp,
        family: None,
        address: None,
        dev: None,
        source: None,
        ports: range(80, 90),
        is_whole_address: false,
    };
    let dev = |name: &str| Some(name.to_owned());
    let source = |net: &str| Some(net.parse().expect("a network"));
    let narrow = Claim {
        family: Some(Family::Ipv4),
        address: Some(address("192.0.2.1")),
        dev: dev("eth0"),
        source: source("198.51.100.0/24"),
        ..claim.clone()
    };
    let conflict = |other: &Claim| {
        assert_eq!(narrow.conflicts_with(other), other.conflicts_with(&narrow));
        narrow.conflicts_with(other)
    };
    assert!(conflict(&claim) && conflict(&narrow));
    for apart in [
        Claim {
            protocol: Protocol::Udp,
            ..narrow.clone()
        },
        Claim {
            ports: range(91, 99),
            ..narrow.clone()
        },
        Claim {
            family: Some(Family::Ipv6),
            ..narrow.clone()
        },
        Claim {
            address: Some(address("192.0.2.2")),
            ..narrow.clone()
        },
        Claim {
            dev: dev("eth1"),
            ..narrow.clone()
        },
        Claim {
            source: source("198.51.101.0/24"),
            ..narrow.clone()
        },
    ] {
        assert!(!conflict(&apart), "{apart:?}");
    }
    let whole = Claim {
        is_whole_address: true,
        dev: None,
        source: None,
        ..narrow.clone()
    };
    assert!(conflict(&whole) && whole.conflicts_with(&whole));
    assert!(!whole.conflicts_with(&claim) && !claim.conflicts_with(&whole));
    for within in ["198.51.100.7/32", "198.51.0.0/16"] {
        assert!(
            conflict(&Claim {
                source: source(within),
                ..narrow.clone()
            }),
            "{within}"
        );
    }
    assert_eq!(claim.to_string(), "tcp port 80-90");
    assert_eq!(narrow.to_string(), "tcp port 80-90 of 192.0.2.1 on eth0");
}

#[test]
fn an_owner_is_known_by_kind_and_uuid_and_told_by_name() {
    let web = owner("web");
    let network = Owner {
        kind: OwnerKind::Network,
        driver: None,
        ..web.clone()
    };
    let another = Owner {
        uuid: Uuid::from_u128(8),
        ..web.clone()
    };
    assert_eq!(web.hash().len(), 16);
    assert_eq!(web.hash(), owner("another name").hash());
    assert_ne!(web.hash(), network.hash());
    assert_ne!(web.hash(), another.hash());
    assert_eq!(web.comment(), "domain web");
    assert_eq!(owner("a b\"ü.-_9").comment(), "domain a_b__.-_9");
    assert_eq!(
        owner(&"x".repeat(100)).comment().len(),
        "domain ".len() + 64
    );
    assert_eq!(owner("a\nb").to_string(), "domain 'a\\nb'");
    assert_eq!(
        Origin::Metadata(network).to_string(),
        "metadata of network 'web'"
    );
    assert_eq!(Origin::File("/etc/x".to_owned()).to_string(), "/etc/x");
}

#[test]
fn a_ruleset_is_empty_when_nothing_is_asked_for() {
    let empty = Ruleset::empty(owner("web"));
    assert!(empty.is_empty() && !empty.has_rules());
    assert_eq!(empty.owner, owner("web"));
    let bridge = "br-lan".to_owned();
    let rules = vec![
        Rule::Masquerade {
            source: None,
            guest: address("10.1.2.3"),
            bridge: None,
        },
        Rule::Localnet { bridge },
    ];
    let some = Ruleset {
        rules,
        ..empty.clone()
    };
    assert!(!some.is_empty() && some.has_rules());
    assert!(some.has_rules_of(&some) && !some.has_rules_of(&empty));
    assert_eq!(some.localnet_bridges().collect::<Vec<_>>(), ["br-lan"]);
    let claim = Claim {
        protocol: Protocol::Tcp,
        family: None,
        address: None,
        dev: None,
        source: None,
        ports: range(80, 80),
        is_whole_address: false,
    };
    let waiting = Ruleset {
        claims: vec![claim],
        ..empty
    };
    assert!(!waiting.is_empty() && !waiting.has_rules());
}

#[test]
fn firewalls_have_the_programs_that_change_them() {
    use Family::{Ipv4, Ipv6};
    let tools = [Tool::Restore(Ipv4), Tool::Restore(Ipv6), Tool::Nft];
    let programs = ["iptables-restore", "ip6tables-restore", "nft"];
    assert_eq!(tools.map(Tool::program), programs);
    let arguments: [&[&str]; 3] = [&["--noflush"], &["--noflush"], &["-f", "-"]];
    assert_eq!(tools.map(Tool::arguments), arguments);
    for (firewall, name) in [
        (Firewall::Iptables, "iptables"),
        (Firewall::Nftables, "nftables"),
    ] {
        assert_eq!(firewall.to_string(), name);
        assert_ne!(firewall.other(), firewall);
        assert_eq!(firewall.other().other(), firewall);
    }
}

#[test]
fn words_of_policies_are_those_of_the_grammar() {
    assert_eq!(
        Direction::ALL.map(Direction::name),
        ["out", "in", "host", "fromhost"]
    );
    let ends = Direction::ALL.map(|direction| direction.pick("from", "to"));
    assert_eq!(ends, ["from", "to", "from", "to"]);
    let verdicts = [Verdict::Accept, Verdict::Drop, Verdict::Reject];
    assert_eq!(verdicts.map(Verdict::name), ["accept", "drop", "reject"]);
    assert_eq!(
        verdicts.map(|verdict| verdict.to_string()),
        ["accept", "drop", "reject"]
    );
    assert_eq!(
        TimeUnit::ALL.map(TimeUnit::name),
        ["second", "minute", "hour", "day"]
    );
    assert_eq!(TimeUnit::ALL.map(TimeUnit::seconds), [1, 60, 3600, 86_400]);
    let names = [
        "in 3",
        "out default",
        "out foreign",
        "host antispoof",
        "host services",
    ];
    for name in names {
        let read: RuleName = name.parse().expect("a name");
        assert_eq!(read.to_string(), name);
        assert_eq!(read.number(), (name == "in 3").then_some(3));
    }
    for other in [
        "in",
        "in +3",
        "in 03",
        "replies",
        "log in 3",
        "up 3",
        "in 1 to in 3",
    ] {
        let error = other.parse::<RuleName>().expect_err("no name");
        assert!(error.to_string().contains(other), "{error}");
    }
    let ports = Service::Ports {
        protocol: Protocol::Tcp,
        ports: None,
    };
    let icmp = Service::Icmp {
        family: Family::Ipv6,
        kind: None,
        code: None,
    };
    let of = |service: Service| Family::ALL.map(|family| service.is_of(family));
    assert_eq!((of(ports), of(icmp)), ([true, true], [false, true]));
    let mut counter = Counter {
        packets: 1,
        bytes: 60,
    };
    counter += Counter {
        packets: 2,
        bytes: 100,
    };
    assert_eq!((counter.packets, counter.bytes), (3, 160));
}
