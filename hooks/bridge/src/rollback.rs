//! Makes everything what it was before a bridge was made, from wherever it is now: by the program that brings NICs up, and what
//! that leaves by portero itself.

use crate::bridges::{Bridges, LOOK};
use crate::difference::Difference;
use crate::error::{ChangeError, Result};
use crate::host::Whom;
use crate::link;
use crate::outcome::{Back, Kind};
use crate::record::{BridgeRecord, Folder, Phase};
use crate::steps::{StepLimits, NO_TIME, STEP};
use portero_host_bridge::Step;
use portero_system::files::{self, Ownership};
use portero_system::{interfaces, Severity, SystemError};
use std::time::{Duration, Instant};

/// How long after the host lost its network the program that brings NICs up may work on taking a bridge back, and has at
/// least; how much of that it may take the bridge down, and one command that is not the last one. Then portero goes on by
/// itself: the host answers again within 15 s.
const TURN: Duration = Duration::from_secs(12);
const TURN_AT_LEAST: Duration = Duration::from_secs(1);
const DOWN: Duration = Duration::from_secs(4);
const DOWN_STEP: Duration = Duration::from_secs(3);
const UP_STEP: Duration = Duration::from_secs(5);

/// How long that program may take to do what it was told, with and without a command that failed.
const SETTLE: Duration = Duration::from_secs(10);
const SETTLE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long portero puts back what somebody else takes away again.
const PUT_BACK: Duration = Duration::from_secs(4);

/// How often in a row nothing may be missing until it stays so.
const LOOKS: u32 = 3;

/// How often a bridge is taken away that somebody makes again.
const MADE_AGAIN: u32 = 2;

/// Who rolls a bridge back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The program that brings NICs up, and portero what that leaves. The host may be without its network since then.
    Manager {
        /// When its network may have gone.
        since: Instant,
    },
    /// portero alone: that program had its turn.
    Portero,
}

impl By {
    /// The program that brings NICs up, while the host has its network.
    pub(super) fn manager_now() -> Self {
        Self::Manager {
            since: Instant::now(),
        }
    }
}

