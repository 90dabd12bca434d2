//! Makes a bridge, confirms it, and takes it back: every step can be the last one that is done,
//! and what was there before still comes back.

use super::error::ChangeError;
use super::guard;
use super::reach::Reach;
use super::record::{boot, seconds, Changed, Folder, LockOf, Original, Phase, Record};
use crate::bounded::{find_program, run_starter};
use crate::files::{self, Ownership};
use crate::lock::Lock;
use crate::{interfaces, Deadline, KernelError, Log, Paths, Severity};
use portero_event::InterfaceName;
use portero_host_bridge::{Bridge, Failure, Plan, Step};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time one command may take.
const STEP: Duration = Duration::from_secs(60);

/// How long the host may take to be reached as before.
const VERIFY: Duration = Duration::from_secs(45);

/// How long another portero may hold a bridge.
const LOCK: Duration = Duration::from_secs(90);

/// Who confirms a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The administrator, within this time; otherwise it is taken back.
    Within(Duration),
    /// Nobody: what was reached before is reached again, and that is enough.
    Verified,
}

impl Confirmation {
    /// Notes how a bridge that is made stays.
    fn note(self, record: &mut Record) {
        record.phase = match self {
            Self::Within(time) => {
                record.until = seconds() + time.as_secs();
                Phase::Applied
            }
            Self::Verified => Phase::Confirmed,
        };
    }
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The bridge's addresses, `192.0.2.10/24`.
    pub addresses: Vec<String>,
}

/// The bridges of this host that portero makes.
pub struct Bridges<'a> {
    pub(super) paths: &'a Paths,
    pub(super) log: &'a mut Log,
}

impl<'a> Bridges<'a> {
    /// Bridges with their records in `paths`.
    #[must_use]
    pub fn new(paths: &'a Paths, log: &'a mut Log) -> Self {
        Self { paths, log }
    }

    /// Makes a bridge as planned.
    ///
    /// # Errors
    /// [`ChangeError`]; then all is as it was, unless it says that this failed too.
    pub fn apply(
        &mut self,
        bridge: &Bridge,
        plan: &Plan,
        confirmation: Confirmation,
    ) -> Result<Outcome, ChangeError> {
        let name = &bridge.name;
        let folder = Folder::of(self.paths, name);
        let lock = folder.lock(LockOf::Change, Deadline::after(LOCK))?;
        self.is_free(&folder, name)?;
        let mut record = self.record_of(bridge, plan)?;
        for program in record.manager().programs() {
            find_program(program)?;
        }
        guard::start(&folder, name)?;
        folder.write(&record)?;
        let made = self.make(&record);
        match made {
            Ok(outcome) => {
                confirmation.note(&mut record);
                folder.write(&record)?;
                drop(lock);
                self.log
                    .write(Severity::Info, format!("bridge {name} is made"));
                Ok(outcome)
            }
            Err(error) => Err(match self.take_back(&folder, &mut record) {
                Ok(()) => ChangeError::TakenBack {
                    source: Box::new(error),
                },
                Err(second) => ChangeError::Stuck {
                    bridge: name.to_string(),
                    source: Box::new(error),
                    second: Box::new(second),
                },
            }),
        }
    }

