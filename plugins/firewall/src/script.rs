//! The two firewalls portero can write to, and the scripts that it gives their programs.

use portero_model::Family;
use serde::{Deserialize, Serialize};

/// A firewall, by the name that libvirt has for it (`firewall_backend` in network.conf).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Firewall {
    /// iptables and ip6tables, whichever of their two variants is installed.
    Iptables,
    /// nftables.
    Nftables,
}

impl Firewall {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Iptables => Self::Nftables,
            Self::Nftables => Self::Iptables,
        }
    }
}

/// The program a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `iptables-restore --noflush` or `ip6tables-restore --noflush`: each table is changed as a
    /// whole or not at all.
    Restore(Family),
    /// `nft -f -`: everything or nothing.
    Nft,
}

impl Tool {
    /// Name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Restore(Family::Ipv4) => "iptables-restore",
            Self::Restore(Family::Ipv6) => "ip6tables-restore",
            Self::Nft => "nft",
        }
    }

    /// Its arguments; the script is its stdin.
    #[must_use]
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Restore(_) => &["--noflush"],
            Self::Nft => &["-f", "-"],
        }
    }
}

/// Input for one run of a firewall's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The program.
    pub tool: Tool,
    /// The whole input.
    pub text: String,
}

/// Adds a script to others; what is for one program is one transaction.
pub fn append(scripts: &mut Vec<Script>, script: Option<Script>) {
    let Some(script) = script else {
        return;
    };
    match scripts.last_mut() {
        Some(last) if last.tool == script.tool => last.text += &script.text,
        _ => scripts.push(script),
    }
}
