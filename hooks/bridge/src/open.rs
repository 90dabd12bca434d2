//! Bridges that portero has made, and how far each is.

use crate::error::Result;
use crate::record::{all, boot, seconds, Folder, LockOf, Phase};
use portero_libvirt::InterfaceName;
use portero_system::Paths;
use std::time::Duration;

/// A bridge that portero has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBridge {
    /// Its name.
    pub name: InterfaceName,
    /// Its NICs.
    pub nics: Vec<String>,
    /// How far it is.
    pub stage: Stage,
}

/// How far a bridge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It stays.
    Confirmed,
    /// It waits to be confirmed, for as long as this.
    Waiting(Duration),
    /// Somebody makes it, or rolls it back, now.
    Changing,
    /// It was left half done, and nobody works at it.
    HalfDone,
}

/// The bridges that portero has made, in the order of their names.
///
/// # Errors
/// [`crate::ChangeError`] when what is kept of them cannot be read.
pub fn made_bridges(paths: &Paths) -> Result<Vec<MadeBridge>> {
    let mut made = Vec::new();
    for name in all(paths)? {
        let folder = Folder::locate(paths, &name);
        let Some(record) = folder.read()? else {
            continue;
        };
        let stage = match record.phase {
            Phase::Confirmed => Stage::Confirmed,
            Phase::Applied if record.boot == boot() => {
                Stage::Waiting(Duration::from_secs(record.until.saturating_sub(seconds())))
            }
            Phase::Applied => Stage::Waiting(Duration::ZERO),
            Phase::Changing if folder.try_lock(LockOf::Change)?.is_none() => Stage::Changing,
            Phase::Changing => Stage::HalfDone,
        };
        let nics = record.nics;
        made.push(MadeBridge { name, nics, stage });
    }
    Ok(made)
}
