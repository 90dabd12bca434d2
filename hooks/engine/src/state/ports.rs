//! The interfaces of guests on virtual networks, as libvirt told of them.

use super::{is_older_than_a_start, write_json, State};
use portero_libvirt::{MacAddress, NetworkPort, PortSettings};
use portero_system::{files, FileError};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::SystemTime;
use uuid::Uuid;

/// A guest's interface on a network, as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedPort {
    /// Its UUID.
    pub uuid: Uuid,
    /// The domain.
    pub owner: Uuid,
    /// The network.
    pub network: Uuid,
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// What it has besides a place in the bridge.
    pub settings: PortSettings,
    /// Whether the interface is there, or has been taken from the running guest.
    pub state: PortState,
}

/// Whether a guest has an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// It has.
    #[serde(alias = "in")]
    Attached,
    /// It had: its XML, which libvirt tells once, still shows it.
    #[serde(alias = "out")]
    Detached,
}

/// What is recorded of an interface that is there no more.
#[derive(Debug)]
pub(crate) struct OutdatedPort {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Whether it was there when it was recorded.
    pub(crate) state: PortState,
}

#[derive(Serialize, Deserialize)]
struct PortFile {
    network: Uuid,
    mac: String,
    #[serde(default)]
    settings: PortSettings,
    #[serde(alias = "plug")]
    state: PortState,
}

impl State {
    fn ports_of(&self, owner: Uuid) -> PathBuf {
        self.root.join("ports").join(owner.to_string())
    }

    /// Records a port.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_port(
        &self,
        network: Uuid,
        port: &NetworkPort,
        state: PortState,
    ) -> Result<(), FileError> {
        let folder = self.ports_of(port.owner);
        self.make(&folder)?;
        let path = folder.join(format!("{}.json", port.uuid));
        let file = PortFile {
            network,
            mac: port.mac.to_string(),
            settings: port.settings,
            state,
        };
        write_json(&path, &file)
    }

    /// Forgets a port.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove_port(&self, port: &NetworkPort) -> Result<(), FileError> {
        files::remove(
            &self
                .ports_of(port.owner)
                .join(format!("{}.json", port.uuid)),
        )
    }

    /// Forgets all ports of a domain.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove_ports(&self, owner: Uuid) -> Result<(), FileError> {
        files::remove_folder(&self.ports_of(owner))
    }

    /// Whether all ports of a domain were recorded so long ago that it cannot be just starting.
    pub(crate) fn are_ports_old(&self, owner: Uuid) -> bool {
        let entries = std::fs::read_dir(self.ports_of(owner));
        let mut entries = entries.into_iter().flatten().flatten();
        entries.all(|entry| is_older_than_a_start(&entry.path()))
    }

    /// A domain's ports that were recorded no later than it was `known` to have these interfaces and none
    /// for them. What was recorded later is news.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn outdated_ports(
        &self,
        owner: Uuid,
        has: &HashSet<MacAddress>,
        known: SystemTime,
    ) -> Result<Vec<OutdatedPort>, FileError> {
        let folder = self.ports_of(owner);
        let mut outdated = Vec::new();
        for name in files::names(&folder, ".json")? {
            let path = folder.join(name);
            // What is somebody else's is said where it is planned with.
            let Ok(Some((content, recorded))) = files::read_own_dated(&path) else {
                continue;
            };
            let port = serde_json::from_slice::<PortFile>(&content).ok();
            let mac = port.as_ref().and_then(|port| port.mac.parse().ok());
            if !mac.is_some_and(|mac| has.contains(&mac)) && recorded <= known {
                let state = port.map_or(PortState::Attached, |port| port.state);
                outdated.push(OutdatedPort { path, state });
            }
        }
        Ok(outdated)
    }

    /// All recorded ports of one domain.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn ports(&self, owner: Uuid) -> Result<Vec<RecordedPort>, FileError> {
        let folder = self.ports_of(owner);
        let mut ports = Vec::new();
        for name in files::names(&folder, ".json")? {
            let Some(content) = files::read_own(&folder.join(&name))? else {
                continue;
            };
            let uuid = name.strip_suffix(".json");
            let uuid = uuid.and_then(|uuid| Uuid::try_parse(uuid).ok());
            let Ok(file) = serde_json::from_slice::<PortFile>(&content) else {
                continue;
            };
            let uuid = uuid.unwrap_or_default();
            ports.extend(file.mac.parse().ok().map(|mac| RecordedPort {
                uuid,
                owner,
                network: file.network,
                mac,
                settings: file.settings,
                state: file.state,
            }));
        }
        Ok(ports)
    }

    /// The domains of which ports are recorded.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn port_owners(&self) -> Result<Vec<Uuid>, FileError> {
        let names = files::names(&self.root.join("ports"), "")?;
        let owners = names.iter().filter_map(|name| Uuid::try_parse(name).ok());
        Ok(owners.collect())
    }

    /// All recorded ports.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn all_ports(&self) -> Result<Vec<RecordedPort>, FileError> {
        let mut ports = Vec::new();
        for owner in self.port_owners()? {
            ports.extend(self.ports(owner)?);
        }
        Ok(ports)
    }
}
