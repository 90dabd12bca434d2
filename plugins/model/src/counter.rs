//! How often the compiled rules of a policy have fitted.

use crate::RuleName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Packets that have fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// How many.
    pub packets: u64,
    /// How long all of them were together.
    pub bytes: u64,
}

/// The counter of each compiled rule; those of a direction that is not in the firewall have none.
pub type Counters = BTreeMap<RuleName, Counter>;

/// What was counted of a forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardCounter {
    /// Connections that were opened by it; unknown where nothing counts them.
    pub connections: Option<u64>,
    /// What has gone through the host both ways since; unknown where it is not counted by itself.
    pub traffic: Option<Counter>,
}

impl Counter {
    /// Reads nft's JSON, `{"packets": 1, "bytes": 60}`; nothing when it is something else.
    #[must_use]
    pub fn from_json(json: &Value) -> Option<Self> {
        Self::deserialize(json).ok()
    }
}

impl AddAssign for Counter {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}
