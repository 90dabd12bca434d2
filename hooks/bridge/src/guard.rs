//! Watches over a change from another process: rolls it back when whoever makes it dies, when it
//! is not confirmed in time, and when the gateway stops answering.

use crate::bridges::Bridges;
use crate::error::{ChangeError, Result};
use crate::guard_start::START;
use crate::record::{all, boot, seconds, Folder, LockOf, Phase};
use crate::rollback::By;
use portero_libvirt::InterfaceName;
use portero_system::{interfaces, Deadline, Severity};
use std::time::{Duration, Instant};

/// How often the record is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How often the gateway is asked, and how often it may be silent before the change is rolled back.
const ASK: Duration = Duration::from_secs(3);
const SILENCES: u32 = 3;

/// How long to wait before rolling back is tried again, at first and at most, and how often what is missing
/// is put back. After that it is a thing of the next boot, whose files are as they were.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(20);
const TRIES: u32 = 12;

impl Bridges<'_> {
    /// Watches over a bridge until it is confirmed or rolled back.
    ///
    /// # Errors
    /// [`ChangeError`] when the record cannot be read; rolling back is tried until it works.
    pub fn guard(&mut self, bridge: &InterfaceName) -> Result<()> {
        let folder = Folder::locate(self.paths, bridge);
        let _guard = folder.lock(LockOf::Guard, Deadline::after(START))?;
        let (mut asked, mut silences, mut tries) = (Instant::now(), 0, 0);
        loop {
            let Some(record) = folder.read()? else {
                // Rolled back or removed, unless somebody is about to begin.
                if folder.try_lock(LockOf::Change)?.is_some() && folder.read()?.is_none() {
                    return Ok(());
                }
                std::thread::sleep(LOOK);
                continue;
            };
            let why = match record.phase {
                Phase::Confirmed => return Ok(()),
                // Held by whoever works on it; free when that has died.
                Phase::Changing => Some("it was left half done"),
                Phase::Applied if seconds() >= record.until => Some("nobody confirmed it in time"),
                Phase::Applied if record.boot != boot() => Some("the host has booted"),
                Phase::Applied if asked.elapsed() >= ASK => {
                    asked = Instant::now();
                    silences = match record.reach.silent(bridge.as_str()) {
                        None => 0,
                        Some(_) => silences + 1,
                    };
                    (silences >= SILENCES).then_some("the gateway has stopped to answer")
                }
                Phase::Applied => None,
            };
            if let Some(why) = why {
                if let Some(_lock) = folder.try_lock(LockOf::Change)? {
                    // It may have been confirmed a moment ago.
                    let now = folder.read()?.filter(|now| now.phase == record.phase);
                    if let Some(mut record) = now {
                        let message = format!("bridge {bridge} is rolled back: {why}");
                        self.log.write(Severity::Warning, message);
                        // Who had its turn would only take away again what is there, unless it is
                        // the one who keeps the bridge.
                        let has_bridge = interfaces::folder(bridge.as_str()).exists();
                        let by = match record.was_tried && !has_bridge {
                            true => By::Portero,
                            false => By::manager_now(),
                        };
                        if let Err(error) = self.roll_back(&folder, &mut record, by) {
                            self.log.write(Severity::Error, &error);
                            tries += 1;
                            if tries >= TRIES && matches!(error, ChangeError::NotBack { .. }) {
                                return folder.remove();
                            }
                            std::thread::sleep((AGAIN * tries).min(AGAIN_AT_MOST));
                        }
                    }
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Before interfaces come up: restores the files of bridges that were not confirmed before the
    /// host went down.
    ///
    /// # Errors
    /// The last [`ChangeError`], after all bridges have been looked at.
    pub fn recover(&mut self) -> Result<()> {
        let mut result = Ok(());
        for bridge in all(self.paths)? {
            if let Err(error) = self.recover_one(&bridge) {
                self.log.write(Severity::Error, &error);
                result = Err(error);
            }
        }
        result
    }

    fn recover_one(&mut self, bridge: &InterfaceName) -> Result<()> {
        let folder = Folder::locate(self.paths, bridge);
        let Some(record) = folder.read()? else {
            return Ok(());
        };
        if record.phase == Phase::Confirmed || record.boot == boot() {
            return Ok(());
        }
        let Some(_lock) = folder.try_lock(LockOf::Change)? else {
            return Ok(());
        };
        self.restore(&record)?;
        self.prepare_boot(&record)?;
        folder.remove()?;
        let message = format!(
            "bridge {bridge} was not confirmed before the host went down: its files are rolled back"
        );
        self.log.write(Severity::Warning, message);
        Ok(())
    }
}
