//! Hears from the kernel of every change to nftables, which iptables writes to as well unless it
//! is of the legacy variant.

use crate::error::WatchError;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const NFTABLES_GROUP: u32 = 7;

/// Room for one message in bytes; its content is not looked at.
const BUFFER_SIZE: usize = 8 * 1024;

/// The kernel's announcements.
///
/// Every change counts, whoever makes it and wherever: a rule of another table can be libvirt's
/// that is now above ours. A comparison that finds nothing to do makes no change, so the changes
/// of portero itself are answered by one comparison more and no further.
pub(crate) struct Ruleset(Socket);

impl Ruleset {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self, WatchError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(NFTABLES_GROUP)?;
            socket.set_non_blocking(true)?;
            Ok(Self(socket))
        };
        open().map_err(|source| WatchError::Netlink { source })
    }

    /// Reads all that is there; says whether it was anything.
    pub(crate) fn drain(&self) -> Result<bool, WatchError> {
        let mut is_news = false;
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            match self.0.recv(&mut &mut buffer[..], 0) {
                Ok(_) => is_news = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(is_news),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // More was said than we could hear: something has changed.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => is_news = true,
                Err(source) => return Err(WatchError::Netlink { source }),
            }
        }
    }
}

impl AsFd for Ruleset {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
