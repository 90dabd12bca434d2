//! The moment by which a hook has to be done.

use std::time::{Duration, Instant};

/// A point in time that everything a hook waits for is bounded by.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    end: Instant,
    length: Duration,
}

impl Deadline {
    /// A deadline this far from now.
    #[must_use]
    pub fn after(length: Duration) -> Self {
        Self {
            end: Instant::now() + length,
            length,
        }
    }

    /// The same, or one that is so far from now where that is sooner.
    #[must_use]
    pub fn within(self, length: Duration) -> Self {
        match self.left() <= length {
            true => self,
            false => Self::after(length),
        }
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// How long it was in the beginning.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// What is left, in the form poll(2) takes.
    pub fn poll_timeout(&self) -> nix::poll::PollTimeout {
        nix::poll::PollTimeout::try_from(self.left()).unwrap_or(nix::poll::PollTimeout::MAX)
    }
}
