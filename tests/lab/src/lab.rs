//! The lab itself: a host with libvirtd, and a machine outside.

use crate::daemons::{self, Clients, Daemons, Driver};
use crate::guest::{self, Image};
use crate::host;
use crate::machine::Machine;
use crate::program::Program;
use crate::root;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The agent's path on a host.
pub(crate) const AGENT: &str = "/run/lab/files/agent";

/// libvirt's settings for guests without isolation from the lab, which is isolated itself.
const QEMU_CONF: &str = r#"user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "file"
"#;

/// What lab to make.
#[derive(Debug)]
pub struct Options {
    /// The program `portero-lab-agent`.
    pub agent: PathBuf,
    /// A Debian tree with the libvirt to test.
    pub root: PathBuf,
    /// The firewall that libvirt is told to use.
    pub backend: Backend,
}

/// libvirt's `firewall_backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// iptables, the only one before libvirt 10.4.
    Iptables,
    /// nftables.
    Nftables,
}

impl Backend {
    /// Its name in network.conf.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

impl Backend {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Iptables => Self::Nftables,
            Self::Nftables => Self::Iptables,
        }
    }
}

impl Options {
    /// The cell of the matrix that the environment names: `PORTERO_LAB_ROOT` (a Debian tree of
    /// tests/roots) and `PORTERO_LAB_BACKEND` (`iptables`, which it is without, or
    /// `nftables`).
    ///
    /// # Panics
    /// When there is no tree, or the backend is another word.
    #[must_use]
    pub fn from_environment(agent: impl Into<PathBuf>) -> Self {
        let backend = match std::env::var("PORTERO_LAB_BACKEND").as_deref() {
            Ok("iptables") | Err(_) => Backend::Iptables,
            Ok("nftables") => Backend::Nftables,
            Ok(other) => panic!("PORTERO_LAB_BACKEND is '{other}', expected iptables or nftables"),
        };
        Self {
            agent: agent.into(),
            root: std::env::var_os("PORTERO_LAB_ROOT")
                .expect("PORTERO_LAB_ROOT, a Debian tree of tests/roots, from the Makefile")
                .into(),
            backend,
        }
    }
}

/// Takes the Debian tree that is to be tested for the root, for what needs its programs alone.
pub fn take_root(options: &Options) {
    root::enter(&options.root, &[&project(), program_folder(options)]);
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    machine: Machine,
    daemons: Daemons,
    outside_agent: Child,
}

impl Deref for Lab {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Lab {
    /// Makes the host and starts libvirtd.
    ///
    /// # Panics
    /// When any part of it fails.
    #[must_use]
    pub fn boot(options: &Options) -> Self {
        Self::boot_with(options, install)
    }

    /// As [`Lab::boot`], on a host that has no portero yet.
    ///
    /// # Panics
    /// When any part of it fails.
    #[must_use]
    pub fn boot_without_portero(options: &Options) -> Self {
        Self::boot_with(options, || ())
    }

