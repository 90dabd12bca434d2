//! Tells systemd that the service is up and lives, sd_notify(3).

use crate::error::NotifyError;
use portero_system::{Log, Severity};
use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The variables that say where systemd listens, how soon it has to hear again, in microseconds, and of
/// which process, sd_watchdog_enabled(3).
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// What systemd is told.
const READY: &str = "READY=1\n";
const ALIVE: &str = "WATCHDOG=1\n";

/// Longest time that one message may take: systemd reads when it can.
const SEND_LIMIT: Duration = Duration::from_millis(200);

/// What a piece of work may take beyond its deadline: programs that are killed, what is taken back, and
/// what was read and is still to be compared.
const BEYOND: Duration = Duration::from_secs(40);

/// systemd, if it has started the service and wants to be told.
pub(crate) struct Systemd {
    socket: Option<OsString>,
    is_up: bool,
    has_failed: bool,
    watchdog: Option<Watchdog>,
}

/// What ends the service unless systemd hears of it in time.
#[derive(Debug, Clone, Copy)]
struct Watchdog {
    interval: Duration,
    told: Option<Instant>,
}

impl Systemd {
    /// systemd as the environment has it.
    pub(crate) fn from_environment() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let number = |name| variable(name).and_then(|value| value.to_str()?.parse().ok());
        let interval = number(WATCHDOG_USEC).map(Duration::from_micros);
        let is_ours = number(WATCHDOG_PID).is_none_or(|id| id == u64::from(std::process::id()));
        Self::new(variable(NOTIFY_SOCKET), interval.filter(|_| is_ours))
    }

    fn new(socket: Option<OsString>, interval: Option<Duration>) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero() && socket.is_some());
        let watchdog = interval.map(|interval| Watchdog {
            interval,
            told: None,
        });
        Self {
            is_up: socket.is_none(),
            socket,
            has_failed: false,
            watchdog,
        }
    }

    /// Tells it once that the service is up; a failure is tried again next time, and logged once.
    pub(crate) fn up(&mut self, log: &mut Log) {
        if !self.is_up {
            self.is_up = self.tell(READY, log);
        }
    }

    /// Tells it that the service lives, unless it has just been told. `deadline` is that of the work to come:
    /// the longest silence that systemd takes is made longer where it is too short for that, and never shorter.
    pub(crate) fn alive(
        &mut self,
        deadline: impl FnOnce() -> Duration,
        now: Instant,
        log: &mut Log,
    ) {
        let Some(mut watchdog) = self.watchdog else {
            return;
        };
        let needed = deadline().saturating_mul(2) + BEYOND;
        let mut message = ALIVE.to_owned();
        if needed > watchdog.interval {
            watchdog.interval = needed;
            message += &format!("{WATCHDOG_USEC}={}\n", needed.as_micros());
        } else if watchdog.is_fresh(now) {
            return;
        }
        if self.tell(&message, log) {
            watchdog.told = Some(now);
            self.watchdog = Some(watchdog);
        }
    }

    /// How long the service may wait for anything until it has to say that it lives.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog.interval / 2)
    }

    fn tell(&mut self, message: &str, log: &mut Log) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        match send(socket, message) {
            Ok(()) => true,
            Err(error) => {
                if !self.has_failed {
                    log.write(Severity::Warning, error);
                }
                self.has_failed = true;
                false
            }
        }
    }
}

impl Watchdog {
    /// Whether it was told so lately that this will do.
    fn is_fresh(&self, now: Instant) -> bool {
        let fresh = self.interval / 8;
        self.told
            .is_some_and(|told| now.saturating_duration_since(told) < fresh)
    }
}

/// Sends to a path, or with a leading '@' to an abstract name.
fn send(socket: &OsStr, message: &str) -> Result<(), NotifyError> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    };
    let sent = address.and_then(|address| {
        let ours = UnixDatagram::unbound()?;
        ours.set_write_timeout(Some(SEND_LIMIT))?;
        ours.send_to_addr(message.as_bytes(), &address)
    });
    sent.map(|_| ()).map_err(|source| NotifyError::Send {
        socket: socket.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::{Systemd, BEYOND};
    use portero_system::{Log, LogSink, Severity};
    use std::ffi::OsString;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::{Duration, Instant};

    fn memory() -> Log {
        Log::new(LogSink::Memory(Vec::new()))
    }

    /// What systemd has heard since it listened last.
    fn heard(systemd: &UnixDatagram) -> Vec<String> {
        systemd.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 128];
        let mut all = Vec::new();
        while let Ok(size) = systemd.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
        }
        all
    }

    /// Tells it twice; the service is up once.
    fn is_heard_once(systemd: &UnixDatagram, socket: OsString) {
        let mut log = memory();
        let mut told = Systemd::new(Some(socket), None);
        told.up(&mut log);
        told.up(&mut log);
        // Nobody asked whether it lives.
        told.alive(|| Duration::from_secs(10), Instant::now(), &mut log);
        assert_eq!(told.patience(), None);
        assert_eq!(log.messages(), []);
        assert_eq!(heard(systemd), ["READY=1\n"]);
    }

    #[test]
    fn an_abstract_name_is_told() {
        let name = format!("portero-watch-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let systemd = UnixDatagram::bind_addr(&address).expect("a socket");
        is_heard_once(&systemd, format!("@{name}").into());
    }

    #[test]
    fn a_path_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        is_heard_once(&systemd, path.into());
    }

    #[test]
    fn nobody_is_told_without_a_socket() {
        let mut log = memory();
        let mut told = Systemd::new(None, Some(Duration::from_secs(60)));
        told.up(&mut log);
        told.alive(|| Duration::from_secs(10), Instant::now(), &mut log);
        assert_eq!((told.patience(), log.messages().len()), (None, 0));
    }

    #[test]
    fn a_failure_is_logged_once_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let mut log = memory();
        let mut told = Systemd::new(Some(path.clone().into()), None);
        told.up(&mut log);
        told.up(&mut log);
        let [message] = log.messages() else {
            panic!("{:?}", log.messages());
        };
        assert_eq!(message.severity, Severity::Warning);
        let message = &message.text;
        assert!(message.contains(&path.display().to_string()), "{message}");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        told.up(&mut log);
        assert_eq!(heard(&systemd), ["READY=1\n"]);
        assert_eq!(log.messages().len(), 1);
    }

    #[test]
    fn it_is_said_in_time_that_the_service_lives_and_not_more_often() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        let (mut log, begin) = (memory(), Instant::now());
        let minute = Duration::from_secs(60);
        let mut told = Systemd::new(Some(path.into()), Some(minute));
        assert_eq!(told.patience(), Some(minute / 2));
        for second in 0..60 {
            let now = begin + Duration::from_secs(second);
            told.alive(|| Duration::from_secs(10), now, &mut log);
        }
        assert_eq!(heard(&systemd), vec!["WATCHDOG=1\n"; 8]);
        // A comparison that may take longer than that is waited for.
        let deadline = Duration::from_secs(300);
        told.alive(|| deadline, begin + minute, &mut log);
        let needed = deadline * 2 + BEYOND;
        let longer = format!("WATCHDOG=1\nWATCHDOG_USEC={}\n", needed.as_micros());
        assert_eq!(heard(&systemd), [longer]);
        assert_eq!(told.patience(), Some(needed / 2));
        // It never becomes shorter.
        told.alive(|| Duration::from_secs(1), begin + minute * 10, &mut log);
        assert_eq!(heard(&systemd), ["WATCHDOG=1\n"]);
        assert_eq!(log.messages(), []);
    }
}
