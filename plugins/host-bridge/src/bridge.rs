//! What is wanted, and what the host has: a bridge, its NICs, and the host's files.

use crate::{BridgeError, Result};
use portero_libvirt::{InterfaceName, MacAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use uuid::Uuid;

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

impl Bridge {
    /// The UUID of something of the bridge: the same each time, and another for each `of`, so that
    /// two hosts' differ.
    pub(crate) fn uuid(&self, of: &str) -> String {
        let seed = format!("portero bridge {} {of}", self.name);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).to_string()
    }

    /// What is wrong with a further NIC that has addresses.
    pub(crate) fn has_ip_already(&self, nic: &str) -> String {
        format!(
            "{nic} has an IP configuration of its own, expected one on {} alone",
            self.nics[0]
        )
    }
}

/// Whether a file is a backup, which initscripts (network-functions, `is_ignored_file`) and
/// NetworkManager pass over.
pub(crate) fn is_backup(name: &str) -> bool {
    let ends = [
        "~", ".bak", ".old", ".orig", ".rpmsave", ".rpmnew", ".rpmorig",
    ];
    ends.iter().any(|end| name.ends_with(end))
}

/// The spanning tree protocol, IEEE 802.1D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stp {
    /// Spoken.
    On,
    /// Not spoken; the default, since a switch may shut a port that speaks it.
    Off,
}

impl Stp {
    /// The word of a format that says it.
    pub(crate) fn pick(self, on: &'static str, off: &'static str) -> &'static str {
        match self {
            Self::On => on,
            Self::Off => off,
        }
    }
}

/// What the host says of a NIC that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNic {
    /// Its name.
    pub name: InterfaceName,
    /// Its present MAC address.
    pub mac: Option<MacAddress>,
    /// The bridge, bond or team it is in now.
    pub master: Option<String>,
    /// Whether it is wireless.
    pub kind: NicKind,
    /// What its files do not say.
    pub state: NicState,
}

/// What a NIC has by now that its files do not say, and that a bridge would get another of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NicState {
    /// The metric of its own subnet's route, if it has one: NetworkManager's default is another for
    /// each type of interface, and for each interface of a type.
    pub metric: Option<u32>,
    /// The same of its IPv6 subnet's route.
    pub metric_v6: Option<u32>,
    /// The number that stands for the interface in the DHCP identity that networkd sends (IAID).
    pub iaid: Option<u32>,
    /// The addresses that it gave itself from router advertisements, temporary ones left out.
    pub slaac: Vec<Ipv6Addr>,
}

impl NicState {
    /// The interface's half of the addresses that it gave itself, where all have the same: an
    /// address of the bridge with this token is the same as that of the NIC.
    pub(crate) fn token(&self) -> Option<String> {
        let half = |address: &Ipv6Addr| address.to_bits() & u128::from(u64::MAX);
        let mut halves: Vec<u128> = self.slaac.iter().map(half).collect();
        halves.dedup();
        match halves.as_slice() {
            [one] => Some(Ipv6Addr::from_bits(*one).to_string()),
            _ => None,
        }
    }
}

impl HostNic {
    /// Whether its MAC address is the one written here.
    pub(crate) fn has_mac(&self, text: &str) -> bool {
        self.mac.is_some() && text.parse().ok() == self.mac
    }
}

/// Kinds of NICs, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicKind {
    /// A NIC that a bridge can have.
    Wired,
    /// One whose access point sends nothing for other addresses (802.11).
    Wireless,
}

/// The host's network files: their text by their path below /etc.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFiles {
    texts: BTreeMap<String, String>,
    /// Those with bytes that are no text.
    damaged: BTreeSet<String>,
}

impl HostFiles {
    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.texts.insert(path.into(), text.into());
    }

    /// Adds a file as it is stored. One that is no UTF-8 is read as far as it can be, and cannot be changed.
    pub fn insert_bytes(&mut self, path: impl Into<String>, bytes: &[u8]) {
        let path = path.into();
        let text = String::from_utf8_lossy(bytes);
        if text.as_bytes() != bytes {
            self.damaged.insert(path.clone());
        }
        self.texts.insert(path, text.into_owned());
    }

    /// Whether a file has bytes that are no text, and so cannot be changed.
    pub(crate) fn is_damaged(&self, path: &str) -> bool {
        self.damaged.contains(path)
    }

    /// A file's text.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The files of a folder (its path without a slash at the end), by their names in it.
    pub fn folder<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts.iter().filter_map(move |(path, text)| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then_some((name, text.as_str()))
        })
    }

    /// All files by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Refuses to write a new file where one is: it is somebody else's, or another NIC's.
    ///
    /// # Errors
    /// [`BridgeError::Exists`].
    pub(crate) fn expect_none(&self, path: &str, of: &InterfaceName) -> Result<()> {
        match self.get(path) {
            None => Ok(()),
            Some(_) => Err(BridgeError::Exists {
                file: path.to_owned(),
                name: of.to_string(),
            }),
        }
    }

    /// Takes a file away.
    pub(crate) fn remove(&mut self, path: &str) -> Option<String> {
        self.texts.remove(path)
    }
}

/// The NIC as the host has it, if it can be in a bridge.
pub(crate) fn find_nic<'a>(nic: &InterfaceName, nics: &'a [HostNic]) -> Result<&'a HostNic> {
    let live = nics
        .iter()
        .find(|live| live.name == *nic)
        .ok_or_else(|| BridgeError::NoNic {
            nic: nic.to_string(),
        })?;
    if let Some(master) = &live.master {
        return Err(BridgeError::unfit(nic, format!("is in {master} already")));
    }
    if live.kind == NicKind::Wireless {
        let reason = "is wireless; an access point takes no bridge, expected a wired NIC";
        return Err(BridgeError::unfit(nic, reason));
    }
    Ok(live)
}
