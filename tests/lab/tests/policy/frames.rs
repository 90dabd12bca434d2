//! Ethernet frames that a guest may try.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A MAC address.
pub type Mac = [u8; 6];

/// Everybody.
pub const BROADCAST: Mac = [0xff; 6];

/// All IPv6 nodes.
const NODES: (Mac, Ipv6Addr) = (
    [0x33, 0x33, 0, 0, 0, 1],
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
);

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// The least that Ethernet carries.
const SHORTEST: usize = 46;

/// An Ethernet frame.
pub fn ethernet(from: Mac, to: Mac, kind: u16, content: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &kind.to_be_bytes(), content].concat();
    frame.resize(frame.len().max(14 + SHORTEST), 0);
    frame
}

/// A frame with priority tags (VLAN 0) put around its content, which receivers take off again.
pub fn tagged(frame: &[u8], tags: usize) -> Vec<u8> {
    let tag = [&VLAN.to_be_bytes()[..], &[0, 0]].concat();
    [&frame[..12], &tag.repeat(tags), &frame[12..]].concat()
}

/// A frame whose content is in LLC with SNAP, as IEEE 802.3 has it.
pub fn snapped(frame: &[u8]) -> Vec<u8> {
    let content = [&[0xaa, 0xaa, 3, 0, 0, 0], &frame[12..]].concat();
    let length = u16::try_from(content.len()).expect("a short frame");
    [&frame[..12], &length.to_be_bytes(), &content].concat()
}

/// One end of a datagram.
#[derive(Debug, Clone, Copy)]
pub struct End<A> {
    pub mac: Mac,
    pub address: A,
    pub port: u16,
}

/// The sum of RFC 1071.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        odd => u32::from(odd[0]) << 8,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn length_of(content: &[u8]) -> [u8; 2] {
    let length = u16::try_from(content.len()).expect("a short packet");
    length.to_be_bytes()
}

fn datagram(from: u16, to: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + content.len()).expect("a short datagram");
    let header = [from, to, length, 0].map(u16::to_be_bytes).concat();
    [&header, content].concat()
}

/// A UDP datagram in IPv4, without a checksum of its own.
pub fn udp4(from: End<Ipv4Addr>, to: End<Ipv4Addr>, content: &[u8]) -> Vec<u8> {
    let datagram = datagram(from.port, to.port, content);
    let length = u16::try_from(20 + datagram.len()).expect("a short packet");
    let mut header = [0x45, 0, 0, 0, 0, 1, 0, 0, 64, UDP, 0, 0].to_vec();
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header.extend(from.address.octets());
    header.extend(to.address.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    ethernet(from.mac, to.mac, IPV4, &[header, datagram].concat())
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, content: &[u8]) -> Vec<u8> {
    let length = length_of(content);
    let begin = [0x60, 0, 0, 0, length[0], length[1], next, hops];
    [&begin[..], &from.octets(), &to.octets(), content].concat()
}

/// Fills in a checksum at an offset of what IPv6 carries.
fn sum_up(from: Ipv6Addr, to: Ipv6Addr, next: u8, content: &mut [u8], at: usize) {
    let length = length_of(content);
    let pseudo = [0, 0, length[0], length[1], 0, 0, 0, next];
    let sum = checksum(&[&from.octets(), &to.octets(), &pseudo, content]);
    content[at..at + 2].copy_from_slice(&sum);
}

/// A UDP datagram in IPv6.
pub fn udp6(from: End<Ipv6Addr>, to: End<Ipv6Addr>, content: &[u8]) -> Vec<u8> {
    let mut datagram = datagram(from.port, to.port, content);
    sum_up(from.address, to.address, UDP, &mut datagram, 6);
    let packet = ipv6(from.address, to.address, UDP, 64, &datagram);
    ethernet(from.mac, to.mac, IPV6, &packet)
}

/// An ARP reply by `from` to everybody, that says where an address is.
pub fn arp(from: Mac, says: Mac, address: Ipv4Addr, mark: &[u8]) -> Vec<u8> {
    let begin = [0, 1, 8, 0, 6, 4, 0, 2];
    let sender = [&says[..], &address.octets()].concat();
    let target = [&BROADCAST[..], &address.octets()].concat();
    // What follows is padding for whoever reads ARP.
    let packet = [&begin[..], &sender, &target, mark].concat();
    ethernet(from, BROADCAST, ARP, &packet)
}

/// A router advertisement (RFC 4861, section 4.2) for a prefix of 64 bits, autonomous and for an hour,
/// with a mark in an option that nobody knows.
pub fn advertisement(from: Mac, router: Ipv6Addr, prefix: Ipv6Addr, mark: &[u8]) -> Vec<u8> {
    let hour = 3600_u32.to_be_bytes();
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0]);
    message.extend([hour, hour, [0; 4]].concat());
    message.extend(prefix.octets());
    // A multiple of eight octets with the two of type and length.
    let eighths = (2 + mark.len()).div_ceil(8);
    message.extend([253, u8::try_from(eighths).expect("a short mark")]);
    message.extend(mark);
    message.resize(message.len() + eighths * 8 - 2 - mark.len(), 0);
    sum_up(router, NODES.1, ICMPV6, &mut message, 2);
    let packet = ipv6(router, NODES.1, ICMPV6, 255, &message);
    ethernet(from, NODES.0, IPV6, &packet)
}

/// A frame as the agent reads it.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
