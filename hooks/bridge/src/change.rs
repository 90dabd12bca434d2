//! Makes a bridge, confirms it, and has it rolled back or removed: every step can be the last one that is done, and what was
//! there before still comes back.

use crate::bridges::{Bridges, LOOK};
use crate::error::{ChangeError, Result};
use crate::guard_start;
use crate::host::{HostNoted, Whom};
use crate::link;
use crate::outcome::{Back, Kind, Wish};
use crate::owner;
use crate::reach::Reach;
use crate::record::{boot, BridgeRecord, Changed, Folder, LockOf, Original, Phase};
use crate::rollback::By;
use crate::steps::{StepLimits, STEP};
use crate::written::unwritten;
use portero_host_bridge::{Bridge, BridgePlan, Manager, NicOwner, Renderer, Says, Stp};
use portero_libvirt::InterfaceName;
use portero_system::files::{self, Ownership};
use portero_system::programs::find_program;
use portero_system::{active_networks, interfaces, Deadline, Lock, Paths, Severity, SystemError};
use std::time::{Duration, Instant};

/// How long a bridge that is made may take to be reached as its NIC was.
const CHANGE: Duration = Duration::from_secs(32);

/// How much of that all commands may take: with a command that hangs, the host answers again within 15 s.
const COMMANDS: Duration = Duration::from_secs(11);

/// How long a bridge that speaks the spanning tree protocol takes until it forwards: twice the delay
/// of 15 s that the kernel begins with.
const FORWARD_DELAY: Duration = Duration::from_secs(30);

/// How often the program that brings NICs up is asked whether it still does, while something is missing.
const ALIVE: Duration = Duration::from_secs(3);

/// How long another portero may hold a bridge.
const LOCK: Duration = Duration::from_secs(90);

impl Bridges<'_> {
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
        expect_written(self.paths, plan, &record, &wish.accepted)?;
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
            if index == 0 {
                record.host = HostNoted::read(self.paths, from)?;
            }
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
        let delay = match stp {
            Stp::Off => Duration::ZERO,
            Stp::On => FORWARD_DELAY,
        };
        let whole = StepLimits::new(STEP, CHANGE + delay);
        let limits = StepLimits::new(STEP + delay, COMMANDS + delay);
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
        self.verify(record, whole, accepted)
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
            let Some((what, kind)) = self.missing(record, accepted)? else {
                return Ok(link::addresses(bridge)?);
            };
            if limits.left().is_zero() {
                return Err(ChangeError::Lost {
                    bridge: bridge.clone(),
                    what,
                    seconds: start.elapsed().as_secs(),
                    hint: kind
                        .map(|kind| format!(" (--accept {kind} makes it without)"))
                        .unwrap_or_default(),
                });
            }
            if asked.elapsed() > ALIVE {
                self.expect_alive(record)?;
                asked = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What the bridge does not have of what the NIC had, in words, and its kind where that can be accepted.
    fn missing(
        &mut self,
        record: &BridgeRecord,
        accepted: &[Kind],
    ) -> Result<Option<(String, Option<Kind>)>> {
        let bridge = &record.bridge;
        let mut nics = record.nics.iter();
        if let Some(nic) = nics.find(|nic| interfaces::master(nic).as_ref() != Some(bridge)) {
            return Ok(Some((format!("{nic} is not in the bridge"), None)));
        }
        for nic in &record.nics {
            self.log_errors(link::drop_doubles(nic, bridge));
        }
        let mut missing = match record.noted.first() {
            Some(first) => link::missing_on_bridge(first, bridge)?,
            None => Vec::new(),
        };
        missing.extend(record.host.missing(self.paths, bridge, Whom::All)?);
        let nics = record.nics.iter();
        missing.extend(nics.filter_map(|nic| link::narrow(nic, bridge)));
        missing.retain(|what| !accepted.contains(&what.kind));
        Ok(match missing.first() {
            Some(first) => Some((first.is_missing(), Some(first.kind))),
            None => {
                let silent = record.reach.silent(bridge);
                silent.map(|gateway| (format!("the gateway {gateway} does not answer"), None))
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
fn expect_written(
    paths: &Paths,
    plan: &BridgePlan,
    record: &BridgeRecord,
    accepted: &[Kind],
) -> Result<()> {
    let Some(first) = record.noted.first() else {
        return Ok(());
    };
    // It may have the gateway, and does not change.
    let global = match plan.renderer {
        Renderer::Ifcfg => files::read(&paths.etc.join("sysconfig/network"))?,
        _ => None,
    };
    let global = String::from_utf8_lossy(&global.unwrap_or_default()).into_owned();
    let mut unwritten = unwritten(plan, &global, first, &record.host.rules);
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
    let mut active = active_networks(paths)?.into_iter();
    let found = active.find(|(network, _)| network.bridge.as_ref() == Some(bridge));
    Ok(found.map(|(network, _)| network.name.to_string()))
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
