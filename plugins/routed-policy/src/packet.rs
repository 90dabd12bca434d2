//! A packet that opens a connection, as the host sees it.

use std::net::IpAddr;

/// A packet that opens a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// What for.
    pub protocol: Protocol,
    /// Whether it was sent to where it goes.
    pub path: PacketPath,
    /// Whether the host passes packets of the family on.
    pub routing: Routing,
}

/// How a packet came by its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketPath {
    /// It was sent there.
    Direct,
    /// It was sent to the host, which forwards that port.
    Forwarded,
}

/// Whether the host is a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// It passes packets on.
    On,
    /// It does not.
    Off,
}

/// Where an end is, seen from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// It is the host itself.
    Host,
    /// Behind an interface of the host's.
    Behind(String),
    /// No route leads there.
    Nowhere,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// Where it is.
    pub at: At,
    /// Its MAC address in lower case, if that is known.
    pub mac: Option<String>,
}

impl End {
    /// The host's interface that it is behind.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match &self.at {
            At::Behind(interface) => Some(interface),
            At::Host | At::Nowhere => None,
        }
    }
}

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A port of the destination.
    Port(portero_model::Protocol, u16),
    /// ICMP or ICMPv6 by the family of the addresses: type and code.
    Icmp(u8, u8),
    /// Another.
    Other,
}
