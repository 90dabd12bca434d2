//! The operations of libvirt's hooks page, and which of them may refuse.

use std::fmt;

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// An operation of a libvirt newer (or older) than this program: tolerated.
            Unknown(String),
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => formatter.write_str($word),)+
                    Self::Unknown(word) => write!(formatter, "{}", word.escape_debug()),
                }
            }
        }
    };
}

operations! {
    /// Operations of the qemu hook. The lxc hook has those of them that are not said to be QEMU's alone
    /// (`virHookLxcOpType` in src/util/virhook.h).
    DomainOperation {
        /// Before libvirt does anything for the guest. May refuse.
        Prepare = "prepare",
        /// After labels and ports, before the guest runs. May refuse.
        Start = "start",
        /// The guest runs.
        Started = "started",
        /// The guest has stopped.
        Stopped = "stopped",
        /// libvirt has let go of everything of the guest.
        Release = "release",
        /// On the destination of a migration, before `prepare`; stdout would replace the XML. QEMU's alone.
        Migrate = "migrate",
        /// Before a saved guest is restored; stdout would replace the XML. QEMU's alone.
        Restore = "restore",
        /// The daemon found the guest running when it started; a failure kills the guest.
        Reconnect = "reconnect",
        /// libvirt adopted a QEMU process that it had not started. QEMU's alone.
        Attach = "attach",
    }
}

operations! {
    /// Operations of the network hook.
    NetworkOperation {
        /// Before the bridge and libvirt's rules exist. May refuse.
        Start = "start",
        /// The network is up.
        Started = "started",
        /// The network has been taken down.
        Stopped = "stopped",
        /// `virsh net-update` changed the network.
        Updated = "updated",
        /// A guest's interface is about to join the network.
        PortCreated = "port-created",
        /// A guest's interface has left the network.
        PortDeleted = "port-deleted",
    }
}

operations! {
    /// Operations of the daemon hook.
    DaemonOperation {
        /// The daemon starts; its drivers have not run yet.
        Start = "start",
        /// The daemon ends; guests go on.
        Shutdown = "shutdown",
        /// The daemon got SIGHUP and is about to insert its rules anew.
        Reload = "reload",
    }
}

impl DomainOperation {
    /// Whether a failure may refuse what the user asked for; elsewhere a hook always exits 0.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        matches!(self, Self::Prepare | Self::Start)
    }
}

impl NetworkOperation {
    /// Whether a failure may refuse what the user asked for; elsewhere a hook always exits 0.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        matches!(self, Self::Start)
    }
}
