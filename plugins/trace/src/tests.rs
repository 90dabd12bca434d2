//! What becomes of packets in rules that nft and iptables-save have listed (tests/explain/rules).

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use super::*;
use portero_model::{Arrives, Family, Protocol, ToHost};

const BLOCKER: &str = include_str!("../../../tests/explain/rules/blocker.json");
const DEBIAN: &str = include_str!("../../../tests/explain/rules/debian.json");
const DOCKER: &str = include_str!("../../../tests/explain/rules/docker.save");
const UFW: &str = include_str!("../../../tests/explain/rules/ufw.save");

/// Of a forward from port 8080 to a guest's port 80.
fn forward() -> Flow {
    Flow {
        traffic: tcp(80),
        client: Side::Behind(Link::named(Some("eth0".to_owned()))),
        client_address: None,
        server: Side::Behind(Link::bridge("br-lan".to_owned())),
        server_address: [192, 168, 50, 10].into(),
        translated: Some(Translated {
            address: None,
            port: 8080,
        }),
        is_masqueraded: false,
        judges_bridged: false,
    }
}

fn tcp(port: u16) -> Traffic {
    Traffic::Port {
        protocol: Protocol::Tcp,
        port,
        from: None,
    }
}

fn behind(interface: &str) -> Side {
    Side::Behind(Link::named(Some(interface.to_owned())))
}

fn there(rules: &Rules, flow: &Flow) -> Judgement {
    rules.judge(flow, Leg::There)
}

fn back(rules: &Rules, flow: &Flow) -> Judgement {
    rules.judge(flow, Leg::Back)
}

fn nft(text: &str) -> Rules {
    nft_keeping(Kept::All, text)
}

fn nft_keeping(kept: Kept, text: &str) -> Rules {
    let mut rules = Rules::keeping(kept);
    rules.add_nftables(text);
    assert_eq!(rules.unread, [""; 0]);
    rules
}

fn iptables(text: &str) -> Rules {
    iptables_keeping(Kept::All, text)
}

fn iptables_keeping(kept: Kept, text: &str) -> Rules {
    let mut rules = Rules::keeping(kept);
    rules.add_iptables(of("iptables"), text);
    rules
}

fn of(program: &str) -> Iptables {
    Iptables {
        program: program.to_owned(),
        family: Family::Ipv4,
        is_in_nftables: program == "iptables",
    }
}

fn stopped(judgement: Judgement) -> Stop {
    match judgement {
        Judgement::Stopped(stop) => stop,
        other => panic!("{other:?}"),
    }
}

fn doubtful(judgement: Judgement) -> Stop {
    match judgement {
        Judgement::Doubtful(stop) => stop,
        other => panic!("{other:?}"),
    }
}

fn command(stop: &Stop) -> String {
    mend(
        stop,
        &forward(),
        Leg::There,
        &Settings::default(),
        Scope::Port,
    )
    .expect("a command")
}

#[test]
fn a_packet_is_followed_through_maps_and_sets() {
    let rules = nft(BLOCKER);
    // Anybody may be the one who is trusted.
    let stop = doubtful(there(&rules, &forward()));
    assert_eq!(stop.rule, "chain judge, handle 8: drop, \"no web\"");
    let from = |last| Flow {
        client_address: Some([203, 0, 113, last].into()),
        ..forward()
    };
    assert_eq!(there(&rules, &from(7)), Judgement::Passes);
    let stop = stopped(there(&rules, &from(8)));
    assert_eq!(stop.verdict, "drop");
    assert_eq!(
        command(&stop),
        "nft insert rule inet blocker way meta l4proto tcp ct status dnat ct original proto-dst \
         8080 accept"
    );
    let forwarded = Flow {
        translated: Some(Translated {
            address: None,
            port: 9090,
        }),
        ..from(8)
    };
    assert_eq!(there(&rules, &forwarded), Judgement::Passes);
    let elsewhere = Flow {
        server: behind("br-far"),
        ..from(8)
    };
    assert_eq!(there(&rules, &elsewhere), Judgement::Passes);
    let other_port = Flow {
        traffic: tcp(91),
        ..from(8)
    };
    assert_eq!(there(&rules, &other_port), Judgement::Passes);
    assert_eq!(back(&rules, &forward()), Judgement::Passes);
    // How many there have been cannot be seen.
    let udp = Flow {
        traffic: Traffic::Port {
            protocol: Protocol::Udp,
            port: 80,
            from: None,
        },
        ..from(8)
    };
    assert_eq!(
        doubtful(there(&rules, &udp)).rule,
        "chain judge, handle 9: drop"
    );
}

