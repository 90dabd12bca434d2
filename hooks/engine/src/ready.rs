//! What the daemon hook leaves behind: a process that waits until the daemon has put its own rules in, and compares
//! once more.
//!
//! A daemon runs its hook before it makes rules, and tells nobody when it has: of its networks no hook is run then, and
//! guests, of which one is (`reconnect`), are another daemon's or are not there (`networkStateInitialize` in
//! src/network/bridge_driver.c). But it makes them in a thread of its own, whose name the kernel knows.

use crate::engine::Engine;
use nix::poll::{poll, PollFd, PollFlags};
use nix::unistd::getppid;
use portero_libvirt::{DaemonOperation, Hook};
use portero_system::{Deadline, Linux, Log, Paths, Severity};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// What the hook's program is called with, before the daemon's process, when that starts and when it reloads: libvirt
/// calls it with `-`.
const STARTS: &str = "--when-ready";
const RELOADS: &str = "--when-reloaded";

/// The threads in which a daemon makes its rules, by their names in proc(5): `daemonStateInit` and
/// `daemonReloadHandler` in src/remote/remote_daemon.c, from libvirt 6.1 to 12.
const THREADS: [&str; 2] = ["daemon-init", "daemon-reload"];

/// How long after its hook a daemon may take to begin; then it may have begun and ended between two looks.
const UNSEEN: Duration = Duration::from_secs(2);

/// How long after the hook all of it may take: other hooks may follow ours, and drivers are many.
const LONGEST: Duration = Duration::from_secs(120);

/// How often the daemon is looked at while something is to be seen soon, and afterwards.
const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(50);

/// Longest line of processes from a daemon to its hook: an administrator's script may run ours.
const ANCESTORS: usize = 8;

/// The daemon of libvirt's that runs a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Daemon {
    process: i32,
    /// Its program (`comm` in proc(5)).
    pub(crate) name: String,
}

impl Daemon {
    /// The nearest process above this one that is libvirt's; none when something else runs the hook.
    pub(crate) fn of_hook() -> Option<Self> {
        let mut process = getppid().as_raw();
        for _ in 0..ANCESTORS {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            let (name, parent) = name_and_parent(&stat)?;
            if Hook::is_run_by(name) {
                let name = name.to_owned();
                return Some(Self { process, name });
            }
            process = parent;
        }
        None
    }

    /// Starts the process that waits for this daemon. It begins to wait when what is given is dropped, be it by the death
    /// of this process, and holds nothing else of this process's.
    #[allow(
        clippy::zombie_processes,
        reason = "it outlives the hook, and whoever inherits it buries it"
    )]
    pub(crate) fn compare_when_ready(
        &self,
        operation: &DaemonOperation,
    ) -> std::io::Result<Option<ChildStdin>> {
        let word = match operation {
            DaemonOperation::Reload => RELOADS,
            _ => STARTS,
        };
        let mut waiting = Command::new(std::env::current_exe()?)
            .args([word, &self.process.to_string()])
            .stdin(Stdio::piped())
            // libvirt waits until nobody has the hook's any more.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()?;
        Ok(waiting.stdin.take())
    }
}

/// The name and the parent of proc(5)'s `stat`.
fn name_and_parent(stat: &str) -> Option<(&str, i32)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once(" (")?;
    Some((name, after.split(' ').nth(1)?.parse().ok()?))
}

/// The daemon that a process has to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Awaited {
    daemon: i32,
    /// Whether its hook was run by the thread that is waited for, as that of a reload is.
    has_begun: bool,
}

impl Awaited {
    /// As the program's arguments say; none when this is no such process.
    pub(crate) fn parse(arguments: &[OsString]) -> Option<Self> {
        let [word, process] = arguments else {
            return None;
        };
        (word == STARTS || word == RELOADS).then_some(Self {
            daemon: process.to_str()?.parse().ok()?,
            has_begun: word == RELOADS,
        })
    }
}

/// Waits for a daemon and compares everything: the whole of the process that the hook leaves behind.
pub(crate) fn compare_when_ready(awaited: Awaited, log: &mut Log) {
    // Whoever ends the daemon's session or group does not mean this.
    let _ = nix::unistd::setsid();
    wait_for_hook();
    let start = Instant::now();
    let mut wait = Wait {
        has_begun: awaited.has_begun,
        has_compared: false,
    };
    loop {
        let step = wait.next(work_of(awaited.daemon), start.elapsed());
        match step {
            Step::Wait(pause) => std::thread::sleep(pause),
            Step::Compare | Step::CompareAndEnd => {
                let mut system = Linux::default();
                let compared = Engine::new(Paths::default(), &mut system, log).daemon_is_ready();
                if let Err(error) = compared {
                    log.write(Severity::Error, error);
                }
            }
        }
        if step == Step::CompareAndEnd {
            return;
        }
    }
}

