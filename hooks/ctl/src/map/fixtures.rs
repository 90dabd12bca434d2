//! Hosts for tests: a small one, one with 50 guests, and one whose names mean harm.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use super::sources::MapSources;
use super::value::Map;
use portero_engine::{Phase, Record};
use portero_inventory::{ActiveNetwork, Guest, GuestNic, HostFacts, OwnerStatus};
use portero_libvirt::{Driver, Network, ObjectName};
use portero_model::{
    Claim, Dnat, Family, Owner, OwnerKind, Pending, PortRange, Protocol, Rule, Ruleset,
};
use portero_routed_policy::{compile, Context, Group, WrittenPolicy};
use portero_system::{Interface, InterfaceKind};
use portero_xml::Element;
use std::collections::BTreeMap;
use std::net::IpAddr;
use uuid::Uuid;

/// A host while it is put together.
pub(crate) struct Scene {
    sources: MapSources,
    next: u128,
}

/// Where a guest is: a network, and an address there if it is known.
type Place<'a> = (&'a str, Option<&'a str>);

impl Scene {
    pub(crate) fn new(host: &str) -> Self {
        let sources = MapSources {
            host: host.to_owned(),
            interfaces: Vec::new(),
            networks: Vec::new(),
            guests: Vec::new(),
            owners: Vec::new(),
            facts: HostFacts {
                passes_on: Family::ALL.to_vec(),
                ..HostFacts::default()
            },
            contradictions: BTreeMap::new(),
        };
        Self { sources, next: 0 }
    }

    fn uuid(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(0xaaaa_aaaa_0000_4000_8000_0000_0000_0000 + self.next)
    }

    pub(super) fn interface(
        &mut self,
        name: &str,
        kind: InterfaceKind,
        master: Option<&str>,
        addresses: &[&str],
    ) -> &mut Interface {
        self.sources.interfaces.push(Interface {
            name: name.to_owned(),
            kind,
            master: master.map(str::to_owned),
            lower: Vec::new(),
            is_up: true,
            addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
        });
        self.sources.interfaces.last_mut().unwrap()
    }

    /// A network with its bridge, `forward` and `policy` being elements.
    pub(crate) fn network(&mut self, name: &str, forward: &str, nets: &[&str], policy: &str) {
        let number = self.sources.networks.len();
        let bridge = format!("virbr{number}");
        let ips = nets.iter().map(|net| {
            let (address, prefix) = net.split_once('/').unwrap();
            let family = if address.contains(':') {
                "ipv6"
            } else {
                "ipv4"
            };
            format!("<ip family='{family}' address='{address}' prefix='{prefix}'/>")
        });
        let bridge_element = if forward.contains("'bridge'") {
            ""
        } else {
            &format!("<bridge name='{bridge}'/>")
        };
        let xml = format!(
            "<network><name>{}</name><uuid>{}</uuid><metadata>\
             <p:network xmlns:p='urn:portero:1'>{policy}</p:network></metadata>{forward}\
             {bridge_element}{}</network>",
            quick_xml::escape::escape(name),
            self.uuid(),
            ips.collect::<String>()
        );
        let network = Network::from_element(&Element::parse(xml.as_bytes()).unwrap()).unwrap();
        if !bridge_element.is_empty() {
            self.interface(&bridge, InterfaceKind::Bridge, None, nets);
        }
        self.sources.networks.push(ActiveNetwork {
            network,
            given: None,
            is_in_firewall: true,
            written: Ok(None),
            file: "/etc/portero/networks/none.xml".into(),
            has_file: false,
            dnsmasq: None,
            unguarded: Vec::new(),
        });
    }

