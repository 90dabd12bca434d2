//! What AppArmor and SELinux have denied libvirt's daemons of our programs, and those of anything, as the
//! kernel has logged it.

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
const LOGS: [&str; 3] = ["log/kern.log", AUDIT_LOG, "log/audit/audit.log.1"];

/// Where auditd writes; what it has just rotated is beside it.
const AUDIT_LOG: &str = "log/audit/audit.log";

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

impl Denial {
    /// The file of its profile in /etc/apparmor.d: one for each daemon.
    #[must_use]
    pub fn profile_file(&self) -> String {
        format!("usr.sbin.{}", daemon(&self.profile))
    }
}

/// The daemon whose profile it is; one for what that starts is called `libvirtd//NAME`.
fn daemon(profile: &str) -> &str {
    profile.split("//").next().unwrap_or_default()
}

/// One thing that SELinux has denied, `avc: denied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avc {
    /// The domain, `virtnetworkd_t`.
    pub source: String,
    /// What it was not to do, `execute`, in the order of the line.
    pub permissions: String,
    /// The class of what it was not to do it to, `file`.
    pub class: String,
    /// The type of that, `bin_t`.
    pub target: String,
    /// Its name, if the line says.
    pub name: Option<String>,
    /// When, if the line says.
    pub time: Option<SystemTime>,
}

/// What the kernel has logged since the boot, of which each log's end is read.
pub struct KernelLog {
    texts: Vec<String>,
    is_audit_log_unread: bool,
}

impl KernelLog {
    /// Reads the journal and the logs below /var that have the kernel's messages and nobody else's.
    #[must_use]
    pub fn read(paths: &Paths) -> Self {
        let var = paths.etc.with_file_name("var");
        let logs = LOGS.iter().flat_map(|log| read_end(&var.join(log)));
        let audit_log = var.join(AUDIT_LOG);
        Self {
            texts: read_journal().into_iter().chain(logs).collect(),
            is_audit_log_unread: audit_log.exists() && File::open(audit_log).is_err(),
        }
    }

    /// Whether denials may be unknown: nothing could be read, or not what auditd writes, which the journal lacks.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.is_audit_log_unread || self.texts.iter().all(String::is_empty)
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().flat_map(|text| text.lines())
    }

    /// What AppArmor has denied libvirt's daemons of portero, each once.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        let key = |one: &Denial| (one.profile.clone(), one.operation.clone(), one.name.clone());
        each_once(self.lines().filter_map(read_line), key, |one| &mut one.time)
    }

    /// What SELinux has denied portero, or of portero, each once.
    #[must_use]
    pub fn avcs(&self) -> Vec<Avc> {
        // Of processes there are many, and each has another folder.
        let name = |one: &Avc| one.name.clone().filter(|name| !name.starts_with("/proc/"));
        let key = |one: &Avc| Avc {
            time: None,
            name: name(one),
            ..one.clone()
        };
        each_once(self.lines().filter_map(avc), key, |one| &mut one.time)
    }
}

/// Those of the same key as one, of the last time.
fn each_once<T, K: PartialEq>(
    all: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
    time: impl Fn(&mut T) -> &mut Option<SystemTime>,
) -> Vec<T> {
    let mut each: Vec<T> = Vec::new();
    for mut one in all {
        match each.iter_mut().find(|known| key(known) == key(&one)) {
            Some(known) => {
                let latest = (*time(known)).max(*time(&mut one));
                *time(known) = latest;
            }
            None => each.push(one),
        }
    }
    each
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
    let is_libvirts = PROFILES.contains(&daemon(&profile));
    let comm = value("comm").unwrap_or_default();
    let is_ours = name.contains("portero") || comm.contains("portero");
    (is_denied && is_libvirts && is_ours).then(|| Denial {
        operation: value("operation").unwrap_or_default(),
        time: read_time(line),
        profile,
        name,
    })
}

