//! What portero-watch has counted since boot.

use super::{write_json, State};
use portero_system::{files, FileError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What portero-watch has counted since boot. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Comparisons of everything that were made to their end.
    pub comparisons: u64,
    /// When the last of them ended.
    pub last_comparison: Option<u64>,
    /// How many of them have restored rules that somebody had removed.
    pub restores: u64,
    /// Errors by their kind, [`crate::ApplyError::kind`].
    pub errors: BTreeMap<String, WatchedErrors>,
}

/// Errors of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedErrors {
    /// How many.
    pub count: u64,
    /// When the last one was.
    pub last: u64,
}

impl State {
    /// What portero-watch has counted; nothing where it has not run since boot.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn watched(&self) -> Result<Option<Watched>, FileError> {
        let content = files::read_own(&self.root.join("watched"))?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    /// Notes what portero-watch has counted.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_watched(&self, watched: &Watched) -> Result<(), FileError> {
        self.make(&self.root)?;
        write_json(&self.root.join("watched"), watched)
    }
}
