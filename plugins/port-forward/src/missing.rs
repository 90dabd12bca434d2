//! What a forward waits for.

use portero_libvirt::MacAddress;
use portero_model::Family;
use portero_xml::Sanitised;
use std::fmt;
use std::net::IpAddr;

/// Why it is not known yet where a forward leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The domain has no interface on a virtual network.
    NoInterface,
    /// The forward names an interface that the domain does not have on a virtual network.
    NoSuchInterface {
        /// The MAC address that it names.
        mac: MacAddress,
    },
    /// None of several interfaces that can be meant has an address.
    NoAddress {
        /// Their MAC addresses, two at least.
        interfaces: Vec<MacAddress>,
        /// One that was seen on its network, and its address there.
        seen: Option<(MacAddress, IpAddr)>,
    },
    /// The network is not known to be active.
    Inactive {
        /// Its name, as the domain has it.
        network: String,
    },
    /// The network has no subnet of the family.
    NoSubnet {
        /// Its name.
        network: String,
        /// The family.
        family: Family,
    },
    /// The network gives addresses to guests with a reservation only, or to none, and this one has no reservation.
    NoDhcp {
        /// Its name.
        network: String,
        /// The guest's interface.
        mac: MacAddress,
        /// An address that it was seen to have there all the same.
        seen: Option<IpAddr>,
    },
    /// The guest has not asked for an address yet.
    NoLease {
        /// The network's name.
        network: String,
        /// The guest's interface.
        mac: MacAddress,
        /// An address that it was seen to have there all the same.
        seen: Option<IpAddr>,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface => {
                formatter.write_str("the domain has no interface on a virtual network")
            }
            Self::NoSuchInterface { mac } => write!(
                formatter,
                "the domain has no interface {mac} on a virtual network"
            ),
            Self::NoAddress { interfaces, seen } => {
                let interfaces: Vec<String> = interfaces.iter().map(ToString::to_string).collect();
                write!(
                    formatter,
                    "none of the interfaces {} has an address yet (interface= says which is meant)",
                    interfaces.join(", ")
                )?;
                match seen {
                    Some((mac, address)) => {
                        write!(
                            formatter,
                            "; {mac} was seen at {address}, {}",
                            Pin(*address)
                        )
                    }
                    None => Ok(()),
                }
            }
            Self::Inactive { network } => write!(
                formatter,
                "network '{}' is not known to be active",
                Sanitised(network)
            ),
            Self::NoSubnet { network, family } => write!(
                formatter,
                "network '{}' has no {family} subnet",
                Sanitised(network)
            ),
            Self::NoDhcp { network, mac, seen } => {
                write!(
                    formatter,
                    "network '{}' gives {mac} no address: it has neither a DHCP range nor a reservation for it",
                    Sanitised(network)
                )?;
                write_seen(formatter, *seen)
            }
            Self::NoLease { network, mac, seen } => {
                write!(
                    formatter,
                    "network '{}' has neither a DHCP reservation nor a lease for {mac}",
                    Sanitised(network)
                )?;
                write_seen(formatter, *seen)
            }
        }
    }
}

fn write_seen(formatter: &mut fmt::Formatter<'_>, seen: Option<IpAddr>) -> fmt::Result {
    seen.map_or(Ok(()), |address| {
        write!(formatter, "; it was seen at {address}, {}", Pin(address))
    })
}

/// What makes a forward lead to an address.
struct Pin(IpAddr);

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "which guest='{}' of the forward pins", self.0)
    }
}
