//! What is said of whole hosts; `PORTERO_CASES=accept` writes it down in tests/status.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use super::obstacles::{find, Known, Obstacles};
use super::value::HostStatus;
use super::watch::{news, redrawn};
use super::{text, Form};
use crate::json::to_json;
use crate::map::fixtures::{small, Scene};
use crate::snapshot::compare;
use crate::terminal::Colors;
use portero_inventory::Dnsmasq;
use portero_model::{Counter, ForwardCounter};
use portero_trace::Rules;

/// The host of the map, with its first forward in use and its second not yet.
fn used() -> HostStatus {
    let sources = small().sources();
    let counted = |connections, packets, bytes| ForwardCounter {
        connections: Some(connections),
        traffic: Some(Counter { packets, bytes }),
    };
    let counters: Vec<Vec<ForwardCounter>> = sources
        .owners
        .iter()
        .map(|owner| match owner.record.ruleset.owner.name.as_str() {
            "web" => vec![counted(12, 340, 45_678), counted(0, 0, 0)],
            _ => Vec::new(),
        })
        .collect();
    HostStatus::new(
        &sources.networks,
        &sources.guests,
        &sources.owners,
        &counters,
    )
}

/// Rules of others: a blocklist, which concerns nobody else, what stops a port for some, and all of another.
const OTHERS: &str = r#"{"nftables": [
    {"chain": {"family": "ip", "table": "wall", "name": "way", "type": "filter", "hook": "forward", "prio": 5,
        "policy": "accept"}},
    {"chain": {"family": "inet", "table": "host", "name": "in", "type": "filter", "hook": "input", "prio": 0,
        "policy": "drop"}},
    {"rule": {"family": "ip", "table": "wall", "chain": "way", "handle": 2, "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.66"}},
        {"drop": null}]}},
    {"rule": {"family": "ip", "table": "wall", "chain": "way", "handle": 3, "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}},
        {"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}},
        {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}},
        {"reject": null}]}},
    {"rule": {"family": "ip", "table": "wall", "chain": "way", "handle": 4, "comment": "no streams", "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                   "right": {"range": [3000, 3020]}}},
        {"drop": null}]}},
    {"rule": {"family": "ip", "table": "wall", "chain": "way", "handle": 5, "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 443}},
        {"drop": null}]}}]}"#;

/// The host of the map beside a firewall of somebody's.
fn stopped() -> HostStatus {
    let mut sources = small().sources();
    sources.networks[0].dnsmasq = Some(Dnsmasq {
        has_dhcp: false,
        has_dns: true,
        is_running: true,
    });
    let mut status = HostStatus::new(&sources.networks, &sources.guests, &sources.owners, &[]);
    let mut rules = Rules::default();
    rules.add_nftables(OTHERS);
    assert!(rules.have_stops_of_others());
    let known = Known {
        networks: &sources.networks,
        guests: &sources.guests,
        owners: &sources.owners,
        facts: &sources.facts,
    };
    let outer = ["eth0".to_owned(), "wlan0".to_owned()];
    status.obstacles = Obstacles {
        stopped: find(&known, &outer, Some("eth0"), &rules),
        unread: vec!["cannot run iptables-legacy-save: no".to_owned()],
    };
    // The control: nobody stops anything.
    assert_eq!(find(&known, &outer, Some("eth0"), &Rules::default()), []);
    status
}

fn nothing() -> HostStatus {
    HostStatus::new(&[], &[], &[], &[])
}

#[test]
fn forms_are_as_they_were() {
    let hosts = [
        ("small", used()),
        ("stopped", stopped()),
        ("nothing", nothing()),
    ];
    let texts = hosts.iter().flat_map(|(name, status)| {
        [
            ("txt", text::draw(status, Colors::None)),
            ("colors", text::draw(status, Colors::Ansi)),
            ("json", to_json(status)),
        ]
        .map(|(end, text)| (format!("{name}.{end}"), text))
    });
    compare("status", texts);
}

#[test]
fn a_hostile_name_is_only_text() {
    let mut scene = Scene::new("hv1");
    scene.network("lan\u{202e}n", "<forward mode='nat'/>", &[], "");
    scene.guest("web\u{202e}", &[("lan\u{202e}n", None)]);
    scene.forwards("web\u{202e}", true, &["udp 53 - -"]);
    let sources = scene.sources();
    let status = HostStatus::new(&sources.networks, &sources.guests, &sources.owners, &[]);
    let text = text::draw(&status, Colors::None);
    assert!(!text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("lan\\u{202e}n"), "{text}");
}

#[test]
fn only_news_is_written_where_nothing_can_be_drawn_anew() {
    let tables = Form::Tables(Colors::None);
    assert_eq!(news("", "a\n", tables), "a\n");
    assert_eq!(news("a\n", "a\n", tables), "");
    assert_eq!(news("a\n", "b\n", tables), "\nb\n");
    assert_eq!(news("a\n", "b\n", Form::Json), "b\n");
}

#[test]
fn a_terminal_is_drawn_over_and_never_scrolls() {
    assert_eq!(
        redrawn("a\nb\n", None),
        "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n\u{1b}[J"
    );
    assert_eq!(redrawn("a\nb\n", Some(3)), redrawn("a\nb\n", None));
    assert_eq!(
        redrawn("a\nb\nc\nd\n", Some(4)),
        "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n... and 2 more lines\u{1b}[J"
    );
}
