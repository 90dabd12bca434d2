//! A packet as a firewall sees it.

use portero_model::Family;
use portero_routed_policy::{Packet, Protocol};
use std::net::IpAddr;

/// What connection tracking says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It opens one.
    New,
    /// It is a reply in one.
    Reply,
    /// It belongs to another one: an error of ICMP.
    Related,
    /// It opens one that was sent to its destination by a forward.
    Forwarded,
}

/// A packet at the hooks where policies are.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) packet: Packet,
    pub(crate) connection: Connection,
}

impl Seen {
    pub(crate) fn family(&self) -> Family {
        Family::from(self.packet.from.address)
    }

    /// The hook that it passes, in the words of nft.
    pub(crate) fn hook(&self) -> &'static str {
        match (self.packet.from.interface(), self.packet.to.interface()) {
            (_, None) => "input",
            (None, _) => "output",
            _ => "forward",
        }
    }

    /// The interface that it came by; nothing where there is none.
    pub(crate) fn arrives_by(&self) -> Option<&str> {
        self.packet.from.interface()
    }

    pub(crate) fn leaves_by(&self) -> Option<&str> {
        self.packet.to.interface()
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.packet.from.address
    }

    pub(crate) fn destination(&self) -> IpAddr {
        self.packet.to.address
    }

    pub(crate) fn mac(&self) -> Option<&str> {
        self.packet.from.mac.as_deref()
    }

    /// The number of its protocol.
    pub(crate) fn protocol(&self) -> u8 {
        match (self.packet.protocol, self.family()) {
            (Protocol::Port(protocol, _), _) => protocol.number(),
            (Protocol::Icmp(..), Family::Ipv4) => 1,
            (Protocol::Icmp(..), Family::Ipv6) => 58,
            (Protocol::Other, _) => 47,
        }
    }

    /// The port of its destination, if that has one.
    pub(crate) fn port(&self) -> Option<u16> {
        match self.packet.protocol {
            Protocol::Port(_, port) => Some(port),
            _ => None,
        }
    }

    /// Type and code, if it is one of ICMP or ICMPv6.
    pub(crate) fn icmp(&self) -> Option<(u8, u8)> {
        match self.packet.protocol {
            Protocol::Icmp(kind, code) => Some((kind, code)),
            _ => None,
        }
    }
}
