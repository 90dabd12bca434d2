//! `portero-watch`, a service: whenever the firewall, a lease, a network or portero's configuration has
//! changed, compares the rules with what is wanted and mends what differs; and gives a running domain
//! what its metadata asks for as soon as that changes. Guests' new interfaces are
//! guarded at once.

mod args;
mod bus;
mod domains;
mod ears;
mod error;
mod files;
mod firewalld;
mod folder;
mod kernel;
mod lookout;
mod news;
mod notify;
mod pace;
mod tally;

use args::Args;
use clap::Parser;
use ears::Ears;
use error::WatchError;
use kernel::{Announcements, Links};
use lookout::Lookout;
use news::News;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::statvfs::{statvfs, FsFlags};
use notify::Systemd;
use pace::{Pace, Step};
use portero_engine::{ApplyError, Engine, State};
use portero_libvirt::{Driver, ObjectName};
use portero_system::{
    clean_environment, rules_concern, sets_concern, Linux, Log, LogSink, Paths, Severity,
};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tally::{Compared, Tally};

/// Longest time for the firewall to be read: a guest that starts waits for the lock meanwhile, and has more time than that.
const READING: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let Args {} = Args::parse();
    let systemd = Systemd::from_environment();
    clean_environment();
    let mut log = Log::new(LogSink::System);
    // Each comparison knows what portero.toml says of its messages; what it kept is to be seen.
    log.set_level(Severity::Debug);
    match watch(systemd, &mut log) {
        Ok(never) => match never {},
        Err(error) => {
            log.refuse(error);
            ExitCode::FAILURE
        }
    }
}

/// Listens before the first comparison, so that nothing can happen unseen in between.
///
/// systemd is told between two pieces of work, each of which has a deadline, that the service lives: one that
/// hangs is not told, and the service is started anew.
fn watch(mut systemd: Systemd, log: &mut Log) -> Result<std::convert::Infallible, WatchError> {
    let paths = Paths::default();
    let rules = Announcements::of_rules()?;
    let interfaces = Announcements::of_interfaces()?;
    let routing = Announcements::of_routing()?;
    let mut ears = Ears::open(&paths, Instant::now(), log);
    let mut pace = Pace::default();
    let mut tally = Tally::open(&paths);
    // Sets that forwards name as ban lists, and when to look at them.
    let (mut sets, mut pace_of_sets) = (BTreeSet::new(), Pace::default());
    let mut news = News::default();
    let mut news_of_interfaces = News::default();
    let mut lookout = Lookout::default();
    pace.event(Instant::now());
    let mut cause = "portero-watch started";
    loop {
        let now = Instant::now();
        systemd.alive(|| deadline(&paths), now, log);
        match (pace.next(now), pace_of_sets.next(now)) {
            (Step::Wait(_), Step::Sync) => {
                let mut has_failed = false;
                let mut followed = run(&paths, "set changed", |engine| {
                    let followed = engine.follow_changed_sets();
                    followed.inspect_err(|_| has_failed = true)
                });
                tally.count(&mut followed);
                news.pass_on_more(followed.messages(), log);
                match has_failed {
                    true => pace_of_sets.failed(now, Instant::now()),
                    false => pace_of_sets.synced(now, Instant::now()),
                }
            }
            (Step::Wait(limit), Step::Wait(limit_of_sets)) => {
                let mut sources = vec![rules.as_fd(), interfaces.as_fd(), routing.as_fd()];
                sources.extend(ears.descriptors());
                let limit_of_look = lookout.step(now);
                let limits = [
                    limit,
                    limit_of_sets,
                    limit_of_look,
                    ears.patience(now),
                    systemd.patience(),
                ];
                wait(&sources, limits.into_iter().flatten().min())?;
                let heard = ears.drain(Instant::now(), log);
                // Of a container's interface that is plugged in only libvirt's state says whose it is.
                let saved = &heard.saved.names;
                let has_container = saved.iter().any(|(driver, _)| *driver == Driver::Lxc);
                let links = match interfaces.drain_links()? {
                    Links::These(links) if !has_container => Some(links),
                    _ => None,
                };
                if links.as_ref().is_none_or(|links| !links.is_empty()) {
                    // A guest can send as soon as it finds its interface.
                    systemd.alive(|| deadline(&paths), Instant::now(), log);
                    let mut guarded = run(&paths, "interface came or went", |engine| {
                        engine.check_taps(links.as_deref())
                    });
                    tally.count(&mut guarded);
                    news_of_interfaces.pass_on(guarded.messages(), log);
                }
                let mut is_news = heard.is_any;
                for (driver, name) in saved {
                    systemd.alive(|| deadline(&paths), Instant::now(), log);
                    let (mut kept, followed) = follow(&paths, *driver, name);
                    tally.count(&mut kept);
                    news.pass_on_more(kept.messages(), log);
                    is_news |= followed == Followed::NotYet;
                }
                let mut are_sets = false;
                let are_rules = rules.drain(|announced| {
                    are_sets |= sets_concern(announced, &sets);
                    rules_concern(announced)
                })?;
                if are_sets {
                    pace_of_sets.event(Instant::now());
                }
                let heard = [
                    (is_news, "lease, network or file changed"),
                    (routing.drain(|_| true)?, "routing changed"),
                    (are_rules, "rules changed"),
                ];
                for (_, what) in heard.into_iter().filter(|(is_heard, _)| *is_heard) {
                    cause = what;
                    pace.event(Instant::now());
                }
            }
            (Step::Sync, _) => {
                let mut compared = Compared::Failed;
                let mut kept = run(&paths, cause, |engine| {
                    engine.reading_limit = READING;
                    engine.sync()?;
                    compared = match engine.has_restored {
                        true => Compared::Restored,
                        false => Compared::Held,
                    };
                    Ok(())
                });
                tally.count_comparison(compared, &mut kept);
                news.pass_on(kept.messages(), log);
                match compared {
                    Compared::Failed => pace.failed(now, Instant::now()),
                    _ => pace.synced(now, Instant::now()),
                }
                let state = State::new(&paths);
                sets = state.ban_sets();
                // What cannot be read was told by the comparison.
                let records = state.all_records();
                lookout.see(&records.unwrap_or_default());
                check_writable(&paths.state)?;
                systemd.up(log);
            }
        }
    }
}

