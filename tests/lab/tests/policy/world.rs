//! The networks of every mode, a guest on each, and a LAN that some of the host's guests are on.

use portero_lab::{
    DomainXml, From, Lab, NetworkXml, Program, HOST_V4, HOST_V6, OUTSIDE_V4, OUTSIDE_V6,
};
use std::fs;

/// Somebody who can be asked to make a connection, and who answers connections.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its name; a guest's is also that of its network.
    pub name: &'static str,
    /// Its IPv4 address.
    pub v4: &'static str,
    /// Its IPv6 address.
    pub v6: &'static str,
    /// The host's addresses on its side.
    pub host: (&'static str, &'static str),
    /// How it is asked.
    pub from: From<'static>,
}

/// All places, in the order of the columns of a table.
pub const PLACES: [Place; 9] = [
    place("outside", OUTSIDE_V4, OUTSIDE_V6, HOST, From::Outside),
    place("host", HOST_V4, HOST_V6, HOST, From::Host),
    guest(
        "nat",
        "192.168.50.10",
        "fd00:50::10",
        ("192.168.50.1", "fd00:50::1"),
    ),
    guest(
        "route",
        "192.168.51.10",
        "fd00:51::10",
        ("192.168.51.1", "fd00:51::1"),
    ),
    guest(
        "far",
        "192.168.52.10",
        "fd00:52::10",
        ("192.168.52.1", "fd00:52::1"),
    ),
    guest(
        "iso",
        "192.168.53.10",
        "fd00:53::10",
        ("192.168.53.1", "fd00:53::1"),
    ),
    guest(
        "open",
        "192.168.54.10",
        "fd00:54::10",
        ("192.168.54.1", "fd00:54::1"),
    ),
    guest("lan", "192.168.55.10", "fd00:55::10", LAN),
    place(
        "office",
        "192.168.55.2",
        "fd00:55::2",
        LAN,
        From::Namespace("office"),
    ),
];

type Both = (&'static str, &'static str);

const HOST: Both = (HOST_V4, HOST_V6);
const LAN: Both = ("192.168.55.1", "fd00:55::1");

const fn place(
    name: &'static str,
    v4: &'static str,
    v6: &'static str,
    host: Both,
    from: From<'static>,
) -> Place {
    Place {
        name,
        v4,
        v6,
        host,
        from,
    }
}

const fn guest(name: &'static str, v4: &'static str, v6: &'static str, host: Both) -> Place {
    place(name, v4, v6, host, From::Guest(v4))
}

/// A place by its name.
pub fn named(name: &str) -> Place {
    let place = PLACES.into_iter().find(|place| place.name == name);
    place.unwrap_or_else(|| panic!("there is no place {name}"))
}

/// Networks that libvirt itself makes: name, mode, number.
const NETWORKS: [(&str, &str, u8); 5] = [
    ("nat", "nat", 50),
    ("route", "route", 51),
    ("far", "route", 52),
    ("iso", "", 53),
    ("open", "open", 54),
];

const MACS: [&str; 6] = [
    "52:54:00:00:50:10",
    "52:54:00:00:51:10",
    "52:54:00:00:52:10",
    "52:54:00:00:53:10",
    "52:54:00:00:54:10",
    LAN_MAC,
];
const LAN_MAC: &str = "52:54:00:00:55:10";

/// The lab with its networks and guests.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// The firewall before any policy.
    pub untouched: String,
    _programs: Vec<Program>,
}

/// A network of [`NETWORKS`] with something in its metadata.
pub fn network(name: &'static str, portero: &'static str) -> NetworkXml<'static> {
    let index = NETWORKS.iter().position(|(known, _, _)| *known == name);
    let index = index.unwrap_or_else(|| panic!("libvirt makes no network {name}"));
    let (name, mode, number) = NETWORKS[index];
    const RESERVATIONS: [&[(&str, u8)]; 5] = [
        &[(MACS[0], 10)],
        &[(MACS[1], 10)],
        &[(MACS[2], 10)],
        &[(MACS[3], 10)],
        &[(MACS[4], 10)],
    ];
    NetworkXml {
        name,
        mode,
        number,
        reservations: RESERVATIONS[index],
        portero,
    }
}

