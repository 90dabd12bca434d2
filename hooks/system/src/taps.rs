//! Finds the host's ends of guests' interfaces, and puts them back into a bridge that libvirt took away under them.

use crate::interfaces;
use crate::netlink::{set_link, LinkChange};
use crate::{Deadline, Result, SystemError};
use portero_libvirt::{InterfaceName, MacAddress, Nic};
use portero_model::Tap;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The first octet of a tap's MAC address; the others are the guest's
/// (`virNetDevTapCreateInBridgePort` in src/util/virnetdevtap.c).
const TAP_FIRST_OCTET: u8 = 0xfe;

/// The host's ends of these interfaces of guests that are in `bridge` or in no bridge. Where one can be of several
/// guests, it is given for each.
pub(crate) fn find(bridge: &str, guests: &[Nic]) -> Result<BTreeSet<Tap>> {
    find_among(Path::new(interfaces::FOLDER), bridge, guests)
}

/// The same among the interfaces of this folder.
///
/// A tap of QEMU's is told by its MAC address, which libvirt derives from the guest's. The host's end of a container's
/// pair has any: while the other end, which has the guest's, is still on the host, it is told by that, and later by the
/// name that libvirt keeps of it.
fn find_among(folder: &Path, bridge: &str, guests: &[Nic]) -> Result<BTreeSet<Tap>> {
    let mut taps = BTreeSet::new();
    if guests.is_empty() {
        return Ok(taps);
    }
    for entry in fs::read_dir(folder).map_err(error)? {
        let mut path = entry.map_err(error)?.path();
        let Ok(address) = fs::read_to_string(path.join("address")) else {
            continue;
        };
        let address = address.trim();
        let is_tap = |guest: &&Nic| tap_address(guest.mac) == address;
        let is_inner = |guest: &&Nic| guest.mac.to_string() == address;
        let is_outer = |guest: &&Nic| {
            let name = guest.target.as_ref().map(InterfaceName::as_str);
            name.is_some_and(|name| path.ends_with(name))
        };
        let mut found: Vec<&Nic> = Vec::new();
        if path.join("tun_flags").exists() {
            found.extend(guests.iter().filter(is_tap));
        } else if guests.iter().any(|guest| is_outer(&guest)) {
            let is_pair = peer_index(&path).is_some();
            found.extend(guests.iter().filter(is_outer).filter(|_| is_pair));
        } else if guests.iter().any(|guest| is_inner(&guest)) {
            found.extend(guests.iter().filter(is_inner));
            match peer(folder, &path) {
                Some(outer) => path = outer,
                None => continue,
            }
        }
        if found.is_empty() {
            continue;
        }
        if interfaces::master_of(&path).is_some_and(|master| master != bridge) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Only such a name can be told apart from whatever else nft understands.
        let name: InterfaceName = name
            .parse()
            .map_err(|invalid| error(std::io::Error::other(invalid)))?;
        taps.extend(found.into_iter().map(|guest| Tap {
            name: name.to_string(),
            mac: guest.mac.to_string(),
        }));
    }
    Ok(taps)
}

/// The index of what an interface is an end of, as the kernel numbers it where that is; nothing for one that ends in
/// itself.
fn peer_index(path: &Path) -> Option<u32> {
    let own = read_index(path, "ifindex");
    read_index(path, "iflink").filter(|peer| own != Some(*peer))
}

fn read_index(path: &Path, file: &str) -> Option<u32> {
    let text = fs::read_to_string(path.join(file)).ok()?;
    text.trim().parse().ok()
}

/// The other end of a pair that is on the host as a whole.
fn peer(folder: &Path, path: &Path) -> Option<PathBuf> {
    let (own, wanted) = (read_index(path, "ifindex")?, peer_index(path)?);
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut others = entries.map(|entry| entry.path());
    others.find(|other| {
        read_index(other, "ifindex") == Some(wanted) && peer_index(other) == Some(own)
    })
}

