//! libvirt's daemons and when they started, and since when our hooks are where they look.
//!
//! libvirt looks for hook scripts when a daemon starts (`virHookInitialize` in src/util/virhook.c):
//! a kind of hook that had none then is not run until the next start.

use portero_libvirt::{Driver, Hook};
use portero_system::programs::find_program;
use portero_system::Paths;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Programs that run hooks: one daemon for all, or one for each driver.
const NAMES: [&str; 4] = ["libvirtd", "virtqemud", "virtlxcd", "virtnetworkd"];

/// A daemon of libvirt's that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its program.
    pub name: String,
    /// When it started, to a hundredth of a second.
    pub started: SystemTime,
}

/// A hook of ours that libvirt finds at its next start at the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookLink {
    /// Our program.
    pub program: &'static str,
    /// The daemons that run it and that it has anything to do for, of which a host has the first or others.
    pub daemons: &'static [&'static str],
    /// The folder of hooks it is in.
    pub folder: PathBuf,
    /// Since when the folder is there, where the file system tells.
    pub folder_since: Option<SystemTime>,
    /// Since when the program or the link to it is in the folder.
    pub since: SystemTime,
}

/// The daemons of this host that run: root's, with the host's files. Those of users' sessions and of
/// containers run other hooks, or none of ours.
#[must_use]
pub fn daemons() -> Vec<Daemon> {
    let Some(boot) = boot_time() else {
        return Vec::new();
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let files_of = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let ours = files_of(Path::new("/proc/self"));
    let daemons = processes.filter_map(|process| {
        let process = process.path();
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        let (name, ticks) = name_and_start(&stat)?;
        let is_of_host =
            || fs::metadata(&process).is_ok_and(|of| of.uid() == 0) && files_of(&process) == ours;
        (NAMES.contains(&name) && is_of_host()).then(|| Daemon {
            name: name.to_owned(),
            started: boot + Duration::from_millis(ticks * 1000 / TICKS),
        })
    });
    daemons.collect()
}

/// Daemons of libvirt's that neither run nor are started when somebody asks them (systemd listens for them): the one for
/// all, or those of networks and of QEMU's guests where libvirt is divided. None where no libvirt is installed.
#[must_use]
pub fn absent_daemons(paths: &Paths) -> Vec<&'static str> {
    let running = daemons();
    let runs = |name: &str| running.iter().any(|daemon| daemon.name == name);
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let is_heard = |name: &str| {
        let socket = match name {
            "libvirtd" => "libvirt-sock".to_owned(),
            name => format!("{name}-sock"),
        };
        listens(&sockets, &paths.libvirt_state.join(socket))
    };
    let is_installed = |name: &str| find_program(name).is_ok();
    absent(runs, is_heard, is_installed)
}

fn absent(
    runs: impl Fn(&str) -> bool,
    is_heard: impl Fn(&str) -> bool,
    is_installed: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    if runs("libvirtd") {
        return Vec::new();
    }
    let is_there = |name: &str| runs(name) || is_heard(name);
    // Where libvirt is divided, virtproxyd listens at libvirtd's socket.
    let mut drivers = NAMES.iter().filter(|name| **name != "libvirtd");
    let is_divided = drivers.any(|name| is_there(name)) || !is_installed("libvirtd");
    let mut absent = match is_divided {
        true => vec!["virtnetworkd", "virtqemud"],
        false => vec!["libvirtd"],
    };
    absent.retain(|name| is_installed(name) && !is_there(name));
    absent
}

/// Whether somebody waits for connections to a socket, by proc(5)'s `net/unix`: its flags have `__SO_ACCEPTCON`.
fn listens(sockets: &str, socket: &Path) -> bool {
    sockets.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.get(3) == Some(&"00010000") && words.get(7).map(Path::new) == Some(socket)
    })
}

/// `USER_HZ`, in which proc(5) counts: 100 on every architecture that libvirt runs on.
const TICKS: u64 = 100;

/// The name and the start, in ticks since the boot, of proc(5)'s `stat`. libvirt's daemons have
/// threads with other names, but no parentheses in theirs.
fn name_and_start(stat: &str) -> Option<(&str, u64)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once(" (")?;
    // The twenty-second field; the state is the third.
    let start = after.split(' ').nth(19)?.parse().ok()?;
    Some((name, start))
}