#[test]
fn a_policy_stops_what_no_rule_has_let_pass() {
    let rules = nft(DEBIAN);
    let stop = stopped(there(&rules, &forward()));
    assert_eq!(stop.rule, "the policy of chain forward, drop");
    assert_eq!(
        stop.base,
        BaseChain::Nftables {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            chain: "forward".to_owned(),
            hook: Hook::Forward,
        }
    );
    assert_eq!(back(&rules, &forward()), Judgement::Passes);
    let with = |outside: &str, inside: &str, port, last| Flow {
        client: behind(outside),
        server: behind(inside),
        traffic: tcp(port),
        server_address: [192, 168, 50, last].into(),
        ..forward()
    };
    assert_eq!(
        there(&rules, &with("eth0", "wg7", 80, 10)),
        Judgement::Passes
    );
    assert_eq!(
        there(&rules, &with("lan1", "br-lan", 80, 10)),
        Judgement::Passes
    );
    stopped(there(&rules, &with("lan1", "br-lan", 25, 10)));
    assert_eq!(
        there(&rules, &with("eth0", "br-lan", 443, 10)),
        Judgement::Passes
    );
    // `goto` does not come back, so the policy decides.
    stopped(there(&rules, &with("eth0", "br-lan", 443, 30)));
    let v6 = Flow {
        server_address: "2001:db8::9".parse().expect("an address"),
        ..forward()
    };
    assert_eq!(there(&rules, &v6), Judgement::Passes);
    let unknown = Flow {
        client: Side::Behind(Link::named(None)),
        ..forward()
    };
    doubtful(there(&rules, &unknown));
}

#[test]
fn docker_stops_by_its_policy_what_nobody_else_accepts() {
    let stop = stopped(there(&iptables(DOCKER), &forward()));
    assert_eq!((stop.by, stop.verdict), (RuleOwner::Docker, "drop"));
    assert_eq!(
        command(&stop),
        "iptables -I DOCKER-USER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 -j ACCEPT"
    );
    let all = mend(
        &stop,
        &forward(),
        Leg::There,
        &Settings::default(),
        Scope::Forwards,
    )
    .expect("a command");
    assert_eq!(
        all,
        "iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"
    );
    let mended = DOCKER.replace(
        "-A DOCKER-USER -j RETURN",
        "-A DOCKER-USER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 -j ACCEPT",
    );
    assert_eq!(there(&iptables(&mended), &forward()), Judgement::Passes);
    assert_eq!(back(&iptables(&mended), &forward()), Judgement::Passes);
    let other = Flow {
        translated: Some(Translated {
            address: None,
            port: 8081,
        }),
        ..forward()
    };
    stopped(there(&iptables(&mended), &other));
    // To a container of docker's own it passes.
    let container = Flow {
        server: behind("docker0"),
        server_address: [172, 17, 0, 2].into(),
        ..forward()
    };
    assert_eq!(there(&iptables(DOCKER), &container), Judgement::Passes);
}

#[test]
fn ufw_is_told_in_its_own_words() {
    let stop = stopped(there(&iptables(UFW), &forward()));
    assert_eq!(stop.by, RuleOwner::Ufw);
    assert_eq!(
        command(&stop),
        "ufw route allow proto tcp to 192.168.50.10 port 80"
    );
    let mended = format!(
        "{UFW}-A ufw-user-forward -d 192.168.50.10/32 -p tcp -m tcp --dport 80 -j ACCEPT\n"
    );
    assert_eq!(there(&iptables(&mended), &forward()), Judgement::Passes);
    assert_eq!(back(&iptables(UFW), &forward()), Judgement::Passes);
    // Its limits say nothing of what passes.
    let icmp = UFW.replace(
        "-p icmp -m icmp --icmp-type 3 -j ACCEPT",
        "-m limit --limit 3/min -j ACCEPT",
    );
    doubtful(there(&iptables(&icmp), &forward()));
}