/// The interfaces that are in a bridge; none when it is not there.
pub(crate) fn members(bridge: &str) -> Result<BTreeSet<String>> {
    match fs::read_dir(interfaces::folder(bridge).join("brif")) {
        Ok(entries) => entries
            .map(|entry| {
                let name = entry.map_err(error)?.file_name();
                Ok(name.to_string_lossy().into_owned())
            })
            .collect(),
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(other) => Err(error(other)),
    }
}

/// Puts the host's ends of these interfaces into `bridge` if they are in no bridge; gives
/// the names of those that were put back.
pub(crate) fn reattach(
    bridge: &InterfaceName,
    guests: &[Nic],
    deadline: Deadline,
) -> Result<Vec<String>> {
    let bridge_index = interfaces::index(bridge.as_str()).map_err(error)?;
    let is_isolated = |mac: &str| {
        let mut guests = guests.iter();
        guests.any(|nic| nic.settings.is_isolated && nic.mac.to_string() == mac)
    };
    let taps = find(bridge.as_str(), guests)?;
    let taps: BTreeMap<String, bool> = taps
        .into_iter()
        .map(|tap| (tap.name, is_isolated(&tap.mac)))
        .collect();
    let mut back = Vec::new();
    for (name, is_isolated) in taps {
        if interfaces::master(&name).is_some() {
            continue;
        }
        let index = interfaces::index(&name).map_err(error)?;
        let join = LinkChange::Controller(bridge_index);
        if is_isolated {
            // Nothing passes until it is what it was.
            set_link(index, &[LinkChange::Down, join], deadline)?;
            let file = interfaces::folder(&name).join("brport/isolated");
            fs::write(&file, "1").map_err(SystemError::file(file.display()))?;
            set_link(index, &[LinkChange::Up], deadline)?;
        } else {
            set_link(index, &[join], deadline)?;
        }
        back.push(name);
    }
    Ok(back)
}

fn error(source: std::io::Error) -> SystemError {
    SystemError::file(interfaces::FOLDER)(source)
}

fn tap_address(guest: MacAddress) -> String {
    let [_, b, c, d, e, f] = guest.octets();
    format!("{TAP_FIRST_OCTET:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::find_among;
    use portero_libvirt::Nic;
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
        let guests = [nic(mac, None)];
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

    fn nic(mac: &str, target: Option<&str>) -> Nic {
        Nic {
            bridge: None,
            mac: mac.parse().expect("a MAC address"),
            kind: portero_libvirt::NicKind::Network,
            network: None,
            target: target.map(|name| name.parse().expect("a name")),
            settings: portero_libvirt::PortSettings::default(),
        }
    }

    /// An end of a pair, as sysfs lists it.
    fn end(root: &Path, name: &str, address: &str, index: u32, peer: u32) {
        interface(root, name, address, &Is::NoTap);
        for (file, number) in [("ifindex", index), ("iflink", peer)] {
            fs::write(root.join(name).join(file), format!("{number}\n")).expect("a file");
        }
    }

    #[test]
    fn the_end_of_a_container_is_told_by_its_other_end_and_then_by_its_name() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let mac = "52:54:00:77:00:01";
        end(root, "vnet0", "2a:4e:5c:aa:0a:ea", 4, 3);
        end(root, "vnet1", mac, 3, 4);
        // A macvlan of the host's with the guest's address is an end of a NIC, which is no end of it.
        end(root, "eth0", "52:54:00:00:00:99", 5, 5);
        end(root, "macvlan0", mac, 6, 5);
        let found = |target| {
            let taps = find_among(root, "br-lan", &[nic(mac, target)]).expect("interfaces");
            taps.into_iter().map(|tap| tap.name).collect::<Vec<_>>()
        };
        assert_eq!(found(None), ["vnet0"]);
        // In the container, where its number may be that of anything here.
        fs::remove_dir_all(root.join("vnet1")).expect("no interface");
        assert_eq!(found(None), [""; 0]);
        assert_eq!(found(Some("vnet0")), ["vnet0"]);
        // A name that is another's by now.
        assert_eq!(found(Some("eth0")), [""; 0]);
        symlink("../br-dmz", root.join("vnet0/master")).expect("a link");
        assert_eq!(found(Some("vnet0")), [""; 0]);
    }
}
