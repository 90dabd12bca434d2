//! One process: spawned, fed from a file, waited for, timed.

use crate::cost::Cost;
use crate::world::FOLDER;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where every process finds its programs; the rest of the environment is empty, as under libvirt.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What counts instructions, of the tree.
const COUNTER: &str = "/usr/bin/valgrind";

/// How its reports begin, one of each process.
const REPORT: &str = "instructions.";

/// Whether processes are counted.
static COUNTS: AtomicBool = AtomicBool::new(false);

/// Does something while the instructions of each process are counted, which makes it many times slower.
pub fn counting<T>(work: impl FnOnce() -> T) -> T {
    COUNTS.store(true, Ordering::Relaxed);
    let done = work();
    COUNTS.store(false, Ordering::Relaxed);
    done
}

/// Whether instructions are being counted, and can be.
pub fn is_counting() -> bool {
    COUNTS.load(Ordering::Relaxed) && Path::new(COUNTER).exists()
}

/// A program with its arguments and what it reads.
#[derive(Debug, Clone)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<OsString>,
    stdin: PathBuf,
}

impl Process {
    /// A program that reads nothing.
    pub fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            stdin: PathBuf::from("/dev/null"),
        }
    }

    /// The program with the file that it reads.
    #[must_use]
    pub fn reading(mut self, file: &Path) -> Self {
        self.stdin = file.to_owned();
        self
    }

    /// Runs it; what it says is told only when it fails. Gives the time from spawn to wait, and instructions where they are
    /// counted ([`counting`]), those of the programs that it starts too.
    ///
    /// # Errors
    /// The system's, or one with what the program said when it ended with another status than 0.
    pub fn run(&self) -> io::Result<Cost> {
        let stdin = File::open(&self.stdin)?;
        let said = Path::new(FOLDER).join("stderr");
        let is_counting = is_counting();
        let mut command = match is_counting {
            true => self.counted(),
            false => Command::new(&self.program),
        };
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(File::create(&said)?);
        let begin = Instant::now();
        let status = command.spawn().and_then(|mut child| child.wait());
        let time = begin.elapsed();
        let status = status.map_err(|error| self.failed(&error.to_string()))?;
        if status.success() {
            let instructions = is_counting.then(counted).transpose()?;
            return Ok(Cost { time, instructions });
        }
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        Err(self.failed(&format!("{status}: {}", said.trim())))
    }

    /// Runs it and gives what it printed; the status is the caller's to judge by that.
    ///
    /// # Errors
    /// The system's.
    pub fn output(&self) -> io::Result<String> {
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .stdin(File::open(&self.stdin)?)
            .output()
            .map_err(|error| self.failed(&error.to_string()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The program that counts it, up to its own arguments.
    fn counted(&self) -> Command {
        let mut command = Command::new(COUNTER);
        command
            .args(["--tool=callgrind", "--trace-children=yes"])
            .arg("--callgrind-out-file=/dev/null")
            .arg(format!("--log-file={FOLDER}/{REPORT}%p"))
            .arg(&self.program);
        command
    }

    fn failed(&self, reason: &str) -> io::Error {
        let arguments = self.arguments.join(" ".as_ref());
        io::Error::other(format!(
            "{} {}: {reason}",
            self.program.display(),
            arguments.to_string_lossy()
        ))
    }
}

/// The sum of all reports, which are removed.
fn counted() -> io::Result<u64> {
    let mut all = 0;
    for entry in std::fs::read_dir(FOLDER)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(REPORT) {
            continue;
        }
        let report = std::fs::read_to_string(entry.path())?;
        let numbers = report.lines().filter_map(|line| {
            let (_, number) = line.split_once("Collected : ")?;
            number.trim().parse::<u64>().ok()
        });
        // A process that has become another program reports both.
        all += numbers.sum::<u64>();
        std::fs::remove_file(entry.path())?;
    }
    Ok(all)
}

/// Runs processes one after the other and adds up what they cost.
///
/// # Errors
/// Those of the first that fails.
pub fn run_all<'a>(processes: impl IntoIterator<Item = &'a Process>) -> io::Result<Cost> {
    processes.into_iter().map(Process::run).sum()
}
