//! A world of its own in another process, which measures whenever it is asked.

use crate::cost::Cost;
use crate::median::{medians, Side};
use crate::process::{counting, is_counting};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{self, Child, ChildStdin, ChildStdout, Stdio};
use std::str::FromStr;
use std::time::Duration;

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Starts and stops a guest beside others.
    Others {
        /// Whose rules they have.
        firewall: Firewall,
        /// How many.
        number: u32,
    },
    /// Runs a command where so many guests run.
    Command {
        /// Which.
        command: Command,
        /// How many.
        guests: u32,
    },
    /// Starts a guest beside what others do to nftables.
    Changes {
        /// What they do.
        activity: Activity,
    },
    /// Connects through forwards.
    Connections {
        /// Whose rules they are.
        firewall: Firewall,
        /// How many there are.
        forwards: u32,
    },
    /// Sends packets to a network with a policy.
    Packets {
        /// Whose rules they are.
        firewall: Firewall,
        /// How many there are.
        rules: u32,
    },
}

/// What others do to a firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Nothing.
    Quiet,
    /// They have much in it, and change it all the time.
    Busy,
}

/// A command of portero's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `portero sync`.
    Sync,
    /// `portero status`.
    Status,
}

impl Command {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Status => "status",
        }
    }
}

/// A firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// iptables.
    Iptables,
    /// nftables.
    Nftables,
}

impl fmt::Display for Firewall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Others { firewall, number } => write!(formatter, "others-{firewall}:{number}"),
            Self::Command { command, guests } => write!(formatter, "{}:{guests}", command.word()),
            Self::Changes { activity } => write!(formatter, "changes:{}", *activity as u32),
            Self::Connections { firewall, forwards } => write!(formatter, "{firewall}:{forwards}"),
            Self::Packets { firewall, rules } => write!(formatter, "policy-{firewall}:{rules}"),
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no worker's role");
        let (kind, number) = text.split_once(':').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        let connections = |firewall| Self::Connections {
            firewall,
            forwards: number,
        };
        let command = |command| Self::Command {
            command,
            guests: number,
        };
        let others = |firewall| Self::Others { firewall, number };
        let packets = |firewall| Self::Packets {
            firewall,
            rules: number,
        };
        match kind {
            "policy-iptables" => Ok(packets(Firewall::Iptables)),
            "policy-nftables" => Ok(packets(Firewall::Nftables)),
            "sync" => Ok(command(Command::Sync)),
            "status" => Ok(command(Command::Status)),
            "changes" if number == 0 => Ok(Self::Changes {
                activity: Activity::Quiet,
            }),
            "changes" => Ok(Self::Changes {
                activity: Activity::Busy,
            }),
            "others-iptables" => Ok(others(Firewall::Iptables)),
            "others-nftables" => Ok(others(Firewall::Nftables)),
            "iptables" => Ok(connections(Firewall::Iptables)),
            "nftables" => Ok(connections(Firewall::Nftables)),
            _ => Err(wrong()),
        }
    }
}

/// A worker, seen from outside.
pub struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    took: Duration,
}

impl Worker {
    /// Starts a worker and waits until its world stands.
    ///
    /// # Errors
    /// When it fails.
    pub fn spawn(programs: &Path, role: Role) -> io::Result<Self> {
        let mut child = process::Command::new("unshare")
            .args(["--mount", "--net", "--"])
            .arg(std::env::current_exe()?)
            .arg("--worker")
            .arg(role.to_string())
            .arg("--programs")
            .arg(programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::other("a worker has no pipes");
        let mut worker = Self {
            requests: child.stdin.take().ok_or_else(gone)?,
            answers: BufReader::new(child.stdout.take().ok_or_else(gone)?),
            child,
            took: Duration::ZERO,
        };
        worker.took = worker.answer()?.time;
        Ok(worker)
    }

    /// What its world took to make, as the worker itself says.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Lets it measure once.
    ///
    /// # Errors
    /// When it fails.
    pub fn turn(&mut self) -> io::Result<Cost> {
        let request = if is_counting() { COUNT } else { "" };
        writeln!(self.requests, "{request}")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Cost> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map(str::parse);
        let Some(Ok(nanoseconds)) = numbers.next() else {
            return Err(io::Error::other("a worker failed"));
        };
        Ok(Cost {
            time: Duration::from_nanos(nanoseconds),
            instructions: numbers.next().and_then(Result::ok),
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system's.
    pub fn end(self) -> io::Result<()> {
        let Self {
            mut child,
            requests,
            ..
        } = self;
        drop(requests);
        child.wait().map(drop)
    }
}

/// Lets workers take turns ([`medians`]), and ends them; gives the median of each.
///
/// # Errors
/// When one fails.
pub fn medians_of(runs: u32, mut workers: Vec<Worker>) -> io::Result<Vec<Cost>> {
    let sides = workers.iter_mut();
    let sides = sides.map(|worker| Box::new(|| worker.turn()) as Side<'_>);
    let times = medians(runs, sides.collect())?;
    workers.into_iter().try_for_each(Worker::end)?;
    Ok(times)
}

/// What a worker reads where it is to count.
const COUNT: &str = "count";

/// In the worker: measures once for each line it reads.
///
/// # Errors
/// Those of the measurement and of the pipes.
pub fn answer_each_request<C: Into<Cost>>(
    mut measure: impl FnMut() -> io::Result<C>,
) -> io::Result<()> {
    for line in io::stdin().lines() {
        let cost = match line?.as_str() {
            COUNT => counting(&mut measure),
            _ => measure(),
        };
        answer(cost?)?;
    }
    Ok(())
}

/// In the worker: a line with nanoseconds, and instructions where they were counted.
///
/// # Errors
/// Those of the pipe.
pub fn answer(cost: impl Into<Cost>) -> io::Result<()> {
    let cost = cost.into();
    let instructions = cost.instructions.map(|number| number.to_string());
    let mut stdout = io::stdout();
    let time = cost.time.as_nanos();
    writeln!(stdout, "{time} {}", instructions.unwrap_or_default())?;
    stdout.flush()
}
