//! What guests may not pretend, as a table of the family `bridge`: it sees a packet where it enters
//! the bridge, before it is passed on to the host or to another guest, and before the bridge learns
//! from it who is where. It is there while any network has guards, whichever firewall has the rest.

use super::elements::{network, prefix, quoted, Elements};
use super::frame::{address_type, empty_table, Chain};
use super::observed::{Observed, Table};
use super::transaction::{has, script, write_difference, write_elements, PolicyTable};
use super::Place;
use crate::Script;
use portero_model::{Family, Ruleset, Spoof};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The set of interfaces with the MAC address that each may send with.
const MAC_SET: &str = "macs";

/// The set of interfaces that are guarded at all.
const GUARDED_SET: &str = "guarded";

/// The names that libvirt gives to taps; none that it is told can begin so
/// (`VIR_NET_GENERATED_VNET_PREFIX` in src/util/virnetdev.h).
const TAP_NAMES: &str = "vnet*";

/// The set of interfaces with the networks of a family that each may send from.
fn net_set(family: Family) -> String {
    format!("nets_{}", prefix(family))
}

/// The set of interfaces that are guarded against something.
fn tap_set(against: Spoof) -> &'static str {
    match against {
        Spoof::Ip => "guard_ip",
        Spoof::Mac => "guard_mac",
        Spoof::Dhcp => "guard_dhcp",
        Spoof::Ra => "guard_ra",
    }
}

/// Names of the table's sets with their definitions.
pub(crate) fn guard_sets() -> BTreeMap<String, String> {
    let mut sets = BTreeMap::new();
    let mut add = |name: &str, kind: &str| {
        sets.insert(name.to_owned(), format!("set {name} {{ type {kind}; }}"));
    };
    for against in [Spoof::Ip, Spoof::Mac, Spoof::Dhcp, Spoof::Ra] {
        add(tap_set(against), "ifname");
    }
    add(GUARDED_SET, "ifname");
    add(MAC_SET, "ifname . ether_addr");
    for family in Family::ALL {
        let kind = format!("ifname . {}; flags interval", address_type(family));
        add(&net_set(family), &kind);
    }
    sets
}

/// The table's chains.
///
/// A first VLAN tag is off a packet already, but what nft itself puts before `arp` and `icmpv6` reads
/// the frame as if it were still there; `meta protocol` is what the packet is without. Into what else
/// a packet can be wrapped is dropped, since guests may take it for one that is not: tags of VLAN 0
/// by the dozen, and SNAP.
///
/// An interface that has been plugged into a guest has no guard yet when it comes. Those of libvirt's
/// names reach no guarded one until they have.
pub(crate) fn guard_chains() -> [Chain; 2] {
    let others = format!("iifname != @{GUARDED_SET} return");
    let mut rules = vec![("others".to_owned(), others)];
    let mut drop = |name: &str, what: &str| {
        rules.push((name.to_owned(), format!("{what} counter drop")));
    };
    let on = |against: Spoof, what: &str| format!("iifname @{} {what}", tap_set(against));
    let sender = format!("iifname . ether saddr != @{MAC_SET}");
    drop("mac", &on(Spoof::Mac, &sender));
    let sender = format!("meta protocol arp iifname . arp saddr ether != @{MAC_SET}");
    drop("mac in arp", &on(Spoof::Mac, &sender));
    drop("tags", "meta protocol { 0x8100, 0x88a8 }");
    // 0x0004 is the kernel's own number for IEEE 802.3 with 802.2 (linux/if_ether.h), 0xaaaa is SNAP.
    drop("snap", "meta protocol 0x0004 @nh,0,16 0xaaaa");
    // A server may send from any port, so what is sent to clients is told as well (RFC 2131, RFC 8415).
    drop("dhcp servers", &on(Spoof::Dhcp, "udp sport { 67, 547 }"));
    drop("to dhcp clients", &on(Spoof::Dhcp, "udp dport { 68, 546 }"));
    let advertisement = "meta protocol ip6 icmpv6 type nd-router-advert";
    drop("ra", &on(Spoof::Ra, advertisement));
    // Clients of DHCP have no address yet, and an IPv6 link has addresses of its own.
    let mut foreign = |protocol: &str, address: &str, allowed: &str, family: Family| {
        let set = net_set(family);
        let what = format!(
            "meta protocol {protocol} {address} != {allowed} iifname . {address} != @{set}"
        );
        drop(address, &on(Spoof::Ip, &what));
    };
    foreign("ip", "ip saddr", "0.0.0.0", Family::Ipv4);
    foreign("arp", "arp saddr ip", "0.0.0.0", Family::Ipv4);
    foreign("ip6", "ip6 saddr", "{ ::, fe80::/10 }", Family::Ipv6);
    let unknown = format!(
        "iifname \"{TAP_NAMES}\" iifname != @{GUARDED_SET} oifname @{GUARDED_SET} counter drop"
    );
    [
        Chain {
            name: "prerouting",
            hook: Some("type filter hook prerouting priority -301"),
            rules,
        },
        Chain {
            name: "forward",
            hook: Some("type filter hook forward priority -301"),
            rules: vec![("not guarded yet".to_owned(), unknown)],
        },
    ]
}

