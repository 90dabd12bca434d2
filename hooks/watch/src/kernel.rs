//! Hears from the kernel of changes to nftables, which iptables writes to as well unless it
//! is of the legacy variant, to interfaces, and to the rules of routing.

use crate::error::WatchError;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use portero_system::{changed_links, ChangedLink};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const NFTABLES_GROUP: u32 = 7;

/// `RTNLGRP_LINK` of linux/rtnetlink.h.
const LINK_GROUP: u32 = 1;

/// `RTNLGRP_IPV4_RULE` and `RTNLGRP_IPV6_RULE` of linux/rtnetlink.h.
const RULE_GROUPS: [u32; 2] = [8, 19];

/// Room for what is announced at once, in bytes; the kernel says at most 32 KiB (`NLMSG_GOODSIZE`).
const BUFFER_SIZE: usize = 64 * 1024;

/// The kernel's announcements of one kind. A comparison that finds nothing to do makes no change, so
/// the changes of portero itself are answered by one comparison more and no further.
pub(crate) struct Announcements {
    socket: Socket,
    of: &'static str,
}

impl Announcements {
    /// Changes in portero's and libvirt's tables, and in those chains of iptables that these stand in.
    pub(crate) fn of_rules() -> Result<Self, WatchError> {
        Self::listen("nftables", NETLINK_NETFILTER, &[NFTABLES_GROUP])
    }

    /// An interface that is plugged into a guest joins its bridge after all hooks.
    pub(crate) fn of_interfaces() -> Result<Self, WatchError> {
        Self::listen("interfaces", NETLINK_ROUTE, &[LINK_GROUP])
    }

    /// Guests' answers may leave by the tables that rules of routing name.
    pub(crate) fn of_routing() -> Result<Self, WatchError> {
        Self::listen("routing", NETLINK_ROUTE, &RULE_GROUPS)
    }

    fn listen(of: &'static str, protocol: isize, groups: &[u32]) -> Result<Self, WatchError> {
        let open = || {
            let mut socket = Socket::new(protocol)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            for group in groups {
                socket.add_membership(*group)?;
            }
            socket.set_non_blocking(true)?;
            Ok(Self { socket, of })
        };
        open().map_err(|source| WatchError::Netlink { of, source })
    }

    /// Reads all that is there; says whether it was anything of which `concerns` says so.
    pub(crate) fn drain(
        &self,
        mut concerns: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, WatchError> {
        let mut is_news = false;
        self.each(|announced| is_news |= announced.is_none_or(&mut concerns))?;
        Ok(is_news)
    }

    /// Reads all that is there; gives the interfaces that it was about, or says that it may be any.
    pub(crate) fn drain_links(&self) -> Result<Links, WatchError> {
        let mut links = Links::These(Vec::new());
        self.each(|announced| {
            let changed = announced.and_then(changed_links);
            match (&mut links, changed) {
                (Links::These(known), Some(changed)) => known.extend(changed),
                _ => links = Links::Any,
            }
        })?;
        Ok(links)
    }

    /// Reads all that is there; gives nothing in place of what was lost.
    fn each(&self, mut hear: impl FnMut(Option<&[u8]>)) -> Result<(), WatchError> {
        let of = self.of;
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            let received = self.socket.recv(&mut &mut buffer[..], 0);
            match heard(received).map_err(|source| WatchError::Netlink { of, source })? {
                Heard::Change(size) => hear(buffer.get(..size).filter(|_| size < BUFFER_SIZE)),
                Heard::Lost => hear(None),
                Heard::Nothing => {}
                Heard::End => return Ok(()),
            }
        }
    }
}

/// Interfaces that came, changed or went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// These, or none.
    These(Vec<ChangedLink>),
    /// Nobody knows which.
    Any,
}

/// What was heard at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// So many bytes.
    Change(usize),
    /// More was said than could be heard.
    Lost,
    /// A signal came instead.
    Nothing,
    /// All has been heard.
    End,
}

fn heard(received: std::io::Result<usize>) -> std::io::Result<Heard> {
    match received {
        Ok(size) => Ok(Heard::Change(size)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Heard::End),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Heard::Nothing),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => Ok(Heard::Lost),
        Err(error) => Err(error),
    }
}

impl AsFd for Announcements {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{heard, Announcements, Heard, Links};
    use netlink_sys::SocketAddr;
    use nix::errno::Errno;
    use nix::libc::{NLMSG_NOOP, NLM_F_ACK, NLM_F_REQUEST};
    use std::io::Error;

    /// A socket to which the kernel has said more than it takes.
    fn overflown() -> Announcements {
        let announcements = Announcements::of_interfaces().expect("a socket");
        let socket = &announcements.socket;
        socket.set_rx_buf_sz(1_u32).expect("the least room");
        let kind = u16::try_from(NLMSG_NOOP).expect("a type");
        let flags = u16::try_from(NLM_F_REQUEST | NLM_F_ACK).expect("flags");
        let mut request = 16_u32.to_ne_bytes().to_vec();
        request.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        request.resize(16, 0);
        for _ in 0..100 {
            let sent = socket.send_to(&request, &SocketAddr::new(0, 0), 0);
            assert_eq!(sent.expect("a request"), request.len());
        }
        announcements
    }

    #[test]
    fn what_was_lost_is_a_change() {
        let lost = overflown().socket.recv(&mut &mut [0; 64][..], 0);
        let lost = lost.expect_err("an overflow");
        assert_eq!(lost.raw_os_error(), Some(nix::libc::ENOBUFS));
        assert_eq!(heard(Err(lost)).expect("no failure"), Heard::Lost);
        assert!(overflown().drain(|_| false).expect("no failure"));
        assert_eq!(overflown().drain_links().expect("no failure"), Links::Any);
    }

    #[test]
    fn an_end_a_signal_and_a_failure_are_no_change() {
        let of = |errno: Errno| heard(Err(Error::from(errno)));
        assert_eq!(of(Errno::EAGAIN).expect("no failure"), Heard::End);
        assert_eq!(of(Errno::EINTR).expect("no failure"), Heard::Nothing);
        assert!(of(Errno::EBADF).is_err());
    }
}
