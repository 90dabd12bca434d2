//! Hears of every change to libvirt's lease files.

use crate::error::WatchError;
use crate::folder::{Change, Folder};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What the names of lease files end in; libvirt writes `BRIDGE.status.new` and renames it.
const SUFFIX: &str = ".status";

/// The folder of the lease files.
pub(crate) struct Leases(Folder);

impl Leases {
    /// Begins to watch; the folder may be made later.
    pub(crate) fn watch(folder: &Path) -> Result<Self, WatchError> {
        Folder::watch(folder).map(Self)
    }

    /// Reads all that is there; says whether a lease can have changed.
    pub(crate) fn drain(&mut self) -> Result<bool, WatchError> {
        self.0.drain(|change| match change {
            Change::File(name) => name.ends_with(SUFFIX),
            Change::Unknown => true,
        })
    }
}

impl AsFd for Leases {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
