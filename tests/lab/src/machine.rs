//! One host of the lab with its libvirt: the commands that are run on it, and its files.

use crate::daemons;
use crate::guest::Image;
use crate::program::{run_bounded, Program, Ran};
use crate::xml::{self, DomainXml, NetworkXml, Processor};
use crate::Backend;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A host.
#[derive(Debug)]
pub struct Machine {
    /// The process whose namespaces it is; none for those of the present program.
    process: Option<u32>,
    agent: PathBuf,
    image: Image,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) backend: Backend,
}

impl Machine {
    /// The host that the present program, or a process, is in.
    pub(crate) fn new(
        process: Option<u32>,
        agent: PathBuf,
        image: Image,
        backend: Backend,
    ) -> Self {
        let mut machine = Self {
            process,
            agent,
            image,
            log: Arc::default(),
            backend,
        };
        machine.log = collect_log(&machine.path("/dev/log"));
        machine
    }

    /// A file of the host, as the present program finds it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        match self.process {
            Some(process) => format!("/proc/{process}/root{path}").into(),
            None => path.into(),
        }
    }

    fn command(&self, program: &str) -> Command {
        let Some(process) = self.process else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={process}"));
        command.args(["--mount", "--net", "--uts", "--", program]);
        command
    }

    /// Starts a program on the host.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, program: &str, arguments: &[&str]) -> Program {
        Program::spawn(self.command(program).args(arguments))
    }

    /// The firewall that libvirt was told to use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether this libvirt lets its firewall be chosen: 10.4 and later do.
    #[must_use]
    pub fn can_switch_backend(&self) -> bool {
        let version = self.virsh(&["version", "--daemon"]);
        let running = version.lines().find(|line| line.contains("daemon"));
        let numbers = running.and_then(|line| line.rsplit(' ').next());
        let mut numbers = numbers.unwrap_or_default().split('.');
        let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
        (next(), next()) >= (Some(10), Some(4))
    }

    /// The path of the agent on the host.
    #[must_use]
    pub fn agent(&self) -> String {
        self.agent.to_string_lossy().into_owned()
    }

    /// Runs a program on the host.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        run_bounded(self.command(program).args(arguments))
    }

    /// Runs a program on the machine outside.
    #[must_use]
    pub fn outside(&self, program: &str, arguments: &[&str]) -> Ran {
        self.inside("outside", program, arguments)
    }

    /// Runs a program in a network namespace.
    #[must_use]
    pub fn inside(&self, namespace: &str, program: &str, arguments: &[&str]) -> Ran {
        run_bounded(
            Command::new("ip")
                .args(["netns", "exec", namespace, program])
                .args(arguments),
        )
    }

    /// Runs a program on the host that has to succeed; gives its stdout.
    ///
    /// # Panics
    /// When it fails.
    pub fn must(&self, program: &str, arguments: &[&str]) -> String {
        let ran = self.run(program, arguments);
        assert!(ran.ok, "{program} {}: {ran:?}", arguments.join(" "));
        ran.stdout
    }

    /// Runs `ip` with the words of a line, which has to succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.must("ip", &words);
    }

    /// Runs virsh, whatever comes of it.
    #[must_use]
    pub fn try_virsh(&self, arguments: &[&str]) -> Ran {
        self.run(
            "virsh",
            &[&["-q", "-c", "qemu:///system"], arguments].concat(),
        )
    }

    /// Runs virsh, which has to succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn virsh(&self, arguments: &[&str]) -> String {
        let ran = self.try_virsh(arguments);
        assert!(ran.ok, "virsh {}: {}", arguments.join(" "), ran.stderr);
        ran.stdout
    }

    /// Writes a file and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = format!("/run/lab/files/{name}");
        fs::write(self.path(&path), content).expect("a file of the lab");
        path
    }

    /// Defines a network and starts it.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn start_network(&self, network: &NetworkXml<'_>) {
        self.define_network(network);
        self.virsh(&["net-start", network.name]);
    }

    /// Stops and undefines a network.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn remove_network(&self, name: &str) {
        for verb in ["net-destroy", "net-undefine"] {
            self.virsh(&[verb, name]);
        }
    }

    /// Defines a network.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn define_network(&self, network: &NetworkXml<'_>) {
        let path = self.file("network.xml", &xml::network(network));
        self.virsh(&["net-define", &path]);
    }

    /// The XML of a domain that boots the lab's image.
    #[must_use]
    pub fn domain_xml(&self, domain: &DomainXml<'_>) -> String {
        xml::domain(
            domain,
            Processor::Emulated,
            (
                &self.image.kernel.to_string_lossy(),
                &self.image.initrd.to_string_lossy(),
            ),
            &format!("/run/lab/files/{}.console", domain.name),
        )
    }

    /// Defines a domain.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn define(&self, domain: &DomainXml<'_>) {
        let path = self.file("domain.xml", &self.domain_xml(domain));
        self.virsh(&["define", &path]);
    }

    /// Waits until a guest's agent answers at its own address.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn wait_guest(&self, address: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.run(&self.agent(), &["ask", address, "ping"]).ok {
            assert!(Instant::now() < end, "no guest answers at {address}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The rules of both families in libvirt's firewall, without comments and counters.
    #[must_use]
    pub fn rules(&self) -> String {
        if self.backend == Backend::Nftables {
            return self.must("nft", &["-s", "list", "ruleset"]);
        }
        let mut rules = String::new();
        for program in ["iptables-save", "ip6tables-save"] {
            for line in self
                .must(program, &[])
                .lines()
                .filter(|line| !line.starts_with('#'))
            {
                // A built-in chain that has come does nothing by itself.
                if line.starts_with(':') && line.contains(" ACCEPT [") {
                    continue;
                }
                let chain = line.starts_with(':');
                let line = line.split(" [").next().filter(|_| chain).unwrap_or(line);
                rules += &format!("{line}\n");
            }
        }
        rules
    }

    /// Messages that were sent to syslog since the last call.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        // What was sent just now is read by the other thread.
        std::thread::sleep(Duration::from_millis(50));
        std::mem::take(&mut *self.log.lock().expect("the log"))
    }

    /// Whether its libvirt has a daemon for each driver.
    #[must_use]
    pub fn is_modular(&self) -> bool {
        daemons::is_modular(&self.path("/"))
    }

    pub(crate) fn wait_for_libvirtd(&self) {
        daemons::wait_for_networks(&self.path("/"), |arguments| self.run("virsh", arguments).ok);
        let end = Instant::now() + Duration::from_secs(30);
        while !self.try_virsh(&["version"]).ok {
            assert!(
                Instant::now() < end,
                "libvirtd does not answer: {}",
                fs::read_to_string(self.path(daemons::LOG)).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A syslog daemon that keeps what it is sent.
fn collect_log(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).expect("/dev/log");
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            kept.lock().expect("the log").push(message);
        }
    });
    log
}
