//! Random rules of others, and a packet through the kernel: what is said of it before is what the kernel does.
//!
//! A client, a host that forwards port 8080, and a server behind its bridge, each in a network namespace. The host gets random
//! rules at all hooks, of nft, of iptables and of its legacy variant; the rules are read as `portero explain` reads them, and a
//! connection is tried. A doubt claims nothing; there may not be too many of them.

use super::Examples;
use fastrand::Rng;
use nix::sched::{setns, CloneFlags};
use portero_inventory::foreign_rules;
use portero_model::{Family, Protocol};
use portero_system::Deadline;
use portero_trace::{Flow, Judgement, Leg, Link, Side, Traffic, Translated};
use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How many rulesets are tried.
const RULESETS: u64 = 200;

/// How long an answer may take that crosses no machine but this.
const ANSWER: Duration = Duration::from_millis(700);

const CLIENT: [u8; 4] = [203, 0, 113, 2];
const HOST: [u8; 4] = [203, 0, 113, 1];
const SERVER: [u8; 4] = [192, 168, 50, 10];

/// What forwards the port, as portero does it.
const FORWARD: &str =
    "table inet portero { chain prerouting { type nat hook prerouting priority -101; \
    meta l4proto { tcp, udp } th dport 8080 dnat ip to 192.168.50.10:80; }; }\n";

