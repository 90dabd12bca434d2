//! What is said of whole ways: a way that holds, and the same way broken in one place at a time. They
//! are written down in tests/explain/hops; `PORTERO_CASES=accept` writes down what is said now.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod forwards;
mod ways;
mod whole;

use super::judge::{first_failing, hops, HopState};
use super::text;
use super::value::Facts;
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
        .map(|(name, _, facts)| format!("# {name}\n{}\n", text(facts, &hops(facts))))
        .collect();
    if std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept") {
        fs::write(&path, said).expect("the file");
    } else {
        let before = fs::read_to_string(&path).expect("the file");
        assert_eq!(said, before);
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
