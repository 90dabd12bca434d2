//! What the service counts of its work, for `portero status --format`.

use portero_engine::{State, Watched};
use portero_system::{Log, Paths, Severity};
use std::time::SystemTime;

/// The kind of an error that has none.
const OTHER: &str = "other";

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It failed.
    Failed,
    /// The firewall had all that it should have, or lacked what nobody has removed.
    Held,
    /// It has restored what somebody had removed.
    Restored,
}

/// The numbers since boot: a service that is started again continues with those of the one before.
#[derive(Debug)]
pub(crate) struct Tally {
    state: State,
    watched: Watched,
}

impl Tally {
    pub(crate) fn open(paths: &Paths) -> Self {
        let state = State::new(paths);
        // What cannot be read was not counted.
        let watched = state.watched().ok().flatten().unwrap_or_default();
        Self { state, watched }
    }

    /// Counts a comparison with the errors in its log.
    pub(crate) fn count_comparison(&mut self, compared: Compared, log: &mut Log) {
        let now = now();
        if compared != Compared::Failed {
            self.watched.comparisons += 1;
            self.watched.last_comparison = Some(now);
        }
        self.watched.restores += u64::from(compared == Compared::Restored);
        self.count_errors(log, now);
        self.note(log);
    }

    /// Counts the errors in the log of other work.
    pub(crate) fn count(&mut self, log: &mut Log) {
        if self.count_errors(log, now()) {
            self.note(log);
        }
    }

    /// Says whether there were any.
    fn count_errors(&mut self, log: &Log, now: u64) -> bool {
        let errors = log.messages().iter();
        let errors = errors.filter(|message| message.severity == Severity::Error);
        let kinds = errors.map(|message| message.fields.error.unwrap_or(OTHER));
        let mut is_any = false;
        for kind in kinds {
            is_any = true;
            let counted = self.watched.errors.entry(kind.to_owned()).or_default();
            counted.count += 1;
            counted.last = now;
        }
        is_any
    }

    /// Numbers that cannot be written are no reason to do nothing else.
    fn note(&self, log: &mut Log) {
        if let Err(error) = self.state.put_watched(&self.watched) {
            log.write(Severity::Warning, error);
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Compared, Tally};
    use portero_engine::State;
    use portero_system::{Fields, Log, LogSink, Paths, Severity};

    fn log(errors: &[Option<&'static str>]) -> Log {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        log.write(Severity::Warning, "is no error");
        for error in errors {
            let fields = Fields {
                error: *error,
                ..Fields::default()
            };
            log.record(Severity::Error, fields, "broken");
        }
        log
    }

    #[test]
    fn a_service_that_starts_again_counts_on() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let state = State::new(&paths);
        let mut tally = Tally::open(&paths);
        // Without anything to count nothing is written.
        tally.count(&mut log(&[]));
        assert_eq!(state.watched().expect("a state"), None);
        tally.count_comparison(Compared::Held, &mut log(&[]));
        tally.count_comparison(Compared::Restored, &mut log(&[Some("policy"), None]));
        let mut tally = Tally::open(&paths);
        tally.count_comparison(Compared::Failed, &mut log(&[Some("policy")]));
        tally.count(&mut log(&[Some("config")]));
        let watched = state.watched().expect("a state").expect("numbers");
        assert_eq!((watched.comparisons, watched.restores), (2, 1));
        let kinds = ["config", "other", "policy"].map(|kind| watched.errors[kind].count);
        assert_eq!(kinds, [1, 1, 2]);
        assert!(watched.errors["config"].last >= watched.last_comparison.expect("a time"));
    }
}
