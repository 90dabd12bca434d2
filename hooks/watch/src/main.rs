//! `portero-watch`, a service: whenever the firewall or a lease has changed, compares the rules
//! with what is wanted and mends what differs.

mod error;
mod firewalld;
mod folder;
mod leases;
mod pace;
mod ruleset;

use error::WatchError;
use firewalld::Firewalld;
use leases::Leases;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use pace::{Pace, Step};
use portero_apply::{clean_environment, Engine, Host, Log, LogSink, Paths, Severity};
use ruleset::Ruleset;
use sd_notify::NotifyState;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::Instant;

/// Where systemd wants to be told that the service is up, sd_notify(3).
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

fn main() -> ExitCode {
    let socket = std::env::var_os(NOTIFY_SOCKET);
    clean_environment();
    if let Some(socket) = socket {
        std::env::set_var(NOTIFY_SOCKET, socket);
    }
    let mut log = Log::new(LogSink::Syslog {
        program: "portero-watch".to_owned(),
    });
    match watch(&mut log) {
        Ok(never) => match never {},
        Err(error) => {
            log.refuse(error);
            ExitCode::FAILURE
        }
    }
}

/// Listens before the first comparison, so that nothing can happen unseen in between.
fn watch(log: &mut Log) -> Result<std::convert::Infallible, WatchError> {
    let paths = Paths::default();
    let ruleset = Ruleset::listen()?;
    let mut leases = Leases::watch(&paths.leases)?;
    let firewalld = Firewalld::listen()?;
    let mut pace = Pace::default();
    let mut last_failure = None;
    pace.event(Instant::now());
    loop {
        match pace.next(Instant::now()) {
            Step::Wait(limit) => {
                let timeout = limit.map_or(PollTimeout::NONE, |limit| {
                    // A moment later rather than a moment before it is due.
                    PollTimeout::try_from(limit + std::time::Duration::from_millis(1))
                        .unwrap_or(PollTimeout::MAX)
                });
                wait(
                    &[ruleset.as_fd(), leases.as_fd(), firewalld.as_fd()],
                    timeout,
                )?;
                let is_news = ruleset.drain()? | leases.drain()? | firewalld.drain();
                if is_news {
                    pace.event(Instant::now());
                }
            }
            Step::Sync => {
                let begin = Instant::now();
                let synced = Engine::new(paths.clone(), &mut Host, log).sync();
                let failure = synced.err().map(|error| error.to_string());
                if let Some(message) = failure.as_ref().filter(|_| failure != last_failure) {
                    log.write(Severity::Error, message);
                }
                last_failure = failure;
                pace.synced(begin, Instant::now());
                // Nobody listens when systemd did not start us.
                let _ = sd_notify::notify(false, &[NotifyState::Ready]);
            }
        }
    }
}

fn wait(sources: &[BorrowedFd<'_>], timeout: PollTimeout) -> Result<(), WatchError> {
    let mut descriptors: Vec<PollFd<'_>> = sources
        .iter()
        .map(|source| PollFd::new(*source, PollFlags::POLLIN))
        .collect();
    match poll(&mut descriptors, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(WatchError::Wait {
            source: errno.into(),
        }),
    }
}
