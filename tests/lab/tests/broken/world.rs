//! One network with a guest whose port is forwarded, and what is said of it when it is not reached.

use portero_lab::{DomainXml, From, Lab, NetworkXml, Proto, Ran, HOST_V4};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The guest that ports are forwarded to.
pub const WEB: &str = "192.168.50.10";
/// Its neighbour.
pub const PEER: &str = "192.168.50.11";

const WEB_MAC: &str = "52:54:00:00:50:10";
const PEER_MAC: &str = "52:54:00:00:50:11";

/// What the commands that mend it restart, where a host has systemd.
pub const RESTART: &str = "systemctl try-restart libvirtd virtnetworkd virtqemud virtlxcd";

/// What `web` forwards; at 8088 of the guest nobody listens.
const FORWARDS: &str = "
<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='udp'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='tcp'><portero:range start='8088'/></portero:portForward>
<portero:portForward proto='udp'><portero:range start='8089'/></portero:portForward>
<portero:portForward proto='tcp' address='203.0.113.9'><portero:range start='8086' to='80'/></portero:portForward>
<portero:portForward proto='tcp' source='198.51.100.0/24'><portero:range start='8084' to='80'/></portero:portForward>
";

/// What `portero explain` says.
#[derive(Debug)]
pub struct Explained {
    json: Value,
    ok: bool,
}

/// The lab with its guests.
pub struct World {
    /// The lab.
    pub lab: Lab,
}

impl World {
    /// Starts the network and both guests.
    pub fn new(lab: Lab) -> Self {
        lab.start_network(&NetworkXml {
            name: "lan",
            mode: "nat",
            number: 50,
            reservations: &[(WEB_MAC, 10), (PEER_MAC, 11)],
            portero: "",
        });
        for (name, mac, last, portero) in
            [("web", WEB_MAC, 10, FORWARDS), ("peer", PEER_MAC, 11, "")]
        {
            lab.define(&DomainXml {
                name,
                nics: &[("lan", mac)],
                v6: Some((50, last)),
                portero,
            });
            lab.virsh(&["start", name]);
        }
        for address in [WEB, PEER] {
            lab.wait_guest(address);
        }
        Self { lab }
    }

    /// The guest's port is reached from outside, and every hop holds.
    pub fn serves(&self) {
        self.reached(HOST_V4, 8080, "web tcp 80");
        let port = format!("{HOST_V4}:8080");
        // Guests are emulated: one may be slower than the host waits.
        let end = Instant::now() + Duration::from_secs(20);
        while !self.explained(&port).is_whole() && Instant::now() < end {}
        self.explained(&port).holds();
    }

    /// A port answers the machine outside.
    pub fn reached(&self, address: &str, port: u16, answer: &str) {
        self.lab
            .answers(From::Outside, Proto::Tcp, address, port, answer);
    }

    /// A port does not.
    pub fn not_reached(&self, address: &str, port: u16) {
        self.lab.refuses(From::Outside, Proto::Tcp, address, port);
    }

    /// Shuts the guest off, with its memory kept: it need not boot again.
    pub fn stop_web(&self) {
        self.lab.virsh(&["managedsave", "web"]);
        let state = self.lab.virsh(&["domstate", "web"]);
        assert_eq!(state.trim(), "shut off");
    }

    /// Starts it: whatever should follow its start has to.
    pub fn start_web(&self) {
        self.lab.virsh(&["start", "web"]);
        self.lab.wait_guest(WEB);
    }

    /// What `portero explain` says of a port.
    pub fn explained(&self, port: &str) -> Explained {
        self.explain_with(&[port])
    }

    /// The same with other options.
    pub fn explain_with(&self, words: &[&str]) -> Explained {
        let words = [&["explain", "--json"], words].concat();
        let ran = self.lab.run("portero", &words);
        let json = serde_json::from_str(&ran.stdout);
        Explained {
            json: json.unwrap_or_else(|error| panic!("{error}: {ran:?}")),
            ok: ran.ok,
        }
    }

    /// Something breaks: port 8080 is not reached, this hop is said to fail, and it is mended by the
    /// command that is named. Gives the command.
    pub fn breaks(&mut self, hop: &str, mend: &str, happens: impl FnOnce(&mut World)) -> String {
        self.serves();
        happens(self);
        self.not_reached(HOST_V4, 8080);
        let said = self.explained(&format!("{HOST_V4}:8080")).fails(hop, mend);
        self.mend(&said);
        self.serves();
        said
    }

