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
