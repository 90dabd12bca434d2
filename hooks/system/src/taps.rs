//! Finds guests' taps, and puts them back into a bridge that libvirt took away under them.

use crate::interfaces;
use crate::netlink::set_link;
use crate::{Deadline, SystemError};
use netlink_packet_route::link::LinkAttribute;
use portero_libvirt::{InterfaceName, MacAddress};
use portero_model::Tap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The first octet of a tap's MAC address; the others are the guest's
/// (`virNetDevTapCreateInBridgePort` in src/util/virnetdevtap.c).
const TAP_FIRST_OCTET: u8 = 0xfe;

/// The taps of guests with these MAC addresses that are in `bridge` or in no bridge. Where one can
/// be of several guests, it is given for each.
pub(crate) fn find(bridge: &str, guests: &[MacAddress]) -> Result<BTreeSet<Tap>, SystemError> {
    find_among(Path::new(interfaces::FOLDER), bridge, guests)
}

/// The same among the interfaces of this folder.
fn find_among(
    folder: &Path,
    bridge: &str,
    guests: &[MacAddress],
) -> Result<BTreeSet<Tap>, SystemError> {
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
) -> Result<Vec<String>, SystemError> {
    let bridge_index = interfaces::index(bridge.as_str()).map_err(error)?;
    let taps = find(bridge.as_str(), guests)?;
    let names: BTreeSet<String> = taps.into_iter().map(|tap| tap.name).collect();
    let mut back = Vec::new();
    for name in names {
        if interfaces::master(&name).is_some() {
            continue;
        }
        let index = interfaces::index(&name).map_err(error)?;
        set_link(index, deadline, |link| {
            link.attributes
                .push(LinkAttribute::Controller(bridge_index));
        })?;
        back.push(name);
    }
    Ok(back)
}

fn error(source: std::io::Error) -> SystemError {
    SystemError::File {
        path: interfaces::FOLDER.to_owned(),
        source,
    }
}

fn tap_address(guest: MacAddress) -> String {
    let [_, b, c, d, e, f] = guest.octets();
    format!("{TAP_FIRST_OCTET:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::find_among;
    use portero_libvirt::MacAddress;
    use portero_model::Tap;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// What an interface is beside its address.
    enum Is<'a> {
        TapIn(&'a str),
        FreeTap,
        NoTap,
    }

    /// An interface as sysfs lists it.
    fn interface(root: &Path, name: &str, address: &str, is: &Is<'_>) {
        let folder = root.join(name);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("address"), format!("{address}\n")).expect("a file");
        if !matches!(is, Is::NoTap) {
            fs::write(folder.join("tun_flags"), "0x5002\n").expect("a file");
        }
        if let Is::TapIn(bridge) = is {
            symlink(format!("../{bridge}"), folder.join("master")).expect("a link");
        }
    }

    #[test]
    fn taps_of_the_guests_in_this_bridge_or_in_none_are_found() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        interface(root, "vnet1", "fe:54:00:77:00:01", &Is::TapIn("br-lan"));
        interface(root, "vnet2", "fe:54:00:77:00:01", &Is::FreeTap);
        interface(root, "vnet3", "fe:54:00:77:00:01", &Is::TapIn("br-dmz"));
        interface(root, "vnet4", "fe:54:00:77:00:04", &Is::TapIn("br-lan"));
        interface(root, "eth5", "fe:54:00:77:00:01", &Is::NoTap);
        let mac = "52:54:00:77:00:01";
        let guests: [MacAddress; 1] = [mac.parse().expect("a MAC address")];
        let found = |bridge| find_among(root, bridge, &guests).expect("interfaces");
        let taps = |names: [&str; 2]| {
            let taps = names.map(|name| Tap {
                name: name.to_owned(),
                mac: mac.to_owned(),
            });
            taps.into()
        };
        assert_eq!(found("br-lan"), taps(["vnet1", "vnet2"]));
        assert_eq!(found("br-dmz"), taps(["vnet2", "vnet3"]));
    }
}
