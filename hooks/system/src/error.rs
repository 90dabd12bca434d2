//! Why the machine did not do what it was asked; each is one line.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Why a file, a folder or a lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A configuration file that somebody else than root can change.
    #[error("{}: {reason}, expected a file of root's that only root can write", path.display())]
    Unsafe {
        /// The file or its folder.
        path: PathBuf,
        /// What is unsafe about it.
        reason: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another portero works for longer than we may wait.
    #[error("another portero holds {} for more than {seconds} s", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long we waited, in seconds.
        seconds: u64,
    },
}

impl FileError {
    /// What becomes of the system's reason where a file cannot be read, written, ... (`action`).
    pub fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// A file or folder is not safe.
    pub(crate) fn not_safe(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unsafe {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The result of a request to the machine.
pub type Result<T, E = SystemError> = std::result::Result<T, E>;

/// Why the machine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// A program is not installed.
    #[error("{program} is not installed (looked in {looked_in})")]
    NoProgram {
        /// Its name.
        program: String,
        /// Where it was looked for.
        looked_in: String,
    },
    /// A program could not be run.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// Its name.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {message}")]
    Failed {
        /// Its name.
        program: String,
        /// What it said, on one line.
        message: String,
    },
    /// A program did not end in time and was killed.
    #[error("{program} did not end within {seconds} s")]
    Hung {
        /// Its name.
        program: String,
        /// The whole time the event had, in seconds.
        seconds: u64,
    },
    /// The kernel refuses a change of its own objects.
    #[error("the kernel refuses '{what}': {source}")]
    Refused {
        /// The change, in the words of the program that would do it.
        what: String,
        /// Its reason.
        source: io::Error,
    },
    /// Somebody else has an address.
    #[error("{address} is in use on {dev} already, by {mac}")]
    Taken {
        /// The address.
        address: IpAddr,
        /// The host's interface.
        dev: String,
        /// Who answers.
        mac: String,
    },
    /// A file of the kernel's could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or socket.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl SystemError {
    /// What becomes of the system's reason at a file of the kernel's, or a socket.
    pub fn file(path: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            path: path.to_string(),
            source,
        }
    }
}
