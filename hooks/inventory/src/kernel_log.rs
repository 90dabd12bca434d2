//! What AppArmor has denied libvirt's daemons of our programs, as the kernel has logged it.

use portero_system::programs::read;
use portero_system::{Deadline, Paths};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much of the end of a log is read.
const END: u64 = 512 * 1024;

/// Longest time for the journal.
const JOURNAL: Duration = Duration::from_secs(3);

/// Logs that have the kernel's messages and nobody else's, below /var: what comes of a line is a command
/// for root.
const LOGS: [&str; 2] = ["log/kern.log", "log/audit/audit.log"];

/// Daemons whose profiles have their names.
const PROFILES: [&str; 3] = ["libvirtd", "virtqemud", "virtnetworkd"];

/// One thing that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The profile of AppArmor.
    pub profile: String,
    /// What was to be done: `exec`, `open`.
    pub operation: String,
    /// The program or file.
    pub name: String,
    /// When, if the line says.
    pub time: Option<SystemTime>,
}

/// What was denied libvirt's daemons of portero since the boot, each once.
#[must_use]
pub fn denials(paths: &Paths) -> Vec<Denial> {
    let var = paths.etc.with_file_name("var");
    let logs = LOGS.iter().flat_map(|log| read_end(&var.join(log)));
    let text: Vec<String> = read_journal().into_iter().chain(logs).collect();
    let lines = text.iter().flat_map(|text| text.lines());
    let mut denials: Vec<Denial> = Vec::new();
    for denial in lines.filter_map(read_line) {
        let is_same = |known: &&mut Denial| {
            (&known.profile, &known.operation, &known.name)
                == (&denial.profile, &denial.operation, &denial.name)
        };
        match denials.iter_mut().find(is_same) {
            Some(known) => known.time = known.time.max(denial.time),
            None => denials.push(denial),
        }
    }
    denials
}

fn read_journal() -> Option<String> {
    let words = ["-k", "-b", "-o", "cat", "-n", "2000", "--no-pager", "-q"];
    let listing = read("journalctl", &words, Deadline::after(JOURNAL)).ok()?;
    Some(String::from_utf8_lossy(&listing).into_owned())
}

fn read_end(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(END);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line about our programs and a profile of libvirt's: `apparmor="DENIED" operation="exec"
/// profile="libvirtd" name="/usr/bin/portero-qemu-hook" ...`.
fn read_line(line: &str) -> Option<Denial> {
    let value = |key: &str| {
        let (_, rest) = line.split_once(&format!(" {key}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let is_denied = line.contains("apparmor=\"DENIED\"");
    let (profile, name) = (value("profile")?, value("name")?);
    // A profile for what it starts is called `libvirtd//NAME`.
    let daemon = profile.split("//").next().unwrap_or_default();
    let is_libvirts = PROFILES.contains(&daemon);
    let comm = value("comm").unwrap_or_default();
    let is_ours = name.contains("portero") || comm.contains("portero");
    (is_denied && is_libvirts && is_ours).then(|| Denial {
        operation: value("operation").unwrap_or_default(),
        time: read_time(line),
        profile,
        name,
    })
}

/// The seconds in `audit(1700000000.123:45)`.
fn read_time(line: &str) -> Option<SystemTime> {
    let (_, rest) = line.split_once("audit(")?;
    let seconds: f64 = rest.split_once(':')?.0.parse().ok()?;
    Some(UNIX_EPOCH + Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    const LINE: &str = "Nov 26 12:00:00 host kernel: audit: type=1400 audit(1764158400.250:77): \
        apparmor=\"DENIED\" operation=\"exec\" class=\"file\" profile=\"libvirtd\" \
        name=\"/opt/portero/portero-qemu-hook\" pid=7 comm=\"rpc-libvirtd\" \
        requested_mask=\"x\" denied_mask=\"x\" fsuid=0 ouid=0";

    #[test]
    fn only_what_is_ours_and_denied_counts() {
        let denial = read_line(LINE).expect("a denial");
        assert_eq!(denial.name, "/opt/portero/portero-qemu-hook");
        assert_eq!(
            (denial.profile.as_str(), denial.operation.as_str()),
            ("libvirtd", "exec")
        );
        assert_eq!(
            denial.time,
            Some(UNIX_EPOCH + Duration::from_millis(1_764_158_400_250))
        );
        assert_eq!(read_line(&LINE.replace("DENIED", "ALLOWED")), None);
        assert_eq!(read_line(&LINE.replace("portero", "other")), None);
        assert_eq!(read_line(&LINE.replace("\"libvirtd\"", "\"cupsd\"")), None);
    }

    #[test]
    fn the_end_of_a_log_is_read_and_each_denial_told_once() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let log = root.path().join("var/log");
        std::fs::create_dir_all(&log).expect("a folder");
        let noise = "noise\n".repeat(200_000);
        std::fs::write(log.join("kern.log"), format!("{noise}{LINE}\n{LINE}\n")).expect("a log");
        let ours = |denial: &&Denial| denial.name.starts_with("/opt/portero");
        assert_eq!(denials(&paths).iter().filter(ours).count(), 1);
    }
}
