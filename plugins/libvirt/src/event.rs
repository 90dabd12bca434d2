//! One invocation of a hook as a value.

use crate::{DaemonOperation, Domain, DomainOperation, Network, NetworkOperation, NetworkPort};
use portero_xml::{Element, Problem, XmlError};

/// What libvirt tells a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// From the qemu or the lxc hook.
    Domain {
        /// What happens.
        operation: DomainOperation,
        /// To which guest.
        domain: Domain,
    },
    /// From the network hook.
    Network {
        /// What happens.
        operation: NetworkOperation,
        /// To which network.
        network: Network,
        /// Which port is made or removed.
        port: Option<NetworkPort>,
    },
    /// From the daemon hook.
    Daemon {
        /// What happens.
        operation: DaemonOperation,
    },
}

/// Why an invocation cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not run as libvirt runs a hook.
    #[error("expected OBJECT OPERATION SUB-OPERATION EXTRA as libvirt passes them, found {found} arguments")]
    Arguments {
        /// How many arguments there were.
        found: usize,
    },
    /// An argument is not UTF-8.
    #[error("argument {position} is not valid UTF-8")]
    ArgumentNotUtf8 {
        /// Which argument, counted from 1.
        position: usize,
    },
    /// The XML cannot be read.
    #[error("stdin: {source}")]
    Xml {
        /// What is wrong with it.
        #[from]
        source: XmlError,
    },
    /// The XML lacks what libvirt always writes.
    #[error("stdin: {source}")]
    Content {
        /// What is wrong with it.
        #[from]
        source: Problem,
    },
}

/// The arguments of a hook: `OBJECT OPERATION SUB-OPERATION EXTRA`, the last two unused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookArguments {
    /// Name of the object, `-` for the daemon hook.
    pub object: String,
    /// Word of the operation.
    pub operation: String,
}

impl HookArguments {
    /// Reads argv without the program's name.
    ///
    /// # Errors
    /// [`EventError::Arguments`] with fewer than two arguments, [`EventError::ArgumentNotUtf8`].
    pub fn parse<I>(arguments: I) -> Result<Self, EventError>
    where
        I: IntoIterator<Item = std::ffi::OsString>,
    {
        let mut words = Vec::new();
        for (index, argument) in arguments.into_iter().enumerate() {
            words.push(
                argument
                    .into_string()
                    .map_err(|_| EventError::ArgumentNotUtf8 {
                        position: index + 1,
                    })?,
            );
        }
        let found = words.len();
        let mut words = words.into_iter();
        match (words.next(), words.next()) {
            (Some(object), Some(operation)) => Ok(Self { object, operation }),
            _ => Err(EventError::Arguments { found }),
        }
    }
}

impl Event {
    /// What has happened, in the words of the log.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Domain { operation, .. } => match operation {
                DomainOperation::Prepare | DomainOperation::Start | DomainOperation::Started => {
                    "guest started"
                }
                DomainOperation::Reconnect => "libvirt started",
                DomainOperation::Attach => "guest attached",
                DomainOperation::Stopped | DomainOperation::Release => "guest stopped",
                DomainOperation::Migrate => "guest migrates",
                DomainOperation::Restore => "guest restored",
                DomainOperation::Unknown(_) => "event of a guest",
            },
            Self::Network {
                operation, port, ..
            } => match (operation, port) {
                (NetworkOperation::Start | NetworkOperation::Started, _) => "network started",
                (NetworkOperation::Updated, _) => "network changed",
                (NetworkOperation::Stopped, _) => "network stopped",
                (NetworkOperation::PortCreated, _) => "interface plugged in",
                (NetworkOperation::PortDeleted, _) => "interface unplugged",
                _ => "event of a network",
            },
            Self::Daemon { operation } => match operation {
                DaemonOperation::Start => "libvirt started",
                DaemonOperation::Reload => "libvirt reloaded",
                DaemonOperation::Shutdown => "libvirt stopped",
                DaemonOperation::Unknown(_) => "event of libvirt",
            },
        }
    }

    /// An event of the qemu or the lxc hook, from the operation and the domain's XML on stdin.
    ///
    /// # Errors
    /// [`EventError`] when the XML is not a domain.
    pub fn domain(operation: DomainOperation, stdin: &[u8]) -> Result<Self, EventError> {
        let domain = Domain::from_element(&Element::parse(stdin)?)?;
        Ok(Self::Domain { operation, domain })
    }

    /// An event of the network hook, from the operation and the `<hookData>` on stdin.
    ///
    /// # Errors
    /// [`EventError`] when the XML holds no network.
    pub fn network(operation: NetworkOperation, stdin: &[u8]) -> Result<Self, EventError> {
        let root = Element::parse(stdin)?;
        let problem = root.problem("expected <hookData> with a <network>");
        let port = root.child("networkport").map(NetworkPort::from_element);
        // A line is told as `virsh net-dumpxml` shows it.
        let network = root.into_child("network").ok_or(problem)?;
        Ok(Self::Network {
            operation,
            network: Network::from_element(&network)?,
            port: port.transpose()?.flatten(),
        })
    }
}
