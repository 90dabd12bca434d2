//! The whole of a hook: argv and stdin to an event, the event to its effects, and the exit policy.

use crate::bounded::PROGRAM_FOLDERS;
use crate::{ApplyError, Engine, Host, Log, LogSink, Paths, Severity};
use portero_libvirt::{
    DaemonOperation, Event, EventError, HookArguments, NetworkOperation, QemuOperation,
};
use portero_xml::{XmlError, INPUT_LIMIT};
use std::io::Read;
use std::process::ExitCode;

/// Which hook of libvirt a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// /etc/libvirt/hooks/network.d
    Network,
    /// /etc/libvirt/hooks/qemu.d
    Qemu,
    /// /etc/libvirt/hooks/daemon.d
    Daemon,
}

/// What a failure may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Refuse what the user asked for, with one line that virsh shows.
    Refuse,
    /// Be logged; libvirt must not notice, since it would kill a guest or leak a network.
    Log,
}

impl Hook {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Network, Self::Qemu, Self::Daemon];

    /// Its program.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Network => "portero-network-hook",
            Self::Qemu => "portero-qemu-hook",
            Self::Daemon => "portero-daemon-hook",
        }
    }

    /// Its folder below libvirt's `hooks`.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Network => "network.d",
            Self::Qemu => "qemu.d",
            Self::Daemon => "daemon.d",
        }
    }

    /// The exit policy: only `prepare` and `start` may refuse.
    #[must_use]
    pub fn on_failure(self, operation: &str) -> OnFailure {
        let may_refuse = match self {
            Self::Network => NetworkOperation::from(operation).may_refuse(),
            Self::Qemu => QemuOperation::from(operation).may_refuse(),
            Self::Daemon => false,
        };
        if may_refuse {
            OnFailure::Refuse
        } else {
            OnFailure::Log
        }
    }

    /// The event of an operation; nothing for one that is not known.
    ///
    /// # Errors
    /// [`EventError`] when libvirt's input cannot be understood.
    pub fn event(self, operation: &str, stdin: &[u8]) -> Result<Option<Event>, EventError> {
        Ok(match self {
            Self::Network => match NetworkOperation::from(operation) {
                NetworkOperation::Unknown(_) => None,
                operation => Some(Event::network(operation, stdin)?),
            },
            Self::Qemu => match QemuOperation::from(operation) {
                QemuOperation::Unknown(_) => None,
                operation => Some(Event::domain(operation, stdin)?),
            },
            Self::Daemon => Some(Event::Daemon {
                operation: DaemonOperation::from(operation),
            }),
        })
    }
}

/// Leaves nothing of the caller's environment but a fixed PATH.
pub fn clean_environment() {
    for (name, _) in std::env::vars_os() {
        std::env::remove_var(name);
    }
    std::env::set_var("PATH", PROGRAM_FOLDERS.join(":"));
    std::env::set_var("LC_ALL", "C");
}

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
        Hook::Daemon => Vec::new(),
        Hook::Network | Hook::Qemu => read_stdin()?,
    };
    let Some(event) = hook.event(&arguments.operation, &stdin)? else {
        let word = arguments.operation.escape_debug();
        log.write(Severity::Debug, format!("operation {word} is not known"));
        return Ok(());
    };
    Engine::new(Paths::default(), &mut Host::default(), log).handle(&event, &stdin)
}

/// Reads what libvirt writes, up to the limit. What is beyond is left unread: libvirt's write then
/// ends with EPIPE, which it ignores (`virCommandProcessIO` in src/util/vircommand.c).
fn read_stdin() -> Result<Vec<u8>, ApplyError> {
    let mut stdin = Vec::new();
    std::io::stdin()
        .take(INPUT_LIMIT as u64 + 1)
        .read_to_end(&mut stdin)
        .map_err(|source| ApplyError::File {
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
