//! What a change is asked for, and what it came to.

use std::fmt;
use std::time::Duration;

/// Who confirms a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The administrator, within this time; otherwise it is rolled back.
    Within(Duration),
    /// Nobody: what was reached before is reached again, and that is enough.
    Verified,
}

/// How a bridge is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who confirms it.
    pub confirmation: Confirmation,
    /// What it may lack of what its NIC had.
    pub accepted: Vec<Kind>,
}

/// What a bridge may lack of what its NIC had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = KindError, parse_err_fn = KindError::new)]
pub enum Kind {
    /// Addresses.
    Addresses,
    /// Routes, of all tables.
    Routes,
    /// The order of routes: by its metric, one by another interface is chosen instead.
    Metrics,
    /// Rules of routing.
    Rules,
    /// MAC addresses of neighbors that somebody has written down.
    Neighbors,
    /// Servers for names.
    Dns,
    /// MTU, MAC address, and the interface itself.
    Link,
}

/// The word is no such kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is nothing that a bridge can lack, expected addresses, routes, metrics, rules, neighbors, dns or link", word.escape_debug())]
pub struct KindError {
    /// The word.
    pub word: String,
}

impl KindError {
    fn new(word: &str) -> Self {
        Self {
            word: word.to_owned(),
        }
    }
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
