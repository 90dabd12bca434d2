//! What is said of whole hosts; `PORTERO_CASES=accept` writes it down in tests/status.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use super::value::HostStatus;
use super::watch::{news, redrawn};
use super::{text, Form};
use crate::json::to_json;
use crate::map::fixtures::{small, Scene};
use crate::snapshot::compare;
use crate::terminal::Colors;
use portero_model::{Counter, ForwardCounter};

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

fn nothing() -> HostStatus {
    HostStatus::new(&[], &[], &[], &[])
}

#[test]
fn forms_are_as_they_were() {
    let hosts = [("small", used()), ("nothing", nothing())];
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
