//! What the counters of both firewalls say of the compiled rules of a policy.

use crate::iptables::policy::base;
use crate::nftables::policy::named_chain;
use crate::nftables::{SetContent, TableContent};
use portero_model::{Counter, Counters, Ruleset};
use std::collections::BTreeMap;

/// The counters of iptables' table `filter` of both families, and of nftables' table of policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounters {
    /// Of rules: chain, comment and counter.
    rules: Vec<(String, String, Counter)>,
    /// Of nftables' elements, by set and key.
    elements: BTreeMap<(String, String), Counter>,
}

impl RuleCounters {
    /// Adds a family from the lines of `iptables-save -c -t filter`; rules without a comment are
    /// nobody's compiled rule.
    pub fn add_iptables<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.rules.extend(lines.into_iter().filter_map(rule));
    }

    /// Adds what is in [`Place::Policy`]'s table.
    ///
    /// [`Place::Policy`]: crate::nftables::Place::Policy
    pub fn add_nftables(&mut self, content: TableContent) {
        for SetContent { name, elements, .. } in content.sets {
            let elements = elements.into_iter();
            let counted = elements.filter_map(|one| Some(((name.clone(), one.key), one.counter?)));
            self.elements.extend(counted);
        }
        let rules = content.rules.into_iter();
        let counted = rules.filter_map(|rule| Some((rule.chain, rule.comment, rule.counter?)));
        self.rules.extend(counted);
    }

    /// The counters of an owner's compiled rules, of both families together. Of those that share a rule
    /// of nftables each has an element of its own that counts.
    #[must_use]
    pub fn counters(&self, ruleset: &Ruleset) -> Counters {
        let mut counters = Counters::new();
        let policies = ruleset.policy.iter();
        for (direction, rules) in policies.flat_map(|policy| &policy.rules) {
            let nftables = named_chain(&ruleset.owner, *direction, rules);
            let names = [nftables.name, base(*direction).owner_chain(&ruleset.owner)];
            let of_chain = self.rules.iter().filter(|(name, ..)| names.contains(name));
            let of_chain: Vec<_> = of_chain.collect();
            if of_chain.is_empty() {
                continue;
            }
            for rule in rules {
                counters.insert(rule.name, Counter::default());
            }
            let by_rule = of_chain
                .into_iter()
                .filter_map(|(_, comment, counter)| Some((comment.parse().ok()?, *counter)));
            let by_element = nftables.elements.iter().filter_map(|(key, name)| {
                let counter = self.elements.get(key)?;
                Some((*name, *counter))
            });
            for (name, counter) in by_rule.chain(by_element) {
                if let Some(sum) = counters.get_mut(&name) {
                    *sum += counter;
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