/// A line about our domains or programs: `avc:  denied  { execute } for  pid=7 comm="rpc-libvirtd"
/// name="portero-qemu-hook" scontext=system_u:system_r:virtnetworkd_t:s0 tcontext=... tclass=file permissive=0`.
/// What is logged and permitted, as a domain is permissive, is none.
fn avc(line: &str) -> Option<Avc> {
    let (_, rest) = line.split_once("avc:")?;
    let (permissions, rest) = rest.trim_start().strip_prefix("denied")?.split_once('}')?;
    let permissions = permissions
        .trim_start()
        .strip_prefix('{')?
        .trim()
        .to_owned();
    // Each word is a key and its value, which is quoted where anybody else has chosen it.
    let value = |key: &str| {
        let (_, value) = rest.split_once(&format!(" {key}="))?;
        let mut values = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"'),
            None => value.split(' '),
        };
        values.next().map(str::to_owned)
    };
    let of_context = |key: &str| Some(value(key)?.split(':').nth(2)?.to_owned());
    let (source, target) = (of_context("scontext")?, of_context("tcontext")?);
    let name = value("path").or_else(|| value("name"));
    let is_domain = |one: &str| one.starts_with("portero_");
    // Not every path with that word in it: somebody may be called so. A hook runs under the name of its link.
    let is_program = |one: Option<&String>| {
        let file = one.and_then(|one| Path::new(one).file_name());
        let name = file.unwrap_or_default().to_string_lossy();
        name.starts_with("portero") || name == "50-portero"
    };
    let is_ours = is_domain(&source)
        || is_domain(&target)
        || is_program(name.as_ref())
        || is_program(value("comm").as_ref());
    let is_denied = value("permissive").is_none_or(|permissive| permissive.trim() != "1");
    (is_ours && is_denied).then(|| Avc {
        class: value("tclass").unwrap_or_default().trim().to_owned(),
        time: read_time(line),
        source,
        permissions,
        target,
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
        let denials = KernelLog::read(&paths).denials();
        assert_eq!(denials.iter().filter(ours).count(), 1);
    }

    const AVC: &str = "type=AVC msg=audit(1764158400.250:77): avc:  denied  { execute } for  pid=7 \
        comm=\"rpc-virtnetwork\" name=\"portero-network-hook\" dev=\"dm-0\" ino=12 \
        scontext=system_u:system_r:virtnetworkd_t:s0 tcontext=system_u:object_r:bin_t:s0 tclass=file permissive=0";

    #[test]
    fn what_selinux_denies_counts_where_it_is_of_our_domains_or_programs() {
        let denied = avc(AVC).expect("a denial");
        let read = [
            &denied.source,
            &denied.permissions,
            &denied.class,
            &denied.target,
        ];
        assert_eq!(read, ["virtnetworkd_t", "execute", "file", "bin_t"]);
        assert_eq!(denied.name.as_deref(), Some("portero-network-hook"));
        let at = UNIX_EPOCH + Duration::from_millis(1_764_158_400_250);
        assert_eq!(denied.time, Some(at));
        let others = AVC.replace("portero-network-hook", "other");
        assert_eq!(avc(&others), None);
        let ours = others.replace("virtnetworkd_t", "portero_hook_t");
        assert_eq!(
            avc(&ours).map(|avc| avc.source),
            Some("portero_hook_t".to_owned())
        );
        assert!(avc(&others.replace("bin_t", "portero_var_run_t")).is_some());
        assert!(avc(&others.replace("rpc-virtnetwork", "portero-watch")).is_some());
        assert!(avc(&others.replace("rpc-virtnetwork", "50-portero")).is_some());
        assert_eq!(
            avc(&others.replace("name=\"other", "path=\"/home/portero/x")),
            None
        );
        // Logged, and permitted.
        assert_eq!(avc(&AVC.replace("permissive=0", "permissive=1")), None);
        assert_eq!(avc(&AVC.replace("denied", "granted")), None);
        assert_eq!(avc(LINE), None);
        assert_eq!(avc("avc: denied { execute"), None);
    }

    #[test]
    fn of_the_audit_log_the_end_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let log = root.path().join("var/log/audit");
        std::fs::create_dir_all(&log).expect("a folder");
        let ours = |avc: &&Avc| avc.name.as_deref() == Some("portero-of-a-test");
        let line = AVC.replace("portero-network-hook", "portero-of-a-test");
        let found = |text: String| {
            std::fs::write(log.join("audit.log"), text).expect("a log");
            KernelLog::read(&paths).avcs().iter().filter(ours).count()
        };
        let noise = "noise\n".repeat(200_000);
        assert_eq!(found(format!("{noise}{line}\n{line}\n")), 1);
        assert_eq!(found(format!("{line}\n{noise}")), 0, "long ago");
        std::fs::rename(log.join("audit.log"), log.join("audit.log.1")).expect("a log");
        let old = std::fs::write(log.join("audit.log.1"), &line);
        old.expect("a log");
        assert_eq!(found(String::new()), 1, "just rotated");
    }
}