    fn boot_with(options: &Options, install: fn()) -> Self {
        let image = furnish(options, host::make);
        // Before anything has something to say.
        let machine = Machine::new(None, AGENT.into(), image, options.backend);
        install();
        let outside_agent = Command::new("ip")
            .args(["netns", "exec", "outside"])
            .args([AGENT, "serve", "outside"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the agent outside");
        let lab = Self {
            machine,
            daemons: Daemons::start(Clients::Local),
            outside_agent,
        };
        lab.wait_for_libvirtd();
        lab
    }

    /// Tells libvirt which firewall to use, from its next start on.
    ///
    /// # Panics
    /// When network.conf cannot be written.
    pub fn configure_backend(&self, backend: Backend) {
        set_backend(backend);
    }

    /// Lets libvirt use another firewall from now on.
    ///
    /// # Panics
    /// When libvirtd does not start with it.
    pub fn use_backend(&mut self, backend: Backend) {
        set_backend(backend);
        self.machine.backend = backend;
        self.restart_libvirtd();
    }

    /// Starts a program of the host's own that serves TCP at `address:port`.
    ///
    /// # Panics
    /// When it does not listen.
    #[must_use]
    pub fn listen(&self, address: &str) -> Program {
        let program = Program::start(&self.agent(), &["listen", address]);
        let end = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "nothing listens on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    /// Starts a system bus that answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn system_bus(&self) -> Program {
        fs::create_dir_all("/run/dbus").expect("/run/dbus");
        self.must("dbus-uuidgen", &["--ensure"]);
        let bus = Program::start("dbus-daemon", &["--system", "--nofork", "--nopidfile"]);
        let bus = bus.with_socket("/run/dbus/system_bus_socket");
        let question = ["--system", "--print-reply", "--dest=org.freedesktop.DBus"];
        let question = [&question[..], &["/", "org.freedesktop.DBus.GetId"]].concat();
        let end = Instant::now() + Duration::from_secs(30);
        while !self.run("dbus-send", &question).ok {
            assert!(Instant::now() < end, "the bus does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        bus
    }

    /// Sends bridged frames through iptables, or does not (`net.bridge.bridge-nf-call-*`).
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn set_bridge_netfilter(&self, value: &str) {
        host::set_bridge_netfilter(value);
        let setting = self.must("sysctl", &["-n", "net.bridge.bridge-nf-call-iptables"]);
        assert_eq!(
            setting.trim(),
            value,
            "this kernel has no br_netfilter to test with"
        );
    }

    /// Ends libvirt's daemons as their service manager would and starts them again; guests go on.
    ///
    /// # Panics
    /// When one does not end or start.
    pub fn restart_libvirtd(&mut self) {
        self.daemons.end_all();
        self.daemons = Daemons::start(Clients::Local);
        self.wait_for_libvirtd();
    }

    /// Sends libvirt's daemons a signal.
    pub fn signal_libvirtd(&self, signal: &str) {
        for name in daemons::all() {
            self.daemons.signal(name, signal);
        }
    }

    /// libvirt's daemons on this host: one for all, or one for each driver.
    #[must_use]
    pub fn daemons(&self) -> &'static [&'static str] {
        daemons::all()
    }

    /// Sends one of them a signal.
    pub fn signal_daemon(&self, name: &str, signal: &str) {
        self.daemons.signal(name, signal);
    }

    /// Sends one of them a signal that ends it, and waits for that.
    ///
    /// # Panics
    /// When it does not run.
    pub fn end_daemon(&mut self, name: &str, signal: &str) {
        self.daemons.end(name, signal);
    }

    /// Starts one that does not run, and waits for libvirt to answer and to have taken up its guests.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_daemon(&mut self, name: &'static str) {
        self.daemons.start_one(name);
        self.wait_for_libvirtd();
        self.daemons.wait_for_guests(name);
    }

    /// Ends the daemon with the networks and starts it again; none of the others is asked for anything.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_networks(&mut self) {
        let name = Driver::Network.daemon();
        self.daemons.end(name, "TERM");
        self.daemons.start_one(name);
    }

    /// Ends one with a signal and starts it again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_daemon(&mut self, name: &'static str, signal: &str) {
        self.end_daemon(name, signal);
        self.start_daemon(name);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The PID namespace takes whatever is left with it.
        let _ = self.outside_agent.kill();
    }
}

/// Makes a host of the present namespaces, up to what libvirtd reads when it starts.
pub(crate) fn furnish(options: &Options, make: fn()) -> Image {
    take_root(options);
    make();
    fs::create_dir_all("/run/lab/files").expect("folder for files");
    fs::copy(&options.agent, AGENT).expect("the agent");
    let image = guest::make(Path::new("/run/lab/files"), Path::new(AGENT));
    fs::create_dir_all("/etc/libvirt").expect("/etc/libvirt");
    fs::write("/etc/libvirt/qemu.conf", QEMU_CONF).expect("qemu.conf");
    daemons::configure("");
    set_backend(options.backend);
    for stale in ["/etc/libvirt/qemu", "/var/lib/libvirt/qemu/save"] {
        let _ = fs::remove_dir_all(stale);
    }
    image
}

/// Installs portero as its users do.
pub(crate) fn install() {
    let root = project().to_string_lossy().into_owned();
    let install = [
        "--no-print-directory",
        "-C",
        &root,
        "install",
        "PREFIX=/usr",
    ];
    host::must("make", &install);
}

/// The project's folder.
pub(crate) fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().expect("the project's folder")
}

/// The folder with what cargo has built, as far as it can be told from a program in it.
pub(crate) fn program_folder(options: &Options) -> &Path {
    let profile = options.agent.parent();
    profile
        .and_then(Path::parent)
        .expect("the agent stands in cargo's target folder")
}

/// Tells libvirt which firewall to use; one before 10.4 does not read that.
fn set_backend(backend: Backend) {
    let setting = format!("firewall_backend = \"{}\"\n", backend.name());
    fs::write("/etc/libvirt/network.conf", setting).expect("network.conf");
    if backend == Backend::Nftables {
        host::excuse_checksum_action();
    }
}
