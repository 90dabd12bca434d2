//! One process: spawned, fed from a file, waited for, timed.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where every process finds its programs; the rest of the environment is empty, as under libvirt.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

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

    /// Runs it; what it says is told only when it fails. Gives the time from spawn to wait.
    ///
    /// # Errors
    /// The system's, or one with what the program said when it ended with another status than 0.
    pub fn run(&self) -> io::Result<Duration> {
        let stdin = File::open(&self.stdin)?;
        let said = Path::new(crate::world::FOLDER).join("stderr");
        let mut command = Command::new(&self.program);
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
            return Ok(time);
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

    fn failed(&self, reason: &str) -> io::Error {
        let arguments = self.arguments.join(" ".as_ref());
        io::Error::other(format!(
            "{} {}: {reason}",
            self.program.display(),
            arguments.to_string_lossy()
        ))
    }
}

/// Runs processes one after the other and adds up their times.
///
/// # Errors
/// Those of the first that fails.
pub fn run_all<'a>(processes: impl IntoIterator<Item = &'a Process>) -> io::Result<Duration> {
    processes.into_iter().map(Process::run).sum()
}
