//! What is said of whole hosts; `PORTERO_CASES=accept` writes it down in tests/status.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use super::metrics::{print, Counted};
use super::obstacles::{find, Known, Obstacles};
use super::value::HostStatus;
use super::watch::{news, redrawn};
use super::{text, Form, MetricsFormat};
use crate::json::to_json;
use crate::map::fixtures::{small, Scene};
use crate::snapshot::compare;
use crate::terminal::Colors;
use portero_engine::{Phase, Record, Watched, WatchedErrors};
use portero_inventory::{Dnsmasq, OwnerStatus};
use portero_model::{Counter, Counters, ForwardCounter, Ruleset};
use portero_trace::Rules;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What the host of the map has counted: its first forward is in use and its second not yet.
fn counters(owners: &[OwnerStatus]) -> Vec<Vec<ForwardCounter>> {
    let counted = |connections, packets, bytes| ForwardCounter {
        connections: Some(connections),
        traffic: Some(Counter { packets, bytes }),
    };
    let owners = owners.iter();
    let counters = owners.map(|owner| match owner.record.ruleset.owner.name.as_str() {
        "web" => vec![counted(12, 340, 45_678), counted(0, 0, 0)],
        _ => Vec::new(),
    });
    counters.collect()
}

fn used() -> HostStatus {
    let sources = small().sources();
    HostStatus::new(
        &sources.networks,
        &sources.guests,
        &sources.owners,
        &counters(&sources.owners),
    )
}

/// The owners of the host of the map, networks with policies among them.
fn owners() -> Vec<OwnerStatus> {
    let sources = small().sources();
    let given = sources.networks.into_iter();
    let given = given.filter_map(|one| Some((one.given?, one.is_in_firewall)));
    let networks = given.map(|(ruleset, is_in_firewall)| OwnerStatus {
        record: Record {
            phase: Phase::Active,
            ruleset,
            pending: Vec::new(),
            addresses: Vec::new(),
        },
        is_in_firewall,
    });
    sources.owners.into_iter().chain(networks).collect()
}

/// The metrics of these owners, with policies that were used and a portero-watch that had errors.
fn metrics(owners: &[OwnerStatus], format: MetricsFormat) -> String {
    let rulesets = owners.iter().map(|owner| &owner.record.ruleset);
    let policies: Vec<(&Ruleset, Counters)> = rulesets
        .filter_map(|ruleset| {
            let rules = ruleset.policy.as_ref()?.rules.values().flatten();
            let counter = |packets| Counter {
                packets,
                bytes: 60 * packets,
            };
            let counters = rules.zip(0..);
            let counters = counters.map(|(rule, packets)| (rule.name, counter(packets)));
            Some((ruleset, counters.collect()))
        })
        .collect();
    let broken = WatchedErrors {
        count: 2,
        last: 1_796_008_337,
    };
    let watched = Watched {
        comparisons: 7,
        last_comparison: Some(1_796_008_337),
        restores: 1,
        errors: BTreeMap::from([("policy".to_owned(), broken)]),
    };
    let counted = Counted {
        owners,
        forwards: &counters(owners),
        policies: &policies,
        watched: Some(&watched),
    };
    print(&counted, format)
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|one: char| !one.is_ascii_alphanumeric() && one != '_');
    words.filter(|word| word.starts_with("portero_")).collect()
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
        stopped: find(&known, &outer, Some("eth0"), &rules).stopped,
        unread: vec!["cannot run iptables-legacy-save: no".to_owned()],
    };
    // The control: nobody stops anything.
    let none = find(&known, &outer, Some("eth0"), &Rules::default());
    assert_eq!((none.stopped, none.unread), (vec![], vec![]));
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
    let owners = owners();
    let nobody = Counted {
        owners: &[],
        forwards: &[],
        policies: &[],
        watched: None,
    };
    let metrics = [
        ("small.prom", metrics(&owners, MetricsFormat::Prometheus)),
        ("small.om", metrics(&owners, MetricsFormat::Openmetrics)),
        ("nothing.prom", print(&nobody, MetricsFormat::Prometheus)),
    ];
    let metrics = metrics.map(|(name, text)| (name.to_owned(), text));
    compare("status", texts.chain(metrics));
}

#[test]
fn pages_and_the_dashboard_name_the_metrics_that_there_are() {
    let printed = metrics(&owners(), MetricsFormat::Prometheus);
    let known = names(&printed);
    let read = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        fs::read_to_string(root.join(path)).unwrap()
    };
    assert_eq!(names(&read("docs/guide/metrics.md")), known);
    let dashboard: Value =
        serde_json::from_str(&read("docs/examples/grafana-portero.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array());
    let queries: Vec<&str> = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert_eq!(names(&queries.join("\n")), known, "all have a panel");
    let alerts = read("docs/examples/prometheus-portero.yml");
    assert!(names(&alerts).is_subset(&known), "{alerts}");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        assert!(names(query).is_subset(&known), "{query}");
    }
}

#[test]
fn a_hostile_name_is_only_a_label() {
    let mut scene = Scene::new("hv1");
    scene.network("lan", "<forward mode='nat'/>", &[], "");
    scene.guest("we\"b\\,x} 1", &[("lan", None)]);
    scene.forwards("we\"b\\,x} 1", true, &["udp 53 192.168.50.10 53"]);
    let mut owners = scene.sources().owners;
    // libvirt has no such name.
    owners[0].record.ruleset.owner.name += "\n";
    let counted = Counted {
        owners: &owners,
        forwards: &[vec![ForwardCounter {
            connections: Some(1),
            traffic: None,
        }]],
        policies: &[],
        watched: None,
    };
    let text = print(&counted, MetricsFormat::Prometheus);
    let line = "portero_forward_connections_total{domain=\"we\\\"b\\\\,x} 1\\n\",";
    assert_eq!(
        text.lines().filter(|one| one.starts_with(line)).count(),
        1,
        "{text}"
    );
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