impl Bridges<'_> {
    /// Makes everything what it was before, from wherever it is now. Nothing that fails keeps the rest
    /// from being done, and in the end it is looked at.
    pub(super) fn roll_back(
        &mut self,
        folder: &Folder,
        record: &mut BridgeRecord,
        by: By,
    ) -> Result<Back> {
        let end = match by {
            By::Manager { since } => (since + TURN).max(Instant::now() + TURN_AT_LEAST),
            By::Portero => Instant::now(),
        };
        // From here on nobody can confirm it, and whoever finds it goes on with it.
        record.phase = Phase::Changing;
        self.log_errors(folder.write(record).err());
        let bridge = record.bridge.clone();
        let mut steps = record.manager().to_nic(&bridge, &record.nic_names());
        if record.was_tried {
            // The host may be reached by it: it goes in the end, or when its manager has forgotten it.
            let keeps = |steps: &mut Vec<Step>| steps.retain(|step| *step != Step::DeleteBridge);
            keeps(&mut steps.before_files);
            keeps(&mut steps.after_files);
        }
        let mut failures = Vec::new();
        let is_managers = by != By::Portero;
        if is_managers {
            // Half of what is left is for the way up.
            let down = DOWN.min(end.saturating_duration_since(Instant::now()) / 2);
            let limits = StepLimits::new(DOWN_STEP, down);
            self.try_each(&steps.before_files, &bridge, limits);
        }
        (self.tell)("restore the files");
        let restored = self.restore(record);
        let limits = StepLimits::until(UP_STEP, end);
        // With the new files it would bring the bridge up.
        if is_managers && restored.is_ok() {
            failures = self.try_each(&steps.after_files, &bridge, limits);
            if !failures.is_empty() && limits.left() > NO_TIME {
                failures = self.try_each(&steps.after_files, &bridge, limits);
            }
        }
        let patience = match failures.is_empty() && restored.is_ok() && !record.was_tried {
            true => SETTLE,
            false => SETTLE_AFTER_FAILURE,
        };
        let patience = patience.min(end.saturating_duration_since(Instant::now()));
        let mut missing = Vec::new();
        let mut by_portero = self.wait_for(record, patience);
        if !by_portero.is_empty() {
            missing = self.put_back(record);
            by_portero.retain(|what| !missing.contains(what));
        }
        let by_portero = in_words(by_portero);
        let missing = in_words(missing);
        let back = Back {
            by_portero,
            failures,
        };
        if restored.is_err() || !missing.is_empty() {
            record.was_tried = true;
            self.log_errors(folder.write(record).err());
        }
        restored?;
        if !missing.is_empty() {
            let why = match back.failures.as_slice() {
                [] => String::new(),
                failures => format!(" ({})", failures.join("; ")),
            };
            return Err(ChangeError::NotBack {
                bridge,
                what: missing.join(", "),
                why,
            });
        }
        folder.remove()?;
        let message = format!("bridge {bridge} is rolled back{back}");
        self.log.write(Severity::Warning, message);
        Ok(back)
    }

    /// Puts back what is missing, until it stays; gives what is missing still. A bridge that somebody
    /// makes again stays, with all that the NICs had: the host is reached by it.
    fn put_back(&mut self, record: &BridgeRecord) -> Vec<Difference> {
        let end = Instant::now() + PUT_BACK;
        let (mut looks, mut made_again) = (0, 0);
        loop {
            let before = index_of(&record.bridge);
            let (nic, bridge) = (&record.nics[0], &record.bridge);
            let refused = link::put_back(&record.noted, bridge).into_iter();
            let mut refused: Vec<ChangeError> = refused.map(ChangeError::from).collect();
            refused.extend(record.host.put_back(self.paths, nic, bridge));
            std::thread::sleep(LOOK);
            let missing = self.wait_for(record, Duration::ZERO);
            looks = if missing.is_empty() { looks + 1 } else { 0 };
            let after = index_of(&record.bridge);
            made_again += u32::from(after.is_some() && after != before);
            if made_again >= MADE_AGAIN {
                let bridge = &record.bridge;
                self.hand_over(record, end);
                let text = format!("{bridge}, taken away, is made again by another program");
                return vec![Difference::new(Kind::Link, text)];
            }
            if looks >= LOOKS || Instant::now() > end {
                self.log_errors(refused);
                return missing;
            }
        }
    }

    /// Waits until all that was noted is there; gives what is missing when the time is over.
    fn wait_for(&self, record: &BridgeRecord, patience: Duration) -> Vec<Difference> {
        let end = Instant::now() + patience;
        let look = || -> Result<Vec<Difference>, SystemError> {
            let mut missing = link::differences(&record.noted, &record.bridge)?;
            // Nobody waits for resolvectl while the host is not reached.
            let whom = match missing.iter().all(|what| what.is_of_link) {
                true => Whom::All,
                false => Whom::Kernel,
            };
            missing.extend(record.host.missing(self.paths, &record.nics[0], whom)?);
            Ok(missing)
        };
        loop {
            let missing =
                look().unwrap_or_else(|error| vec![Difference::new(Kind::Link, error.to_string())]);
            if missing.iter().all(|what| what.is_of_link) || Instant::now() > end {
                return missing;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Lets the host be reached by a bridge that another program keeps making again, until it stays so.
    fn hand_over(&mut self, record: &BridgeRecord, end: Instant) {
        let mut looks = 0;
        while looks < LOOKS {
            let refused = link::hand_over(&record.noted, &record.bridge);
            std::thread::sleep(LOOK);
            let is_done = link::is_handed_over(&record.noted, &record.bridge);
            looks = if is_done { looks + 1 } else { 0 };
            if index_of(&record.bridge).is_none() {
                // It is gone again, and the NICs have to answer.
                link::put_back(&record.noted, &record.bridge);
            }
            if Instant::now() > end {
                self.log_errors(refused);
                return;
            }
        }
    }

    /// Writes the files as they were: all that can be written.
    ///
    /// # Errors
    /// [`ChangeError`] of the first that cannot.
    pub(super) fn restore(&self, record: &BridgeRecord) -> Result<()> {
        let mut result = Ok(());
        for file in &record.files {
            let restored = match &file.before {
                Some(before) => self.put(&file.path, Some(&before.text), &before.ownership),
                None => self.put(&file.path, None, &Ownership::of_root(0o600)),
            };
            result = result.and(restored);
        }
        result
    }

    /// Writes or removes one file, with the name on the disk too.
    pub(super) fn put(&self, path: &str, text: Option<&str>, ownership: &Ownership) -> Result<()> {
        let path = self.paths.etc.join(path);
        match text {
            Some(text) => files::write_as(&path, text.as_bytes(), ownership)?,
            None => files::remove(&path)?,
        }
        if let Some(folder) = path.parent() {
            files::sync_folder(folder)?;
        }
        Ok(())
    }

    /// Does what a boot needs once files were restored.
    pub(super) fn prepare_boot(&mut self, record: &BridgeRecord) -> Result<(), SystemError> {
        let step: Vec<_> = record.manager().at_boot().into_iter().collect();
        self.run(&step, &record.bridge, StepLimits::new(STEP, STEP))
    }
}

fn index_of(interface: &str) -> Option<u32> {
    interfaces::index(interface).ok()
}

fn in_words(differences: Vec<Difference>) -> Vec<String> {
    let differences = differences.into_iter();
    let told = differences.filter(|difference| !difference.is_of_link);
    told.map(|difference| difference.text).collect()
}
