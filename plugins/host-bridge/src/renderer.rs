//! The formats of network files by their names.

use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// A format of network files.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = RendererError, parse_err_fn = RendererError::new)]
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
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Its name, as `renderer` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
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

/// The word is the name of no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no format, expected auto, ifcfg, keyfile, networkd, netplan or ifupdown", word.escape_debug())]
pub struct RendererError {
    /// The word.
    pub word: String,
}

impl RendererError {
    fn new(word: &str) -> Self {
        Self {
            word: word.to_owned(),
        }
    }
}
