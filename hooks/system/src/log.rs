//! Where messages go: syslog, facility daemon, or stderr when there is no /dev/log.

use portero_xml::is_misleading;
use serde::Deserialize;
use std::fmt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

/// Where syslog listens, syslog(3).
const SOCKET: &str = "/dev/log";

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

/// Where messages go.
pub enum LogSink {
    /// syslog; opened with the first message.
    Syslog {
        /// Name of the program in each message.
        program: String,
    },
    /// stderr.
    Stderr,
    /// Who runs the engine says it.
    Caller {
        /// Says one message.
        tell: fn(Severity, &str),
    },
    /// Kept, to be read by [`Log::messages`].
    Memory(Vec<(Severity, String)>),
}

/// Writes messages of at least a certain severity.
pub struct Log {
    sink: LogSink,
    level: Severity,
    open: Option<Logger<LoggerBackend, Formatter3164>>,
}

impl Log {
    /// A log of the default level.
    #[must_use]
    pub fn new(sink: LogSink) -> Self {
        Self {
            sink,
            level: Severity::Info,
            open: None,
        }
    }

    /// Sets what is logged from now on.
    pub fn set_level(&mut self, level: Severity) {
        self.level = level;
    }

    /// What was logged, with a sink in memory.
    #[must_use]
    pub fn messages(&self) -> &[(Severity, String)] {
        match &self.sink {
            LogSink::Memory(messages) => messages,
            _ => &[],
        }
    }

    /// Says why what the user asked for is refused: on stderr, where virsh shows it, and in syslog.
    pub fn refuse(&mut self, reason: impl fmt::Display) {
        let reason = one_line(&reason);
        if matches!(self.sink, LogSink::Syslog { .. }) {
            self.send(Severity::Error, &reason);
        } else if let LogSink::Memory(messages) = &mut self.sink {
            messages.push((Severity::Error, reason.clone()));
        }
        eprintln!("portero: {reason}");
    }

    /// Logs one message; a message that cannot be logged is lost, never an error.
    pub fn write(&mut self, severity: Severity, message: impl fmt::Display) {
        if severity > self.level {
            return;
        }
        let message = one_line(&message);
        let sent = match &mut self.sink {
            LogSink::Memory(messages) => {
                messages.push((severity, message.clone()));
                true
            }
            LogSink::Caller { tell } => {
                tell(severity, &message);
                true
            }
            LogSink::Stderr => false,
            LogSink::Syslog { .. } => self.send(severity, &message),
        };
        if !sent {
            eprintln!("portero: {message}");
        }
    }

    /// Sends a message to syslog; false when there is none.
    fn send(&mut self, severity: Severity, message: &str) -> bool {
        let LogSink::Syslog { program } = &self.sink else {
            return false;
        };
        if self.open.is_none() {
            self.open = connect(program).ok();
        }
        let Some(log) = &mut self.open else {
            self.sink = LogSink::Stderr;
            return false;
        };
        let sent = match severity {
            Severity::Error => log.err(message),
            Severity::Warning => log.warning(message),
            Severity::Info => log.info(message),
            Severity::Debug => log.debug(message),
        };
        if sent.is_err() {
            // A daemon that does not read must not be waited for with each message.
            self.sink = LogSink::Stderr;
        }
        sent.is_ok()
    }
}

/// Connects to syslog by a socket that gives up; the crate's own would wait without end for a
/// daemon that has stopped reading.
fn connect(program: &str) -> std::io::Result<Logger<LoggerBackend, Formatter3164>> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    socket.set_write_timeout(Some(SEND_LIMIT))?;
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: program.to_owned(),
        pid: std::process::id(),
    };
    Ok(Logger::new(LoggerBackend::Unix(socket), formatter))
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
    use super::{one_line, MESSAGE_LIMIT};

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