/// Waits until the hook has ended: it has the other end of this process's stdin, and writes nothing.
fn wait_for_hook() {
    let stdin = std::io::stdin();
    let mut hook = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    // A signal, or a hook that hangs, only lets the wait for the daemon begin sooner.
    let _ = poll(&mut hook, Deadline::after(LONGEST).poll_timeout());
}

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It starts its drivers or reloads them.
    Drivers,
    /// Anything else.
    Other,
    /// It has ended.
    Ended,
}

fn work_of(daemon: i32) -> Work {
    let threads = match fs::read_dir(format!("/proc/{daemon}/task")) {
        Ok(threads) => threads,
        Err(error) if error.kind() == ErrorKind::NotFound => return Work::Ended,
        // It is there, and does not say what it does.
        Err(_) => return Work::Other,
    };
    let names = threads
        .flatten()
        .map(|thread| fs::read(thread.path().join("comm")));
    let mut names = names.flatten();
    if names.any(|name| {
        THREADS
            .iter()
            .any(|known| name.trim_ascii_end() == known.as_bytes())
    }) {
        Work::Drivers
    } else {
        Work::Other
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Wait(Duration),
    Compare,
    CompareAndEnd,
}

/// How far the wait for a daemon is.
#[derive(Debug, Default)]
struct Wait {
    has_begun: bool,
    has_compared: bool,
}

impl Wait {
    /// The next step, by what the daemon does now and the time since its hook has ended.
    fn next(&mut self, work: Work, since_hook: Duration) -> Step {
        let is_done = match work {
            Work::Drivers => false,
            Work::Other => self.has_begun,
            Work::Ended => true,
        };
        self.has_begun |= work == Work::Drivers;
        if is_done || since_hook >= LONGEST {
            return Step::CompareAndEnd;
        }
        if self.has_begun || since_hook < UNSEEN {
            return Step::Wait(OFTEN);
        }
        if !self.has_compared {
            self.has_compared = true;
            return Step::Compare;
        }
        Step::Wait(SELDOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_compares_when_a_daemon_has_begun_and_ended() {
        let mut wait = Wait::default();
        assert_eq!(wait.next(Work::Other, seconds(0)), Step::Wait(OFTEN));
        assert_eq!(wait.next(Work::Drivers, seconds(1)), Step::Wait(OFTEN));
        assert_eq!(wait.next(Work::Drivers, seconds(50)), Step::Wait(OFTEN));
        assert_eq!(wait.next(Work::Other, seconds(51)), Step::CompareAndEnd);
    }

    #[test]
    fn what_nobody_has_seen_is_taken_for_done_and_still_looked_for() {
        let mut wait = Wait::default();
        assert_eq!(wait.next(Work::Other, seconds(1)), Step::Wait(OFTEN));
        assert_eq!(wait.next(Work::Other, seconds(2)), Step::Compare);
        assert_eq!(wait.next(Work::Other, seconds(3)), Step::Wait(SELDOM));
        assert_eq!(wait.next(Work::Drivers, seconds(9)), Step::Wait(OFTEN));
        assert_eq!(wait.next(Work::Other, seconds(10)), Step::CompareAndEnd);
    }

    #[test]
    fn it_ends_with_the_daemon_and_with_the_time() {
        let mut wait = Wait::default();
        assert_eq!(wait.next(Work::Ended, seconds(0)), Step::CompareAndEnd);
        let mut wait = Wait::default();
        assert_eq!(wait.next(Work::Drivers, LONGEST), Step::CompareAndEnd);
    }

    #[test]
    fn a_process_is_read_by_fields() {
        let stat = "712 (libvirtd) S 34 712 712 0 -1 4194560 12 13";
        assert_eq!(name_and_parent(stat), Some(("libvirtd", 34)));
        assert_eq!(name_and_parent("712 (a"), None);
    }

    #[test]
    fn a_thread_tells_what_a_daemon_does() {
        let this = i32::try_from(std::process::id()).unwrap_or_default();
        assert_eq!(work_of(this), Work::Other);
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name(THREADS[0].to_owned());
        let thread = thread.spawn(move || receiver.recv().is_err());
        while work_of(this) == Work::Other {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(work_of(this), Work::Drivers);
        drop(sender);
        assert!(thread.is_ok_and(|thread| thread.join().is_ok()));
        assert_eq!(work_of(i32::MAX), Work::Ended);
    }

    #[test]
    fn a_reload_has_begun_when_its_hook_runs() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let parse = |word: &str| Awaited::parse(&words(&[word, "712"]));
        let awaited = |has_begun| Awaited {
            daemon: 712,
            has_begun,
        };
        assert_eq!(parse(STARTS), Some(awaited(false)));
        assert_eq!(parse(RELOADS), Some(awaited(true)));
        assert_eq!(Awaited::parse(&words(&[STARTS, "x"])), None);
        // libvirt's own.
        assert_eq!(Awaited::parse(&words(&["-", "start", "begin", "-"])), None);
        let mut wait = Wait {
            has_begun: true,
            has_compared: false,
        };
        assert_eq!(wait.next(Work::Drivers, seconds(0)), Step::Wait(OFTEN));
        assert_eq!(wait.next(Work::Other, seconds(0)), Step::CompareAndEnd);
    }
}
