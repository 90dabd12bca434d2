//! The host that the documentation is about, its LAN, and the office behind the LAN's router.
//!
//! The host has its NIC eth0 on the LAN 192.0.2.0/24, with the address 192.0.2.10. A laptop is there
//! too; the router, 192.0.2.1, leads to the office, 198.51.100.0/24. Guest `web` is on libvirt's
//! network `default`, guest `db` on the routed network `lab`. Guest `nas` has no interface yet.

use portero_lab::{DomainXml, Lab, Program};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// libvirt's own network, with a reservation for `web`.
const DEFAULT: &str = "<network><name>default</name><uuid>00000000-0000-4000-8000-64656661756c</uuid>\
    <forward mode='nat'/><bridge name='virbr0' stp='on' delay='0'/>\
    <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/>\
    <host mac='52:54:00:00:22:10' ip='192.168.122.10'/></dhcp></ip></network>";

/// A routed network.
const LAB: &str = "<network><name>lab</name><uuid>00000000-0000-4000-8000-6c6162000000</uuid>\
    <forward mode='route'/><bridge name='virbr1' stp='on' delay='0'/>\
    <ip address='192.168.50.1' netmask='255.255.255.0'><dhcp><range start='192.168.50.2' end='192.168.50.254'/>\
    <host mac='52:54:00:00:50:10' ip='192.168.50.10'/></dhcp></ip></network>";

const NETWORKS: [(&str, &str); 2] = [("default", DEFAULT), ("lab", LAB)];

const GUESTS: [DomainXml<'_>; 3] = [
    guest("web", &[("default", "52:54:00:00:22:10")]),
    guest("db", &[("lab", "52:54:00:00:50:10")]),
    guest("nas", &[]),
];

/// The address that the LAN's DHCP server has for `nas`.
const NAS: &str = "52:54:00:00:02:66,192.0.2.66";

const INTERFACES: &str = "auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address 192.0.2.10/24
    gateway 192.0.2.1
";

const fn guest<'a>(name: &'a str, nics: &'a [(&'a str, &'a str)]) -> DomainXml<'a> {
    DomainXml {
        name,
        nics,
        v6: None,
        portero: "",
    }
}

/// The lab with all that.
pub struct World {
    /// The lab.
    pub lab: Lab,
    settings: Vec<u8>,
    _programs: [Program; 2],
}

impl World {
    /// Makes the LAN, starts networks, guests and the service; does not wait for the guests.
    pub fn new(lab: Lab) -> Self {
        let dhcp = make_lan(&lab);
        let settings = fs::read("/etc/portero/portero.toml").expect("the installed portero.toml");
        for (name, xml) in NETWORKS {
            let path = lab.file("network.xml", xml);
            lab.virsh(&["net-define", &path]);
            lab.virsh(&["net-start", name]);
        }
        for guest in &GUESTS {
            lab.define(guest);
        }
        let watch = Program::start("portero-watch", &[]);
        Self {
            lab,
            settings,
            _programs: [dhcp, watch],
        }
    }

