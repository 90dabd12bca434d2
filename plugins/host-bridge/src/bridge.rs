//! What is wanted, and what the host has: a bridge, its NICs, and the host's files.

use crate::BridgeError;
use portero_event::{InterfaceName, MacAddress};
use std::collections::BTreeMap;

/// The bridge that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: InterfaceName,
    /// The NICs in it, at least one; the first one's IP configuration moves to the bridge.
    pub nics: Vec<InterfaceName>,
    /// Whether it takes part in the spanning tree.
    pub stp: Stp,
}

/// The spanning tree protocol, IEEE 802.1D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stp {
    /// Spoken.
    On,
    /// Not spoken; the default, since a switch may shut a port that speaks it.
    Off,
}

/// What the host says of a NIC that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: InterfaceName,
    /// Its present MAC address.
    pub mac: Option<MacAddress>,
    /// The bridge, bond or team it is in now.
    pub master: Option<String>,
    /// Whether it is wireless.
    pub kind: Kind,
}

/// Kinds of NICs, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A NIC that a bridge can have.
    Wired,
    /// One whose access point sends nothing for other addresses (802.11).
    Wireless,
}

/// The host's network files: their text by their path below /etc.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFiles(BTreeMap<String, String>);

impl HostFiles {
    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.0.insert(path.into(), text.into());
    }

    /// A file's text.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The files of a folder (its path without a slash at the end), by their names in it.
    pub fn folder<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(path, text)| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then_some((name, text.as_str()))
        })
    }

    /// All files by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Takes a file away.
    pub(crate) fn remove(&mut self, path: &str) -> Option<String> {
        self.0.remove(path)
    }
}

/// The NIC as the host has it, if it can be in a bridge.
pub(crate) fn fit<'a>(nic: &InterfaceName, nics: &'a [Nic]) -> Result<&'a Nic, BridgeError> {
    let live = nics
        .iter()
        .find(|live| live.name == *nic)
        .ok_or_else(|| BridgeError::NoNic {
            nic: nic.to_string(),
        })?;
    let unfit = |reason: String| BridgeError::Unfit {
        nic: nic.to_string(),
        reason,
    };
    if let Some(master) = &live.master {
        return Err(unfit(format!("is in {master} already")));
    }
    if live.kind == Kind::Wireless {
        return Err(unfit(
            "is wireless; an access point takes no bridge, expected a wired NIC".to_owned(),
        ));
    }
    Ok(live)
}
