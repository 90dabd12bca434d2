//! Where an address is, as the policies see it.

use portero_routed_policy::{At, End};
use portero_system::RouteLookup;
use std::net::IpAddr;

/// Where an address is, as an end of a packet.
pub(crate) fn end(address: IpAddr, route_lookup: RouteLookup) -> End {
    let (at, mac) = match route_lookup {
        RouteLookup::Host => (At::Host, None),
        RouteLookup::Behind { interface, mac } => (At::Behind(interface), mac),
        RouteLookup::Nowhere => (At::Nowhere, None),
    };
    End { address, at, mac }
}
