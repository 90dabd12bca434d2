//! The base tables: the maps, sets and chains that elements are put into, the same for every host. `base.nft` beside this
//! file has them as nft reads them, to be read by people.

use super::element::{address_type, ip, Place};
use super::forward::{
    mark_chain, masquerade_all_set, masquerade_set, symmetric_map, Shape, ADDRESSES_SET,
    ADDRESS_BRIDGE_SET, ADDRESS_MAP, ADDRESS_PORTS_MAP, ADDRESS_SNAT_MAP, GUESTS_SET, LOCALNET_SET,
};
use super::policy::{direction_map, nat_map, CROSS_SET, LIBVIRT_CROSS_SET, LIBVIRT_SET};
use super::{LIBVIRT_CHAIN, LIBVIRT_VERDICTS, NAME};
use portero_model::{Direction, Family, ReplyRoute};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Part of every rule's comment; a rule of another version of the base tables is not taken for ours.
const VERSION: &str = "portero 2";

/// TCP, UDP and SCTP by number.
const PROTOCOLS: [u8; 3] = [6, 17, 132];

/// Type, hook and priority of a base chain.
type Hook = (&'static str, &'static str, i32);

/// A chain of the base tables.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// Absent for a chain that is jumped to.
    pub(crate) hook: Option<Hook>,
    /// Names and texts of its rules.
    pub(crate) rules: Vec<(String, String)>,
}

impl Chain {
    pub(crate) fn new(
        name: &'static str,
        hook: Option<Hook>,
        rules: Vec<(String, String)>,
    ) -> Self {
        Self { name, hook, rules }
    }

    /// The comments of its rules, by which they are known again.
    pub(crate) fn comments(&self) -> Vec<String> {
        let comments = self.rules.iter().map(|(name, _)| comment(name));
        comments.collect()
    }

    /// Its rules as nft reads them.
    pub(crate) fn rules(&self) -> impl Iterator<Item = String> + '_ {
        self.rules
            .iter()
            .map(|(name, rule)| format!("{rule} comment \"{}\"", comment(name)))
    }
}

fn comment(name: &str) -> String {
    format!("{VERSION}: {name}")
}

/// The comment of the jump in libvirt's chain.
pub(crate) fn jump_comment() -> String {
    comment("accept")
}

/// The jump from the head of libvirt's chain.
pub(crate) fn jump() -> String {
    format!("jump {NAME} comment \"{}\"", jump_comment())
}

/// Adds a set or map of these types, by its name.
pub(crate) fn define(sets: &mut BTreeMap<String, String>, what: &str, name: &str, types: &str) {
    let definition = format!("{what} {name} {{ type {types}; }}");
    sets.insert(name.to_owned(), definition);
}

/// Names of all sets and maps of portero's own table with their definitions.
pub(crate) fn own_sets() -> BTreeMap<String, String> {
    let mut sets = BTreeMap::new();
    for family in Family::ALL {
        let address = address_type(family);
        for shape in Shape::all() {
            let key = shape.key(["ifname", &address, &address]);
            let flags = if shape.source { "; flags interval" } else { "" };
            let types = format!("{key}inet_proto . inet_service : {address} . inet_service{flags}");
            define(&mut sets, "map", &shape.map(family), &types);
        }
        let types = format!("{address} . {address}; flags interval");
        define(&mut sets, "set", &masquerade_set(family), &types);
        define(&mut sets, "set", &masquerade_all_set(family), &address);
        let types = format!("{address} . {address} : verdict");
        define(&mut sets, "map", &symmetric_map(family), &types);
    }
    define(&mut sets, "set", LOCALNET_SET, "ifname");
    let ports = "ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval";
    define(&mut sets, "map", ADDRESS_PORTS_MAP, ports);
    define(&mut sets, "map", ADDRESS_MAP, "ipv4_addr : ipv4_addr");
    define(&mut sets, "map", ADDRESS_SNAT_MAP, "ipv4_addr : ipv4_addr");
    define(&mut sets, "set", ADDRESS_BRIDGE_SET, "ipv4_addr . ifname");
    sets
}

