//! Hears from the kernel of every change to nftables, which iptables writes to as well unless it
//! is of the legacy variant, and of every change to interfaces.

use crate::error::WatchError;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const NFTABLES_GROUP: u32 = 7;

/// `RTNLGRP_LINK` of linux/rtnetlink.h.
const LINK_GROUP: u32 = 1;

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
        Self::listen("nftables", NETLINK_NETFILTER, NFTABLES_GROUP)
    }

    /// An interface that is plugged into a guest joins its bridge after all hooks.
    pub(crate) fn of_interfaces() -> Result<Self, WatchError> {
        Self::listen("interfaces", NETLINK_ROUTE, LINK_GROUP)
    }

    fn listen(of: &'static str, protocol: isize, group: u32) -> Result<Self, WatchError> {
        let open = || {
            let mut socket = Socket::new(protocol)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(group)?;
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
            match self.socket.recv(&mut &mut buffer[..], 0) {
                Ok(_) => is_news = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(is_news),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // More was said than we could hear: something has changed.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => is_news = true,
                Err(source) => return Err(WatchError::Netlink { of, source }),
            }
        }
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
    use super::*;
    use nix::sys::socket::{getsockopt, sockopt};

    /// A message that the kernel does nothing about but acknowledge it: `NLMSG_NOOP` with
    /// `NLM_F_REQUEST | NLM_F_ACK`, netlink(7).
    fn acknowledged() -> Vec<u8> {
        let (length, kind, flags) = (16_u32, 1_u16, 5_u16);
        let mut message = Vec::from(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.resize(16, 0);
        message
    }

    /// Interfaces, of which more was said than could be heard.
    fn overflown() -> Announcements {
        let interfaces = Announcements::of_interfaces().expect("a socket");
        let room = getsockopt(&interfaces, sockopt::RcvBuf).expect("its room");
        // Each takes more of it than it is long.
        for _ in 0..=room / acknowledged().len() {
            let sent = interfaces.socket.send(&acknowledged(), 0);
            sent.expect("sent");
        }
        interfaces
    }

    #[test]
    fn more_than_could_be_heard_is_news() {
        let control = overflown().socket.recv(&mut &mut [0; 64][..], 0);
        let error = control.expect_err("something is missing");
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOBUFS));
        let interfaces = overflown();
        assert!(interfaces.drain().expect("the others"));
        assert!(!interfaces.drain().expect("nothing"));
    }
}
