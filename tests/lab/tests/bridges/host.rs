//! The host with its NIC `lan0`, and the LAN behind it: a router that serves DHCP.

use crate::manager::Manager;
use portero_lab::{Lab, Program, Ran};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The host's NIC.
pub const NIC: &str = "lan0";
/// The host's address there.
pub const ADDRESS: &str = "192.0.2.10";
/// The router's address.
pub const ROUTER: &str = "192.0.2.1";
/// The address that the router's DHCP server has for the guest.
pub const GUEST: &str = "192.0.2.66";
/// The guest's MAC address.
pub const GUEST_MAC: &str = "52:54:00:00:02:66";

/// Longest time until what was rolled back is there again.
pub const BACK: Duration = Duration::from_secs(30);

/// The lab, with a LAN.
pub struct Host {
    pub lab: Lab,
    manager: Option<Manager>,
    _dhcp: Program,
}

/// What can be seen of the host's network configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// All files in /etc with their content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Addresses of the NIC and default routes by it.
    pub nic: String,
}

/// A connection from the router to the host that says a number every 50 ms.
pub struct Connection {
    stream: TcpStream,
    said: u32,
    heard: String,
    _bash: Program,
}

impl Host {
    /// Makes the LAN; the NIC is configured by nobody yet.
    pub fn new(lab: Lab) -> Self {
        lab.must("ip", &["netns", "add", "lan"]);
        let pair = "link add lan0 address 52:54:00:00:02:10 type veth peer name lan0 netns lan";
        lab.ip(pair);
        for step in [
            "link set lo up",
            "address add 192.0.2.1/24 dev lan0",
            "address add 2001:db8:2::1/64 dev lan0 nodad",
            "link set lan0 up",
        ] {
            lab.ip(&format!("-n lan {step}"));
        }
        let host = format!("--dhcp-host={GUEST_MAC},{GUEST}");
        let dhcp = Program::start(
            "ip",
            &[
                "netns",
                "exec",
                "lan",
                "dnsmasq",
                "--keep-in-foreground",
                "--port=0",
                "--conf-file=/dev/null",
                "--interface=lan0",
                "--bind-interfaces",
                "--dhcp-range=192.0.2.60,192.0.2.99,1h",
                "--dhcp-host=52:54:00:00:02:10,192.0.2.77",
                &host,
                "--dhcp-leasefile=/run/lan.leases",
                "--dhcp-authoritative",
                "--no-ping",
                "--user=root",
            ],
        );
        Self {
            lab,
            manager: None,
            _dhcp: dhcp,
        }
    }

