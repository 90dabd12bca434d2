//! What portero does to interfaces itself, over rtnetlink(7): notes what they have, and puts it back
//! where the program that brings them up did not.

use crate::difference::Difference;
use crate::kernel::{change, dump, FAMILIES, KERNEL};
use crate::noted::{missing, Entry, Noted, What, ADDRESS_HEAD, NEIGHBOR_HEAD, ROUTE_HEAD};
use crate::outcome::Kind;
use crate::record::seconds;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::LinkHeader;
use nix::libc::{
    RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELROUTE, RTM_GETADDR, RTM_GETNEIGH, RTM_GETROUTE,
    RTM_NEWADDR, RTM_NEWNEIGH, RTM_NEWROUTE,
};
use portero_libvirt::MacAddress;
use portero_system::netlink::{set_link, LinkChange, Raw};
use portero_system::{interfaces, Deadline, SystemError};
use std::fs;
use std::path::PathBuf;

/// Settings of IPv6 that whoever puts a NIC into a bridge changes, and without which it has no
/// addresses again.
const SETTINGS: [&str; 3] = ["disable_ipv6", "addr_gen_mode", "accept_ra"];

/// What an interface has now, for a NIC to have it again.
pub(super) fn note(interface: &str, nic: &str) -> Result<Noted, SystemError> {
    let index = interfaces::index(interface).map_err(SystemError::file(interface))?;
    let setting = |name: &&str| {
        let value = fs::read_to_string(setting(interface, name)).ok()?;
        Some(((*name).to_owned(), value.trim().to_owned()))
    };
    Ok(Noted {
        nic: nic.to_owned(),
        index,
        at: seconds(),
        is_up: interfaces::is_up(interface),
        mtu: attribute(interface, "mtu").and_then(|text| text.parse().ok()),
        mac: attribute(interface, "address"),
        settings: SETTINGS.iter().filter_map(setting).collect(),
        entries: entries(index)?,
    })
}

