//! What goes to stderr: one line each, worded as virsh does, `error: ...`; in colours only on a
//! terminal, and not where NO_COLOR is set.

use anstyle::AnsiColor;
use portero_apply::Severity;
use std::fmt::Display;

/// Asks terminal and environment whether there are colours; the environment is cleaned afterwards.
pub(crate) fn decide_colors() {
    anstream::AutoStream::choice(&std::io::stderr()).write_global();
}

/// Says why something was not done.
pub(crate) fn error(text: impl Display) {
    say("error", AnsiColor::Red, text);
}

/// Says what is not as it may be meant.
pub(crate) fn warning(text: impl Display) {
    say("warning", AnsiColor::Yellow, text);
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
