//! What forwards may claim: the `[limits]` of /etc/portero/portero.toml.

use crate::source::network;
use crate::{Forward, Result};
use ipnet::IpNet;
use portero_model::{Family, Origin, PortRange};
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
    /// Host addresses that metadata may give to a guest as a whole (`<address>`), whatever the host's programs have there.
    #[serde(deserialize_with = "networks")]
    pub whole_addresses: Vec<IpNet>,
    /// How many ranges the forwards of one object may have in all, what is excluded taken out.
    pub most_ranges: usize,
    /// How many ports they may have in all.
    pub most_ports: usize,
    /// Host ports that may be taken although the host itself listens on them.
    #[serde(deserialize_with = "ranges")]
    pub listening: Vec<PortRange>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ports: vec![PortRange::ALL],
            addresses: everything(),
            whole_addresses: Vec::new(),
            most_ranges: 10_000,
            most_ports: 65_535,
            listening: Vec::new(),
        }
    }
}

fn everything() -> Vec<IpNet> {
    Family::ALL.map(Family::all).to_vec()
}

impl Limits {
    /// Checks all forwards of an object; only those that stand in metadata are held to anything.
    ///
    /// # Errors
    /// [`crate::ForwardError`] naming what is not permitted.
    pub fn check_all(&self, forwards: &[Forward]) -> Result<()> {
        let (mut ranges, mut ports) = (0, 0);
        for forward in forwards {
            self.check(forward)?;
            if matches!(forward.origin, Origin::File(_)) {
                continue;
            }
            ranges += forward.mappings.len();
            // An address has all its ports, each range of which is one element.
            if !forward.is_whole_address {
                let counts = forward.mappings.iter().map(|mapping| mapping.host.count());
                ports += counts.sum::<usize>();
            }
            let too_many = [
                (ranges, self.most_ranges, "ranges", "most_ranges"),
                (ports, self.most_ports, "ports", "most_ports"),
            ];
            for (count, most, what, setting) in too_many {
                if count > most {
                    return Err(forward.unpermitted(format!(
                        "with this one it is {count} {what}, expected at most {most} in all \
                         (permit more as '{setting}' under [limits] in portero.toml)"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Checks a forward; only those that stand in metadata are held to anything.
    ///
    /// # Errors
    /// [`crate::ForwardError`] naming the port or address that is not permitted.
    fn check(&self, forward: &Forward) -> Result<()> {
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
                return Err(forward.unpermitted(format!(
                    "host port {refused} is not among the ports that [limits] in portero.toml \
                     permits"
                )));
            }
        }
        let is_in = |address: IpAddr, nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        if let Some(address) = forward.address.filter(|_| forward.is_whole_address) {
            if !is_in(address, &self.whole_addresses) {
                return Err(forward.unpermitted(format!(
                    "metadata cannot have all of host address {address}, expected one of 'whole_addresses' under \
                     [limits] in portero.toml (or write this in /etc/portero)"
                )));
            }
        }
        let open = everything().iter().all(|net| self.addresses.contains(net));
        match forward.address {
            Some(address) if !is_in(address, &self.addresses) => Err(forward.unpermitted(format!(
                "host address {address} is not among the addresses that [limits] in \
                     portero.toml permits"
            ))),
            None if !open => Err(forward.unpermitted(
                "address is missing, expected one that [limits] in portero.toml permits",
            )),
            _ => Ok(()),
        }
    }

    /// Whether a port may be taken from a program of the host that listens on it.
    #[must_use]
    pub fn may_take_from_listener(&self, port: u16) -> bool {
        self.listening.iter().any(|range| range.contains(port))
    }

    /// The same of every port of a range.
    #[must_use]
    pub fn may_take_all_from_listeners(&self, ports: PortRange) -> bool {
        (ports.start()..=ports.end()).all(|port| self.may_take_from_listener(port))
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
