//! Makes a bridge, confirms it, and takes it back: every step can be the last one that is done,
//! and what was there before still comes back.

use crate::error::{ChangeError, Result};
use crate::guard_start;
use crate::link::{self, Difference};
use crate::outcome::{Back, Confirmation};
use crate::owner;
use crate::reach::Reach;
use crate::record::{boot, BridgeRecord, Changed, Folder, LockOf, Original, Phase};
use portero_host_bridge::{Bridge, BridgePlan, Failure, Manager, Step, Stp};
use portero_libvirt::InterfaceName;
use portero_system::files::{self, Ownership};
use portero_system::programs::{find_program, run_starter};
use portero_system::{interfaces, Deadline, Lock, Log, Paths, Severity, SystemError};
use std::fmt;
use std::time::{Duration, Instant};

/// How long the host may be without its addresses while a bridge is made, until it is reached as
/// before; and how much of that one command may take. With [`DOWN`], [`UP`],
/// [`SETTLE_AFTER_FAILURE`] and [`PUT_BACK`] it is less than a minute.
const CHANGE: Duration = Duration::from_secs(32);
const STEP: Duration = Duration::from_secs(20);

/// How long a bridge that speaks the spanning tree protocol takes until it forwards: twice the delay
/// of 15 s that the kernel begins with.
const FORWARD_DELAY: Duration = Duration::from_secs(30);

/// How long the program that brings NICs up may take to take a bridge back: to take it down, and to
/// bring the NICs up; and how much of that a command may take that is not the last one. Then portero goes
/// on by itself.
const DOWN: Duration = Duration::from_secs(6);
const DOWN_STEP: Duration = Duration::from_secs(4);
const UP: Duration = Duration::from_secs(11);
const UP_STEP: Duration = Duration::from_secs(5);

/// Less than this is no time for a command.
const NO_TIME: Duration = Duration::from_millis(500);

/// How long that program may take to do what it was told, with and without a command that failed, and
/// how long it has in all.
const SETTLE: Duration = Duration::from_secs(10);
const SETTLE_AFTER_FAILURE: Duration = Duration::from_secs(2);
const SETTLED: Duration = Duration::from_secs(18);

/// How long portero puts back what somebody else takes away again.
const PUT_BACK: Duration = Duration::from_secs(4);

/// How often is looked, and how often in a row nothing may be missing until it stays so.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 3;

/// How often a bridge is taken away that somebody makes again.
const MADE_AGAIN: u32 = 2;

/// How long another portero may hold a bridge.
const LOCK: Duration = Duration::from_secs(90);

/// Who takes a bridge back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The program that brings NICs up, and portero what that leaves.
    Manager,
    /// portero alone: that program had its turn.
    Portero,
}

/// The time that several commands have.
#[derive(Debug, Clone, Copy)]
struct StepLimits {
    each: Duration,
    end: Instant,
}

impl StepLimits {
    fn new(each: Duration, all: Duration) -> Self {
        let end = Instant::now() + all;
        Self { each, end }
    }

