//! What the counters of iptables say of the compiled rules of a policy.

use super::policy::base;
use portero_model::{Counter, Counters, Ruleset};

/// The counters of both families' table `filter`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounters {
    /// Of rules: chain, comment and counter.
    rules: Vec<(String, String, Counter)>,
}

impl RuleCounters {
    /// Adds a family from the lines of `iptables-save -c -t filter`; rules without a comment are
    /// nobody's compiled rule.
    pub fn add<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.rules.extend(lines.into_iter().filter_map(rule));
    }

    /// The counters of an owner's compiled rules, of both families together.
    #[must_use]
    pub fn counters(&self, ruleset: &Ruleset) -> Counters {
        let mut counters = Counters::new();
        let policies = ruleset.policy.iter();
        for (direction, rules) in policies.flat_map(|policy| &policy.rules) {
            let chain = base(*direction).owner_chain(&ruleset.owner);
            let of_chain: Vec<_> = self
                .rules
                .iter()
                .filter(|(name, _, _)| *name == chain)
                .collect();
            if of_chain.is_empty() {
                continue;
            }
            for rule in rules {
                counters.insert(rule.name, Counter::default());
            }
            for (_, comment, counter) in of_chain {
                let name = comment.parse().ok();
                if let Some(sum) = name.and_then(|name| counters.get_mut(&name)) {
                    *sum += *counter;
                }
            }
        }
        counters
    }
}

/// `[2:88] -A PORTERO-PI-... -m comment --comment "in 3" -j RETURN`
fn rule(line: &str) -> Option<(String, String, Counter)> {
    let (counter, rule) = line.strip_prefix('[')?.split_once("] -A ")?;
    let (packets, bytes) = counter.split_once(':')?;
    let counter = Counter {
        packets: packets.parse().ok()?,
        bytes: bytes.parse().ok()?,
    };
    let (chain, rule) = rule.split_once(' ')?;
    let (_, comment) = rule.split_once("--comment ")?;
    let comment = match comment.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => comment.split(' ').next(),
    };
    Some((chain.to_owned(), comment?.to_owned(), counter))
}
