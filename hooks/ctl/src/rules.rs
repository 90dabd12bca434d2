//! `portero sync`, `withdraw` and `plan`: everybody's rules at once.

use crate::args::RulesCommand;
use crate::engine::with_engine_for;
use crate::exit::{DONE, FAILED, WOULD_CHANGE};
use crate::json::to_json;
use crate::terminal::{ask, can_ask, kept_log_sink, log_sink};
use portero_engine::{ApplyError, Engine};
use portero_firewall::Script;
use portero_inventory::runs_watch;
use portero_system::{programs, Deadline, SystemError};
use std::fmt::Write as _;
use std::time::Duration;

/// How long systemd may take to stop a service.
const STOPPING: Duration = Duration::from_secs(30);

/// What to do if a service would undo a withdrawal at once.
const STOP_IT: &str = "'portero withdraw --yes' stops and disables it first; so does 'systemctl disable --now portero-watch'";

/// Why a command cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    /// portero-watch would restore all rules.
    #[error("portero-watch runs and would restore all rules at once: {STOP_IT}")]
    Watched,
    /// It cannot be stopped.
    #[error("cannot stop portero-watch: {source}")]
    Stop {
        /// Why not.
        source: SystemError,
    },
    /// It runs although systemd has stopped it.
    #[error("portero-watch still runs, and not by systemd, expected to be stopped")]
    StillRuns,
    /// The engine fails.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Does what a command says; gives what to print and the exit status.
pub(crate) fn run(command: &RulesCommand) -> Result<(String, u8), RulesError> {
    match command {
        RulesCommand::Sync { dry_run: false } => Ok(changing("portero sync", sync)?),
        RulesCommand::Withdraw {
            dry_run: false,
            yes,
        } => {
            stop_watch(match yes {
                true => Consent::Given,
                false => Consent::ToBeAsked,
            })?;
            Ok(changing("withdrawn by command", withdraw)?)
        }
        RulesCommand::Withdraw { dry_run: true, .. } => Ok(reading(|engine| {
            let scripts = engine.plan_withdrawal()?;
            Ok::<_, ApplyError>(planned(&scripts, engine, Form::Text))
        })?),
        RulesCommand::Sync { dry_run: true } => Ok(reading(|engine| plan(engine, Form::Text))?),
        RulesCommand::Plan { json: true } => Ok(reading(|engine| plan(engine, Form::Json))?),
        RulesCommand::Plan { json: false } => Ok(reading(|engine| plan(engine, Form::Text))?),
    }
}

/// Whether a service may be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// It may.
    Given,
    /// Whoever sits there says.
    ToBeAsked,
}

/// As what a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// Lets the engine work for a command that changes something: the log of the system keeps what it says, and why.
fn changing<T>(cause: &'static str, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
    with_engine_for(kept_log_sink(), Some(cause), work)
}

/// Lets it work for one that changes nothing.
fn reading<T>(work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
    with_engine_for(log_sink(), None, work)
}

fn sync(engine: &mut Engine<'_>) -> Result<(String, u8), ApplyError> {
    engine.sync()?;
    let text = match engine.has_changed {
        true => "",
        false => "The firewall holds what is wanted.\n",
    };
    Ok((text.to_owned(), status(engine, DONE)))
}

fn withdraw(engine: &mut Engine<'_>) -> Result<(String, u8), ApplyError> {
    engine.withdraw()?;
    Ok((String::new(), DONE))
}

fn plan(engine: &mut Engine<'_>, form: Form) -> Result<(String, u8), ApplyError> {
    let scripts = engine.plan()?;
    Ok(planned(&scripts, engine, form))
}

fn planned(scripts: &[Script], engine: &Engine<'_>, form: Form) -> (String, u8) {
    let code = if scripts.is_empty() {
        DONE
    } else {
        WOULD_CHANGE
    };
    let text = match form {
        Form::Json => to_json(&scripts.iter().map(json_of).collect::<Vec<_>>()),
        Form::Text => text(scripts),
    };
    (text, status(engine, code))
}

/// Stops and disables portero-watch if it runs, after asking.
fn stop_watch(consent: Consent) -> Result<(), RulesError> {
    if !runs_watch() {
        return Ok(());
    }
    let question = "portero-watch runs and would restore all rules at once. Stop and disable it?";
    let is_agreed = consent == Consent::Given || can_ask() && ask(question);
    if !is_agreed {
        return Err(RulesError::Watched);
    }
    let words = ["disable", "--now", "portero-watch.service"];
    let stopped = programs::run("systemctl", &words, "", Deadline::after(STOPPING));
    stopped.map_err(|source| RulesError::Stop { source })?;
    match runs_watch() {
        true => Err(RulesError::StillRuns),
        false => Ok(()),
    }
}

/// Failed for those who keep what they had, of whom the log has said why; or else what is given.
fn status(engine: &Engine<'_>, otherwise: u8) -> u8 {
    match engine.kept.as_slice() {
        [] => otherwise,
        _ => FAILED,
    }
}

fn json_of(script: &Script) -> serde_json::Value {
    serde_json::json!({ "program": script.tool.program(), "input": script.text() })
}

fn text(scripts: &[Script]) -> String {
    let mut text = String::new();
    for script in scripts {
        // Writing to a String cannot fail.
        let arguments = script.tool.arguments().join(" ");
        let _ = write!(
            text,
            "# {} {arguments}\n{}",
            script.tool.program(),
            script.text()
        );
    }
    text
}
