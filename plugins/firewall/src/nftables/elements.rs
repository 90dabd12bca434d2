//! What an owner's rules are as elements of sets and maps.

use super::policy::{objects, Objects};
use super::{LIBVIRT_TABLE, NAME, POLICY_NAME};
use ipnet::IpNet;
use portero_model::{Family, Protocol, Rule, Ruleset};
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
    Guards,
    /// libvirt's for a family.
    Libvirt(Family),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(formatter, "inet {NAME}"),
            Self::Policy => write!(formatter, "inet {POLICY_NAME}"),
            Self::Guards => write!(formatter, "bridge {POLICY_NAME}"),
            Self::Libvirt(Family::Ipv4) => write!(formatter, "ip {LIBVIRT_TABLE}"),
            Self::Libvirt(Family::Ipv6) => write!(formatter, "ip6 {LIBVIRT_TABLE}"),
        }
    }
}

impl Place {
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

/// Which of a forward's restrictions are part of a map's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The interface a packet arrived by.
    pub(crate) dev: bool,
    /// The network it comes from.
    pub(crate) source: bool,
    /// The address it is sent to.
    pub(crate) address: bool,
}

impl Shape {
    /// All of them, the least restricted first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self {
            dev: bits & 4 != 0,
            source: bits & 2 != 0,
            address: bits & 1 != 0,
        })
    }

    /// The map's name.
    pub(crate) fn map(self, family: Family) -> String {
        let mut name = prefix(family).to_owned();
        for (is_in, part) in [
            (self.dev, "_dev"),
            (self.source, "_source"),
            (self.address, "_address"),
        ] {
            if is_in {
                name += part;
            }
        }
        name
    }
}

/// What the names of a family's sets start with.
pub(crate) fn prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "v4",
        Family::Ipv6 => "v6",
    }
}

/// The set of guests whose connections are masqueraded.
pub(crate) fn masquerade_set(family: Family) -> String {
    format!("{}_masquerade", prefix(family))
}

/// The set of bridges that loopback connections are routed by.
pub(crate) const LOCALNET_SET: &str = "localnet";

/// All elements of an owner's rules, and what it has to itself.
pub(crate) fn parts(ruleset: &Ruleset) -> (Elements, Objects) {
    let mut elements = Elements::new();
    for rule in &ruleset.rules {
        add(rule, &mut elements);
    }
    let objects = objects(ruleset, &mut elements);
    (elements, objects)
}

fn add(rule: &Rule, elements: &mut Elements) {
    let own = |set: String, key: String| Key {
        place: Place::Own,
        set,
        key,
    };
    match rule {
        Rule::Dnat {
            protocol,
            address,
            dev,
            source,
            ports,
            guest,
            guest_ports,
        } => {
            let shape = Shape {
                dev: dev.is_some(),
                source: source.is_some(),
                address: address.is_some(),
            };
            let map = shape.map(Family::of(*guest));
            let restrictions = [
                dev.as_ref().map(|dev| quoted(dev)),
                source.map(network),
                address.map(|address| address.to_string()),
            ];
            let restrictions: String = restrictions
                .into_iter()
                .flatten()
                .map(|part| part + " . ")
                .collect();
            for (port, guest_port) in ports.zip(*guest_ports) {
                let key = format!("{restrictions}{} . {port}", number(*protocol));
                elements.insert(
                    own(map.clone(), key),
                    Some(format!("{guest} . {guest_port}")),
                );
            }
        }
        Rule::Accept {
            protocol,
            ports,
            guest,
            guest_ports,
        } => {
            for (port, guest_port) in ports.zip(*guest_ports) {
                let key = Key {
                    place: Place::Libvirt(Family::of(*guest)),
                    set: NAME.to_owned(),
                    key: format!("{guest} . {} . {guest_port} . {port}", number(*protocol)),
                };
                elements.insert(key, None);
            }
        }
        Rule::Masquerade { source, guest } => {
            let family = Family::of(*guest);
            let source = source.unwrap_or_else(|| family.all());
            let key = format!("{} . {guest}", network(source));
            elements.insert(own(masquerade_set(family), key), None);
        }
        Rule::Localnet { bridge } => {
            elements.insert(own(LOCALNET_SET.to_owned(), quoted(bridge)), None);
        }
    }
}

/// A protocol's number: its name would need /etc/protocols, which small systems lack.
fn number(protocol: Protocol) -> u8 {
    protocol.number()
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
