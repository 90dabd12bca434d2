//! Locks that the kernel frees when their last holder dies, flock(2).

use crate::{files, Deadline, FileError};
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, FdFlag, Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How often a lock that is held is tried again.
const INTERVAL: Duration = Duration::from_millis(2);

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock(Option<Flock<File>>);

impl Drop for Lock {
    fn drop(&mut self) {
        let unlocked = self.0.take().map(Flock::unlock);
        if let Some(Err((held, _))) = unlocked {
            // Its own drop would panic; the kernel frees it when this process ends.
            std::mem::forget(held);
        }
    }
}

impl Lock {
    /// Takes the lock of a file, which is made if it is not there; nothing when another holds it.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        attempt(open(path)?, path).map(Result::ok)
    }

    /// Waits for the lock of a file.
    ///
    /// # Errors
    /// [`FileError::Locked`] when another holds it until the deadline; [`FileError::Io`].
    pub fn take(path: &Path, deadline: Deadline) -> Result<Self, FileError> {
        let mut file = open(path)?;
        loop {
            file = match attempt(file, path)? {
                Ok(lock) => return Ok(lock),
                Err(_) if deadline.left().is_zero() => {
                    return Err(FileError::Locked {
                        path: path.to_owned(),
                        seconds: deadline.length().as_secs(),
                    });
                }
                Err(unlocked) => unlocked,
            };
            std::thread::sleep(INTERVAL);
        }
    }

    /// Lets the programs that are started from now on hold it too, each until it ends: one that outlives
    /// an event that was killed may still write.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn pass_on(self, path: &Path) -> Result<Self, FileError> {
        if let Some(file) = &self.0 {
            fcntl(&**file, FcntlArg::F_SETFD(FdFlag::empty()))
                .map_err(|errno| FileError::io("lock", path)(errno.into()))?;
        }
        Ok(self)
    }
}

/// Opens the file of a lock, and nothing that somebody may have put in its place.
fn open(path: &Path) -> Result<File, FileError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(FileError::io("lock", path))?;
    let metadata = file.metadata().map_err(FileError::io("lock", path))?;
    files::check_regular(path, &metadata)?;
    Ok(file)
}

/// Tries once; gives the file back when another holds its lock.
fn attempt(file: File, path: &Path) -> Result<Result<Lock, File>, FileError> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Ok(Lock(Some(lock)))),
        Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(Err(file)),
        Err((_, errno)) => Err(FileError::io("lock", path)(errno.into())),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::programs::Started;
    use std::os::fd::AsRawFd;
    use std::process::Stdio;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    /// Lets a lock be as after the death of its process: its file is closed, and nothing unlocked.
    fn die(mut lock: Lock) {
        let flock = lock.0.take().expect("a lock");
        nix::unistd::close(flock.as_raw_fd()).expect("closed");
        std::mem::forget(flock);
    }

    #[test]
    fn a_program_holds_the_lock_of_an_event_that_was_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let lock = Lock::take(&path, soon()).expect("the lock");
        let lock = lock.pass_on(&path).expect("programs hold it");
        let program = Started::new("cat", &[], Stdio::null()).expect("a program");
        die(lock);
        let other = Lock::try_take(&path).expect("a file");
        assert!(other.is_none(), "the program still works");
        // It is killed too.
        drop(program);
        Lock::take(&path, soon()).expect("nobody holds it");
    }

    #[test]
    fn a_lock_that_is_not_passed_on_ends_with_its_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let lock = Lock::take(&path, soon()).expect("the lock");
        let _program = Started::new("cat", &[], Stdio::null()).expect("a program");
        die(lock);
        Lock::take(&path, soon()).expect("nobody holds it");
    }
}
