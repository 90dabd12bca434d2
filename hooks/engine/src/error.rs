//! Why something could not be applied; each is one line for the user of virsh.

use portero_libvirt::{EventError, ObjectName};
use portero_model::{Origin, Owner};
use portero_port_forward::{ErrorKind, ForwardError};
use portero_system::{Fields, FileError, SystemError};
use portero_xml::{Problem, Sanitised, XmlError};
use std::path::PathBuf;

/// Why something could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// libvirt's input cannot be understood.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A forward is wrong or cannot be had.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// portero's element in an object's metadata is wrong.
    #[error("metadata of {object}, {source}")]
    Metadata {
        /// The object.
        object: String,
        /// What is wrong.
        source: Problem,
    },
    /// A network's element about its bridge is wrong, or its bridge is not there.
    #[error("{origin}, {source}")]
    HostBridge {
        /// Where it was written.
        origin: Origin,
        /// What is wrong.
        source: Problem,
    },
    /// A network's policy is wrong or cannot be had.
    #[error("{origin}, {source}")]
    Policy {
        /// Where it was written.
        origin: Origin,
        /// What is wrong.
        source: Problem,
    },
    /// What a network's guests may not pretend cannot be kept from them.
    #[error("{object}: antispoof: {source}")]
    Antispoof {
        /// The network.
        object: String,
        /// Why not.
        source: SystemError,
    },
    /// A network has a policy in its metadata and another in its file.
    #[error("{file}, line {line}: <policy>: there is one in {metadata} too, expected one of them")]
    TwoPolicies {
        /// The file.
        file: Origin,
        /// Line of the one in it.
        line: usize,
        /// The other place.
        metadata: Origin,
    },
    /// A rule names a group that is not there.
    #[error("there is no group {}", path.display())]
    NoGroup {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No network of this name is active.
    #[error("network '{}' is not active", name.as_str().escape_debug())]
    NoNetwork {
        /// The name.
        name: ObjectName,
    },
    /// An active object asks for what it cannot have.
    #[error("{owner} keeps the rules it has: {source}")]
    Keeps {
        /// The object.
        owner: Owner,
        /// Why it cannot have it.
        source: Box<ApplyError>,
    },
    /// A file of the administrator is no XML.
    #[error("{}: {source}", path.display())]
    FileXml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: XmlError,
    },
    /// portero.toml is wrong.
    #[error("{}: {}", path.display(), Sanitised(reason))]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// A file, a folder or a lock.
    #[error(transparent)]
    File(#[from] FileError),
    /// The firewall or another part of the kernel refused.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl ApplyError {
    /// What kind of error it is, in a word: for the log's field PORTERO_ERROR and for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Forward(_) => "forward",
            Self::Metadata { .. } => "metadata",
            Self::HostBridge { .. } => "bridge",
            Self::Policy { .. } | Self::TwoPolicies { .. } | Self::NoGroup { .. } => "policy",
            Self::Antispoof { .. } => "antispoof",
            Self::NoNetwork { .. } => "network",
            Self::Keeps { source, .. } => source.kind(),
            Self::FileXml { .. } | Self::File(_) => "file",
            Self::Config { .. } => "config",
            Self::System(_) => "system",
        }
    }

    /// The fields of its message in the log.
    #[must_use]
    pub fn fields(&self) -> Fields {
        Fields {
            error: Some(self.kind()),
            ..Fields::default()
        }
    }

    /// Whether `[limits]` of portero.toml can permit what is refused.
    #[must_use]
    pub fn can_be_permitted(&self) -> bool {
        match self {
            Self::Forward(error) => error.kind == ErrorKind::Unpermitted,
            Self::Keeps { source, .. } => source.can_be_permitted(),
            _ => false,
        }
    }
}
