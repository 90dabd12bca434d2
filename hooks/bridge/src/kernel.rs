//! Questions and changes over rtnetlink(7), each with a socket of its own and for no longer than the kernel may take.

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_ROUTE;
use portero_system::netlink::{Netlink, Raw};
use portero_system::{Deadline, SystemError};
use std::time::Duration;

/// Longest time for one question to the kernel.
pub(super) const KERNEL: Duration = Duration::from_secs(3);

/// The families that have routes and rules, `AF_INET` and `AF_INET6`.
pub(super) const FAMILIES: [u8; 2] = [2, 10];

/// All messages of a kind, whose head has this length, of this family.
pub(super) fn dump(kind: u16, head: usize, family: u8) -> Result<Vec<Raw>, SystemError> {
    let mut payload = vec![0; head];
    payload[0] = family;
    Netlink::open(NETLINK_ROUTE, Deadline::after(KERNEL))?.dump(&Raw { kind, payload })
}

/// Changes an address, a route, a neighbor or a rule, or takes a link away.
pub(super) fn change(kind: u16, payload: Vec<u8>, flags: u16) -> Result<(), SystemError> {
    let mut netlink = Netlink::open(NETLINK_ROUTE, Deadline::after(KERNEL))?;
    let message = Raw { kind, payload };
    netlink.request(&message, NLM_F_REQUEST | NLM_F_ACK | flags, |_: Raw| {})
}
