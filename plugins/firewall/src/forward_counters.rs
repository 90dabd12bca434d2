//! What the counters of both firewalls say of forwards.

use crate::iptables::{accept, send, sender, Base};
use crate::nftables::{accepted, Place};
use portero_model::{Counter, Dnat, Family, ForwardCounter, Ruleset};
use std::collections::{HashMap, HashSet};

/// The counters of portero's rules in iptables, and of its elements in nftables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardCounters {
    /// By family, and chain and rule as they were written.
    rules: HashMap<(Family, String), Counter>,
    /// Of accepted connections, by family and key.
    elements: HashMap<(Family, String), Counter>,
}

impl ForwardCounters {
    /// The set of nftables whose elements count, in a family's table.
    #[must_use]
    pub fn set(family: Family) -> (Place, &'static str) {
        (Place::Libvirt(family), crate::nftables::NAME)
    }

    /// Adds a table of a family from the lines of `iptables -t TABLE -v -S`.
    pub fn add_iptables<'a>(&mut self, family: Family, lines: impl IntoIterator<Item = &'a str>) {
        let counted = lines.into_iter().filter_map(rule);
        let counted = counted.map(|(rule, counter)| ((family, rule), counter));
        self.rules.extend(counted);
    }

    /// Adds the elements of [`ForwardCounters::set`], by their keys.
    pub fn add_nftables(
        &mut self,
        family: Family,
        elements: impl IntoIterator<Item = (String, Counter)>,
    ) {
        let elements = elements.into_iter();
        let counted = elements.map(|(key, counter)| ((family, key), counter));
        self.elements.extend(counted);
    }

    /// What has been counted of each of an owner's forwards, in their order.
    #[must_use]
    pub fn of_forwards(&self, ruleset: &Ruleset) -> Vec<ForwardCounter> {
        // What several forwards send to the same port by the same port is one there.
        let way = |dnat: &Dnat| (dnat.protocol, dnat.guest, dnat.ports, dnat.guest_ports);
        let mut senders: HashMap<_, HashSet<&Dnat>> = HashMap::new();
        for dnat in ruleset.dnats() {
            senders.entry(way(dnat)).or_default().insert(dnat);
        }
        let counter = |base: Base, dnat: &Dnat, text: fn(&Dnat) -> String| {
            if self.rules.is_empty() {
                return None;
            }
            let rule = format!("{} {}", base.owner_chain(&ruleset.owner), text(dnat));
            self.rules.get(&(dnat.family(), rule)).copied()
        };
        let forwards = ruleset.dnats().map(|dnat| {
            let opened = counter(sender(dnat), dnat, send);
            let is_alone = senders[&way(dnat)].len() == 1;
            let traffic =
                || counter(Base::Forward, dnat, accept).or_else(|| self.of_elements(dnat));
            ForwardCounter {
                connections: opened.map(|counter| counter.packets),
                traffic: is_alone.then(traffic).flatten(),
            }
        });
        forwards.collect()
    }

    /// What the elements of a forward have counted, each port by itself; nothing unless all are there.
    fn of_elements(&self, dnat: &Dnat) -> Option<Counter> {
        let mut all = Counter::default();
        for key in accepted(dnat, &dnat.guest.to_string())? {
            all += *self.elements.get(&(dnat.family(), key))?;
        }
        Some(all)
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
