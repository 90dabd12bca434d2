//! What the counters of nftables say of the compiled rules of a policy.

use super::element::Place;
use super::observed::{items, ReadError};
use super::policy::named_chain;
use portero_model::{Counter, Counters, Ruleset};
use std::collections::BTreeMap;

/// The counters in the table of policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounters {
    /// Of rules: chain, comment and counter.
    rules: Vec<(String, String, Counter)>,
    /// Of elements, by set and key.
    elements: BTreeMap<(String, String), Counter>,
}

impl RuleCounters {
    /// Reads the output of `nft -j list table` of [`Place::Policy`].
    ///
    /// # Errors
    /// [`ReadError`] when it is not what nft writes.
    pub fn read(json: &[u8]) -> Result<Self, ReadError> {
        let mut counted = Self::default();
        for item in items(Place::Policy, json)? {
            if let Some(set) = item.set {
                let counters = set.counters();
                let named = counters.map(|(key, counter)| ((set.name.clone(), key), counter));
                counted.elements.extend(named);
            }
            if let Some(rule) = item.rule {
                if let Some(counter) = rule.counter() {
                    counted.rules.push((rule.chain, rule.comment, counter));
                }
            }
        }
        Ok(counted)
    }

    /// The counters of an owner's compiled rules. Of those that share a rule of nftables each has an
    /// element of its own that counts.
    #[must_use]
    pub fn counters(&self, ruleset: &Ruleset) -> Counters {
        let mut counters = Counters::new();
        let policies = ruleset.policy.iter();
        for (direction, rules) in policies.flat_map(|policy| &policy.rules) {
            let chain = named_chain(&ruleset.owner, *direction, rules);
            let of_chain: Vec<_> = self
                .rules
                .iter()
                .filter(|(name, _, _)| *name == chain.name)
                .collect();
            if of_chain.is_empty() {
                continue;
            }
            for rule in rules {
                counters.insert(rule.name, Counter::default());
            }
            let by_rule = of_chain
                .into_iter()
                .filter_map(|(_, comment, counter)| Some((comment.parse().ok()?, *counter)));
            let by_element = chain.elements.iter().filter_map(|(key, name)| {
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
