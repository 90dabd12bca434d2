//! Makes a bridge, confirms it, and rolls it back: every step can be the last one that is done,
//! and what was there before still comes back.

use crate::difference::Difference;
use crate::error::{ChangeError, Result};
use crate::guard_start::{self, SYSTEMD};
use crate::host::HostNoted;
use crate::link;
use crate::outcome::{Back, Kind, Wish};
use crate::owner;
use crate::reach::Reach;
use crate::record::{boot, BridgeRecord, Changed, Folder, LockOf, Original, Phase};
use crate::written::unwritten;
use portero_host_bridge::{
    Bridge, BridgePlan, Command, Failure, Manager, NicOwner, Says, Step, Stp,
};
use portero_libvirt::{InterfaceName, Network, Status};
use portero_system::files::{self, Ownership};
use portero_system::programs::{find_program, run_starter};
use portero_system::{interfaces, Deadline, Lock, Log, Paths, Severity, SystemError};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a bridge that is made may take to be reached as its NIC was, and how much of that one command may take: one
/// that takes longer hangs.
const CHANGE: Duration = Duration::from_secs(32);
const STEP: Duration = Duration::from_secs(10);

/// How long a bridge that speaks the spanning tree protocol takes until it forwards: twice the delay
/// of 15 s that the kernel begins with.
const FORWARD_DELAY: Duration = Duration::from_secs(30);

/// How often the program that brings NICs up is asked whether it still does, while something is missing.
const ALIVE: Duration = Duration::from_secs(3);

/// How long after the host lost its network the program that brings NICs up may work on taking a bridge back, and has at
/// least; how much of that it may take the bridge down, and one command that is not the last one. Then portero goes on by
/// itself: the host answers again within 15 s.
const TURN: Duration = Duration::from_secs(12);
const TURN_AT_LEAST: Duration = Duration::from_secs(2);
const DOWN: Duration = Duration::from_secs(4);
const DOWN_STEP: Duration = Duration::from_secs(3);
const UP_STEP: Duration = Duration::from_secs(5);

/// Less than this is no time for a command.
const NO_TIME: Duration = Duration::from_millis(500);

/// How long that program may take to do what it was told, with and without a command that failed.
const SETTLE: Duration = Duration::from_secs(10);
const SETTLE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long portero puts back what somebody else takes away again.
const PUT_BACK: Duration = Duration::from_secs(4);

/// How often is looked, and how often in a row nothing may be missing until it stays so.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 3;

/// How often a bridge is taken away that somebody makes again.
const MADE_AGAIN: u32 = 2;

/// How systemd-run(1) runs a program in a scope of the system's.
const SCOPE: [&str; 5] = [
    "--scope",
    "--quiet",
    "--collect",
    "--slice=system.slice",
    "--",
];

/// How long another portero may hold a bridge.
const LOCK: Duration = Duration::from_secs(90);

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

    fn until(each: Duration, end: Instant) -> Self {
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
    /// Who is told of each step.
    tell: fn(&str),
}

impl<'a> Bridges<'a> {
    /// Bridges with their records in `paths`.
    #[must_use]
    pub fn new(paths: &'a Paths, log: &'a mut Log) -> Self {
        Self {
            paths,
            log,
            tell: |_| {},
        }
    }

    /// Lets somebody be told of each step, when it begins.
    #[must_use]
    pub fn telling(mut self, tell: fn(&str)) -> Self {
        self.tell = tell;
        self
    }

