//! Looks once for each forward that comes whether somebody else publishes its port, and logs that. A guest's start has no time
//! for it: everybody's rules have to be read.

use portero_engine::Record;
use portero_inventory::{publishing_rules, Published};
use portero_model::{Dnat, Family, Owner, OwnerKind};
use portero_system::{Deadline, Log, LogSink, Severity};
use std::collections::BTreeSet;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest time for everybody's rules to be read.
const READING: Duration = Duration::from_secs(30);

/// Most forwards that are looked for at once.
const MOST: usize = 256;

/// A look that took so long is followed by this many times as long a rest: guests that start again and again take a twentieth
/// of one processor at most.
const REST: u32 = 20;

/// How often it is looked whether one has ended, while another waits.
const POLL: Duration = Duration::from_millis(200);

/// A forward of an owner.
type Known = (OwnerKind, Uuid, Dnat);

/// What was looked for, and what is to be.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    known: BTreeSet<Known>,
    new: Vec<(Owner, Dnat)>,
    looking: Option<JoinHandle<Duration>>,
    rested: Option<Instant>,
}

impl Lookout {
    /// Takes note of what is forwarded now.
    pub(crate) fn see(&mut self, records: &[Record]) {
        let rulesets = records.iter().map(|record| &record.ruleset);
        let all = rulesets.flat_map(|one| one.dnats().map(|dnat| (&one.owner, dnat)));
        let mut now = BTreeSet::new();
        for (owner, dnat) in all {
            let known = (owner.kind, owner.uuid, dnat.clone());
            if !self.known.contains(&known) {
                self.new.push((owner.clone(), dnat.clone()));
            }
            now.insert(known);
        }
        self.known = now;
    }

    /// Begins to look, if there is something new and it is time; says how long it may be waited for that.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Duration> {
        if let Some(looked) = self.looking.take_if(|one| one.is_finished()) {
            let took = looked.join().unwrap_or_default();
            self.rested = Some(now + took.saturating_mul(REST));
        }
        let known = &self.known;
        self.new
            .retain(|(owner, dnat)| known.contains(&(owner.kind, owner.uuid, dnat.clone())));
        if self.new.is_empty() {
            return None;
        }
        if self.looking.is_some() {
            return Some(POLL);
        }
        let left = self
            .rested
            .map(|rested| rested.saturating_duration_since(now));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Some(left);
        }
        let mut new = std::mem::take(&mut self.new);
        new.truncate(MOST);
        // What cannot be looked for is not worth a failure.
        self.looking = Builder::new().spawn(move || look(&new)).ok();
        None
    }
}

/// Looks for forwards among everybody's rules; says how long that took.
fn look(forwards: &[(Owner, Dnat)]) -> Duration {
    let begin = Instant::now();
    let rules = publishing_rules(&Family::ALL, Deadline::after(READING));
    let mut log = Log::new(LogSink::System);
    let found = forwards
        .iter()
        .filter_map(|(owner, dnat)| Published::find(&rules, owner, dnat));
    for published in found {
        log.write(Severity::Warning, published);
    }
    begin.elapsed()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use portero_engine::Phase;
    use portero_model::{PortRange, Protocol, Rule, Ruleset};

    fn record(ports: &[u16]) -> Record {
        let dnat = |port: &u16| {
            let ports = PortRange::new(*port, *port).expect("a port");
            Rule::Dnat(Dnat {
                protocol: Protocol::Tcp,
                address: None,
                dev: None,
                source: None,
                ports,
                guest: [192, 168, 122, 10].into(),
                guest_ports: ports,
                is_whole_address: false,
            })
        };
        let owner = Owner {
            kind: OwnerKind::Domain,
            driver: None,
            uuid: Uuid::from_u128(7),
            name: "web".to_owned(),
        };
        Record {
            phase: Phase::Active,
            ruleset: Ruleset {
                rules: ports.iter().map(dnat).collect(),
                ..Ruleset::empty(owner)
            },
            pending: Vec::new(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn a_forward_is_looked_for_once_while_it_is_there() {
        let mut lookout = Lookout::default();
        let mut new = |ports: &[u16]| {
            lookout.see(&[record(ports)]);
            std::mem::take(&mut lookout.new).len()
        };
        assert_eq!(new(&[80, 81]), 2);
        assert_eq!(new(&[80, 81]), 0);
        assert_eq!(new(&[80, 82]), 1);
        assert_eq!(new(&[80]), 0);
        assert_eq!(new(&[80, 82]), 1, "it came again");
    }

    #[test]
    fn looks_rest() {
        let mut lookout = Lookout::default();
        let now = Instant::now();
        assert_eq!(lookout.step(now), None);
        lookout.rested = Some(now + READING);
        lookout.see(&[record(&[80])]);
        assert_eq!(lookout.step(now), Some(READING));
        // What is gone by then is not looked for.
        lookout.see(&[]);
        assert_eq!(lookout.step(now), None);
    }
}