#[test]
fn tables_of_iptables_are_not_read_twice() {
    let listing = r#"{"nftables": [{"table": {"family": "ip", "name": "filter"}},
        {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter",
                   "hook": "forward", "prio": 0, "policy": "drop"}}]}"#;
    let mut rules = nft(listing);
    stopped(there(&rules, &forward()));
    // Another program's rules are others.
    rules.add_iptables(of("iptables-legacy"), ":FORWARD ACCEPT [0:0]\n");
    stopped(there(&rules, &forward()));
    rules.add_iptables(of("iptables"), ":FORWARD ACCEPT [0:0]\n");
    assert_eq!(there(&rules, &forward()), Judgement::Passes);
}

#[test]
fn chains_that_lead_to_each_other_end() {
    let rules = ":FORWARD ACCEPT [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A A -j A\n-A A -j DROP\n";
    stopped(there(&iptables(rules), &forward()));
}

#[test]
fn a_negation_is_of_one_match_and_not_of_the_next() {
    let judged = |rule: &str| {
        let rules = format!(":FORWARD ACCEPT [0:0]\n-A FORWARD {rule} -j DROP\n");
        there(&iptables(&rules), &forward())
    };
    // The packet goes from eth0 to br-lan.
    stopped(judged("! -i eth1 -o br-lan"));
    stopped(judged("! -i eth1 ! -o br-far -p tcp -m tcp --dport 80"));
    assert_eq!(judged("! -i eth1 -o br-far"), Judgement::Passes);
    assert_eq!(judged("-i eth0 ! -o br-lan"), Judgement::Passes);
    // Nor where it cannot be told what is negated.
    doubtful(judged("! -s 203.0.113.7/32 -o br-lan"));
    assert_eq!(judged("! -s 203.0.113.7/32 -o br-far"), Judgement::Passes);
}

/// A chain of nftables that asks all packets of a hook, with these expressions in its one rule.
fn chain(hook: &str, priority: i64, rule: &str) -> Rules {
    nft(&format!(
        r#"{{"nftables": [
            {{"chain": {{"family": "inet", "table": "t", "name": "c", "type": "filter",
                        "hook": "{hook}", "prio": {priority}, "policy": "accept"}}}},
            {{"rule": {{"family": "inet", "table": "t", "chain": "c", "handle": 1,
                       "expr": [{rule}]}}}}]}}"#
    ))
}

const TO_8080: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}}, {"drop": null}"#;
const TO_80: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"drop": null}"#;
const DNAT: &str = r#"{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, {"drop": null}"#;
const INVALID: &str = r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, {"drop": null}"#;

