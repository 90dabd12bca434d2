//! One forward that can be had now: which packets it takes, and where it sends them.

use crate::claim::endpoint;
use crate::{Claim, Family, Owner, PortRange, Protocol};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Sends what comes for ports of the host to a guest. That such connections pass, and their answers, follows from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dnat {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The host's address; any local one except loopback when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The host's interface the packet must arrive by; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// Who may use it; everybody when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpNet>,
    /// The host's ports.
    pub ports: PortRange,
    /// The guest's address.
    pub guest: IpAddr,
    /// The guest's ports, as many as the host's.
    pub guest_ports: PortRange,
    /// Whether it is part of an address of the host that leads to the guest as a whole ([`crate::Rule::Address`]): its ports
    /// are the guest's own then, and it has no other restriction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole_address: bool,
}

/// A packet that comes to a port of the host, as far as it is known; what is not known may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToHost<'a> {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The port that it is sent to.
    pub port: u16,
    /// The host's address that it is sent to.
    pub address: Option<IpAddr>,
    /// Who sends it.
    pub source: Option<IpAddr>,
    /// The interface that it arrives by.
    pub arrives: Arrives<'a>,
}

/// By which interface a packet arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrives<'a> {
    /// That is not known.
    Somehow,
    /// By this one.
    By(&'a str),
    /// By none: the host itself sends it.
    FromHost,
}

impl ToHost<'_> {
    /// Whether it may be sent to this address of the host, any when absent.
    #[must_use]
    pub fn is_to(&self, own: Option<IpAddr>) -> bool {
        match (own, self.address) {
            (_, None) => true,
            (Some(own), Some(to)) => own == to,
            // Loopback has to be asked for.
            (None, Some(to)) => !to.is_loopback(),
        }
    }

    /// Whether it may come from this network, any when absent.
    #[must_use]
    pub fn is_from(&self, network: Option<IpNet>) -> bool {
        match (network, self.source) {
            (Some(network), Some(from)) => network.contains(&from),
            _ => true,
        }
    }
}

impl Dnat {
    /// Its family of addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::from(self.guest)
    }

    /// The host's ports that it holds.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim {
            protocol: self.protocol,
            family: Some(self.family()),
            address: self.address,
            dev: self.dev.clone(),
            source: self.source,
            ports: self.ports,
            is_whole_address: self.is_whole_address,
        }
    }

    /// It and whose it is, as the log tells it: `forward tcp 8080 -> web 192.168.122.10:80`.
    #[must_use]
    pub fn line(&self, owner: &Owner) -> String {
        let claim = self.claim();
        let host = endpoint(self.address, self.ports);
        let mut line = format!("forward {} {host}", claim.protocol);
        if let Some(dev) = &self.dev {
            line += &format!(" on {dev}");
        }
        if let Some(source) = self.source {
            line += &format!(" from {source}");
        }
        let guest = endpoint(Some(self.guest), self.guest_ports);
        line + &format!(" -> {} {guest}", owner.short())
    }

    /// The guest's port that it sends a packet to; nothing when it does not take it.
    #[must_use]
    pub fn takes(&self, packet: &ToHost<'_>) -> Option<u16> {
        let is_dev = match (&self.dev, packet.arrives) {
            (None, _) | (_, Arrives::Somehow) => true,
            (Some(own), Arrives::By(dev)) => own == dev,
            (Some(_), Arrives::FromHost) => false,
        };
        let known = packet.address.or(packet.source);
        let is_family = known.is_none_or(|address| Family::from(address) == self.family());
        let fits = self.protocol == packet.protocol
            && packet.is_to(self.address)
            && packet.is_from(self.source)
            && is_dev
            && is_family;
        let mut pairs = self.ports.zip(self.guest_ports).filter(|_| fits);
        let (_, port) = pairs.find(|(host, _)| *host == packet.port)?;
        Some(port)
    }
}

impl fmt::Display for Dnat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim().fmt(formatter)?;
        if let Some(source) = self.source {
            write!(formatter, " from {source}")?;
        }
        write!(formatter, " to {} port {}", self.guest, self.guest_ports)
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    fn dnat() -> Dnat {
        Dnat {
            protocol: Protocol::Tcp,
            address: None,
            dev: Some("eth0".to_owned()),
            source: Some("198.51.100.0/24".parse().expect("a network")),
            ports: PortRange::new(8000, 8009).expect("ports"),
            guest: [192, 168, 122, 10].into(),
            guest_ports: PortRange::new(80, 89).expect("ports"),
            is_whole_address: false,
        }
    }

    fn packet() -> ToHost<'static> {
        ToHost {
            protocol: Protocol::Tcp,
            port: 8003,
            address: Some([203, 0, 113, 1].into()),
            source: Some([198, 51, 100, 7].into()),
            arrives: Arrives::By("eth0"),
        }
    }

    #[test]
    fn a_packet_is_taken_when_all_that_is_known_fits() {
        let dnat = dnat();
        assert_eq!(dnat.takes(&packet()), Some(83));
        let unknown = ToHost {
            address: None,
            source: None,
            arrives: Arrives::Somehow,
            ..packet()
        };
        assert_eq!(dnat.takes(&unknown), Some(83));
        let v6 = Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
        for other in [
            ToHost {
                protocol: Protocol::Udp,
                ..packet()
            },
            ToHost {
                port: 8010,
                ..packet()
            },
            ToHost {
                address: Some([127, 0, 0, 1].into()),
                ..packet()
            },
            ToHost {
                source: Some([198, 51, 101, 7].into()),
                ..packet()
            },
            ToHost {
                arrives: Arrives::By("eth1"),
                ..packet()
            },
            ToHost {
                arrives: Arrives::FromHost,
                ..packet()
            },
            ToHost {
                address: v6,
                source: None,
                ..packet()
            },
            ToHost {
                address: None,
                source: v6,
                ..packet()
            },
        ] {
            assert_eq!(dnat.takes(&other), None, "{other:?}");
        }
    }

    #[test]
    fn an_address_that_was_asked_for_is_taken_and_no_other() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let dnat = Dnat {
            address: Some(loopback),
            dev: None,
            source: None,
            ..dnat()
        };
        let to = |address| {
            dnat.takes(&ToHost {
                address: Some(address),
                ..packet()
            })
        };
        assert_eq!(to(loopback), Some(83));
        assert_eq!(to([203, 0, 113, 1].into()), None);
        let from_host = ToHost {
            address: Some(loopback),
            arrives: Arrives::FromHost,
            ..packet()
        };
        assert_eq!(dnat.takes(&from_host), Some(83));
    }
}
