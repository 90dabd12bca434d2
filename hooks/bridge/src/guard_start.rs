//! Starts the guard of a change in a process that outlives this one.

use crate::error::{ChangeError, Result};
use crate::record::{Folder, LockOf};
use portero_libvirt::InterfaceName;
use portero_system::programs::run_starter;
use portero_system::Deadline;
use std::path::Path;
use std::time::Duration;

/// How long a guard may take to start.
pub(super) const START: Duration = Duration::from_secs(10);

/// How much of that systemd has.
const START_OF_UNIT: Duration = Duration::from_secs(4);

/// Where systemd says that it runs the host, sd_booted(3).
pub(super) const SYSTEMD: &str = "/run/systemd/system";

/// The guard's unit.
const UNIT: &str = "/usr/lib/systemd/system/portero-bridge-guard@.service";

/// Starts a guard in a process that outlives this one, and waits until it watches: as a service
/// where systemd has ours, otherwise, or if that does not come up, as a process of its own.
pub(super) fn start(folder: &Folder, bridge: &InterfaceName) -> Result<()> {
    let deadline = Deadline::after(START);
    let unit = format!("portero-bridge-guard@{bridge}.service");
    let by_systemd = ["restart", "--no-block", &unit];
    let words = ["--fork", "portero", "bridge", "guard", "--bridge"];
    let by_itself = [&words[..], &[bridge.as_str()]].concat();
    if Path::new(SYSTEMD).exists() && Path::new(UNIT).exists() {
        let asked = run_starter("systemctl", &owned(&by_systemd), deadline);
        if asked.is_ok() && watches(folder, Deadline::after(START_OF_UNIT))? {
            return Ok(());
        }
    }
    run_starter("setsid", &owned(&by_itself), deadline)?;
    if watches(folder, deadline)? {
        return Ok(());
    }
    Err(ChangeError::NoGuard {
        seconds: START.as_secs(),
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Waits until somebody holds the guard's lock.
fn watches(folder: &Folder, deadline: Deadline) -> Result<bool> {
    loop {
        match folder.try_lock(LockOf::Guard)? {
            None => return Ok(true),
            Some(lock) => drop(lock),
        }
        if deadline.left().is_zero() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