    /// Keeps a bridge.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn confirm(&mut self, bridge: &InterfaceName) -> Result<(), ChangeError> {
        let folder = Folder::of(self.paths, bridge);
        let (_lock, mut record) = self.open(&folder, bridge)?;
        match record.phase {
            Phase::Confirmed => Ok(()),
            Phase::Applied => {
                record.phase = Phase::Confirmed;
                folder.write(&record)
            }
            Phase::Changing => Err(present(bridge, record.phase)),
        }
    }

    /// Takes back a bridge that is not confirmed, or that was left half done.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn rollback(&mut self, bridge: &InterfaceName) -> Result<(), ChangeError> {
        let folder = Folder::of(self.paths, bridge);
        let (_lock, mut record) = self.open(&folder, bridge)?;
        if record.phase == Phase::Confirmed {
            return Err(present(bridge, record.phase));
        }
        self.take_back(&folder, &mut record)
    }

    /// Takes a confirmed bridge away; the files become what they were before, to the byte.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed when a guest is on the bridge or a file was edited.
    pub fn remove(&mut self, bridge: &InterfaceName) -> Result<(), ChangeError> {
        let folder = Folder::of(self.paths, bridge);
        let (_lock, mut record) = self.open(&folder, bridge)?;
        if record.phase != Phase::Confirmed {
            return Err(present(bridge, record.phase));
        }
        if let Some(guest) = others_in(&record) {
            return Err(ChangeError::InUse {
                bridge: bridge.to_string(),
                interface: guest,
            });
        }
        for file in &record.files {
            let now = files::read(&self.paths.etc.join(&file.path))?;
            if now.as_deref() != file.after.as_deref().map(str::as_bytes) {
                return Err(ChangeError::Edited {
                    path: file.path.clone(),
                    record: folder.record_path().display().to_string(),
                });
            }
        }
        record.phase = Phase::Changing;
        record.boot = boot();
        folder.write(&record)?;
        guard::start(&folder, bridge)?;
        self.take_back(&folder, &mut record)
    }

    /// The NICs of a bridge of ours.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn nics(&self, bridge: &InterfaceName) -> Result<Vec<String>, ChangeError> {
        let record = Folder::of(self.paths, bridge).read()?;
        Ok(record.map(|record| record.nics).unwrap_or_default())
    }

    /// Refuses a bridge that is there in any form.
    fn is_free(&self, folder: &Folder, bridge: &InterfaceName) -> Result<(), ChangeError> {
        if let Some(record) = folder.read()? {
            return Err(present(bridge, record.phase));
        }
        if interfaces::folder(bridge.as_str()).exists() {
            return Err(ChangeError::Taken {
                bridge: bridge.to_string(),
            });
        }
        Ok(())
    }

    fn open(&self, folder: &Folder, bridge: &InterfaceName) -> Result<(Lock, Record), ChangeError> {
        let absent = || ChangeError::Absent {
            bridge: bridge.to_string(),
        };
        // Looked at first, so that a wrong name leaves no folder behind.
        folder.read()?.ok_or_else(absent)?;
        let lock = folder.lock(LockOf::Change, Deadline::after(LOCK))?;
        let record = folder.read()?.ok_or_else(absent)?;
        Ok((lock, record))
    }

    /// What is to be done, with what the files and the host are now.
    fn record_of(&self, bridge: &Bridge, plan: &Plan) -> Result<Record, ChangeError> {
        if plan.changes.is_empty() {
            return Err(ChangeError::Nothing);
        }
        let mut changed = Vec::new();
        for change in &plan.changes {
            let before = match &change.before {
                Some(text) => Some(Original {
                    text: text.clone(),
                    ownership: Ownership::at(&self.paths.etc.join(&change.path))?,
                }),
                None => None,
            };
            changed.push(Changed {
                path: change.path.clone(),
                before,
                after: change.after.clone(),
            });
        }
        let network_manager = Path::new("/run/NetworkManager").exists();
        Ok(Record {
            bridge: bridge.name.to_string(),
            nics: bridge.nics.iter().map(ToString::to_string).collect(),
            renderer: plan.renderer,
            network_manager,
            phase: Phase::Changing,
            boot: boot(),
            until: 0,
            reach: Reach::of(bridge.nics[0].as_str()),
            files: changed,
        })
    }

    /// Writes the files, lets the host follow them, and sees that it is reached as before.
    fn make(&mut self, record: &Record) -> Result<Outcome, ChangeError> {
        let steps = record
            .manager()
            .to_bridge(&record.bridge, &record.nic_names());
        self.run(&steps.before_files)?;
        let new = Ownership::of_root(record.renderer.mode());
        for file in &record.files {
            let ownership = file.before.as_ref().map_or(new, |before| before.ownership);
            self.put(&file.path, file.after.as_deref(), &ownership)?;
        }
        self.run(&steps.after_files)?;
        self.verify(record)
    }

    /// Waits until the bridge has what the NIC had.
    fn verify(&mut self, record: &Record) -> Result<Outcome, ChangeError> {
        let bridge = &record.bridge;
        let end = Instant::now() + VERIFY;
        loop {
            let outside = record
                .nics
                .iter()
                .find(|nic| interfaces::master(nic).as_ref() != Some(bridge));
            let now = Reach::of(bridge);
            let what = match outside {
                Some(nic) => Some(format!("{nic} is not in the bridge")),
                None => record.reach.missing_in(&now),
            };
            let Some(what) = what else {
                return Ok(Outcome {
                    addresses: now.addresses,
                });
            };
            if Instant::now() > end {
                return Err(ChangeError::Lost {
                    bridge: bridge.clone(),
                    what,
                    seconds: VERIFY.as_secs(),
                });
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Makes everything what it was before, from wherever it is now.
    pub(super) fn take_back(
        &mut self,
        folder: &Folder,
        record: &mut Record,
    ) -> Result<(), ChangeError> {
        // From here on nobody can confirm it, and whoever finds it goes on with it.
        record.phase = Phase::Changing;
        folder.write(record)?;
        let steps = record.manager().to_nic(&record.bridge, &record.nic_names());
        self.run(&steps.before_files)?;
        self.restore(record)?;
        self.run(&steps.after_files)?;
        folder.remove()?;
        let message = format!("bridge {} is taken back", record.bridge);
        self.log.write(Severity::Warning, message);
        Ok(())
    }

    /// Writes the files as they were.
    pub(super) fn restore(&self, record: &Record) -> Result<(), ChangeError> {
        for file in &record.files {
            match &file.before {
                Some(before) => self.put(&file.path, Some(&before.text), &before.ownership)?,
                None => self.put(&file.path, None, &Ownership::of_root(0o600))?,
            }
        }
        Ok(())
    }

    /// Writes or removes one file, with the name on the disk too.
    fn put(
        &self,
        path: &str,
        text: Option<&str>,
        ownership: &Ownership,
    ) -> Result<(), ChangeError> {
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

    pub(super) fn run(&mut self, steps: &[Step]) -> Result<(), KernelError> {
        for step in steps {
            let ran = run_starter(step.program, &step.arguments, Deadline::after(STEP));
            match (ran, step.failure) {
                (Err(error), Failure::Fatal) => return Err(error),
                (Err(error), Failure::Expected) => {
                    self.log.write(Severity::Info, error);
                }
                (Ok(()), _) => {}
            }
        }
        Ok(())
    }
}

/// An interface in the bridge that is none of its NICs: a guest's.
fn others_in(record: &Record) -> Option<String> {
    let ports = std::fs::read_dir(interfaces::folder(&record.bridge).join("brif"));
    let mut names = ports
        .into_iter()
        .flatten()
        .filter_map(|port| port.ok()?.file_name().into_string().ok());
    names.find(|name| !record.nics.contains(name))
}

/// What to do about a bridge that is there.
fn present(bridge: &InterfaceName, phase: Phase) -> ChangeError {
    let (phase, help) = match phase {
        Phase::Changing => ("half done", "rollback"),
        Phase::Applied => ("not confirmed", "confirm"),
        Phase::Confirmed => ("confirmed", "remove"),
    };
    ChangeError::Present {
        bridge: bridge.to_string(),
        phase,
        help,
    }
}

#[cfg(test)]
mod tests;
