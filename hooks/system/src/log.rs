//! Where messages go: the journal, with fields; syslog, facility daemon, where there is no journal; stderr where there is neither.

use portero_xml::is_misleading;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

/// Where journald listens for messages with fields (systemd.journal-fields(7)).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where syslog listens, syslog(3).
const SYSLOG: &str = "/dev/log";

/// The facility of daemons, syslog(3).
const DAEMON: u8 = 3;

/// The tag of all of portero's programs.
const TAG: &str = "portero";

/// Longest time one message may take.
const SEND_LIMIT: Duration = Duration::from_millis(200);

/// How much a message matters; `log_level` of portero.toml names the least severe that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something was not done.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Something was done.
    Info,
    /// What happened.
    Debug,
}

impl Severity {
    /// As syslog numbers it.
    fn number(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

/// What a message is about, for programs that search the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// What has happened, a word as `forward-added`.
    pub event: Option<&'static str>,
    /// To whom, as `domain web`.
    pub object: Option<String>,
    /// With which port of the host, as `8080/tcp`.
    pub port: Option<String>,
    /// Why; filled in by the log.
    pub cause: Option<&'static str>,
    /// The kind of an error, a word as `policy`.
    pub error: Option<&'static str>,
}

impl Fields {
    /// Those of an event.
    #[must_use]
    pub fn of(event: &'static str) -> Self {
        Self {
            event: Some(event),
            ..Self::default()
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub severity: Severity,
    /// Its line.
    pub text: String,
    /// What it is about.
    pub fields: Fields,
}

impl Message {
    /// As journald takes it: a line for each field. No value has a line break.
    fn datagram(&self) -> Vec<u8> {
        let Fields {
            event,
            object,
            port,
            cause,
            error,
        } = &self.fields;
        let fields = [
            ("PORTERO_EVENT", *event),
            ("PORTERO_OBJECT", object.as_deref()),
            ("PORTERO_PORT", port.as_deref()),
            ("PORTERO_CAUSE", *cause),
            ("PORTERO_ERROR", *error),
        ];
        let text = &self.text;
        let priority = self.severity.number();
        let mut datagram = format!(
            "MESSAGE={text}\nPRIORITY={priority}\nSYSLOG_FACILITY={DAEMON}\nSYSLOG_IDENTIFIER={TAG}\n"
        );
        for (name, value) in fields {
            if let Some(value) = value {
                datagram += &format!("{name}={}\n", one_line(&value));
            }
        }
        datagram.into_bytes()
    }
}

/// Where messages go.
pub enum LogSink {
    /// The log of the system, the journal or syslog; opened with the first message.
    System,
    /// stderr.
    Stderr,
    /// Who runs the engine says it.
    Caller {
        /// Says one message.
        tell: fn(Severity, &str),
    },
    /// Both: who runs the engine changes something by it.
    Operator {
        /// Says one message.
        tell: fn(Severity, &str),
    },
    /// Kept, to be read by [`Log::messages`].
    Memory(Vec<Message>),
}

/// What is open.
enum Open {
    Journal(UnixDatagram),
    Syslog(Box<Logger<LoggerBackend, Formatter3164>>),
    /// Nobody reads, or nobody is there.
    Nobody,
}

/// Writes messages of at least a certain severity.
pub struct Log {
    sink: LogSink,
    level: Severity,
    /// Why what is done now is done.
    cause: Option<&'static str>,
    /// When the last step ended.
    step: Instant,
    open: Option<Open>,
}

impl Log {
    /// A log of the default level.
    #[must_use]
    pub fn new(sink: LogSink) -> Self {
        Self {
            sink,
            level: Severity::Info,
            cause: None,
            step: Instant::now(),
            open: None,
        }
    }

    /// Sets what is logged from now on.
    pub fn set_level(&mut self, level: Severity) {
        self.level = level;
    }

    /// Sets why what is done from now on is done.
    pub fn set_cause(&mut self, cause: &'static str) {
        self.cause = Some(cause);
    }

    /// Why what is done now is done.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        self.cause
    }

    /// What was logged, with a sink in memory.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        match &self.sink {
            LogSink::Memory(messages) => messages,
            _ => &[],
        }
    }

