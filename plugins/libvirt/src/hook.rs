//! The four hooks that portero is: where libvirt looks for them, what they are told, and whether they may refuse.

use crate::{DaemonOperation, DomainOperation, Driver, Event, EventError, NetworkOperation};
use std::path::Path;

/// Which hook of libvirt a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// /etc/libvirt/hooks/network.d
    Network,
    /// /etc/libvirt/hooks/qemu.d, lxc.d
    Domain(Driver),
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

/// Daemons of a libvirt that is divided which have neither networks nor guests.
const HELPERS: [&str; 8] = [
    "virtinterfaced",
    "virtlockd",
    "virtlogd",
    "virtnodedevd",
    "virtnwfilterd",
    "virtproxyd",
    "virtsecretd",
    "virtstoraged",
];

/// Daemons that have networks, and so rules of their own in the firewall: the one for all, and the one for networks.
const WITH_NETWORKS: [&str; 2] = ["libvirtd", "virtnetworkd"];

/// Daemons of a libvirt that is divided which have guests and no networks.
const WITH_GUESTS: [&str; 2] = ["virtlxcd", "virtqemud"];

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Network,
        Self::Domain(Driver::Qemu),
        Self::Domain(Driver::Lxc),
        Self::Daemon,
    ];

    /// Its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Network => "portero-network-hook",
            Self::Domain(Driver::Qemu) => "portero-qemu-hook",
            Self::Domain(Driver::Lxc) => "portero-lxc-hook",
            Self::Daemon => "portero-daemon-hook",
        }
    }

    /// The hook that a program is by its path: its own name, that of the hook (`hooks/qemu`, a copy), or that of the hook's
    /// folder. None by any other path.
    #[must_use]
    pub fn of_program(path: &Path) -> Option<Self> {
        let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
        // A program that was replaced while it begins (proc(5)).
        let program = name(path)?.trim_end_matches(" (deleted)").to_owned();
        let folder = path.parent().and_then(name);
        Self::ALL.into_iter().find(|hook| {
            let own = hook.folder();
            program == hook.program()
                || program == own.trim_end_matches(".d")
                || folder.as_deref() == Some(own)
        })
    }

    /// Its folder below libvirt's `hooks`.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Network => "network.d",
            Self::Domain(Driver::Qemu) => "qemu.d",
            Self::Domain(Driver::Lxc) => "lxc.d",
            Self::Daemon => "daemon.d",
        }
    }

    /// The exit policy: only `prepare` and `start` may refuse.
    #[must_use]
    pub fn on_failure(self, operation: &str) -> OnFailure {
        let may_refuse = match self {
            Self::Network => NetworkOperation::from(operation).may_refuse(),
            Self::Domain(_) => DomainOperation::from(operation).may_refuse(),
            Self::Daemon => false,
        };
        if may_refuse {
            OnFailure::Refuse
        } else {
            OnFailure::Log
        }
    }

    /// Whether a daemon of libvirt's has networks or guests. All of them run the daemon hook, and most
    /// have neither.
    #[must_use]
    pub fn concerns(self, daemon: &str) -> bool {
        self != Self::Daemon || !HELPERS.contains(&daemon)
    }

    /// Whether a program is one of libvirt's daemons that run hooks.
    #[must_use]
    pub fn is_run_by(program: &str) -> bool {
        let daemons = WITH_NETWORKS.iter().chain(&WITH_GUESTS).chain(&HELPERS);
        daemons.into_iter().any(|daemon| *daemon == program)
    }

    /// Whether a daemon of libvirt's puts rules of its own into the firewall after it has run the daemon hook.
    #[must_use]
    pub fn makes_rules(daemon: &str) -> bool {
        WITH_NETWORKS.contains(&daemon)
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
            Self::Domain(_) => match DomainOperation::from(operation) {
                DomainOperation::Unknown(_) => None,
                operation => Some(Event::domain(operation, stdin)?),
            },
            Self::Daemon => Some(Event::Daemon {
                operation: DaemonOperation::from(operation),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Driver, Hook};
    use std::path::Path;

    #[test]
    fn a_program_is_known_by_its_path() {
        for hook in Hook::ALL {
            let name = hook.folder().trim_end_matches(".d");
            for path in [
                format!("/usr/bin/{}", hook.program()),
                format!("/usr/bin/{} (deleted)", hook.program()),
                format!("/etc/libvirt/hooks/{name}"),
                format!("/etc/libvirt/hooks/{name}.d/50-portero"),
            ] {
                assert_eq!(Hook::of_program(Path::new(&path)), Some(hook), "{path}");
            }
        }
        assert_eq!(Hook::of_program(Path::new("/usr/bin/portero")), None);
    }

    #[test]
    fn only_the_daemon_hook_knows_daemons_that_do_not_concern_it() {
        for daemon in [
            "libvirtd",
            "virtqemud",
            "virtnetworkd",
            "virtlxcd",
            "sh",
            "",
        ] {
            assert!(Hook::Daemon.concerns(daemon), "{daemon}");
        }
        assert!(!Hook::Daemon.concerns("virtproxyd"));
        assert!(Hook::Domain(Driver::Qemu).concerns("virtproxyd"));
    }

    #[test]
    fn rules_come_from_daemons_with_networks() {
        for (program, is_libvirts, makes_rules) in [
            ("libvirtd", true, true),
            ("virtnetworkd", true, true),
            ("virtqemud", true, false),
            ("virtlxcd", true, false),
            ("virtproxyd", true, false),
            ("sh", false, false),
        ] {
            assert_eq!(Hook::is_run_by(program), is_libvirts, "{program}");
            assert_eq!(Hook::makes_rules(program), makes_rules, "{program}");
        }
    }
}
