//! A port of the host as it is written on the command line: `[ADDRESS:]PORT[/PROTOCOL]`.

use portero_model::{PortError, PortRange, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// The host's address; any when absent.
    pub(crate) address: Option<IpAddr>,
    /// The port.
    pub(crate) port: u16,
    /// tcp when it is not written.
    pub(crate) protocol: Protocol,
}

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostPortError {
    /// An address that is none.
    #[error("'{found}' is not an {expected} address")]
    Address {
        /// What was given.
        found: String,
        /// The family, as it is written.
        expected: &'static str,
    },
    /// An IPv6 address without brackets, or brackets without an end.
    #[error("expected [ADDRESS:]PORT[/tcp|udp|sctp], an IPv6 address in brackets")]
    Form,
    /// A protocol or a port is not one.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (text, protocol) = match text.split_once('/') {
            Some((text, protocol)) => (text, protocol.parse()?),
            None => (text, Protocol::Tcp),
        };
        let (address, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, port) = bracketed.split_once("]:").ok_or(HostPortError::Form)?;
                (Some(of_family::<Ipv6Addr>(address, "IPv6")?), port)
            }
            None => match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => return Err(HostPortError::Form),
                Some((address, port)) => (Some(of_family::<Ipv4Addr>(address, "IPv4")?), port),
                None => (None, text),
            },
        };
        Ok(Self {
            address,
            port: PortRange::port(port)?,
            protocol,
        })
    }
}

fn of_family<T>(text: &str, expected: &'static str) -> Result<IpAddr, HostPortError>
where
    T: FromStr + Into<IpAddr>,
{
    text.parse::<T>()
        .map(Into::into)
        .map_err(|_| HostPortError::Address {
            found: text.escape_debug().to_string(),
            expected,
        })
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
