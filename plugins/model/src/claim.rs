//! Which host ports a forward holds, and when two forwards are in each other's way.

use crate::{Family, PortRange, Protocol};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Host ports that one forward holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The family, where something in the forward says which; both when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The host's address; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The host's interface; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// From whom; everybody when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpNet>,
    /// The ports.
    pub ports: PortRange,
    /// Whether it is part of an address that leads to a guest as a whole. Whoever names no address does not mean that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole_address: bool,
}

impl Claim {
    /// Whether some packet would match both claims.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let leaves_alone =
            |one: &Self, other: &Self| one.is_whole_address && other.address.is_none();
        self.protocol == other.protocol
            && !leaves_alone(self, other)
            && !leaves_alone(other, self)
            && self.ports.overlaps(other.ports)
            && both_or_any(self.family.as_ref(), other.family.as_ref(), |a, b| a == b)
            && both_or_any(self.address.as_ref(), other.address.as_ref(), |a, b| a == b)
            && both_or_any(self.dev.as_ref(), other.dev.as_ref(), |a, b| a == b)
            && both_or_any(self.source.as_ref(), other.source.as_ref(), |a, b| {
                a.contains(b) || b.contains(a)
            })
    }
}

/// Whether two optional restrictions can hold at once.
fn both_or_any<T>(a: Option<&T>, b: Option<&T>, both: impl Fn(&T, &T) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => both(a, b),
        _ => true,
    }
}

/// Ports of an address, of any when absent: `8080`, `192.0.2.1:8080`, `[2001:db8::1]:8080`.
pub(crate) fn endpoint(address: Option<IpAddr>, ports: PortRange) -> String {
    match address {
        None => ports.to_string(),
        Some(IpAddr::V4(address)) => format!("{address}:{ports}"),
        Some(IpAddr::V6(address)) => format!("[{address}]:{ports}"),
    }
}

impl Claim {
    /// The host's ports as commands take them: `203.0.113.1:8080/tcp`.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}/{}", endpoint(self.address, self.ports), self.protocol)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} port {}", self.protocol, self.ports)?;
        if let Some(address) = self.address {
            write!(formatter, " of {address}")?;
        }
        if let Some(dev) = &self.dev {
            write!(formatter, " on {dev}")?;
        }
        Ok(())
    }
}
