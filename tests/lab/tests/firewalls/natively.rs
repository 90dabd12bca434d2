//! Tables, chains and rules that the kernel is given without nft, beside what nft makes of the same text.

use crate::{commit, likes, make_libvirt_tables, LIBVIRT_TABLES};
use portero_firewall::nftables::{KnownSets, NewRule, Object};
use portero_firewall::{Command, Script};
use std::process::Command as Process;

/// All tables, as nft lists them.
fn listed() -> String {
    let output = Process::new("nft").args(["list", "ruleset"]).output();
    String::from_utf8(output.expect("nft").stdout).expect("a listing")
}

fn read(text: &str) {
    likes("nft", &["--file"], text).unwrap_or_else(|error| panic!("{error}\n{text}"));
}

/// Whether the kernel can be given all of a script.
pub(crate) fn needs_no_program(script: &Script) -> bool {
    let mut sets = KnownSets::default();
    script.commands.iter().all(|command| match command {
        Command::Text(_) => false,
        Command::Object(change) => {
            let mut is_known = |rule: &NewRule| sets.raw_rule(change.place, rule).is_some();
            match &change.object {
                Object::Table { chains, .. } => {
                    let mut rules = chains.iter().flat_map(|chain| &chain.rules);
                    rules.all(is_known)
                }
                Object::Chain(chain) => chain.rules.iter().all(is_known),
                Object::FirstRule { rule, .. } => is_known(rule),
                _ => true,
            }
        }
        Command::Elements(_) => true,
    })
}

/// Commits a script into nothing but libvirt's tables. nft lists of it exactly what it lists where nft itself has read the text.
/// Says whether it was done without nft.
pub(crate) fn is_as_by_nft(script: &Script, place: &str) -> bool {
    read("flush ruleset\n");
    make_libvirt_tables();
    commit(script);
    let without = listed();
    read(&format!("flush ruleset\n{LIBVIRT_TABLES}"));
    read(&script.text());
    let by_nft = listed();
    assert!(
        without == by_nft,
        "{place}: without nft\n{without}\nby nft\n{by_nft}"
    );
    // The control: an order of rules, a bit or a set that is another is seen.
    assert!(without.contains("portero 2: "), "{without}");
    needs_no_program(script)
}
