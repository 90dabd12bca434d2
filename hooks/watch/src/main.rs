//! `portero-watch`, a service: whenever the firewall, a lease, a network or portero's configuration has
//! changed, compares the rules with what is wanted and mends what differs; and gives a running domain
//! what its metadata asks for as soon as that changes. Guests' new interfaces are
//! guarded at once.

mod args;
mod bus;
mod domains;
mod error;
mod files;
mod firewalld;
mod folder;
mod kernel;
mod news;
mod notify;
mod pace;

use args::Args;
use clap::Parser;
use domains::Domains;
use error::WatchError;
use files::Files;
use firewalld::Firewalld;
use kernel::Announcements;
use news::News;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use notify::{Readiness, NOTIFY_SOCKET};
use pace::{Pace, Step};
use portero_engine::{ApplyError, Engine};
use portero_libvirt::ObjectName;
use portero_system::{clean_environment, Linux, Log, LogLevel, LogSink, Paths, Severity};
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

/// The files whose change is answered by a comparison: leases (libvirt writes `BRIDGE.status.new` and
/// renames it), active networks, and what the administrator has written.
fn watched(paths: &Paths) -> Result<Vec<Files>, WatchError> {
    let config = &paths.config;
    let folders = [
        (paths.leases.as_path(), ".status"),
        (&paths.libvirt_networks, ".xml"),
        (config, "portero.toml"),
        (&config.join("domains"), ".xml"),
        (&config.join("networks"), ".xml"),
        (&config.join("groups"), ".xml"),
    ];
    let watched = folders.map(|(folder, suffix)| Files::watch(folder, suffix));
    watched.into_iter().collect()
}

/// Listens before the first comparison, so that nothing can happen unseen in between.
fn watch(mut readiness: Readiness, log: &mut Log) -> Result<std::convert::Infallible, WatchError> {
    let paths = Paths::default();
    let rules = Announcements::of_rules()?;
    let interfaces = Announcements::of_interfaces()?;
    let mut files = watched(&paths)?;
    let mut domains = Domains::watch(&paths.libvirt_domains)?;
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
                let mut sources = vec![
                    rules.as_fd(),
                    interfaces.as_fd(),
                    domains.as_fd(),
                    firewalld.as_fd(),
                ];
                sources.extend(files.iter().map(AsFd::as_fd));
                wait(&sources, timeout)?;
                if interfaces.drain()? {
                    // A guest can send as soon as it finds its interface.
                    let guarded = run(&paths, |engine| engine.check_taps());
                    news_of_interfaces.pass_on(guarded.messages(), log);
                }
                let saved = domains.drain()?;
                let mut is_news = saved.more;
                for name in &saved.names {
                    is_news |= follow(&paths, name, &mut news, log) == Followed::NotYet;
                }
                for files in &mut files {
                    is_news |= files.drain()?;
                }
                if is_news | rules.drain()? | firewalld.drain() {
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

/// Whether a domain has what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// It has, or it cannot have it.
    Settled,
    /// A comparison has to try again.
    NotYet,
}

/// Gives a domain that libvirt has saved what it asks for now.
fn follow(paths: &Paths, name: &ObjectName, news: &mut News, log: &mut Log) -> Followed {
    let mut settled = Followed::Settled;
    let kept = run(paths, |engine| {
        let followed = engine.follow_domain(name);
        if matches!(&followed, Err(error) if !matches!(error, ApplyError::Keeps { .. })) {
            settled = Followed::NotYet;
        }
        followed
    });
    news.pass_on_more(kept.messages(), log);
    settled
}

/// Lets the engine work; gives what it has logged.
fn run(paths: &Paths, work: impl FnOnce(&mut Engine<'_>) -> Result<(), ApplyError>) -> Log {
    let mut kept = Log::new(LogSink::Memory(Vec::new()));
    if let Err(error) = work(&mut Engine::new(
        paths.clone(),
        &mut Linux::default(),
        &mut kept,
    )) {
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
