//! The networks and guests that the scenarios share.

use portero_lab::{sorted, Backend, DomainXml, From, Lab, NetworkXml, Proto, Ran};

/// What `portero sync` prints where it has nothing to restore.
pub const NOTHING_TO_DO: &str = "The firewall holds what is wanted.\n";

/// The guest that ports are forwarded to, on network `lan`.
pub const WEB: &str = "192.168.50.10";
/// Its IPv6 address.
pub const WEB_V6: &str = "fd00:50::10";
/// Its neighbour on the same network.
pub const PEER: &str = "192.168.50.11";
/// A neighbour on network `far`.
pub const FAR: &str = "192.168.60.12";
/// A guest on the isolated network `cell`.
pub const CELL: &str = "192.168.70.13";

const WEB_MAC: &str = "52:54:00:00:50:10";
const PEER_MAC: &str = "52:54:00:00:50:11";
const FAR_MAC: &str = "52:54:00:00:60:12";
const CELL_MAC: &str = "52:54:00:00:70:13";

/// The network of [`WEB`] and [`PEER`].
pub const LAN: NetworkXml<'_> = NetworkXml {
    name: "lan",
    mode: "nat",
    number: 50,
    reservations: &[(WEB_MAC, 10), (PEER_MAC, 11)],
    portero: "",
};

/// What `web` forwards.
pub const FORWARDS: &str = "
<portero:portForward proto='tcp' guest='192.168.50.10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='udp' guest='192.168.50.10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='udp' guest='fd00:50::10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='sctp'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='tcp'>
  <portero:range start='2000' end='2020' to='3000'/>
  <portero:range start='2001' end='2002' exclude='yes'/>
  <portero:range start='5000'/>
</portero:portForward>
<portero:portForward proto='udp'><portero:range start='2000' end='2020' to='3000'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10'><portero:range start='2100' end='2120' to='3000'/></portero:portForward>
<portero:portForward proto='tcp' address='127.0.0.1'><portero:range start='8081' to='80'/></portero:portForward>
<portero:portForward proto='tcp' source='203.0.113.0/24'><portero:range start='8083' to='80'/></portero:portForward>
<portero:portForward proto='tcp' source='198.51.100.0/24'><portero:range start='8084' to='80'/></portero:portForward>
<portero:portForward proto='tcp' dev='eth0'><portero:range start='8085' to='80'/></portero:portForward>
<portero:portForward proto='tcp' address='203.0.113.1'><portero:range start='8086' to='80'/></portero:portForward>
";

/// The guest `web` with what it forwards.
pub const fn web(portero: &'static str) -> DomainXml<'static> {
    DomainXml {
        name: "web",
        nics: &[("lan", WEB_MAC)],
        v6: Some((50, 10)),
        portero,
    }
}

/// How much of the firewall somebody throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// All rules.
    Rules,
    /// All rules with the chains or tables they are in.
    Everything,
}

/// The lab with its networks, and the guests that run all the time.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// The firewall with the networks up, before any guest had a forward.
    pub untouched: String,
}

impl World {
    /// Starts the networks and the neighbours.
    pub fn new(lab: Lab) -> Self {
        lab.start_network(&LAN);
        lab.start_network(&NetworkXml {
            name: "far",
            mode: "nat",
            number: 60,
            reservations: &[(FAR_MAC, 12)],
            portero: "",
        });
        lab.start_network(&NetworkXml {
            name: "cell",
            mode: "",
            number: 70,
            reservations: &[(CELL_MAC, 13)],
            portero: "",
        });
        let neighbours = [
            ("peer", [("lan", PEER_MAC)], (50, 11)),
            ("far", [("far", FAR_MAC)], (60, 12)),
        ];
        for (name, nics, v6) in &neighbours {
            lab.define(&DomainXml {
                name,
                nics,
                v6: Some(*v6),
                portero: "",
            });
            lab.virsh(&["start", name]);
        }
        for address in [PEER, FAR] {
            lab.wait_guest(address);
        }
        let untouched = lab.rules();
        Self { lab, untouched }
    }

    /// Starts `web` with these forwards and waits until it serves.
    pub fn start_web(&self, forwards: &'static str) {
        self.lab.define(&web(forwards));
        self.lab.virsh(&["start", "web"]);
        self.lab.wait_guest(WEB);
    }

    /// Stops `web`.
    pub fn stop_web(&self) {
        self.lab.virsh(&["destroy", "web"]);
    }