    /// Makes everything as it was before the first page; guests that run go on.
    pub fn reset(&self) {
        let lab = &self.lab;
        for folder in ["domains", "networks", "groups"] {
            let folder = format!("/etc/portero/{folder}");
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).expect("folder of the configuration");
        }
        fs::write("/etc/portero/portero.toml", &self.settings).expect("portero.toml");
        for file in ["hooks.json", "hooks.json.old", "qemu", "qemu.old"] {
            let _ = fs::remove_file(format!("/etc/libvirt/hooks/{file}"));
        }
        for name in lab.virsh(&["list", "--all", "--name"]).lines() {
            if GUESTS.iter().all(|guest| guest.name != name) && !name.is_empty() {
                let _ = lab.try_virsh(&["destroy", name]);
                lab.virsh(&["undefine", name]);
            }
        }
        let _ = lab.try_virsh(&["destroy", "nas"]);
        self.reset_networks();
        for guest in &GUESTS {
            lab.define(guest);
            if lab.virsh(&["domstate", guest.name]).trim() == "running" {
                let forget = [
                    "metadata",
                    guest.name,
                    "--uri",
                    "urn:portero:1",
                    "--live",
                    "--remove",
                ];
                let _ = lab.try_virsh(&forget);
            } else if guest.name != "nas" {
                lab.virsh(&["start", guest.name]);
            }
        }
        self.remove_bridge();
        lab.must("portero", &["sync"]);
        let end = Instant::now() + Duration::from_secs(5);
        while !lab
            .must("portero", &["status", "--json"])
            .contains("\"forwards\": []")
        {
            assert!(Instant::now() < end, "forwards are left");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn reset_networks(&self) {
        let lab = &self.lab;
        for name in lab.virsh(&["net-list", "--all", "--name"]).lines() {
            if NETWORKS.iter().all(|(known, _)| *known != name) && !name.is_empty() {
                let _ = lab.try_virsh(&["net-destroy", name]);
                lab.virsh(&["net-undefine", name]);
            }
        }
        for (name, xml) in NETWORKS {
            let path = lab.file("network.xml", xml);
            lab.virsh(&["net-define", &path]);
            let active = lab.virsh(&["net-list", "--name"]);
            let is_active = active.lines().any(|active| active == name);
            if is_active && lab.virsh(&["net-dumpxml", name]).contains("urn:portero:1") {
                lab.virsh(&["net-destroy", name]);
                lab.virsh(&["net-start", name]);
            } else if !is_active {
                lab.virsh(&["net-start", name]);
            }
        }
    }

    fn remove_bridge(&self) {
        if Path::new("/var/lib/portero/bridges/br0/record.json").exists() {
            let _ = self
                .lab
                .run("portero", &["bridge", "rollback", "--bridge", "br0"]);
            let _ = self
                .lab
                .run("portero", &["bridge", "remove", "--bridge", "br0"]);
        }
        let left = Path::new("/sys/class/net/br0").exists();
        let file = fs::read_to_string("/etc/network/interfaces").expect("interfaces");
        assert!(!left && file == INTERFACES, "a bridge is left: {file}");
    }

    /// What helps to understand a failure.
    pub fn explain(&self) {
        println!("--- log\n{}", self.lab.log().join("\n"));
        for words in [["address"], ["route"]] {
            println!("--- ip {}\n{}", words[0], self.lab.run("ip", &words).stdout);
        }
        for name in ["web", "db", "nas"] {
            let text = fs::read(format!("/run/lab/files/{name}.console")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(5)..];
            println!("--- end of the console of {name}\n{}", tail.join("\n"));
        }
    }
}

/// Makes the LAN with its machines, and gives the host its address there as its own files say; runs
/// the LAN's DHCP server.
fn make_lan(lab: &Lab) -> Program {
    let steps = "address flush dev eth0
        -n outside address flush dev eth0
        -n outside link add lan type bridge
        -n outside link set eth0 master lan
        -n outside address add 192.0.2.1/24 dev lan
        -n outside link set lan up
        netns add laptop
        -n outside link add laptop0 type veth peer name eth0 netns laptop
        -n outside link set laptop0 up master lan
        -n laptop link set lo up
        -n laptop address add 192.0.2.20/24 dev eth0
        -n laptop link set eth0 up
        -n laptop route add default via 192.0.2.1
        netns add office
        -n outside link add office0 type veth peer name eth0 netns office
        -n outside address add 198.51.100.1/24 dev office0
        -n outside link set office0 up
        -n office link set lo up
        -n office address add 198.51.100.7/24 dev eth0
        -n office link set eth0 up
        -n office route add default via 198.51.100.1
        -n outside route add 192.168.50.0/24 via 192.0.2.10
        netns exec outside sysctl -qw net.ipv4.ip_forward=1";
    for step in steps.lines() {
        lab.ip(step);
    }
    fs::create_dir_all("/run/network").expect("/run/network");
    fs::write("/etc/network/interfaces", INTERFACES).expect("interfaces");
    lab.must("ip", &["link", "set", "eth0", "down"]);
    lab.must("ifup", &["--force", "eth0"]);
    let host = format!("--dhcp-host={NAS}");
    let dnsmasq = [
        "netns",
        "exec",
        "outside",
        "dnsmasq",
        "--keep-in-foreground",
        "--port=0",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=root",
        "--leasefile-ro",
        "--interface=lan",
        "--bind-interfaces",
        "--no-ping",
        "--dhcp-range=192.0.2.60,192.0.2.99",
        &host,
    ];
    Program::start("ip", &dnsmasq)
}
