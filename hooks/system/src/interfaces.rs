//! What the kernel lists of interfaces, sysfs(5).

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where it does.
pub const FOLDER: &str = "/sys/class/net";

/// The folder of an interface; not there when the interface is not.
pub fn folder(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// The bridge, bond or team that an interface is in.
pub fn master(name: &str) -> Option<String> {
    master_of(&folder(name))
}

/// The same of the interface of this folder.
pub fn master_of(folder: &Path) -> Option<String> {
    let link = fs::read_link(folder.join("master")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// The index of an interface.
pub fn index(name: &str) -> std::io::Result<u32> {
    fs::read_to_string(folder(name).join("ifindex"))?
        .trim()
        .parse()
        .map_err(std::io::Error::other)
}

/// Whether an interface was brought up, whatever its cable says.
pub fn is_up(name: &str) -> bool {
    const IFF_UP: u32 = 1;
    let flags = fs::read_to_string(folder(name).join("flags")).unwrap_or_default();
    let digits = flags.trim().trim_start_matches("0x");
    u32::from_str_radix(digits, 16).is_ok_and(|flags| flags & IFF_UP != 0)
}

/// Whether the interface of this folder is a radio.
pub fn is_wireless(folder: &Path) -> bool {
    folder.join("wireless").exists() || folder.join("phy80211").exists()
}

/// An interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, whatever the kernel lets it be.
    pub name: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// The bridge, bond or team that it is in.
    pub master: Option<String>,
    /// Those that are in it, or that it is made on.
    pub lower: Vec<String>,
    /// Whether packets can go by it.
    pub is_up: bool,
    /// Its addresses with their networks, without those that every IPv6 link has.
    pub addresses: Vec<IpNet>,
}

/// What an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A bridge.
    Bridge,
    /// A NIC with a cable.
    Wired,
    /// A NIC without.
    Wireless,
    /// Several NICs as one.
    Bond,
    /// One VLAN of another interface.
    Vlan,
    /// The host's end of a guest's interface, or of a tunnel of some program.
    Tap,
    /// The host itself.
    Loopback,
    /// Anything else that has no device: an end of a veth pair, a dummy, a tunnel of the kernel's.
    Virtual,
}

/// All interfaces, in the order of their names; none where the kernel lists none.
pub fn all() -> Vec<Interface> {
    let mut addresses = addresses();
    let mut interfaces: Vec<Interface> = links(Path::new(FOLDER), "")
        .into_iter()
        .map(|name| {
            let path = folder(&name);
            let state = fs::read_to_string(path.join("operstate")).unwrap_or_default();
            Interface {
                kind: kind(&path),
                master: master(&name),
                lower: links(&path, "lower_"),
                // Those without a carrier, as a tunnel, never say that they are up.
                is_up: ["up", "unknown"].contains(&state.trim()),
                addresses: addresses.remove(&name).unwrap_or_default(),
                name,
            }
        })
        .collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    interfaces
}

fn kind(folder: &Path) -> InterfaceKind {
    const ARPHRD_LOOPBACK: &str = "772";
    let has = |name: &str| folder.join(name).exists();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let uevent = read("uevent");
    let is = |devtype: &str| {
        uevent
            .lines()
            .any(|line| line == format!("DEVTYPE={devtype}"))
    };
    if has("bridge") {
        InterfaceKind::Bridge
    } else if has("bonding") {
        InterfaceKind::Bond
    } else if has("tun_flags") || is("macvtap") {
        InterfaceKind::Tap
    } else if is("vlan") {
        InterfaceKind::Vlan
    } else if is_wireless(folder) {
        InterfaceKind::Wireless
    } else if has("device") {
        InterfaceKind::Wired
    } else if read("type").trim() == ARPHRD_LOOPBACK {
        InterfaceKind::Loopback
    } else {
        InterfaceKind::Virtual
    }
}

/// The names in a folder of sysfs that begin in a certain way, without that, in order.
fn links(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        // /sys/class/net has a file too, once there are bonds.
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_prefix(prefix).map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

fn addresses() -> BTreeMap<String, Vec<IpNet>> {
    let mut addresses: BTreeMap<String, Vec<IpNet>> = BTreeMap::new();
    for interface in getifaddrs().into_iter().flatten() {
        let address = interface.address.as_ref().and_then(ip);
        let mask = interface.netmask.as_ref().and_then(ip);
        let (Some(address), Some(mask)) = (address, mask) else {
            continue;
        };
        let is_of_link = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if let (false, Ok(net)) = (is_of_link, IpNet::with_netmask(address, mask)) {
            let name = interface.interface_name;
            addresses.entry(name).or_default().push(net);
        }
    }
    addresses
}

/// The address that has these octets, in the order of the network: 4 or 16.
pub fn ip_of_octets(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// The address in a socket address of IP.
pub fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::{all, InterfaceKind};

    #[test]
    fn every_host_has_a_loopback_interface() {
        let interfaces = all();
        let lo = interfaces.iter().find(|interface| interface.name == "lo");
        let kind = lo.map(|lo| lo.kind);
        assert_eq!(kind, Some(InterfaceKind::Loopback), "{interfaces:?}");
    }
}
