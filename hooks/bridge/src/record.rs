//! What is kept of a bridge until it is removed: the files before and after, and how far the
//! change has come.

use crate::error::{ChangeError, Result};
use crate::host::HostNoted;
use crate::noted::Noted;
use crate::reach::Reach;
use nix::time::{clock_gettime, ClockId};
use portero_host_bridge::{Manager, Renderer};
use portero_libvirt::InterfaceName;
use portero_system::files::{self, Ownership};
use portero_system::{Deadline, Lock, Paths};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// It is being made or rolled back: a process that dies leaves it half done.
    Changing,
    /// It is made, and is rolled back unless confirmed.
    Applied,
    /// It stays.
    Confirmed,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Original {
    pub(crate) text: String,
    pub(crate) ownership: Ownership,
}

/// A file before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// Its path below /etc.
    pub(crate) path: String,
    pub(crate) before: Option<Original>,
    pub(crate) after: Option<String>,
}

/// Everything that is needed to roll a bridge back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BridgeRecord {
    pub(crate) bridge: String,
    pub(crate) nics: Vec<String>,
    /// The format of the files.
    pub(crate) renderer: Renderer,
    /// Whether ifcfg files are NetworkManager's: it is the one that had the NICs up.
    pub(crate) network_manager: bool,
    pub(crate) phase: Phase,
    /// The boot that the change was made in, random/boot_id of proc(5).
    pub(crate) boot: String,
    /// When it is rolled back, in seconds since that boot.
    pub(crate) until: u64,
    /// What the host could be reached by.
    pub(crate) reach: Reach,
    /// What it had besides its NICs.
    #[serde(default)]
    pub(crate) host: HostNoted,
    pub(crate) files: Vec<Changed>,
    /// What its NICs are to have when it is gone.
    #[serde(default)]
    pub(crate) noted: Vec<Noted>,
    /// Whether the program that brings NICs up has had its turn to roll it back, and something is
    /// missing still.
    #[serde(default)]
    pub(crate) was_tried: bool,
}

impl BridgeRecord {
    /// The program that follows the files.
    pub(crate) fn manager(&self) -> Manager {
        match self.network_manager {
            true => Manager::NetworkManager,
            false => Manager::from(self.renderer),
        }
    }

    pub(crate) fn nic_names(&self) -> Vec<&str> {
        self.nics.iter().map(String::as_str).collect()
    }
}

/// The records of one bridge.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    folder: PathBuf,
    record: PathBuf,
}

/// Which of a bridge's locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockOf {
    /// Whoever changes it.
    Change,
    /// Whoever watches over it.
    Guard,
}

impl Folder {
    /// The folder of a bridge.
    pub(crate) fn locate(paths: &Paths, bridge: &InterfaceName) -> Self {
        Self {
            folder: paths.bridges.join(bridge.as_str()),
            record: paths.bridge_record(bridge),
        }
    }

    /// Where the record is.
    pub(crate) fn record_path(&self) -> PathBuf {
        self.record.clone()
    }

    /// Reads the record; nothing if there is none.
    pub(crate) fn read(&self) -> Result<Option<BridgeRecord>> {
        let path = self.record_path();
        // It says what is written below /etc.
        let Some(text) = files::read_own(&path)? else {
            return Ok(None);
        };
        files::check_own_folder(&self.folder)?;
        let record = serde_json::from_slice(&text);
        record.map(Some).map_err(|source| ChangeError::Record {
            path: path.display().to_string(),
            source,
        })
    }

    /// Writes the record.
    pub(crate) fn write(&self, record: &BridgeRecord) -> Result<()> {
        let path = self.record_path();
        let text = serde_json::to_vec_pretty(record).map_err(|source| ChangeError::Record {
            path: path.display().to_string(),
            source,
        })?;
        files::make_folder(&self.folder)?;
        files::write(&path, &text)?;
        Ok(files::sync_folder(&self.folder)?)
    }

    /// Removes the record; its locks stay, since somebody may wait for one.
    pub(crate) fn remove(&self) -> Result<()> {
        files::remove(&self.record_path())?;
        Ok(files::sync_folder(&self.folder)?)
    }

    /// Takes a lock if nobody has it.
    pub(crate) fn try_lock(&self, which: LockOf) -> Result<Option<Lock>> {
        Ok(Lock::try_take(&self.lock_path(which)?)?)
    }

    /// Waits for a lock.
    pub(crate) fn lock(&self, which: LockOf, deadline: Deadline) -> Result<Lock> {
        Ok(Lock::take(&self.lock_path(which)?, deadline)?)
    }

    /// The file of a lock, in a folder that is there.
    fn lock_path(&self, which: LockOf) -> Result<PathBuf> {
        files::make_folder(&self.folder)?;
        Ok(self.folder.join(match which {
            LockOf::Change => "lock",
            LockOf::Guard => "guard.lock",
        }))
    }
}

/// The bridges that have a folder.
pub(crate) fn all(paths: &Paths) -> Result<Vec<InterfaceName>> {
    let names = files::names(&paths.bridges, "")?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// This boot's name.
pub(crate) fn boot() -> String {
    let text = files::read(Path::new("/proc/sys/kernel/random/boot_id"));
    let text = text.ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Seconds since the boot, time asleep among them, whatever is done to the clock.
pub(crate) fn seconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    now.map_or(0, |now| u64::try_from(now.tv_sec()).unwrap_or(0))
}