#[test]
fn a_packet_is_at_each_hook_what_it_is_there() {
    let judged = |hook, priority, rule| there(&chain(hook, priority, rule), &forward());
    // Before the host translates its destination, and afterwards.
    let stop = stopped(judged("prerouting", -300, TO_8080));
    assert_eq!(stop.base.hook(), Hook::Prerouting);
    assert_eq!(
        command(&stop),
        "nft insert rule inet t c tcp dport 8080 accept"
    );
    assert_eq!(judged("prerouting", -300, TO_80), Judgement::Passes);
    assert_eq!(judged("prerouting", -150, DNAT), Judgement::Passes);
    stopped(judged("prerouting", -50, TO_80));
    stopped(judged("prerouting", -50, DNAT));
    stopped(judged("forward", 0, TO_80));
    stopped(judged("postrouting", 0, TO_80));
    // It is not for the host.
    assert_eq!(judged("input", 0, r#"{"drop": null}"#), Judgement::Passes);
    assert_eq!(judged("output", 0, r#"{"drop": null}"#), Judgement::Passes);
    // What is not tracked yet has no state.
    stopped(judged("prerouting", -300, INVALID));
    assert_eq!(judged("prerouting", -150, INVALID), Judgement::Passes);
}

#[test]
fn tables_of_iptables_are_asked_at_their_hooks() {
    let save = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8080 -j DROP\nCOMMIT\n\
                *filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n";
    let stop = stopped(there(&iptables(save), &forward()));
    assert_eq!(
        command(&stop),
        "iptables -t raw -I PREROUTING -p tcp --dport 8080 -j ACCEPT"
    );
    // The client's port may be that one.
    doubtful(back(&iptables(save), &forward()));
    // The program that has the rule is told to let it pass.
    let mut rules = Rules::default();
    rules.add_iptables(of("iptables"), ":FORWARD ACCEPT [0:0]\n");
    rules.add_iptables(of("iptables-legacy"), ":FORWARD DROP [0:0]\n");
    let stop = stopped(there(&rules, &forward()));
    assert_eq!(
        command(&stop),
        "iptables-legacy -I FORWARD -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 -j ACCEPT"
    );
    // What leaves it untracked leaves everything in doubt that asks for its state.
    let untracked = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j CT --notrack\nCOMMIT\n\
                     *filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate NEW -j DROP\nCOMMIT\n";
    let routed = Flow {
        translated: None,
        ..forward()
    };
    doubtful(there(&iptables(untracked), &routed));
}

#[test]
fn a_guest_asks_the_host() {
    let dhcp = Flow {
        traffic: Traffic::Port {
            protocol: Protocol::Udp,
            port: 67,
            from: Some(68),
        },
        client: Side::Behind(Link::bridge("virbr0".to_owned())),
        client_address: Some([0, 0, 0, 0].into()),
        server: Side::Host,
        server_address: [255, 255, 255, 255].into(),
        translated: None,
        ..forward()
    };
    let stop = stopped(there(&chain("input", 0, r#"{"drop": null}"#), &dhcp));
    let told = |stop: &Stop| mend(stop, &dhcp, Leg::There, &Settings::default(), Scope::Port);
    assert_eq!(
        told(&stop).as_deref(),
        Some("nft insert rule inet t c iifname \"virbr0\" udp dport 67 accept")
    );
    assert_eq!(
        there(&chain("forward", 0, r#"{"drop": null}"#), &dhcp),
        Judgement::Passes
    );
    let input = ":INPUT DROP [0:0]\n:ufw-before-input - [0:0]\n";
    let stop = stopped(there(&iptables(input), &dhcp));
    assert_eq!(
        told(&stop).as_deref(),
        Some("ufw allow in on virbr0 to any port 67 proto udp")
    );
    let fits = "{\"match\": {\"op\": \"==\", \"left\": {\"fib\": {\"result\": \"type\", \
                \"flags\": [\"daddr\"]}}, \"right\": \"broadcast\"}}, {\"drop\": null}";
    stopped(there(&chain("input", 0, fits), &dhcp));
}

#[test]
fn guests_of_one_bridge_meet_the_bridges_rules_and_with_br_netfilter_those_of_ip() {
    let bridge = || Side::Behind(Link::bridge("br-lan".to_owned()));
    let flow = Flow {
        client: bridge(),
        server: bridge(),
        translated: None,
        ..forward()
    };
    let drops = chain("forward", 0, r#"{"drop": null}"#);
    assert_eq!(there(&drops, &flow), Judgement::Passes);
    let judged = Flow {
        judges_bridged: true,
        ..flow.clone()
    };
    stopped(there(&drops, &judged));
    let text = r#"{"nftables": [{"chain": {"family": "bridge", "table": "t", "name": "c",
        "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}]}"#;
    stopped(there(&nft(text), &flow));
    assert_eq!(there(&nft(text), &forward()), Judgement::Passes);
}

#[test]
fn a_table_that_sleeps_is_not_asked() {
    let listing = |flags: &str| {
        format!(
            r#"{{"nftables": [{{"table": {{"family": "ip", "name": "t"{flags}}}}},
            {{"chain": {{"family": "ip", "table": "t", "name": "c", "type": "filter",
                       "hook": "forward", "prio": 0, "policy": "drop"}}}}]}}"#
        )
    };
    stopped(there(&nft(&listing("")), &forward()));
    let dormant = listing(r#", "flags": "dormant""#);
    assert_eq!(there(&nft(&dormant), &forward()), Judgement::Passes);
}

#[test]
fn a_port_that_others_publish_is_found() {
    others_publish(Kept::All);
    others_publish(Kept::DnatOfOthers);
}

#[test]
fn who_asks_for_published_ports_keeps_nothing_else() {
    let stops = |kept| nft_keeping(kept, BLOCKER).have_stops_of_others();
    assert!(stops(Kept::All) && !stops(Kept::DnatOfOthers));
    let text = "*filter\n-A FORWARD -j DROP\nCOMMIT\n";
    let stops = |kept| iptables_keeping(kept, text).have_stops_of_others();
    assert!(stops(Kept::All) && !stops(Kept::DnatOfOthers));
}

fn others_publish(kept: Kept) {
    let nft = |text: &str| nft_keeping(kept, text);
    let iptables = |text: &str| iptables_keeping(kept, text);
    let port = |port| ToHost {
        protocol: Protocol::Tcp,
        port,
        address: Some([203, 0, 113, 1].into()),
        source: None,
        arrives: Arrives::By("eth0"),
    };
    let rule =
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80";
    let published = |rule: &str, at| {
        let save = format!("*nat\n{rule}\nCOMMIT\n*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n");
        iptables(&save).published_by_others(&port(at))
    };
    let found = published(rule, 8080).expect("docker's");
    assert_eq!(
        (found.by, found.rule),
        (RuleOwner::Docker, format!("iptables: {rule}"))
    );
    assert_eq!(published(rule, 8081), None);
    assert_eq!(published(&rule.replace("tcp", "udp"), 8080), None);
    assert_eq!(
        published(&rule.replace("DOCKER", "PORTERO-DNAT"), 8080),
        None
    );
    let other = rule.replace("-p tcp", "-d 203.0.113.2/32 -p tcp");
    assert_eq!(published(&other, 8080), None, "another address");
    let range = "-A PREROUTING -p tcp -m tcp --dport 8000:8100 -j DNAT --to-destination 10.0.0.2";
    assert_eq!(
        published(range, 8080).map(|one| one.by),
        Some(RuleOwner::Other)
    );
    let rule = r#"{"nftables": [{"rule": {"family": "ip", "table": "docker-bridges", "chain": "nat", "handle": 7,
        "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}},
        {"dnat": {"addr": "172.17.0.2", "port": 80}}]}}]}"#;
    let found = nft(rule)
        .published_by_others(&port(8080))
        .expect("docker's");
    assert_eq!(found.by, RuleOwner::Docker);
    assert_eq!(
        found.rule,
        "nftables: table ip docker-bridges, chain nat, handle 7"
    );
    for right in [
        r#"{"range": [8000, 8100]}"#,
        r#"{"set": [22, {"range": [8080, 8081]}]}"#,
    ] {
        let rule = rule.replace(r#""right": 8080"#, &format!(r#""right": {right}"#));
        let is_found = |at| nft(&rule).published_by_others(&port(at)).is_some();
        assert!(is_found(8080) && !is_found(8200), "{right}");
    }
    let own = rule.replace("docker-bridges", "portero");
    assert_eq!(nft(&own).published_by_others(&port(8080)), None);
}

/// Rules of one chain, as nft lists them.
fn odd(hook: &str, kind: &str, priority: i64, expressions: &[&str]) -> Rules {
    let rules: String = expressions
        .iter()
        .map(|one| {
            format!(
                r#", {{"rule": {{"family": "ip", "table": "odd", "chain": "way", "handle": 2, "expr": [{one}]}}}}"#
            )
        })
        .collect();
    nft(&format!(
        r#"{{"nftables": [{{"chain": {{"family": "ip", "table": "odd", "name": "way", "handle": 1, "type": "{kind}",
        "hook": "{hook}", "prio": {priority}, "policy": "accept"}}}}{rules}]}}"#
    ))
}

