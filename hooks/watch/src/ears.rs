//! What portero-watch hears of the host, some of which it can do without: what cannot be heard is said in
//! one line, tried again, and made up for by a comparison each time.

use crate::domains::{Domains, Saved};
use crate::error::WatchError;
use crate::files::Files;
use crate::firewalld::Firewalld;
use portero_libvirt::Driver;
use portero_system::{Log, Paths, Severity};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long until what cannot be heard is tried again, and everything is compared in its place.
pub(crate) const RETRY: Duration = Duration::from_secs(30);

/// Something that is heard, or why it is not.
pub(crate) struct Source<T> {
    open: Box<dyn Fn() -> Result<T, WatchError>>,
    heard: Result<T, WatchError>,
}

impl<T> Source<T> {
    fn new(open: impl Fn() -> Result<T, WatchError> + 'static) -> Self {
        let heard = open();
        Self {
            open: Box::new(open),
            heard,
        }
    }

    fn try_again(&mut self) {
        if self.heard.is_err() {
            self.heard = (self.open)();
        }
    }

    /// Reads what there is to hear; nothing when it cannot be heard, from now on either.
    fn hear<R: Default>(&mut self, read: impl FnOnce(&mut T) -> Result<R, WatchError>) -> R {
        let Ok(source) = &mut self.heard else {
            return R::default();
        };
        read(source).unwrap_or_else(|error| {
            self.heard = Err(error);
            R::default()
        })
    }
}

/// Everything but the kernel, without which the service is none.
pub(crate) struct Ears {
    files: Vec<Source<Files>>,
    /// Of each driver.
    domains: Vec<Source<Domains>>,
    firewalld: Source<Firewalld>,
    /// Why some of them were unheard when the log was told.
    unheard: Vec<String>,
    /// When those are tried again.
    retry: Option<Instant>,
}

/// What was heard at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The domains that were saved.
    pub(crate) saved: Saved,
    /// Whether everything has to be compared.
    pub(crate) is_any: bool,
}

impl Ears {
    /// Begins to listen to what there is.
    pub(crate) fn open(paths: &Paths, now: Instant, log: &mut Log) -> Self {
        let config = &paths.config;
        // libvirt writes leases as `BRIDGE.status.new` and renames them.
        let folders = [
            (paths.leases.clone(), ".status"),
            (paths.libvirt_networks.clone(), ".xml"),
            (config.clone(), "portero.toml"),
            (config.join("domains"), ".xml"),
            (config.join("networks"), ".xml"),
            (config.join("groups"), ".xml"),
        ];
        let files = folders
            .map(|(folder, suffix)| Source::new(move || Files::watch(&folder, suffix)))
            .into();
        let domains = Driver::ALL
            .map(|driver| {
                let paths = paths.clone();
                Source::new(move || Domains::watch(&paths, driver))
            })
            .into();
        Self::new(files, domains, Source::new(Firewalld::listen), now, log)
    }

    fn new(
        files: Vec<Source<Files>>,
        domains: Vec<Source<Domains>>,
        firewalld: Source<Firewalld>,
        now: Instant,
        log: &mut Log,
    ) -> Self {
        let mut ears = Self {
            files,
            domains,
            firewalld,
            unheard: Vec::new(),
            retry: None,
        };
        ears.tell(now, log);
        ears
    }

