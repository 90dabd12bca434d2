//! What portero does to interfaces itself, over rtnetlink(7): notes what they have, and puts it back
//! where the program that brings them up did not.

use crate::noted::{missing, Entry, Noted, What, ADDRESS_HEAD, ROUTE_HEAD};
use crate::record::seconds;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{RTM_DELADDR, RTM_DELROUTE, RTM_GETADDR, RTM_GETROUTE, RTM_NEWADDR, RTM_NEWROUTE};
use portero_system::netlink::{set_link, Netlink, Raw};
use portero_system::{interfaces, Deadline, SystemError};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Longest time for one question to the kernel.
const KERNEL: Duration = Duration::from_secs(3);

/// The families of `struct rtmsg` that have routes.
const FAMILIES: [u8; 2] = [2, 10];

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
        settings: SETTINGS.iter().filter_map(setting).collect(),
        entries: entries(index)?,
    })
}

/// The addresses and routes of an interface.
fn entries(index: u32) -> Result<Vec<Entry>, SystemError> {
    let mut entries = Vec::new();
    let mut netlink = Netlink::open(NETLINK_ROUTE, Deadline::after(KERNEL))?;
    let mut list = |kind, payload, read: fn(&[u8], u32) -> Option<Entry>| {
        let all = Raw { kind, payload };
        netlink.request(all, NLM_F_REQUEST | NLM_F_DUMP, |answer: Raw| {
            entries.extend(read(&answer.payload, index));
        })
    };
    list(RTM_GETADDR, vec![0; ADDRESS_HEAD], Entry::address)?;
    for family in FAMILIES {
        let mut payload = vec![0; ROUTE_HEAD];
        payload[0] = family;
        list(RTM_GETROUTE, payload, Entry::route)?;
    }
    Ok(entries)
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// What is missing, in words.
    pub(super) text: String,
    /// Whether it is what the kernel gives each link, which nobody is told of or waits for.
    pub(super) is_of_link: bool,
}

impl Difference {
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            is_of_link: false,
        }
    }
}

/// What is not as it was.
pub(super) fn differences(noted: &[Noted], bridge: &str) -> Result<Vec<Difference>, SystemError> {
    let mut found = Vec::new();
    if interfaces::folder(bridge).exists() {
        found.push(Difference::new(format!("the removal of {bridge}")));
    }
    for noted in noted {
        let nic = &noted.nic;
        let Ok(index) = interfaces::index(nic) else {
            found.push(Difference::new(format!("{nic} itself")));
            continue;
        };
        if interfaces::master(nic).as_deref() == Some(bridge) {
            found.push(Difference::new(format!("{nic} out of {bridge}")));
        } else if noted.is_up && !interfaces::is_up(nic) {
            found.push(Difference::new(format!("{nic} up")));
        }
        let (wanted, elapsed) = wanted(noted, index);
        let now = entries(index)?;
        let missing = missing(&wanted, &now, elapsed);
        found.extend(missing.into_iter().map(|entry| Difference {
            text: entry.text.clone(),
            is_of_link: entry.is_of_link(),
        }));
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
        let left = set(index, |link| {
            link.attributes.push(LinkAttribute::Controller(0))
        });
        refused.extend(left.err());
    }
    refused.extend(write_settings(&noted.settings, nic));
    if noted.is_up && !interfaces::is_up(nic) {
        refused.extend(set(index, up).err());
    }
    refused.extend(add_missing(noted, index));
    refused
}

/// Adds the noted addresses and routes that an interface does not have, the NIC or the bridge; gives
/// what the kernel refused.
fn add_missing(noted: &Noted, index: u32) -> Vec<SystemError> {
    let mut refused = Vec::new();
    let (wanted, elapsed) = wanted(noted, index);
    for what in [What::Address, What::Route] {
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
        let entered = set(from, |link| {
            up(link);
            link.attributes.push(LinkAttribute::Controller(to));
        });
        if let Err(error) = entered.and_then(|()| set(to, up)) {
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
    for (what, kind) in [(What::Route, RTM_DELROUTE), (What::Address, RTM_DELADDR)] {
        for entry in entries {
            if entry.what == what && !entry.is_of_link() {
                refused.extend(change(kind, entry.removal(), 0).err());
            }
        }
    }
    refused
}

fn up(link: &mut LinkMessage) {
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
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
    };
    change(kind, payload, flags)
}

/// Changes an address or a route.
fn change(kind: u16, payload: Vec<u8>, flags: u16) -> Result<(), SystemError> {
    let mut netlink = Netlink::open(NETLINK_ROUTE, Deadline::after(KERNEL))?;
    let message = Raw { kind, payload };
    netlink.request(message, NLM_F_REQUEST | NLM_F_ACK | flags, |_| {})
}

/// Changes a link.
fn set(index: u32, change: impl FnOnce(&mut LinkMessage)) -> Result<(), SystemError> {
    set_link(index, Deadline::after(KERNEL), change)
}

/// Takes a bridge's interface away, if it is there.
pub(super) fn delete(bridge: &str) -> Result<(), SystemError> {
    let Ok(index) = interfaces::index(bridge) else {
        return Ok(());
    };
    let mut link = LinkMessage::default();
    link.header.index = index;
    let mut netlink = Netlink::open(NETLINK_ROUTE, Deadline::after(KERNEL))?;
    let message = RouteNetlinkMessage::DelLink(link);
    netlink.request(message, NLM_F_REQUEST | NLM_F_ACK, |_| {})
}

fn setting(interface: &str, name: &str) -> PathBuf {
    let folder = PathBuf::from("/proc/sys/net/ipv6/conf");
    folder.join(interface).join(name)
}
