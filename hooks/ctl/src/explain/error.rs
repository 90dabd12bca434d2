//! Why nothing can be explained.

use portero_engine::ApplyError;
use portero_libvirt::ObjectName;
use std::net::IpAddr;

/// Why a port or a guest cannot be explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The host cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A packet has one family.
    #[error("{from} and {to} are of two families, expected two IPv4 or two IPv6 addresses")]
    TwoFamilies {
        /// The client.
        from: IpAddr,
        /// The host's address.
        to: IpAddr,
    },
    /// Only the way to a port is drawn.
    #[error(
        "there is no picture of what a guest needs, expected a port of the host with --format svg"
    )]
    NoPicture,
    /// There is no such guest.
    #[error("there is no domain '{name}'{tip}, expected the name of one, or [ADDRESS:]PORT[/tcp|udp|sctp] of the host")]
    NoGuest {
        /// What was given.
        name: ObjectName,
        /// Who may be meant.
        tip: String,
    },
}
