//! A connection from outside that is kept busy: it ends with the first answer that does not come.

use crate::program::Program;
use std::fs;
use std::time::{Duration, Instant};

/// The connection, which ends with the value.
#[derive(Debug)]
pub struct Talk {
    /// Where the agent notes how often it was answered.
    file: String,
    _agent: Program,
}

impl Talk {
    /// Connects the agent outside to the echo at an address, and has it keep count in a file.
    ///
    /// # Panics
    /// When nothing is echoed within ten seconds.
    #[must_use]
    pub fn start(agent: &str, address: &str, file: &str) -> Self {
        let _ = fs::remove_file(file);
        let words = ["netns", "exec", "outside", agent, "talk", address, file];
        let talk = Self {
            file: file.to_owned(),
            _agent: Program::start("ip", &words),
        };
        assert!(talk.is_heard(Duration::from_secs(10)), "no connection");
        talk
    }

    /// Whether another answer comes within a time.
    #[must_use]
    pub fn is_heard(&self, limit: Duration) -> bool {
        let (before, start) = (self.answers(), Instant::now());
        while self.answers() <= before {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn answers(&self) -> u64 {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.parse().unwrap_or(0)
    }
}