#[test]
fn what_a_program_decides_is_a_doubt() {
    let queue = odd(
        "forward",
        "filter",
        0,
        &[r#"{"queue": {"num": 7}}"#, r#"{"drop": null}"#],
    );
    // Nobody after it is asked.
    let stop = doubtful(there(&queue, &forward()));
    assert_eq!(
        (stop.verdict, stop.rule.as_str()),
        ("queue", "chain way, handle 2: queue")
    );
    assert_eq!(
        mend(
            &stop,
            &forward(),
            Leg::There,
            &Settings::default(),
            Scope::Port
        ),
        None
    );
    let proxy = odd(
        "prerouting",
        "filter",
        -150,
        &[r#"{"tproxy": {"port": 3128}}"#],
    );
    assert_eq!(doubtful(there(&proxy, &forward())).verdict, "redirect");
    for target in ["NFQUEUE --queue-num 7", "TPROXY --on-port 3128", "TARPIT"] {
        let rule = format!(
            "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j {target}\nCOMMIT\n"
        );
        doubtful(there(&iptables(&rule), &forward()));
    }
    let harmless =
        "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n";
    assert_eq!(there(&iptables(harmless), &forward()), Judgement::Passes);
}

#[test]
fn a_rate_in_a_set_is_a_doubt() {
    let flood = r#"{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@flood",
        "stmt": [{"limit": {"rate": 10, "per": "second", "inv": true}}]}}, {"drop": null}"#;
    doubtful(there(&odd("forward", "filter", 0, &[flood]), &forward()));
}

