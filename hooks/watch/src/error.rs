//! Why the service cannot go on, and what it can go on without.

use std::ffi::OsString;
use std::path::PathBuf;

/// Why the service cannot go on; systemd starts it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// The kernel does not tell of changes.
    #[error("cannot listen to {of}: {source}")]
    Netlink {
        /// To what.
        of: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder cannot be watched.
    #[error("cannot watch {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The thread that listens on the bus cannot be started.
    #[error("cannot listen to firewalld: {source}")]
    Thread {
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system bus does not take us.
    #[error("cannot hear firewalld on the system bus: {source}")]
    Bus {
        /// The bus's reason.
        source: zbus::Error,
    },
    /// What the service writes to was taken away on the host, so that another folder than its own is
    /// there now.
    #[error("{} cannot be written here any more: the folder was removed on the host", path.display())]
    Unwritable {
        /// The folder of the state.
        path: PathBuf,
    },
    /// poll(2) failed.
    #[error("cannot wait for events: {source}")]
    Wait {
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Why systemd does not know that the service is up, or lives.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotifyError {
    /// systemd's socket takes no message.
    #[error("cannot tell systemd by {} that the service is up: {source}", std::path::Path::new(socket).display())]
    Send {
        /// The socket, as systemd names it.
        socket: OsString,
        /// The system's reason.
        source: std::io::Error,
    },
}
