//! Tells systemd that the service is up, sd_notify(3).

use crate::error::NotifyError;
use portero_system::{Log, Severity};
use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that says where systemd listens.
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// What systemd is told.
const READY: &[u8] = b"READY=1\n";

/// Who has still to be told that the service is up.
pub(crate) struct Readiness {
    socket: Option<OsString>,
    has_failed: bool,
}

impl Readiness {
    /// `socket` is the value of [`NOTIFY_SOCKET`]; without one nobody listens.
    pub(crate) fn new(socket: Option<OsString>) -> Self {
        Self {
            socket: socket.filter(|socket| !socket.is_empty()),
            has_failed: false,
        }
    }

    /// Tells it unless that is done; a failure is tried again next time, and logged once.
    pub(crate) fn tell(&mut self, log: &mut Log) {
        let Some(socket) = &self.socket else {
            return;
        };
        match send(socket) {
            Ok(()) => self.socket = None,
            Err(error) => {
                if !self.has_failed {
                    log.write(Severity::Warning, error);
                }
                self.has_failed = true;
            }
        }
    }
}

/// Sends to a path, or with a leading '@' to an abstract name.
fn send(socket: &OsStr) -> Result<(), NotifyError> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    };
    address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(READY, &address))
        .map(|_| ())
        .map_err(|source| NotifyError::Send {
            socket: socket.to_owned(),
            source,
        })
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::Readiness;
    use portero_system::{Log, LogSink, Severity};
    use std::ffi::OsString;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn memory() -> Log {
        Log::new(LogSink::Memory(Vec::new()))
    }

    /// Tells it twice; the service is up once.
    fn is_heard_once(systemd: &UnixDatagram, socket: OsString) {
        let mut log = memory();
        let mut readiness = Readiness::new(Some(socket));
        readiness.tell(&mut log);
        readiness.tell(&mut log);
        assert_eq!(log.messages(), []);
        systemd.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 64];
        let size = systemd.recv(&mut buffer).expect("a message");
        assert_eq!(&buffer[..size], b"READY=1\n");
        assert!(systemd.recv(&mut buffer).is_err());
    }

    #[test]
    fn an_abstract_name_is_told() {
        let name = format!("portero-watch-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let systemd = UnixDatagram::bind_addr(&address).expect("a socket");
        is_heard_once(&systemd, format!("@{name}").into());
    }

    #[test]
    fn a_path_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        is_heard_once(&systemd, path.into());
    }

    #[test]
    fn nobody_is_told_without_a_socket() {
        for socket in [None, Some(OsString::new())] {
            let mut log = memory();
            Readiness::new(socket).tell(&mut log);
            assert_eq!(log.messages(), []);
        }
    }

    #[test]
    fn a_failure_is_logged_once_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let mut log = memory();
        let mut readiness = Readiness::new(Some(path.clone().into()));
        readiness.tell(&mut log);
        readiness.tell(&mut log);
        let [(Severity::Warning, message)] = log.messages() else {
            panic!("{:?}", log.messages());
        };
        assert!(message.contains(&path.display().to_string()), "{message}");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        readiness.tell(&mut log);
        assert_eq!(systemd.recv(&mut [0; 64]).expect("a message"), 8);
        assert_eq!(log.messages().len(), 1);
    }
}
