//! Reads what a bridge is planned from: the host's network files and its NICs.

use portero_host_bridge::{HostFiles, HostNic, NicKind};
use portero_libvirt::InterfaceName;
use portero_system::{files, interfaces, FileError, Paths};
use std::fs;
use std::path::Path;

/// The folders of network files below /etc, and what the names of those that count start and end
/// with.
const FOLDERS: [(&str, &[&str], &[&str]); 7] = [
    (
        "sysconfig/network-scripts",
        &["ifcfg-", "route-", "route6-", "rule-", "rule6-"],
        &[""],
    ),
    ("sysconfig", &["network"], &["network"]),
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
                if let Some(text) = text(&full)? {
                    host.insert(path, text);
                }
            }
        }
    }
    Ok(host)
}

fn text(path: &Path) -> Result<Option<String>, FileError> {
    let Some(content) = files::read(path)? else {
        return Ok(None);
    };
    String::from_utf8(content)
        .map(Some)
        .map_err(|error| FileError::io("read", path)(std::io::Error::other(error)))
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
        })
    };
    names.iter().filter_map(of).collect()
}
