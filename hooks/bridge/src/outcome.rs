//! What a change is asked for, and what it came to.

use std::fmt;
use std::time::Duration;

/// Who confirms a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The administrator, within this time; otherwise it is taken back.
    Within(Duration),
    /// Nobody: what was reached before is reached again, and that is enough.
    Verified,
}

/// How what was there before came back; in words it goes on after "is back".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Back {
    /// What portero itself had to put back, `192.0.2.10/24`.
    pub by_portero: Vec<String>,
    /// Which commands of the program that brings NICs up failed.
    pub failures: Vec<String>,
}

impl fmt::Display for Back {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_portero.is_empty() {
            return Ok(());
        }
        let what = self.by_portero.join(", ");
        write!(formatter, "; portero itself put back: {what}")?;
        match self.failures.as_slice() {
            [] => write!(formatter, " (the files did not bring it back)"),
            failures => write!(formatter, " (since {})", failures.join("; ")),
        }
    }
}