    /// Says why what the user asked for is refused: on stderr, where virsh shows it, and in the system's log.
    pub fn refuse(&mut self, reason: impl fmt::Display) {
        let message = self.message(Severity::Error, Fields::of("refused"), &reason);
        eprintln!("{TAG}: {}", message.text);
        match &mut self.sink {
            LogSink::System => drop(self.send(&message)),
            LogSink::Memory(messages) => messages.push(message),
            _ => {}
        }
    }

    /// Logs one message; a message that cannot be logged is lost, never an error.
    pub fn write(&mut self, severity: Severity, message: impl fmt::Display) {
        self.record(severity, Fields::default(), message);
    }

    /// Logs that something has happened, and why.
    pub fn event(&mut self, fields: Fields, message: impl fmt::Display) {
        match self.cause {
            Some(cause) => self.record(Severity::Info, fields, format_args!("{message} ({cause})")),
            None => self.record(Severity::Info, fields, message),
        }
    }

    /// Logs that a step has ended, and how long it took.
    pub fn step(&mut self, what: &str) {
        if self.level < Severity::Debug {
            return;
        }
        let took = self.step.elapsed();
        self.step = Instant::now();
        let milliseconds = took.as_secs_f64() * 1000.0;
        self.write(
            Severity::Debug,
            format_args!("{what}: {milliseconds:.1} ms"),
        );
    }

    /// Logs one message with what it is about.
    pub fn record(&mut self, severity: Severity, fields: Fields, message: impl fmt::Display) {
        if severity > self.level {
            return;
        }
        let message = self.message(severity, fields, &message);
        self.pass_on(message);
    }

    /// Logs a message that another log has kept.
    pub fn pass_on(&mut self, message: Message) {
        if message.severity > self.level {
            return;
        }
        let is_said = match &mut self.sink {
            LogSink::Memory(messages) => return messages.push(message),
            LogSink::Caller { tell } => return tell(message.severity, &message.text),
            LogSink::Operator { tell } => {
                tell(message.severity, &message.text);
                true
            }
            LogSink::Stderr => return eprintln!("{TAG}: {}", message.text),
            LogSink::System => false,
        };
        if !self.send(&message) && !is_said {
            eprintln!("{TAG}: {}", message.text);
        }
    }

    fn message(&self, severity: Severity, fields: Fields, message: &dyn fmt::Display) -> Message {
        Message {
            severity,
            text: one_line(message),
            fields: Fields {
                cause: fields.cause.or(self.cause),
                ..fields
            },
        }
    }

    /// Sends a message to the system's log; false when there is none.
    fn send(&mut self, message: &Message) -> bool {
        let open = self
            .open
            .get_or_insert_with(|| connect(JOURNAL, SYSLOG).unwrap_or(Open::Nobody));
        let sent = match open {
            Open::Journal(socket) => socket.send(&message.datagram()).is_ok(),
            Open::Syslog(log) => {
                let text = &message.text;
                let sent = match message.severity {
                    Severity::Error => log.err(text),
                    Severity::Warning => log.warning(text),
                    Severity::Info => log.info(text),
                    Severity::Debug => log.debug(text),
                };
                sent.is_ok()
            }
            Open::Nobody => false,
        };
        if !sent {
            // A daemon that does not read must not be waited for with each message.
            *open = Open::Nobody;
        }
        sent
    }
}

/// Connects to the journal, or to syslog where there is none, by a socket that gives up; those of crates would wait
/// without end for a daemon that has stopped reading.
fn connect(journal: &str, syslog: &str) -> io::Result<Open> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_LIMIT))?;
    if socket.connect(journal).is_ok() {
        return Ok(Open::Journal(socket));
    }
    socket.connect(syslog)?;
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: TAG.to_owned(),
        pid: std::process::id(),
    };
    let log = Logger::new(LoggerBackend::Unix(socket), formatter);
    Ok(Open::Syslog(Box::new(log)))
}

