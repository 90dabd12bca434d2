//! Which interface of the host's an address is behind, by the kernel's routes.

use crate::netlink::{Netlink, Raw};
use crate::programs::read;
use crate::{neighbors, Deadline, Result, SystemError};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::AddressFamily;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::libc::{RTM_GETROUTE, RTM_NEWROUTE};
use nix::net::if_::if_indextoname;
use portero_model::Family;
use serde::de::DeserializeOwned;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// Where an address is, seen from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteLookup {
    /// It is one of the host's own, or one that all on a link listen to.
    Host,
    /// Behind an interface.
    Behind {
        /// The interface.
        interface: String,
        /// The MAC address its packets have there, if it was heard of: its own or a router's.
        mac: Option<String>,
    },
    /// No route leads there.
    Nowhere,
}

/// An interface with its addresses of a family.
#[derive(Deserialize)]
pub(crate) struct Link {
    pub(crate) ifname: String,
    /// In the order in which the kernel has them.
    pub(crate) addr_info: Vec<LinkAddress>,
}

/// One of them.
#[derive(Deserialize)]
pub(crate) struct LinkAddress {
    pub(crate) local: Option<IpAddr>,
}

/// Asks ip(8) for a list in JSON.
pub(crate) fn ask<T: DeserializeOwned>(words: &[&str], deadline: Deadline) -> Result<Vec<T>> {
    let words: Vec<&str> = ["-j"].iter().chain(words).copied().collect();
    let listing = read("ip", &words, deadline)?;
    // Older ones print nothing for an empty list.
    if listing.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&listing).map_err(|error| SystemError::Failed {
        program: "ip".to_owned(),
        message: error.to_string(),
    })
}

/// See [`crate::System::interface_of_first_address`].
pub(crate) fn interface_of_first_address(
    address: IpAddr,
    deadline: Deadline,
) -> Result<Option<String>> {
    let links: Vec<Link> = ask(&["-4", "address", "show"], deadline)?;
    let is_first = |link: &Link| {
        let first = link.addr_info.first();
        first.is_some_and(|first| first.local == Some(address))
    };
    Ok(links.into_iter().find(is_first).map(|link| link.ifname))
}

/// See [`crate::System::route_lookup`].
pub(crate) fn route_lookup(address: IpAddr, deadline: Deadline) -> Result<RouteLookup> {
    // For these the kernel may have no route to tell of.
    let is_to_all = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if is_to_all || address.is_multicast() {
        return Ok(RouteLookup::Host);
    }
    let mut netlink = Netlink::open(NETLINK_ROUTE, deadline)?;
    let mut found = None;
    let question = Raw::new(RTM_GETROUTE, &question(address));
    // One route, whose end nothing but its acknowledgement tells.
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    let asked = netlink.request(&question, flags, |answer: Raw| {
        if answer.kind == RTM_NEWROUTE {
            found = Some(answer);
        }
    });
    let route = match (asked, found) {
        (Ok(()), Some(route)) => route.parse::<RouteMessage>()?,
        (Err(SystemError::File { source, .. }), _) if is_no_way(&source) => {
            return Ok(RouteLookup::Nowhere)
        }
        (Err(error), _) => return Err(error),
        (Ok(()), None) => return Ok(RouteLookup::Nowhere),
    };
    let (way, hop) = way(&route, address);
    let index = match way {
        Way::Host => return Ok(RouteLookup::Host),
        Way::Nowhere => return Ok(RouteLookup::Nowhere),
        Way::Behind(index) => index,
    };
    let interface = if_indextoname(index).map_err(|errno| {
        SystemError::file(format!("interface {index}"))(std::io::Error::from(errno))
    })?;
    Ok(RouteLookup::Behind {
        interface: interface.to_string_lossy().into_owned(),
        mac: neighbors::mac_of(&mut netlink, index, hop)?,
    })
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Host,
    Behind(u32),
    Nowhere,
}

fn question(address: IpAddr) -> RouteMessage {
    let mut question = RouteMessage::default();
    let family = Family::from(address);
    question.header.address_family = match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    };
    question.header.destination_prefix_length = family.all().max_prefix_len();
    question.attributes = vec![RouteAttribute::Destination(address.into())];
    question
}

/// Whether the kernel says by an error that there is no way, or that the way is closed: of a route that is none, one of
/// type unreachable, blackhole or prohibit (ip-route(8)).
fn is_no_way(error: &std::io::Error) -> bool {
    let closed = [
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EINVAL,
        Errno::EACCES,
    ];
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|errno| closed.contains(&errno))
}

/// Where a route leads, and the next machine on the way.
fn way(route: &RouteMessage, address: IpAddr) -> (Way, IpAddr) {
    let (mut index, mut hop) = (None, address);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(RouteAddress::Inet(gateway))
            | RouteAttribute::Via(RouteVia::Inet(gateway)) => hop = (*gateway).into(),
            RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
            | RouteAttribute::Via(RouteVia::Inet6(gateway)) => hop = (*gateway).into(),
            _ => {}
        }
    }
    let way = match (route.header.kind, index) {
        // Whoever sends to all on a link sends to the host too, and to nobody beyond.
        (RouteType::Local | RouteType::Broadcast, _) => Way::Host,
        (RouteType::Unreachable | RouteType::BlackHole | RouteType::Prohibit, _) | (_, None) => {
            Way::Nowhere
        }
        (_, Some(index)) => Way::Behind(index),
    };
    (way, hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.kind = kind;
        route.attributes = attributes;
        route
    }

    #[test]
    fn a_route_says_where_an_address_is() {
        let address = IpAddr::from([192, 0, 2, 9]);
        let gateway = IpAddr::from([192, 0, 2, 1]);
        let oif = RouteAttribute::Oif(3);
        let unicast = |attributes| way(&route(RouteType::Unicast, attributes), address);
        assert_eq!(unicast(vec![oif.clone()]), (Way::Behind(3), address));
        let by_gateway = vec![RouteAttribute::Gateway(gateway.into()), oif.clone()];
        assert_eq!(unicast(by_gateway), (Way::Behind(3), gateway));
        let link_local = "fe80::1".parse().map(RouteVia::Inet6);
        let via = vec![
            oif.clone(),
            RouteAttribute::Via(link_local.unwrap_or(RouteVia::Inet([0; 4].into()))),
        ];
        assert_eq!(
            unicast(via),
            (Way::Behind(3), IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]))
        );
        assert_eq!(unicast(Vec::new()).0, Way::Nowhere);
        for (kind, expected) in [
            (RouteType::Local, Way::Host),
            (RouteType::Broadcast, Way::Host),
            (RouteType::Unreachable, Way::Nowhere),
            (RouteType::Prohibit, Way::Nowhere),
        ] {
            assert_eq!(way(&route(kind, vec![oif.clone()]), address).0, expected);
        }
    }

    #[test]
    fn the_kernel_is_asked() {
        let deadline = Deadline::after(std::time::Duration::from_secs(10));
        for own in ["127.0.0.1", "127.9.9.9", "255.255.255.255", "ff02::1"] {
            let address = own.parse().unwrap_or(IpAddr::from([0; 4]));
            let found = route_lookup(address, deadline);
            assert!(matches!(found, Ok(RouteLookup::Host)), "{own}: {found:?}");
        }
    }
}