    /// What wakes the service.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let files = self
            .files
            .iter()
            .filter_map(|files| files.heard.as_ref().ok());
        let mut all: Vec<BorrowedFd<'_>> = files.map(AsFd::as_fd).collect();
        let domains = self.domains.iter();
        all.extend(domains.filter_map(|domains| Some(domains.heard.as_ref().ok()?.as_fd())));
        all.extend(self.firewalld.heard.as_ref().ok().map(AsFd::as_fd));
        all
    }

    /// How long it may be waited for news: not at all limited while everything is heard.
    pub(crate) fn patience(&self, now: Instant) -> Option<Duration> {
        self.retry.map(|retry| retry.saturating_duration_since(now))
    }

    /// Reads all that is there, and tries again, when it is time, what could not be heard.
    pub(crate) fn drain(&mut self, now: Instant, log: &mut Log) -> Heard {
        let mut is_any = false;
        if self.retry.is_some_and(|retry| retry <= now) {
            self.retry = None;
            self.files.iter_mut().for_each(Source::try_again);
            self.domains.iter_mut().for_each(Source::try_again);
            self.firewalld.try_again();
            // Anything may have happened unheard.
            is_any = true;
        }
        for files in &mut self.files {
            is_any |= files.hear(Files::drain);
        }
        let mut saved = Saved::default();
        for domains in &mut self.domains {
            saved.add(domains.hear(Domains::drain));
        }
        is_any |= saved.more | self.firewalld.hear(Firewalld::drain);
        self.tell(now, log);
        Heard { saved, is_any }
    }

    /// Says what has changed of what is heard, in one line.
    fn tell(&mut self, now: Instant, log: &mut Log) {
        let files = self
            .files
            .iter()
            .filter_map(|files| files.heard.as_ref().err());
        let mut errors: Vec<&WatchError> = files.collect();
        let domains = self.domains.iter();
        errors.extend(domains.filter_map(|domains| domains.heard.as_ref().err()));
        match &self.firewalld.heard {
            Ok(firewalld) => errors.extend(firewalld.trouble()),
            Err(error) => errors.push(error),
        }
        let unheard: Vec<String> = errors.iter().map(ToString::to_string).collect();
        if let Some(first) = unheard.iter().find(|one| !self.unheard.contains(one)) {
            let others = match unheard.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let every = RETRY.as_secs();
            let line =
                format!("{first}{others}: everything is compared every {every} s until that works");
            log.write(Severity::Warning, line);
        } else if unheard.is_empty() && !self.unheard.is_empty() {
            log.write(Severity::Info, "everything is heard again");
        }
        if unheard.is_empty() {
            self.retry = None;
        } else {
            self.retry.get_or_insert(now + RETRY);
        }
        self.unheard = unheard;
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use portero_system::LogSink;
    use std::cell::Cell;
    use std::path::Path;
    use std::rc::Rc;

    /// A folder that cannot be watched as long as the system says so.
    fn source<T: 'static>(
        path: &Path,
        errno: &Rc<Cell<Option<Errno>>>,
        watch: fn(&Path) -> Result<T, WatchError>,
    ) -> Source<T> {
        let (path, errno) = (path.to_owned(), Rc::clone(errno));
        Source::new(move || match errno.get() {
            Some(errno) => Err(WatchError::Folder {
                path: path.clone(),
                source: errno.into(),
            }),
            None => watch(&path),
        })
    }

    fn leases(path: &Path) -> Result<Files, WatchError> {
        Files::watch(path, ".status")
    }

    fn domains(path: &Path) -> Result<Domains, WatchError> {
        Domains::watch(&Paths::below(path), Driver::Qemu)
    }

    #[test]
    fn folders_that_cannot_be_watched_are_said_once_and_compared_in_place_of() {
        for full in [Errno::ENOSPC, Errno::EMFILE] {
            let root = tempfile::tempdir().expect("a folder");
            let errno = Rc::new(Cell::new(Some(full)));
            let mut log = Log::new(LogSink::Memory(Vec::new()));
            let begin = Instant::now();
            let mut ears = Ears::new(
                vec![
                    source(root.path(), &errno, leases),
                    source(root.path(), &errno, leases),
                ],
                vec![source(root.path(), &errno, domains)],
                Source::new(|| Firewalld::listen_in("/nowhere".as_ref())),
                begin,
                &mut log,
            );
            let [message] = log.messages() else {
                panic!("{:?}", log.messages());
            };
            assert_eq!(message.severity, Severity::Warning);
            let line = &message.text;
            assert!(
                line.starts_with(&format!("cannot watch {}: ", root.path().display())),
                "{line}"
            );
            assert!(
                line.ends_with(", and 2 more: everything is compared every 30 s until that works"),
                "{line}"
            );
            // In between nothing is compared, and nothing said.
            assert_eq!(ears.patience(begin), Some(RETRY));
            assert!(!ears.drain(begin + RETRY / 2, &mut log).is_any);
            for turn in 1..4 {
                assert!(ears.drain(begin + RETRY * turn, &mut log).is_any);
            }
            assert_eq!(log.messages().len(), 1);
            errno.set(None);
            assert!(ears.drain(begin + RETRY * 4, &mut log).is_any);
            let last = log.messages().last().expect("a line");
            assert_eq!(last.severity, Severity::Info);
            assert_eq!(last.text, "everything is heard again");
            // And it is: what is heard is news, and nothing else is.
            assert_eq!(ears.patience(begin), None);
            assert!(!ears.drain(begin + RETRY * 5, &mut log).is_any);
            std::fs::write(root.path().join("br.status"), "").expect("a file");
            assert!(ears.drain(begin + RETRY * 5, &mut log).is_any);
        }
    }

    #[test]
    fn what_cannot_be_heard_any_more_is_given_up_and_tried_again() {
        let root = tempfile::tempdir().expect("a folder");
        let mut source = Source::new({
            let path = root.path().to_owned();
            move || leases(&path)
        });
        let failed = |_: &mut Files| -> Result<bool, WatchError> {
            Err(WatchError::Folder {
                path: "/leases".into(),
                source: Errno::ENOSPC.into(),
            })
        };
        assert!(!source.hear(failed));
        assert!(source.heard.is_err());
        assert!(!source.hear(|_| Ok(true)), "nothing is read of it");
        source.try_again();
        assert!(source.hear(|_| Ok(true)));
    }
}
