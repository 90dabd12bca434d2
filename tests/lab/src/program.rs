//! Runs programs: to their end, with a limit, or until they are no longer needed.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time any command of the lab may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Whether it exited 0 in time.
    pub ok: bool,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

/// A program that ends with the value.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it listens: nothing is left there.
    socket: Option<PathBuf>,
}

impl Program {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(program).args(arguments))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has had of a processor until now.
    ///
    /// # Panics
    /// When the kernel does not tell.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()));
        let stat = stat.expect("a process");
        // Behind its name, which may have spaces, stand the state and more; proc_pid_stat(5).
        let (_, rest) = stat.rsplit_once(") ").expect("a state");
        let words: Vec<&str> = rest.split(' ').collect();
        let ticks = |index: usize| -> u64 { words[index].parse().expect("a number") };
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }

    /// The same, which listens at a socket that goes with it.
    pub(crate) fn with_socket(mut self, path: &str) -> Self {
        self.socket = Some(path.into());
        self
    }

    /// The same of a command that has more to it than words.
    ///
    /// # Panics
    /// When the program is not there.
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::null()).spawn();
        Self {
            child: child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")),
            socket: None,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.socket.take().map(fs::remove_file);
    }
}

/// Runs a command to its end, or to the limit.
pub(crate) fn run_bounded(command: &mut Command) -> Ran {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = std::thread::spawn(move || read_all(stdout));
    let stderr = std::thread::spawn(move || read_all(stderr));
    let end = Instant::now() + COMMAND_LIMIT;
    let ok = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status.success();
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            break false;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ran {
        ok,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    }
}

fn read_all(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
