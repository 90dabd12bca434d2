//! What both firewalls have in common: chains of rules, which jump and return.

use crate::packet::Seen;
use portero_model::Verdict;
use std::collections::BTreeMap;

/// What a rule does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It does not fit, or goes on.
    Next,
    /// The chain ends.
    Return,
    /// It is decided.
    Final(Verdict),
    /// Another chain is asked.
    Jump(String),
    /// Another chain is asked, and this one ends.
    Goto(String),
}

/// Chains by their names.
pub(crate) type Chains = BTreeMap<String, Vec<String>>;

/// Asks a chain; nothing when it decides nothing. `judge` reads one rule.
pub(crate) fn ask(
    chains: &Chains,
    chain: &str,
    packet: &Seen,
    judge: &dyn Fn(&str, &Seen) -> Outcome,
) -> Option<Verdict> {
    let rules = chains
        .get(chain)
        .unwrap_or_else(|| panic!("no chain {chain}"));
    for rule in rules {
        match judge(rule, packet) {
            Outcome::Next => {}
            Outcome::Return => return None,
            Outcome::Final(verdict) => return Some(verdict),
            Outcome::Jump(other) => {
                let verdict = ask(chains, &other, packet, judge);
                if verdict.is_some() {
                    return verdict;
                }
            }
            Outcome::Goto(other) => return ask(chains, &other, packet, judge),
        }
    }
    None
}