fn must(words: &str) {
    let mut all = words.split(' ');
    let program = all.next().expect("a program");
    let output = Command::new(program).args(all).output();
    let output = output.unwrap_or_else(|error| panic!("{words}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {told}");
}

/// Whether a program takes a text.
fn takes(program: &str, arguments: &[&str], text: &str) -> bool {
    let path = "/run/portero-random";
    std::fs::write(path, text).expect("a file");
    let arguments = [arguments, &[path]].concat();
    let output = Command::new(program).args(&arguments).output();
    output.expect("a firewall's program").status.success()
}

pub(super) fn agrees(_: &mut Examples) {
    // Those of a try before.
    for name in ["client", "server"] {
        let _ = Command::new("ip").args(["netns", "del", name]).output();
    }
    for name in ["br-lan", "up0", "port0"] {
        let _ = Command::new("ip").args(["link", "del", name]).output();
    }
    // What scenarios before have left refuses the control.
    clear();
    let mut server = make_machines();
    let mut seeds = 0;
    let (mut claimed, mut doubts, mut stops) = (0_u64, 0_u64, 0_u64);
    while claimed + doubts < RULESETS {
        seeds += 1;
        assert!(seeds < 4 * RULESETS, "too few of the rules are taken");
        let mut random = Random(Rng::with_seed(seeds));
        clear();
        assert!(takes("nft", &["-f"], FORWARD));
        let Some(text) = random.install() else {
            continue;
        };
        let protocol = if random.0.bool() {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        let rules = foreign_rules(&[Family::Ipv4], Deadline::after(Duration::from_secs(20)));
        assert_eq!(rules.unread, [""; 0]);
        let flow = flow(protocol);
        let judgements = [Leg::There, Leg::Back].map(|leg| rules.judge(&flow, leg));
        let said = match &judgements {
            [Judgement::Passes, Judgement::Passes] => true,
            [Judgement::Stopped(_), _] | [Judgement::Passes, Judgement::Stopped(_)] => false,
            _ => {
                doubts += 1;
                continue;
            }
        };
        let is_served = is_served(protocol);
        assert_eq!(
            is_served, said,
            "seed {seeds}, {protocol}: {judgements:?}\n{text}"
        );
        claimed += 1;
        stops += u64::from(!is_served);
    }
    clear();
    server
        .kill()
        .and_then(|()| server.wait())
        .expect("a server");
    println!("  {claimed} claims held, {stops} of them stops; {doubts} doubts; {seeds} seeds");
    assert!(doubts * 3 < RULESETS, "{doubts} doubts");
    assert!(
        stops * 5 > claimed && stops * 5 < claimed * 4,
        "{stops} stops"
    );
}

fn flow(protocol: Protocol) -> Flow {
    Flow {
        traffic: Traffic::Port {
            protocol,
            port: 80,
            from: None,
        },
        client: Side::Behind(Link::named(Some("up0".to_owned()))),
        client_address: Some(CLIENT.into()),
        server: Side::Behind(Link {
            port: Some("port0".to_owned()),
            ..Link::bridge("br-lan".to_owned())
        }),
        server_address: SERVER.into(),
        translated: Some(Translated {
            address: Some(HOST.into()),
            port: 8080,
        }),
        is_masqueraded: false,
        judges_bridged: false,
    }
}

/// The three machines; this one is the host.
fn make_machines() -> std::process::Child {
    for words in [
        "ip netns add client",
        "ip netns add server",
        "ip link add up0 type veth peer name eth0 netns client",
        "ip link add port0 type veth peer name eth0 netns server",
        "ip link add br-lan type bridge forward_delay 0",
        "ip link set port0 master br-lan",
        "ip address add 203.0.113.1/24 dev up0",
        "ip address add 192.168.50.1/24 dev br-lan",
        "ip link set lo up",
        "ip link set up0 up",
        "ip link set port0 up",
        "ip link set br-lan up",
        "ip -n client address add 203.0.113.2/24 dev eth0",
        "ip -n client link set eth0 up",
        "ip -n server address add 192.168.50.10/24 dev eth0",
        "ip -n server link set eth0 up",
        "ip -n server route add default via 192.168.50.1",
    ] {
        must(words);
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a router");
    let mut server = Command::new("ip");
    server.args([
        "netns",
        "exec",
        "server",
        env!("CARGO_BIN_EXE_portero-lab-agent"),
        "serve",
        "server",
    ]);
    let server = server.stdout(Stdio::null()).spawn().expect("a server");
    assert!(takes("nft", &["-f"], FORWARD));
    let end = Instant::now() + Duration::from_secs(20);
    while !(is_served(Protocol::Tcp) && is_served(Protocol::Udp)) {
        assert!(Instant::now() < end, "the control is not served");
    }
    server
}

/// No rules at all.
fn clear() {
    must("nft flush ruleset");
    for table in ["raw", "mangle", "filter"] {
        must(&format!("iptables-legacy -t {table} -F"));
        must(&format!("iptables-legacy -t {table} -X"));
    }
    for chain in ["INPUT", "FORWARD", "OUTPUT"] {
        must(&format!("iptables-legacy -P {chain} ACCEPT"));
    }
}

/// Whether the client gets an answer: of TCP that the connection is taken, of UDP a datagram.
fn is_served(protocol: Protocol) -> bool {
    let client = thread::spawn(move || {
        let namespace = File::open("/run/netns/client").expect("a namespace");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("the client's network");
        let to = SocketAddr::from((HOST, 8080));
        match protocol {
            Protocol::Tcp => TcpStream::connect_timeout(&to, ANSWER).is_ok(),
            _ => {
                let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
                socket.connect(to).expect("an address");
                socket.set_read_timeout(Some(ANSWER)).expect("a limit");
                // A reject of one before may be told now.
                let _ = socket.send(b"?");
                match socket.recv(&mut [0; 64]) {
                    Ok(_) => true,
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::InvalidInput);
                        false
                    }
                }
            }
        }
    });
    client.join().expect("a client")
}

/// Random rules, of which some fit.
struct Random(Rng);

impl Random {
    fn choice<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(..of.len())]
    }

    /// Makes rules of one of the three kinds, or of two; gives their text if they are taken.
    fn install(&mut self) -> Option<String> {
        let kind = self.0.usize(..4);
        let mut texts = Vec::new();
        if kind != 1 && kind != 2 {
            let text = self.nftables();
            texts.push(("nft", vec!["-f"], text));
        }
        if kind == 1 || kind == 3 {
            texts.push(("iptables-restore", vec!["--noflush"], self.iptables()));
        }
        if kind == 2 {
            texts.push((
                "iptables-legacy-restore",
                vec!["--noflush"],
                self.iptables(),
            ));
        }
        let mut all = String::new();
        for (program, arguments, text) in texts {
            if !takes(program, &arguments, &text) {
                return None;
            }
            all += &format!("{program}\n{text}\n");
        }
        Some(all)
    }

    fn nftables(&mut self) -> String {
        let family = self.choice(&["inet", "inet", "ip", "bridge"]);
        let mut text = format!("table {family} others {{\n");
        if family != "bridge" {
            text += "set some { type ipv4_addr; flags interval; elements = { 203.0.113.0/30, 10.0.0.1 }; };\n\
                     set pairs { type ipv4_addr . inet_service; elements = { 192.168.50.10 . 80, 203.0.113.1 . 8080 }; };\n\
                     map ways { type ifname : verdict; elements = { \"up0\" : jump more, \"lo\" : accept }; };\n";
        }
        text += "chain more {\n";
        text += &self.nft_rules(family, &VERDICTS[..4]);
        text += "};\n";
        for number in 0..=self.0.usize(..3) {
            let hook = match family {
                "bridge" => {
                    self.choice(&["prerouting", "input", "forward", "output", "postrouting"])
                }
                _ => self.choice(&[
                    "prerouting",
                    "forward",
                    "forward",
                    "postrouting",
                    "input",
                    "output",
                ]),
            };
            let priority = self.choice(&["-300", "-150", "-50", "0", "10"]);
            let policy = self.choice(&["accept", "accept", "accept", "drop"]);
            text += &format!(
                "chain c{number} {{ type filter hook {hook} priority {priority}; policy {policy};\n"
            );
            let verdicts = if family == "bridge" {
                &VERDICTS[..4]
            } else {
                VERDICTS
            };
            text += &self.nft_rules(family, verdicts);
            text += "};\n";
        }
        text += "};\n";
        if self.0.usize(..3) == 0 {
            text += &self.translation();
        }
        if self.0.usize(..3) == 0 {
            text += &self.edge();
        }
        text
    }

    /// Others translate too, before portero or after it.
    fn translation(&mut self) -> String {
        let priority = self.choice(&["-150", "-90"]);
        let some = self.choice(MATCHES);
        let verdict = self.choice(&["dnat to 192.168.50.99", "redirect to :81", "accept"]);
        format!(
            "table ip translation {{ chain way {{ type nat hook prerouting priority {priority}; {some} tcp dport 8080 {verdict}; }}; }};\n"
        )
    }

    /// Rules of an interface.
    fn edge(&mut self) -> String {
        let hook = self.choice(&["ingress", "egress"]);
        let device = self.choice(&["up0", "br-lan", "port0"]);
        let some = self.choice(&[
            "tcp dport 80",
            "tcp dport 8080",
            "udp sport 80",
            "ip saddr 203.0.113.2",
            "udp dport 9",
        ]);
        let verdict = self.choice(&["accept", "drop", "drop"]);
        format!(
            "table netdev edge {{ chain way {{ type filter hook {hook} device \"{device}\" priority 0; {some} {verdict}; }}; }};\n"
        )
    }

    fn nft_rules(&mut self, family: &str, verdicts: &[&str]) -> String {
        let mut text = String::new();
        for _ in 0..=self.0.usize(..4) {
            for _ in 0..=self.0.usize(..2) {
                let some = match family {
                    "bridge" => BRIDGE_MATCHES,
                    _ => MATCHES,
                };
                text += self.choice(some);
                text += " ";
            }
            text += self.choice(verdicts);
            text += "\n";
        }
        text
    }

    fn iptables(&mut self) -> String {
        let mut text = String::new();
        for (table, chains) in [
            ("raw", &["PREROUTING"][..]),
            ("mangle", &["PREROUTING", "FORWARD", "POSTROUTING"]),
            ("filter", &["FORWARD", "FORWARD", "INPUT"]),
        ] {
            if self.0.bool() {
                continue;
            }
            text += &format!("*{table}\n:more - [0:0]\n");
            if table == "filter" && self.0.usize(..4) == 0 {
                text += ":FORWARD DROP [0:0]\n";
            }
            for _ in 0..=self.0.usize(..4) {
                let chain = self.choice(chains);
                text += &format!("-A {chain} {}\n", self.iptables_rule(table));
            }
            for _ in 0..=self.0.usize(..2) {
                let rule = self.iptables_rule(table);
                if !rule.ends_with("more") {
                    text += &format!("-A more {rule}\n");
                }
            }
            text += "COMMIT\n";
        }
        text
    }

    fn iptables_rule(&mut self, table: &str) -> String {
        let mut rule = String::new();
        for _ in 0..=self.0.usize(..2) {
            rule += self.choice(IPTABLES_MATCHES);
            rule += " ";
        }
        let verdicts: &[&str] = match table {
            "filter" => &[
                "-j ACCEPT",
                "-j DROP",
                "-j REJECT",
                "-j RETURN",
                "-j more",
                "-g more",
            ],
            "raw" => &[
                "-j ACCEPT",
                "-j DROP",
                "-j RETURN",
                "-j more",
                "-j CT --notrack",
            ],
            _ => &[
                "-j ACCEPT",
                "-j DROP",
                "-j RETURN",
                "-j more",
                "-j NFQUEUE --queue-num 9",
            ],
        };
        rule + self.choice(verdicts)
    }
}

