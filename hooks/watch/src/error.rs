//! Why the service cannot go on.

use std::path::PathBuf;

/// Why the service cannot go on; systemd starts it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// The kernel does not tell of changes to its rules.
    #[error("cannot listen to nftables: {source}")]
    Netlink {
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
    /// poll(2) failed.
    #[error("cannot wait for events: {source}")]
    Wait {
        /// The system's reason.
        source: std::io::Error,
    },
}
