//! Measurement 3: start and stop of one guest beside many others.
//!
//! Each number of others is a world of its own, a worker process in namespaces of its own, so that
//! all of them stand at once and take turns.

use crate::hooks::{Hooks, Life};
use crate::median::{medians, Side};
use crate::process::Process;
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use crate::world;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How many forwards each guest has.
const FORWARDS: u32 = 10;

/// At most this many times what it takes beside the fewest others.
const LIMIT: Limit = Limit {
    ratio: Some(2.0),
    time: None,
};

/// Measures beside each of these numbers of others; all but the last are only told.
///
/// # Errors
/// Those of the workers and their processes.
pub fn measure(programs: &Path, others: &[u32], runs: u32) -> io::Result<Vec<Row>> {
    let mut workers: Vec<Worker> = others
        .iter()
        .map(|others| Worker::spawn(programs, *others))
        .collect::<io::Result<_>>()?;
    let sides: Vec<Side<'_>> = workers
        .iter_mut()
        .map(|worker| Box::new(|| worker.turn()) as Side<'_>)
        .collect();
    let times = medians(runs, sides)?;
    for worker in workers {
        worker.end()?;
    }
    let rows = others.iter().zip(&times).enumerate();
    Ok(rows
        .map(|(index, (number, time))| {
            let limit = if index > 0 && index + 1 == others.len() {
                LIMIT
            } else {
                Limit::default()
            };
            let what = format!("start + stop beside {number} guests / beside {}", others[0]);
            Row::times(what, *time, times[0], limit)
        })
        .collect())
}

/// A world with others, seen from outside.
struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Makes the world and waits until all others run in it.
    fn spawn(programs: &Path, others: u32) -> io::Result<Self> {
        let mut child = Command::new("unshare")
            .args(["--mount", "--net", "--"])
            .arg(std::env::current_exe()?)
            .arg("--worker")
            .arg(others.to_string())
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
        };
        let time = worker.answer()?;
        eprintln!("{others} other guests installed in {time:.1?}");
        Ok(worker)
    }

    /// Lets it measure once.
    fn turn(&mut self) -> io::Result<Duration> {
        self.requests.write_all(b"\n")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Duration> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let nanoseconds = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other("a worker failed"))?;
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn end(self) -> io::Result<()> {
        let Self {
            mut child,
            requests,
            ..
        } = self;
        drop(requests);
        child.wait().map(drop)
    }
}

/// The worker: installs the others, then measures once for each line it reads. Every answer is a
/// line with nanoseconds, the first what the others took.
///
/// # Errors
/// Those of the processes.
pub fn work(hooks: &Hooks, others: u32) -> io::Result<()> {
    world::set_up()?;
    let guests: Vec<Guest> = (0..=others).map(numbered).collect();
    hooks.network_started(&guests)?.run()?;
    let begin = std::time::Instant::now();
    for guest in &guests[1..] {
        // Their port-created tells nothing that the network's own event has not.
        let life = hooks.life(guest, &[])?;
        life.prepare.run()?;
        life.start.run()?;
    }
    answer(begin.elapsed())?;
    let life = hooks.life(&guests[0], &guests)?;
    life.gain_trust()?;
    check_installed(others + 1, &life)?;
    for line in io::stdin().lines() {
        line?;
        let time = life.begin()? + life.end()?;
        answer(time)?;
    }
    Ok(())
}

fn numbered(number: u32) -> Guest {
    Guest {
        number,
        first_port: 10_000 + number * FORWARDS,
        forwards: FORWARDS,
    }
}

/// The measurement means something only when all the others' rules are there.
fn check_installed(guests: u32, life: &Life) -> io::Result<()> {
    life.begin()?;
    let saved = Process::new("iptables-save", ["-t", "nat"]).output()?;
    life.end()?;
    let found = saved.matches("-j DNAT").count();
    if found == (guests * FORWARDS) as usize {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{found} forwards are in the firewall, expected {FORWARDS} for each of {guests} guests"
    )))
}

fn answer(time: Duration) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", time.as_nanos())?;
    stdout.flush()
}
