//! Hears over D-Bus that firewalld has started, ended or reloaded: where iptables is of the legacy
//! variant, nothing else tells.

use crate::bus::Bus;
use crate::error::WatchError;
use crate::folder::{Change, Folder};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the system bus listens, and the file that says so.
const BUS_FOLDER: &str = "/run/dbus";
const BUS_SOCKET: &str = "system_bus_socket";

/// Pauses before it is tried again to connect, in milliseconds. A bus that starts again behind the
/// same socket changes no file, and one that has just made its socket may not listen yet.
const PAUSES: [u16; 4] = [100, 500, 2_000, 10_000];

/// A connection of this length was one: when it ends, all of [`PAUSES`] are for the next.
const LASTING: Duration = Duration::from_secs(1);

/// What a thread has heard on the bus: a byte for each message.
pub(crate) struct Firewalld(UnixStream);

impl Firewalld {
    /// Begins to listen, now and whenever there is a bus.
    pub(crate) fn listen() -> Result<Self, WatchError> {
        let failed = |source| WatchError::Thread { source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        theirs.set_nonblocking(true).map_err(failed)?;
        let folder = Folder::watch(Path::new(BUS_FOLDER))?;
        std::thread::Builder::new()
            .name("firewalld".to_owned())
            .spawn(move || listen_always(folder, &theirs))
            .map_err(failed)?;
        Ok(Self(ours))
    }

    /// Reads all that is there; says whether it was anything.
    pub(crate) fn drain(&self) -> bool {
        let mut is_news = false;
        let mut bytes = [0; 64];
        while matches!((&self.0).read(&mut bytes), Ok(1..)) {
            is_news = true;
        }
        is_news
    }
}

impl AsFd for Firewalld {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Listens as long as the bus is there. When it is gone, tries again a few times, and then waits
/// for a new socket.
fn listen_always(mut folder: Folder, to: &UnixStream) {
    let mut pauses = PAUSES.iter();
    loop {
        if let Ok(bus) = Bus::connect() {
            let begin = Instant::now();
            // firewalld may have done anything before it was listened to.
            tell(to);
            bus.listen(|| tell(to));
            if begin.elapsed() >= LASTING {
                pauses = PAUSES.iter();
                // What has lasted is tried again at once.
                continue;
            }
        }
        let pause = pauses
            .next()
            .map_or(PollTimeout::NONE, |pause| PollTimeout::from(*pause));
        match is_made_within(&mut folder, pause) {
            Ok(true) => pauses = PAUSES.iter(),
            Ok(false) => {}
            // The folder cannot be watched any more; netlink and leases still are.
            Err(_) => return,
        }
    }
}

/// Waits for a new socket of the bus; false when the time is over.
fn is_made_within(folder: &mut Folder, limit: PollTimeout) -> Result<bool, WatchError> {
    loop {
        let mut descriptors = [PollFd::new(folder.as_fd(), PollFlags::POLLIN)];
        if poll(&mut descriptors, limit) == Ok(0) {
            return Ok(false);
        }
        let is_made = folder.drain(|change| match change {
            Change::File(name) => name == BUS_SOCKET,
            Change::Unknown => true,
        })?;
        if is_made {
            return Ok(true);
        }
    }
}

/// Tells the main loop.
fn tell(mut to: &UnixStream) {
    // A full pipe says the same.
    let _ = to.write(&[1]);
}
