//! Hears of every domain that a driver of libvirt's saves in its state: it does so whenever the metadata of a
//! running one is changed.

use crate::error::WatchError;
use crate::folder::{Change, Folder};
use portero_libvirt::{Driver, ObjectName};
use portero_system::Paths;
use std::os::fd::{AsFd, BorrowedFd};

/// What the names of libvirt's files end in; it writes `NAME.xml.new` and renames it.
const SUFFIX: &str = ".xml";

/// The folder of a driver's running domains.
pub(crate) struct Domains {
    driver: Driver,
    folder: Folder,
}

/// The domains that were saved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Whose they are and their names, each once, in the order in which they were saved first.
    pub(crate) names: Vec<(Driver, ObjectName)>,
    /// Whether there may be more.
    pub(crate) more: bool,
}

impl Saved {
    /// Those of another folder too.
    pub(crate) fn add(&mut self, other: Self) {
        self.names.extend(other.names);
        self.more |= other.more;
    }
}

impl Domains {
    /// Begins to watch; the folder may be made later.
    pub(crate) fn watch(paths: &Paths, driver: Driver) -> Result<Self, WatchError> {
        let folder = Folder::watch(&paths.running_domains(driver))?;
        Ok(Self { driver, folder })
    }

    /// Reads all that is there.
    pub(crate) fn drain(&mut self) -> Result<Saved, WatchError> {
        let mut saved = Saved::default();
        let driver = self.driver;
        self.folder.drain(|change| {
            match change {
                Change::File(name) => {
                    let name = name.strip_suffix(SUFFIX).and_then(|name| name.parse().ok());
                    let name = name.map(|name| (driver, name));
                    let new = name.filter(|name| !saved.names.contains(name));
                    saved.names.extend(new);
                }
                Change::Unknown => saved.more = true,
            }
            true
        })?;
        Ok(saved)
    }
}

impl AsFd for Domains {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Domains, Saved};
    use portero_libvirt::Driver;
    use portero_system::Paths;
    use std::fs;

    #[test]
    fn each_domain_is_named_once() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let folder = paths.running_domains(Driver::Lxc);
        fs::create_dir_all(&folder).expect("a folder");
        let mut domains = Domains::watch(&paths, Driver::Lxc).expect("a watch");
        assert_eq!(domains.drain().expect("events"), Saved::default());
        for name in ["web", "db", "web"] {
            let new = folder.join(format!("{name}.xml.new"));
            fs::write(&new, "").expect("a file");
            fs::write(folder.join(format!("{name}.pid")), "").expect("a file");
            fs::rename(&new, folder.join(format!("{name}.xml"))).expect("a rename");
        }
        let saved = domains.drain().expect("events");
        let names: Vec<&str> = saved.names.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["web", "db"]);
        assert!(!saved.more);
    }

    #[test]
    fn in_a_folder_that_is_made_later_there_may_be_more() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let mut domains = Domains::watch(&paths, Driver::Qemu).expect("a watch");
        let folder = paths.running_domains(Driver::Qemu);
        fs::create_dir_all(&folder).expect("a folder");
        assert!(domains.drain().expect("events").more);
        assert!(!domains.drain().expect("events").more);
    }
}
