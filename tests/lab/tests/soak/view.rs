//! What is in a firewall, or should be, as rows that do not depend on which firewall it is.

use std::collections::BTreeSet;
use std::fmt;

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        })
    }
}

/// Rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(BTreeSet<String>);

impl View {
    /// Adds a row; the same row again is the same.
    pub fn add(&mut self, row: String) {
        self.0.insert(row);
    }

    /// Adds a row that must be there once.
    pub fn add_once(&mut self, row: String) {
        if self.0.contains(&row) {
            self.wrong(format!("twice: {row}"));
        }
        self.0.insert(row);
    }

    /// Adds what must never be there.
    pub fn wrong(&mut self, what: impl fmt::Display) {
        self.0.insert(format!("wrong: {what}"));
    }

    /// Whether a row is there.
    pub fn has(&self, row: &str) -> bool {
        self.0.contains(row)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What differs from what should be: `-` is missing, `+` is too much.
    pub fn difference(&self, expected: &Self) -> Vec<String> {
        let missing = expected.0.difference(&self.0).map(|row| format!("- {row}"));
        let surplus = self.0.difference(&expected.0).map(|row| format!("+ {row}"));
        missing.chain(surplus).collect()
    }
}
