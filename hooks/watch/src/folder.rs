//! Watches a folder that may not be there yet, by way of those above it.

use crate::error::WatchError;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// What happened in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// A file of this name was written, moved there or removed.
    File(&'a str),
    /// The folder came or went, or more happened than could be told.
    Unknown,
}

/// A folder and all above it that are there.
///
/// Seen is that any of them is made, moved or removed. Not seen are a symbolic link in the path
/// that is changed, another file system that is mounted over a folder of the path, and a removed
/// folder that comes again while a program still holds the old one open.
pub(crate) struct Folder {
    inotify: Inotify,
    path: PathBuf,
    /// All watches.
    watches: Vec<WatchDescriptor>,
    /// The folder's own watch, when it is there.
    own: Option<WatchDescriptor>,
}

impl Folder {
    /// Begins to watch.
    pub(crate) fn watch(path: &Path) -> Result<Self, WatchError> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags).map_err(|errno| failed(path, errno))?;
        let mut folder = Self {
            inotify,
            path: path.to_owned(),
            watches: Vec::new(),
            own: None,
        };
        folder.follow()?;
        Ok(folder)
    }

    /// Watches what is in the folder, or in the nearest one above it that is there; of those above
    /// that one, only that they stay where they are.
    ///
    /// It goes from the top down, so that a folder that is made meanwhile is either found or told
    /// of by the one above it, which is watched already.
    fn follow(&mut self) -> Result<(), WatchError> {
        let folders: Vec<&Path> = self.path.ancestors().collect();
        let mut watches = Vec::new();
        let mut nearest: Option<&Path> = None;
        for folder in folders.into_iter().rev() {
            let Some(watch) = self.add(folder, itself() | content())? else {
                break;
            };
            if let Some(above) = nearest.replace(folder) {
                watches.extend(self.add(above, itself())?);
            }
            watches.push(watch);
        }
        if watches.is_empty() {
            return Err(failed(&self.path, Errno::ENOENT));
        }
        self.own = watches
            .last()
            .copied()
            .filter(|_| nearest == Some(&self.path));
        for old in std::mem::replace(&mut self.watches, watches) {
            if !self.watches.contains(&old) {
                // It has ended by itself when its folder was removed.
                let _ = self.inotify.rm_watch(old);
            }
        }
        Ok(())
    }

    /// Watches one folder, in place of what was watched of it before; nothing when it is not there.
    fn add(
        &self,
        folder: &Path,
        what: AddWatchFlags,
    ) -> Result<Option<WatchDescriptor>, WatchError> {
        match self
            .inotify
            .add_watch(folder, what | AddWatchFlags::IN_ONLYDIR)
        {
            Ok(watch) => Ok(Some(watch)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(failed(folder, errno)),
        }
    }

    /// Reads all that is there; says whether any of it concerns the caller.
    pub(crate) fn drain(
        &mut self,
        mut concerns: impl FnMut(Change<'_>) -> bool,
    ) -> Result<bool, WatchError> {
        let mut is_news = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in &events {
                        is_news |= self.change_of(event).is_some_and(&mut concerns);
                    }
                    if self.own.is_none() || events.iter().any(|event| self.is_end(event)) {
                        let before = self.own;
                        self.follow()?;
                        // What was written before the folder was watched, or went with it.
                        is_news |= self.own != before && concerns(Change::Unknown);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(is_news),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(&self.path, errno)),
            }
        }
    }

    /// What an event says of the folder, not of those above it.
    fn change_of<'a>(&self, event: &'a InotifyEvent) -> Option<Change<'a>> {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return Some(Change::Unknown);
        }
        let name = event.name.as_ref().filter(|_| self.own == Some(event.wd));
        name.and_then(|name| name.to_str()).map(Change::File)
    }

    /// Whether a folder may no longer be where it was watched.
    fn is_end(&self, event: &InotifyEvent) -> bool {
        let gone = itself() | AddWatchFlags::IN_UNMOUNT | AddWatchFlags::IN_IGNORED;
        let is_ours = self.watches.contains(&event.wd);
        event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) || is_ours && event.mask.intersects(gone)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// What happens to a folder itself.
fn itself() -> AddWatchFlags {
    AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF
}

/// What happens to the files and folders in it.
fn content() -> AddWatchFlags {
    AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_CREATE
}

