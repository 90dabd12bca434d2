//! How what a file names fits a NIC.

use glob::Pattern;

/// How well something fits a NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NicFit {
    /// It is for the NIC alone.
    Alone,
    /// It may be for others as well.
    Shared,
    /// It is for others.
    No,
}

impl NicFit {
    /// How a name, or a shell pattern of names, fits that of a NIC.
    pub(crate) fn compare(pattern: &str, name: &str) -> Self {
        if pattern == name {
            Self::Alone
        } else if Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name)) {
            Self::Shared
        } else {
            Self::No
        }
    }
}
