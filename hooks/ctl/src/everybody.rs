//! What answers about everybody's rules have in common: how long those may take to be read, and who is meant by anybody.

use portero_model::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Longest time to read everybody's rules.
pub(crate) const RULES: Duration = Duration::from_secs(10);

/// Who any machine outside may be: an address that nobody has (RFC 5737, RFC 3849).
pub(crate) fn anybody(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(198, 51, 100, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}
