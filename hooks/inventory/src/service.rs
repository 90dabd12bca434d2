//! Whether systemd starts portero-watch at the next boot, and whether it runs now: both from files, since
//! systemd may not answer.

use portero_system::Paths;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The unit, and its program.
const UNIT: &str = "portero-watch.service";
const PROGRAM: &str = "portero-watch";

/// Where systemd looks for links to units, the administrator's first, systemd.unit(5).
const FOLDERS: [&str; 4] = [
    "etc/systemd/system",
    UNTIL_THE_BOOT,
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
];

/// What is enabled here is so until the next boot.
const UNTIL_THE_BOOT: &str = "run/systemd/system";

/// portero-watch on a host with systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchService {
    /// Whether something starts it at the next boot.
    pub is_enabled: bool,
    /// Whether the administrator has forbidden to start it.
    pub is_masked: bool,
    /// Whether it runs.
    pub is_running: bool,
}

/// What is known of it; nothing where no systemd runs, or none that knows the unit.
#[must_use]
pub fn watch_service(paths: &Paths) -> Option<WatchService> {
    let root = paths.etc.parent()?;
    // sd_booted(3).
    if !root.join(UNTIL_THE_BOOT).is_dir() {
        return None;
    }
    let folders = FOLDERS.map(|folder| root.join(folder));
    let mut units = folders.iter().map(|folder| folder.join(UNIT));
    let unit = units.find(|unit| fs::symlink_metadata(unit).is_ok())?;
    let is_null = |target: PathBuf| target == Path::new("/dev/null");
    Some(WatchService {
        is_enabled: folders
            .iter()
            .any(|folder| !folder.ends_with(UNTIL_THE_BOOT) && is_wanted(folder)),
        is_masked: fs::read_link(unit).is_ok_and(is_null),
        is_running: is_running(PROGRAM),
    })
}

/// Whether a target or unit of this folder wants or requires it.
fn is_wanted(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let is_list = path
            .extension()
            .is_some_and(|end| end == "wants" || end == "requires");
        is_list && fs::symlink_metadata(path.join(UNIT)).is_ok()
    })
}

/// Whether portero-watch runs on this host, whoever has started it.
#[must_use]
pub fn runs_watch() -> bool {
    is_running(PROGRAM)
}

/// Whether docker's daemon runs on this host.
#[must_use]
pub fn runs_docker() -> bool {
    is_running("dockerd")
}

/// Whether root runs a program in our network. Its mount namespace may be its own.
fn is_running(program: &str) -> bool {
    let network = |process: &Path| fs::read_link(process.join("ns/net")).ok();
    let ours = network(Path::new("/proc/self"));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|process| process.path()).any(|process| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == program)
            && fs::metadata(&process).is_ok_and(|of| of.uid() == 0)
            && network(&process) == ours
    })
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_say_whether_it_is_enabled_and_a_host_without_systemd_says_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        let make = |name: &str| fs::create_dir_all(at(name)).expect("a folder");
        let paths = Paths::below(root.path());
        make("usr/lib/systemd/system");
        fs::write(at("usr/lib/systemd/system/portero-watch.service"), "").expect("a unit");
        assert_eq!(watch_service(&paths), None, "no systemd");
        make("run/systemd/system");
        let is_enabled = || watch_service(&paths).map(|of| of.is_enabled);
        assert_eq!(is_enabled(), Some(false));
        let wants = "etc/systemd/system/multi-user.target.wants";
        make(wants);
        symlink(
            "/usr/lib/systemd/system/other.service",
            at(wants).join("other.service"),
        )
        .expect("a link");
        assert_eq!(is_enabled(), Some(false), "somebody else is");
        symlink(
            "/usr/lib/systemd/system/portero-watch.service",
            at(wants).join(UNIT),
        )
        .expect("a link");
        assert_eq!(is_enabled(), Some(true));
        let is_masked = || watch_service(&paths).map(|of| of.is_masked);
        assert_eq!(is_masked(), Some(false));
        symlink("/dev/null", at("etc/systemd/system/portero-watch.service")).expect("a link");
        assert_eq!(is_masked(), Some(true));
        // A systemd that knows nothing of portero.
        fs::remove_file(at("etc/systemd/system/portero-watch.service")).expect("no link");
        fs::remove_file(at("usr/lib/systemd/system/portero-watch.service")).expect("no unit");
        assert_eq!(watch_service(&paths), None);
    }
}
