//! Finds guests' taps, and puts them back into a bridge that libvirt took away under them.

use crate::interfaces;
use crate::netlink::Netlink;
use crate::{Deadline, KernelError};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use portero_event::{InterfaceName, MacAddress};
use portero_plan::Tap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The first octet of a tap's MAC address; the others are the guest's
/// (`virNetDevTapCreateInBridgePort` in src/util/virnetdevtap.c).
const TAP_FIRST_OCTET: u8 = 0xfe;

/// The taps of guests with these MAC addresses that are in `bridge` or in no bridge. Where one can
/// be of several guests, it is given for each.
pub(crate) fn find(bridge: &str, guests: &[MacAddress]) -> Result<BTreeSet<Tap>, KernelError> {
    find_in(Path::new(interfaces::FOLDER), bridge, guests)
}

/// The same where `folder` lists all interfaces.
fn find_in(
    folder: &Path,
    bridge: &str,
    guests: &[MacAddress],
) -> Result<BTreeSet<Tap>, KernelError> {
    let mut taps = BTreeSet::new();
    if guests.is_empty() {
        return Ok(taps);
    }
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let Ok(address) = fs::read_to_string(path.join("address")) else {
            continue;
        };
        let mut guests = guests
            .iter()
            .filter(|guest| tap_address(**guest) == address.trim())
            .peekable();
        if guests.peek().is_none() || !path.join("tun_flags").exists() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if interfaces::master_of(&path).is_some_and(|master| master != bridge) {
            continue;
        }
        // Only such a name can be told apart from whatever else nft understands.
        let name: InterfaceName = name
            .parse()
            .map_err(|invalid| error(std::io::Error::other(invalid)))?;
        taps.extend(guests.map(|mac| Tap {
            name: name.to_string(),
            mac: mac.to_string(),
        }));
    }
    Ok(taps)
}

/// Puts the taps of guests with these MAC addresses into `bridge` if they are in no bridge; gives
/// the names of those that were put back.
pub(crate) fn reattach(
    bridge: &InterfaceName,
    guests: &[MacAddress],
    deadline: Deadline,
) -> Result<Vec<String>, KernelError> {
    let bridge_index = index_of(bridge.as_str()).map_err(error)?;
    let taps = find(bridge.as_str(), guests)?;
    let names: BTreeSet<String> = taps.into_iter().map(|tap| tap.name).collect();
    let mut back = Vec::new();
    for name in names {
        if interfaces::master(&name).is_some() {
            continue;
        }
        let mut message = LinkMessage::default();
        message.header.index = index_of(&name).map_err(error)?;
        message
            .attributes
            .push(LinkAttribute::Controller(bridge_index));
        Netlink::open(NETLINK_ROUTE, deadline)?.request(
            RouteNetlinkMessage::SetLink(message),
            NLM_F_REQUEST | NLM_F_ACK,
            |_| {},
        )?;
        back.push(name);
    }
    Ok(back)
}

fn error(source: std::io::Error) -> KernelError {
    KernelError::Kernel {
        path: interfaces::FOLDER.to_owned(),
        source,
    }
}

fn tap_address(guest: MacAddress) -> String {
    let [_, b, c, d, e, f] = guest.octets();
    format!("{TAP_FIRST_OCTET:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn index_of(interface: &str) -> std::io::Result<u32> {
    fs::read_to_string(interfaces::folder(interface).join("ifindex"))?
        .trim()
        .parse()
        .map_err(std::io::Error::other)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Lists an interface as sysfs(5) does.
    fn list(folder: &Path, name: &str, address: &str, master: Option<&str>) {
        let path = folder.join(name);
        fs::create_dir(&path).expect("a folder");
        fs::write(path.join("address"), format!("{address}\n")).expect("a file");
        if let Some(master) = master {
            symlink(format!("../{master}"), path.join("master")).expect("a link");
        }
    }

    #[test]
    fn taps_of_guests_are_those_in_their_bridge_or_in_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let taps = [
            ("vnet0", "fe:54:00:00:00:01", Some("br-lan")),
            ("vnet1", "fe:54:00:00:00:01", Some("br-other")),
            ("vnet2", "fe:54:00:00:00:01", None),
            ("vnet3", "fe:54:00:00:00:03", Some("br-lan")),
        ];
        for (name, address, master) in taps {
            list(folder, name, address, master);
            fs::write(folder.join(name).join("tun_flags"), "0x5002\n").expect("a file");
        }
        // No tap at all.
        list(folder, "eth0", "fe:54:00:00:00:01", Some("br-lan"));
        let guests = ["52:54:00:00:00:01", "52:54:00:00:00:02"];
        let guests = guests.map(|mac| mac.parse().expect("an address"));
        let found = find_in(folder, "br-lan", &guests).expect("taps");
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|tap| (tap.name.as_str(), tap.mac.as_str()))
            .collect();
        let expected = [
            ("vnet0", "52:54:00:00:00:01"),
            ("vnet2", "52:54:00:00:00:01"),
        ];
        assert_eq!(found, expected);
    }
}
