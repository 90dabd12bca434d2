//! A forward as it is written on the command line: `[ADDRESS:]HOSTPORT[-END]:GUESTPORT[/PROTOCOL]`.

use crate::host_port::{split_address, split_protocol, PortTextError};
use portero_model::{PortRange, Protocol};
use portero_port_forward::Mapping;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Ports of the host and where in the guest they lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The host's address; any when absent.
    pub(crate) address: Option<IpAddr>,
    /// The ports.
    pub(crate) mapping: Mapping,
    /// tcp when it is not written.
    pub(crate) protocol: Protocol,
}

const FORM: PortTextError = PortTextError::Form {
    expected: "[ADDRESS:]HOSTPORT[-END]:GUESTPORT[/tcp|udp|sctp], IPv6 addresses",
};

impl FromStr for Spec {
    type Err = PortTextError;

    fn from_str(text: &str) -> Result<Self, PortTextError> {
        let (text, protocol) = split_protocol(text)?;
        let has_address = text.starts_with('[') || text.matches(':').count() > 1;
        let (address, ports) = match has_address {
            true => split_address(text, FORM)?,
            false => (None, text),
        };
        let (host, to) = ports.split_once(':').ok_or(FORM)?;
        if to.contains(':') {
            return Err(FORM);
        }
        let host: PortRange = host.parse()?;
        let to = PortRange::port(to)?;
        let guest = host.moved_to(to);
        let guest = guest.ok_or(PortTextError::TooHigh { host, to })?;
        Ok(Self {
            address,
            mapping: Mapping { host, guest },
            protocol,
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(formatter, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:")?,
            None => {}
        }
        let Mapping { host, guest } = self.mapping;
        write!(formatter, "{host}:{}/{}", guest.start(), self.protocol)
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::Spec;
    use portero_model::{PortRange, Protocol};
    use portero_port_forward::Mapping;
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
        ] {
            assert_eq!(written(text), Ok(whole.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "expected [ADDRESS:]HOSTPORT"),
            ("8080", "expected [ADDRESS:]HOSTPORT"),
            ("8080/tcp", "expected [ADDRESS:]HOSTPORT"),
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
            ("8080:80-90", "'80-90' is not a port"),
            ("1-9:65530", "pass 65535"),
            ("8080:80/icmp", "protocol 'icmp' is not known"),
            ("8080:80/TCP", "protocol 'TCP' is not known"),
            ("8080:80/tcp/udp", "protocol 'tcp/udp' is not known"),
        ] {
            let error = written(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
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
        (address, any::<(u16, u16)>(), any::<u16>(), protocol).prop_filter_map(
            "ports that fit",
            |(address, (start, end), to, protocol)| {
                let host = PortRange::new(start, end).ok()?;
                let guest = host.moved_to(to)?;
                let mapping = Mapping { host, guest };
                Some(Spec {
                    address,
                    mapping,
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
