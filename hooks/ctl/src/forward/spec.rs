//! A forward as it is written on the command line: `[ADDRESS:]HOSTPORT[-END][:GUESTPORT[-END]][/PROTOCOL]`, or an IPv4 address
//! alone, all of which leads to the guest.

use crate::host_port::{split_address, split_protocol, PortTextError};
use portero_model::{PortRange, Protocol};
use portero_port_forward::{Forward, Mapping};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Ports of the host and where in the guest they lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The host's address; any when absent.
    pub(crate) address: Option<IpAddr>,
    /// The host's ports.
    pub(crate) host: PortRange,
    /// The guest's, as many; the same when absent, and any where a forward is looked for.
    pub(crate) guest: Option<PortRange>,
    /// tcp when it is not written.
    pub(crate) protocol: Protocol,
}

const FORM: PortTextError = PortTextError::Form {
    expected: "[ADDRESS:]HOSTPORT[-END][:GUESTPORT[-END]][/tcp|udp|sctp], IPv6 addresses",
};

impl Spec {
    /// Some ports of a forward.
    pub(crate) fn of(forward: &Forward, mapping: Mapping) -> Self {
        Self {
            address: forward.address,
            host: mapping.host,
            guest: Some(mapping.guest),
            protocol: forward.protocol,
        }
    }

    /// With the guest's ports, as they are written.
    pub(crate) fn written(&self) -> Self {
        Self {
            guest: Some(self.mapping().guest),
            ..*self
        }
    }

    /// Which ports lead where.
    pub(crate) fn mapping(&self) -> Mapping {
        Mapping {
            host: self.host,
            guest: self.guest.unwrap_or(self.host),
        }
    }
}

/// What leads to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Ports.
    Ports(Spec),
    /// All of an address of the host, but for what is excluded.
    Address(Ipv4Addr),
}

