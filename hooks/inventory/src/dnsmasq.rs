//! What dnsmasq does for a network's guests, by the configuration that libvirt wrote for it.

use portero_system::{files, Paths};
use std::fs;

/// What guests of a network may ask their dnsmasq for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dnsmasq {
    /// Addresses.
    pub has_dhcp: bool,
    /// Names.
    pub has_dns: bool,
    /// Whether it runs.
    pub is_running: bool,
}

/// What the dnsmasq of a network is told to do; nothing where it has none.
pub(crate) fn dnsmasq(paths: &Paths, network: &str) -> Option<Dnsmasq> {
    let file = paths.leases.join(format!("{network}.conf"));
    let text = files::read(&file).ok().flatten()?;
    let text = String::from_utf8_lossy(&text);
    let has = |setting: &str| text.lines().any(|line| line.trim() == setting);
    let has_dhcp = text.lines().any(|line| line.starts_with("dhcp-range="));
    Some(Dnsmasq {
        has_dhcp,
        // libvirt writes it where <dns enable='no'/> is.
        has_dns: !has("port=0"),
        is_running: is_running(paths, network),
    })
}

/// Whether the process that libvirt has noted is one.
fn is_running(paths: &Paths, network: &str) -> bool {
    let file = paths.libvirt_networks.join(format!("{network}.pid"));
    let text = files::read(&file).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let name = text
        .trim()
        .parse::<u32>()
        .ok()
        .and_then(|process| fs::read_to_string(format!("/proc/{process}/comm")).ok());
    name.is_some_and(|name| name.trim() == "dnsmasq")
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn libvirts_file_says_what_it_does() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        assert_eq!(dnsmasq(&paths, "lan"), None);
        fs::create_dir_all(&paths.leases).expect("a folder");
        let told = |text: &str| {
            fs::write(paths.leases.join("lan.conf"), text).expect("a file");
            dnsmasq(&paths, "lan").map(|one| (one.has_dhcp, one.has_dns))
        };
        let all = "strict-order\ninterface=br-lan\ndhcp-range=192.168.50.2,192.168.50.254,255.255.255.0\n";
        assert_eq!(told(all), Some((true, true)));
        assert_eq!(told("strict-order\nport=0\n"), Some((false, false)));
        let runs = || dnsmasq(&paths, "lan").expect("dnsmasq").is_running;
        assert!(!runs());
        fs::create_dir_all(&paths.libvirt_networks).expect("a folder");
        // A process that is another's by now.
        let own = format!("{}\n", std::process::id());
        fs::write(paths.libvirt_networks.join("lan.pid"), own).expect("a file");
        assert!(!runs());
    }
}
