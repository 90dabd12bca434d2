//! What the counters of iptables say of forwards.

use super::render::render;
use portero_model::{Carried, Counter, Family, Rule, Ruleset};
use std::collections::{HashMap, HashSet};

/// The counters of portero's rules in the tables of both families.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By family, and chain and rule as they were written.
    rules: HashMap<(Family, String), Counter>,
}

impl Counts {
    /// Adds a table of a family from the lines of `iptables -t TABLE -v -S`.
    pub fn add<'a>(&mut self, family: Family, lines: impl IntoIterator<Item = &'a str>) {
        let counted = lines.into_iter().filter_map(rule);
        let counted = counted.map(|(rule, counter)| ((family, rule), counter));
        self.rules.extend(counted);
    }

    /// What has been counted of each [`Rule::Dnat`] of an owner, in their order.
    #[must_use]
    pub fn carried(&self, ruleset: &Ruleset) -> Vec<Carried> {
        let forwards = ruleset.rules.iter();
        let forwards = forwards.filter(|rule| matches!(rule, Rule::Dnat { .. }));
        // What several forwards send to the same port by the same port is one there.
        let mut senders: HashMap<Rule, usize> = HashMap::new();
        let different: HashSet<&Rule> = forwards.clone().collect();
        for accept in different.into_iter().filter_map(accepted) {
            *senders.entry(accept).or_default() += 1;
        }
        forwards
            .map(|rule| {
                let opened = self.counter(ruleset, rule);
                let accept = accepted(rule).filter(|accept| senders.get(accept) == Some(&1));
                Carried {
                    connections: opened.map(|counter| counter.packets),
                    traffic: accept.and_then(|rule| self.counter(ruleset, &rule)),
                }
            })
            .collect()
    }

    fn counter(&self, ruleset: &Ruleset, rule: &Rule) -> Option<Counter> {
        let (family, base, text) = render(rule);
        let chain = base.owner_chain(&ruleset.owner);
        self.rules
            .get(&(family, format!("{chain} {text}")))
            .copied()
    }
}

/// The rule that lets pass what a forward has sent.
fn accepted(rule: &Rule) -> Option<Rule> {
    match rule {
        Rule::Dnat {
            protocol,
            ports,
            guest,
            guest_ports,
            ..
        } => Some(Rule::Accept {
            protocol: *protocol,
            ports: *ports,
            guest: *guest,
            guest_ports: *guest_ports,
        }),
        _ => None,
    }
}

/// `-A PORTERO-DN-... -p tcp -m tcp --dport 80 -c 2 120 -j DNAT --to-destination 192.0.2.1`
fn rule(line: &str) -> Option<(String, Counter)> {
    let (matches, rest) = line.strip_prefix("-A ")?.split_once(" -c ")?;
    let (counter, verdict) = rest.split_once(" -j ")?;
    let (packets, bytes) = counter.split_once(' ')?;
    let counter = Counter {
        packets: packets.parse().ok()?,
        bytes: bytes.parse().ok()?,
    };
    Some((format!("{matches} -j {verdict}"), counter))
}
