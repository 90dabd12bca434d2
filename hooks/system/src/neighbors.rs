//! Lets the host answer for guests' addresses on its own interfaces: proxy ARP and proxy NDP, an
//! entry for each address (ip-neighbour(8)).
//!
//! IPv4 needs no sysctl for that; IPv6 needs `proxy_ndp` of the interface.

use crate::interfaces;
use crate::netlink::{Netlink, Raw};
use crate::programs::{read, run};
use crate::{Deadline, Result, SystemError};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{RTM_GETNEIGH, RTM_NEWNEIGH};
use nix::sys::socket::{setsockopt, sockopt};
use portero_libvirt::{InterfaceName, MacAddress};
use portero_model::{Family, Neighbor};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

/// How long somebody may take to answer for an address: a neighbour on a LAN takes milliseconds, and
/// the kernel asks three times, once a second.
const ANSWER: Duration = Duration::from_millis(1200);

/// The port of what is thrown away (RFC 863); no more than a reason to look for the neighbour.
const DISCARD: u16 = 9;

/// States of a neighbour (ip-neighbour(8)) that say somebody has answered.
const ANSWERED: [&str; 4] = ["REACHABLE", "DELAY", "STALE", "PROBE"];

/// See [`crate::System::check_neighbors`].
pub(crate) fn check(neighbors: &[Neighbor], deadline: Deadline) -> Result<()> {
    if neighbors.is_empty() {
        return Ok(());
    }
    let entries = proxies(deadline)?;
    let is_new = |neighbor: &&Neighbor| !entries.contains(neighbor);
    let new: Vec<&Neighbor> = neighbors.iter().filter(is_new).collect();
    if new.is_empty() {
        return Ok(());
    }
    for neighbor in &new {
        // What was learnt earlier is no proof; the entry goes, if there is one.
        let _ = ip("del", neighbor, deadline);
        ask(neighbor)?;
    }
    std::thread::sleep(ANSWER.min(deadline.left()));
    for neighbor in new {
        let listing = ip("show", neighbor, deadline)?;
        let mut lines = listing.split_whitespace();
        let mac = lines.by_ref().skip_while(|word| *word != "lladdr").nth(1);
        let has_answered = lines.any(|word| ANSWERED.contains(&word));
        if let (Some(mac), true) = (mac, has_answered) {
            return Err(SystemError::Taken {
                address: neighbor.address,
                dev: neighbor.dev.clone(),
                mac: mac.to_owned(),
            });
        }
    }
    Ok(())
}

/// `ip neighbour VERB ADDRESS dev DEV`; what it prints.
fn ip(verb: &str, neighbor: &Neighbor, deadline: Deadline) -> Result<String> {
    let address = neighbor.address.to_string();
    let words = ["neighbour", verb, &address, "dev", &neighbor.dev];
    let listing = read("ip", &words, deadline)?;
    Ok(String::from_utf8_lossy(&listing).into_owned())
}

/// Makes the kernel look for an address on a LAN.
fn ask(neighbor: &Neighbor) -> Result<()> {
    let Neighbor { address, dev } = neighbor;
    let failed = |source| SystemError::file(format!("{address} on {dev}"))(source);
    let any = Family::from(*address).all().addr();
    let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
    setsockopt(&socket, sockopt::BindToDevice, &dev.into())
        .map_err(|errno| failed(errno.into()))?;
    let sent = socket.send_to(b"?", (*address, DISCARD));
    sent.map(drop).map_err(failed)
}

/// The addresses that the host answers for already.
pub(crate) fn proxies(deadline: Deadline) -> Result<BTreeSet<Neighbor>> {
    let listing = read("ip", &["neighbour", "show", "proxy"], deadline)?;
    let listing = String::from_utf8_lossy(&listing);
    let entries = listing.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let dev = words.skip_while(|word| *word != "dev").nth(1)?.to_owned();
        Some(Neighbor { dev, address })
    });
    Ok(entries.collect())
}

