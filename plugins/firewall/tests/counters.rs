//! What nft and iptables-save print of counters comes back to the rules that were counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic"
)]

use portero_firewall::{iptables, nftables, ForwardCounters, RuleCounters};
use portero_model::{
    CompiledRule, Counter, Direction, Dnat, Family, ForwardCounter, Nets, Owner, OwnerKind, Peer,
    Policy, PortRange, Protocol, Rule, Ruleset, Service, Verdict,
};
use std::collections::BTreeMap;
use uuid::Uuid;

fn rule(name: &str, peers: &[&str]) -> CompiledRule {
    let nets = peers.iter().map(|net| net.parse().unwrap()).collect();
    CompiledRule {
        peers: vec![Peer {
            nets: Nets::In(nets),
            ..Peer::default()
        }],
        services: vec![Service::Ports {
            protocol: Protocol::Udp,
            ports: PortRange::new(53, 53).ok(),
        }],
        ..CompiledRule::of_all(name.parse().unwrap(), Verdict::Accept)
    }
}

/// Three rules that differ in addresses only, of which the last overlaps the first, and a default.
fn ruleset() -> Ruleset {
    let owner = Owner {
        kind: OwnerKind::Network,
        driver: None,
        uuid: Uuid::from_u128(7),
        name: "lan".to_owned(),
    };
    let rules = vec![
        rule("in 1", &["10.3.0.0/24", "10.5.0.5/32"]),
        rule("in 2", &["10.4.0.6/32"]),
        rule("in 3", &["10.3.0.0/16"]),
        CompiledRule {
            peers: Vec::new(),
            services: Vec::new(),
            verdict: Verdict::Drop,
            ..rule("in default", &[])
        },
    ];
    let policy = Policy {
        bridge: "virbr1".to_owned(),
        rules: BTreeMap::from([(Direction::In, rules)]),
        nat: Vec::new(),
        neighbors: Vec::new(),
    };
    Ruleset {
        policy: Some(policy),
        ..Ruleset::empty(owner)
    }
}

fn counted(of: &portero_model::Counters) -> Vec<(String, u64, u64)> {
    let counters = of.iter();
    counters
        .map(|(name, Counter { packets, bytes })| (name.to_string(), *packets, *bytes))
        .collect()
}

/// The name of the chain that packets to guests go through.
fn chain(script: &str) -> String {
    let words = script.split(|character: char| character.is_whitespace() || character == ';');
    let mut names = words.filter(|word| word.starts_with("in_") && word.matches('_').count() == 2);
    names.find(|word| *word != "in_chains").unwrap().to_owned()
}

/// What nft has listed of the table of policies.
fn content(json: &[u8]) -> nftables::TableContent {
    nftables::TableContent::from_json(nftables::Place::Policy, json).unwrap()
}

