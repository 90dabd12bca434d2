//! A port of the host as it is written on the command line, `[ADDRESS:]PORT[/PROTOCOL]`, and what it has in common
//! with a forward.

use portero_model::{PortError, PortRange, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// The host's address; any when absent.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    /// tcp when it is not written.
    pub(crate) protocol: Protocol,
}

/// Why a text is no port or forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortTextError {
    /// A part is missing, or there is too much.
    #[error("expected {expected} in brackets")]
    Form {
        /// The form up to its IPv6 address.
        expected: &'static str,
    },
    /// An address that is none.
    #[error("'{found}' is not an {expected} address")]
    Address {
        /// What was given.
        found: String,
        /// The family, as it is written.
        expected: &'static str,
    },
    /// A protocol or a port is not one.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The guest's ports are not as many as the host's.
    #[error("{} and {}, expected as many", count(*.host), count(*.given))]
    Unequal {
        /// The host's ports.
        host: PortRange,
        /// The guest's.
        given: PortRange,
    },
    /// The guest's ports would pass the last.
    #[error("ports {host} mapped to {to} pass 65535, expected them all to fit")]
    TooHigh {
        /// The host's ports.
        host: PortRange,
        /// The guest's first port.
        to: u16,
    },
}

fn count(ports: PortRange) -> String {
    match ports.count() {
        1 => format!("{ports} is 1 port"),
        count => format!("{ports} are {count} ports"),
    }
}

/// A port of any machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// tcp when it is not written.
    pub(crate) protocol: Protocol,
}

impl FromStr for Destination {
    type Err = PortTextError;

    fn from_str(text: &str) -> Result<Self, PortTextError> {
        let HostPort {
            address,
            port,
            protocol,
        } = text.parse()?;
        let address = address.ok_or(PortTextError::Form {
            expected: "ADDRESS:PORT[/tcp|udp|sctp], an IPv6 address",
        })?;
        Ok(Self {
            address,
            port,
            protocol,
        })
    }
}

const FORM: PortTextError = PortTextError::Form {
    expected: "[ADDRESS:]PORT[/tcp|udp|sctp], an IPv6 address",
};

impl FromStr for HostPort {
    type Err = PortTextError;

    fn from_str(text: &str) -> Result<Self, PortTextError> {
        let (text, protocol) = split_protocol(text)?;
        let (address, port) = match text.split_once(':') {
            _ if text.starts_with('[') => split_address(text, FORM)?,
            Some((_, rest)) if rest.contains(':') => return Err(FORM),
            Some(_) => split_address(text, FORM)?,
            None => (None, text),
        };
        Ok(Self {
            address,
            port: PortRange::port(port)?,
            protocol,
        })
    }
}

/// What stands before a protocol, and the protocol.
pub(crate) fn split_protocol(text: &str) -> Result<(&str, Protocol), PortTextError> {
    match text.split_once('/') {
        Some((text, protocol)) => Ok((text, protocol.parse()?)),
        None => Ok((text, Protocol::Tcp)),
    }
}

/// The address that a text begins with, and what follows after a colon.
pub(crate) fn split_address(
    text: &str,
    form: PortTextError,
) -> Result<(Option<IpAddr>, &str), PortTextError> {
    let (found, rest, expected) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:").map(|(a, b)| (a, b, "IPv6")),
        None => text.split_once(':').map(|(a, b)| (a, b, "IPv4")),
    }
    .ok_or(form)?;
    let address = match expected {
        "IPv6" => found.parse::<Ipv6Addr>().map(IpAddr::from),
        _ => found.parse::<Ipv4Addr>().map(IpAddr::from),
    };
    let found = found.escape_debug().to_string();
    let address = address.map_err(|_| PortTextError::Address { found, expected })?;
    Ok((Some(address), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> Result<(Option<String>, u16, Protocol), String> {
        let parsed: Result<HostPort, _> = text.parse();
        parsed
            .map(|it| (it.address.map(|one| one.to_string()), it.port, it.protocol))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_is_read() {
        assert_eq!(port("8080"), Ok((None, 8080, Protocol::Tcp)));
        let v4 = Some("192.0.2.1".to_owned());
        assert_eq!(port("192.0.2.1:53/udp"), Ok((v4, 53, Protocol::Udp)));
        let v6 = Some("2001:db8::1".to_owned());
        assert_eq!(port("[2001:db8::1]:80"), Ok((v6, 80, Protocol::Tcp)));
    }

    #[test]
    fn what_is_no_port_is_said() {
        let bad = [
            "",
            "0",
            "65536",
            "a:80",
            "[::1:80",
            "::1:80",
            "80/icmp",
            "[192.0.2.1]:80",
        ];
        for text in bad {
            assert!(port(text).is_err(), "{text}");
        }
        assert_eq!(port("a:80"), Err("'a' is not an IPv4 address".to_owned()));
    }
}
