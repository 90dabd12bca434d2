//! Watches a folder that may not be there yet, by way of the nearest one above it that is.

use crate::error::WatchError;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// What happened in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// A file of this name was written, moved there or removed.
    File(&'a str),
    /// The folder is there now, or more happened than could be told.
    Unknown,
}

/// A folder, or the nearest one above it.
pub(crate) struct Folder {
    inotify: Inotify,
    path: PathBuf,
    watched: PathBuf,
}

impl Folder {
    /// Begins to watch.
    pub(crate) fn watch(path: &Path) -> Result<Self, WatchError> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags).map_err(|errno| failed(path, errno))?;
        let mut folder = Self {
            inotify,
            path: path.to_owned(),
            watched: PathBuf::new(),
        };
        folder.follow()?;
        Ok(folder)
    }

    /// Watches the nearest folder that is there.
    fn follow(&mut self) -> Result<(), WatchError> {
        let flags = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        for folder in self.path.ancestors() {
            match self.inotify.add_watch(folder, flags) {
                Ok(_) => {
                    self.watched = folder.to_owned();
                    return Ok(());
                }
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(failed(folder, errno)),
            }
        }
        Err(failed(&self.path, Errno::ENOENT))
    }

    /// Reads all that is there; says whether any of it concerns the caller.
    pub(crate) fn drain(
        &mut self,
        concerns: impl Fn(Change<'_>) -> bool,
    ) -> Result<bool, WatchError> {
        let mut is_news = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in &events {
                        is_news |= change_of(event, &concerns);
                    }
                    if self.watched != self.path || events.iter().any(ends_the_watch) {
                        self.follow()?;
                        // What was written before the folder was watched.
                        is_news |= self.watched == self.path && concerns(Change::Unknown);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(is_news),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(&self.path, errno)),
            }
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn change_of(event: &InotifyEvent, concerns: &impl Fn(Change<'_>) -> bool) -> bool {
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        return concerns(Change::Unknown);
    }
    let name = event.name.as_ref().and_then(|name| name.to_str());
    name.is_some_and(|name| concerns(Change::File(name)))
}

fn ends_the_watch(event: &InotifyEvent) -> bool {
    let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
    event.mask.intersects(gone)
}

fn failed(path: &Path, errno: Errno) -> WatchError {
    WatchError::Folder {
        path: path.to_owned(),
        source: errno.into(),
    }
}
