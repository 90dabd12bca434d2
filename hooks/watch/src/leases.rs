//! Hears of every change to libvirt's lease files.

use crate::error::WatchError;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// What the names of lease files end in; libvirt writes `BRIDGE.status.new` and renames it.
const SUFFIX: &str = ".status";

/// The folder of the lease files, or the nearest one above it that is there.
pub(crate) struct Leases {
    inotify: Inotify,
    folder: PathBuf,
    watched: PathBuf,
}

impl Leases {
    /// Begins to watch; the folder may be made later.
    pub(crate) fn watch(folder: &Path) -> Result<Self, WatchError> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags).map_err(|errno| failed(folder, errno))?;
        let mut leases = Self {
            inotify,
            folder: folder.to_owned(),
            watched: PathBuf::new(),
        };
        leases.follow()?;
        Ok(leases)
    }

    /// Watches the nearest folder that is there, if it is not the one watched already.
    fn follow(&mut self) -> Result<(), WatchError> {
        let flags = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        for folder in self.folder.ancestors() {
            match self.inotify.add_watch(folder, flags) {
                Ok(_) => {
                    self.watched = folder.to_owned();
                    return Ok(());
                }
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(failed(folder, errno)),
            }
        }
        Err(failed(&self.folder, Errno::ENOENT))
    }

    /// Reads all that is there; says whether a lease can have changed.
    pub(crate) fn drain(&mut self) -> Result<bool, WatchError> {
        let mut is_news = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    is_news |= events.iter().any(concerns_a_lease);
                    let moved = events.iter().any(concerns_the_folder);
                    if moved || self.watched != self.folder {
                        self.follow()?;
                        // What was written before the folder was watched.
                        is_news |= self.watched == self.folder;
                    }
                }
                Err(Errno::EAGAIN) => return Ok(is_news),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(&self.folder, errno)),
            }
        }
    }
}

impl AsFd for Leases {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn concerns_a_lease(event: &InotifyEvent) -> bool {
    let lost = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
    let written =
        AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_DELETE;
    let is_lease = event
        .name
        .as_ref()
        .is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX));
    lost || (is_lease && event.mask.intersects(written))
}

fn concerns_the_folder(event: &InotifyEvent) -> bool {
    let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
    event.mask.intersects(gone)
}

fn failed(path: &Path, errno: Errno) -> WatchError {
    WatchError::Folder {
        path: path.to_owned(),
        source: errno.into(),
    }
}
