//! Runs hooks as libvirt would, to their end or until they are killed, and measures them.

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use portero_lab::Event;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Something that happens on the host.
#[derive(Debug, Clone)]
pub enum Act {
    /// A hook is run.
    Hook(Event),
    /// libvirt writes its state of an object: path and content.
    Save((String, String)),
    /// libvirt removes that.
    Forget(String),
}

/// How a hook is disturbed.
#[derive(Debug, Clone, Copy)]
pub enum Harm {
    /// It, or a program that it runs, is killed at this one of its system calls.
    AtCall(u32),
    /// It is killed after this time.
    After(Duration),
    /// The program that it runs is killed, this long after it has been seen.
    Program(Duration),
}

/// What came of hooks.
#[derive(Debug, Default)]
pub struct Done {
    /// How many were run.
    pub hooks: u32,
    /// How many of them, or of their programs, were killed.
    pub kills: u32,
    /// The longest, of those that were not disturbed.
    pub longest: Duration,
    /// The most memory that one had, in KiB.
    pub peak: u64,
    /// The operation that failed, if one did: nothing was run after it.
    pub failed: Option<&'static str>,
}

impl Done {
    /// Adds what came of others.
    pub fn add(&mut self, other: &Self) {
        self.hooks += other.hooks;
        self.kills += other.kills;
        self.longest = self.longest.max(other.longest);
        self.peak = self.peak.max(other.peak);
    }
}

/// System calls by which a hook changes anything, or starts to.
const CALLS: &str = "rename,renameat,renameat2,unlink,unlinkat,openat,mkdir,fdatasync,vfork,clone,\
                     clone3,execve,sendto,sendmsg,flock";

/// Does everything in order; `harm` is for the hook with that index. Whatever fails is the last, as
/// libvirt starts nothing any further whose hook has failed.
pub fn perform(acts: &[Act], harm: Option<(usize, Harm)>) -> Done {
    let mut done = Done::default();
    let mut index = 0;
    for act in acts {
        match act {
            Act::Save((path, text)) => save(path, text),
            Act::Forget(path) => fs::remove_file(path).expect("a file of libvirt's"),
            Act::Hook(event) => {
                let harm = harm.filter(|(at, _)| *at == index);
                index += 1;
                done.hooks += 1;
                let ok = match harm {
                    Some((_, harm)) => {
                        let (ok, is_hit) = harmed(event, harm);
                        done.kills += u32::from(is_hit);
                        ok
                    }
                    None => measured(event, &mut done),
                };
                if !ok {
                    done.failed = Some(event.operation);
                    return done;
                }
            }
        }
    }
    done
}

/// As libvirt writes a file of its state.
pub fn save(path: &str, text: &str) {
    let new = format!("{path}.new");
    fs::write(&new, text).expect("a file of libvirt's");
    fs::rename(&new, path).expect("a file of libvirt's");
}

/// Runs a hook to its end; says whether it succeeded.
pub fn measured(event: &Event, done: &mut Done) -> bool {
    let begin = Instant::now();
    let child = event.command(&[]).stderr(Stdio::null()).spawn();
    let mut child = child.expect("a hook");
    let seen = watched(&mut child);
    done.longest = done.longest.max(begin.elapsed());
    done.peak = done.peak.max(seen.peak);
    seen.ok
}

/// What was seen of a program, its children not counted.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Whether it succeeded.
    pub ok: bool,
    /// The most memory that it had for itself, in KiB. How much of its file the kernel has mapped is left out: with the same
    /// program that was 4 or 12 MB.
    pub peak: u64,
    /// The time of processors that it took, in steps of 10 ms.
    pub cpu: Duration,
}

/// Waits for a program, and looks at it meanwhile.
pub fn watched(child: &mut Child) -> Seen {
    let (mut peak, mut ticks) = (0, 0);
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Seen {
                ok: status.success(),
                peak,
                cpu: Duration::from_millis(10 * ticks),
            };
        }
        peak = peak.max(status_of(child.id(), "RssAnon"));
        ticks = ticks.max(ticks_of(child.id()));
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// A number of /proc/PID/status; 0 when the process has none.
pub fn status_of(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// User and system time, fields 14 and 15 of /proc/PID/stat, in hundredths of a second.
fn ticks_of(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let times = after_name.split(' ').skip(11).take(2);
    times.filter_map(|time| time.parse::<u64>().ok()).sum()
}

/// Runs a hook and disturbs it; says whether it succeeded, and whether anything was killed.
fn harmed(event: &Event, harm: Harm) -> (bool, bool) {
    let inject = match harm {
        Harm::AtCall(at) => format!("inject={CALLS}:signal=KILL:when={at}"),
        Harm::After(_) | Harm::Program(_) => String::new(),
    };
    let strace = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
    let wrapper: &[&str] = if inject.is_empty() { &[] } else { &strace };
    let child = event.command(wrapper).stderr(Stdio::null()).spawn();
    let mut child = child.expect("a hook");
    let mut is_hit = false;
    match harm {
        Harm::AtCall(_) => {}
        Harm::After(time) => {
            std::thread::sleep(time);
            let _ = child.kill();
        }
        Harm::Program(time) => is_hit = kill_program(&mut child, time),
    }
    let status = child.wait().expect("a child");
    // strace ends as the hook did. A hook that fails by itself had a program of its own killed.
    is_hit |= match harm {
        Harm::AtCall(_) => !status.success(),
        Harm::After(_) => status.signal() == Some(9),
        Harm::Program(_) => false,
    };
    (status.success(), is_hit)
}

/// Kills the first program that the hook starts; says whether there was one.
fn kill_program(hook: &mut Child, time: Duration) -> bool {
    let id = hook.id();
    while hook.try_wait().expect("a child").is_none() {
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let first = children.split_ascii_whitespace().next();
        if let Some(Ok(pid)) = first.map(str::parse) {
            std::thread::sleep(time);
            return kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}
