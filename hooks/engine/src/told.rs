//! What the log tells of changes: a line for each, and why it was made.

use crate::engine::Engine;
use crate::error::ApplyError;
use crate::lost::amount;
use crate::state::Record;
use portero_firewall::Firewall;
use portero_model::{Dnat, Owner, Ruleset, Tap};
use portero_system::{Fields, Severity};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Instant;

/// How many forwards or interfaces of one owner are named in the log when they come or go together.
const LOGGED_CHANGES: usize = 20;

/// All that these were given, in words.
fn total(records: &[Record]) -> String {
    let rulesets = || records.iter().map(|record| &record.ruleset);
    let forwards = rulesets().map(|one| one.dnats().count()).sum();
    let policies = rulesets().filter(|one| one.policy.is_some()).count();
    amount(forwards, policies)
}

/// Fields of an event of an owner's.
fn fields(event: &'static str, owner: &Owner) -> Fields {
    Fields {
        object: Some(format!("{} {}", owner.word(), owner.name)),
        ..Fields::of(event)
    }
}

impl Engine<'_> {
    /// One line on what was taken out of the firewall and is there again.
    pub(crate) fn log_restored(&mut self, begin: Instant) {
        let Some(lost) = self.lost.take() else { return };
        self.has_changed = true;
        self.has_restored = true;
        let message = lost.line(self.log.cause(), begin.elapsed());
        self.log
            .record(Severity::Info, Fields::of("restored"), message);
    }

    /// One line on rules that are in another firewall from now on.
    pub(crate) fn log_moved(&mut self, to: Firewall, rulesets: &[Record]) {
        let from = to.other();
        let message = format!("{} moved from {from} to {to}", total(rulesets));
        self.has_changed = true;
        self.log.event(Fields::of("moved"), message);
    }

    /// One line on what was taken out of the firewall by command.
    pub(crate) fn log_withdrawn(&mut self, old: &[Record]) {
        let message = format!("{} withdrawn by command", total(old));
        self.log
            .record(Severity::Info, Fields::of("withdrawn"), message);
    }

    /// One line on an error, with its kind.
    pub(crate) fn log_error(&mut self, error: &ApplyError) {
        self.log.record(Severity::Error, error.fields(), error);
    }

    /// One line in the log for each forward or guarded interface that came or went, and one for all
    /// that are too many.
    pub(crate) fn log_change(&mut self, old: &Ruleset, new: &Ruleset) {
        self.has_changed |= !old.has_rules_of(new) || old.antispoof != new.antispoof;
        if old.policy != new.policy {
            let (event, verb) = match (&old.policy, &new.policy) {
                (None, _) => ("policy-added", "has a policy"),
                (_, None) => ("policy-removed", "has no policy any more"),
                _ => ("policy-changed", "has another policy"),
            };
            let message = format!("{} {verb}", new.owner);
            self.log.event(fields(event, &new.owner), message);
        }
        let news = [
            (new, old, "forward-added", ""),
            (old, new, "forward-removed", " removed"),
        ];
        for (has, lacks, event, verb) in news {
            if has.dnats().next().is_none() {
                continue;
            }
            let known: HashSet<&Dnat> = lacks.dnats().collect();
            let mut changed = has.dnats().filter(|dnat| !known.contains(dnat));
            for dnat in changed.by_ref().take(LOGGED_CHANGES) {
                let fields = Fields {
                    port: Some(dnat.claim().spec()),
                    ..fields(event, &has.owner)
                };
                let line = dnat.line(&has.owner);
                self.log.event(fields, format_args!("{line}{verb}"));
            }
            let more = changed.count();
            if more > 0 {
                let message = format!("{}: {more} forwards more{verb}", has.owner);
                self.log.event(fields(event, &has.owner), message);
            }
        }
        let taps = |ruleset: &Ruleset| -> BTreeSet<Tap> {
            let antispoof = ruleset.antispoof.iter();
            antispoof
                .flat_map(|antispoof| antispoof.taps.clone())
                .collect()
        };
        let (before, after) = (taps(old), taps(new));
        let name = |tap: &Tap| format!("{} of {}", tap.name, tap.mac);
        let came = after.difference(&before).map(name);
        self.log_each(Severity::Info, &format!("{} guards", new.owner), came);
        let gone = before.difference(&after).map(name);
        self.log_each(
            Severity::Info,
            &format!("{} no longer guards", new.owner),
            gone,
        );
    }

    /// One line each for the first of them, and one for all that are more.
    pub(crate) fn log_each(
        &mut self,
        severity: Severity,
        verb: &str,
        mut changed: impl Iterator<Item = impl fmt::Display>,
    ) {
        for item in changed.by_ref().take(LOGGED_CHANGES) {
            self.log.write(severity, format!("{verb} {item}"));
        }
        let more = changed.count();
        if more > 0 {
            self.log.write(severity, format!("{verb} {more} more"));
        }
    }
}
