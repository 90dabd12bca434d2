//! What becomes of packets in rules that nft and iptables-save have listed (tests/explain/rules).

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use super::*;
use portero_model::{Family, Protocol};

const BLOCKER: &str = include_str!("../../../tests/explain/rules/blocker.json");
const DEBIAN: &str = include_str!("../../../tests/explain/rules/debian.json");
const DOCKER: &str = include_str!("../../../tests/explain/rules/docker.save");
const UFW: &str = include_str!("../../../tests/explain/rules/ufw.save");

fn packet() -> ForwardedPacket {
    ForwardedPacket {
        protocol: Protocol::Tcp,
        leg: Leg::There,
        outside: Some("eth0".to_owned()),
        inside: "br-lan".to_owned(),
        client: None,
        host: None,
        host_port: 8080,
        guest: [192, 168, 50, 10].into(),
        guest_port: 80,
    }
}

fn reply() -> ForwardedPacket {
    ForwardedPacket {
        leg: Leg::Back,
        ..packet()
    }
}

fn nft(text: &str) -> ForeignRules {
    ForeignRules {
        nftables: Some(text.to_owned()),
        ..ForeignRules::default()
    }
}

fn iptables(text: &str) -> ForeignRules {
    ForeignRules {
        iptables: vec![(Family::Ipv4, text.to_owned())],
        ..ForeignRules::default()
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
    mend(stop, &packet(), &Settings::default(), Scope::Port)
}

#[test]
fn a_packet_is_followed_through_maps_and_sets() {
    let rules = nft(BLOCKER);
    // Anybody may be the one who is trusted.
    let stop = doubtful(judge(&rules, &packet()));
    assert_eq!(stop.rule, "chain judge, handle 8: drop, \"no web\"");
    let from = |last| ForwardedPacket {
        client: Some([203, 0, 113, last].into()),
        ..packet()
    };
    assert_eq!(judge(&rules, &from(7)), Judgement::Passes);
    let stop = stopped(judge(&rules, &from(8)));
    assert_eq!(stop.verdict, "drop");
    assert_eq!(
        command(&stop),
        "nft insert rule inet blocker way meta l4proto tcp ct status dnat ct original proto-dst \
         8080 accept"
    );
    let forwarded = ForwardedPacket {
        host_port: 9090,
        ..from(8)
    };
    assert_eq!(judge(&rules, &forwarded), Judgement::Passes);
    let elsewhere = ForwardedPacket {
        inside: "br-far".to_owned(),
        ..from(8)
    };
    assert_eq!(judge(&rules, &elsewhere), Judgement::Passes);
    let other_port = ForwardedPacket {
        guest_port: 91,
        ..from(8)
    };
    assert_eq!(judge(&rules, &other_port), Judgement::Passes);
    assert_eq!(judge(&rules, &reply()), Judgement::Passes);
    // How many there have been cannot be seen.
    let udp = ForwardedPacket {
        protocol: Protocol::Udp,
        ..from(8)
    };
    assert_eq!(
        doubtful(judge(&rules, &udp)).rule,
        "chain judge, handle 9: drop"
    );
}

#[test]
fn a_policy_stops_what_no_rule_has_let_pass() {
    let rules = nft(DEBIAN);
    let stop = stopped(judge(&rules, &packet()));
    assert_eq!(stop.rule, "the policy of chain forward, drop");
    assert_eq!(
        stop.base,
        BaseChain::Nftables("inet".to_owned(), "filter".to_owned(), "forward".to_owned())
    );
    assert_eq!(judge(&rules, &reply()), Judgement::Passes);
    let with = |outside: &str, inside: &str, port, last| ForwardedPacket {
        outside: Some(outside.to_owned()),
        inside: inside.to_owned(),
        guest_port: port,
        guest: [192, 168, 50, last].into(),
        ..packet()
    };
    assert_eq!(
        judge(&rules, &with("eth0", "wg7", 80, 10)),
        Judgement::Passes
    );
    assert_eq!(
        judge(&rules, &with("lan1", "br-lan", 80, 10)),
        Judgement::Passes
    );
    stopped(judge(&rules, &with("lan1", "br-lan", 25, 10)));
    assert_eq!(
        judge(&rules, &with("eth0", "br-lan", 443, 10)),
        Judgement::Passes
    );
    // `goto` does not come back, so the policy decides.
    stopped(judge(&rules, &with("eth0", "br-lan", 443, 30)));
    let v6 = ForwardedPacket {
        guest: "2001:db8::9".parse().expect("an address"),
        ..packet()
    };
    assert_eq!(judge(&rules, &v6), Judgement::Passes);
    let unknown = ForwardedPacket {
        outside: None,
        ..packet()
    };
    doubtful(judge(&rules, &unknown));
}

#[test]
fn docker_stops_by_its_policy_what_nobody_else_accepts() {
    let stop = stopped(judge(&iptables(DOCKER), &packet()));
    assert_eq!((stop.by, stop.verdict), (RuleOwner::Docker, "drop"));
    assert_eq!(
        command(&stop),
        "iptables -I DOCKER-USER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 -j ACCEPT"
    );
    let all = mend(&stop, &packet(), &Settings::default(), Scope::Forwards);
    assert_eq!(
        all,
        "iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"
    );
    let mended = DOCKER.replace(
        "-A DOCKER-USER -j RETURN",
        "-A DOCKER-USER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 -j ACCEPT",
    );
    assert_eq!(judge(&iptables(&mended), &packet()), Judgement::Passes);
    assert_eq!(judge(&iptables(&mended), &reply()), Judgement::Passes);
    let other = ForwardedPacket {
        host_port: 8081,
        ..packet()
    };
    stopped(judge(&iptables(&mended), &other));
    // To a container of docker's own it passes.
    let container = ForwardedPacket {
        inside: "docker0".to_owned(),
        guest: [172, 17, 0, 2].into(),
        ..packet()
    };
    assert_eq!(judge(&iptables(DOCKER), &container), Judgement::Passes);
}

#[test]
fn ufw_is_told_in_its_own_words() {
    let stop = stopped(judge(&iptables(UFW), &packet()));
    assert_eq!(stop.by, RuleOwner::Ufw);
    assert_eq!(
        command(&stop),
        "ufw route allow proto tcp to 192.168.50.10 port 80"
    );
    let mended = format!(
        "{UFW}-A ufw-user-forward -d 192.168.50.10/32 -p tcp -m tcp --dport 80 -j ACCEPT\n"
    );
    assert_eq!(judge(&iptables(&mended), &packet()), Judgement::Passes);
    assert_eq!(judge(&iptables(UFW), &reply()), Judgement::Passes);
    // Its limits say nothing of what passes.
    let icmp = UFW.replace(
        "-p icmp -m icmp --icmp-type 3 -j ACCEPT",
        "-m limit --limit 3/min -j ACCEPT",
    );
    doubtful(judge(&iptables(&icmp), &packet()));
}

#[test]
fn tables_of_iptables_are_not_read_twice() {
    let listing = r#"{"nftables": [{"table": {"family": "ip", "name": "filter"}},
        {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter",
                   "hook": "forward", "prio": 0, "policy": "drop"}}]}"#;
    let mut rules = nft(listing);
    stopped(judge(&rules, &packet()));
    rules.iptables = vec![(Family::Ipv4, ":FORWARD ACCEPT [0:0]\n".to_owned())];
    assert_eq!(judge(&rules, &packet()), Judgement::Passes);
}

#[test]
fn chains_that_lead_to_each_other_end() {
    let rules = ":FORWARD ACCEPT [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A A -j A\n-A A -j DROP\n";
    stopped(judge(&iptables(rules), &packet()));
}

#[test]
fn a_negation_is_of_one_match_and_not_of_the_next() {
    let judged = |rule: &str| {
        let rules = format!(":FORWARD ACCEPT [0:0]\n-A FORWARD {rule} -j DROP\n");
        judge(&iptables(&rules), &packet())
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
