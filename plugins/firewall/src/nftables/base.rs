//! The base tables: the maps, sets and chains that elements are put into, the same for every host. `base.nft` beside this
//! file has them as nft reads them, to be read by people.

use super::element::{address_type, ip, Place};
use super::forward::{
    mark_chain, masquerade_all_set, masquerade_set, symmetric_map, Shape, ADDRESSES_SET,
    ADDRESS_BRIDGE_SET, ADDRESS_MAP, ADDRESS_PORTS_MAP, ADDRESS_SNAT_MAP, GUESTS_SET, LOCALNET_SET,
};
use super::object::{Hook, NewChain, NewRule, NewSet, ObjectChange};
use super::policy::{direction_map, nat_map, CROSS_SET, LIBVIRT_CROSS_SET, LIBVIRT_SET};
use super::{LIBVIRT_VERDICTS, NAME};
use portero_model::{Direction, Family, ReplyRoute};

/// Part of every rule's comment; a rule of another version of the base tables is not taken for ours.
const VERSION: &str = "portero 2";

/// TCP, UDP and SCTP by number.
const PROTOCOLS: [u8; 3] = [6, 17, 132];

/// Type, hook and priority of a base chain.
pub(crate) type At = (&'static str, &'static str, i32);

/// A chain of the base tables, with the names and words of its rules.
pub(crate) fn chain(name: &str, at: Option<At>, rules: Vec<(String, String)>) -> NewChain {
    let rules = rules.into_iter();
    let rules = rules.map(|(name, words)| NewRule::new(comment(&name), words));
    NewChain {
        hook: at.map(|(kind, hook, priority)| Hook {
            kind,
            hook,
            priority,
        }),
        ..NewChain::inner(name, rules.collect())
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
pub(crate) fn jump() -> NewRule {
    NewRule::new(jump_comment(), format!("jump {NAME}"))
}

/// All sets and maps of portero's own table, by their names.
pub(crate) fn own_sets() -> Vec<NewSet> {
    let mut sets = Vec::new();
    for family in Family::ALL {
        let address = address_type(family);
        for shape in Shape::all() {
            let key = shape.key(["ifname", &address, &address]);
            let flags = if shape.source { "; flags interval" } else { "" };
            let types = format!("{key}inet_proto . inet_service : {address} . inet_service{flags}");
            sets.push(NewSet::map(shape.map(family), types));
        }
        let types = format!("{address} . {address}; flags interval");
        sets.push(NewSet::set(masquerade_set(family), types));
        sets.push(NewSet::set(masquerade_all_set(family), &address));
        let types = format!("{address} . {address} : verdict");
        sets.push(NewSet::map(symmetric_map(family), types));
    }
    let ports = "ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval";
    sets.extend([
        NewSet::set(LOCALNET_SET, "ifname"),
        NewSet::map(ADDRESS_PORTS_MAP, ports),
        NewSet::map(ADDRESS_MAP, "ipv4_addr : ipv4_addr"),
        NewSet::map(ADDRESS_SNAT_MAP, "ipv4_addr : ipv4_addr"),
        NewSet::set(ADDRESS_BRIDGE_SET, "ipv4_addr . ifname"),
    ]);
    sorted(sets)
}

/// The chains of portero's own table. They stand a little before those of others at the same
/// hooks, as the jumps of the iptables variant stand first.
pub(crate) fn own_chains() -> Vec<NewChain> {
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
    let ports = format!("dnat ip to ip daddr . meta l4proto . th dport map @{ADDRESS_PORTS_MAP}");
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
            // nft 1.0.6 wants to be told once more, as long as the map has intervals.
            if shape.source {
                rule += &format!("meta l4proto {protocols} ");
            }
            rule += &format!("dnat {ip} to ");
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
        chain("to_guests", None, forwards),
        chain("prerouting", Some(("nat", "prerouting", -101)), local()),
        chain("local_out", Some(("nat", "output", -101)), local()),
        chain("postrouting", Some(("nat", "postrouting", 99)), masquerades),
        // Before what policies say of their networks.
        chain("leaving", Some(("nat", "postrouting", 98)), leaving),
        chain("forwarded", Some(("filter", "forward", -1)), forwarded),
        chain("local_in", Some(("filter", "input", -1)), guards),
    ]);
    chains
}

/// What marks connections that came for an address of the host, and their answers before these are routed. Other bits of
/// both marks stay as they are: a rule for each mark, since older kernels cannot join two marks.
fn mark_chains() -> Vec<NewChain> {
    let (mask, others) = (ReplyRoute::MASK, !ReplyRoute::MASK);
    let bits = ReplyRoute::bits_of;
    let set = |what: &str, mark: u8| {
        format!(
            "{what} mark set {what} mark & {others:#x} | {:#x}",
            bits(mark)
        )
    };
    let marks = || 1..=ReplyRoute::MOST;
    let mut chains: Vec<NewChain> = marks()
        .map(|mark| {
            let rule = (mark_chain(mark).to_owned(), set("ct", mark));
            chain(mark_chain(mark), None, vec![rule])
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
        chain("answer", None, answer.collect()),
        chain("marked", Some(before_others), new.into()),
        chain("answers", Some(before_routing), answers),
    ]);
    chains
}