#[test]
fn what_others_translate_before_portero_does_not_arrive() {
    let dnat = r#"{"dnat": {"addr": "203.0.113.77"}}"#;
    let stop = stopped(there(&odd("prerouting", "nat", -150, &[dnat]), &forward()));
    assert_eq!(stop.verdict, "dnat");
    let later = odd("prerouting", "nat", -100, &[dnat]);
    assert_eq!(there(&later, &forward()), Judgement::Passes);
    // What a guest sends goes to somebody, who may be right.
    let leaving = Flow {
        translated: None,
        ..forward()
    };
    assert_eq!(doubtful(there(&later, &leaving)).verdict, "dnat");
    let table = |first: &str| {
        iptables(&format!(
            "*nat\n:PREROUTING ACCEPT [0:0]\n:PORTERO-DNAT - [0:0]\n{first}-A PREROUTING -j PORTERO-DNAT\n\
             -A PREROUTING -p tcp -j REDIRECT --to-ports 1\nCOMMIT\n"
        ))
    };
    assert_eq!(there(&table(""), &forward()), Judgement::Passes);
    let accept = "-A PREROUTING -p tcp -m tcp --dport 8080 -j ACCEPT\n";
    assert_eq!(
        stopped(there(&table(accept), &forward())).verdict,
        "no DNAT"
    );
    let other = accept.replace("8080", "80");
    assert_eq!(there(&table(&other), &forward()), Judgement::Passes);
    let redirect = "-A PREROUTING -i eth0 -j REDIRECT --to-ports 1\n";
    assert_eq!(
        stopped(there(&table(redirect), &forward())).verdict,
        "redirect"
    );
}

