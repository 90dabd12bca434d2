//! Hears from the kernel of every change to nftables, which iptables writes to as well unless it
//! is of the legacy variant, of every change to interfaces, and to the rules of routing.

use crate::error::WatchError;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const NFTABLES_GROUP: u32 = 7;

/// `RTNLGRP_LINK` of linux/rtnetlink.h.
const LINK_GROUP: u32 = 1;

/// `RTNLGRP_IPV4_RULE` and `RTNLGRP_IPV6_RULE` of linux/rtnetlink.h.
const RULE_GROUPS: [u32; 2] = [8, 19];

/// Room for one message in bytes; its content is not looked at.
const BUFFER_SIZE: usize = 8 * 1024;

/// The kernel's announcements of one kind. A comparison that finds nothing to do makes no change, so
/// the changes of portero itself are answered by one comparison more and no further.
pub(crate) struct Announcements {
    socket: Socket,
    of: &'static str,
}

impl Announcements {
    /// Every change to rules counts, whoever makes it and wherever: a rule of another table can be
    /// libvirt's that is now above ours.
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

    /// Reads all that is there; says whether it was anything.
    pub(crate) fn drain(&self) -> Result<bool, WatchError> {
        let of = self.of;
        let mut is_news = false;
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            let received = self.socket.recv(&mut &mut buffer[..], 0);
            match heard(received).map_err(|source| WatchError::Netlink { of, source })? {
                Heard::Change => is_news = true,
                Heard::Nothing => {}
                Heard::End => return Ok(is_news),
            }
        }
    }
}

/// What was heard at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Change,
    /// A signal came instead.
    Nothing,
    /// All has been heard.
    End,
}

fn heard(received: std::io::Result<usize>) -> std::io::Result<Heard> {
    match received {
        Ok(_) => Ok(Heard::Change),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Heard::End),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Heard::Nothing),
        // More was said than we could hear: something has changed.
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => Ok(Heard::Change),
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
    use super::{heard, Announcements, Heard};
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
        assert_eq!(heard(Err(lost)).expect("no failure"), Heard::Change);
        assert!(overflown().drain().expect("no failure"));
    }

    #[test]
    fn an_end_a_signal_and_a_failure_are_no_change() {
        let of = |errno: Errno| heard(Err(Error::from(errno)));
        assert_eq!(of(Errno::EAGAIN).expect("no failure"), Heard::End);
        assert_eq!(of(Errno::EINTR).expect("no failure"), Heard::Nothing);
        assert!(of(Errno::EBADF).is_err());
    }
}