fn guard_table() -> String {
    empty_table(Place::Guards, &guard_sets(), &guard_chains())
}

/// The elements of a network's guards.
fn elements(ruleset: &Ruleset) -> Elements {
    let mut elements = Elements::new();
    let Some(guards) = &ruleset.guards else {
        return elements;
    };
    let mut add = |set: &str, key: String| {
        elements.insert(Place::Guards.key(set, key), None);
    };
    for tap in &guards.taps {
        let name = quoted(&tap.name);
        add(GUARDED_SET, name.clone());
        for against in &guards.against {
            add(tap_set(*against), name.clone());
        }
        if guards.against.contains(&Spoof::Mac) {
            add(MAC_SET, format!("{name} . {}", tap.mac));
        }
        if guards.against.contains(&Spoof::Ip) {
            for net in &guards.nets {
                let set = net_set(Family::of(net.addr()));
                add(&set, format!("{name} . {}", network(*net)));
            }
        }
    }
    elements
}

/// The script that replaces a network's guards `old` by `new` in the table, which is made when it is
/// missing and stays; see [`super::change_owner`].
#[must_use]
pub fn change_guards(old: &Ruleset, new: &Ruleset, table: PolicyTable) -> Option<Script> {
    let mut text = String::new();
    if table == PolicyTable::Missing && new.guards.is_some() {
        text += &guard_table();
    }
    let (old, new) = (elements(old), elements(new));
    let gone = old.iter().filter(|element| !has(&new, element));
    let came = new.iter().filter(|element| !has(&old, element));
    write_elements("delete", gone, &mut text);
    write_elements("create", came, &mut text);
    script(text)
}

/// The script that turns what was observed of the table into exactly the desired guards; none when
/// nothing differs.
#[must_use]
pub fn reconcile_guards(observed: &Observed, desired: &[Ruleset]) -> Option<Script> {
    let is_wanted = desired.iter().any(|ruleset| ruleset.guards.is_some());
    let wanted: Elements = desired.iter().flat_map(elements).collect();
    let mut text = String::new();
    match &observed.guards {
        None if !is_wanted => {}
        Some(table) if is_wanted && table.is_whole => {
            write_difference(&table.elements, wanted.iter(), &mut text);
        }
        other => {
            if other.is_some() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "delete table {}", Place::Guards);
            }
            if is_wanted {
                text += &guard_table();
                write_elements("add", wanted.iter(), &mut text);
            }
        }
    }
    script(text)
}

/// Whether two networks guard one interface, as when both were taken from under guests of which two
/// have the same MAC address; see [`super::shares_elements`].
#[must_use]
pub fn shares_guards(desired: &[Ruleset]) -> bool {
    let all = || desired.iter().flat_map(elements);
    all().count() > all().collect::<Elements>().len()
}

impl Observed {
    /// Whether all of a network's guards are there.
    #[must_use]
    pub fn holds_guards(&self, ruleset: &Ruleset) -> bool {
        let whole = |table: &&Table| table.is_whole;
        match self.guards.as_ref().filter(whole) {
            None => ruleset.guards.is_none(),
            Some(table) => {
                let wanted = elements(ruleset);
                wanted.iter().all(|element| has(&table.elements, &element))
            }
        }
    }
}