    /// Makes a bridge as planned; gives its addresses, `192.0.2.10/24`.
    ///
    /// # Errors
    /// [`ChangeError`]; then all is as it was, unless it says that this failed too.
    pub fn apply(
        &mut self,
        bridge: &Bridge,
        plan: &BridgePlan,
        wish: &Wish,
    ) -> Result<Vec<String>> {
        let name = &bridge.name;
        let folder = Folder::locate(self.paths, name);
        let lock = folder.lock(LockOf::Change, Deadline::after(LOCK))?;
        self.is_free(&folder, name)?;
        let manager = Manager::choose(plan, |owner, nic| owner::says(self.paths, owner, nic))?;
        let mut record = self.record_of(bridge, plan, manager)?;
        expect_written(plan, &record, &wish.accepted)?;
        for program in record.manager().programs() {
            find_program(program)?;
        }
        guard_start::start(&folder, name)?;
        folder.write(&record)?;
        let since = Instant::now();
        let made = self.make(&record, bridge.stp, &wish.accepted);
        match made {
            Ok(addresses) => {
                record.set_made(wish.confirmation);
                folder.write(&record)?;
                drop(lock);
                self.log
                    .write(Severity::Info, format!("bridge {name} is made"));
                Ok(addresses)
            }
            Err(error) => Err(
                match self.roll_back(&folder, &mut record, by_after(&error, since)) {
                    Ok(back) => ChangeError::RolledBack {
                        source: Box::new(error),
                        back,
                    },
                    Err(second) => ChangeError::Stuck {
                        bridge: name.to_string(),
                        source: Box::new(error),
                        second: Box::new(second),
                    },
                },
            ),
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
        self.roll_back(&folder, &mut record, By::manager_now())
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
        if let Some(network) = network_on(self.paths, bridge)? {
            return Err(ChangeError::NetworkActive {
                bridge: bridge.to_string(),
                network,
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
        self.roll_back(&folder, &mut record, By::manager_now())
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
            host: HostNoted::read(self.paths, bridge.nics[0].as_str())?,
            was_tried: false,
        })
    }

    /// Writes the files, lets the host follow them, and sees that it is reached as before; gives the
    /// bridge's addresses.
    fn make(&mut self, record: &BridgeRecord, stp: Stp, accepted: &[Kind]) -> Result<Vec<String>> {
        let limits = match stp {
            Stp::Off => StepLimits::new(STEP, CHANGE),
            Stp::On => StepLimits::new(STEP + FORWARD_DELAY, CHANGE + FORWARD_DELAY),
        };
        let manager = record.manager();
        let steps = manager.to_bridge(&record.bridge, &record.nic_names());
        self.run(&steps.before_files, &record.bridge, limits)?;
        let new = Ownership::of_root(record.renderer.mode());
        for file in &record.files {
            (self.tell)(&match file.after {
                Some(_) => format!("write /etc/{}", file.path),
                None => format!("remove /etc/{}", file.path),
            });
            let ownership = file.before.as_ref().map_or(new, |before| before.ownership);
            self.put(&file.path, file.after.as_deref(), &ownership)?;
        }
        self.run(&steps.after_files, &record.bridge, limits)?;
        self.verify(record, limits, accepted)
    }

    /// Waits until the bridge has what the NIC had, but for what is accepted; gives the bridge's addresses.
    fn verify(
        &mut self,
        record: &BridgeRecord,
        limits: StepLimits,
        accepted: &[Kind],
    ) -> Result<Vec<String>> {
        let bridge = &record.bridge;
        (self.tell)(&format!(
            "wait until {bridge} has what {} had",
            record.nics[0]
        ));
        let start = Instant::now();
        let mut asked = start;
        loop {
            let Some(what) = self.missing(record, accepted)? else {
                return Ok(link::addresses(bridge)?);
            };
            if limits.left().is_zero() {
                return Err(ChangeError::Lost {
                    bridge: bridge.clone(),
                    what,
                    seconds: start.elapsed().as_secs(),
                });
            }
            if asked.elapsed() > ALIVE {
                self.expect_alive(record)?;
                asked = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What the bridge does not have of what the NIC had, in words.
    fn missing(&mut self, record: &BridgeRecord, accepted: &[Kind]) -> Result<Option<String>> {
        let bridge = &record.bridge;
        let mut nics = record.nics.iter();
        if let Some(nic) = nics.find(|nic| interfaces::master(nic).as_ref() != Some(bridge)) {
            return Ok(Some(format!("{nic} is not in the bridge")));
        }
        for nic in &record.nics {
            self.log_errors(link::drop_doubles(nic, bridge));
        }
        let mut missing = record.host.missing(self.paths, bridge)?;
        if let Some(first) = record.noted.first() {
            missing.splice(0..0, link::missing_on_bridge(first, bridge)?);
        }
        missing.retain(|what| !accepted.contains(&what.kind));
        Ok(match missing.first() {
            Some(first) => Some(first.is_missing()),
            None => {
                let silent = record.reach.silent(bridge);
                silent.map(|gateway| format!("the gateway {gateway} does not answer"))
            }
        })
    }

    /// Refuses to wait for a program that has ended, or that hangs.
    fn expect_alive(&self, record: &BridgeRecord) -> Result<()> {
        let owner = match record.manager() {
            Manager::NetworkManager => NicOwner::NetworkManager,
            Manager::Networkd => NicOwner::Networkd,
            // They end when they have done their work. Whom netplan tells to do it is not known here.
            Manager::Ifupdown | Manager::Initscripts | Manager::Netplan => return Ok(()),
        };
        let what = match owner::says(self.paths, owner, &record.nics[0]) {
            Ok(Says::IsAbsent) => "does not run any more",
            Err(ChangeError::System(SystemError::Hung { .. })) => "does not answer",
            _ => return Ok(()),
        };
        let bridge = record.bridge.clone();
        Err(ChangeError::Deserted {
            owner,
            what,
            bridge,
        })
    }

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
            missing.extend(record.host.missing(self.paths, &record.nics[0])?);
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
            (self.tell)(&step.to_string());
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
            (self.tell)(&step.to_string());
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
        Step::Run(command) => run_outside(command, limits.deadline()),
        Step::DeleteBridge | Step::DeleteForgottenBridge => link::delete(bridge),
    }
}

/// Runs a command. What it leaves behind, as `ifup` leaves a DHCP client, is no part of the caller's session or of the
/// guard's unit then, which systemd would end it with.
fn run_outside(command: &Command, deadline: Deadline) -> Result<(), SystemError> {
    let leaves_behind = command.program == "ifup" && Path::new(SYSTEMD).exists();
    if leaves_behind && find_program("systemd-run").is_ok() {
        let arguments = command.arguments.iter().cloned();
        let scope = SCOPE.map(str::to_owned).into_iter();
        let name = [command.program.to_owned()];
        let words: Vec<String> = scope.chain(name).chain(arguments).collect();
        match run_starter("systemd-run", &words, deadline) {
            // systemd does not answer.
            Err(SystemError::Failed { message, .. }) if message.contains("transient scope") => {}
            ended => return ended,
        }
    }
    run_starter(command.program, &command.arguments, deadline)
}

fn index_of(interface: &str) -> Option<u32> {
    interfaces::index(interface).ok()
}

fn in_words(differences: Vec<Difference>) -> Vec<String> {
    let differences = differences.into_iter();
    let told = differences.filter(|difference| !difference.is_of_link);
    told.map(|difference| difference.text).collect()
}

/// An interface in the bridge that is none of its NICs: a guest's.
fn others_in(record: &BridgeRecord) -> Option<String> {
    let ports = std::fs::read_dir(interfaces::folder(&record.bridge).join("brif"));
    let ports = ports.into_iter().flatten();
    let mut names = ports.filter_map(|port| port.ok()?.file_name().into_string().ok());
    names.find(|name| !record.nics.contains(name))
}

/// Who rolls back what failed: where a command failed or hung, the host has been without its network since the first of
/// them began; where all went well, it is told that it was not reached, and the program works.
fn by_after(error: &ChangeError, since: Instant) -> By {
    match error {
        ChangeError::Lost { .. } => By::manager_now(),
        _ => By::Manager { since },
    }
}

/// Refuses what the bridge would not have, since no file says it.
fn expect_written(plan: &BridgePlan, record: &BridgeRecord, accepted: &[Kind]) -> Result<()> {
    let Some(first) = record.noted.first() else {
        return Ok(());
    };
    let mut unwritten = unwritten(plan, first, &record.host.rules);
    unwritten.retain(|what| !accepted.contains(&what.kind));
    if unwritten.is_empty() {
        return Ok(());
    }
    let mut kinds: Vec<String> = unwritten.iter().map(|what| what.kind.to_string()).collect();
    kinds.dedup();
    let what: Vec<String> = unwritten.into_iter().map(|what| what.text).collect();
    Err(ChangeError::Unwritten {
        bridge: record.bridge.clone(),
        nic: first.nic.clone(),
        what: what.join(", "),
        kinds: kinds.join(","),
    })
}

/// An active network of libvirt's whose guests join the bridge, by what libvirt keeps of it.
fn network_on(paths: &Paths, bridge: &InterfaceName) -> Result<Option<String>> {
    let folder = &paths.libvirt_networks;
    if !folder.is_dir() {
        return Ok(None);
    }
    for name in files::names(folder, ".xml")? {
        let file = files::read(&folder.join(name))?.unwrap_or_default();
        let status = Status::read(&file, "network");
        let network = status.and_then(|status| Network::read(status.object.as_bytes()));
        if let Some(network) = network.filter(|one| one.bridge.as_ref() == Some(bridge)) {
            return Ok(Some(network.name.to_string()));
        }
    }
    Ok(None)
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
