//! Asks the kernel over netlink which of the tables and chains that matter here are there: no
//! program has to be started for that.

use crate::netlink::{Netlink, Raw};
use crate::{Deadline, Result, SystemError};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

/// `NFNL_SUBSYS_NFTABLES` of linux/netfilter/nfnetlink.h, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_GETTABLE` of linux/netfilter/nf_tables.h.
const GET_TABLE: u16 = SUBSYSTEM | 1;
/// `NFT_MSG_GETCHAIN`.
const GET_CHAIN: u16 = SUBSYSTEM | 4;
/// `NFT_MSG_GETRULE`.
const GET_RULE: u16 = SUBSYSTEM | 7;
/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE` and `NFTA_RULE_TABLE`.
const TABLE: u16 = 1;
/// `NFTA_CHAIN_NAME`.
const CHAIN_NAME: u16 = 3;
/// `NFTA_RULE_CHAIN`.
const CHAIN: u16 = 2;
/// Length of an attribute's own header in bytes, netlink(7).
const ATTRIBUTE_HEADER: usize = 4;

/// A family of tables, `NFPROTO_...` of linux/netfilter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFamily {
    /// Both IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// Frames that pass a bridge.
    Bridge = 7,
    /// IPv6.
    Ipv6 = 10,
}

/// A request with a `struct nfgenmsg` (family, version, resource) and attributes.
fn message(kind: u16, family: TableFamily, attributes: &[(u16, &str)]) -> Raw {
    let mut payload = vec![family as u8, 0, 0, 0];
    for (attribute, text) in attributes {
        let length = ATTRIBUTE_HEADER + text.len() + 1;
        let header = u16::try_from(length).unwrap_or(u16::MAX);
        payload.extend(header.to_ne_bytes());
        payload.extend(attribute.to_ne_bytes());
        payload.extend(text.as_bytes());
        payload.resize(payload.len() + 1 + length.next_multiple_of(4) - length, 0);
    }
    Raw { kind, payload }
}

/// Whether a table is there; where the kernel has no nftables there is none.
///
/// # Errors
/// [`SystemError`] when the kernel does not answer.
pub(crate) fn has_table(family: TableFamily, name: &str, deadline: Deadline) -> Result<bool> {
    let message = message(GET_TABLE, family, &[(TABLE, name)]);
    Ok(ask(message, NLM_F_REQUEST | NLM_F_ACK, deadline)? > 0)
}

/// Whether a chain is there.
///
/// # Errors
/// [`SystemError`] when the kernel does not answer.
pub(crate) fn has_chain(
    family: TableFamily,
    table: &str,
    chain: &str,
    deadline: Deadline,
) -> Result<bool> {
    let message = message(GET_CHAIN, family, &[(TABLE, table), (CHAIN_NAME, chain)]);
    Ok(ask(message, NLM_F_REQUEST | NLM_F_ACK, deadline)? > 0)
}

/// Whether a chain of a table has any rule.
///
/// # Errors
/// [`SystemError`] when the kernel does not answer.
pub(crate) fn has_rules(
    family: TableFamily,
    table: &str,
    chain: &str,
    deadline: Deadline,
) -> Result<bool> {
    let message = message(GET_RULE, family, &[(TABLE, table), (CHAIN, chain)]);
    Ok(ask(message, NLM_F_REQUEST | NLM_F_DUMP, deadline)? > 0)
}

/// How the kernel says that a table is not there (net/netfilter/nf_tables_api.c),
/// that it has no nftables (net/netfilter/nfnetlink.c), or no sockets of the kind, netlink(7). Anything else, as
/// too many open files, does not tell: a table that is taken for missing would be made a second time.
const NOT_THERE: [Errno; 5] = [
    Errno::ENOENT,
    Errno::EINVAL,
    Errno::EOPNOTSUPP,
    Errno::EAFNOSUPPORT,
    Errno::EPROTONOSUPPORT,
];

/// The number of answers; none when the kernel does not know what it is asked for.
fn ask(message: Raw, flags: u16, deadline: Deadline) -> Result<usize> {
    let mut answers = 0;
    let asked = Netlink::open(NETLINK_NETFILTER, deadline)
        .and_then(|mut netlink| netlink.request(message, flags, |_: Raw| answers += 1));
    match asked {
        Err(SystemError::File { source, .. }) if is_not_there(&source) => Ok(0),
        other => other.map(|()| answers),
    }
}

fn is_not_there(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|errno| NOT_THERE.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_tell_is_not_taken_for_missing() {
        let is = |errno: Errno| is_not_there(&errno.into());
        assert!(is(Errno::ENOENT) && is(Errno::EPROTONOSUPPORT));
        assert!(!is(Errno::EMFILE) && !is(Errno::EPERM) && !is(Errno::ENOBUFS));
        assert!(!is_not_there(&std::io::ErrorKind::TimedOut.into()));
    }
}
