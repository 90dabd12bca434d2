//! libvirt's drivers whose guests are on virtual networks of this host.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which driver of libvirt's has a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// Virtual machines.
    Qemu,
    /// Containers.
    Lxc,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Qemu, Self::Lxc];

    /// Its name: that of its hook, its folders in /etc/libvirt and /run/libvirt, and its URIs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    /// The driver of a `<domain type=''>`: QEMU's has many types.
    #[must_use]
    pub fn of_type(word: Option<&str>) -> Self {
        match word {
            Some("lxc") => Self::Lxc,
            _ => Self::Qemu,
        }
    }

    /// What virsh and `portero forward` have to be told to find a domain of it, with a space after it: nothing where
    /// they ask it by themselves.
    #[must_use]
    pub fn connect_option(self) -> &'static str {
        match self {
            Self::Qemu => "",
            Self::Lxc => "-c lxc:///system ",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