/// The chains of portero's own table. They stand a little before those of others at the same
/// hooks, as the jumps of the iptables variant stand first.
pub(crate) fn own_chains() -> Vec<Chain> {
    let protocols = protocols();
    let local = || {
        let ports = format!("meta l4proto {protocols} fib daddr type local goto to_guests");
        // What has no ports, as an echo request.
        let rest = format!("fib daddr type local dnat ip to ip daddr map @{ADDRESS_MAP}");
        vec![
            ("local ports".to_owned(), ports),
            (ADDRESS_MAP.to_owned(), rest),
        ]
    };
    let ports = format!(
        "meta l4proto {protocols} dnat ip to ip daddr . meta l4proto . th dport map @{ADDRESS_PORTS_MAP}"
    );
    // Who has an address as a whole comes before those that forward a port of all addresses.
    let mut forwards = vec![(ADDRESS_PORTS_MAP.to_owned(), ports)];
    let (mut masquerades, mut forwarded) = (Vec::new(), Vec::new());
    // What comes by a bridge that loopback is routed by: nothing to loopback but answers, nothing from it.
    let loopback = format!("iifname @{LOCALNET_SET} ip daddr 127.0.0.0/8 ct status ! dnat drop");
    let from_loopback = format!("iifname @{LOCALNET_SET} ip saddr 127.0.0.0/8 drop");
    let mut guards = vec![
        ("loopback guard".to_owned(), loopback),
        ("loopback source".to_owned(), from_loopback),
    ];
    for family in Family::ALL {
        let ip = ip(family);
        for shape in Shape::all() {
            let map = shape.map(family);
            let mut rule = String::new();
            if !shape.address {
                let loopback = family.loopback();
                rule += &format!("{ip} daddr != {loopback} ");
            }
            rule += &format!("meta l4proto {protocols} dnat {ip} to ");
            rule += &shape.key(["iifname", &format!("{ip} saddr"), &format!("{ip} daddr")]);
            rule += &format!("meta l4proto . th dport map @{map}");
            forwards.push((map, rule));
        }
        let set = masquerade_set(family);
        let rule = format!("ct status dnat {ip} saddr . {ip} daddr @{set} masquerade");
        let all = masquerade_all_set(family);
        let rule_of_all = format!("ct status dnat {ip} daddr @{all} masquerade");
        // A source in a guest's subnet is behind its bridge: what the host would not answer by the interface that it came
        // by is not from there.
        let neighbors = format!(
            "ct status dnat ct direction original {ip} saddr . {ip} daddr @{set} fib saddr . iif oif 0 drop"
        );
        forwarded.push((format!("{set} by its bridge"), neighbors));
        // A guest's subnet is in the set with the guest's address, and that is in its subnet: the set has both together
        // where the address is a guest's. The host may get it as its own later.
        let local = format!("ct status dnat {ip} daddr . {ip} daddr @{set} drop");
        guards.push((format!("{set} at the host"), local));
        masquerades.extend([(set, rule), (all, rule_of_all)]);
    }
    // What a guest opens elsewhere than on its own bridge.
    let leaving = format!(
        "ct status ! dnat ip saddr . oifname != @{ADDRESS_BRIDGE_SET} snat ip to ip saddr map @{ADDRESS_SNAT_MAP}"
    );
    let leaving = vec![(ADDRESS_SNAT_MAP.to_owned(), leaving)];
    let mut chains = mark_chains();
    chains.extend([
        Chain::new("to_guests", None, forwards),
        Chain::new("prerouting", Some(("nat", "prerouting", -101)), local()),
        Chain::new("local_out", Some(("nat", "output", -101)), local()),
        Chain::new("postrouting", Some(("nat", "postrouting", 99)), masquerades),
        // Before what policies say of their networks.
        Chain::new("leaving", Some(("nat", "postrouting", 98)), leaving),
        Chain::new("forwarded", Some(("filter", "forward", -1)), forwarded),
        Chain::new("local_in", Some(("filter", "input", -1)), guards),
    ]);
    chains
}

