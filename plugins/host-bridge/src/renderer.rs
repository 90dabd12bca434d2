//! The formats of network files by their names.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A format of network files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Renderer {
    /// /etc/sysconfig/network-scripts/ifcfg-*, of initscripts and NetworkManager.
    Ifcfg,
    /// /etc/NetworkManager/system-connections/*.nmconnection, nm-settings-keyfile(5).
    Keyfile,
    /// /etc/systemd/network/*.network, systemd.network(5).
    Networkd,
    /// /etc/netplan/*.yaml, netplan(5).
    Netplan,
    /// /etc/network/interfaces, interfaces(5).
    Ifupdown,
}

impl Renderer {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ifcfg,
        Self::Keyfile,
        Self::Networkd,
        Self::Netplan,
        Self::Ifupdown,
    ];

    /// Its name, as `renderer` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ifcfg => "ifcfg",
            Self::Keyfile => "keyfile",
            Self::Networkd => "networkd",
            Self::Netplan => "netplan",
            Self::Ifupdown => "ifupdown",
        }
    }

    /// The permission bits of a new file. NetworkManager reads no keyfile that others can read,
    /// and netplan warns of one.
    #[must_use]
    pub fn mode(self) -> u32 {
        match self {
            Self::Keyfile | Self::Netplan => 0o600,
            Self::Ifcfg | Self::Networkd | Self::Ifupdown => 0o644,
        }
    }
}

impl fmt::Display for Renderer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The word is the name of no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no format, expected auto, ifcfg, keyfile, networkd, netplan or ifupdown", word.escape_debug())]
pub struct RendererError {
    /// The word.
    pub word: String,
}

impl FromStr for Renderer {
    type Err = RendererError;

    fn from_str(word: &str) -> Result<Self, RendererError> {
        let mut all = Self::ALL.into_iter();
        all.find(|renderer| renderer.name() == word)
            .ok_or_else(|| RendererError {
                word: word.to_owned(),
            })
    }
}
