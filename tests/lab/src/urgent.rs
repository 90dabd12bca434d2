//! What is timed goes before what else the machine works on: a stopwatch beside two other suites would tell how long those
//! have the processors.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

/// As long as it is there, this lab's processes go before all others of the machine, and so do those that they start.
#[derive(Debug)]
pub struct Urgent(());

impl Urgent {
    /// From now on.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[must_use]
    pub fn begin() -> Self {
        let ran = set_priority("-20");
        let state = fs::read_to_string("/proc/self/stat").expect("its own state");
        let got = state.rsplit(") ").next().expect("its own state");
        assert_eq!(got.split(' ').nth(16), Some("-20"), "{ran:?}");
        Self(())
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        let _ = set_priority("0");
    }
}

/// Gives all threads of this network namespace a priority, and the groups by which the kernel shares out processors.
fn set_priority(priority: &str) -> io::Result<Output> {
    let own = fs::read_link("/proc/self/ns/net").expect("a network namespace");
    let mut renice = Command::new("renice");
    renice.args(["-n", priority, "-p"]);
    for process in entries(Path::new("/proc")) {
        if fs::read_link(process.join("ns/net")).is_ok_and(|net| net == own) {
            // Not where the kernel has no such groups.
            let _ = fs::write(process.join("autogroup"), priority);
            renice.args(
                entries(&process.join("task"))
                    .iter()
                    .filter_map(|task| task.file_name()),
            );
        }
    }
    // It fails for those that have ended meanwhile.
    renice.output()
}

/// What is in a folder; nothing once it is gone.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