/// What marks connections that came for an address of the host, and their answers before these are routed. Other bits of
/// both marks stay as they are: a rule for each mark, since older kernels cannot join two marks.
fn mark_chains() -> Vec<Chain> {
    let (mask, others) = (ReplyRoute::MASK, !ReplyRoute::MASK);
    let bits = ReplyRoute::bits_of;
    let set = |what: &str, mark: u8| {
        format!(
            "{what} mark set {what} mark & {others:#x} | {:#x}",
            bits(mark)
        )
    };
    let marks = || 1..=ReplyRoute::MOST;
    let mut chains: Vec<Chain> = marks()
        .map(|mark| {
            let rule = (mark_chain(mark).to_owned(), set("ct", mark));
            Chain::new(mark_chain(mark), None, vec![rule])
        })
        .collect();
    let new = Family::ALL.map(|family| {
        let (ip, map) = (ip(family), symmetric_map(family));
        let key = format!("ct original {ip} daddr . {ip} daddr");
        let rule = format!("ct state new ct status dnat {key} vmap @{map}");
        (map, rule)
    });
    let answer = marks().map(|mark| {
        let rule = format!(
            "ct mark & {mask:#x} == {:#x} {}",
            bits(mark),
            set("meta", mark)
        );
        (format!("answer {mark}"), rule)
    });
    // Most packets are of no such connection.
    let answers = format!("ct mark & {mask:#x} != 0 ct direction reply jump answer");
    let answers = vec![("answers".to_owned(), answers)];
    let (before_others, before_routing) =
        (("filter", "forward", -2), ("filter", "prerouting", -150));
    chains.extend([
        Chain::new("answer", None, answer.collect()),
        Chain::new("marked", Some(before_others), new.into()),
        Chain::new("answers", Some(before_routing), answers),
    ]);
    chains
}

/// Names of the sets and maps of the table of policies that all policies share.
pub(crate) fn policy_sets() -> BTreeMap<String, String> {
    let mut sets = BTreeMap::new();
    for direction in Direction::ALL {
        let types = "ifname : verdict";
        define(&mut sets, "map", &direction_map(direction), types);
    }
    for family in Family::ALL {
        let types = format!("{} : verdict; flags interval", address_type(family));
        define(&mut sets, "map", &nat_map(family), &types);
    }
    define(&mut sets, "set", CROSS_SET, "ifname . ifname");
    sets
}

/// The chains of the table of policies that lead to those of networks. What they let pass, others
/// still judge; what is between two networks, both judge.
pub(crate) fn policy_chains() -> Vec<Chain> {
    let of = |direction: Direction, side: &str| {
        let rule = lead(side, &direction_map(direction));
        (direction.name().to_owned(), rule)
    };
    let same = format!("iifname . oifname @{CROSS_SET} return");
    let forward = vec![
        ("same bridge".to_owned(), same),
        of(Direction::Out, "iifname"),
        of(Direction::In, "oifname"),
    ];
    let input = vec![of(Direction::ToHost, "iifname")];
    let output = vec![of(Direction::FromHost, "oifname")];
    let nat = Family::ALL.map(|family| {
        let (ip, map) = (ip(family), nat_map(family));
        let rule = lead(&format!("{ip} saddr"), &map);
        (map, rule)
    });
    vec![
        Chain::new("forward", Some(("filter", "forward", -1)), forward),
        Chain::new("input", Some(("filter", "input", -1)), input),
        Chain::new("output", Some(("filter", "output", -1)), output),
        Chain::new("postrouting", Some(("nat", "postrouting", 99)), nat.into()),
    ]
}

fn lead(what: &str, map: &str) -> String {
    format!("{what} vmap @{map}")
}

/// A table without elements.
pub(crate) fn empty_table(
    place: Place,
    sets: &BTreeMap<String, String>,
    chains: &[Chain],
) -> String {
    let mut text = format!("table {place} {{\n");
    for definition in sets.values() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\t{definition}");
    }
    for chain in chains {
        let _ = writeln!(text, "\tchain {} {{", chain.name);
        if let Some((kind, hook, priority)) = chain.hook {
            let hook = format!("type {kind} hook {hook} priority {priority}");
            let _ = writeln!(text, "\t\t{hook}; policy accept;");
        }
        for rule in chain.rules() {
            let _ = writeln!(text, "\t\t{rule}");
        }
        text += "\t}\n";
    }
    text + "}\n"
}

/// portero's own table without elements.
pub(crate) fn own_table() -> String {
    empty_table(Place::Own, &own_sets(), &own_chains())
}

/// The table of policies without any policy.
pub(crate) fn policy_table() -> String {
    empty_table(Place::Policy, &policy_sets(), &policy_chains())
}