#[test]
fn what_is_not_tracked_is_not_translated() {
    let notrack = odd("prerouting", "filter", -300, &[r#"{"notrack": null}"#]);
    assert_eq!(stopped(there(&notrack, &forward())).verdict, "notrack");
    assert_eq!(stopped(back(&notrack, &forward())).verdict, "notrack");
    let routed = Flow {
        translated: None,
        ..forward()
    };
    assert_eq!(there(&notrack, &routed), Judgement::Passes);
    let to_host = Flow {
        client: forward().server,
        server: Side::Host,
        translated: None,
        is_masqueraded: true,
        ..forward()
    };
    assert_eq!(there(&notrack, &to_host), Judgement::Passes);
    let zone = r#"{"mangle": {"key": {"ct": {"key": "zone"}}, "value": 5}}"#;
    let zone = odd("prerouting", "filter", -300, &[zone]);
    assert_eq!(doubtful(there(&zone, &forward())).verdict, "ct zone");
    let raw = |target: &str| {
        iptables(&format!(
            "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -j CT {target}\nCOMMIT\n"
        ))
    };
    assert_eq!(
        stopped(there(&raw("--notrack"), &forward())).verdict,
        "notrack"
    );
    assert_eq!(
        doubtful(there(&raw("--zone 5"), &forward())).verdict,
        "zone"
    );
    assert_eq!(there(&raw("--helper ftp"), &forward()), Judgement::Passes);
}

#[test]
fn what_keeps_a_guest_s_source_stops_what_needs_the_host_s() {
    let leaving = Flow {
        client: Side::Behind(Link::bridge("br-lan".to_owned())),
        client_address: Some([192, 168, 50, 10].into()),
        server: behind("eth0"),
        server_address: [203, 0, 113, 2].into(),
        translated: None,
        is_masqueraded: true,
        ..forward()
    };
    let table = |first: &str| {
        iptables(&format!(
            "*nat\n:POSTROUTING ACCEPT [0:0]\n:LIBVIRT_PRT - [0:0]\n{first}-A POSTROUTING -j LIBVIRT_PRT\n\
             -A LIBVIRT_PRT -s 192.168.50.0/24 -j MASQUERADE\nCOMMIT\n"
        ))
    };
    assert_eq!(there(&table(""), &leaving), Judgement::Passes);
    let keep = "-A POSTROUTING -s 192.168.50.0/24 -d 203.0.113.0/24 -j ACCEPT\n";
    assert_eq!(
        stopped(there(&table(keep), &leaving)).verdict,
        "no masquerade"
    );
    let routed = Flow {
        is_masqueraded: false,
        ..leaving
    };
    assert_eq!(there(&table(keep), &routed), Judgement::Passes);
}

#[test]
fn chains_of_an_interface_are_asked_when_a_packet_comes_and_goes() {
    let rules = |hook: &str, device: &str, field: &str, port: u16| {
        nft(&format!(
            r#"{{"nftables": [{{"chain": {{"family": "netdev", "table": "odd", "name": "way", "handle": 1, "dev": "{device}",
            "type": "filter", "hook": "{hook}", "prio": 0, "policy": "accept"}}}}, {{"rule": {{"family": "netdev", "table": "odd",
            "chain": "way", "handle": 2, "expr": [{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp",
            "field": "{field}"}}}}, "right": {port}}}}}, {{"drop": null}}]}}}}]}}"#
        ))
    };
    let link = |of: Side| match of {
        Side::Behind(link) => link,
        Side::Host => panic!("the host"),
    };
    let flow = Flow {
        client: Side::Behind(Link {
            carriers: vec!["nic0".to_owned()],
            ..link(behind("eth0"))
        }),
        server: Side::Behind(Link {
            port: Some("vnet0".to_owned()),
            ..link(forward().server)
        }),
        ..forward()
    };
    for (leg, hook, device, field, port) in [
        (Leg::There, "ingress", "eth0", "dport", 8080),
        (Leg::There, "ingress", "nic0", "dport", 8080),
        (Leg::There, "egress", "br-lan", "dport", 80),
        (Leg::There, "egress", "vnet0", "dport", 80),
        (Leg::Back, "ingress", "vnet0", "sport", 80),
        (Leg::Back, "ingress", "br-lan", "sport", 80),
        (Leg::Back, "egress", "eth0", "sport", 8080),
    ] {
        stopped(rules(hook, device, field, port).judge(&flow, leg));
        let other = rules(hook, "other", field, port);
        assert_eq!(other.judge(&flow, leg), Judgement::Passes, "{hook}");
    }
    // From port to port of one bridge.
    let bridged = Flow {
        client: flow.server.clone(),
        translated: None,
        ..flow.clone()
    };
    let on_bridge = rules("ingress", "br-lan", "dport", 80);
    assert_eq!(there(&on_bridge, &bridged), Judgement::Passes);
    // Which port of the bridge it goes by is not known.
    doubtful(there(&rules("egress", "vnet0", "dport", 80), &forward()));
}

#[test]
fn what_no_firewall_lists_is_told_of_the_interfaces_of_a_way() {
    let told = |one: Unlisted| {
        let mut rules = Rules::default();
        rules.unlisted.push(one);
        rules.also_decides(&forward())
    };
    let filter = "a filter of tc(8)";
    assert_eq!(
        told(Unlisted::on("eth0", filter)).as_deref(),
        Some("a filter of tc(8) on eth0 decides too")
    );
    assert_eq!(told(Unlisted::on("eth1", filter)), None);
    assert!(told(Unlisted::everywhere("a policy of IPsec")).is_some());
}

#[test]
fn libvirt_s_rules_count_where_something_jumps_to_them() {
    let filter = |jump: &str| {
        iptables(&format!(
            "*filter\n:FORWARD ACCEPT [0:0]\n:LIBVIRT_FWI - [0:0]\n:LIBVIRT_FWO - [0:0]\n{jump}\
             -A LIBVIRT_FWI -o br-lan -j REJECT\n-A LIBVIRT_FWO -i br-lan -j REJECT\nCOMMIT\n"
        ))
    };
    let missing = |rules: &Rules| rules.missing_of_libvirt(Family::Ipv4, "br-lan", None);
    let both = "-A FORWARD -j LIBVIRT_FWI\n-A FORWARD -j LIBVIRT_FWO\n";
    assert_eq!(missing(&filter(both)), [""; 0]);
    assert_eq!(
        missing(&filter("-A FORWARD -j LIBVIRT_FWO\n")),
        ["what rejects connections to its guests"]
    );
}