/// See [`crate::System::seen`].
pub(crate) fn seen(
    bridge: &InterfaceName,
    mac: MacAddress,
    deadline: Deadline,
) -> Result<Vec<IpAddr>> {
    let index = interfaces::index(bridge.as_str()).map_err(SystemError::file(bridge))?;
    let mut netlink = Netlink::open(NETLINK_ROUTE, deadline)?;
    let mut addresses = Vec::new();
    each(&mut netlink, |entry| {
        let Some((address, its)) = answered(entry, index) else {
            return;
        };
        if its == mac.octets() {
            addresses.push(address);
        }
    })?;
    addresses.sort_unstable();
    Ok(addresses)
}

/// The MAC address of an address behind an interface, if it was heard of.
pub(crate) fn mac_of(netlink: &mut Netlink, index: u32, address: IpAddr) -> Result<Option<String>> {
    let mut mac = None;
    each(netlink, |entry| {
        if let Some((_, octets)) = answered(entry, index).filter(|(one, _)| *one == address) {
            let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            mac = Some(octets.join(":"));
        }
    })?;
    Ok(mac)
}

/// Gives each of the kernel's neighbours to `each`.
fn each(netlink: &mut Netlink, mut each: impl FnMut(&NeighbourMessage)) -> Result<()> {
    let all = Raw::new(RTM_GETNEIGH, &NeighbourMessage::default());
    for answer in netlink.dump(&all)? {
        if answer.kind == RTM_NEWNEIGH {
            each(&answer.parse()?);
        }
    }
    Ok(())
}

/// The IP and the MAC address of a neighbour behind an interface, if it has answered at some time.
fn answered(entry: &NeighbourMessage, index: u32) -> Option<(IpAddr, &[u8])> {
    let is_unanswered = matches!(
        entry.header.state,
        NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None
    );
    if entry.header.ifindex != index || is_unanswered {
        return None;
    }
    let mac = entry.attributes.iter().find_map(|one| match one {
        NeighbourAttribute::LinkLayerAddress(octets) => Some(octets.as_slice()),
        _ => None,
    });
    let address = entry.attributes.iter().find_map(|one| match one {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
            Some((*address).into())
        }
        _ => None,
    });
    Some((address?, mac?))
}

/// See [`crate::System::set_neighbors`].
pub(crate) fn set(wanted: &[Neighbor], gone: &[Neighbor], deadline: Deadline) -> Result<()> {
    let there = proxies(deadline)?;
    let mut commands = String::new();
    let gone: Vec<&Neighbor> = gone.iter().filter(|gone| there.contains(gone)).collect();
    let new: Vec<&Neighbor> = wanted.iter().filter(|new| !there.contains(new)).collect();
    for (verb, neighbors) in [("delete", &gone), ("add", &new)] {
        for Neighbor { dev, address } in neighbors {
            // Writing to a String cannot fail.
            let _ = writeln!(commands, "neighbour {verb} proxy {address} dev {dev}");
        }
    }
    if commands.is_empty() {
        return Ok(());
    }
    run("ip", &["-batch", "-"], &commands, deadline)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use netlink_packet_route::neighbour::NeighbourHeader;

    #[test]
    fn a_neighbour_is_told_by_its_bridge_and_its_mac_address() {
        let mac: MacAddress = "52:54:00:00:50:31".parse().expect("a MAC address");
        let entry = |ifindex, state, octets: [u8; 6]| {
            let mut entry = NeighbourMessage::default();
            entry.header = NeighbourHeader {
                ifindex,
                state,
                ..NeighbourHeader::default()
            };
            let address = NeighbourAddress::Inet([192, 168, 50, 31].into());
            entry.attributes = vec![
                NeighbourAttribute::Destination(address),
                NeighbourAttribute::LinkLayerAddress(octets.to_vec()),
            ];
            entry
        };
        let own = mac.octets();
        let address = IpAddr::from([192, 168, 50, 31]);
        let stale = entry(7, NeighbourState::Stale, own);
        assert_eq!(answered(&stale, 7), Some((address, &own[..])));
        assert_eq!(answered(&stale, 8), None);
        assert_eq!(answered(&entry(7, NeighbourState::Failed, own), 7), None);
    }
}
