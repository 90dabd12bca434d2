//! What an owner's forwards are as elements of the maps and sets of the base table.

use super::element::{network, prefix, quoted, Elements, Key, Place};
use super::NAME;
use portero_model::{Dnat, Family, Rule};

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

/// The set of guests whose connections are masqueraded.
pub(crate) fn masquerade_set(family: Family) -> String {
    format!("{}_masquerade", prefix(family))
}

/// The set of bridges that loopback connections are routed by.
pub(crate) const LOCALNET_SET: &str = "localnet";

/// Adds the elements of a rule.
pub(super) fn add(rule: &Rule, elements: &mut Elements) {
    let own = |set: String, key: String| Key {
        place: Place::Own,
        set,
        key,
    };
    match rule {
        Rule::Dnat(Dnat {
            protocol,
            address,
            dev,
            source,
            ports,
            guest,
            guest_ports,
        }) => {
            let shape = Shape {
                dev: dev.is_some(),
                source: source.is_some(),
                address: address.is_some(),
            };
            let map = shape.map(Family::from(*guest));
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
            // Its name would need /etc/protocols, which small systems lack.
            let number = protocol.number();
            for (port, guest_port) in ports.zip(*guest_ports) {
                let key = format!("{restrictions}{number} . {port}");
                let to = format!("{guest} . {guest_port}");
                elements.insert(own(map.clone(), key), Some(to));
                let accepted = Key {
                    place: Place::Libvirt(Family::from(*guest)),
                    set: NAME.to_owned(),
                    key: format!("{guest} . {number} . {guest_port} . {port}"),
                };
                elements.insert(accepted, None);
            }
        }
        Rule::Masquerade { source, guest } => {
            let family = Family::from(*guest);
            let source = source.unwrap_or_else(|| family.all());
            let key = format!("{} . {guest}", network(source));
            elements.insert(own(masquerade_set(family), key), None);
        }
        Rule::Localnet { bridge } => {
            elements.insert(own(LOCALNET_SET.to_owned(), quoted(bridge)), None);
        }
    }
}
