//! Asks a bridge who has an address, and hears who answers: ARP (RFC 826) for IPv4; for IPv6 the
//! kernel's own neighbour discovery, which has just been used.

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    bind, recv, sendto, setsockopt, socket, sockopt, AddressFamily, LinkAddr, MsgFlags, SockFlag,
    SockProtocol, SockType,
};
use nix::sys::time::TimeVal;
use portero_system::programs::read;
use portero_system::Deadline;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Longest wait for an answer: a guest's kernel takes a millisecond, an emulated one some more.
const LIMIT: Duration = Duration::from_millis(3000);

/// How long another one may take after the first.
const OTHERS: Duration = Duration::from_millis(150);

/// Pause before the question is repeated.
const AGAIN: Duration = Duration::from_millis(400);

/// Longest wait before the clock is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Asks on an interface who has an address; gives the MAC addresses of those who answer, in lower case and in the
/// order of their answers, or nothing when it could not be asked. `own` is the host's address there.
#[must_use]
pub fn who_has(address: IpAddr, own: IpAddr, dev: &str) -> Option<Vec<String>> {
    match (address, own) {
        (IpAddr::V4(address), IpAddr::V4(own)) => ask_arp(address, own, dev).ok(),
        (IpAddr::V4(address), _) => ask_arp(address, Ipv4Addr::UNSPECIFIED, dev).ok(),
        (IpAddr::V6(address), _) => read_neighbours(address, dev),
    }
}

/// Ethernet types, and the parts of an ARP packet for IPv4 over Ethernet: hardware 1, protocol 0800,
/// lengths 6 and 4, then the operation.
const ARP: [u8; 2] = [0x08, 0x06];
const HEAD: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

fn request(mac: [u8; 6], own: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &mac, &ARP, &HEAD, &REQUEST, &mac].concat();
    frame.extend(own.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// The MAC address in a frame that is an answer for the address.
fn answer(frame: &[u8], address: Ipv4Addr) -> Option<String> {
    let is_answer = frame.get(12..14) == Some(&ARP)
        && frame.get(14..20) == Some(&HEAD)
        && frame.get(20..22) == Some(&REPLY)
        && frame.get(28..32) == Some(&address.octets());
    let mac = frame.get(22..28).filter(|_| is_answer)?;
    let octets: Vec<String> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    Some(octets.join(":"))
}

fn ask_arp(address: Ipv4Addr, own: Ipv4Addr, dev: &str) -> nix::Result<Vec<String>> {
    let mut interfaces = getifaddrs()?.filter(|one| one.interface_name == dev);
    let link: LinkAddr = interfaces
        .find_map(|one| one.address?.as_link_addr().copied())
        .ok_or(Errno::ENODEV)?;
    let mac = link.addr().ok_or(Errno::ENODEV)?;
    let kind = (AddressFamily::Packet, SockType::Raw);
    let socket = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    bind(socket.as_raw_fd(), &link)?;
    let glance = TimeVal::new(0, i64::from(GLANCE.subsec_micros()));
    setsockopt(&socket, sockopt::ReceiveTimeout, &glance)?;
    let question = request(mac, own, address);
    let mut end = Instant::now() + LIMIT;
    let mut next = Instant::now();
    let mut macs: Vec<String> = Vec::new();
    let mut buffer = [0; 2048];
    while Instant::now() < end {
        if macs.is_empty() && Instant::now() >= next {
            sendto(socket.as_raw_fd(), &question, &link, MsgFlags::empty())?;
            next += AGAIN;
        }
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
        };
        if let Some(mac) = answer(&buffer[..length], address) {
            if macs.is_empty() {
                end = Instant::now() + OTHERS;
            }
            if !macs.contains(&mac) {
                macs.push(mac);
            }
        }
    }
    Ok(macs)
}

#[derive(Deserialize)]
struct NeighbourEntry {
    lladdr: Option<String>,
    #[serde(default)]
    state: Vec<String>,
}

fn read_neighbours(address: Ipv6Addr, dev: &str) -> Option<Vec<String>> {
    let address = address.to_string();
    let words = ["-j", "neighbour", "show", "to", &address, "dev", dev];
    let listing = read("ip", &words, Deadline::after(LIMIT)).ok()?;
    if listing.is_empty() {
        return Some(Vec::new());
    }
    let mut neighbours: Vec<NeighbourEntry> = serde_json::from_slice(&listing).ok()?;
    let failed = |state: &String| ["FAILED", "INCOMPLETE"].contains(&state.as_str());
    neighbours.retain(|one| !one.state.iter().any(failed));
    Some(neighbours.into_iter().flat_map(|one| one.lladdr).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_address() {
        let (own, guest) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9));
        let mac = [0x52, 0x54, 0, 0, 0, 9];
        let mut frame = request(mac, guest, own);
        assert_eq!(frame.len(), 42);
        assert_eq!(answer(&frame, guest), None);
        frame[21] = 2;
        assert_eq!(answer(&frame, guest).as_deref(), Some("52:54:00:00:00:09"));
        assert_eq!(answer(&frame, own), None);
        assert_eq!(answer(&frame[..30], guest), None);
    }
}
