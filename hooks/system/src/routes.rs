//! Which interface of the host's an address is behind, by the kernel's routes. Read with ip(8).

use crate::programs::read;
use crate::{Deadline, Result, SystemError};
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

#[derive(Deserialize)]
struct Route {
    #[serde(rename = "type")]
    kind: Option<String>,
    dev: Option<String>,
    gateway: Option<String>,
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

#[derive(Deserialize)]
struct Neighbour {
    lladdr: Option<String>,
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
    let text = address.to_string();
    let routes: Vec<Route> = match ask(&["route", "get", &text], deadline) {
        // It fails where there is no way.
        Err(SystemError::Failed { .. }) => Vec::new(),
        other => other?,
    };
    let Some(route) = routes.into_iter().next() else {
        return Ok(RouteLookup::Nowhere);
    };
    match (route.kind.as_deref(), route.dev) {
        // Whoever sends to all on a link sends to the host too, and to nobody beyond.
        (Some("local" | "broadcast"), _) => Ok(RouteLookup::Host),
        (Some("unreachable" | "blackhole" | "prohibit"), _) | (_, None) => Ok(RouteLookup::Nowhere),
        (_, Some(interface)) => {
            let hop = route.gateway.unwrap_or(text);
            let words = ["neighbour", "show", "to", &hop, "dev", &interface];
            let neighbours: Vec<Neighbour> = ask(&words, deadline)?;
            let mac = neighbours.into_iter().find_map(|one| one.lladdr);
            Ok(RouteLookup::Behind { interface, mac })
        }
    }
}
