//! The whole of a hook: argv and stdin to an event, the event to its effects, and the exit policy.

use crate::ready::{self, Awaited, Daemon};
use crate::{ApplyError, Engine, State};
use portero_libvirt::{DaemonOperation, Event, EventError, Hook, HookArguments, OnFailure};
use portero_system::{clean_environment, FileError, Linux, Log, LogSink, Paths, Severity};
use portero_xml::{XmlError, INPUT_LIMIT};
use std::ffi::OsString;
use std::io::Read;
use std::process::{ChildStdin, ExitCode};

/// Runs a hook as libvirt calls it.
///
/// A user's own libvirt (`qemu:///session`) runs the hooks of the host as well, with the user's rights. Such a guest has
/// nothing that portero could do for it, so its hook ends before it reads or opens anything.
#[must_use]
pub fn run_hook(hook: Hook) -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        return ExitCode::SUCCESS;
    }
    clean_environment();
    // All four are one program in a package.
    let program = std::env::current_exe();
    let hook = program
        .ok()
        .and_then(|path| Hook::of_program(&path))
        .unwrap_or(hook);
    let mut log = Log::new(LogSink::System);
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if hook == Hook::Daemon {
        if let Some(awaited) = Awaited::parse(&arguments) {
            ready::compare_when_ready(awaited, &mut log);
            return ExitCode::SUCCESS;
        }
    }
    let arguments = match HookArguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // libvirt never does this, so it was a person, who should see an exit status.
            log.refuse(format!("{}: {error}", hook.program()));
            return ExitCode::from(2);
        }
    };
    let Err(error) = handle(hook, &arguments, &mut log) else {
        return ExitCode::SUCCESS;
    };
    match hook.on_failure(&arguments.operation) {
        OnFailure::Refuse => {
            log.refuse(error);
            ExitCode::FAILURE
        }
        OnFailure::Log => {
            log.write(Severity::Error, error);
            ExitCode::SUCCESS
        }
    }
}

fn handle(hook: Hook, arguments: &HookArguments, log: &mut Log) -> Result<(), ApplyError> {
    let daemon = match hook {
        Hook::Daemon => Daemon::of_hook(),
        Hook::Network | Hook::Domain(_) => None,
    };
    let stdin = match (hook, &daemon) {
        (Hook::Daemon, Some(daemon)) if !hook.concerns(&daemon.name) => return Ok(()),
        (Hook::Daemon, _) => Vec::new(),
        (Hook::Network | Hook::Domain(_), _) => read_stdin()?,
    };
    let Some(event) = hook.event(&arguments.operation, &stdin)? else {
        let word = arguments.operation.escape_debug();
        log.write(Severity::Debug, format!("operation {word} is not known"));
        return Ok(());
    };
    let paths = Paths::default();
    // It is started first, so that it is there whatever becomes of this process, and waits until that has ended.
    let _waits = daemon.and_then(|daemon| leave_behind(&daemon, &event, &paths, log));
    let done = Engine::new(paths, &mut Linux::default(), log).handle(&event, &stdin);
    // The process ends: a document of ten thousand forwards need not be taken apart first.
    std::mem::forget(event);
    done
}

/// Starts what compares once more when a daemon has put its own rules in, where there is anything to compare.
fn leave_behind(
    daemon: &Daemon,
    event: &Event,
    paths: &Paths,
    log: &mut Log,
) -> Option<ChildStdin> {
    let Event::Daemon { operation } = event else {
        return None;
    };
    let state = State::new(paths);
    let is_needed = *operation != DaemonOperation::Shutdown
        && Hook::makes_rules(&daemon.name)
        && (state.has_records() || state.has_domains());
    if !is_needed {
        return None;
    }
    daemon
        .compare_when_ready(operation)
        .unwrap_or_else(|error| {
            let message = format!("cannot wait for {} to make its rules: {error}", daemon.name);
            log.write(Severity::Warning, message);
            None
        })
}

/// Reads what libvirt writes, up to the limit. What is beyond is left unread: libvirt's write then
/// ends with EPIPE, which it ignores (`virCommandProcessIO` in src/util/vircommand.c).
fn read_stdin() -> Result<Vec<u8>, ApplyError> {
    let mut stdin = Vec::new();
    std::io::stdin()
        .take(INPUT_LIMIT as u64 + 1)
        .read_to_end(&mut stdin)
        .map_err(|source| FileError::Io {
            action: "read",
            path: "stdin".into(),
            source,
        })?;
    if stdin.len() > INPUT_LIMIT {
        let source = XmlError::TooLong { limit: INPUT_LIMIT };
        return Err(EventError::Xml { source }.into());
    }
    Ok(stdin)
}
