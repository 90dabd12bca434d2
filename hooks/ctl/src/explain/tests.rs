//! What is said of whole ways: a way that holds, and the same way broken in one place at a time. They
//! are written down in tests/explain/hops; `PORTERO_CASES=accept` writes down what is said now.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod forwards;
mod ways;
mod whole;

use super::judge::{first_failing, hops, HopState};
use super::value::Facts;
use super::{picture, text};
use crate::terminal::Colors;
use std::fs;
use std::path::Path;

/// A case: its name, the hop that fails first, and what is known.
type Case = (&'static str, Option<&'static str>, Facts);

fn cases() -> Vec<Case> {
    [forwards::forwards(), ways::ways()].concat()
}

#[test]
fn every_case_is_said_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/explain/hops");
    let said: String = cases()
        .iter()
        .map(|(name, _, facts)| format!("# {name}\n{}\n", text(facts, &hops(facts), Colors::None)))
        .collect();
    if std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept") {
        fs::write(&path, said).expect("the file");
    } else {
        let before = fs::read_to_string(&path).expect("the file");
        assert_eq!(said, before);
    }
}

#[test]
fn a_terminal_sees_at_once_what_fails() {
    let (_, _, facts) = &cases()[1];
    let [plain, colored] =
        [Colors::None, Colors::Ansi].map(|colors| text(facts, &hops(facts), colors));
    assert!(plain.contains("  FAILS    ") && !plain.contains('\u{1b}'));
    assert!(
        colored.contains("\u{1b}[31mFAILS   \u{1b}[0m "),
        "{colored:?}"
    );
}

#[test]
fn every_way_is_drawn_and_nothing_of_it_leaves_the_sheet() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, broken, facts) in cases() {
        let svg = picture::draw(&facts, &hops(&facts));
        let root = portero_xml::Element::parse(svg.as_bytes()).expect("XML");
        assert_eq!(root.name(), "svg", "{name}");
        assert_eq!(svg.contains("class=\"cross\""), broken.is_some(), "{name}");
        let path = match name {
            // A picture of the documentation.
            "whole" => project.join("docs/packet.svg"),
            "no rules" => project.join("tests/explain/no-rules.svg"),
            _ => continue,
        };
        if std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept") {
            fs::write(&path, svg).expect("the file");
        } else {
            assert_eq!(svg, fs::read_to_string(&path).expect("the file"), "{name}");
        }
    }
}

#[test]
fn the_first_hop_that_fails_is_the_one_that_is_broken() {
    for (name, broken, facts) in cases() {
        let hops = hops(&facts);
        let failing = first_failing(&hops);
        assert_eq!(failing.map(|hop| hop.hop), broken, "{name}");
        for hop in hops {
            assert_eq!(
                hop.mend.is_some(),
                hop.state == HopState::Fails,
                "{name}: {hop:?}"
            );
        }
    }
}
