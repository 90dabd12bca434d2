//! What goes to stderr: one line each, worded as virsh does, `error: ...`; and colours, only on a
//! terminal, and not where NO_COLOR is set.

use anstyle::{AnsiColor, Style};
use portero_system::{LogSink, Severity};
use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// Whether what goes to stdout may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colors {
    /// Those of ANSI.
    Ansi,
    /// None.
    None,
}

impl Colors {
    /// Asks terminal and environment, before [`decide_colors`] does for stderr.
    pub(crate) fn detect() -> Self {
        match anstream::AutoStream::choice(&std::io::stdout()) {
            anstream::ColorChoice::Never => Self::None,
            _ => Self::Ansi,
        }
    }

    /// A text in a style, where that may be.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self == Self::None || style.is_plain() {
            return text.to_owned();
        }
        format!("{style}{text}{style:#}")
    }
}

/// Asks terminal and environment whether there are colours; the environment is cleaned afterwards.
pub(crate) fn decide_colors() {
    anstream::AutoStream::choice(&std::io::stderr()).write_global();
}

/// Where an engine says what it has to say: here.
pub(crate) fn log_sink() -> LogSink {
    LogSink::Caller { tell }
}

/// The same of one that changes something: the log of the system keeps it too.
pub(crate) fn kept_log_sink() -> LogSink {
    LogSink::Operator { tell }
}

/// Says why something was not done.
pub(crate) fn error(text: impl Display) {
    say("error", AnsiColor::Red, text);
}

/// Says what is not as it may be meant.
pub(crate) fn warning(text: impl Display) {
    say("warning", AnsiColor::Yellow, text);
}

/// Says what is good to know.
pub(crate) fn note(text: impl Display) {
    say("note", AnsiColor::Cyan, text);
}

/// Says what the engine has to say.
pub(crate) fn tell(severity: Severity, text: &str) {
    match severity {
        Severity::Error => error(text),
        Severity::Warning => warning(text),
        Severity::Info | Severity::Debug => anstream::eprintln!("{text}"),
    }
}

fn say(word: &str, color: AnsiColor, text: impl Display) {
    let style = color.on_default().bold();
    anstream::eprintln!("{style}{word}:{style:#} {text}");
}

/// Whether somebody is there to answer.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question whose answer is no unless it is yes.
pub(crate) fn ask(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}
