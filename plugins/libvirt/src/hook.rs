//! The three hooks that portero is: where libvirt looks for them, what they are told, and whether they may refuse.

use crate::{DaemonOperation, Event, EventError, NetworkOperation, QemuOperation};

/// Which hook of libvirt a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// /etc/libvirt/hooks/network.d
    Network,
    /// /etc/libvirt/hooks/qemu.d
    Qemu,
    /// /etc/libvirt/hooks/daemon.d
    Daemon,
}

/// What a failure may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Refuse what the user asked for, with one line that virsh shows.
    Refuse,
    /// Be logged; libvirt must not notice, since it would kill a guest or leak a network.
    Log,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Network, Self::Qemu, Self::Daemon];

    /// Its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Network => "portero-network-hook",
            Self::Qemu => "portero-qemu-hook",
            Self::Daemon => "portero-daemon-hook",
        }
    }

    /// Its folder below libvirt's `hooks`.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Network => "network.d",
            Self::Qemu => "qemu.d",
            Self::Daemon => "daemon.d",
        }
    }

    /// The exit policy: only `prepare` and `start` may refuse.
    #[must_use]
    pub fn on_failure(self, operation: &str) -> OnFailure {
        let may_refuse = match self {
            Self::Network => NetworkOperation::from(operation).may_refuse(),
            Self::Qemu => QemuOperation::from(operation).may_refuse(),
            Self::Daemon => false,
        };
        if may_refuse {
            OnFailure::Refuse
        } else {
            OnFailure::Log
        }
    }

    /// The event of an operation; nothing for one that is not known.
    ///
    /// # Errors
    /// [`EventError`] when libvirt's input cannot be understood.
    pub fn event(self, operation: &str, stdin: &[u8]) -> Result<Option<Event>, EventError> {
        Ok(match self {
            Self::Network => match NetworkOperation::from(operation) {
                NetworkOperation::Unknown(_) => None,
                operation => Some(Event::network(operation, stdin)?),
            },
            Self::Qemu => match QemuOperation::from(operation) {
                QemuOperation::Unknown(_) => None,
                operation => Some(Event::domain(operation, stdin)?),
            },
            Self::Daemon => Some(Event::Daemon {
                operation: DaemonOperation::from(operation),
            }),
        })
    }
}