fn failed(path: &Path, errno: Errno) -> WatchError {
    WatchError::Folder {
        path: path.to_owned(),
        source: errno.into(),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Change, Folder};
    use std::fs;
    use std::path::Path;

    /// What is told of a folder now.
    fn told(folder: &mut Folder) -> Vec<String> {
        let mut told = Vec::new();
        let drained = folder.drain(|change| {
            told.push(match change {
                Change::File(name) => name.to_owned(),
                Change::Unknown => "?".to_owned(),
            });
            true
        });
        let is_news = drained.expect("events");
        assert_eq!(is_news, !told.is_empty());
        told.dedup();
        told
    }

    /// A file in the folder is told of, and one beside the folders above it is not.
    fn is_watched(folder: &mut Folder, path: &Path) {
        assert_eq!(told(folder), [""; 0]);
        fs::write(path.join("lease"), "").expect("a file");
        assert_eq!(told(folder), ["lease"]);
        for above in path.ancestors().skip(1).take(2) {
            fs::write(above.join("beside"), "").expect("a file");
        }
        let events = folder.inotify.read_events();
        assert_eq!(events.expect_err("nothing"), nix::errno::Errno::EAGAIN);
    }

    #[test]
    fn a_folder_that_is_there_is_watched() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        fs::create_dir_all(&path).expect("folders");
        is_watched(&mut Folder::watch(&path).expect("a watch"), &path);
    }

    #[test]
    fn folders_that_are_made_later_are_found_one_by_one_and_at_once() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        let mut folder = Folder::watch(&path).expect("a watch");
        fs::create_dir(root.path().join("lib")).expect("a folder");
        assert_eq!(told(&mut folder), [""; 0]);
        fs::write(root.path().join("lib/lease"), "").expect("a file");
        assert_eq!(told(&mut folder), [""; 0]);
        fs::create_dir(&path).expect("a folder");
        assert_eq!(told(&mut folder), ["?"]);
        is_watched(&mut folder, &path);

        let path = root.path().join("run/of/leases");
        let mut folder = Folder::watch(&path).expect("a watch");
        fs::create_dir_all(&path).expect("folders");
        assert_eq!(told(&mut folder), ["?"]);
        is_watched(&mut folder, &path);
    }

    #[test]
    fn a_folder_that_is_removed_and_made_again_is_watched_again() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        fs::create_dir_all(&path).expect("folders");
        let mut folder = Folder::watch(&path).expect("a watch");
        fs::remove_dir_all(root.path().join("lib")).expect("no folders");
        assert_eq!(told(&mut folder), ["?"]);
        fs::create_dir_all(&path).expect("folders");
        assert_eq!(told(&mut folder), ["?"]);
        is_watched(&mut folder, &path);
        // Removed and made again before anybody has looked.
        fs::remove_dir_all(&path).expect("no folder");
        fs::create_dir(&path).expect("a folder");
        assert_eq!(told(&mut folder), ["lease", "?"]);
        is_watched(&mut folder, &path);
    }

    #[test]
    fn a_folder_that_is_moved_away_and_back_is_watched_again() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        fs::create_dir_all(&path).expect("folders");
        let mut folder = Folder::watch(&path).expect("a watch");
        let away = root.path().join("away");
        // The folder itself, and one above it.
        for moved in [path.as_path(), &root.path().join("lib")] {
            fs::rename(moved, &away).expect("a move");
            assert_eq!(told(&mut folder), ["?"]);
            fs::write(away.join("elsewhere"), "").expect("a file");
            assert_eq!(told(&mut folder), [""; 0]);
            fs::rename(&away, moved).expect("a move");
            assert_eq!(told(&mut folder), ["?"]);
            is_watched(&mut folder, &path);
        }
    }

    /// Lets more happen in a folder than the kernel tells of: alternately, since what happens twice
    /// is told once.
    fn overflow(path: &Path) {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let limit: usize = limit.expect("a limit").trim().parse().expect("a number");
        for number in 0..=limit {
            let name = ["a.new", "b.new"][number % 2];
            fs::write(path.join(name), "").expect("a file");
        }
    }

    #[test]
    fn more_than_is_told_may_be_anything() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        fs::create_dir_all(&path).expect("folders");
        let mut folder = Folder::watch(&path).expect("a watch");
        overflow(&path);
        fs::write(path.join("lease"), "").expect("a file");
        let told = told(&mut folder);
        assert!(!told.contains(&"lease".to_owned()));
        assert_eq!(told.last().map(String::as_str), Some("?"));
        is_watched(&mut folder, &path);
    }

    #[test]
    fn a_folder_that_is_made_again_while_more_happens_than_is_told_is_watched_again() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        fs::create_dir_all(&path).expect("folders");
        let mut folder = Folder::watch(&path).expect("a watch");
        overflow(&path);
        fs::remove_dir_all(&path).expect("no folder");
        fs::create_dir(&path).expect("a folder");
        assert_eq!(told(&mut folder).last().map(String::as_str), Some("?"));
        is_watched(&mut folder, &path);
    }

    #[test]
    fn another_folder_in_place_of_one_above_is_watched() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("lib/leases");
        fs::create_dir_all(&path).expect("folders");
        let mut folder = Folder::watch(&path).expect("a watch");
        fs::rename(root.path().join("lib"), root.path().join("old")).expect("a move");
        fs::create_dir_all(&path).expect("folders");
        assert_eq!(told(&mut folder), ["?"]);
        fs::write(root.path().join("old/leases/lease"), "").expect("a file");
        is_watched(&mut folder, &path);
    }
}
