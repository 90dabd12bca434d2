//! `portero status --watch`: a status again and again, until somebody has seen enough.

use super::form::Form;
use super::text;
use super::value::HostStatus;
use crate::named::NamedError;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use terminal_size::{terminal_size_of, Height};

/// How long a status stands before the next, in milliseconds.
const INTERVAL: u16 = 2000;

/// To the first column of the first line.
const HOME: &str = "\u{1b}[H";
/// Nothing behind here in this line.
const REST_OF_LINE: &str = "\u{1b}[K";
/// Nothing behind here on this terminal.
const REST: &str = "\u{1b}[J";

/// Why it ended, if nobody wanted it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusWatchError {
    /// Nothing is known any more.
    #[error(transparent)]
    Status(#[from] NamedError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {source}")]
    Signals {
        /// Why.
        #[from]
        source: nix::Error,
    },
    /// What there is cannot be said.
    #[error("cannot write: {source}")]
    Write {
        /// Why.
        source: io::Error,
    },
}

/// Says on stdout what is gathered: tables on a terminal every two seconds in the same place, all else when it has changed.
/// Ends with Ctrl-C, SIGTERM, or when nobody reads any more.
pub(super) fn run(
    form: Form,
    mut gather: impl FnMut() -> Result<HostStatus, NamedError>,
) -> Result<(), StatusWatchError> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGINT);
    ends.add(Signal::SIGTERM);
    ends.thread_block()?;
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC)?;
    let is_drawn = matches!(form, Form::Tables(_)) && io::stdout().is_terminal();
    let mut said = String::new();
    loop {
        let status = match gather() {
            Ok(status) => status,
            // Ctrl-C ends the programs that were asked, too.
            Err(_) if has_ended(&signals, PollTimeout::ZERO)? => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = say(&status, form);
        let written = if is_drawn {
            let rows = terminal_size_of(io::stdout()).map(|(_, Height(rows))| usize::from(rows));
            write(&redrawn(&now, rows))
        } else {
            write(&news(&said, &now, form))
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(source) => return Err(StatusWatchError::Write { source }),
            Ok(()) => said = now,
        }
        if has_ended(&signals, PollTimeout::from(INTERVAL))? {
            return Ok(());
        }
    }
}

fn say(status: &HostStatus, form: Form) -> String {
    match form {
        Form::Tables(colors) => text::draw(status, colors),
        // One line each, so that it is known where one ends.
        Form::Json => serde_json::to_string(status).unwrap_or_default() + "\n",
    }
}

/// What takes the place of the last status on a terminal of so many rows.
pub(super) fn redrawn(now: &str, rows: Option<usize>) -> String {
    let lines: Vec<&str> = now.lines().collect();
    // The last row is the cursor's.
    let room = rows.map_or(lines.len(), |rows| rows.saturating_sub(1));
    let (mut kept, mut left) = (lines.len(), String::new());
    if kept > room {
        kept = room.saturating_sub(1);
        left = format!("... and {} more lines", lines.len() - kept);
    }
    let lines = lines[..kept].iter();
    let lines: String = lines
        .map(|line| format!("{line}{REST_OF_LINE}\n"))
        .collect();
    format!("{HOME}{lines}{left}{REST}")
}

/// What is written where nothing can be drawn anew: nothing unless there is news.
pub(super) fn news(said: &str, now: &str, form: Form) -> String {
    match form {
        _ if said == now => String::new(),
        Form::Tables(_) if !said.is_empty() => format!("\n{now}"),
        _ => now.to_owned(),
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Waits until it is time for the next status; says whether there shall be none.
fn has_ended(signals: &SignalFd, time: PollTimeout) -> Result<bool, nix::Error> {
    let stdout = io::stdout();
    // Of a pipe it is told when nobody reads it any more.
    let mut asked = [
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        PollFd::new(stdout.as_fd(), PollFlags::empty()),
    ];
    poll(&mut asked, time)?;
    Ok(asked.iter().any(|one| one.any() == Some(true)))
}