impl World {
    /// Makes the LAN, starts networks and guests, and waits for all of them.
    pub fn new(lab: Lab) -> Self {
        // The kernel tells a sender once a second at most that it is refused; tests ask more often.
        for name in [
            "net.ipv4.icmp_ratelimit=0",
            "net.ipv6.icmp.ratelimit=0",
            "net.ipv4.icmp_msgs_per_sec=100000",
            "net.ipv4.icmp_msgs_burst=100000",
        ] {
            let _ = lab.run("sysctl", &["-qw", name]);
        }
        let mut programs = vec![make_lan(&lab)];
        for (name, _, _) in NETWORKS {
            lab.start_network(&network(name, ""));
        }
        let path = lab.file(
            "network.xml",
            "<network><name>lan</name><forward mode='bridge'/><bridge name='lanbr'/></network>",
        );
        lab.virsh(&["net-define", &path]);
        lab.virsh(&["net-start", "lan"]);
        let agent = lab.agent();
        programs.push(Program::start(&agent, &["serve", "host"]));
        let office = ["netns", "exec", "office", &agent, "serve", "office"];
        programs.push(Program::start("ip", &office));
        let guests = NETWORKS.map(|(name, _, number)| (name, number));
        for ((name, number), mac) in guests.into_iter().chain([("lan", 55)]).zip(MACS) {
            lab.define(&DomainXml {
                name,
                nics: &[(name, mac)],
                v6: Some((number, 10)),
                portero: "",
            });
            lab.virsh(&["start", name]);
        }
        for place in PLACES {
            lab.wait_guest(place.v4);
        }
        let untouched = lab.rules();
        Self {
            lab,
            untouched,
            _programs: programs,
        }
    }

    /// Gives a running network this policy, as an administrator does: a file and `portero sync`.
    pub fn give(&self, network: &str, policy: &str) {
        self.write("networks", network, "network", policy);
        let ran = self.lab.run("portero", &["sync"]);
        let is_taken = ran.ok && !ran.stderr.contains("keeps the rules it has");
        assert!(is_taken, "{}", ran.stderr);
    }

    /// Takes the policy from a running network.
    pub fn take(&self, network: &str) {
        fs::remove_file(format!("/etc/portero/networks/{network}.xml")).expect("its file");
        self.lab.must("portero", &["sync"]);
    }

    /// Writes a file of /etc/portero.
    pub fn write(&self, folder: &str, name: &str, root: &str, content: &str) {
        let folder = format!("/etc/portero/{folder}");
        fs::create_dir_all(&folder).expect("folder of the configuration");
        let text =
            format!("<portero:{root} xmlns:portero='urn:portero:1'>{content}</portero:{root}>\n");
        fs::write(format!("{folder}/{name}.xml"), text).expect("file of the configuration");
    }

    /// Expects that all is in the firewall that should be, and nothing else.
    pub fn is_in_order(&self) {
        let plan = self.lab.run("portero", &["plan"]);
        assert!(plan.ok, "portero plan would change: {plan:?}");
    }

    /// Expects the firewall to be as before the first policy, but for the order in which libvirt
    /// writes its own rules.
    pub fn is_untouched(&self) {
        let sorted = |rules: &str| {
            let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&self.lab.rules()), sorted(&self.untouched));
    }

    /// After a failure: shows what may explain it, and ends what the scenario has left.
    pub fn explain(&self) {
        println!("--- rules\n{}", self.lab.rules());
        println!("--- log\n{}", self.lab.log().join("\n"));
        let text = fs::read("/run/lab/libvirtd.log").unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(15)..];
        println!("--- end of libvirtd's log\n{}", tail.join("\n"));
        let _ = fs::remove_dir_all("/etc/portero/networks");
        let _ = fs::create_dir_all("/etc/portero/networks");
        for name in self.lab.virsh(&["list", "--all", "--name"]).lines() {
            if PLACES.iter().all(|place| place.name != name) && !name.is_empty() {
                let _ = self.lab.try_virsh(&["destroy", name]);
                let _ = self.lab.try_virsh(&["undefine", name]);
            }
        }
        let _ = self.lab.run("portero", &["sync"]);
    }
}

/// A bridge of the host's that has guests on it, and a machine `office` that leases them addresses.
fn make_lan(lab: &Lab) -> Program {
    let host = "link add lanbr type bridge
        address add 192.168.55.1/24 dev lanbr
        address add fd00:55::1/64 dev lanbr nodad
        link set lanbr up
        netns add office
        link add lan0 type veth peer name eth0 netns office
        link set lan0 up master lanbr
        -n office link set lo up
        -n office address add 192.168.55.2/24 dev eth0
        -n office address add fd00:55::2/64 dev eth0 nodad
        -n office link set eth0 up
        -n office route add default via 192.168.55.1
        -n office route add default via fd00:55::1";
    for line in host.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        lab.must("ip", &words);
    }
    let lease = format!("--dhcp-host={LAN_MAC},192.168.55.10");
    let dnsmasq = [
        "netns",
        "exec",
        "office",
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--pid-file=",
        "--user=root",
        "--leasefile-ro",
        "--interface=eth0",
        "--bind-interfaces",
        "--dhcp-range=192.168.55.100,192.168.55.200",
        "--dhcp-option=3,192.168.55.1",
        &lease,
    ];
    Program::start("ip", &dnsmasq)
}