/// portero's sets in a table of libvirt's: connections that are accepted, by guest, protocol, the
/// guest's port and the host's port; their guests; addresses of the host with the guests that have them; and bridges with a
/// policy.
pub(crate) fn libvirt_sets(family: Family) -> [(&'static str, String); 5] {
    let address = address_type(family);
    let accepted =
        format!("{{ type {address} . inet_proto . inet_service . inet_service; counter; }}");
    [
        (NAME, accepted),
        (GUESTS_SET, format!("{{ type {address}; }}")),
        (ADDRESSES_SET, format!("{{ type {address} . {address}; }}")),
        (LIBVIRT_SET, "{ type ifname; }".to_owned()),
        (LIBVIRT_CROSS_SET, "{ type ifname . ifname; }".to_owned()),
    ]
}

/// The chain of packets from a network with a policy to one without, or to the outside.
const FROM_CHAIN: &str = "portero_from";
/// The chain of packets to a network with a policy.
const TO_CHAIN: &str = "portero_to";

/// portero's chains in libvirt's table, in the order in which they can be made. The last is reached
/// from the head of [`LIBVIRT_CHAIN`]. Of forwards there is a rule for each protocol: without that
/// match nft does not know what kind of ports connection tracking gives.
pub(crate) fn libvirt_chains(family: Family) -> Vec<Chain> {
    let ip = ip(family);
    let accepted = PROTOCOLS.map(|protocol| {
        let rule = format!(
            "ct status dnat meta l4proto {protocol} ct reply {ip} saddr . meta l4proto . \
             ct reply proto-src . ct original proto-dst @{NAME} accept"
        );
        (format!("protocol {protocol}"), rule)
    });
    let named = |name: &str, rule: String| (name.to_owned(), rule);
    let verdict_of = |name: &'static str, verdicts: &str| {
        let jump = named("libvirt", format!("jump {verdicts}"));
        Chain::new(name, None, vec![jump, named("accept", "accept".to_owned())])
    };
    let [to_guests, from_guests] = LIBVIRT_VERDICTS;
    let mut rules = Vec::from(accepted);
    let icmp = match family {
        Family::Ipv4 => "icmp",
        Family::Ipv6 => "icmpv6",
    };
    rules.extend([
        named(
            "addresses",
            format!("ct status dnat ct original {ip} daddr . ct reply {ip} saddr @{ADDRESSES_SET} accept"),
        ),
        // Errors about such a connection, as of a smaller MTU on its way, are part of it.
        named(
            "errors",
            format!("ct status dnat ct state related meta l4proto {icmp} ct reply {ip} saddr @{GUESTS_SET} accept"),
        ),
        named(
            "same bridge",
            format!("iifname . oifname @{LIBVIRT_CROSS_SET} return"),
        ),
        named(
            "both",
            format!("iifname @{LIBVIRT_SET} oifname @{LIBVIRT_SET} accept"),
        ),
        named("from", format!("iifname @{LIBVIRT_SET} goto {FROM_CHAIN}")),
        named("to", format!("oifname @{LIBVIRT_SET} goto {TO_CHAIN}")),
    ]);
    vec![
        verdict_of(FROM_CHAIN, to_guests),
        verdict_of(TO_CHAIN, from_guests),
        Chain::new(NAME, None, rules),
    ]
}

/// Where the jump stands.
pub(crate) fn jump_chain(family: Family) -> String {
    format!("{} {LIBVIRT_CHAIN}", Place::Libvirt(family))
}

fn protocols() -> String {
    let numbers: Vec<String> = PROTOCOLS.iter().map(ToString::to_string).collect();
    format!("{{ {} }}", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `base.nft` is for people; `PORTERO_CASES=accept cargo test` writes it anew.
    #[test]
    fn the_readable_text_is_what_is_written() {
        let mut text = "# The base tables of portero in nftables, without any owner's elements: written by base.rs.\n\n\
                        # Forwards.\n"
            .to_owned();
        text += &own_table();
        text += "\n# Policies. What they let pass, others still judge.\n";
        text += &policy_table();
        text += "\n# What stands in libvirt's table of IPv4; that of IPv6 has the same.\n";
        let place = Place::Libvirt(Family::Ipv4);
        for (name, definition) in libvirt_sets(Family::Ipv4) {
            let _ = writeln!(text, "add set {place} {name} {definition}");
        }
        for chain in libvirt_chains(Family::Ipv4) {
            let _ = writeln!(text, "add chain {place} {}", chain.name);
            for rule in chain.rules() {
                let _ = writeln!(text, "add rule {place} {} {rule}", chain.name);
            }
        }
        let _ = writeln!(text, "insert rule {} {}", jump_chain(Family::Ipv4), jump());
        crate::readable::compare("src/nftables/base.nft", &text);
    }
}
