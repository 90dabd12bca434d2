//! Elements of sets and maps, in the words in which nft reads and prints them.

use super::{LIBVIRT_TABLE, NAME, POLICY_NAME};
use ipnet::IpNet;
use portero_model::Family;
use std::collections::BTreeMap;
use std::fmt;

/// A table that portero has sets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// portero's own.
    Own,
    /// portero's own for policies.
    Policy,
    /// portero's own for what guests may not pretend.
    Antispoof,
    /// libvirt's for a family.
    Libvirt(Family),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self {
            Self::Own | Self::Policy => "inet",
            Self::Antispoof => "bridge",
            Self::Libvirt(family) => ip(*family),
        };
        write!(formatter, "{family} {}", self.name())
    }
}

impl Place {
    /// The table's name, without its family.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => NAME,
            Self::Policy | Self::Antispoof => POLICY_NAME,
            Self::Libvirt(_) => LIBVIRT_TABLE,
        }
    }

    pub(crate) fn key(self, set: &str, key: String) -> Key {
        Key {
            place: self,
            set: set.to_owned(),
            key,
        }
    }
}

/// What an element is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// The table.
    pub(crate) place: Place,
    /// The set or map.
    pub(crate) set: String,
    /// The parts of the key, as nft reads them.
    pub(crate) key: String,
}

/// Elements with what a map gives for them; sets give nothing.
pub(crate) type Elements = BTreeMap<Key, Option<String>>;

/// One of them.
pub(crate) type Element<'a> = (&'a Key, &'a Option<String>);

/// nft's name for the header of a family, and for the family of tables.
pub(crate) fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

/// What the names of a family's sets start with.
pub(crate) fn prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "v4",
        Family::Ipv6 => "v6",
    }
}

/// nft's name for addresses of a family.
pub(crate) fn address_type(family: Family) -> String {
    format!("ip{}_addr", prefix(family))
}

/// A network as nft prints it: one address without its length.
pub(crate) fn network(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.trunc().to_string()
    }
}

/// An interface's name; [`portero_libvirt::InterfaceName`] has no quote in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
