//! What forwards may claim: the `[limits]` of /etc/portero/portero.toml.

use crate::grammar::network;
use crate::{Forward, ForwardError};
use ipnet::IpNet;
use portero_plan::{Origin, PortRange};
use serde::de::{self, Deserializer};
use serde::Deserialize;
use std::net::IpAddr;

/// Limits on what metadata may claim. Files in /etc/portero are the administrator's own and are
/// held to none but `listening`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Host ports, as `8080` or `"1024-65535"`.
    #[serde(deserialize_with = "ranges")]
    pub ports: Vec<PortRange>,
    /// Host addresses, as `"203.0.113.1"` or `"203.0.113.0/24"`. When this is not everything, a
    /// forward in metadata has to name its address.
    #[serde(deserialize_with = "networks")]
    pub addresses: Vec<IpNet>,
    /// Host ports that may be taken although the host itself listens on them.
    #[serde(deserialize_with = "ranges")]
    pub listening: Vec<PortRange>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ports: vec![PortRange::ALL],
            addresses: everything(),
            listening: Vec::new(),
        }
    }
}

fn everything() -> Vec<IpNet> {
    vec![
        IpNet::new_assert(IpAddr::from([0, 0, 0, 0]), 0),
        IpNet::new_assert(IpAddr::from([0u16; 8]), 0),
    ]
}

impl Limits {
    /// Checks a forward; only those that stand in metadata are held to anything.
    ///
    /// # Errors
    /// [`ForwardError`] naming the port or address that is not permitted.
    pub fn check(&self, forward: &Forward) -> Result<(), ForwardError> {
        if matches!(forward.origin, Origin::File(_)) {
            return Ok(());
        }
        for mapping in &forward.mappings {
            let mut left = vec![mapping.host];
            for allowed in &self.ports {
                left = left
                    .iter()
                    .flat_map(|range| range.without(*allowed))
                    .collect();
            }
            if let Some(refused) = left.first() {
                return Err(forward.error(format!(
                    "host port {refused} is not among the ports that [limits] in portero.toml \
                     permits"
                )));
            }
        }
        let open = everything().iter().all(|net| self.addresses.contains(net));
        match forward.address {
            Some(address) if !self.addresses.iter().any(|net| net.contains(&address)) => {
                Err(forward.error(format!(
                    "host address {address} is not among the addresses that [limits] in \
                     portero.toml permits"
                )))
            }
            None if !open => Err(forward
                .error("address is missing, expected one that [limits] in portero.toml permits")),
            _ => Ok(()),
        }
    }

    /// Whether a port may be taken from a program of the host that listens on it.
    #[must_use]
    pub fn may_take_from_listener(&self, port: u16) -> bool {
        self.listening.iter().any(|range| range.contains(port))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PortOrRange {
    Port(u16),
    Range(String),
}

fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PortRange>, D::Error> {
    Vec::<PortOrRange>::deserialize(deserializer)?
        .into_iter()
        .map(|item| match item {
            PortOrRange::Port(port) => PortRange::new(port, port).map_err(de::Error::custom),
            PortOrRange::Range(text) => text.parse().map_err(de::Error::custom),
        })
        .collect()
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .into_iter()
        .map(|text| network(&text).map_err(de::Error::custom))
        .collect()
}
