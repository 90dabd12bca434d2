//! Asks the kernel over netlink which of the tables and chains that matter here are there: no
//! program has to be started for that.

use crate::netlink::{Netlink, Raw};
use crate::nfnetlink::{
    message, names, TableFamily, CHAIN_NAME, GET_CHAIN, GET_RULE, GET_TABLE, TABLE, WITHIN,
};
use crate::{Deadline, Result, SystemError};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

/// Whether a table is there; where the kernel has no nftables there is none.
///
/// # Errors
/// [`SystemError`] when the kernel does not answer.
pub(crate) fn has_table(family: TableFamily, name: &str, deadline: Deadline) -> Result<bool> {
    let message = message(GET_TABLE, family, &names(&[(TABLE, name)]));
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
    let message = message(
        GET_CHAIN,
        family,
        &names(&[(TABLE, table), (CHAIN_NAME, chain)]),
    );
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
    let message = message(GET_RULE, family, &names(&[(TABLE, table), (WITHIN, chain)]));
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
        .and_then(|mut netlink| netlink.request(&message, flags, |_: Raw| answers += 1));
    match asked {
        Err(SystemError::File { source, .. }) if is_not_there(&source) => Ok(0),
        other => other.map(|()| answers),
    }
}

pub(crate) fn is_not_there(error: &std::io::Error) -> bool {
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