/// How long a piece of work may take now.
fn deadline(paths: &Paths) -> Duration {
    let mut unsaid = Log::new(LogSink::Memory(Vec::new()));
    let mut machine = Linux::default();
    let mut engine = Engine::new(paths.clone(), &mut machine, &mut unsaid);
    engine.configure_or_default().1.length()
}

/// Where systemd lets the service see its own folder alone, one that was taken away stays in view, where nothing
/// can be made, and a new one in its place is not seen.
fn check_writable(state: &Path) -> Result<(), WatchError> {
    let is_gone = std::fs::metadata(state).is_ok_and(|folder| folder.nlink() == 0);
    let mut folders = state.ancestors();
    let nearest = folders.find_map(|folder| statvfs(folder).ok());
    let is_closed = nearest.is_some_and(|nearest| nearest.flags().contains(FsFlags::ST_RDONLY));
    if is_gone || is_closed {
        return Err(WatchError::Unwritable {
            path: state.to_owned(),
        });
    }
    Ok(())
}

/// Whether a domain has what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// It has, or it cannot have it.
    Settled,
    /// A comparison has to try again.
    NotYet,
}

/// Gives a domain that libvirt has saved what it asks for now; gives what was logged of that, too.
fn follow(paths: &Paths, driver: Driver, name: &ObjectName) -> (Log, Followed) {
    let mut settled = Followed::Settled;
    let kept = run(paths, "metadata changed", |engine| {
        let followed = engine.follow_domain(driver, name);
        if matches!(&followed, Err(error) if !matches!(error, ApplyError::Keeps { .. })) {
            settled = Followed::NotYet;
        }
        followed
    });
    (kept, settled)
}

/// Lets the engine work; gives what it has logged.
fn run(
    paths: &Paths,
    cause: &'static str,
    work: impl FnOnce(&mut Engine<'_>) -> Result<(), ApplyError>,
) -> Log {
    let mut kept = Log::new(LogSink::Memory(Vec::new()));
    kept.set_cause(cause);
    let worked = work(&mut Engine::new(
        paths.clone(),
        &mut Linux::default(),
        &mut kept,
    ));
    if let Err(error) = worked {
        kept.record(Severity::Error, error.fields(), error);
    }
    kept
}

/// Waits for an event, no longer than `limit`.
fn wait(sources: &[BorrowedFd<'_>], limit: Option<Duration>) -> Result<(), WatchError> {
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        // A moment later rather than a moment before it is due.
        PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
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

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::check_writable;

    #[test]
    fn a_folder_that_was_taken_away_under_the_service_ends_it() {
        let root = tempfile::tempdir().expect("a folder");
        let state = root.path().join("portero");
        // Not there yet, and there.
        assert!(check_writable(&state).is_ok());
        std::fs::create_dir(&state).expect("a folder");
        assert!(check_writable(&state).is_ok());
        // As a mount keeps it in view, an open file does.
        let folder = std::fs::File::open(&state).expect("a folder");
        std::fs::remove_dir(&state).expect("no folder");
        assert!(check_writable(&state).is_ok(), "it can be made");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&folder);
        assert!(check_writable(format!("/proc/self/fd/{fd}").as_ref()).is_err());
    }
}
