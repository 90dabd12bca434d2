//! `portero report`: everything that whoever looks at a bug asks for, in one file.

mod anonymous;

use crate::args::ReportArgs;
use crate::engine::with_engine;
use crate::status::{rows, ForwardState};
use crate::terminal::{log_sink, warning};
use anonymous::{Kind, Pseudonyms};
use portero_inventory::Snapshot;
use portero_model::{Claim, OwnerKind};
use portero_system::{files, object_names, programs, Deadline, Linux, Paths, SystemError};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longest time for one part, and for all.
const PART: Duration = Duration::from_secs(20);
const ALL: Duration = Duration::from_secs(120);

/// Most that is kept of one part, in bytes.
const SIZE: usize = 256 * 1024;

/// How many ports that do not work are explained.
const EXPLAINED: usize = 5;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What a part of it is.
enum Part {
    /// What `portero` itself says.
    Own(&'static [&'static str]),
    /// What a program says.
    Program(&'static str, &'static [&'static str]),
    /// What is in a file.
    File(&'static str),
    /// What is in the files of a folder.
    Folder(&'static str),
}

use Part::{File, Folder, Own, Program};

const JOURNAL: &[&str] = &[
    "-t",
    "portero",
    "-n",
    "500",
    "--no-pager",
    "--no-hostname",
    "-o",
    "short-iso",
];
const UNITS: &[&str] = &[
    "status",
    "--no-pager",
    "--lines=0",
    "portero-watch",
    "libvirtd",
    "virtqemud",
    "virtnetworkd",
    "virtlxcd",
    "firewalld",
    "nftables",
    "docker",
    "ufw",
];

const PARTS: [(&str, Part); 32] = [
    ("Versions", Own(&["--version"])),
    ("Versions", Program("uname", &["-srmv"])),
    ("Versions", File("/etc/os-release")),
    ("Versions", Program("virsh", &["-r", "version"])),
    ("Versions", Program("iptables", &["--version"])),
    ("Versions", Program("nft", &["--version"])),
    ("What portero finds", Own(&["doctor"])),
    ("What portero finds", Own(&["status"])),
    ("What portero finds", Own(&["forward", "list"])),
    ("What portero finds", Own(&["plan"])),
    ("What portero finds", Own(&["map"])),
    ("What portero finds", Own(&["policy", "show"])),
    ("What portero finds", Own(&["bridge", "status"])),
    ("Configuration", File("/etc/portero/portero.toml")),
    ("Configuration", Folder("/etc/portero/domains")),
    ("Configuration", Folder("/etc/portero/networks")),
    ("Configuration", Folder("/etc/portero/groups")),
    ("Configuration", Folder("/etc/libvirt/qemu/networks")),
    ("Configuration", File("/etc/libvirt/network.conf")),
    (
        "Configuration",
        Program("ls", &["-lR", "/etc/libvirt/hooks"]),
    ),
    ("Configuration", Program("ls", &["-lR", "/run/portero"])),
    ("Units", Program("systemctl", UNITS)),
    (
        "Units",
        Program("systemctl", &["is-enabled", "portero-watch"]),
    ),
    ("Network", Program("ip", &["address"])),
    ("Network", Program("ip", &["rule"])),
    ("Network", Program("ip", &["route", "show", "table", "all"])),
    ("Network", Program("bridge", &["link"])),
    ("Rules", Program("nft", &["list", "ruleset"])),
    ("Rules", Program("iptables-save", &["-c"])),
    ("Rules", Program("ip6tables-save", &["-c"])),
    ("Log", Program("journalctl", JOURNAL)),
    (
        "Log",
        Program(
            "journalctl",
            &[
                "-k",
                "-n",
                "100",
                "--no-pager",
                "--no-hostname",
                "--grep",
                "apparmor|avc:",
            ],
        ),
    ),
];

/// Writes the report; gives what to print.
///
/// # Errors
/// [`ReportError`].
pub(crate) fn run(args: &ReportArgs) -> Result<String, ReportError> {
    let text = match args.anonymous {
        true => pseudonyms().apply(&gather()),
        false => gather(),
    };
    let path = match &args.output {
        Some(path) if path.as_os_str() == "-" => return Ok(text),
        Some(path) => path.clone(),
        None => PathBuf::from(format!("portero-report-{}.txt", seconds())),
    };
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| ReportError::Write {
        path: path.clone(),
        source,
    })?;
    if !args.anonymous {
        warning("the report has the host's addresses, names and rules; --anonymous gives them pseudonyms");
    }
    let shown = path.display();
    Ok(format!(
        "{shown} is written, {} KiB. Read it before you send it.\n",
        text.len() / 1024
    ))
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn gather() -> String {
    let deadline = Deadline::after(ALL);
    let mut report = Report {
        text: "portero report\n".to_owned(),
        section: "",
        missing: Vec::new(),
        deadline,
    };
    for (section, part) in &PARTS {
        report.begin(section);
        report.part(part);
        if *section == "What portero finds" && matches!(part, Own(&["status"])) {
            report.explain();
        }
    }
    report.begin("What this report lacks");
    let missing = match report.missing.is_empty() {
        true => "nothing\n".to_owned(),
        false => report
            .missing
            .iter()
            .map(|one| format!("{one}\n"))
            .collect(),
    };
    report.text += &missing;
    report.text
}

/// The names of this host.
fn pseudonyms() -> Pseudonyms {
    let paths = Paths::default();
    let of = |kind, owner| {
        let names = object_names(&paths, owner).into_iter();
        names.map(move |name| (kind, name.as_str().to_owned()))
    };
    let guests = of(Kind::Guest, OwnerKind::Domain);
    let networks = of(Kind::Network, OwnerKind::Network);
    let host = Linux::name();
    let short = host.split('.').next().unwrap_or_default().to_owned();
    let hosts = [(Kind::Host, host), (Kind::Host, short)];
    Pseudonyms::new(hosts.into_iter().chain(guests).chain(networks))
}

/// A report under way.
struct Report {
    text: String,
    section: &'static str,
    /// What could not be had, and why.
    missing: Vec<String>,
    deadline: Deadline,
}

impl Report {
    fn begin(&mut self, section: &'static str) {
        if self.section != section {
            self.section = section;
            let _ = write!(self.text, "\n\n==== {section} ====\n");
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Own(words) => self.own(words),
            Program(name, words) => {
                let title = format!("{name} {}", words.join(" "));
                match programs::find_program(name) {
                    Ok(path) => self.tell(&title, &path, words),
                    Err(error) => self.lacks(&title, &error),
                }
            }
            File(path) => self.file(path.as_ref()),
            Folder(path) => {
                let folder = Path::new(path);
                match files::names(folder, ".xml") {
                    Ok(names) => names.iter().for_each(|name| self.file(&folder.join(name))),
                    Err(error) => self.lacks(path, &error),
                }
            }
        }
    }

    /// What this program says when it is called again: one that fails or hangs takes nothing else with it.
    fn own(&mut self, words: &[&str]) {
        let title = format!("portero {}", words.join(" "));
        match std::env::current_exe() {
            Ok(path) => self.tell(&title, &path, words),
            Err(error) => self.lacks(&title, &error),
        }
    }

    fn title(&mut self, title: &str) {
        let _ = write!(self.text, "\n---- {title}\n");
    }

    fn lacks(&mut self, title: &str, why: &dyn std::fmt::Display) {
        self.missing.push(format!("{title}: {why}"));
    }

    fn tell(&mut self, title: &str, program: &Path, words: &[&str]) {
        let deadline = self.deadline.within(PART);
        if deadline.left().is_zero() {
            let seconds = ALL.as_secs();
            return self.lacks(title, &format!("not asked, the report took {seconds} s"));
        }
        match programs::tell(program, words, SIZE, deadline) {
            Ok(output) => self.output(title, &output),
            Err(SystemError::Hung { seconds, .. }) => {
                self.lacks(title, &format!("did not end within {seconds} s"));
            }
            Err(error) => self.lacks(title, &error),
        }
    }

    fn output(&mut self, title: &str, output: &[u8]) {
        self.title(title);
        let text = String::from_utf8_lossy(output);
        let shown = |one: char| !one.is_control() || one == '\n' || one == '\t';
        self.text.extend(text.chars().filter(|one| shown(*one)));
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        if output.len() >= SIZE {
            let _ = writeln!(self.text, "... cut at {} KiB", SIZE / 1024);
        }
    }

    fn file(&mut self, path: &Path) {
        let title = path.display().to_string();
        match files::read(path) {
            Ok(Some(content)) => self.output(&title, &content[..content.len().min(SIZE)]),
            Ok(None) => self.lacks(&title, &"is not there"),
            Err(error) => self.lacks(&title, &error),
        }
    }

    /// Why those do not work that do not.
    fn explain(&mut self) {
        let known = with_engine(log_sink(), |engine| Snapshot::take(engine)?.owners());
        let owners = match known {
            Ok(owners) => owners,
            Err(error) => return self.lacks("portero explain", &error),
        };
        let broken = rows(&owners).into_iter();
        let broken = broken.filter(|row| row.state != ForwardState::Active);
        let mut specs: Vec<String> = broken.map(|row| first_port(&row.claim)).collect();
        specs.dedup();
        for spec in specs.iter().take(EXPLAINED) {
            self.own(&["explain", spec]);
        }
        if specs.len() > EXPLAINED {
            let more = specs.len() - EXPLAINED;
            self.lacks(
                "portero explain",
                &format!("{more} more ports that wait or are missing"),
            );
        }
    }
}

/// The first port of a forward, as `explain` takes it.
fn first_port(claim: &Claim) -> String {
    let port = claim.ports.start();
    let address = claim
        .address
        .map_or(String::new(), |address| match address {
            std::net::IpAddr::V4(address) => format!("{address}:"),
            std::net::IpAddr::V6(address) => format!("[{address}]:"),
        });
    format!("{address}{port}/{}", claim.protocol)
}