/// Longest message, in characters: what somebody has written into an element is part of some, and
/// syslog takes no message of any length.
const MESSAGE_LIMIT: usize = 1000;

/// A message without line breaks, so that nothing in a name can start a line of its own, and without
/// what makes a line read as another.
fn one_line(message: &dyn fmt::Display) -> String {
    let message = message.to_string();
    let mut line = String::new();
    for (count, character) in message.chars().enumerate() {
        if count == MESSAGE_LIMIT {
            return line + "...";
        }
        match character {
            character if character.is_control() => line.push(' '),
            character if is_misleading(character) => line.extend(character.escape_unicode()),
            character => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::{connect, one_line, Fields, Log, LogSink, Severity, MESSAGE_LIMIT};
    use std::os::unix::net::UnixDatagram;

    /// What a log sends of a forward, with the cause it is given, to who listens at these of the two.
    fn sent(listens: &[&str]) -> Option<String> {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name).to_str().expect("UTF-8").to_owned();
        let sockets: Vec<UnixDatagram> = listens
            .iter()
            .map(|name| UnixDatagram::bind(path(name)).expect("a socket"))
            .collect();
        let mut log = Log::new(LogSink::System);
        log.open = Some(connect(&path("journal"), &path("syslog")).ok()?);
        log.set_cause("guest started");
        let fields = Fields {
            object: Some("domain we\nb".to_owned()),
            port: Some("8080/tcp".to_owned()),
            ..Fields::of("forward-added")
        };
        log.record(Severity::Debug, fields.clone(), "is below the level");
        log.event(fields, "forward tcp 8080");
        let mut buffer = [0; 1024];
        let length = sockets[0].recv(&mut buffer).expect("a message");
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[test]
    fn the_journal_gets_fields_and_syslog_a_line() {
        let journal = "MESSAGE=forward tcp 8080 (guest started)\nPRIORITY=6\nSYSLOG_FACILITY=3\n\
             SYSLOG_IDENTIFIER=portero\nPORTERO_EVENT=forward-added\nPORTERO_OBJECT=domain we b\n\
             PORTERO_PORT=8080/tcp\nPORTERO_CAUSE=guest started\n";
        assert_eq!(sent(&["journal", "syslog"]).as_deref(), Some(journal));
        let syslog = sent(&["syslog"]).expect("syslog");
        let pid = std::process::id();
        let line = format!(" portero[{pid}]: forward tcp 8080 (guest started)");
        assert!(
            syslog.starts_with("<30>") && syslog.ends_with(&line),
            "{syslog}"
        );
        assert_eq!(sent(&[]), None);
    }

    #[test]
    fn debug_has_the_time_of_each_step() {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        log.step("is below the level");
        log.set_level(Severity::Debug);
        log.step("rules read");
        let texts: Vec<&str> = log.messages().iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts.len(), 1);
        assert!(
            texts[0].starts_with("rules read: ") && texts[0].ends_with(" ms"),
            "{texts:?}"
        );
    }

    #[test]
    fn a_message_is_one_line_that_reads_as_it_was_written() {
        assert_eq!(one_line(&"a\nb\u{1b}[2Jc\u{85}d"), "a b [2Jc d");
        assert_eq!(one_line(&"\u{202e}txt\u{2028}."), "\\u{202e}txt\\u{2028}.");
        assert_eq!(one_line(&"Zoë's \"x\\y\""), "Zoë's \"x\\y\"");
    }

    #[test]
    fn a_message_that_is_too_long_is_cut() {
        let longest = "ä".repeat(MESSAGE_LIMIT);
        assert_eq!(one_line(&longest), longest);
        assert_eq!(one_line(&(longest.clone() + "ä")), longest + "...");
    }
}
