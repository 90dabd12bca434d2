//! Hears over D-Bus that firewalld has started, ended or reloaded: where iptables is of the legacy
//! variant, nothing else tells.

use crate::error::WatchError;
use crate::folder::{Change, Folder};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use zbus::blocking::fdo::DBusProxy;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::Type;
use zbus::MatchRule;

/// firewalld's name and interface, firewalld.dbus(5).
const FIREWALLD: &str = "org.fedoraproject.FirewallD1";

/// Where the system bus listens, and the file that says so.
const BUS_FOLDER: &str = "/run/dbus";
const BUS_SOCKET: &str = "system_bus_socket";

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

/// Listens as long as the bus is there, and waits for another one when it is gone or has never
/// been.
fn listen_always(mut folder: Folder, to: &UnixStream) {
    loop {
        // Whatever ends it, there is nothing to do but to wait for a new bus.
        let _ = listen_once(to);
        loop {
            let mut descriptors = [PollFd::new(folder.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut descriptors, PollTimeout::NONE);
            let came = folder.drain(|change| match change {
                Change::File(name) => name == BUS_SOCKET,
                Change::Unknown => true,
            });
            match came {
                Ok(true) => break,
                Ok(false) => {}
                // The folder cannot be watched any more; netlink and leases still are.
                Err(_) => return,
            }
        }
    }
}

/// Passes on what is heard until the bus is gone.
fn listen_once(to: &UnixStream) -> zbus::Result<()> {
    let connection = Connection::system()?;
    let proxy = DBusProxy::new(&connection)?;
    let reloaded = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface(FIREWALLD)?
        .member("Reloaded")?
        .build();
    let owner = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")?
        .interface("org.freedesktop.DBus")?
        .member("NameOwnerChanged")?
        .add_arg(FIREWALLD)?
        .build();
    let rules = [reloaded, owner];
    let messages = MessageIterator::from(&connection);
    for rule in &rules {
        proxy.add_match_rule(rule.clone())?;
    }
    for message in messages {
        let message = message?;
        let is_news = rules
            .iter()
            .any(|rule| rule.matches(&message).unwrap_or(false));
        if is_news {
            // A full pipe says the same.
            let _ = std::io::Write::write(&mut &*to, &[1]);
        }
    }
    Ok(())
}