fn boot_time() -> Option<SystemTime> {
    // `btime` of /proc/stat has whole seconds only: the clock less the time since the boot is exact.
    let uptime = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    SystemTime::now().checked_sub(Duration::from(uptime))
}

/// Our hooks that are in their folders and can be run.
#[must_use]
pub fn hook_links(paths: &Paths) -> Vec<HookLink> {
    // Where there is no driver for containers, nobody misses its hook.
    let has_containers = [
        paths.running_domains(Driver::Lxc),
        paths.libvirt.join("lxc"),
    ]
    .iter()
    .any(|folder| folder.is_dir());
    let is_run = |hook: &Hook| has_containers || *hook != Hook::Domain(Driver::Lxc);
    let hooks = Hook::ALL.into_iter().filter(is_run).filter_map(|hook| {
        let folder = paths.libvirt.join("hooks").join(hook.folder());
        let entries = fs::read_dir(&folder).ok()?.flatten();
        let link = entries
            .map(|entry| entry.path())
            .find(|path| is_program(path, hook.program()))?;
        let daemons: &[&str] = match hook {
            Hook::Network => &["libvirtd", "virtnetworkd"],
            Hook::Domain(Driver::Qemu) => &["libvirtd", "virtqemud"],
            Hook::Domain(Driver::Lxc) => &["libvirtd", "virtlxcd"],
            Hook::Daemon => &["libvirtd", "virtnetworkd", "virtqemud", "virtlxcd"],
        };
        Some(HookLink {
            program: hook.program(),
            daemons,
            folder_since: fs::metadata(&folder).ok()?.created().ok(),
            since: changed(&link)?,
            folder,
        })
    });
    hooks.collect()
}

/// Whether a file in a folder of hooks is this program, or a link to it.
pub(crate) fn is_program(path: &Path, program: &str) -> bool {
    let file = fs::canonicalize(path).unwrap_or_default();
    file.file_name().is_some_and(|name| name == program)
}

/// When the entry itself, not what a link leads to, was put there or given its label.
#[must_use]
pub fn changed(link: &Path) -> Option<SystemTime> {
    let metadata = fs::symlink_metadata(link).ok()?;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::{absent, listens, name_and_start};
    use std::path::Path;

    #[test]
    fn a_process_is_read_by_fields() {
        let stat =
            "712 (libvirtd) S 1 712 712 0 -1 4194560 12 13 14 15 16 17 18 19 20 0 21 0 4711 99 1";
        assert_eq!(name_and_start(stat), Some(("libvirtd", 4711)));
        assert_eq!(name_and_start("712 (a) b) S 1"), None);
    }

    #[test]
    fn a_daemon_is_absent_when_it_neither_runs_nor_is_waited_for() {
        let absent = |running: &[&str], heard: &[&str], installed: &[&str]| {
            absent(
                |name| running.contains(&name),
                |name| heard.contains(&name),
                |name| installed.contains(&name),
            )
        };
        let one = ["libvirtd"];
        let divided = ["virtqemud", "virtnetworkd"];
        let both = ["libvirtd", "virtqemud", "virtnetworkd"];
        assert_eq!(absent(&one, &one, &one), [""; 0]);
        assert_eq!(absent(&one, &[], &both), [""; 0]);
        assert_eq!(absent(&[], &one, &one), [""; 0]);
        assert_eq!(absent(&[], &one, &both), [""; 0]);
        assert_eq!(absent(&[], &[], &both), ["libvirtd"]);
        assert_eq!(absent(&divided, &divided, &divided), [""; 0]);
        assert_eq!(absent(&[], &divided, &divided), [""; 0]);
        assert_eq!(absent(&divided[..1], &[], &divided), ["virtnetworkd"]);
        assert_eq!(absent(&[], &[], &divided), ["virtnetworkd", "virtqemud"]);
        // virtproxyd is heard where libvirtd would be.
        assert_eq!(absent(&[], &one, &divided), ["virtnetworkd", "virtqemud"]);
        assert_eq!(absent(&divided[..1], &both[..2], &both), ["virtnetworkd"]);
        assert_eq!(absent(&[], &[], &[]), [""; 0]);
        let sockets = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17 /run/libvirt/libvirt-sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 18 /run/libvirt/virtqemud-sock\n";
        assert!(listens(sockets, Path::new("/run/libvirt/libvirt-sock")));
        assert!(!listens(sockets, Path::new("/run/libvirt/virtqemud-sock")));
    }
}
