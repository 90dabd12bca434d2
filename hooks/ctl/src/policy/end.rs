//! Where an address is, as the policies see it.

use portero_routed_policy::{At, End};
use portero_system::Whereabouts;
use std::net::IpAddr;

/// Where an address is, as an end of a packet.
pub(crate) fn end(address: IpAddr, whereabouts: Whereabouts) -> End {
    let (at, mac) = match whereabouts {
        Whereabouts::Host => (At::Host, None),
        Whereabouts::Behind { interface, mac } => (At::Behind(interface), mac),
        Whereabouts::Nowhere => (At::Nowhere, None),
    };
    End { address, at, mac }
}
