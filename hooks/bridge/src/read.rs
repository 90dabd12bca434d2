//! Reads what a bridge is planned from: the host's network files and its NICs.

use portero_host_bridge::{HostFiles, HostNic, NicKind, NicState};
use portero_libvirt::InterfaceName;
use portero_system::{files, interfaces, FileError, Paths};
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

/// The folders of network files below /etc, and what the names of those that count start and end
/// with.
const FOLDERS: [(&str, &[&str], &[&str]); 8] = [
    (
        "sysconfig/network-scripts",
        &["ifcfg-", "route-", "route6-", "rule-", "rule6-"],
        &[""],
    ),
    ("sysconfig", &["network"], &["network"]),
    ("sysconfig/network", &["ifcfg-"], &[""]),
    ("NetworkManager/system-connections", &[""], &[""]),
    ("systemd/network", &[""], &[".network", ".netdev"]),
    ("netplan", &[""], &[".yaml"]),
    ("network", &["interfaces"], &["interfaces"]),
    ("network/interfaces.d", &[""], &[""]),
];

/// The host's network files of every format.
///
/// # Errors
/// [`FileError`].
pub fn host_files(paths: &Paths) -> Result<HostFiles, FileError> {
    let mut host = HostFiles::default();
    for (folder, starts, ends) in FOLDERS {
        for name in files::names(&paths.etc.join(folder), "")? {
            let counts = starts.iter().any(|start| name.starts_with(start))
                && ends.iter().any(|end| name.ends_with(end))
                && !name.starts_with('.');
            let path = format!("{folder}/{name}");
            let full = paths.etc.join(&path);
            if counts && full.is_file() {
                if let Some(content) = files::read(&full)? {
                    host.insert_bytes(path, &content);
                }
            }
        }
    }
    Ok(host)
}

/// The NICs of these names that the host has.
#[must_use]
pub fn nics(names: &[InterfaceName]) -> Vec<HostNic> {
    let of = |name: &InterfaceName| {
        let path = interfaces::folder(name.as_str());
        let address = fs::read_to_string(path.join("address")).ok()?;
        Some(HostNic {
            name: name.clone(),
            mac: address.trim().parse().ok(),
            master: interfaces::master(name.as_str()),
            kind: if interfaces::is_wireless(&path) {
                NicKind::Wireless
            } else {
                NicKind::Wired
            },
            state: state(name.as_str(), &path),
        })
    };
    names.iter().filter_map(of).collect()
}

/// What a NIC has that no file says; what cannot be read is not known.
fn state(nic: &str, folder: &Path) -> NicState {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let index = read(&folder.join("ifindex"));
    let lease = read(&Path::new("/run/systemd/netif/leases").join(index.trim()));
    NicState {
        metric: metric(&read(Path::new("/proc/net/route")), nic),
        metric_v6: metric_v6(&read(Path::new("/proc/net/ipv6_route")), nic),
        iaid: iaid(&lease),
        slaac: slaac(&read(Path::new("/proc/net/if_inet6")), nic),
    }
}

/// The metric of the route to a NIC's own subnet, in /proc/net/route: `Iface Destination Gateway Flags RefCnt Use
/// Metric`, numbers in hex but for the last. The kernel's own has none.
fn metric(routes: &str, nic: &str) -> Option<u32> {
    let mut metrics = routes.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_direct = words.first() == Some(&nic) && words.get(2) == Some(&"00000000");
        // avahi-autoipd adds one to the addresses of the link.
        let is_direct = is_direct && words.get(1) != Some(&LINK_LOCAL);
        words.get(6).filter(|_| is_direct)?.parse().ok()
    });
    metrics.find(|metric| *metric > 0)
}

/// The destination 169.254.0.0 in /proc/net/route, which has it in the byte order of the processor.
const LINK_LOCAL: &str = if cfg!(target_endian = "little") {
    "0000FEA9"
} else {
    "A9FE0000"
};

/// The same of its IPv6 subnet, in /proc/net/ipv6_route: `DESTINATION LENGTH SOURCE LENGTH GATEWAY METRIC REFERENCES USE FLAGS
/// NAME`, numbers in hex.
fn metric_v6(routes: &str, nic: &str) -> Option<u32> {
    let mut metrics = routes.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [to, "40", _, _, gateway, metric, _, _, _, name] = words.as_slice() else {
            return None;
        };
        let is_subnet =
            *name == nic && !to.starts_with("fe8") && gateway.chars().all(|one| one == '0');
        u32::from_str_radix(metric, 16).ok().filter(|_| is_subnet)
    });
    metrics.next()
}

