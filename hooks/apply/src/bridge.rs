//! Reads what a bridge is planned from: the host's network files and its NICs.

use crate::{files, ApplyError, Paths};
use portero_event::InterfaceName;
use portero_host_bridge::{HostFiles, Kind, Nic};
use std::fs;
use std::path::Path;

/// Where the kernel lists interfaces.
const INTERFACES: &str = "/sys/class/net";

/// The files of /etc/sysconfig; nothing where the host has none.
///
/// # Errors
/// [`ApplyError::File`].
pub fn host_files(paths: &Paths) -> Result<Option<HostFiles>, ApplyError> {
    let folder = paths.sysconfig.join("network-scripts");
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut host = HostFiles {
        network: text(&paths.sysconfig.join("network"))?,
        ..HostFiles::default()
    };
    for name in files::names(&folder, "")? {
        let path = folder.join(&name);
        // Scripts and folders of other packages are none of ours.
        let is_ours = ["ifcfg-", "route-", "route6-", "rule-", "rule6-"]
            .iter()
            .any(|start| name.starts_with(start));
        if is_ours && path.is_file() {
            host.scripts.extend(text(&path)?.map(|text| (name, text)));
        }
    }
    Ok(Some(host))
}

fn text(path: &Path) -> Result<Option<String>, ApplyError> {
    let Some(content) = files::read(path)? else {
        return Ok(None);
    };
    String::from_utf8(content)
        .map(Some)
        .map_err(|error| ApplyError::File {
            action: "read",
            path: path.to_owned(),
            source: std::io::Error::other(error),
        })
}

/// The NICs of these names that the host has.
#[must_use]
pub fn nics(names: &[InterfaceName]) -> Vec<Nic> {
    let of = |name: &InterfaceName| {
        let path = Path::new(INTERFACES).join(name.as_str());
        let address = fs::read_to_string(path.join("address")).ok()?;
        let master = fs::read_link(path.join("master")).ok();
        let master = master.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
        let is_wireless = path.join("wireless").exists() || path.join("phy80211").exists();
        Some(Nic {
            name: name.clone(),
            mac: address.trim().parse().ok(),
            master,
            kind: if is_wireless {
                Kind::Wireless
            } else {
                Kind::Wired
            },
        })
    };
    names.iter().filter_map(of).collect()
}