#[test]
fn nftables_counts_rules_that_share_one_by_their_elements() {
    let ruleset = ruleset();
    let nothing = nftables::Observed::default();
    let script = nftables::reconcile(&nothing, std::slice::from_ref(&ruleset)).unwrap();
    let chain = chain(&script.text());
    // As nft 1.0.6 prints it, less what is not read.
    let listing = r#"{"nftables": [
      {"metainfo": {"version": "1.0.6"}},
      {"set": {"family": "inet", "name": "CHAIN_0", "type": "ipv4_addr", "flags": ["interval"], "elem": [
        {"elem": {"val": {"prefix": {"addr": "10.3.0.0", "len": 24}}, "counter": {"packets": 2, "bytes": 88}}},
        {"elem": {"val": "10.5.0.5", "counter": {"packets": 1, "bytes": 30}}},
        {"elem": {"val": "10.4.0.6", "counter": {"packets": 0, "bytes": 0}}}], "stmt": [{"counter": null}]}},
      {"set": {"family": "inet", "name": "CHAIN_1", "type": "ipv4_addr", "flags": ["interval"], "elem": [
        {"elem": {"val": {"prefix": {"addr": "10.3.0.0", "len": 16}}, "counter": {"packets": 4, "bytes": 200}}}]}},
      {"set": {"family": "inet", "name": "in_strange_0", "type": "ipv4_addr", "elem": [
        {"elem": {"val": "10.4.0.6", "counter": {"packets": 9, "bytes": 9}}}]}},
      {"map": {"name": "in_chains", "type": "ifname", "map": "verdict", "elem": [["virbr1", {"jump": {"target": "CHAIN"}}]]}},
      {"chain": {"name": "CHAIN"}},
      {"rule": {"chain": "CHAIN", "handle": 6, "comment": "replies", "expr": [
        {"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "reply"}},
        {"counter": {"packets": 40, "bytes": 4000}}, {"return": null}]}},
      {"rule": {"chain": "CHAIN", "handle": 7, "comment": "in 1 to in 3", "expr": [
        {"counter": {"packets": 3, "bytes": 118}}, {"return": null}]}},
      {"rule": {"chain": "CHAIN", "handle": 8, "comment": "in default", "expr": [
        {"counter": {"packets": 5, "bytes": 300}}, {"drop": null}]}},
      {"rule": {"chain": "in_strange", "handle": 9, "comment": "in default", "expr": [
        {"counter": {"packets": 7, "bytes": 7}}, {"drop": null}]}}]}"#
        .replace("CHAIN", &chain);
    let mut found = RuleCounters::default();
    found.add_nftables(content(listing.as_bytes()));
    assert_eq!(
        counted(&found.counters(&ruleset)),
        [
            ("in 1".to_owned(), 3, 118),
            ("in 2".to_owned(), 0, 0),
            ("in 3".to_owned(), 4, 200),
            ("in default".to_owned(), 5, 300)
        ]
    );
    // Where the chain is not, nothing is known.
    let mut found = RuleCounters::default();
    found.add_nftables(content(br#"{"nftables": []}"#));
    assert!(found.counters(&ruleset).is_empty());
}

/// An element counts who gets as far as to it.
#[test]
fn services_come_before_addresses_that_count() {
    let nothing = nftables::Observed::default();
    let script = nftables::reconcile(&nothing, &[ruleset()]).unwrap();
    let chain = chain(&script.text());
    for index in 0..2 {
        let rule = format!("udp dport 53 ip saddr @{chain}_{index} counter return");
        assert!(script.text().contains(&rule), "{}", script.text());
    }
}

#[test]
fn iptables_counts_a_rule_in_both_families() {
    let ruleset = ruleset();
    let chain = iptables::Base::In.owner_chain(&ruleset.owner);
    // As iptables-save 1.8.9 prints it.
    let v4 = format!(
        "# Generated by iptables-save v1.8.9 (nf_tables)\n*filter\n:INPUT ACCEPT [7:700]\n:{chain} - [0:0]\n\
         [4:400] -A FORWARD -m comment --comment portero -j PORTERO-IN\n\
         [9:900] -A {chain} -m conntrack --ctdir REPLY -m comment --comment replies -j RETURN\n\
         [2:88] -A {chain} -s 10.3.0.0/24 -p udp -m udp --dport 53 -m comment --comment \"in 1\" -j RETURN\n\
         [1:30] -A {chain} -s 10.5.0.5/32 -p udp -m udp --dport 53 -m comment --comment \"in 1\" -j RETURN\n\
         [8:80] -A {chain} -m limit --limit 10/min -m comment --comment \"log in default\" -j LOG --log-prefix \"portero lan in default: \"\n\
         [5:300] -A {chain} -m comment --comment \"in default\" -j DROP\n\
         [6:600] -A PORTERO-PI-0000000000000000 -m comment --comment \"in default\" -j DROP\n\
         COMMIT\n"
    );
    let v6 = format!("[1:72] -A {chain} -m comment --comment \"in default\" -j DROP\n");
    let mut found = RuleCounters::default();
    found.add_iptables(v4.lines());
    found.add_iptables(v6.lines());
    assert_eq!(
        counted(&found.counters(&ruleset)),
        [
            ("in 1".to_owned(), 3, 118),
            ("in 2".to_owned(), 0, 0),
            ("in 3".to_owned(), 0, 0),
            ("in default".to_owned(), 6, 372)
        ]
    );
    assert!(RuleCounters::default().counters(&ruleset).is_empty());
}

fn forward(ports: u16, guest_ports: u16, source: Option<&str>) -> Rule {
    Rule::Dnat(Dnat {
        protocol: Protocol::Tcp,
        address: None,
        dev: None,
        source: source.map(|source| source.parse().unwrap()),
        ports: PortRange::new(ports, ports).unwrap(),
        guest: "192.168.50.10".parse().unwrap(),
        guest_ports: PortRange::new(guest_ports, guest_ports).unwrap(),
        is_whole_address: false,
    })
}

#[test]
fn iptables_counts_connections_and_what_goes_by_them() {
    let own = ruleset();
    let ruleset = Ruleset {
        rules: vec![
            forward(8080, 80, None),
            forward(8081, 80, Some("203.0.113.0/24")),
            forward(8081, 80, Some("198.51.100.0/24")),
            forward(8082, 80, None),
        ],
        ..Ruleset::empty(own.owner.clone())
    };
    let (dnat, accept) = (iptables::Base::Dnat, iptables::Base::Forward);
    let (dnat, accept) = (dnat.owner_chain(&own.owner), accept.owner_chain(&own.owner));
    // As iptables 1.8.9 prints it.
    let to = "DNAT --to-destination 192.168.50.10:80";
    let nat = format!(
        "-P PREROUTING ACCEPT -c 7 700\n-N {dnat}\n\
         -A {dnat} ! -d 127.0.0.0/8 -p tcp -m tcp --dport 8080 -c 2 120 -j {to}\n\
         -A {dnat} -s 203.0.113.0/24 ! -d 127.0.0.0/8 -p tcp -m tcp --dport 8081 -c 3 180 -j {to}\n\
         -A {dnat} -s 198.51.100.0/24 ! -d 127.0.0.0/8 -p tcp -m tcp --dport 8081 -c 0 0 -j {to}\n\
         -A PORTERO-DN-0000000000000000 ! -d 127.0.0.0/8 -p tcp -m tcp --dport 8082 -c 9 9 -j {to}\n"
    );
    let from = "--ctstate DNAT --ctreplsrc 192.168.50.10 --ctorigdstport";
    let filter = format!(
        "-A {accept} -p tcp -m conntrack {from} 8080 --ctreplsrcport 80 -c 20 1500 -j ACCEPT\n\
         -A {accept} -p tcp -m conntrack {from} 8081 --ctreplsrcport 80 -c 30 2500 -j ACCEPT\n"
    );
    let mut counts = ForwardCounters::default();
    counts.add_iptables(Family::Ipv4, nat.lines());
    counts.add_iptables(Family::Ipv4, filter.lines());
    let traffic = Counter {
        packets: 20,
        bytes: 1500,
    };
    let counters = |connections, traffic| ForwardCounter {
        connections,
        traffic,
    };
    assert_eq!(
        counts.of_forwards(&ruleset),
        [
            counters(Some(2), Some(traffic)),
            // The two share a rule.
            counters(Some(3), None),
            counters(Some(0), None),
            // It is not in the firewall.
            counters(None, None),
        ]
    );
}

#[test]
fn nftables_counts_what_goes_by_forwards() {
    let own = ruleset();
    let two = match forward(8082, 80, None) {
        Rule::Dnat(dnat) => Rule::Dnat(Dnat {
            ports: PortRange::new(8082, 8083).unwrap(),
            guest_ports: PortRange::new(90, 91).unwrap(),
            ..dnat
        }),
        other => other,
    };
    let ruleset = Ruleset {
        rules: vec![
            forward(8080, 80, None),
            forward(8081, 80, Some("203.0.113.0/24")),
            forward(8081, 80, Some("198.51.100.0/24")),
            two,
            forward(8084, 80, None),
        ],
        ..Ruleset::empty(own.owner.clone())
    };
    let counter = |packets, bytes| Counter { packets, bytes };
    let mut counts = ForwardCounters::default();
    let elements = [
        ("192.168.50.10 . 6 . 80 . 8080", counter(20, 1500)),
        ("192.168.50.10 . 6 . 80 . 8081", counter(30, 2500)),
        ("192.168.50.10 . 6 . 90 . 8082", counter(1, 60)),
        ("192.168.50.10 . 6 . 91 . 8083", counter(2, 90)),
    ];
    let elements = elements.map(|(key, counter)| (key.to_owned(), counter));
    counts.add_nftables(Family::Ipv4, elements);
    let expected = [
        Some(counter(20, 1500)),
        // The two share an element.
        None,
        None,
        Some(counter(3, 150)),
        // It is not in the firewall.
        None,
    ];
    let expected = expected.map(|traffic| ForwardCounter {
        connections: None,
        traffic,
    });
    assert_eq!(counts.of_forwards(&ruleset), expected);
}
