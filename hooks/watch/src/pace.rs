//! When to compare: soon after an event, once for many, and never so often that it is a burden.

use std::time::{Duration, Instant};

/// How long it has to be quiet after an event: others change rules in many small steps.
const QUIET: Duration = Duration::from_millis(50);

/// Longest wait when it does not become quiet.
const IMPATIENCE: Duration = Duration::from_millis(300);

/// A comparison that took so long is followed by this many times as long a rest, so that a steady
/// stream of events takes a fifth of one processor at most.
const REST: u32 = 4;

/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long until one that failed is made again: what it would have found may be there still.
const RETRY: Duration = Duration::from_secs(10);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for an event, no longer than this when there is a limit.
    Wait(Option<Duration>),
    /// Compare and mend.
    Sync,
}

/// Events that have not been answered by a comparison yet, and when the last one ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    first: Option<Instant>,
    last: Option<Instant>,
    rested: Option<Instant>,
}

impl Pace {
    /// Something has happened.
    pub(crate) fn event(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// A comparison has been made; what came since it began is still to be read.
    pub(crate) fn synced(&mut self, begin: Instant, end: Instant) {
        let rest = (end - begin).saturating_mul(REST).min(LONGEST_REST);
        *self = Self {
            first: None,
            last: None,
            rested: Some(end + rest),
        };
    }

    /// A comparison has failed; it is made again, also when nothing happens.
    pub(crate) fn failed(&mut self, begin: Instant, end: Instant) {
        self.synced(begin, end);
        self.event(end + RETRY);
    }

    /// What to do at this moment.
    pub(crate) fn next(&self, now: Instant) -> Step {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Step::Wait(None);
        };
        let due = (last + QUIET).min(first + IMPATIENCE);
        let due = self.rested.map_or(due, |rested| due.max(rested));
        match due.checked_duration_since(now) {
            Some(left) if !left.is_zero() => Step::Wait(Some(left)),
            _ => Step::Sync,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Step};
    use std::time::{Duration, Instant};

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn nothing_is_done_without_an_event() {
        assert_eq!(Pace::default().next(Instant::now()), Step::Wait(None));
    }

    #[test]
    fn many_events_are_one_comparison() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for count in 0..4 {
            pace.event(start + ms(40 * count));
            assert_eq!(pace.next(start + ms(40 * count)), Step::Wait(Some(ms(50))));
        }
        assert_eq!(pace.next(start + ms(170)), Step::Sync);
        pace.synced(start + ms(170), start + ms(180));
        assert_eq!(pace.next(start + ms(500)), Step::Wait(None));
    }

    #[test]
    fn a_stream_of_events_is_not_waited_for_without_end() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for count in 0..7 {
            pace.event(start + ms(45 * count));
        }
        assert_eq!(pace.next(start + ms(299)), Step::Wait(Some(ms(1))));
        assert_eq!(pace.next(start + ms(300)), Step::Sync);
    }

    #[test]
    fn one_that_failed_is_made_again_and_sooner_when_something_happens() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.event(start);
        pace.failed(start, start);
        let quiet = Step::Wait(Some(ms(10_050)));
        assert_eq!(pace.next(start), quiet);
        assert_eq!(pace.next(start + ms(10_050)), Step::Sync);
        pace.event(start + ms(100));
        assert_eq!(pace.next(start + ms(150)), Step::Sync);
    }

    #[test]
    fn a_long_comparison_is_followed_by_a_rest() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.event(start);
        pace.synced(start, start + ms(100));
        pace.event(start + ms(110));
        assert_eq!(pace.next(start + ms(200)), Step::Wait(Some(ms(300))));
        assert_eq!(pace.next(start + ms(500)), Step::Sync);
        pace.synced(start, start + ms(60_000));
        pace.event(start + ms(60_000));
        assert_eq!(pace.next(start + ms(61_000)), Step::Sync);
    }
}