    /// Stops `web` if it runs.
    pub fn stop_web_if_it_runs(&self) {
        let _ = self.lab.try_virsh(&["destroy", "web"]);
    }

    /// `web` with all its forwards, running; started if it is not.
    pub fn running_web(&self) {
        if self
            .lab
            .virsh(&["list", "--name"])
            .lines()
            .all(|name| name != "web")
        {
            self.start_web(FORWARDS);
        }
    }

    /// Starts a domain that has to be refused; gives what virsh said.
    pub fn refused(&self, name: &str) -> String {
        let ran: Ran = self.lab.try_virsh(&["start", name]);
        assert!(!ran.ok, "{name} was started");
        let state = self.lab.virsh(&["domstate", name]);
        assert_eq!(state.trim(), "shut off");
        ran.stderr
    }

    /// Expects the main forwards to answer from the outside.
    pub fn serves(&self) {
        self.lab.answers(
            From::Outside,
            Proto::Tcp,
            portero_lab::HOST_V4,
            8080,
            "web tcp 80",
        );
        self.lab.answers(
            From::Outside,
            Proto::Udp,
            portero_lab::HOST_V4,
            8080,
            "web udp 80",
        );
        self.lab.answers(
            From::Outside,
            Proto::Tcp,
            portero_lab::HOST_V6,
            8080,
            "web tcp 80",
        );
    }

    /// Throws rules away, everybody's.
    pub fn flush(&self, what: Flush) {
        if self.lab.backend() == Backend::Nftables {
            let tables = self.lab.must("nft", &["list tables"]);
            for table in tables.lines() {
                match what {
                    Flush::Rules => self.lab.must("nft", &[&format!("flush {table}")]),
                    Flush::Everything => self.lab.must("nft", &["flush ruleset"]),
                };
            }
            return;
        }
        for program in ["iptables", "ip6tables"] {
            for table in ["filter", "nat", "mangle"] {
                self.lab.must(program, &["-t", table, "-F"]);
                if what == Flush::Everything {
                    self.lab.must(program, &["-t", table, "-X"]);
                }
            }
        }
    }

    /// Expects the firewall to be as before the first forward.
    pub fn is_untouched(&self) {
        let (now, before) = (sorted(&self.lab.rules()), sorted(&self.untouched));
        assert_eq!(now, before, "the firewall is not as it was");
        let records = std::fs::read_dir("/run/portero/records").map_or(0, Iterator::count);
        assert_eq!(records, 0, "records are left in /run/portero");
    }

    /// As [`World::is_untouched`], where libvirt has restarted over a flushed firewall. It removes the rules of each network by
    /// the handles that it remembers, which may be those of another network's rules by then: 11.3 with nftables was seen to
    /// lose rules of its own so. Its next restart brings them back.
    pub fn is_untouched_after_flushes(&mut self) {
        for _ in 0..3 {
            if sorted(&self.lab.rules()) == sorted(&self.untouched) {
                break;
            }
            self.lab.restart_libvirtd();
        }
        self.is_untouched();
    }

    /// After a failure: shows what may explain it, and ends what the scenario has left.
    pub fn explain(&self) {
        println!("--- rules\n{}", self.lab.rules());
        println!("--- log\n{}", self.lab.log().join("\n"));
        println!(
            "--- status\n{}",
            self.lab.run("portero", &["status"]).stdout
        );
        for (path, count) in [
            ("/run/lab/libvirtd.log", 15),
            ("/var/log/libvirt/qemu/web.log", 5),
            ("/run/lab/files/web.console", 15),
        ] {
            let text = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let tail: Vec<&str> = text.lines().rev().take(count).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            println!("--- end of {path}\n{}", tail.join("\n"));
        }
        for name in self.lab.virsh(&["list", "--all", "--name"]).lines() {
            if !["peer", "far", ""].contains(&name) {
                let _ = self.lab.try_virsh(&["destroy", name]);
                let _ = self.lab.try_virsh(&["undefine", name]);
            }
        }
        for words in [["net-destroy", "own"], ["net-undefine", "own"]] {
            let _ = self.lab.try_virsh(&words);
        }
        let _ = std::fs::remove_file("/etc/portero/networks/lan.xml");
        for network in ["lan", "far", "cell"] {
            let _ = self.lab.try_virsh(&["net-start", network]);
        }
        let _ = self.lab.run("portero", &["sync"]);
    }
}
