//! Completion of command lines: the scripts in packaging/completions ask `portero` itself, by an
//! environment variable that says for which shell.

use crate::args::Args;
use clap::CommandFactory;
use clap_complete::CompleteEnv;

/// The variable.
const VARIABLE: &str = "PORTERO_COMPLETE";

/// Answers a shell and ends, if one asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Args::command)
        .var(VARIABLE)
        .completer("portero")
        .complete();
}
