//! Hears of every change to files of one kind: leases, libvirt's state of networks, portero's own
//! configuration.

use crate::error::WatchError;
use crate::folder::{Change, Folder};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The files of a folder whose names end alike.
pub(crate) struct Files {
    folder: Folder,
    suffix: &'static str,
}

impl Files {
    /// Begins to watch; the folder may be made later. Whoever writes a file under another name and
    /// renames it, as libvirt does, is heard once.
    pub(crate) fn watch(folder: &Path, suffix: &'static str) -> Result<Self, WatchError> {
        let folder = Folder::watch(folder)?;
        Ok(Self { folder, suffix })
    }

    /// Reads all that is there; says whether a file can have changed.
    pub(crate) fn drain(&mut self) -> Result<bool, WatchError> {
        self.folder.drain(|change| match change {
            Change::File(name) => name.ends_with(self.suffix),
            Change::Unknown => true,
        })
    }
}

impl AsFd for Files {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::Files;
    use std::fs;

    #[test]
    fn a_folder_that_is_made_later_and_files_of_the_kind_are_changes() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("leases");
        let mut files = Files::watch(&folder, ".status").expect("a watch");
        assert!(!files.drain().expect("events"));
        fs::create_dir(&folder).expect("a folder");
        assert!(files.drain().expect("events"));
        fs::write(folder.join("br-lan.pid"), "").expect("a file");
        assert!(!files.drain().expect("events"));
        fs::write(folder.join("br-lan.status"), "").expect("a file");
        assert!(files.drain().expect("events"));
    }
}
