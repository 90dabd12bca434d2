//! The machine that the scenarios share, with its guests.

use portero_lab::{find_package, DomainXml, NetworkXml, Options, Talk, Vm, GIVEN, HOST_V4};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// The guest that QEMU runs.
pub const WEB: &str = "192.168.50.10";
const WEB_MAC: &str = "52:54:00:00:50:10";
/// The container.
pub const BOX: &str = "192.168.50.11";
const BOX_MAC: &str = "52:54:00:00:50:11";

/// Longest time until something is so that nobody has to wait for: on a processor that is emulated beside others.
pub const SOON: Duration = Duration::from_secs(300);

/// What both forward from the same port of theirs, each from a port of the host's own, and the agent's echo.
const WEB_FORWARDS: &str = "
<portero:portForward proto='tcp'><portero:range start='8080' to='80'/><portero:range start='7007'/></portero:portForward>
";
const BOX_FORWARDS: &str = "
<portero:portForward proto='tcp'><portero:range start='8081' to='80'/></portero:portForward>
<portero:portForward proto='udp'><portero:range start='8081' to='80'/></portero:portForward>
";

/// A port of the host's and how what answers there begins.
pub type Served = (u16, &'static str);
/// The one of the guest that QEMU runs.
pub const WEB_PORT: Served = (8080, "web tcp 80");
/// The one of the container.
pub const BOX_PORT: Served = (8081, "box tcp 80");

/// What the machine finds the package as.
pub const DEB: &str = "portero.deb";

/// What `portero explain` says of a port, and what becomes of a packet.
pub struct Explained {
    /// Whether the machine outside is served, and every hop is said to hold.
    pub reached: bool,
    /// The first hop that fails.
    pub fails: String,
    /// The command that mends it.
    pub mend: String,
}

/// Where the journal is read from: what came before is of a control.
const BEGIN: &str = "/run/lab.cursor";

/// The machine.
pub struct World {
    /// The machine.
    pub vm: Vm,
    /// The rules with both guests running, before portero came.
    pub untouched: Vec<String>,
}

impl World {
    /// Boots the machine, and starts a network and guests on it.
    pub fn new(options: &Options) -> Self {
        let folder =
            std::env::var("PORTERO_PACKAGES").expect("PORTERO_PACKAGES, from the Makefile");
        let package = find_package("portero", Path::new(&folder));
        let start = Instant::now();
        let vm = Vm::boot(options, &[(&package, DEB)]);
        println!("  booted in {:.0} s", start.elapsed().as_secs_f64());
        // An emulated processor takes a minute and more to index all manual pages, after each change of a package.
        vm.must("rm -f /var/lib/man-db/auto-update");
        vm.define_network(&NetworkXml {
            name: "lan",
            mode: "nat",
            number: 50,
            reservations: &[(WEB_MAC, 10), (BOX_MAC, 11)],
            portero: "",
        });
        vm.define(&DomainXml {
            name: "web",
            nics: &[("lan", WEB_MAC)],
            v6: None,
            portero: WEB_FORWARDS,
        });
        vm.define_container(&DomainXml {
            name: "box",
            nics: &[("lan", BOX_MAC)],
            v6: None,
            portero: BOX_FORWARDS,
        });
        vm.must("virsh net-start lan && virsh start web && virsh -c lxc:///system start box");
        let took = vm.wait_guest(BOX);
        println!("  the container answers after {:.0} s", took.as_secs_f64());
        let took = vm.wait_guest(WEB);
        println!("  QEMU's guest answers after {:.0} s", took.as_secs_f64());
        let untouched = rules(&vm);
        Self { vm, untouched }
    }

    /// Installs the package; gives what dpkg and the package's scripts said.
    pub fn install(&self) -> String {
        self.dpkg(&format!("-i {GIVEN}/{DEB}"))
    }

    /// Whether the package is installed.
    pub fn is_installed(&self) -> bool {
        self.vm
            .run("dpkg-query -W -f '${db:Status-Status}' portero | grep -qx installed")
            .ok
    }

    /// Installs the package unless it is: scenarios can be run one by one.
    pub fn has_portero(&self) {
        if !self.is_installed() {
            self.install();
        }
        self.serves(BOX_PORT);
    }

    /// Runs dpkg; gives what it and the package's scripts said.
    pub fn dpkg(&self, arguments: &str) -> String {
        self.vm.must(&format!(
            "DEBIAN_FRONTEND=noninteractive dpkg {arguments} 2>&1"
        ))
    }

    /// A port is served to the machine outside; gives how long that took.
    pub fn serves(&self, (port, answer): Served) -> Duration {
        self.vm.answers(SOON, ("tcp", HOST_V4, port), answer)
    }

    /// A port is not served to the machine outside, in three attempts.
    pub fn refuses(&self, (port, _): Served) {
        for _ in 0..3 {
            if let Ok(line) = self.vm.probe("tcp", HOST_V4, port) {
                panic!("port {port}: expected no answer, got '{line}'");
            }
        }
    }

    /// A connection from outside through a forward of the guest that QEMU runs.
    pub fn talk(&self) -> Talk {
        Talk::start(&self.vm.outside_agent(), HOST_V4, "/run/lab/talk")
    }

    /// The processes of the guests and their names: there are others after each start.
    pub fn guests(&self) -> String {
        self.vm.must(
            "cat /run/libvirt/qemu/web.pid /run/libvirt/lxc/box.pid; virsh -q list --uuid; \
             virsh -q -c lxc:///system list --uuid",
        )
    }

    /// The main process of a unit.
    pub fn process(&self, unit: &str) -> String {
        self.vm.must(&format!("systemctl show -P MainPID {unit}"))
    }

    /// The rules of both firewalls.
    pub fn rules(&self) -> Vec<String> {
        rules(&self.vm)
    }

    /// Boots anew as an administrator has it, and prints how long that took.
    pub fn reboot(&mut self) {
        self.vm.begin_reboot();
        let took = self.vm.wait_boot();
        println!("  booted anew in {:.0} s", took.as_secs_f64());
    }

    /// What `portero explain` says of a port, once it says of the packet from outside what becomes of it.
    pub fn explains(&self, served: Served) -> Explained {
        let (port, answer) = served;
        let end = Instant::now() + SOON;
        loop {
            let got = self.vm.probe("tcp", HOST_V4, port);
            let reached = got.as_ref().is_ok_and(|line| line.starts_with(answer));
            let ran = (self.vm).run(&format!("portero explain --json {HOST_V4}:{port}"));
            if ran.ok == reached {
                let json: Value = serde_json::from_str(&ran.stdout)
                    .unwrap_or_else(|error| panic!("{error}: {ran:?}"));
                let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
                let (fails, mend) = (word("fails"), word("mend"));
                return Explained {
                    reached,
                    fails,
                    mend,
                };
            }
            assert!(Instant::now() < end, "port {port}: {got:?}, but {ran:?}");
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// Every rule of portero's is in the firewall, and a comparison would change nothing.
    pub fn is_in_order(&self) {
        let plan = self.vm.run("portero plan");
        assert!(plan.ok, "portero plan would change: {plan:?}");
    }

    /// Nothing in this boot has been refused by AppArmor, no unit has failed, and nothing of portero's has warned.
    pub fn is_calm(&self) {
        let failed = self.vm.must("systemctl --failed --no-legend --plain");
        assert_eq!(failed, "", "units that failed");
        let denied = self.journal("-o cat --grep 'apparmor=\"DENIED\"'");
        assert_eq!(denied, "", "refused by AppArmor");
        let warned = self.journal("-p warning -o short | grep -i portero")
            + &self.journal("-p warning -o short -u 'portero*'");
        assert_eq!(warned, "", "warnings of portero's");
    }

    /// What the journal has so far is a control's, and calm begins after it.
    pub fn begin_calm(&self) {
        self.vm.must(&format!(
            "journalctl -b -q -n 1 --cursor-file={BEGIN} >/dev/null"
        ));
    }

    /// Lines of the journal of this boot.
    fn journal(&self, which: &str) -> String {
        let after =
            format!("$(if [ -e {BEGIN} ]; then echo --after-cursor=\"$(cat {BEGIN})\"; fi)");
        self.vm
            .must(&format!("journalctl -b -q {after} {which} || true"))
    }

    /// After a failure: shows what may explain it.
    pub fn explain(&self) {
        for command in [
            "systemctl --failed --no-legend --plain",
            "journalctl -b -q -p warning -o short | tail -n 40",
            "journalctl -b -q -u portero-watch -o short | tail -n 20",
            "portero status; portero doctor; portero explain 8081",
            "ip -br address; virsh list --all; virsh -c lxc:///system list --all",
            "nft list ruleset; iptables-save",
        ] {
            let ran = self.vm.run(command);
            println!("--- {command}\n{}{}", ran.stdout, ran.stderr);
        }
    }
}

fn rules(vm: &Vm) -> Vec<String> {
    let rules = vm.rules();
    let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