/// The sets and maps of the table of policies that all policies share, by their names.
pub(crate) fn policy_sets() -> Vec<NewSet> {
    let mut sets = Vec::new();
    for direction in Direction::ALL {
        sets.push(NewSet::map(direction_map(direction), "ifname : verdict"));
    }
    for family in Family::ALL {
        let types = format!("{} : verdict; flags interval", address_type(family));
        sets.push(NewSet::map(nat_map(family), types));
    }
    sets.push(NewSet::set(CROSS_SET, "ifname . ifname"));
    sorted(sets)
}

/// The chains of the table of policies that lead to those of networks. What they let pass, others
/// still judge; what is between two networks, both judge.
pub(crate) fn policy_chains() -> Vec<NewChain> {
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
        chain("forward", Some(("filter", "forward", -1)), forward),
        chain("input", Some(("filter", "input", -1)), input),
        chain("output", Some(("filter", "output", -1)), output),
        chain("postrouting", Some(("nat", "postrouting", 99)), nat.into()),
    ]
}

fn lead(what: &str, map: &str) -> String {
    format!("{what} vmap @{map}")
}

/// In the order of their names.
pub(crate) fn sorted(mut sets: Vec<NewSet>) -> Vec<NewSet> {
    sets.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    sets
}

/// portero's own table without elements.
pub(crate) fn own_table() -> ObjectChange {
    ObjectChange::table(Place::Own, own_sets(), own_chains())
}

/// The table of policies without any policy.
pub(crate) fn policy_table() -> ObjectChange {
    ObjectChange::table(Place::Policy, policy_sets(), policy_chains())
}

/// portero's sets in a table of libvirt's: connections that are accepted, by guest, protocol, the
/// guest's port and the host's port; their guests; addresses of the host with the guests that have them; and bridges with a
/// policy.
pub(crate) fn libvirt_sets(family: Family) -> [NewSet; 5] {
    let address = address_type(family);
    let accepted = format!("{address} . inet_proto . inet_service . inet_service; counter");
    [
        NewSet::set(NAME, accepted),
        NewSet::set(GUESTS_SET, &address),
        NewSet::set(ADDRESSES_SET, format!("{address} . {address}")),
        NewSet::set(LIBVIRT_SET, "ifname"),
        NewSet::set(LIBVIRT_CROSS_SET, "ifname . ifname"),
    ]
}

/// The chain of packets from a network with a policy to one without, or to the outside.
const FROM_CHAIN: &str = "portero_from";
/// The chain of packets to a network with a policy.
const TO_CHAIN: &str = "portero_to";

/// portero's chains in libvirt's table, in the order in which they can be made. The last is reached
/// from the head of [`LIBVIRT_CHAIN`]. Of forwards there is a rule for each protocol: without that
/// match nft does not know what kind of ports connection tracking gives.
pub(crate) fn libvirt_chains(family: Family) -> Vec<NewChain> {
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
        chain(name, None, vec![jump, named("accept", "accept".to_owned())])
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
        chain(NAME, None, rules),
    ]
}

fn protocols() -> String {
    let numbers: Vec<String> = PROTOCOLS.iter().map(ToString::to_string).collect();
    format!("{{ {} }}", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nftables::object::Object;

    /// All that portero has in a table of libvirt's, in the order in which it can be made.
    fn libvirt_objects(family: Family) -> Vec<ObjectChange> {
        let sets = libvirt_sets(family).into_iter().map(Object::Set);
        let chains = libvirt_chains(family).into_iter().map(Object::Chain);
        let jump = Object::FirstRule {
            chain: crate::nftables::LIBVIRT_CHAIN.to_owned(),
            rule: jump(),
        };
        let place = Place::Libvirt(family);
        let objects = sets.chain(chains).chain([jump]);
        objects
            .map(|object| ObjectChange { place, object })
            .collect()
    }

    /// `base.nft` is for people; `PORTERO_CASES=accept cargo test` writes it anew.
    #[test]
    fn the_readable_text_is_what_is_written() {
        let mut text = "# The base tables of portero in nftables, without any owner's elements: written by base.rs.\n\n\
                        # Forwards.\n"
            .to_owned();
        own_table().write(&mut text);
        text += "\n# Policies. What they let pass, others still judge.\n";
        policy_table().write(&mut text);
        text += "\n# What stands in libvirt's table of IPv4; that of IPv6 has the same.\n";
        for object in libvirt_objects(Family::Ipv4) {
            object.write(&mut text);
        }
        crate::readable::compare("src/nftables/base.nft", &text);
    }
}
