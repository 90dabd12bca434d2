//! libvirt's daemons on a host of the lab: one for all, or one for each driver, whichever its tree has.

use crate::program::run_bounded;
use crate::wait::wait_until;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where they write their log.
pub(crate) const LOG: &str = "/run/lab/libvirtd.log";

/// The one for all.
const MONOLITHIC: &str = "libvirtd";

/// Those of a libvirt that is divided: each after those whom it asks when it starts.
const MODULAR: [&str; 8] = [
    "virtnetworkd",
    "virtnwfilterd",
    "virtnodedevd",
    "virtinterfaced",
    "virtsecretd",
    "virtlxcd",
    "virtqemud",
    "virtproxyd",
];

/// What each of them reads when it starts.
const CONF: &str = r#"auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
log_filters = "1:util.hook 4:*"
log_outputs = "1:stderr"
"#;

/// How long one may take to start.
const START: Duration = Duration::from_secs(30);

/// What of libvirt a daemon has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// QEMU's domains.
    Qemu,
    /// Containers.
    Lxc,
    /// Networks.
    Network,
    /// What comes from elsewhere.
    Remote,
}

impl Driver {
    /// The daemon that has it.
    #[must_use]
    pub fn daemon(self) -> &'static str {
        match self {
            _ if !is_modular(Path::new("/")) => MONOLITHIC,
            Self::Qemu => "virtqemud",
            Self::Lxc => "virtlxcd",
            Self::Network => "virtnetworkd",
            Self::Remote => "virtproxyd",
        }
    }
}

/// Whether the tree of a host has a libvirt that is divided.
pub(crate) fn is_modular(root: &Path) -> bool {
    let sbin = root.join("usr/sbin");
    sbin.join("virtqemud").exists() && !sbin.join(MONOLITHIC).exists()
}

/// All daemons of this host's libvirt, in the order in which they are started.
pub(crate) fn all() -> &'static [&'static str] {
    if is_modular(Path::new("/")) {
        &MODULAR
    } else {
        &[MONOLITHIC]
    }
}

/// Who has to reach a host's daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// The host's own.
    Local,
    /// Those of other hosts too, without encryption.
    Remote,
}

/// Daemons that run.
#[derive(Debug, Default)]
pub(crate) struct Daemons {
    running: Vec<(&'static str, Child)>,
}

impl Daemons {
    /// Starts them all.
    pub(crate) fn start(clients: Clients) -> Self {
        let mut daemons = Self::default();
        for name in all() {
            let words: &[&str] = match clients {
                Clients::Remote if *name == Driver::Remote.daemon() => listen(name),
                _ => &[name],
            };
            daemons.run(name, words);
        }
        daemons
    }

    /// Starts one, and waits until those that need it find it.
    pub(crate) fn start_one(&mut self, name: &'static str) {
        self.run(name, &[name]);
    }

    fn run(&mut self, name: &'static str, words: &[&str]) {
        let (program, arguments) = words.split_first().expect("a program");
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        self.running.push((name, child));
        if is_modular(Path::new("/")) && name == Driver::Network.daemon() {
            wait_for_networks(Path::new("/"), |arguments| {
                run_bounded(Command::new("virsh").args(arguments)).ok
            });
        }
    }

    /// Its process.
    pub(crate) fn id(&self, name: &str) -> u32 {
        let mut running = self.running.iter();
        let found = running.find(|(known, _)| *known == name);
        found
            .unwrap_or_else(|| panic!("{name} does not run"))
            .1
            .id()
    }

    /// Waits until one has taken up the guests that run: to end one meanwhile is an error of libvirt's.
    pub(crate) fn wait_for_guests(&self, name: &str) {
        let tasks = format!("/proc/{}/task", self.id(name));
        // `daemonStateInit` in src/remote/remote_daemon.c, `qemuProcessReconnectHelper` in src/qemu/qemu_process.c.
        let is_starting = |thread: fs::DirEntry| {
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            name.starts_with("daemon-init") || name.starts_with("init-")
        };
        wait_until(START, "a daemon does not come to rest", || {
            let mut threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
            !threads.any(is_starting)
        });
    }

    /// Sends a signal to one.
    pub(crate) fn signal(&self, name: &str, signal: &str) {
        let pid = self.id(name).to_string();
        crate::host::must("kill", &["-s", signal, &pid]);
    }

    /// Sends a signal to one that ends it, and waits for that.
    pub(crate) fn end(&mut self, name: &str, signal: &str) {
        self.signal(name, signal);
        let index = self.running.iter().position(|(known, _)| *known == name);
        let (_, mut child) = self.running.remove(index.expect("it runs"));
        child.wait().expect("its end");
    }

    /// Ends them all as their service manager would, the last first.
    pub(crate) fn end_all(&mut self) {
        for name in all().iter().rev() {
            self.end(name, "TERM");
        }
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What starts a daemon that listens for other hosts: one of a libvirt that is divided has no option for it, and gets the
/// socket from systemd, with the first connection.
fn listen(name: &str) -> &'static [&'static str] {
    if name == MONOLITHIC {
        return &[MONOLITHIC, "--listen"];
    }
    &[
        "systemd-socket-activate",
        "--listen=16509",
        "--fdname=virtproxyd-tcp.socket",
        "/usr/sbin/virtproxyd",
    ]
}

/// Where a daemon writes its log.
pub(crate) fn log() -> fs::File {
    let mut options = fs::File::options();
    let log = options.create(true).append(true).open(LOG);
    log.expect("libvirt's log")
}

/// Writes what the daemons of this host read, with something more.
pub(crate) fn configure(more: &str) {
    for name in all() {
        let path = format!("/etc/libvirt/{name}.conf");
        fs::write(&path, format!("{CONF}{more}")).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Waits until the daemon with the networks of a host answers, where it is one of its own.
pub(crate) fn wait_for_networks(root: &Path, virsh: impl Fn(&[&str]) -> bool) {
    if !is_modular(root) {
        return;
    }
    let end = Instant::now() + START;
    while !virsh(&["-q", "-c", "network:///system", "net-list"]) {
        assert!(
            Instant::now() < end,
            "virtnetworkd does not answer: {}",
            fs::read_to_string(root.join(LOG.trim_start_matches('/'))).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
