//! What an owner's forwards are as elements of the maps and sets of the base table.

use super::element::{network, prefix, quoted, Elements, Pairs, Place};
use super::NAME;
use portero_model::{Dnat, Family, ReplyRoute, Rule};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Which of a forward's restrictions are part of a map's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Those of an interface, a source and an address that are part of the key.
    fn pick<T>(self, [dev, source, address]: [T; 3]) -> impl Iterator<Item = T> {
        let all = [
            (self.dev, dev),
            (self.source, source),
            (self.address, address),
        ];
        let picked = all.into_iter().filter(|(is_in, _)| *is_in);
        picked.map(|(_, part)| part)
    }

    /// The map's name.
    pub(crate) fn map(self, family: Family) -> String {
        let parts = self.pick(["_dev", "_source", "_address"]);
        prefix(family).to_owned() + &parts.collect::<String>()
    }

    /// How the key begins, before protocol and port.
    pub(crate) fn key(self, parts: [&str; 3]) -> String {
        self.pick(parts).map(|part| format!("{part} . ")).collect()
    }
}

/// The set of sources and guests whose connections are masqueraded.
pub(crate) fn masquerade_set(family: Family) -> String {
    format!("{}_masquerade", prefix(family))
}

/// The set of guests to whom all connections are masqueraded.
pub(crate) fn masquerade_all_set(family: Family) -> String {
    format!("{}_masquerade_all", prefix(family))
}

/// The set, in libvirt's table, of all guests that anything is forwarded to.
pub(crate) const GUESTS_SET: &str = "portero_guests";

/// The set of bridges that loopback connections are routed by.
pub(crate) const LOCALNET_SET: &str = "localnet";

/// The set, in libvirt's table, of addresses of the host with the guests that all of them leads to.
pub(crate) const ADDRESSES_SET: &str = "portero_addresses";

/// The map of such addresses and their ports that are not excluded, with the guests.
pub(crate) const ADDRESS_PORTS_MAP: &str = "v4_address_ports";

/// The map of such addresses for what has no ports, with the guests.
pub(crate) const ADDRESS_MAP: &str = "v4_address_rest";

/// The map of such guests with their addresses of the host.
pub(crate) const ADDRESS_SNAT_MAP: &str = "v4_snat";

/// The set of such guests with the bridges that they keep their own addresses on.
pub(crate) const ADDRESS_BRIDGE_SET: &str = "v4_bridges";

/// The map of addresses of the host and guests whose answers are routed as the host's own from there.
pub(crate) fn symmetric_map(family: Family) -> String {
    format!("{}_symmetric", prefix(family))
}

/// The chain that gives a connection one of the marks that answers are routed by.
pub(crate) fn mark_chain(mark: u8) -> &'static str {
    const CHAINS: [&str; ReplyRoute::MOST as usize] = [
        "mark_1", "mark_2", "mark_3", "mark_4", "mark_5", "mark_6", "mark_7",
    ];
    let last = CHAINS.len() - 1;
    CHAINS[usize::from(mark.saturating_sub(1)).min(last)]
}

/// The keys of the connections that a forward to a guest, whose address is given in words too, has accepted in libvirt's table:
/// one for each port, which counts; nothing for what is part of a whole address.
pub(crate) fn accepted<'a>(
    dnat: &Dnat,
    guest: &'a str,
) -> Option<impl Iterator<Item = String> + 'a> {
    let number = dnat.protocol.number().to_string();
    let ports = dnat.ports.zip(dnat.guest_ports);
    let keys = ports.map(move |(port, guest_port)| {
        [guest, &number, &guest_port.to_string(), &port.to_string()].join(" . ")
    });
    (!dnat.is_whole_address).then_some(keys)
}

/// Elements of forwards, of which there may be thousands: they are put into their order all at once.
#[derive(Default)]
struct Forwards {
    maps: BTreeMap<(Family, Shape), Pairs>,
    accepted: BTreeMap<Family, Pairs>,
    /// Where the last one leads, and the words for it.
    guest: Option<(IpAddr, String)>,
}

