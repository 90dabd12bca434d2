//! On a terminal: counts down until somebody keeps a bridge, or lets it go.

use nix::poll::{poll, PollFd, PollFlags};
use nix::sys::termios::{tcflush, FlushArg};
use portero_bridge::{made_bridges, Bridges, ChangeError, MadeBridge, Stage};
use portero_libvirt::InterfaceName;
use portero_system::Paths;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// How often the countdown is written, in milliseconds.
const TICK: u16 = 500;

/// To the beginning of this line, with nothing in it.
const AGAIN: &str = "\r\u{1b}[K";

/// What became of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It stays.
    Kept,
    /// Somebody did not want it.
    RolledBack,
    /// Nobody decided, or its guard did: it is rolled back.
    Over,
}

/// Asks on the terminal until somebody decides, or until the time is over.
///
/// # Errors
/// [`ChangeError`] when it cannot be kept or rolled back.
pub(super) fn ask(
    paths: &Paths,
    bridges: &mut Bridges<'_>,
    name: &InterfaceName,
) -> Result<Decision, ChangeError> {
    let find = || -> Result<Option<MadeBridge>, ChangeError> {
        let made = made_bridges(paths)?;
        Ok(made.into_iter().find(|one| one.name == *name))
    };
    // What was typed before it could be seen how the host does is no answer.
    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
    while let Some(bridge) = find()? {
        let Stage::Waiting(left) = bridge.stage else {
            if bridge.stage == Stage::Confirmed {
                eprintln!();
                return Ok(Decision::Kept);
            }
            // Its guard is at work.
            std::thread::sleep(Duration::from_millis(TICK.into()));
            continue;
        };
        eprint!(
            "{AGAIN}Press ENTER to keep {name} ({} s); anything else rolls back: ",
            left.as_secs()
        );
        let _ = io::stderr().flush();
        let stdin = io::stdin();
        let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut polled, TICK), Ok(1..)) {
            continue;
        }
        let mut line = String::new();
        return match stdin.read_line(&mut line) {
            Ok(1..) if line.trim().is_empty() => {
                bridges.confirm(name)?;
                Ok(Decision::Kept)
            }
            _ => {
                bridges.rollback(name)?;
                Ok(Decision::RolledBack)
            }
        };
    }
    eprintln!();
    Ok(Decision::Over)
}