    /// Lets a manager configure the NIC, statically unless it says otherwise, in place of the one
    /// before.
    pub fn configure(&mut self, manager: fn(&Lab) -> Manager) {
        self.forget();
        self.manager = Some(manager(&self.lab));
        let end = Instant::now() + Duration::from_secs(20);
        while !self.routes().contains("default") {
            assert!(
                Instant::now() < end,
                "{NIC} is not configured: {}",
                self.nic()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        self.wait_for_router();
    }

    /// Lets a manager run beside a NIC that is up already.
    pub fn adopt(&mut self, manager: fn(&Lab) -> Manager) {
        assert!(self.manager.is_none(), "there is one already");
        self.manager = Some(manager(&self.lab));
    }

    /// Takes the manager and all configuration of the NIC away.
    pub fn forget(&mut self) {
        if let Some(manager) = self.manager.take() {
            manager.end(&self.lab);
        }
        let _ = self.lab.run("ip", &["link", "delete", "br0"]);
        let _ = fs::remove_dir_all("/var/lib/portero");
        self.lab.must("ip", &["address", "flush", "dev", NIC]);
        self.lab.must("ip", &["link", "set", NIC, "down"]);
    }

    /// Runs portero.
    pub fn portero(&self, words: &str) -> Ran {
        self.lab
            .run("portero", &words.split(' ').collect::<Vec<_>>())
    }

    /// Runs portero, which has to succeed.
    pub fn must(&self, words: &str) -> String {
        let ran = self.portero(words);
        assert!(ran.ok, "portero {words}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Waits until the router answers.
    pub fn wait_for_router(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.lab.run("ping", &["-c1", "-W1", ROUTER]).ok {
            assert!(
                Instant::now() < end,
                "the router does not answer: {}",
                self.nic()
            );
        }
    }

    /// What is seen now.
    pub fn seen(&self) -> Seen {
        let mut files = BTreeMap::new();
        collect(Path::new("/etc"), &mut files);
        Seen {
            files,
            nic: self.nic(),
        }
    }

    /// Waits until all is as it was; gives the time it took.
    pub fn is_back(&self, before: &Seen, limit: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let now = self.seen();
            let is_gone = !Path::new("/sys/class/net/br0").exists();
            let is_forgotten = !Path::new("/var/lib/portero/bridges/br0/record.json").exists();
            if is_gone && is_forgotten && now == *before {
                self.wait_for_router();
                return start.elapsed();
            }
            if start.elapsed() > limit {
                for (path, text) in &before.files {
                    assert_eq!(
                        now.files
                            .get(path)
                            .map(|text| String::from_utf8_lossy(text)),
                        Some(String::from_utf8_lossy(text)),
                        "{path} is not as it was"
                    );
                }
                let more = now
                    .files
                    .keys()
                    .find(|path| !before.files.contains_key(*path));
                assert_eq!(more, None, "a file is left");
                assert_eq!(now.nic, before.nic);
                panic!(
                    "bridge there: {}, record there: {}",
                    !is_gone, !is_forgotten
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn nic(&self) -> String {
        format!("{}{}", self.addresses(NIC), self.routes())
    }

    /// Global addresses of an interface, one in a line, without how long they are valid.
    pub fn addresses(&self, interface: &str) -> String {
        let shown = self.lab.run(
            "ip",
            &["-o", "address", "show", "dev", interface, "scope", "global"],
        );
        let mut lines: Vec<String> = shown
            .stdout
            .lines()
            .map(|line| {
                line.split_whitespace()
                    .skip(2)
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        lines.sort();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Default routes without their interface and protocol.
    pub fn routes(&self) -> String {
        let mut text = String::new();
        for family in ["-4", "-6"] {
            let shown = self.lab.must("ip", &[family, "route", "show", "default"]);
            for line in shown.lines() {
                let words: Vec<&str> = line.split_whitespace().take(3).collect();
                text += &format!("{}\n", words.join(" "));
            }
        }
        text
    }

    /// Whether the manager has the LAN's DNS server for an interface; nothing where it knows none.
    pub fn dns(&self, interface: &str) -> Option<bool> {
        self.manager.as_ref()?.dns(&self.lab, interface)
    }

    /// The process of the manager's daemon.
    pub fn daemon(&self) -> u32 {
        self.manager
            .as_ref()
            .map(Manager::daemon)
            .expect("a manager")
    }

    /// The MAC address of an interface.
    pub fn mac(&self, interface: &str) -> String {
        let path = format!("/sys/class/net/{interface}/address");
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Opens a connection from the router to the host.
    pub fn connect(&self) -> Connection {
        let listener = TcpListener::bind((ADDRESS, 7100)).expect("a port of the host");
        let heard = "/run/lan.heard".to_owned();
        let script = format!("exec 3<>/dev/tcp/{ADDRESS}/7100; cat <&3 >{heard}");
        let bash = Program::start("ip", &["netns", "exec", "lan", "bash", "-c", &script]);
        let (stream, _) = listener.accept().expect("a connection");
        Connection {
            stream,
            said: 0,
            heard,
            _bash: bash,
        }
    }

    /// Starts to send a ping every 100 ms from the router to the host.
    pub fn ping(&self) -> Ping {
        let _ = fs::remove_file("/run/lan.ping");
        let script = format!("exec ping -D -i 0.1 -W 1 {ADDRESS} >/run/lan.ping");
        let program = Program::start("ip", &["netns", "exec", "lan", "bash", "-c", &script]);
        Ping(program)
    }

    /// Runs a program on the router.
    pub fn router(&self, program: &str, arguments: &[&str]) -> Ran {
        let words = [&["netns", "exec", "lan", program][..], arguments].concat();
        self.lab.run("ip", &words)
    }

    /// What helps to understand a failure.
    pub fn explain(&self) {
        for words in ["address", "route", "-6 route", "-d link show br0"] {
            let ran = self.lab.run("ip", &words.split(' ').collect::<Vec<_>>());
            println!("# ip {words}\n{}{}", ran.stdout, ran.stderr);
        }
        println!("# log\n{}", self.lab.log().join("\n"));
    }
}

/// Pings under way.
pub struct Ping(Program);

impl Ping {
    /// Ends them; gives what ping wrote, a line for each answer.
    pub fn answers(self) -> String {
        // The last answers.
        std::thread::sleep(Duration::from_millis(300));
        drop(self.0);
        fs::read_to_string("/run/lan.ping").expect("what ping wrote")
    }

    /// Ends them; says what came of them.
    pub fn outcome(self) -> String {
        let text = self.answers();
        let number = |line: &str, before: &str| -> Option<f64> {
            line.split(before).nth(1)?.split(' ').next()?.parse().ok()
        };
        let answers: Vec<&str> = text.lines().filter(|line| line.contains("time=")).collect();
        let longest = answers
            .iter()
            .filter_map(|line| number(line, "time="))
            .fold(0.0, f64::max);
        let sent = answers
            .iter()
            .filter_map(|line| number(line, "icmp_seq="))
            .fold(0.0, f64::max);
        let lost = sent - answers.len() as f64;
        assert!(sent > 3.0, "no pings were sent: {text}");
        format!("of {sent} pings (one each 100 ms) {lost} lost, longest answer {longest:.0} ms")
    }
}

impl Connection {
    /// Says another number; the other end need not have heard it yet.
    pub fn say(&mut self) {
        self.said += 1;
        writeln!(self.stream, "{}", self.said).expect("the connection is there");
    }

    /// Whether the other end has heard everything, in ten seconds at most.
    pub fn is_heard(&mut self) {
        self.say();
        let end = Instant::now() + Duration::from_secs(10);
        let last = self.said.to_string();
        loop {
            let heard = fs::read_to_string(&self.heard).unwrap_or_default();
            if heard.lines().last() == Some(&last) {
                return;
            }
            assert!(Instant::now() < end, "the connection is lost after {heard}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        // libvirt keeps its own state there.
        if kind.is_dir() && !path.starts_with("/etc/libvirt") {
            collect(&path, files);
        } else if kind.is_file() && !path.ends_with("resolv.conf") {
            files.insert(
                path.display().to_string(),
                fs::read(&path).unwrap_or_default(),
            );
        }
    }
}
