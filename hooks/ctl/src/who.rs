//! A machine as it is named on the command line: by its address, or by the name of a guest or a network.

use crate::candidates::did_you_mean;
use ipnet::IpNet;
use portero_inventory::{ActiveNetwork, Guest};
use portero_libvirt::ObjectName;
use portero_model::Family;
use std::net::IpAddr;
use std::str::FromStr;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever has the address.
    Address(IpAddr),
    /// A guest, or any guest of a network.
    Named(ObjectName),
}

/// Why a machine cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WhoError {
    /// Neither an address nor a name.
    #[error("expected an address, or the name of a guest or network")]
    Form,
    /// Nobody has the name.
    #[error("there is no running guest and no active network '{}'{tip}", name.as_str().escape_debug())]
    Nobody {
        /// What was given.
        name: ObjectName,
        /// Who may be meant.
        tip: String,
    },
    /// No address is known of whoever has the name.
    #[error("no address of '{}' is known, by no reservation, lease or subnet, expected an address in place of its name", name.as_str().escape_debug())]
    NoAddress {
        /// What was given.
        name: ObjectName,
    },
}

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        let name = || text.parse().map(Self::Named).map_err(|_| WhoError::Form);
        text.parse()
            .map_or_else(|_| name(), |address| Ok(Self::Address(address)))
    }
}

impl Who {
    /// Its addresses: those that are known of a guest, and one in each subnet of a network that is not the host's.
    pub(crate) fn addresses(
        &self,
        guests: &[Guest],
        networks: &[ActiveNetwork],
    ) -> Result<Vec<IpAddr>, WhoError> {
        let name = match self {
            Self::Address(address) => return Ok(vec![*address]),
            Self::Named(name) => name,
        };
        if let Some(guest) = guests.iter().find(|one| one.name.as_ref() == Some(name)) {
            let nics = guest.nics.iter();
            return some(name, nics.flat_map(|nic| nic.addresses.clone()).collect());
        }
        let network = networks.iter().find(|one| one.network.name == *name);
        let network = network.ok_or_else(|| {
            let guests = guests.iter().filter_map(|guest| guest.name.as_ref());
            let known = guests.chain(networks.iter().map(|one| &one.network.name));
            let tip = did_you_mean(name.as_str(), known.map(ToString::to_string));
            WhoError::Nobody {
                name: name.clone(),
                tip: match tip.is_empty() {
                    true => ", expected the name of one, or an address".to_owned(),
                    false => tip,
                },
            }
        })?;
        let subnets = network.network.subnets.iter();
        let addresses = subnets.filter_map(|subnet| {
            let net = IpNet::new(subnet.address, subnet.prefix).ok()?;
            net.hosts().find(|address| *address != subnet.address)
        });
        some(name, addresses.collect())
    }
}

fn some(name: &ObjectName, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, WhoError> {
    match addresses.is_empty() {
        true => Err(WhoError::NoAddress { name: name.clone() }),
        false => Ok(addresses),
    }
}

/// Addresses of two machines in one family, IPv4 where both have it.
pub(crate) fn pair(from: &[IpAddr], to: &[IpAddr]) -> Option<(IpAddr, IpAddr)> {
    Family::ALL.into_iter().find_map(|family| {
        let of_family =
            |all: &[IpAddr]| all.iter().copied().find(|one| Family::from(*one) == family);
        Some((of_family(from)?, of_family(to)?))
    })
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::doctor::tests::network;

    #[test]
    fn a_network_is_any_of_its_guests_and_both_ends_are_of_one_family() {
        let networks = [network("lan", 1, "<forward/>")];
        let of = |text: &str| text.parse::<Who>().expect("a machine");
        let lan = of("lan").addresses(&[], &networks).expect("addresses");
        let expected =
            ["10.1.0.2", "fd00:1::"].map(|text| text.parse::<IpAddr>().expect("an address"));
        assert_eq!(lan, expected);
        let v6 = of("2001:db8::9")
            .addresses(&[], &networks)
            .expect("addresses");
        assert_eq!(pair(&lan, &v6), Some((expected[1], v6[0])));
        assert_eq!(pair(&lan, &lan), Some((expected[0], expected[0])));
        assert_eq!(pair(&expected[..1], &v6), None);
        let nobody = of("nobody").addresses(&[], &networks);
        assert!(matches!(nobody, Err(WhoError::Nobody { .. })));
        assert_eq!("a/b".parse::<Who>(), Err(WhoError::Form));
    }
}
