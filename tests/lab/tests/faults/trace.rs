//! Counts the system calls of a program, and lets one of them fail or be its last.

use crate::act::Act;
use portero_lab::Ran;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// Where strace writes what it sees.
pub const LOG: &str = "/run/lab/files/trace";

/// How many calls of each kind a program makes.
#[derive(Debug)]
pub struct Trace(BTreeMap<String, usize>);

impl Trace {
    /// Runs a program without a fault, and counts these calls of it.
    pub fn of(act: &Act, calls: &[&str]) -> Self {
        let trace = format!("trace={}", calls.join(","));
        let ran = ran(act.command(&["strace", "-o", LOG, "-e", &trace]));
        assert!(ran.ok, "{act:?}: {ran:?}");
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(LOG).expect("strace's log").lines() {
            let call = line.split('(').next().unwrap_or_default();
            *counts.entry(call.to_owned()).or_default() += 1;
        }
        Self(counts)
    }

    /// How many calls of this kind there are.
    pub fn count(&self, call: &str) -> usize {
        self.0.get(call).copied().unwrap_or_default()
    }

    /// How many of these calls a program makes, or one that it runs, whichever makes most: strace counts
    /// them for each process by itself.
    pub fn longest(act: &Act, calls: &str) -> usize {
        let ran = ran(act.command(&["strace", "-f", "-o", LOG, "-e", &format!("trace={calls}")]));
        assert!(ran.ok, "{act:?}: {ran:?}");
        let log = fs::read_to_string(LOG).expect("strace's log");
        let mut counts = BTreeMap::<&str, usize>::new();
        for line in log.lines() {
            let (process, rest) = line.split_once(' ').unwrap_or_default();
            if rest.contains('(') {
                *counts.entry(process).or_default() += 1;
            }
        }
        counts.into_values().max().unwrap_or_default()
    }

    /// Runs a program one of whose calls is tampered with as strace's `how` says; nothing when it does
    /// not come to that.
    pub fn inject(act: &Act, call: &str, how: &str) -> Option<Ran> {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{how}"));
        let ran = ran(act.command(&["strace", "-o", LOG, "-e", &trace, "-e", &inject]));
        let log = fs::read_to_string(LOG).expect("strace's log");
        log.contains("(INJECTED)").then_some(ran)
    }
}

/// Runs a command to its end.
pub fn ran(mut command: Command) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().expect("a program");
    Ran {
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// All of them with `PORTERO_FAULTS=all`, which takes long; otherwise one in 17, others in each turn.
pub fn chosen<T>(all: impl Iterator<Item = T>, turn: usize) -> impl Iterator<Item = T> {
    let step = match std::env::var("PORTERO_FAULTS").as_deref() {
        Ok("all") => 1,
        _ => 17,
    };
    all.skip(turn % step).step_by(step)
}
