//! `portero`, the operator's command: looks at and mends what the hooks have done.

mod args;
mod bridge;
mod candidates;
mod complete;
mod doctor;
mod engine;
mod everybody;
mod exit;
mod explain;
mod forward;
mod host_port;
mod import;
mod input;
mod json;
mod lasting;
mod map;
mod named;
mod page;
mod policy;
mod report;
mod rules;
#[cfg(test)]
mod snapshot;
mod status;
mod stop;
mod stopped;
mod suggest;
mod svg;
mod table;
mod terminal;
mod text;
mod validate;
mod who;

use args::{Args, Command};
use clap::Parser;
use exit::{DONE, FAILED};
use portero_engine::Engine;
use portero_system::clean_environment;
use std::convert::Infallible;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    complete::answer();
    let args = Args::try_parse().unwrap_or_else(|error| suggest::improve(error).exit());
    let colors = terminal::Colors::detect();
    terminal::decide_colors();
    let terminal = map::Terminal::detect();
    let connect = args.connect.as_deref();
    // What libvirt is asked, it may know of another host, and of a user who is not root.
    let is_libvirts = match &args.command {
        Command::Forward(_) => true,
        Command::Import(args) => args.set,
        _ => false,
    };
    if !is_libvirts {
        if connect.is_some() {
            terminal::error(
                "-c is for 'forward' and 'import --set', the other commands work on this host",
            );
            return ExitCode::from(2);
        }
        clean_environment();
    }
    let needs_root = !matches!(
        args.command,
        Command::Forward(_) | Command::Import(_) | Command::Validate { .. } | Command::Page { .. }
    );
    if needs_root && !nix::unistd::geteuid().is_root() {
        terminal::error(
            "only root can read the firewall and the network files, expected to be run as root",
        );
        return ExitCode::from(FAILED);
    }
    match &args.command {
        Command::Rules(command) => finish(rules::run(command)),
        Command::Status {
            format: Some(format),
            output,
            ..
        } => finish(with_engine(|engine| {
            status::tell_metrics(*format, output.as_deref(), engine)
        })),
        Command::Status {
            name, json, watch, ..
        } => {
            let name = name.as_ref();
            let form = if *json {
                status::Form::Json
            } else {
                status::Form::Tables(colors)
            };
            if *watch {
                finish(with_engine(|engine| status::tell_again(name, form, engine)))
            } else {
                finish(with_engine(|engine| {
                    let told = status::tell_once(name, form, engine);
                    match (&told, name) {
                        // What is off has forwards that are written.
                        (Err(named::NamedError::Nobody { .. }), Some(name)) if !*json => {
                            forward::of_one(name, engine)?.map_or(told, |text| Ok((text, DONE)))
                        }
                        _ => told,
                    }
                }))
            }
        }
        Command::Doctor { json } => finish(with_engine(|engine| doctor::run(*json, engine))),
        Command::Explain(explained) => finish(with_engine(|engine| {
            explain::run(explained, colors, engine)
        })),
        Command::Map { name, format } => finish(with_engine(|engine| {
            map::run(name.as_ref(), *format, terminal, engine)
        })),
        Command::Policy(command) => finish(with_engine(|engine| policy::run(command, engine))),
        Command::Forward(command) => finish(forward::run(connect, command)),
        Command::Bridge(command) => finish(bridge::run(command, colors)),
        Command::Import(args) => finish(import::run(connect, args).map(|text| (text, DONE))),
        Command::Report(args) => finish(report::run(args).map(|text| (text, DONE))),
        Command::Page { name } => {
            let text = name
                .as_deref()
                .map_or_else(|| Some(page::list()), page::page);
            finish(text.map(|text| (text, DONE)).ok_or("there is no such page"))
        }
        Command::Validate { files } => finish(Ok::<_, Infallible>(validate::run(files))),
    }
}

fn with_engine<T>(work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
    engine::with_engine(terminal::log_sink(), work)
}

/// Prints what came of a command and gives the exit status.
fn finish<E: std::fmt::Display>(result: Result<(String, u8), E>) -> ExitCode {
    match result {
        Ok((text, code)) => match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever read our output has read enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                terminal::error(format!("cannot write: {error}"));
                ExitCode::from(FAILED)
            }
            _ => ExitCode::from(code),
        },
        Err(error) => {
            terminal::error(error);
            ExitCode::from(FAILED)
        }
    }
}
