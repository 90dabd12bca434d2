//! Forwards that cannot be had yet.

use crate::Claim;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A forward whose rules cannot be made yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pending {
    /// The host's ports that it holds meanwhile.
    pub claims: Vec<Claim>,
    /// What is missing.
    pub reason: String,
}

impl fmt::Display for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.claims.iter().map(ToString::to_string).collect();
        let (ports, reason) = (ports.join(", "), &self.reason);
        write!(formatter, "{ports} is not forwarded yet: {reason}")
    }
}
