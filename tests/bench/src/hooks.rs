//! The three hooks, run as libvirt runs them at each step of a guest's life.

use crate::cost::Cost;
use crate::process::{run_all, Process};
use crate::recorded::{network_data, Guest, NETWORK};
use crate::world::FOLDER;
use std::io;
use std::path::{Path, PathBuf};

/// The folder with the programs to measure.
#[derive(Debug, Clone)]
pub struct Hooks {
    folder: PathBuf,
}

/// The events of one guest, with their input already in files.
#[derive(Debug, Clone)]
pub struct Life {
    /// qemu `prepare`.
    pub prepare: Process,
    /// network `port-created`.
    pub port_created: Process,
    /// qemu `start`.
    pub start: Process,
    /// qemu `started`.
    pub started: Process,
    /// qemu `stopped`.
    pub stopped: Process,
    /// network `port-deleted`.
    pub port_deleted: Process,
    /// qemu `release`.
    pub release: Process,
}

impl Hooks {
    /// The programs in a folder.
    ///
    /// # Errors
    /// When a hook is not there.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        let hooks = Self {
            folder: folder.to_owned(),
        };
        for name in ["qemu", "network", "daemon"] {
            let program = hooks.program(name);
            if !program.exists() {
                return Err(io::Error::other(format!(
                    "{} is not there: build the hooks with --release, or say --programs FOLDER",
                    program.display()
                )));
            }
        }
        Ok(hooks)
    }

    /// The path of a hook: `qemu`, `network` or `daemon`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(format!("portero-{name}-hook"))
    }

    /// The path of the operator's command.
    #[must_use]
    pub fn operator_command(&self) -> PathBuf {
        self.folder.join("portero")
    }

    /// The path of the service.
    #[must_use]
    pub fn watch(&self) -> PathBuf {
        self.folder.join("portero-watch")
    }

    /// daemon `start`.
    #[must_use]
    pub fn daemon_start(&self) -> Process {
        Process::new(self.program("daemon"), ["-", "start", "-", "start"])
    }

    /// network `started` of a network with reservations for these guests.
    ///
    /// # Errors
    /// When its input cannot be written.
    pub fn network_started(&self, reserved: &[Guest]) -> io::Result<Process> {
        let file = Path::new(FOLDER).join("network.xml");
        std::fs::write(&file, network_data(reserved))?;
        let arguments = [NETWORK, "started", "begin", "-"];
        Ok(Process::new(self.program("network"), arguments).reading(&file))
    }

    /// All events of a guest on a network with reservations for `reserved`.
    ///
    /// # Errors
    /// When their input cannot be written.
    pub fn life(&self, guest: &Guest, reserved: &[Guest]) -> io::Result<Life> {
        let name = guest.name();
        let domain = Path::new(FOLDER).join(format!("{name}.xml"));
        let port = Path::new(FOLDER).join(format!("{name}-port.xml"));
        std::fs::write(&domain, guest.domain_xml())?;
        std::fs::write(&port, guest.port_xml(reserved))?;
        let qemu = |operation| domain_event(&self.program("qemu"), &name, operation, &domain);
        let network = |operation| {
            let arguments = [NETWORK, operation, "begin", "-"];
            Process::new(self.program("network"), arguments).reading(&port)
        };
        Ok(Life {
            prepare: qemu("prepare"),
            port_created: network("port-created"),
            start: qemu("start"),
            started: qemu("started"),
            stopped: qemu("stopped"),
            port_deleted: network("port-deleted"),
            release: qemu("release"),
        })
    }
}

/// A qemu hook's event as libvirt's argv and stdin.
#[must_use]
pub fn domain_event(program: &Path, name: &str, operation: &str, domain: &Path) -> Process {
    let sub_operation = if operation == "stopped" || operation == "release" {
        "end"
    } else {
        "begin"
    };
    Process::new(program, [name, operation, sub_operation, "-"]).reading(domain)
}

impl Life {
    /// Everything of a start; the time of all processes.
    ///
    /// # Errors
    /// Those of the hooks.
    pub fn begin(&self) -> io::Result<Cost> {
        run_all([
            &self.prepare,
            &self.port_created,
            &self.start,
            &self.started,
        ])
    }

    /// Everything of a stop; the time of all processes.
    ///
    /// # Errors
    /// Those of the hooks.
    pub fn end(&self) -> io::Result<Cost> {
        run_all([&self.stopped, &self.port_deleted, &self.release])
    }

    /// One throw-away start and stop, after which the hooks trust what they have recorded.
    ///
    /// # Errors
    /// Those of the hooks, and when they do not trust it yet.
    pub fn gain_trust(&self) -> io::Result<()> {
        self.begin()?;
        self.end()?;
        if Path::new("/run/portero/clean").exists() {
            Ok(())
        } else {
            Err(io::Error::other("the hooks left no /run/portero/clean"))
        }
    }
}