/// The IAID of networkd's lease: a client identifier of type 255 begins with it (RFC 4361).
fn iaid(lease: &str) -> Option<u32> {
    let mut identifiers = lease
        .lines()
        .filter_map(|line| line.strip_prefix("CLIENTID="));
    let digits = identifiers.next()?.strip_prefix("ff")?.get(..8)?;
    u32::from_str_radix(digits, 16).ok()
}

/// The global addresses that a NIC made by itself, in /proc/net/if_inet6: `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`. What
/// is permanent was configured, and what is secondary is temporary.
fn slaac(addresses: &str, nic: &str) -> Vec<Ipv6Addr> {
    const SECONDARY: u32 = 0x01;
    const PERMANENT: u32 = 0x80;
    let made = addresses.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, "40", "00", flags, name] = words.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_made = *name == nic && flags & (SECONDARY | PERMANENT) == 0;
        let bits = u128::from_str_radix(address, 16).ok()?;
        is_made.then(|| Ipv6Addr::from_bits(bits))
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::{host_files, iaid, metric, metric_v6, slaac};
    use portero_system::Paths;
    use std::fs;

    /// `sysconfig/network` is a file on RHEL, a folder on SUSE, and a byte that is no text is no reason to
    /// stop.
    #[test]
    fn files_of_every_host_are_read() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let network = paths.etc.join("sysconfig/network");
        let scripts = paths.etc.join("sysconfig/network-scripts");
        fs::create_dir_all(&scripts).expect("a folder");
        fs::write(&network, "NETWORKING=yes\n").expect("a file");
        fs::write(scripts.join("ifcfg-eth1"), b"NAME=B\xfcro\n").expect("a file");
        let files = host_files(&paths).expect("files");
        assert_eq!(files.get("sysconfig/network"), Some("NETWORKING=yes\n"));
        assert_eq!(
            files.get("sysconfig/network-scripts/ifcfg-eth1"),
            Some("NAME=B\u{fffd}ro\n")
        );
        fs::remove_file(&network).expect("the file");
        fs::create_dir(&network).expect("a folder");
        fs::write(network.join("ifcfg-eth0"), "STARTMODE='auto'\n").expect("a file");
        fs::write(network.join("config"), "A=b\n").expect("a file");
        let files = host_files(&paths).expect("files");
        assert!(files.get("sysconfig/network/ifcfg-eth0").is_some());
        assert!(files.get("sysconfig/network/config").is_none());
    }

    #[test]
    fn what_the_kernel_says_of_a_nic() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                      eth1\t000200C0\t00000000\t0001\t0\t0\t101\t00FFFFFF\n\
                      eth0\t00000000\t010200C0\t0003\t0\t0\t20\t00000000\n\
                      eth0\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\n\
                      eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\n";
        assert_eq!(metric(routes, "eth0"), Some(100));
        assert_eq!(metric(routes, "eth1"), Some(101));
        assert_eq!(metric(routes, "eth"), None);
        let autoip = "eth0\t0000FEA9\t00000000\t0001\t0\t0\t1000\t0000FFFF\n";
        let autoip = autoip.replace("0000FEA9", super::LINK_LOCAL);
        assert_eq!(metric(&(autoip + routes), "eth0"), Some(100));
        let zeros = "0".repeat(32);
        let route = |to: &str, metric: &str, nic: &str| {
            format!("{to:0<32} 40 {zeros} 00 {zeros} {metric} 00000001 00000000 00000001 {nic}\n")
        };
        let routes = route("fe80", "00000100", "eth0")
            + &route("20010db8", "00000065", "eth1")
            + &route("20010db8", "00000064", "eth0");
        assert_eq!(metric_v6(&routes, "eth0"), Some(100));
        assert_eq!(metric_v6(&routes, "eth"), None);
        let addresses = "20010db8000000005054000000000001 02 40 00 00 eth0\n\
                         20010db8000000000000000000000010 02 40 00 80 eth0\n\
                         20010db800000000abcd000000000001 02 40 00 01 eth0\n\
                         20010db8000000005054000000000002 03 40 00 00 eth1\n\
                         20010db8000000000000000000000099 02 80 00 00 eth0\n\
                         fe800000000000005054000000000001 02 40 20 80 eth0\n";
        let expected: Vec<std::net::Ipv6Addr> = ["2001:db8::5054:0:0:1"]
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        assert_eq!(slaac(addresses, "eth0"), expected);
    }

    #[test]
    fn the_number_in_a_lease() {
        assert_eq!(
            iaid("ADDRESS=192.0.2.10\nCLIENTID=ff9f6e852400020000ab11\n"),
            Some(0x9f6e_8524)
        );
        for lease in ["", "CLIENTID=01525400112233\n", "CLIENTID=ff9f\n"] {
            assert_eq!(iaid(lease), None, "{lease}");
        }
    }
}
