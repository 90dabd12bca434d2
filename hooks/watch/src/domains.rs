//! Hears of every domain that libvirt saves in its state: it does so whenever the metadata of a
//! running one is changed.

use crate::error::WatchError;
use crate::folder::{Change, Folder};
use portero_libvirt::ObjectName;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What the names of libvirt's files end in; it writes `NAME.xml.new` and renames it.
const SUFFIX: &str = ".xml";

/// The folder of libvirt's running domains.
pub(crate) struct Domains(Folder);

/// The domains that were saved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Their names, each once, in the order in which they were saved first.
    pub(crate) names: Vec<ObjectName>,
    /// Whether there may be more.
    pub(crate) more: bool,
}

impl Domains {
    /// Begins to watch; the folder may be made later.
    pub(crate) fn watch(folder: &Path) -> Result<Self, WatchError> {
        Folder::watch(folder).map(Self)
    }

    /// Reads all that is there.
    pub(crate) fn drain(&mut self) -> Result<Saved, WatchError> {
        let mut saved = Saved::default();
        self.0.drain(|change| {
            match change {
                Change::File(name) => {
                    let name = name.strip_suffix(SUFFIX).and_then(|name| name.parse().ok());
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
        self.0.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Domains, Saved};
    use std::fs;

    #[test]
    fn each_domain_is_named_once() {
        let root = tempfile::tempdir().expect("a folder");
        let mut domains = Domains::watch(root.path()).expect("a watch");
        assert_eq!(domains.drain().expect("events"), Saved::default());
        for name in ["web", "db", "web"] {
            let new = root.path().join(format!("{name}.xml.new"));
            fs::write(&new, "").expect("a file");
            fs::write(root.path().join(format!("{name}.pid")), "").expect("a file");
            fs::rename(&new, root.path().join(format!("{name}.xml"))).expect("a rename");
        }
        let saved = domains.drain().expect("events");
        let names: Vec<&str> = saved.names.iter().map(|name| name.as_str()).collect();
        assert_eq!(names, ["web", "db"]);
        assert!(!saved.more);
    }

    #[test]
    fn in_a_folder_that_is_made_later_there_may_be_more() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("qemu");
        let mut domains = Domains::watch(&folder).expect("a watch");
        fs::create_dir(&folder).expect("a folder");
        assert!(domains.drain().expect("events").more);
        assert!(!domains.drain().expect("events").more);
    }
}
