//! Hears over D-Bus that firewalld has started, ended or reloaded: where iptables is of the legacy
//! variant, nothing else tells.

use crate::bus::Bus;
use crate::error::WatchError;
use crate::folder::{Change, Folder};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::{Duration, Instant};

/// Where the system bus listens, and the file that says so.
const BUS_FOLDER: &str = "/run/dbus";
const BUS_SOCKET: &str = "system_bus_socket";

/// Pauses before it is tried again to connect, in milliseconds. A bus that starts again behind the
/// same socket changes no file, and one that has just made its socket may not listen yet.
const PAUSES: [u16; 4] = [100, 500, 2_000, 10_000];

/// How long until a bus is tried again that could not be connected to after all of [`PAUSES`], in
/// milliseconds.
const LONG_PAUSE: u16 = 30_000;

/// A connection of this length was one: when it ends, all of [`PAUSES`] are for the next.
const LASTING: Duration = Duration::from_secs(1);

/// What a thread has heard on the bus, or why it hears nothing.
pub(crate) struct Firewalld {
    /// A byte for each of `told`, so that it can be waited for.
    wake: UnixStream,
    told: Receiver<Result<(), WatchError>>,
    trouble: Option<WatchError>,
}

impl Firewalld {
    /// Begins to listen, now and whenever there is a bus.
    pub(crate) fn listen() -> Result<Self, WatchError> {
        Self::listen_in(Path::new(BUS_FOLDER))
    }

    /// The same with a bus whose socket is in this folder.
    pub(crate) fn listen_in(folder: &Path) -> Result<Self, WatchError> {
        Self::listen_to(folder, Bus::connect, &PAUSES)
    }

    fn listen_to(
        folder: &Path,
        connect: fn() -> zbus::Result<Bus>,
        pauses: &'static [u16],
    ) -> Result<Self, WatchError> {
        let failed = |source| WatchError::Thread { source };
        let (wake, theirs) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        theirs.set_nonblocking(true).map_err(failed)?;
        let folder = Folder::watch(folder)?;
        let (tell, told) = channel();
        let main = Main { tell, wake: theirs };
        std::thread::Builder::new()
            .name("firewalld".to_owned())
            .spawn(move || {
                let Err(end) = listen_always(folder, connect, pauses, &main);
                main.tell(Err(end));
            })
            .map_err(failed)?;
        Ok(Self {
            wake,
            told,
            trouble: None,
        })
    }

    /// Reads all that is there; says whether it was anything.
    ///
    /// # Errors
    /// The thread's reason to listen no more.
    pub(crate) fn drain(&mut self) -> Result<bool, WatchError> {
        let mut bytes = [0; 64];
        let is_over = loop {
            match self.wake.read(&mut bytes) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
        };
        let mut is_news = false;
        for told in self.told.try_iter() {
            is_news |= told.is_ok();
            self.trouble = told.err();
        }
        if is_over {
            return Err(self.trouble.take().unwrap_or(WatchError::Thread {
                source: ErrorKind::BrokenPipe.into(),
            }));
        }
        Ok(is_news)
    }

    /// Why the bus is not heard although it is there.
    pub(crate) fn trouble(&self) -> Option<&WatchError> {
        self.trouble.as_ref()
    }
}

impl AsFd for Firewalld {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The main loop, seen from the thread.
struct Main {
    tell: Sender<Result<(), WatchError>>,
    wake: UnixStream,
}

impl Main {
    fn tell(&self, what: Result<(), WatchError>) {
        // Without a main loop there is no process.
        let _ = self.tell.send(what);
        // A full pipe says the same.
        let _ = (&self.wake).write(&[1]);
    }
}

/// Listens as long as the bus is there. When it is gone, tries again a few times, and then waits
/// for a new socket.
fn listen_always(
    mut folder: Folder,
    connect: fn() -> zbus::Result<Bus>,
    pauses: &[u16],
    main: &Main,
) -> Result<std::convert::Infallible, WatchError> {
    let mut left = pauses.iter();
    let mut is_said = false;
    loop {
        let refusal = match connect() {
            Ok(bus) => {
                let begin = Instant::now();
                // firewalld may have done anything before it was listened to.
                main.tell(Ok(()));
                is_said = false;
                bus.listen(|| main.tell(Ok(())));
                if begin.elapsed() >= LASTING {
                    left = pauses.iter();
                    // What has lasted is tried again at once.
                    continue;
                }
                None
            }
            // Without a bus there is no firewalld.
            Err(zbus::Error::InputOutput(reason)) if reason.kind() == ErrorKind::NotFound => None,
            Err(reason) => Some(reason),
        };
        let pause = match (left.next(), refusal) {
            (Some(pause), _) => PollTimeout::from(*pause),
            (None, None) => PollTimeout::NONE,
            (None, Some(source)) => {
                if !is_said {
                    main.tell(Err(WatchError::Bus { source }));
                }
                is_said = true;
                PollTimeout::from(LONG_PAUSE)
            }
        };
        if is_made_within(&mut folder, pause)? {
            left = pauses.iter();
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

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    /// Waits until the thread has told something.
    fn wait(firewalld: &Firewalld) {
        let mut descriptors = [PollFd::new(firewalld.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut descriptors, 10_000_u16), Ok(1), "nothing is told");
    }

    #[test]
    fn a_bus_that_refuses_is_trouble_and_no_end() {
        let root = tempfile::tempdir().expect("a folder");
        let refused = || Err(zbus::Error::InterfaceNotFound);
        let mut firewalld = Firewalld::listen_to(root.path(), refused, &[1, 1]).expect("a thread");
        wait(&firewalld);
        assert!(!firewalld.drain().expect("it goes on"));
        let trouble = firewalld.trouble().expect("a reason").to_string();
        assert!(
            trouble.starts_with("cannot hear firewalld on the system bus: "),
            "{trouble}"
        );
        // A new socket is tried again; what is refused again is not said again.
        for _ in 0..2 {
            std::fs::write(root.path().join(BUS_SOCKET), "").expect("a file");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!firewalld.drain().expect("it goes on"));
        assert!(firewalld.trouble().is_some());
    }

    #[test]
    fn no_bus_is_no_trouble() {
        let root = tempfile::tempdir().expect("a folder");
        let missing = || {
            Err(zbus::Error::InputOutput(std::sync::Arc::new(
                ErrorKind::NotFound.into(),
            )))
        };
        let mut firewalld = Firewalld::listen_to(root.path(), missing, &[1, 1]).expect("a thread");
        std::thread::sleep(Duration::from_millis(50));
        assert!(!firewalld.drain().expect("it goes on"));
        assert!(firewalld.trouble().is_none());
    }

    #[test]
    fn the_end_of_the_thread_is_an_error_and_nothing_to_be_waited_for_without_end() {
        let root = tempfile::tempdir().expect("a folder");
        let panics = || panic!("the bus");
        let mut firewalld = Firewalld::listen_to(root.path(), panics, &[1]).expect("a thread");
        wait(&firewalld);
        assert!(firewalld.drain().is_err());
    }
}
