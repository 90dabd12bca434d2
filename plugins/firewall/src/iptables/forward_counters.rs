//! What the counters of iptables say of forwards.

use super::base::Base;
use super::render::{accept, send, sender};
use portero_model::{Counter, Dnat, Family, ForwardCounter, Ruleset};
use std::collections::{HashMap, HashSet};

/// The counters of portero's rules in the tables of both families.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardCounters {
    /// By family, and chain and rule as they were written.
    rules: HashMap<(Family, String), Counter>,
}

impl ForwardCounters {
    /// Adds a table of a family from the lines of `iptables -t TABLE -v -S`.
    pub fn add<'a>(&mut self, family: Family, lines: impl IntoIterator<Item = &'a str>) {
        let counted = lines.into_iter().filter_map(rule);
        let counted = counted.map(|(rule, counter)| ((family, rule), counter));
        self.rules.extend(counted);
    }

    /// What has been counted of each of an owner's forwards, in their order.
    #[must_use]
    pub fn of_forwards(&self, ruleset: &Ruleset) -> Vec<ForwardCounter> {
        // What several forwards send to the same port by the same port is one there.
        let accepts: Vec<String> = ruleset.dnats().map(accept).collect();
        let mut senders: HashMap<&str, HashSet<&Dnat>> = HashMap::new();
        for (accept, dnat) in accepts.iter().zip(ruleset.dnats()) {
            senders.entry(accept).or_default().insert(dnat);
        }
        let counter = |base: Base, dnat: &Dnat, text: &str| {
            let rule = format!("{} {text}", base.owner_chain(&ruleset.owner));
            self.rules.get(&(dnat.family(), rule)).copied()
        };
        let forwards = accepts.iter().zip(ruleset.dnats()).map(|(accept, dnat)| {
            let opened = counter(sender(dnat), dnat, &send(dnat));
            let is_alone = senders[accept.as_str()].len() == 1;
            ForwardCounter {
                connections: opened.map(|counter| counter.packets),
                traffic: is_alone
                    .then(|| counter(Base::Forward, dnat, accept))
                    .flatten(),
            }
        });
        forwards.collect()
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
