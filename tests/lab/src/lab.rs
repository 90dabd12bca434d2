//! The lab itself: libvirtd, its guests, and the commands that are run on the host and outside.

use crate::guest::{self, Image};
use crate::host;
use crate::root;
use crate::xml::{self, DomainXml, NetworkXml};
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest time any command of the lab may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

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

const LIBVIRTD_CONF: &str = r#"auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
log_filters = "1:util.hook 4:*"
log_outputs = "1:stderr"
"#;

/// What lab to make.
#[derive(Debug)]
pub struct Options {
    /// The program `portero-lab-agent`.
    pub agent: PathBuf,
    /// A Debian tree with the libvirt to test; the machine's own when absent.
    pub root: Option<PathBuf>,
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
    /// The cell of the matrix that the environment names: `PORTERO_LAB_ROOT` (a folder, none for
    /// the machine's own libvirt) and `PORTERO_LAB_BACKEND` (`iptables`, which it is without, or
    /// `nftables`).
    ///
    /// # Panics
    /// When the backend is another word.
    #[must_use]
    pub fn from_environment(agent: impl Into<PathBuf>) -> Self {
        let backend = match std::env::var("PORTERO_LAB_BACKEND").as_deref() {
            Ok("iptables") | Err(_) => Backend::Iptables,
            Ok("nftables") => Backend::Nftables,
            Ok(other) => panic!("PORTERO_LAB_BACKEND is '{other}', expected iptables or nftables"),
        };
        Self {
            agent: agent.into(),
            root: std::env::var_os("PORTERO_LAB_ROOT").map(PathBuf::from),
            backend,
        }
    }
}

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Whether it exited 0 in time.
    pub ok: bool,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

/// A program that ends with the value.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot run {program}: {error}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    libvirtd: Child,
    agent: PathBuf,
    image: Image,
    log: Arc<Mutex<Vec<String>>>,
    outside_agent: Child,
    backend: Backend,
}

impl Lab {
    /// Makes the host and starts libvirtd.
    ///
    /// # Panics
    /// When any part of it fails.
    #[must_use]
    pub fn boot(options: &Options) -> Self {
        match &options.root {
            Some(root) => root::enter(root, &[project().as_path(), program_folder(options)]),
            None => host::overlay(),
        }
        host::make();
        fs::create_dir_all("/run/lab/files").expect("folder for files");
        let agent = PathBuf::from("/run/lab/files/agent");
        fs::copy(&options.agent, &agent).expect("the agent");
        let image = guest::make(Path::new("/run/lab/files"), &agent);
        let log = collect_log();
        fs::create_dir_all("/etc/libvirt").expect("/etc/libvirt");
        fs::write("/etc/libvirt/qemu.conf", QEMU_CONF).expect("qemu.conf");
        fs::write("/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF).expect("libvirtd.conf");
        set_backend(options.backend);
        for stale in ["/etc/libvirt/qemu", "/var/lib/libvirt/qemu/save"] {
            let _ = fs::remove_dir_all(stale);
        }
        let root = project().to_string_lossy().into_owned();
        let install = [
            "--no-print-directory",
            "-C",
            &root,
            "install",
            "PREFIX=/usr",
        ];
        host::must("make", &install);
        let outside_agent = Command::new("ip")
            .args(["netns", "exec", "outside"])
            .arg(&agent)
            .args(["serve", "outside"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the agent outside");
        let lab = Self {
            libvirtd: start_libvirtd(),
            agent,
            image,
            log,
            outside_agent,
            backend: options.backend,
        };
        lab.wait_for_libvirtd();
        lab
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
        self.backend = backend;
        self.restart_libvirtd();
    }

    /// The path of the agent on the host.
    #[must_use]
    pub fn agent(&self) -> String {
        self.agent.to_string_lossy().into_owned()
    }

    /// Runs a program on the host.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        run_bounded(Command::new(program).args(arguments))
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
        let _ = fs::remove_file("/run/dbus/system_bus_socket");
        let bus = Program::start("dbus-daemon", &["--system", "--nofork", "--nopidfile"]);
        let question = ["--system", "--print-reply", "--dest=org.freedesktop.DBus"];
        let question = [&question[..], &["/", "org.freedesktop.DBus.GetId"]].concat();
        let end = Instant::now() + Duration::from_secs(30);
        while !self.run("dbus-send", &question).ok {
            assert!(Instant::now() < end, "the bus does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        bus
    }

    /// Runs a program on the machine outside.
    #[must_use]
    pub fn outside(&self, program: &str, arguments: &[&str]) -> Ran {
        run_bounded(
            Command::new("ip")
                .args(["netns", "exec", "outside", program])
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
        fs::write(&path, content).expect("a file of the lab");
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
            &self.image.kernel.to_string_lossy(),
            &self.image.initrd.to_string_lossy(),
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

    fn wait_for_libvirtd(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.try_virsh(&["version"]).ok {
            assert!(
                Instant::now() < end,
                "libvirtd does not answer: {}",
                fs::read_to_string("/run/lab/libvirtd.log").unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the daemon as its service manager would and starts it again; guests go on.
    ///
    /// # Panics
    /// When it does not end or start.
    pub fn restart_libvirtd(&mut self) {
        self.signal_libvirtd("TERM");
        self.libvirtd.wait().expect("libvirtd's end");
        self.libvirtd = start_libvirtd();
        self.wait_for_libvirtd();
    }

    /// Sends libvirtd a signal.
    pub fn signal_libvirtd(&self, signal: &str) {
        let pid = self.libvirtd.id().to_string();
        self.must("kill", &["-s", signal, &pid]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The PID namespace takes whatever is left with it.
        let _ = self.outside_agent.kill();
        let _ = self.libvirtd.kill();
        let _ = self.libvirtd.wait();
    }
}

/// A syslog daemon that keeps what it is sent.
fn collect_log() -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind("/dev/log").expect("/dev/log");
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

/// The project's folder.
fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().expect("the project's folder")
}

/// The folder with what cargo has built, as far as it can be told from a program in it.
fn program_folder(options: &Options) -> &Path {
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

fn start_libvirtd() -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open("/run/lab/libvirtd.log")
        .expect("libvirtd's log");
    Command::new("libvirtd")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("libvirtd, of package libvirt-daemon")
}

fn run_bounded(command: &mut Command) -> Ran {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = std::thread::spawn(move || read_all(stdout));
    let stderr = std::thread::spawn(move || read_all(stderr));
    let end = Instant::now() + COMMAND_LIMIT;
    let ok = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status.success();
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            break false;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ran {
        ok,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    }
}

fn read_all(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
