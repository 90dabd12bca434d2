//! `portero`, the operator's command: looks at and mends what the hooks have done.

mod args;
mod bridge;
mod forward;
mod network;
mod status;

use args::{Args, Command, RulesCommand};
use clap::Parser;
use portero_apply::{clean_environment, ApplyError, Engine, Host, Log, LogSink, Paths};
use portero_plan::Script;
use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

/// Nothing to do, or done.
const DONE: u8 = 0;
/// `portero plan` found something to change.
const CHANGES: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let connect = args.connect.as_deref();
    match &args.command {
        Command::Rules(command) => here(connect, || finish(with_engine(command))),
        Command::Forward(command) => finish(forward::run(connect, command)),
        Command::Bridge(command) => here(connect, || finish(bridge::run(command))),
    }
}

/// Works on this host, which no other libvirt has a part in.
fn here(connect: Option<&str>, work: impl FnOnce() -> ExitCode) -> ExitCode {
    if connect.is_some() {
        eprintln!("portero: -c is for 'forward', the other commands work on this host");
        return ExitCode::from(2);
    }
    clean_environment();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("portero: only root can read the firewall and the network files, expected to be run as root");
        return ExitCode::FAILURE;
    }
    work()
}

fn with_engine(command: &RulesCommand) -> Result<(String, u8), ApplyError> {
    let mut log = Log::new(LogSink::Stderr);
    let mut host = Host;
    let mut engine = Engine::new(Paths::default(), &mut host, &mut log);
    run(command, &mut engine)
}

/// Prints what came of a command and gives the exit status.
fn finish<E: std::fmt::Display>(result: Result<(String, u8), E>) -> ExitCode {
    match result {
        Ok((text, code)) => match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever read our output has read enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                eprintln!("portero: cannot write: {error}");
                ExitCode::FAILURE
            }
            _ => ExitCode::from(code),
        },
        Err(error) => {
            eprintln!("portero: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &RulesCommand, engine: &mut Engine<'_>) -> Result<(String, u8), ApplyError> {
    match command {
        RulesCommand::Sync => engine.sync().map(|()| (String::new(), DONE)),
        RulesCommand::Plan { json } => {
            let scripts = engine.plan()?;
            let code = if scripts.is_empty() { DONE } else { CHANGES };
            let text = if *json {
                status::to_json(&scripts.iter().map(json_of).collect::<Vec<_>>())
            } else {
                plan_text(&scripts)
            };
            Ok((text, code))
        }
        RulesCommand::Status { json } => {
            let owners = engine.status()?;
            let text = if *json {
                status::to_json(&status::rows(&owners))
            } else {
                status::table(&status::rows(&owners))
            };
            Ok((text, DONE))
        }
    }
}

fn json_of(script: &Script) -> serde_json::Value {
    serde_json::json!({ "program": script.tool.program(), "input": script.text })
}

fn plan_text(scripts: &[Script]) -> String {
    let mut text = String::new();
    for script in scripts {
        // Writing to a String cannot fail.
        let arguments = script.tool.arguments().join(" ");
        let _ = write!(
            text,
            "# {} {arguments}\n{}",
            script.tool.program(),
            script.text
        );
    }
    text
}