/// Adds the elements of rules.
pub(super) fn add_all(rules: &[Rule], elements: &mut Elements) {
    let mut forwards = Forwards::default();
    for rule in rules {
        add(rule, elements, &mut forwards);
    }
    for ((family, shape), keys) in forwards.maps {
        elements.insert_all(Place::Own, &shape.map(family), keys);
    }
    for (family, keys) in forwards.accepted {
        elements.insert_all(Place::Libvirt(family), NAME, keys);
    }
}

fn add(rule: &Rule, elements: &mut Elements, forwards: &mut Forwards) {
    match rule {
        // A range is one element there, and Rule::Address has it pass.
        Rule::Dnat(Dnat {
            protocol,
            address: Some(address),
            ports,
            guest,
            is_whole_address: true,
            ..
        }) => {
            let key = format!("{address} . {} . {ports}", protocol.number());
            let to = Some(guest.to_string());
            elements.insert(Place::Own, ADDRESS_PORTS_MAP, key, to);
        }
        Rule::Address {
            address,
            guest,
            bridge,
        } => {
            let (host, to) = (address.to_string(), guest.to_string());
            let at_home = format!("{guest} . {}", quoted(bridge));
            let passes = format!("{address} . {guest}");
            let libvirt = Place::Libvirt(Family::from(*guest));
            let (own, of_host, of_guest) = (Place::Own, Some(host.clone()), Some(to.clone()));
            elements.insert(own, ADDRESS_MAP, host, of_guest);
            elements.insert(own, ADDRESS_SNAT_MAP, to, of_host);
            elements.insert(own, ADDRESS_BRIDGE_SET, at_home, None);
            elements.insert(libvirt, ADDRESSES_SET, passes, None);
        }
        Rule::Dnat(dnat) => {
            let Dnat {
                protocol,
                address,
                dev,
                source,
                ports,
                guest,
                guest_ports,
                ..
            } = dnat;
            let shape = Shape {
                dev: dev.is_some(),
                source: source.is_some(),
                address: address.is_some(),
            };
            let family = Family::from(*guest);
            let guest = match &mut forwards.guest {
                Some((last, words)) if last == guest => words,
                last => &mut last.insert((*guest, guest.to_string())).1,
            };
            let restrictions = [
                dev.as_ref().map(|dev| quoted(dev)),
                source.map(network),
                address.map(|address| address.to_string()),
                // Its name would need /etc/protocols, which small systems lack.
                Some(protocol.number().to_string()),
            ];
            let start: String = restrictions
                .into_iter()
                .flatten()
                .map(|part| part + " . ")
                .collect();
            let map = forwards.maps.entry((family, shape)).or_default();
            map.extend(ports.zip(*guest_ports).map(|(port, guest_port)| {
                let to = [guest, " . ", &guest_port.to_string()].concat();
                ([&*start, &port.to_string()].concat(), Some(to))
            }));
            let accepted = accepted(dnat, guest).into_iter().flatten();
            let set = forwards.accepted.entry(family).or_default();
            set.extend(accepted.map(|key| (key, None)));
        }
        Rule::Masquerade { source, guest, .. } => {
            let family = Family::from(*guest);
            let (set, key) = match source {
                Some(source) => {
                    let key = format!("{} . {guest}", network(*source));
                    (masquerade_set(family), key)
                }
                None => (masquerade_all_set(family), guest.to_string()),
            };
            elements.insert(Place::Own, &set, key, None);
            let libvirt = Place::Libvirt(family);
            elements.insert(libvirt, GUESTS_SET, guest.to_string(), None);
        }
        Rule::Symmetric {
            address,
            guest,
            route,
        } => {
            let key = format!("{address} . {guest}");
            let (map, jump) = (symmetric_map(route.family), mark_chain(route.mark));
            elements.insert(Place::Own, &map, key, Some(format!("jump {jump}")));
        }
        // These have a table of their own.
        Rule::Ban(_) => {}
        Rule::Localnet { bridge } => {
            elements.insert(Place::Own, LOCALNET_SET, quoted(bridge), None);
        }
    }
}