    /// The last command has all that is left.
    fn of_last(self) -> Self {
        Self {
            each: self.left(),
            end: self.end,
        }
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.each.min(self.left()))
    }
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

    /// Makes a bridge as planned; gives its addresses, `192.0.2.10/24`.
    ///
    /// # Errors
    /// [`ChangeError`]; then all is as it was, unless it says that this failed too.
    pub fn apply(
        &mut self,
        bridge: &Bridge,
        plan: &BridgePlan,
        confirmation: Confirmation,
    ) -> Result<Vec<String>> {
        let name = &bridge.name;
        let folder = Folder::locate(self.paths, name);
        let lock = folder.lock(LockOf::Change, Deadline::after(LOCK))?;
        self.is_free(&folder, name)?;
        let manager = Manager::choose(plan, |owner, nic| owner::says(self.paths, owner, nic))?;
        let mut record = self.record_of(bridge, plan, manager)?;
        for program in record.manager().programs() {
            find_program(program)?;
        }
        guard_start::start(&folder, name)?;
        folder.write(&record)?;
        let made = self.make(&record, bridge.stp);
        match made {
            Ok(addresses) => {
                record.set_made(confirmation);
                folder.write(&record)?;
                drop(lock);
                self.log
                    .write(Severity::Info, format!("bridge {name} is made"));
                Ok(addresses)
            }
            Err(error) => Err(match self.take_back(&folder, &mut record, By::Manager) {
                Ok(back) => ChangeError::TakenBack {
                    source: Box::new(error),
                    back,
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
    pub fn confirm(&mut self, bridge: &InterfaceName) -> Result<()> {
        let folder = Folder::locate(self.paths, bridge);
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
    pub fn rollback(&mut self, bridge: &InterfaceName) -> Result<Back> {
        let folder = Folder::locate(self.paths, bridge);
        let (_lock, mut record) = self.open(&folder, bridge)?;
        if record.phase == Phase::Confirmed {
            return Err(present(bridge, record.phase));
        }
        self.take_back(&folder, &mut record, By::Manager)
    }

    /// Takes a confirmed bridge away; the files become what they were before, to the byte.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed when a guest is on the bridge or a file was edited.
    pub fn remove(&mut self, bridge: &InterfaceName) -> Result<Back> {
        let folder = Folder::locate(self.paths, bridge);
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
        record.noted.clear();
        let is_there = interfaces::folder(&record.bridge).exists();
        for (index, nic) in record.nics.iter().enumerate() {
            // What the bridge has now goes to its first NIC.
            let from = if index == 0 && is_there {
                &record.bridge
            } else {
                nic
            };
            record.noted.push(link::note(from, nic)?);
        }
        folder.write(&record)?;
        guard_start::start(&folder, bridge)?;
        self.take_back(&folder, &mut record, By::Manager)
    }

    /// The NICs of a bridge of ours.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn nics(&self, bridge: &InterfaceName) -> Result<Vec<String>> {
        let record = Folder::locate(self.paths, bridge).read()?;
        Ok(record.map(|record| record.nics).unwrap_or_default())
    }

    /// Refuses a bridge that is there in any form.
    fn is_free(&self, folder: &Folder, bridge: &InterfaceName) -> Result<()> {
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

    fn open(&self, folder: &Folder, bridge: &InterfaceName) -> Result<(Lock, BridgeRecord)> {
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
    fn record_of(
        &self,
        bridge: &Bridge,
        plan: &BridgePlan,
        manager: Manager,
    ) -> Result<BridgeRecord> {
        if plan.changes.is_empty() {
            return Err(ChangeError::Nothing);
        }
        let mut changed = Vec::new();
        for change in &plan.changes {
            let before = match &change.before {
                Some(text) => Some(Original {
                    text: text.clone(),
                    ownership: Ownership::read(&self.paths.etc.join(&change.path))?,
                }),
                None => None,
            };
            changed.push(Changed {
                path: change.path.clone(),
                before,
                after: change.after.clone(),
            });
        }
        let nics = bridge.nics.iter().map(|nic| nic.as_str());
        let noted: Result<_, SystemError> = nics.map(|nic| link::note(nic, nic)).collect();
        Ok(BridgeRecord {
            bridge: bridge.name.to_string(),
            nics: bridge.nics.iter().map(ToString::to_string).collect(),
            renderer: plan.renderer,
            network_manager: manager == Manager::NetworkManager,
            phase: Phase::Changing,
            boot: boot(),
            until: 0,
            reach: Reach::read(bridge.nics[0].as_str()),
            files: changed,
            noted: noted?,
            was_tried: false,
        })
    }

    /// Writes the files, lets the host follow them, and sees that it is reached as before; gives the
    /// bridge's addresses.
    fn make(&mut self, record: &BridgeRecord, stp: Stp) -> Result<Vec<String>> {
        let limits = match stp {
            Stp::Off => StepLimits::new(STEP, CHANGE),
            Stp::On => StepLimits::new(STEP + FORWARD_DELAY, CHANGE + FORWARD_DELAY),
        };
        let manager = record.manager();
        let steps = manager.to_bridge(&record.bridge, &record.nic_names());
        self.run(&steps.before_files, &record.bridge, limits)?;
        let new = Ownership::of_root(record.renderer.mode());
        for file in &record.files {
            let ownership = file.before.as_ref().map_or(new, |before| before.ownership);
            self.put(&file.path, file.after.as_deref(), &ownership)?;
        }
        self.run(&steps.after_files, &record.bridge, limits)?;
        self.verify(record, limits)
    }

    /// Waits until the bridge has what the NIC had.
    fn verify(&mut self, record: &BridgeRecord, limits: StepLimits) -> Result<Vec<String>> {
        let bridge = &record.bridge;
        let start = Instant::now();
        loop {
            let mut nics = record.nics.iter();
            let outside = nics.find(|nic| interfaces::master(nic).as_ref() != Some(bridge));
            if outside.is_none() {
                for nic in &record.nics {
                    self.log_errors(link::drop_doubles(nic, bridge));
                }
            }
            let now = Reach::read(bridge);
            let what = match outside {
                Some(nic) => Some(format!("{nic} is not in the bridge")),
                None => record.reach.missing_in(&now),
            };
            let Some(what) = what else {
                return Ok(now.addresses);
            };
            if limits.left().is_zero() {
                return Err(ChangeError::Lost {
                    bridge: bridge.clone(),
                    what,
                    seconds: start.elapsed().as_secs(),
                });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Makes everything what it was before, from wherever it is now. Nothing that fails keeps the rest
    /// from being done, and in the end it is looked at.
    pub(super) fn take_back(
        &mut self,
        folder: &Folder,
        record: &mut BridgeRecord,
        by: By,
    ) -> Result<Back> {
        let start = Instant::now();
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
        if by == By::Manager {
            self.try_each(
                &steps.before_files,
                &bridge,
                StepLimits::new(DOWN_STEP, DOWN),
            );
        }
        let restored = self.restore(record);
        let limits = StepLimits::new(UP_STEP, UP);
        // With the new files it would bring the bridge up.
        if by == By::Manager && restored.is_ok() {
            failures = self.try_each(&steps.after_files, &bridge, limits);
            if !failures.is_empty() && limits.left() > NO_TIME {
                failures = self.try_each(&steps.after_files, &bridge, limits);
            }
        }
        let patience = match (by, failures.is_empty() && restored.is_ok()) {
            (By::Portero, _) => Duration::ZERO,
            (By::Manager, true) if !record.was_tried => {
                SETTLE.min(SETTLED.saturating_sub(start.elapsed()))
            }
            (By::Manager, _) => SETTLE_AFTER_FAILURE,
        };
        let mut missing = Vec::new();
        let mut by_portero = wait_for(record, patience);
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
        let message = format!("bridge {bridge} is taken back{back}");
        self.log.write(Severity::Warning, message);
        Ok(back)
    }

    fn log_errors(&mut self, errors: impl IntoIterator<Item = impl fmt::Display>) {
        for error in errors {
            self.log.write(Severity::Error, error);
        }
    }

    /// Puts back what is missing, until it stays; gives what is missing still. A bridge that somebody
    /// makes again stays, with all that the NICs had: the host is reached by it.
    fn put_back(&mut self, record: &BridgeRecord) -> Vec<Difference> {
        let end = Instant::now() + PUT_BACK;
        let (mut looks, mut made_again) = (0, 0);
        loop {
            let before = index_of(&record.bridge);
            let refused = link::put_back(&record.noted, &record.bridge);
            std::thread::sleep(LOOK);
            let missing = wait_for(record, Duration::ZERO);
            looks = if missing.is_empty() { looks + 1 } else { 0 };
            let after = index_of(&record.bridge);
            made_again += u32::from(after.is_some() && after != before);
            if made_again >= MADE_AGAIN {
                let bridge = &record.bridge;
                self.hand_over(record, end);
                let text = format!("{bridge}, taken away, is made again by another program");
                return vec![Difference::new(text)];
            }
            if looks >= LOOKS || Instant::now() > end {
                self.log_errors(refused);
                return missing;
            }
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
    fn put(&self, path: &str, text: Option<&str>, ownership: &Ownership) -> Result<()> {
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

    /// Does one step after the other, until one fails that must not. One that says that there is
    /// nothing to do may; one that does not end may not.
    fn run(&mut self, steps: &[Step], bridge: &str, limits: StepLimits) -> Result<(), SystemError> {
        for step in steps {
            match (do_one(step, bridge, limits), step) {
                (Ok(()), _) => {}
                (Err(error @ SystemError::Failed { .. }), Step::Run(command))
                    if command.failure == Failure::Expected =>
                {
                    self.log.write(Severity::Info, error);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// Does all steps; gives what failed of those that must not.
    fn try_each(&mut self, steps: &[Step], bridge: &str, limits: StepLimits) -> Vec<String> {
        let mut failures = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let limits = match index + 1 == steps.len() {
                true => limits.of_last(),
                false => limits,
            };
            if *step == Step::DeleteForgottenBridge && !failures.is_empty() {
                continue;
            }
            let Err(error) = do_one(step, bridge, limits) else {
                continue;
            };
            let is_expected = match step {
                Step::Run(command) => command.failure == Failure::Expected,
                Step::DeleteBridge | Step::DeleteForgottenBridge => true,
            };
            self.log.write(Severity::Info, &error);
            if !is_expected || matches!(error, SystemError::Hung { .. }) {
                failures.push(error.to_string());
            }
        }
        failures
    }
}

fn do_one(step: &Step, bridge: &str, limits: StepLimits) -> Result<(), SystemError> {
    match step {
        Step::Run(command) if limits.left() < NO_TIME => Err(SystemError::Failed {
            program: format!("{} {}", command.program, command.arguments.join(" ")),
            message: "no time was left for it".to_owned(),
        }),
        Step::Run(command) => run_starter(command.program, &command.arguments, limits.deadline()),
        Step::DeleteBridge | Step::DeleteForgottenBridge => link::delete(bridge),
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

/// Waits until all that was noted is there; gives what is missing when the time is over.
fn wait_for(record: &BridgeRecord, patience: Duration) -> Vec<Difference> {
    let end = Instant::now() + patience;
    loop {
        let missing = link::differences(&record.noted, &record.bridge)
            .unwrap_or_else(|error| vec![Difference::new(error.to_string())]);
        if missing.iter().all(|what| what.is_of_link) || Instant::now() > end {
            return missing;
        }
        std::thread::sleep(LOOK);
    }
}

/// An interface in the bridge that is none of its NICs: a guest's.
fn others_in(record: &BridgeRecord) -> Option<String> {
    let ports = std::fs::read_dir(interfaces::folder(&record.bridge).join("brif"));
    let ports = ports.into_iter().flatten();
    let mut names = ports.filter_map(|port| port.ok()?.file_name().into_string().ok());
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
