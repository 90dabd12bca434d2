//! Why a command about policies failed; each is one line.

use crate::who::WhoError;
use portero_engine::ApplyError;
use portero_libvirt::ObjectName;
use std::net::IpAddr;

/// Why a command about policies failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The host cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// No network of this name is active.
    #[error("network '{}' is not active{tip}", name.as_str().escape_debug())]
    NoNetwork {
        /// What was given.
        name: ObjectName,
        /// Which may be meant.
        tip: String,
    },
    /// What is to be checked is not there.
    #[error("'{}' is neither an active network nor a file{tip}", name.as_str().escape_debug())]
    NothingToCheck {
        /// What was given.
        name: ObjectName,
        /// Which network may be meant.
        tip: String,
    },
    /// Somebody is not found.
    #[error(transparent)]
    Who(#[from] WhoError),
    /// A packet has one family.
    #[error("{from} and {to} are of two families, expected two IPv4 or two IPv6 addresses")]
    TwoFamilies {
        /// One end.
        from: IpAddr,
        /// The other.
        to: IpAddr,
    },
    /// A protocol with ports needs one.
    #[error("expected a port of {protocol} after it, 1 to 65535")]
    Port { protocol: portero_model::Protocol },
    /// ICMP has types.
    #[error("'{found}' is no type of icmp, expected 0 to 255")]
    IcmpType {
        /// What was given.
        found: u16,
    },
    /// Nobody knows where packets come in.
    #[error("the host has no route to {address}, so it is not known by which interface its packets come, expected --dev INTERFACE")]
    NoWayBack {
        /// Where they are from.
        address: IpAddr,
    },
}
