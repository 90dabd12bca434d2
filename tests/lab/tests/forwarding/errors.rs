//! System calls of the hooks that fail, one at a time.

use crate::faults::{domain, forget_network, hook, network_port, qemu};
use crate::world::{sorted, World};
use portero_lab::Scenario;
use std::fs;
use std::process::Stdio;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "a hook one of whose system calls fails leaves the old or the new, and the next event mends it",
    run: failing,
}];

/// Calls with what they fail with, and how many of them are the dynamic loader's and the runtime's,
/// before the hook's own.
const CALLS: [(&str, &str, u32); 12] = [
    ("openat", "EIO", 4),
    ("read", "EIO", 2),
    ("write", "ENOSPC", 0),
    ("fdatasync", "EIO", 0),
    ("rename", "EROFS", 0),
    ("unlink", "EROFS", 0),
    ("mkdir", "ENOSPC", 0),
    ("flock", "ENOLCK", 0),
    ("pipe2", "EMFILE", 0),
    ("clone3", "EAGAIN", 0),
    ("sendto", "ENOBUFS", 0),
    ("socket", "EMFILE", 0),
];

/// What has to be so before an operation, and what mends it afterwards.
const OPERATIONS: [(&str, &[&str], &str); 4] = [
    ("start", &["prepare"], "started"),
    ("started", &["prepare"], "started"),
    ("reconnect", &["prepare", "start"], "started"),
    ("stopped", &["prepare", "start"], "release"),
];

/// `PORTERO_FAULTS=all` lets every call fail, which takes minutes; otherwise it is every fifth of a kind.
fn stride() -> usize {
    match std::env::var("PORTERO_FAULTS").as_deref() {
        Ok("all") => 1,
        _ => 5,
    }
}

fn failing(world: &mut World) {
    world.running_web();
    network_port(1, "port-created");
    assert!(qemu(1, "prepare") && qemu(1, "start"));
    let running = sorted(&world.lab.rules());
    assert!(qemu(1, "stopped"));
    let stopped = sorted(&world.lab.rules());
    assert_ne!(running, stopped);
    let (mut failures, mut refusals) = (0, 0);
    for (operation, before, next) in OPERATIONS {
        for (call, error, foreign) in CALLS {
            for at in (foreign + 1..).step_by(stride()) {
                assert!(at < 500, "no end at {call} of {operation}");
                network_port(1, "port-created");
                assert!(before.iter().all(|step| qemu(1, step)));
                let Some(ran) = inject(operation, call, error, at) else {
                    assert!(qemu(1, "stopped"));
                    break;
                };
                failures += 1;
                let what = format!("{call} {at} of {operation} fails with {error}");
                assert_eq!(ran.stdout, "", "{what}");
                let now = sorted(&world.lab.rules());
                assert!(
                    now == running || now == stopped,
                    "{what}: {ran:?}\n{:#?}",
                    difference(&now, &stopped)
                );
                if !ran.ok {
                    refusals += 1;
                    assert_eq!(operation, "start", "{what}: {ran:?}");
                    assert_eq!(ran.stderr.lines().count(), 1, "{what}: {ran:?}");
                    assert_eq!(now, stopped, "{what}: refused, and yet there");
                }
                assert!(qemu(1, next), "{what}, then {next}");
                let expected = if operation == "stopped" {
                    &stopped
                } else {
                    &running
                };
                assert_eq!(&sorted(&world.lab.rules()), expected, "{what}, then {next}");
                world.is_in_order();
                assert!(qemu(1, "stopped"));
                assert_eq!(sorted(&world.lab.rules()), stopped, "{what}, then stopped");
            }
        }
    }
    println!(
        "  survived {failures} failures of system calls, {refusals} of which refused the start"
    );
    assert!(failures > 100, "only {failures}: strace did not inject");
    assert!(refusals > 10, "only {refusals} refusals");
    forget_network();
    world.serves();
    world.stop_web();
    world.is_untouched();
}

/// The lines that are in one of the two only.
fn difference<'a>(one: &'a [String], other: &'a [String]) -> Vec<&'a String> {
    let lacks = |rules: &[String], line: &String| !rules.contains(line);
    let gone = other.iter().filter(|line| lacks(one, line));
    one.iter()
        .filter(|line| lacks(other, line))
        .chain(gone)
        .collect()
}

/// Runs a hook whose call of that number fails; nothing when it has no so many.
fn inject(operation: &'static str, call: &str, error: &str, at: u32) -> Option<portero_lab::Ran> {
    let log = "/run/lab/files/injected";
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:error={error}:when={at}");
    let strace = ["strace", "-o", log, "-e", &trace, "-e", &inject];
    let mut command = hook(&strace, "qemu", "rec1", operation, &domain(1));
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .expect("strace");
    let log = fs::read_to_string(log).expect("strace's log");
    log.contains("(INJECTED)").then(|| portero_lab::Ran {
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
