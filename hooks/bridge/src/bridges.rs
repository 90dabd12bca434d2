//! The bridges of this host: where their records are, and who is told what happens to them.

use portero_system::{Log, Paths, Severity};
use std::fmt;
use std::time::Duration;

/// How often is looked whether something is there that is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// The bridges of this host that portero makes.
pub struct Bridges<'a> {
    pub(super) paths: &'a Paths,
    pub(super) log: &'a mut Log,
    /// Who is told of each step.
    pub(super) tell: fn(&str),
}

impl<'a> Bridges<'a> {
    /// Bridges with their records in `paths`.
    #[must_use]
    pub fn new(paths: &'a Paths, log: &'a mut Log) -> Self {
        Self {
            paths,
            log,
            tell: |_| {},
        }
    }

    /// Lets somebody be told of each step, when it begins.
    #[must_use]
    pub fn telling(mut self, tell: fn(&str)) -> Self {
        self.tell = tell;
        self
    }

    pub(super) fn log_errors(&mut self, errors: impl IntoIterator<Item = impl fmt::Display>) {
        for error in errors {
            self.log.write(Severity::Error, error);
        }
    }
}
