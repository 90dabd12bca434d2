//! The machine the hooks see: a /run of their own, and the bridge of the guests' network.

use crate::process::Process;
use crate::recorded::{BRIDGE, BRIDGE_ADDRESS, PREFIX};
use std::io;

/// Where the benchmark keeps its files; gone with the private /run.
pub const FOLDER: &str = "/run/bench";

/// Sets up the present namespaces, which have to be new ones.
///
/// # Errors
/// Those of `mount` and `ip`.
pub fn set_up() -> io::Result<()> {
    // Without a folder of our own yet there is no file for what the first program says.
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "portero-bench", "/run"])
        .status()?;
    if !mounted.success() {
        return Err(io::Error::other("cannot mount a private /run"));
    }
    std::fs::create_dir(FOLDER)?;
    let address = format!("{BRIDGE_ADDRESS}/{PREFIX}");
    let steps: [&[&str]; 4] = [
        &["link", "set", "lo", "up"],
        &["link", "add", BRIDGE, "type", "bridge"],
        &["addr", "add", &address, "dev", BRIDGE],
        &["link", "set", BRIDGE, "up"],
    ];
    for step in steps {
        Process::new("ip", step).run()?;
    }
    Ok(())
}