    /// Runs a command that was named: on the host, where systemd is the lab itself, or in the guest.
    pub fn mend(&mut self, command: &str) {
        println!("  {command}");
        if let Some(command) = command.strip_prefix("in the guest: ") {
            self.in_guest(command);
            return;
        }
        // Some wait is enough.
        if let Some(time) = command
            .strip_prefix("wait ")
            .and_then(|rest| rest.split(' ').next())
        {
            let seconds = time.parse().expect("seconds");
            return std::thread::sleep(Duration::from_secs(seconds));
        }
        if let Some(daemon) = command.strip_prefix("systemctl restart ") {
            match daemon {
                "virtnetworkd" => self.lab.restart_daemon("virtnetworkd", "TERM"),
                daemon => {
                    assert_eq!(daemon, "libvirtd");
                    self.lab.restart_libvirtd();
                }
            }
            return;
        }
        let (command, restarts) = match command.strip_suffix(RESTART) {
            Some(before) => (before.trim_end_matches(" && "), true),
            None => (command, false),
        };
        if !command.is_empty() {
            self.lab.must("sh", &["-c", command]);
        }
        if restarts {
            self.lab.restart_libvirtd();
        }
    }

    /// Forwards port 8091 of the host to `web`'s IPv6 address.
    pub fn forward_ipv6(&self) {
        let to = ["--guest", "fd00:50::10", "--live"];
        let add = [&["forward", "add", "web", "8091:80"][..], &to].concat();
        self.lab.must("portero", &add);
    }

    /// Takes that back.
    pub fn end_ipv6(&self) {
        let remove = ["forward", "remove", "web", "8091:80", "--live"];
        self.lab.must("portero", &remove);
    }

    /// Runs a command in `web`.
    pub fn in_guest(&self, command: &str) {
        let order = format!("run {command}");
        self.lab.must(&self.lab.agent(), &["ask", WEB, &order]);
    }

    /// What `portero doctor` has found: its checks, findings and commands.
    pub fn findings(&self) -> Vec<(String, String, String)> {
        let ran: Ran = self.lab.run("portero", &["doctor", "--json"]);
        let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        let findings = json["findings"].as_array().expect("findings");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        findings
            .iter()
            .map(|one| {
                (
                    text(&one["check"]),
                    text(&one["finding"]),
                    text(&one["mend"]),
                )
            })
            .collect()
    }

    /// The command of the finding of a check that says this; nothing when there is none.
    pub fn finding(&self, check: &str, says: &str) -> Option<String> {
        let mut findings = self.findings().into_iter();
        let found = findings.find(|(name, finding, _)| name == check && finding.contains(says));
        found.map(|(_, _, mend)| mend)
    }

    /// After a failure: shows what may explain it.
    pub fn explain(&self) {
        println!("--- rules\n{}", self.lab.rules());
        println!("--- log\n{}", self.lab.log().join("\n"));
        for words in [&["explain", "8080"][..], &["doctor"], &["status"]] {
            let ran = self.lab.run("portero", words);
            println!(
                "--- portero {}\n{}{}",
                words.join(" "),
                ran.stdout,
                ran.stderr
            );
        }
    }
}

impl Explained {
    /// Every hop holds, or cannot be seen.
    pub fn holds(&self) -> &Self {
        assert!(self.ok && self.json["fails"].is_null(), "{:#}", self.json);
        self
    }

    /// Of a guest: what it needs of the host holds, whatever comes of ports that lead to it.
    pub fn guest_holds(&self) {
        let interfaces = self.json["interfaces"].as_array().expect("interfaces");
        let hops = interfaces
            .iter()
            .chain([&self.json])
            .flat_map(|of| of["hops"].as_array().expect("hops"));
        let mut hops = hops.filter(|hop| hop["state"] == "fails");
        assert!(
            hops.next().is_none() && !interfaces.is_empty(),
            "{:#}",
            self.json
        );
    }

    /// A port that leads to a guest: whether its every hop holds.
    pub fn forward_holds(&self, port: u16) -> bool {
        let forwards = self.json["forwards"].as_array().expect("forwards");
        let mut of_port = forwards
            .iter()
            .filter(|one| one["port"] == port && one["protocol"] == "tcp");
        let hops = of_port.next().unwrap_or_else(|| panic!("{:#}", self.json))["hops"].as_array();
        hops.expect("hops")
            .iter()
            .all(|hop| hop["state"] != "fails")
    }

    /// Whether every hop holds that can be seen.
    pub fn is_whole(&self) -> bool {
        self.ok
    }

    /// A hop is the first that fails; gives the command that mends it.
    pub fn fails(&self, hop: &str, mend: &str) -> String {
        assert!(!self.ok && self.json["fails"] == hop, "{:#}", self.json);
        let command = self.json["mend"].as_str().expect("a command");
        assert!(command.contains(mend), "expected '{mend}' in: {command}");
        command.to_owned()
    }

    /// What is said of a hop: its state and why.
    pub fn hop(&self, name: &str) -> (&str, &str) {
        let mut hops = self.json["hops"].as_array().expect("hops").iter();
        let hop = hops.find(|hop| hop["hop"] == name);
        let hop = hop.unwrap_or_else(|| panic!("no hop {name}: {:#}", self.json));
        let word = |key: &str| hop[key].as_str().expect("a text");
        (word("state"), word("text"))
    }
}