    /// A guest; a place without a network's name is a bridge's.
    pub(crate) fn guest(&mut self, name: &str, places: &[Place<'_>]) -> Uuid {
        let uuid = self.uuid();
        let number = self.sources.guests.len();
        let mut nics = Vec::new();
        for (index, (network, address)) in (0..).zip(places) {
            let mac = format!("52:54:00:{index:02x}:00:{number:02x}");
            let is_network = |active: &ActiveNetwork| active.network.name.as_str() == *network;
            let is_network = self.sources.networks.iter().any(is_network);
            let target = format!("vnet{number}.{index}");
            self.interface(
                &target,
                InterfaceKind::Tap,
                (!is_network).then_some(*network),
                &[],
            );
            nics.push(GuestNic {
                mac: mac.parse().unwrap(),
                network: is_network.then(|| (*network).to_owned()),
                target: target.parse().ok(),
                addresses: address
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect(),
            });
        }
        let name: ObjectName = name.parse().unwrap();
        self.sources.guests.push(Guest {
            name: Some(name),
            driver: Some(Driver::Qemu),
            uuid,
            nics,
        });
        uuid
    }

    fn owner(&self, name: &str) -> Owner {
        let domain = || {
            let guest = self.sources.guests.iter().find(|guest| {
                let known = guest.name.as_ref();
                known.is_some_and(|known| known.as_str() == name)
            })?;
            Some((OwnerKind::Domain, guest.uuid))
        };
        let network = || {
            let mut active = self.sources.networks.iter();
            let found = active.find(|active| active.network.name.as_str() == name)?;
            Some((OwnerKind::Network, found.network.uuid))
        };
        let (kind, uuid) = domain().or_else(network).unwrap();
        Owner {
            kind,
            driver: None,
            uuid,
            name: name.to_owned(),
        }
    }

    /// What an owner forwards, each as `tcp 8080 192.0.2.1 80`, with `-` where nothing is said and
    /// more words for the host's address, an interface and a source; without a guest's address it
    /// waits.
    pub(crate) fn forwards(&mut self, name: &str, is_in_firewall: bool, forwards: &[&str]) {
        let mut ruleset = Ruleset::empty(self.owner(name));
        let mut pending = Vec::new();
        for forward in forwards {
            let words: Vec<Option<&str>> = forward
                .split(' ')
                .map(|word| (word != "-").then_some(word))
                .collect();
            let word = |index: usize| words.get(index).copied().flatten();
            let protocol: Protocol = word(0).unwrap().parse().unwrap();
            let ports: PortRange = word(1).unwrap().parse().unwrap();
            let address: Option<IpAddr> = word(4).map(|address| address.parse().unwrap());
            let dev = word(5).map(str::to_owned);
            let source = word(6).map(|source| source.parse().unwrap());
            match word(2) {
                Some(guest) => ruleset.rules.push(Rule::Dnat(Dnat {
                    protocol,
                    address,
                    dev,
                    source,
                    ports,
                    guest: guest.parse().unwrap(),
                    guest_ports: word(3).unwrap().parse().unwrap(),
                    is_whole_address: false,
                })),
                None => pending.push(Pending {
                    claims: vec![Claim {
                        protocol,
                        family: None,
                        address,
                        dev,
                        source,
                        ports,
                        is_whole_address: false,
                    }],
                    reason: "network 'lan' has neither a DHCP reservation nor a lease for \
                             52:54:00:00:00:03"
                        .to_owned(),
                }),
            }
        }
        self.sources.owners.push(OwnerStatus {
            record: Record {
                phase: Phase::Active,
                ruleset,
                pending,
                addresses: Vec::new(),
            },
            is_in_firewall,
        });
    }

    /// Gives all connections to a guest of the last owner's the host's address.
    fn masquerade(&mut self, guest: &str) {
        let owner = self.sources.owners.last_mut().unwrap();
        owner.record.ruleset.rules.push(Rule::Masquerade {
            source: None,
            guest: guest.parse().unwrap(),
            bridge: None,
        });
    }

    /// Names of networks whose rules are not in the firewall.
    pub(super) fn lose(&mut self, name: &str) {
        for active in &mut self.sources.networks {
            active.is_in_firewall &= active.network.name.as_str() != name;
        }
    }

    pub(super) fn map(self) -> Map {
        Map::new(&self.sources())
    }

    /// What is known of the host, with its policies in force.
    pub(crate) fn sources(mut self) -> MapSources {
        let networks: Vec<Network> = self
            .sources
            .networks
            .iter()
            .map(|active| active.network.clone())
            .collect();
        let groups = |_: &ObjectName| -> Result<Group, String> { Err("none".to_owned()) };
        let context = Context {
            networks: &networks,
            groups: &groups,
        };
        for active in &mut self.sources.networks {
            let metadata = active.network.metadata().unwrap().unwrap();
            if let Some(written) = WrittenPolicy::find_in(&metadata).unwrap() {
                let compiled = compile(&active.network, &written, &context).unwrap();
                let network = &active.network;
                let owner = Owner::from(network);
                active.given = Some(Ruleset {
                    policy: Some(compiled.policy),
                    ..Ruleset::empty(owner)
                });
            }
        }
        self.sources.interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.sources
    }
}

/// A host with one or two of everything.
pub(crate) fn small() -> Scene {
    let mut scene = Scene::new("hv1");
    scene.interface("lo", InterfaceKind::Loopback, None, &["127.0.0.1/8"]);
    scene.interface(
        "eth0",
        InterfaceKind::Wired,
        None,
        &["203.0.113.1/24", "2001:db8:113::1/64"],
    );
    scene
        .interface("eth1", InterfaceKind::Wired, None, &[])
        .is_up = false;
    scene.interface("eth2", InterfaceKind::Wired, Some("br0"), &[]);
    scene.interface("wg0", InterfaceKind::Virtual, None, &["10.9.0.1/24"]);
    scene.interface("br0", InterfaceKind::Bridge, None, &["192.0.2.5/24"]);
    scene.interface("docker0", InterfaceKind::Bridge, None, &["172.17.0.1/16"]);
    scene.interface("veth12", InterfaceKind::Virtual, Some("docker0"), &[]);
    scene.network(
        "lan",
        "<forward mode='nat'/>",
        &["192.168.50.1/24", "fd00:50::1/64"],
        "",
    );
    scene.network("cell", "", &["192.168.70.1/24"], "");
    scene.network(
        "dmz",
        "<forward mode='route'/>",
        &["198.51.100.129/28"],
        "<p:policy><p:default in='reject'/><p:rule action='accept' direction='in'>\
         <p:tcp dstportstart='22'/><p:tcp dstportstart='80'/></p:rule></p:policy>",
    );
    scene.network(
        "office",
        "<forward mode='bridge'/><bridge name='br0'/>",
        &[],
        "",
    );
    scene.network(
        "fast",
        "<forward mode='bridge'><interface dev='eth3'/></forward>",
        &[],
        "",
    );
    scene.interface("eth3", InterfaceKind::Wired, None, &["192.0.2.130/25"]);
    scene.interface("eth4", InterfaceKind::Wired, Some("virbr0"), &[]);
    scene.interface("eth5", InterfaceKind::Wired, Some("br0"), &[]);
    scene.interface("br1", InterfaceKind::Bridge, None, &["192.0.2.9/30"]);
    scene.interface("eth6", InterfaceKind::Wired, Some("br1"), &[]);
    scene.guest(
        "web",
        &[
            ("lan", Some("192.168.50.10")),
            ("cell", Some("192.168.70.10")),
        ],
    );
    scene.guest("db", &[("cell", Some("192.168.70.11"))]);
    scene.guest("mail", &[("dmz", Some("198.51.100.130"))]);
    scene.guest("new", &[("lan", None)]);
    scene.guest("desk", &[("office", None)]);
    scene.guest("trader", &[("fast", None)]);
    scene.guest("bare", &[]);
    scene.forwards(
        "web",
        true,
        &[
            "tcp 8080 192.168.50.10 80",
            "tcp 2000-2020 192.168.50.10 3000-3020 203.0.113.1 eth0 198.51.100.0/24",
            "tcp 8080 fd00:50::10 80",
        ],
    );
    scene.masquerade("fd00:50::10");
    scene.forwards("new", true, &["udp 53 - -"]);
    scene.forwards("lan", true, &["udp 514 192.168.50.77 514"]);
    scene.forwards("mail", false, &["tcp 25 198.51.100.130 25"]);
    scene.lose("dmz");
    scene
}

/// The host of README.md and docs, with the policy of a guide.
pub(super) fn documented() -> Map {
    let mut scene = Scene::new("host");
    scene.interface("eth0", InterfaceKind::Wired, None, &["192.0.2.10/24"]);
    scene.network(
        "default",
        "<forward mode='nat'/>",
        &["192.168.122.1/24"],
        "",
    );
    scene.network(
        "lab",
        "<forward mode='route'/>",
        &["192.168.50.1/24"],
        "<p:policy><p:default in='reject'/><p:rule action='accept' direction='in'>\
         <p:peer address='198.51.100.0' prefix='24'/><p:tcp dstportstart='80'/></p:rule></p:policy>",
    );
    scene.guest("web", &[("default", Some("192.168.122.10"))]);
    scene.guest("db", &[("lab", Some("192.168.50.10"))]);
    scene.forwards(
        "web",
        true,
        &[
            "tcp 8080 192.168.122.10 80",
            "tcp 2222 192.168.122.10 22 - - 198.51.100.0/24",
        ],
    );
    scene.map()
}

/// A host with 50 guests.
pub(super) fn fifty() -> Map {
    let mut scene = Scene::new("hypervisor-07.dc2.example.net");
    scene.interface("lo", InterfaceKind::Loopback, None, &["127.0.0.1/8"]);
    scene.interface("enp3s0", InterfaceKind::Wired, Some("bond0"), &[]);
    scene.interface("enp4s0", InterfaceKind::Wired, Some("bond0"), &[]);
    scene
        .interface(
            "bond0",
            InterfaceKind::Bond,
            None,
            &["203.0.113.7/24", "2001:db8:113::7/64"],
        )
        .lower = vec!["enp3s0".to_owned(), "enp4s0".to_owned()];
    scene
        .interface("bond0.20", InterfaceKind::Vlan, Some("br-servers"), &[])
        .lower = vec!["bond0".to_owned()];
    scene.interface("br-servers", InterfaceKind::Bridge, None, &["10.20.0.7/16"]);
    scene.interface("enp5s0", InterfaceKind::Wired, Some("br-storage"), &[]);
    scene.interface("br-storage", InterfaceKind::Bridge, None, &[]);
    scene.interface("eno1", InterfaceKind::Wired, None, &["192.0.2.7/24"]);
    scene
        .interface("wlp2s0", InterfaceKind::Wireless, None, &[])
        .is_up = false;
    let consent =
        |rules: &str| format!("<p:policy><p:default in='drop' host='reject'/>{rules}</p:policy>");
    let accept = |what: &str| format!("<p:rule action='accept' direction='in'>{what}</p:rule>");
    scene.network(
        "default",
        "<forward mode='nat'/>",
        &["192.168.122.1/24", "fd00:122::1/64"],
        "",
    );
    scene.network(
        "dmz",
        "<forward mode='route'/>",
        &["198.51.100.129/26"],
        &consent(&accept(
            "<p:tcp dstportstart='80'/><p:tcp dstportstart='443'/>",
        )),
    );
    scene.network(
        "cluster",
        "<forward mode='route'/>",
        &["10.30.0.1/16", "2001:db8:30::1/64"],
        &consent(
            &(accept("<p:peer network='dmz'/><p:tcp dstportstart='5432'/>")
                + &accept("<p:peer address='10.20.0.0' prefix='16'/><p:tcp dstportstart='6443'/>")),
        ),
    );
    scene.network(
        "build-and-test",
        "<forward mode='nat'/>",
        &["192.168.140.1/24"],
        "",
    );
    scene.network("vault", "", &["192.168.170.1/24"], "");
    scene.network("lab", "<forward mode='open'/>", &["10.40.0.1/24"], "");
    scene.network(
        "servers",
        "<forward mode='bridge'/><bridge name='br-servers'/>",
        &[],
        "",
    );
    for number in 10..28 {
        let name = match number {
            12 => "continuous-integration-runner-amd64-large".to_owned(),
            14 => "名前-サーバー".to_owned(),
            15 => "façade".to_owned(),
            _ => format!("app{number}"),
        };
        let address = format!("192.168.122.{number}");
        scene.guest(&name, &[("default", Some(&address))]);
        let mut forwards = vec![format!("tcp 80{number} {address} 80")];
        match number {
            10 => forwards.extend([
                format!("tcp 2200 {address} 22 203.0.113.7 bond0 198.51.100.0/24"),
                format!("udp 5000-5100 {address} 5000-5100"),
                "tcp 8443 fd00:122::10 443 2001:db8:113::7 - 2001:db8:4000:1000::/64".to_owned(),
            ]),
            11 | 12 | 14 => {}
            16 => forwards = vec!["tcp 9090 - -".to_owned()],
            _ => forwards.clear(),
        }
        if !forwards.is_empty() {
            let forwards: Vec<&str> = forwards.iter().map(String::as_str).collect();
            scene.forwards(&name, number != 11, &forwards);
        }
    }
    for number in 1..=8 {
        let (dmz, cluster) = (
            format!("198.51.100.{}", 129 + number),
            format!("10.30.1.{number}"),
        );
        let name = format!("edge{number}");
        let places = [
            ("dmz", Some(dmz.as_str())),
            ("cluster", Some(cluster.as_str())),
        ];
        scene.guest(&name, &places[..1 + usize::from(number <= 2)]);
    }
    for number in 1..=12 {
        let address = format!("10.30.0.{}", 10 + number);
        scene.guest(&format!("node-{number:02}"), &[("cluster", Some(&address))]);
    }
    for number in 1..=4 {
        let address = (number != 3).then(|| format!("192.168.140.{number}0"));
        scene.guest(
            &format!("builder{number}"),
            &[("build-and-test", address.as_deref())],
        );
    }
    for name in ["hsm-signer", "secrets"] {
        scene.guest(name, &[("vault", Some("192.168.170.9"))]);
    }
    for (index, name) in (2..).zip(["printer", "files", "directory", "wiki", "backup"]) {
        let place = if index % 2 == 0 {
            "servers"
        } else {
            "br-storage"
        };
        scene.guest(name, &[(place, None)]);
    }
    scene.guest("appliance-without-network", &[]);
    scene.forwards("build-and-test", true, &["tcp 8800 192.168.140.200 80"]);
    scene.lose("lab");
    scene.map()
}

/// A host with more networks than can be named at the top of a table.
pub(super) fn many() -> Map {
    let mut scene = Scene::new("many");
    scene.interface(
        "enp0s31f6u1u2.9",
        InterfaceKind::Wired,
        None,
        &["203.0.113.1/24"; 9],
    );
    for number in 1..=32 {
        let net = format!("10.1.{number}.1/24");
        let name = format!("tenant-{number}-of-a-very-long-list-of-tenants");
        let mode = ["nat", "route", "open"][number % 3];
        scene.network(&name, &format!("<forward mode='{mode}'/>"), &[&net], "");
        let guest = format!("10.1.{number}.2");
        scene.guest(&format!("guest{number}"), &[(&name, Some(&guest))]);
    }
    let ports: Vec<String> = (0..15)
        .map(|port| format!("tcp 70{port:02} 10.1.1.2 80"))
        .collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    scene.forwards("guest1", true, &ports);
    scene.map()
}

/// Names that end a string, a tag or a line somewhere.
pub(super) const HOSTILE: [&str; 7] = [
    "<text><script>alert(1)<!--",
    "\"]; evil [label=\"",
    "a\\n\\l\\N\\\"",
    "]]>&amp;<!--",
    "\u{202e}txet\u{2066}",
    "-rf --help $(id) `id`",
    "' onload='alert(1)",
];

/// A host on which everything has such a name.
pub(super) fn hostile() -> Map {
    let mut scene = Scene::new("<host>");
    scene.interface("eth0\"<", InterfaceKind::Wired, None, &["203.0.113.1/24"]);
    for (index, name) in (0..).zip(&HOSTILE) {
        let net = format!("10.0.{index}.1/24");
        scene.network(name, "<forward mode='nat'/>", &[&net], "");
        let address = format!("10.0.{index}.2");
        let guest = format!("guest {name}");
        scene.guest(&guest, &[(name, Some(&address))]);
        scene.forwards(&guest, true, &[&format!("tcp 80{index} {address} 80")]);
        scene.guest(&format!("other {name}"), &[(name, Some(&address))]);
        scene.lose(name);
    }
    scene.map()
}