/// Those that every chain may have come first.
const VERDICTS: &[&str] = &[
    "accept",
    "drop",
    "counter",
    "return",
    "accept",
    "drop",
    "reject",
    "jump more",
    "goto more",
    "iifname vmap @ways",
];

const MATCHES: &[&str] = &[
    "iifname \"up0\"",
    "iifname \"br-lan\"",
    "iifname != \"up0\"",
    "iifname { \"lo\", \"up*\" }",
    "oifname \"br-lan\"",
    "oifname != \"br-lan\"",
    "oif \"up0\"",
    "ip saddr 203.0.113.2",
    "ip saddr 203.0.113.0-203.0.113.1",
    "ip saddr @some",
    "ip saddr != @some",
    "ip saddr . th dport @pairs",
    "ip daddr . th dport @pairs",
    "ip daddr 192.168.50.0/24",
    "ip daddr 203.0.113.1",
    "ip daddr != { 203.0.113.1, 10.0.0.0/8 }",
    "ip protocol tcp",
    "meta l4proto { tcp, udp }",
    "meta l4proto udp",
    "tcp dport { 80, 443 }",
    "udp dport 1-1000",
    "th dport 8080",
    "th sport 80",
    "tcp dport != 80",
    "ct state new",
    "ct state established,related",
    "ct state { new, established }",
    "ct state invalid",
    "ct status dnat",
    "ct status ! dnat",
    "ct original proto-dst 8080",
    "ct direction original",
    "ct original ip daddr 203.0.113.1",
    "fib daddr type local",
    "fib saddr . iif oif missing",
    "meta pkttype broadcast",
    "icmp type echo-request",
    "tcp flags & (fin|syn|rst|ack) == syn ct state new",
    "limit rate 1000/second",
];

const BRIDGE_MATCHES: &[&str] = &[
    "iifname \"port0\"",
    "oifname \"port0\"",
    "oifname != \"port0\"",
    "ip daddr 192.168.50.10",
    "ip saddr 203.0.113.2",
    "ip saddr 192.168.50.10",
    "meta protocol ip ip protocol tcp",
    "tcp dport 80",
    "udp sport 80",
    "ether type arp arp operation 9",
];

const IPTABLES_MATCHES: &[&str] = &[
    "-i up0",
    "-i br-lan",
    "! -i up+",
    "-s 203.0.113.2/32",
    "! -s 203.0.113.0/24",
    "-d 192.168.50.0/24",
    "-d 203.0.113.1/32",
    "-p tcp",
    "-p udp -m udp --dport 80",
    "-p tcp -m tcp --dport 8080",
    "-p tcp -m multiport --dports 22,80",
    "-p udp -m udp --sport 80",
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m conntrack --ctstate DNAT",
    "-m conntrack ! --ctstate DNAT",
    "-m conntrack --ctorigdstport 8080",
    "-m conntrack --ctstate INVALID",
    "-m addrtype --dst-type LOCAL",
    "-p icmp -m icmp --icmp-type 8",
    "-m limit --limit 1000/second",
];
