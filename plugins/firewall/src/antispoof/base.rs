//! The base table of antispoof; `base.nft` beside this file has it as nft reads it, to be read by people.

use crate::nftables::base::{chain, sorted};
use crate::nftables::element::{address_type, prefix, Place};
use crate::nftables::object::{NewChain, NewSet, ObjectChange};
use portero_model::{Family, Spoof};

/// The set of interfaces with the MAC address that each may send with.
pub(super) const MAC_SET: &str = "macs";

/// The set of interfaces that are guarded at all.
pub(super) const GUARDED_SET: &str = "guarded";

/// The names that libvirt gives to taps; none that it is told can begin so
/// (`VIR_NET_GENERATED_VNET_PREFIX` in src/util/virnetdev.h).
pub(super) const TAP_NAMES: &str = "vnet*";

/// Whether libvirt may have given this name to a tap.
#[must_use]
pub fn is_tap_name(name: &str) -> bool {
    name.starts_with(TAP_NAMES.trim_end_matches('*'))
}

/// What is to be told of an interface that is in a guarded network's bridge and is no guest's on it.
#[must_use]
pub fn unguarded(name: &str, bridge: &str) -> String {
    let may = match is_tap_name(name) {
        true => "it reaches no guarded guest",
        false => "what it sends is not looked at",
    };
    format!(
        "{} is in {bridge} and is no guest's interface on the network: it cannot be guarded, and {may}",
        name.escape_debug()
    )
}

/// The set of interfaces with the networks of a family that each may send from.
pub(super) fn net_set(family: Family) -> String {
    format!("nets_{}", prefix(family))
}

/// The set of interfaces that are guarded against something.
pub(super) fn tap_set(against: Spoof) -> &'static str {
    match against {
        Spoof::Ip => "guard_ip",
        Spoof::Mac => "guard_mac",
        Spoof::Dhcp => "guard_dhcp",
        Spoof::Ra => "guard_ra",
    }
}

/// The table's sets, by their names.
pub(crate) fn antispoof_sets() -> Vec<NewSet> {
    let mut sets = Vec::new();
    let mut add = |name: &str, types: &str| sets.push(NewSet::set(name, types));
    for against in [Spoof::Ip, Spoof::Mac, Spoof::Dhcp, Spoof::Ra] {
        add(tap_set(against), "ifname");
    }
    add(GUARDED_SET, "ifname");
    add(MAC_SET, "ifname . ether_addr");
    for family in Family::ALL {
        let kind = format!("ifname . {}; flags interval", address_type(family));
        add(&net_set(family), &kind);
    }
    sorted(sets)
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
pub(crate) fn antispoof_chains() -> [NewChain; 2] {
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
    let forward = vec![("not guarded yet".to_owned(), unknown)];
    [
        chain("prerouting", Some(("filter", "prerouting", -301)), rules),
        chain("forward", Some(("filter", "forward", -301)), forward),
    ]
}

pub(super) fn antispoof_table() -> ObjectChange {
    let chains = antispoof_chains().into();
    ObjectChange::table(Place::Antispoof, antispoof_sets(), chains)
}

#[cfg(test)]
mod tests {
    /// `base.nft` is for people; `PORTERO_CASES=accept cargo test` writes it anew.
    #[test]
    fn the_readable_text_is_what_is_written() {
        let head = "# The base table of antispoof, without any network's elements: written by base.rs.\n\n";
        let mut text = head.to_owned();
        super::antispoof_table().write(&mut text);
        crate::readable::compare("src/antispoof/base.nft", &text);
    }
}