/// What /sys says of an interface.
fn attribute(interface: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(interfaces::folder(interface).join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// The addresses, routes and written neighbors of an interface.
fn entries(index: u32) -> Result<Vec<Entry>, SystemError> {
    let mut entries = Vec::new();
    let mut list = |kind, head, family, read: fn(&[u8], u32) -> Option<Entry>| {
        let answers = dump(kind, head, family)?.into_iter();
        entries.extend(answers.filter_map(|answer| read(&answer.payload, index)));
        Ok::<(), SystemError>(())
    };
    list(RTM_GETADDR, ADDRESS_HEAD, 0, Entry::address)?;
    for family in FAMILIES {
        list(RTM_GETROUTE, ROUTE_HEAD, family, Entry::route)?;
    }
    list(RTM_GETNEIGH, NEIGHBOR_HEAD, 0, Entry::neighbor)?;
    Ok(entries)
}

/// The addresses of an interface that others can reach, `192.0.2.10/24`.
pub(super) fn addresses(interface: &str) -> Result<Vec<String>, SystemError> {
    let index = interfaces::index(interface).map_err(SystemError::file(interface))?;
    let entries = entries(index)?.into_iter();
    let addresses = entries.filter(|entry| entry.what == What::Address && !entry.is_of_link());
    Ok(addresses.map(|entry| entry.text).collect())
}

/// What a bridge is missing of what its first NIC had, or has otherwise; not what the kernel gives each link.
pub(super) fn missing_on_bridge(
    noted: &Noted,
    bridge: &str,
) -> Result<Vec<Difference>, SystemError> {
    let Ok(index) = interfaces::index(bridge) else {
        let text = format!("bridge {bridge}");
        return Ok(vec![Difference::new(Kind::Link, text)]);
    };
    let (mut wanted, elapsed) = wanted(noted, index);
    wanted.retain(|entry| !entry.ends());
    let mut now = entries(index)?;
    now.retain(|entry| !entry.is_tentative());
    let gone = missing(&wanted, &now, elapsed).into_iter();
    let gone = gone.filter(|entry| !entry.is_of_link());
    let mut found: Vec<Difference> = gone.map(Difference::of_entry).collect();
    found.extend(overtaken(&wanted, &now, index)?);
    found.extend(other_link(noted, bridge));
    Ok(found)
}

/// A NIC in a bridge whose MTU is smaller than the bridge's: what the host sends would be too long for it.
pub(super) fn narrow(nic: &str, bridge: &str) -> Option<Difference> {
    let mtu = |name| attribute(name, "mtu")?.parse::<u32>().ok();
    let (of_nic, of_bridge) = (mtu(nic)?, mtu(bridge)?);
    let text = format!("MTU {of_bridge} of {nic}");
    (of_nic < of_bridge).then(|| Difference::new(Kind::Link, text))
}

/// What else an interface has as its MTU and MAC address.
fn other_link(noted: &Noted, interface: &str) -> Vec<Difference> {
    let known = [
        ("MTU", "mtu", noted.mtu.map(|mtu| mtu.to_string())),
        ("MAC address", "address", noted.mac.clone()),
    ];
    let differs = known.into_iter().filter_map(|(name, file, before)| {
        let before = before.filter(|before| attribute(interface, file).as_ref() != Some(before))?;
        Some(Difference::new(Kind::Link, format!("{name} {before}")))
    });
    differs.collect()
}

/// Routes whose metric is another one now, so that a route by another interface is chosen instead, or no longer.
fn overtaken(wanted: &[Entry], now: &[Entry], index: u32) -> Result<Vec<Difference>, SystemError> {
    let mut changed = Vec::new();
    for entry in wanted.iter().filter(|entry| !entry.is_of_link()) {
        let Some((to, before)) = entry.rank() else {
            continue;
        };
        let ranks = now.iter().filter(|now| now.text == entry.text);
        let after = ranks.filter_map(Entry::rank).map(|(_, metric)| metric);
        if let Some(after) = after.min().filter(|after| *after != before) {
            changed.push((entry, to, before, after));
        }
    }
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let mut others = Vec::new();
    for family in FAMILIES {
        for answer in dump(RTM_GETROUTE, ROUTE_HEAD, family)? {
            others.extend(Entry::rank_of_other(&answer.payload, index));
        }
    }
    changed.retain(|(_, to, before, after)| {
        let mut rivals = others.iter().filter(|(other, _)| other == to);
        rivals.any(|(_, metric)| before.cmp(metric) != after.cmp(metric))
    });
    let found = changed.into_iter().map(|(entry, _, before, _)| {
        Difference::new(
            Kind::Metrics,
            format!("{} with metric {before}", entry.text),
        )
    });
    Ok(found.collect())
}

/// What is not as it was.
pub(super) fn differences(noted: &[Noted], bridge: &str) -> Result<Vec<Difference>, SystemError> {
    let mut found = Vec::new();
    if interfaces::folder(bridge).exists() {
        found.push(Difference::new(
            Kind::Link,
            format!("the removal of {bridge}"),
        ));
    }
    for noted in noted {
        let nic = &noted.nic;
        let Ok(index) = interfaces::index(nic) else {
            found.push(Difference::new(Kind::Link, format!("{nic} itself")));
            continue;
        };
        if interfaces::master(nic).as_deref() == Some(bridge) {
            found.push(Difference::new(
                Kind::Link,
                format!("{nic} out of {bridge}"),
            ));
        } else if noted.is_up && !interfaces::is_up(nic) {
            found.push(Difference::new(Kind::Link, format!("{nic} up")));
        }
        let (wanted, elapsed) = wanted(noted, index);
        let now = entries(index)?;
        let missing = missing(&wanted, &now, elapsed);
        found.extend(missing.into_iter().map(Difference::of_entry));
        found.extend(other_link(noted, nic));
    }
    Ok(found)
}

/// What a NIC is to have, and how many seconds ago it had it.
fn wanted(noted: &Noted, index: u32) -> (Vec<Entry>, u64) {
    let entries = noted.entries.iter();
    let moved = entries.map(|entry| entry.moved(noted.index, index));
    (moved.collect(), seconds().saturating_sub(noted.at))
}

/// Makes NICs what they were, as far as they are not. What the kernel refuses is seen when they are
/// looked at again; gives its reasons.
pub(super) fn put_back(noted: &[Noted], bridge: &str) -> Vec<SystemError> {
    let mut refused = Vec::new();
    refused.extend(delete(bridge).err());
    for noted in noted {
        refused.extend(put_back_one(noted, bridge));
    }
    refused
}

fn put_back_one(noted: &Noted, bridge: &str) -> Vec<SystemError> {
    let nic = &noted.nic;
    let mut refused = Vec::new();
    // One that is not there has nothing.
    let Ok(index) = interfaces::index(nic) else {
        return refused;
    };
    if interfaces::master(nic).as_deref() == Some(bridge) {
        let left = set(index, &[LinkChange::Controller(0)]);
        refused.extend(left.err());
    }
    refused.extend(write_settings(&noted.settings, nic));
    let differs = |name: &str, before: &str| attribute(nic, name).as_deref() != Some(before);
    if let Some(mtu) = noted.mtu.filter(|mtu| differs("mtu", &mtu.to_string())) {
        let put = set(index, &[LinkChange::Mtu(mtu)]);
        refused.extend(put.err());
    }
    let mac = noted.mac.as_deref().filter(|mac| differs("address", mac));
    if let Some(mac) = mac.and_then(|mac| mac.parse::<MacAddress>().ok()) {
        let mac = LinkChange::Address(mac.octets());
        refused.extend(set(index, &[mac]).err());
    }
    if noted.is_up && !interfaces::is_up(nic) {
        refused.extend(set(index, &[LinkChange::Up]).err());
    }
    refused.extend(add_missing(noted, index));
    refused
}

/// Adds the noted addresses and routes that an interface does not have, the NIC or the bridge; gives
/// what the kernel refused.
fn add_missing(noted: &Noted, index: u32) -> Vec<SystemError> {
    let mut refused = Vec::new();
    let (wanted, elapsed) = wanted(noted, index);
    for what in What::ALL {
        // The kernel makes routes with an address.
        let now = match entries(index) {
            Ok(now) => now,
            Err(error) => {
                refused.push(error);
                return refused;
            }
        };
        let mut missing = missing(&wanted, &now, elapsed);
        missing.retain(|entry| entry.what == what);
        missing.sort_by_key(|entry| entry.has_gateway());
        for entry in missing {
            if let Some(payload) = entry.request(elapsed) {
                refused.extend(add(what, payload).err());
            }
        }
    }
    refused
}

/// Puts NICs into a bridge that another program keeps making again, and gives it all that they have
/// and had: with addresses on both, the host would answer by neither. A NIC loses nothing before the
/// bridge has it.
pub(super) fn hand_over(noted: &[Noted], bridge: &str) -> Vec<SystemError> {
    let mut refused = Vec::new();
    let Some(to) = bridge_index(bridge) else {
        return refused;
    };
    for noted in noted {
        let nic = &noted.nic;
        let Ok(from) = interfaces::index(nic) else {
            continue;
        };
        let master = interfaces::master(nic);
        if master.as_deref().is_some_and(|master| master != bridge) {
            continue;
        }
        let entered = set(from, &[LinkChange::Up, LinkChange::Controller(to)]);
        if let Err(error) = entered.and_then(|()| set(to, &[LinkChange::Up])) {
            refused.push(error);
            continue;
        }
        refused.extend(write_settings(&noted.settings, bridge));
        let now = Noted {
            nic: nic.clone(),
            index: from,
            at: seconds(),
            entries: entries(from).unwrap_or_default(),
            ..Noted::default()
        };
        for source in [&now, noted] {
            refused.extend(add_missing(source, to));
        }
        refused.extend(remove_all(&now.entries));
    }
    refused
}

/// Takes from a NIC in a bridge the addresses that the bridge has too, and the routes by the NIC: with an address on both,
/// the host answers by neither. An `ifdown` that ends a DHCP client which does not give its address back (udhcpc)
/// leaves it on the NIC.
pub(super) fn drop_doubles(nic: &str, bridge: &str) -> Vec<SystemError> {
    let of = |index: Option<u32>| index.and_then(|index| entries(index).ok());
    let of_nic = of(interfaces::index(nic).ok()).unwrap_or_default();
    let of_bridge = of(bridge_index(bridge)).unwrap_or_default();
    let is_double = |entry: &Entry| {
        let mut others = of_bridge.iter();
        entry.what == What::Address
            && !entry.is_of_link()
            && others.any(|other| other.what == What::Address && other.text == entry.text)
    };
    if !of_nic.iter().any(is_double) {
        return Vec::new();
    }
    let goes = |entry: &Entry| entry.what == What::Route || is_double(entry);
    let doubles: Vec<Entry> = of_nic.iter().filter(|entry| goes(entry)).cloned().collect();
    remove_all(&doubles)
}

/// Whether a bridge has the NICs that are there, and all that they had, and they have nothing more.
pub(super) fn is_handed_over(noted: &[Noted], bridge: &str) -> bool {
    let all = bridge_index(bridge).and_then(|index| Some((index, entries(index).ok()?)));
    let Some((index, of_bridge)) = all else {
        return false;
    };
    noted.iter().all(|noted| {
        let Ok(nic) = interfaces::index(&noted.nic) else {
            return true;
        };
        let (wanted, elapsed) = wanted(noted, index);
        let of_nic = entries(nic).unwrap_or_default();
        interfaces::master(&noted.nic).as_deref() == Some(bridge)
            && missing(&wanted, &of_bridge, elapsed)
                .into_iter()
                .all(Entry::is_of_link)
            && of_nic.iter().all(Entry::is_of_link)
    })
}

/// The index of what is a bridge.
fn bridge_index(name: &str) -> Option<u32> {
    let is_bridge = interfaces::folder(name).join("bridge").exists();
    interfaces::index(name).ok().filter(|_| is_bridge)
}

/// Takes an interface's routes away, then its addresses; not what the kernel gives each link.
fn remove_all(entries: &[Entry]) -> Vec<SystemError> {
    let mut refused = Vec::new();
    for (what, kind) in [
        (What::Neighbor, RTM_DELNEIGH),
        (What::Route, RTM_DELROUTE),
        (What::Address, RTM_DELADDR),
    ] {
        for entry in entries {
            if entry.what == what && !entry.is_of_link() {
                refused.extend(change(kind, entry.removal(), 0).err());
            }
        }
    }
    refused
}

/// Writes settings of IPv6 that an interface does not have.
fn write_settings(settings: &[(String, String)], interface: &str) -> Vec<SystemError> {
    let mut refused = Vec::new();
    for (name, value) in settings {
        let path = setting(interface, name);
        let now = fs::read_to_string(&path).unwrap_or_default();
        if now.trim() != value {
            let written = fs::write(&path, value);
            refused.extend(written.map_err(SystemError::file(path.display())).err());
        }
    }
    refused
}

/// Adds an address or a route to those that are there.
fn add(what: What, payload: Vec<u8>) -> Result<(), SystemError> {
    let (kind, flags) = match what {
        What::Address => (RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL),
        What::Route => (RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND),
        What::Neighbor => (RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE),
    };
    change(kind, payload, flags)
}

/// Changes a link.
fn set(index: u32, changes: &[LinkChange]) -> Result<(), SystemError> {
    set_link(index, changes, Deadline::after(KERNEL))
}

/// Takes a bridge's interface away, if it is there.
pub(super) fn delete(bridge: &str) -> Result<(), SystemError> {
    let Ok(index) = interfaces::index(bridge) else {
        return Ok(());
    };
    let link = LinkHeader {
        index,
        ..LinkHeader::default()
    };
    let Raw { kind, payload } = Raw::new(RTM_DELLINK, &link);
    change(kind, payload, 0)
}

fn setting(interface: &str, name: &str) -> PathBuf {
    let folder = PathBuf::from("/proc/sys/net/ipv6/conf");
    folder.join(interface).join(name)
}
