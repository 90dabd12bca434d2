//! The whole of a hook: argv and stdin to an event, the event to its effects, and the exit policy.

use crate::{ApplyError, Engine};
use portero_libvirt::{EventError, Hook, HookArguments, OnFailure};
use portero_system::{clean_environment, FileError, Linux, Log, LogSink, Paths, Severity};
use portero_xml::{XmlError, INPUT_LIMIT};
use std::io::Read;
use std::process::ExitCode;

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
    let mut log = Log::new(LogSink::Syslog {
        program: hook.program().to_owned(),
    });
    let arguments = match HookArguments::parse(std::env::args_os().skip(1)) {
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
    let stdin = match hook {
        Hook::Daemon if !hook.concerns(&parent()) => return Ok(()),
        Hook::Daemon => Vec::new(),
        Hook::Network | Hook::Qemu => read_stdin()?,
    };
    let Some(event) = hook.event(&arguments.operation, &stdin)? else {
        let word = arguments.operation.escape_debug();
        log.write(Severity::Debug, format!("operation {word} is not known"));
        return Ok(());
    };
    Engine::new(Paths::default(), &mut Linux::default(), log).handle(&event, &stdin)
}

/// The name of the process that runs this one (`comm` in proc(5)); empty when that is not told.
fn parent() -> String {
    let path = format!("/proc/{}/comm", nix::unistd::getppid());
    let name = std::fs::read_to_string(path).unwrap_or_default();
    name.trim_end().to_owned()
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