impl Target {
    /// With the guest's ports, as they are written.
    pub(crate) fn written(self) -> Self {
        match self {
            Self::Ports(spec) => Self::Ports(spec.written()),
            Self::Address(address) => Self::Address(address),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports(spec) => spec.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// What one argument names: an address, or ports for one protocol or several, `8080:80/tcp,udp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Targets(pub(crate) Vec<Target>);

impl FromStr for Targets {
    type Err = PortTextError;

    fn from_str(text: &str) -> Result<Self, PortTextError> {
        if let Ok(address) = text.parse() {
            return Ok(Self(vec![Target::Address(address)]));
        }
        let (ports, protocols) = split_protocols(text)?;
        let specs = protocols
            .into_iter()
            .map(|protocol| Spec::read(ports, protocol));
        let targets = specs.map(|spec| spec.map(Target::Ports));
        targets.collect::<Result<_, _>>().map(Self)
    }
}

/// Ports of a whole address that do not lead to the guest: `22` or `5000-5010/tcp,udp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excluded {
    /// The host's ports.
    pub(crate) ports: PortRange,
    /// tcp when none is written.
    pub(crate) protocols: Vec<Protocol>,
}

impl FromStr for Excluded {
    type Err = PortTextError;

    fn from_str(text: &str) -> Result<Self, PortTextError> {
        let (ports, protocols) = split_protocols(text)?;
        let ports = ports.parse()?;
        Ok(Self { ports, protocols })
    }
}

/// What stands before the protocols, and these: tcp when none is written.
fn split_protocols(text: &str) -> Result<(&str, Vec<Protocol>), PortTextError> {
    let (ports, protocols) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocols = protocols.split(',').map(|one| Ok(one.parse()?));
    Ok((ports, protocols.collect::<Result<_, PortTextError>>()?))
}

impl FromStr for Spec {
    type Err = PortTextError;

    fn from_str(text: &str) -> Result<Self, PortTextError> {
        let (text, protocol) = split_protocol(text)?;
        Self::read(text, protocol)
    }
}

impl Spec {
    /// Reads what stands before a protocol.
    fn read(text: &str, protocol: Protocol) -> Result<Self, PortTextError> {
        let is_address = |first: &str| first.starts_with('[') || first.contains('.');
        let has_address =
            text.matches(':').count() > 1 || text.split(':').next().is_some_and(is_address);
        let (address, ports) = match has_address {
            true => split_address(text, FORM)?,
            false => (None, text),
        };
        let (host, to) = match ports.split_once(':') {
            Some((_, to)) if to.contains(':') => return Err(FORM),
            Some((host, to)) => (host, Some(to)),
            None if ports.is_empty() => return Err(FORM),
            None => (ports, None),
        };
        let host: PortRange = host.parse()?;
        let guest = to.map(|to| guest_ports(host, to)).transpose()?;
        Ok(Self {
            address,
            host,
            guest,
            protocol,
        })
    }
}

/// The guest's ports: the first of them, or all, which are as many as the host's.
fn guest_ports(host: PortRange, text: &str) -> Result<PortRange, PortTextError> {
    let given: PortRange = text.parse()?;
    let to = given.start();
    let guest = host.moved_to(to);
    let guest = guest.ok_or(PortTextError::TooHigh { host, to })?;
    match given.is_single() || given == guest {
        true => Ok(guest),
        false => Err(PortTextError::Unequal { host, given }),
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(formatter, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:")?,
            None => {}
        }
        let Self {
            host,
            guest,
            protocol,
            ..
        } = self;
        match guest {
            Some(guest) => write!(formatter, "{host}:{}/{protocol}", guest.start()),
            None => write!(formatter, "{host}/{protocol}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Excluded, Spec, Target, Targets};
    use portero_model::{PortRange, Protocol};
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn written(text: &str) -> Result<String, String> {
        let spec: Result<Spec, _> = text.parse();
        spec.map(|spec| spec.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_may_be_left_out_has_its_default() {
        for (text, whole) in [
            ("8080:80", "8080:80/tcp"),
            ("8080-8080:80/udp", "8080:80/udp"),
            ("2000-2020:3000/sctp", "2000-2020:3000/sctp"),
            ("203.0.113.1:8080:80", "203.0.113.1:8080:80/tcp"),
            (
                "[2001:DB8::1]:8080-8090:80/tcp",
                "[2001:db8::1]:8080-8090:80/tcp",
            ),
            ("1-65535:1", "1-65535:1/tcp"),
            ("443", "443/tcp"),
            ("53/udp", "53/udp"),
            ("8000-8010", "8000-8010/tcp"),
            ("9000-9010:9000-9010", "9000-9010:9000/tcp"),
            ("203.0.113.1:443", "203.0.113.1:443/tcp"),
            ("[2001:db8::1]:53/udp", "[2001:db8::1]:53/udp"),
        ] {
            assert_eq!(written(text), Ok(whole.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "expected [ADDRESS:]HOSTPORT"),
            ("/tcp", "expected [ADDRESS:]HOSTPORT"),
            ("[2001:db8::1]", "expected [ADDRESS:]HOSTPORT"),
            ("203.0.113.1", "expected [ADDRESS:]HOSTPORT"),
            ("[2001:db8::1]8080:80", "expected [ADDRESS:]HOSTPORT"),
            ("203.0.113.1:8080:80:81", "expected [ADDRESS:]HOSTPORT"),
            ("[::1]:8080:80:81", "expected [ADDRESS:]HOSTPORT"),
            ("2001:db8::1:8080:80", "'2001' is not an IPv4 address"),
            ("web:8080:80", "'web' is not an IPv4 address"),
            (
                "[203.0.113.1]:8080:80",
                "'203.0.113.1' is not an IPv6 address",
            ),
            ("[fe80::1%eth0]:1:1", "is not an IPv6 address"),
            ("0:80", "'0' is not a port"),
            ("8080:0", "'0' is not a port"),
            ("8080:", "'' is not a port"),
            (":80", "'' is not a port"),
            ("+80:80", "'+80' is not a port"),
            ("80-70:80", "before its start"),
            ("80-90-99:80", "'90-99' is not a port"),
            (
                "8080:80-90",
                "8080 is 1 port and 80-90 are 11 ports, expected as many",
            ),
            (
                "8080-8089:80-90",
                "8080-8089 are 10 ports and 80-90 are 11 ports, expected as many",
            ),
            ("1-9:65530", "pass 65535"),
            ("8080:80/icmp", "protocol 'icmp' is not known"),
            ("8080:80/TCP", "protocol 'TCP' is not known"),
            ("8080:80/tcp/udp", "protocol 'tcp/udp' is not known"),
        ] {
            let error = written(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn several_protocols_are_several_forwards() {
        let specs = |text: &str| -> Vec<String> {
            let targets: Targets = text.parse().expect(text);
            targets.0.iter().map(ToString::to_string).collect()
        };
        assert_eq!(specs("8080:80/tcp,udp"), ["8080:80/tcp", "8080:80/udp"]);
        assert_eq!(specs("443"), ["443/tcp"]);
        for text in ["53/", "53/tcp,", "53/tcp,icmp", "53/tcp, udp"] {
            assert!(text.parse::<Targets>().is_err(), "{text}");
            assert!(text.parse::<Excluded>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_alone_is_all_of_it() {
        let targets: Targets = "203.0.113.5".parse().expect("an address");
        assert_eq!(targets.0, [Target::Address([203, 0, 113, 5].into())]);
        for text in [
            "203.0.113.5/tcp",
            "2001:db8::1",
            "203.0.113",
            "203.0.113.5:",
        ] {
            assert!(text.parse::<Targets>().is_err(), "{text}");
        }
        let excluded: Excluded = "5000-5010/tcp,udp".parse().expect("ports");
        assert_eq!(excluded.ports, PortRange::new(5000, 5010).expect("ports"));
        assert_eq!(excluded.protocols, [Protocol::Tcp, Protocol::Udp]);
    }

    fn spec() -> impl Strategy<Value = Spec> {
        let address = prop_oneof![
            Just(None),
            any::<[u8; 4]>().prop_map(|octets| Some(IpAddr::from(octets))),
            any::<[u8; 16]>().prop_map(|octets| Some(IpAddr::from(octets))),
        ];
        let protocol = prop_oneof![
            Just(Protocol::Tcp),
            Just(Protocol::Udp),
            Just(Protocol::Sctp)
        ];
        (address, any::<(u16, u16)>(), any::<Option<u16>>(), protocol).prop_filter_map(
            "ports that fit",
            |(address, (start, end), to, protocol)| {
                let host = PortRange::new(start, end).ok()?;
                let guest = match to {
                    Some(to) => Some(host.moved_to(to)?),
                    None => None,
                };
                Some(Spec {
                    address,
                    host,
                    guest,
                    protocol,
                })
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(spec in spec()) {
            prop_assert_eq!(spec.to_string().parse(), Ok(spec));
        }

        #[test]
        fn nothing_that_is_read_is_written_otherwise_twice(text in r"[\[\]0-9a-f:./-]{0,30}(/(tcp|udp))?") {
            if let Ok(spec) = text.parse::<Spec>() {
                prop_assert_eq!(spec.to_string().parse(), Ok(spec));
            }
        }
    }
}
