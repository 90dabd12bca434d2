//! Rules of libvirt's own.

use ipnet::IpNet;

/// A rule of libvirt's own, which every network has that is routed and not open.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LibvirtRule<'a> {
    /// Rejects what goes to a bridge.
    RejectTo(&'a str),
    /// Rejects what comes from it.
    RejectFrom(&'a str),
    /// Gives guests of a subnet the host's address.
    Masquerade(IpNet),
}
