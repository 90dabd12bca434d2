//! What libvirt has on this host by its files: the active networks, and the names of everything, for whoever completes a command
//! line, fast and nothing instead of an error.

use crate::programs::read;
use crate::{files, interfaces, Deadline, FileError, Paths};
use portero_libvirt::{Driver, Network, ObjectName, Status};
use portero_model::OwnerKind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time virsh may take.
const VIRSH: Duration = Duration::from_secs(1);

/// How libvirt's files of an object end.
const SUFFIX: &str = ".xml";

/// The domains or networks that libvirt has, active or not. Its folders tell them; who may not look
/// into those asks virsh, which may.
#[must_use]
pub fn object_names(paths: &Paths, kind: OwnerKind) -> Vec<ObjectName> {
    let mut names = BTreeSet::new();
    for (driver, defined, active) in places(paths, kind) {
        let found = match (in_folder(&defined), in_folder(&active)) {
            (Some(defined), Some(active)) => defined.into_iter().chain(active).collect(),
            _ => of_virsh(driver, kind),
        };
        names.extend(
            found
                .iter()
                .filter_map(|name| name.parse::<ObjectName>().ok()),
        );
    }
    names.into_iter().collect()
}

/// The drivers that have objects of a kind, each with where they are defined and where they are active.
fn places(paths: &Paths, kind: OwnerKind) -> Vec<(Driver, PathBuf, PathBuf)> {
    match kind {
        OwnerKind::Domain => Driver::ALL
            .map(|driver| {
                let active = paths.running_domains(driver);
                (driver, paths.defined_domains(driver), active)
            })
            .into(),
        // QEMU's driver made them once.
        OwnerKind::Network => {
            let defined = paths.defined_domains(Driver::Qemu).join("networks");
            vec![(Driver::Qemu, defined, paths.libvirt_networks.clone())]
        }
    }
}

/// The active networks, by what libvirt keeps of them, each with its element.
///
/// # Errors
/// [`FileError`] when a file cannot be read.
pub fn active_networks(paths: &Paths) -> Result<Vec<(Network, Vec<u8>)>, FileError> {
    let folder = &paths.libvirt_networks;
    let mut networks = Vec::new();
    for name in files::names(folder, SUFFIX)? {
        let Some(file) = files::read(&folder.join(name))? else {
            continue;
        };
        let Some(status) = Status::read(&file, OwnerKind::Network.name()) else {
            continue;
        };
        let xml = status.object.as_bytes();
        networks.extend(Network::read(xml).map(|network| (network, xml.to_vec())));
    }
    Ok(networks)
}

/// The names of the files in a folder without their ends; nothing when it may not be looked into.
fn in_folder(folder: &Path) -> Option<Vec<String>> {
    let names = files::names(folder, SUFFIX).ok()?;
    let stem = |name: String| name.strip_suffix(SUFFIX).map(str::to_owned);
    Some(names.into_iter().filter_map(stem).collect())
}

fn of_virsh(driver: Driver, kind: OwnerKind) -> Vec<String> {
    let list = match kind {
        OwnerKind::Domain => "list",
        OwnerKind::Network => "net-list",
    };
    let uri = format!("{driver}:///system");
    let arguments = ["-q", "-r", "-c", &uri, list, "--all", "--name"];
    let names = read("virsh", &arguments, Deadline::after(VIRSH)).unwrap_or_default();
    let names = String::from_utf8_lossy(&names);
    names.lines().map(|name| name.trim().to_owned()).collect()
}

/// The host's interfaces.
#[must_use]
pub fn interface_names() -> Vec<String> {
    files::names(Path::new(interfaces::FOLDER), "").unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::object_names;
    use crate::Paths;
    use portero_model::OwnerKind;
    use std::fs;

    #[test]
    fn defined_and_active_objects_are_named_once() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        assert!(object_names(&paths, OwnerKind::Domain).is_empty());
        let files = [
            "etc/libvirt/qemu/web.xml",
            "etc/libvirt/qemu/my db.xml",
            "etc/libvirt/qemu/web.xml.new",
            "etc/libvirt/qemu/networks/default.xml",
            "run/libvirt/qemu/web.xml",
            "run/libvirt/qemu/web.pid",
            "run/libvirt/qemu/transient.xml",
            "run/libvirt/network/lan.xml",
            "etc/libvirt/lxc/web.xml",
            "run/libvirt/lxc/box.xml",
        ];
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        let names = |kind| -> Vec<String> {
            let names = object_names(&paths, kind);
            names.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            names(OwnerKind::Domain),
            ["box", "my db", "transient", "web"]
        );
        assert_eq!(names(OwnerKind::Network), ["default", "lan"]);
    }
}
