//! Events of libvirt's as its hooks get them, without a libvirt that has anything of the kind.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many events were made, to keep their input apart.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// What a hook is run with.
#[derive(Debug, Clone)]
pub struct Event {
    /// `qemu`, `network` or `daemon`.
    pub hook: &'static str,
    /// The object's name.
    pub name: String,
    /// What happens to it.
    pub operation: &'static str,
    /// What libvirt writes.
    pub stdin: String,
}

impl Event {
    /// The daemon starts, and has not inserted its own rules yet.
    #[must_use]
    pub fn daemon_start() -> Self {
        Self {
            hook: "daemon",
            name: "-".to_owned(),
            operation: "start",
            stdin: String::new(),
        }
    }

    /// The hook with its input, run by `wrapper` if that is not empty.
    ///
    /// # Panics
    /// When the input cannot be written.
    #[must_use]
    pub fn command(&self, wrapper: &[&str]) -> Command {
        let path = format!(
            "/run/lab/files/event-{}.xml",
            EVENTS.fetch_add(1, Ordering::Relaxed)
        );
        fs::write(&path, &self.stdin).expect("an event");
        let stdin = fs::File::open(&path).expect("an event");
        // It is read by way of the descriptor.
        fs::remove_file(&path).expect("an event");
        let program = format!("/usr/bin/portero-{}-hook", self.hook);
        let mut words: Vec<&str> = wrapper.to_vec();
        words.extend([program.as_str(), &self.name, self.operation, "begin", "-"]);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        command
    }
}
