//! Answers of guests that leave by the uplink that their connection came by: which marks stand for which routing tables.

use crate::engine::Engine;
use crate::ApplyError;
use portero_model::{Family, ReplyRoute, Rule};
use portero_system::{Deadline, Severity, Uplink};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Longest time for rules of routing to be read.
const LIMIT: Duration = Duration::from_secs(5);

impl Engine<'_> {
    /// What lets the answers of these guests leave as the host's own from the address that was connected to.
    pub(crate) fn symmetric_rules(
        &mut self,
        guests: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Rule>, ApplyError> {
        if guests.is_empty() {
            return Ok(Vec::new());
        }
        let mut rules = Vec::new();
        for (Uplink { address, table }, mark) in self.marked_uplinks()? {
            let route = ReplyRoute {
                family: Family::from(address),
                mark,
                table,
            };
            let of_family = guests
                .iter()
                .filter(|guest| Family::from(**guest) == route.family);
            rules.extend(of_family.map(|guest| Rule::Symmetric {
                address,
                guest: *guest,
                route,
            }));
        }
        Ok(rules)
    }

    /// The host's addresses with a routing table, each with its mark.
    fn marked_uplinks(&mut self) -> Result<Vec<(Uplink, u8)>, ApplyError> {
        if let Some(known) = &self.uplinks {
            return Ok(known.clone());
        }
        let deadline = Deadline::after(LIMIT);
        let uplinks = self.system.uplinks(deadline)?;
        let known = self.system.reply_routes(deadline)?;
        let marks = marks(&known, &uplinks);
        let mut marked = Vec::new();
        for uplink in uplinks {
            match marks.get(&uplink.table) {
                Some(mark) => marked.push((uplink, *mark)),
                None => {
                    let (address, most) = (uplink.address, ReplyRoute::MOST);
                    let message = format!(
                        "answers as from {address} leave as if symmetric were not set: there are more than {most} routing tables"
                    );
                    self.log.write(Severity::Warning, message);
                }
            }
        }
        self.uplinks = Some(marked.clone());
        Ok(marked)
    }
}

/// The mark of each table: connections that are there keep theirs as long as its rule stands.
fn marks(known: &BTreeSet<ReplyRoute>, uplinks: &[Uplink]) -> BTreeMap<u32, u8> {
    let mut marks: BTreeMap<u32, u8> = BTreeMap::new();
    for route in known {
        marks.entry(route.table).or_insert(route.mark);
    }
    for uplink in uplinks {
        let taken: BTreeSet<u8> = marks.values().copied().collect();
        let free = (1..=ReplyRoute::MOST).find(|mark| !taken.contains(mark));
        if let (None, Some(free)) = (marks.get(&uplink.table), free) {
            marks.insert(uplink.table, free);
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_mark() {
        let uplink = |last: u8, table| Uplink {
            address: IpAddr::from([192, 0, 2, last]),
            table,
        };
        let uplinks: Vec<Uplink> = (1..=9)
            .map(|number| uplink(number, 100 + u32::from(number)))
            .collect();
        let fresh = marks(&BTreeSet::new(), &uplinks);
        assert_eq!(fresh.len(), usize::from(ReplyRoute::MOST));
        assert_eq!(fresh.get(&101), Some(&1));
        let known = BTreeSet::from([ReplyRoute {
            family: Family::Ipv4,
            mark: 1,
            table: 102,
        }]);
        let later = marks(&known, &uplinks);
        assert_eq!((later.get(&102), later.get(&101)), (Some(&1), Some(&2)));
        // Two addresses by one table have one.
        assert_eq!(marks(&known, &[uplink(1, 102), uplink(2, 102)]).len(), 1);
    }
}
