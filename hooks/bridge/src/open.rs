//! Bridges of which somebody has to decide.

use crate::error::Result;
use crate::record::{all, boot, seconds, Folder, LockOf, Phase};
use portero_libvirt::InterfaceName;
use portero_system::Paths;
use std::time::Duration;

/// A bridge of which somebody has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBridge {
    /// Its name.
    pub name: InterfaceName,
    /// How long it stays without being confirmed; nothing when it was left half done, and nobody works at it.
    pub left: Option<Duration>,
}

/// The bridges of which somebody has to decide.
///
/// # Errors
/// [`crate::ChangeError`] when what is kept of them cannot be read.
pub fn open_bridges(paths: &Paths) -> Result<Vec<OpenBridge>> {
    let mut open = Vec::new();
    for name in all(paths)? {
        let folder = Folder::locate(paths, &name);
        let Some(record) = folder.read()? else {
            continue;
        };
        let left = match record.phase {
            Phase::Confirmed => continue,
            Phase::Applied if record.boot == boot() => {
                Some(Duration::from_secs(record.until.saturating_sub(seconds())))
            }
            Phase::Applied => Some(Duration::ZERO),
            Phase::Changing if folder.try_lock(LockOf::Change)?.is_none() => continue,
            Phase::Changing => None,
        };
        open.push(OpenBridge { name, left });
    }
    Ok(open)
}
