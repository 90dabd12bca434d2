//! `portero-watch`, a service: whenever the firewall or a lease has changed, compares the rules
//! with what is wanted and mends what differs. Guests' new interfaces are guarded at once.

mod args;
mod bus;
mod error;
mod firewalld;
mod folder;
mod kernel;
mod leases;
mod news;
mod notify;
mod pace;

use args::Args;
use clap::Parser;
use error::WatchError;
use firewalld::Firewalld;
use kernel::Announcements;
use leases::Leases;
use news::News;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use notify::{Readiness, NOTIFY_SOCKET};
use pace::{Pace, Step};
use portero_apply::{
    clean_environment, ApplyError, Engine, Host, Log, LogLevel, LogSink, Paths, Severity,
};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let Args {} = Args::parse();
    let readiness = Readiness::new(std::env::var_os(NOTIFY_SOCKET));
    clean_environment();
    let mut log = Log::new(LogSink::Syslog {
        program: "portero-watch".to_owned(),
    });
    // Each comparison knows what portero.toml says of its messages; what it kept is to be seen.
    log.set_level(LogLevel::Debug);
    match watch(readiness, &mut log) {
        Ok(never) => match never {},
        Err(error) => {
            log.refuse(error);
            ExitCode::FAILURE
        }
    }
}

/// Listens before the first comparison, so that nothing can happen unseen in between.
fn watch(mut readiness: Readiness, log: &mut Log) -> Result<std::convert::Infallible, WatchError> {
    let paths = Paths::default();
    let rules = Announcements::of_rules()?;
    let interfaces = Announcements::of_interfaces()?;
    let mut leases = Leases::watch(&paths.leases)?;
    let firewalld = Firewalld::listen()?;
    let mut pace = Pace::default();
    let mut news = News::default();
    let mut news_of_interfaces = News::default();
    pace.event(Instant::now());
    loop {
        match pace.next(Instant::now()) {
            Step::Wait(limit) => {
                let timeout = limit.map_or(PollTimeout::NONE, |limit| {
                    // A moment later rather than a moment before it is due.
                    PollTimeout::try_from(limit + std::time::Duration::from_millis(1))
                        .unwrap_or(PollTimeout::MAX)
                });
                let sources = [
                    rules.as_fd(),
                    interfaces.as_fd(),
                    leases.as_fd(),
                    firewalld.as_fd(),
                ];
                wait(&sources, timeout)?;
                if interfaces.drain()? {
                    // A guest can send as soon as it finds its interface.
                    let guarded = run(&paths, |engine| engine.guard_interfaces());
                    news_of_interfaces.pass_on(guarded.messages(), log);
                }
                let is_news = rules.drain()? | leases.drain()? | firewalld.drain();
                if is_news {
                    pace.event(Instant::now());
                }
            }
            Step::Sync => {
                let begin = Instant::now();
                let compared = run(&paths, |engine| engine.sync());
                news.pass_on(compared.messages(), log);
                pace.synced(begin, Instant::now());
                readiness.tell(log);
            }
        }
    }
}

/// Lets the engine work; gives what it has logged.
fn run(paths: &Paths, work: impl FnOnce(&mut Engine<'_>) -> Result<(), ApplyError>) -> Log {
    let mut kept = Log::new(LogSink::Memory(Vec::new()));
    if let Err(error) = work(&mut Engine::new(paths.clone(), &mut Host, &mut kept)) {
        kept.write(Severity::Error, error);
    }
    kept
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
