//! Repairs that no other scenario runs: each is printed, run as it is printed, and the packet arrives.

use crate::world::{World, RESTART, WEB};
use portero_lab::{Backend, From, NetworkXml, Proto, Scenario, HOST_V4, HOST_V6, OUTSIDE_V4};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "repairs: the bridge or the guest's interface is gone",
        run: gone,
    },
    Scenario {
        name: "repairs: the host has the guest's address",
        run: own_address,
    },
    Scenario {
        name: "repairs: the host takes only what it would answer by the same uplink",
        run: reverse_path,
    },
    Scenario {
        name: "repairs: each of iptables' chains",
        run: chains,
    },
    Scenario {
        name: "repairs: the answers to a guest, and no router of IPv6",
        run: back,
    },
    Scenario {
        name: "repairs: libvirt rejects what a guest sends to another network",
        run: between_networks,
    },
    Scenario {
        name: "repairs: what libvirt leaves open is closed by a policy",
        run: leaks,
    },
    Scenario {
        name: "repairs: network.conf names another firewall",
        run: other_backend,
    },
    Scenario {
        name: "repairs: a network that changes at its next start",
        run: later_network,
    },
];

const ADDRESS: &str = "203.0.113.1:8080";

fn sh(world: &World, script: &str) {
    world.lab.must("sh", &["-ec", script]);
}

fn gone(world: &mut World) {
    world.breaks("bridge", "virsh net-destroy lan", |world| {
        sh(world, "ip link delete br-lan");
    });
    let list = world.lab.virsh(&["domiflist", "web"]);
    let mut words = list.split_whitespace();
    let tap = words.find(|word| word.starts_with("vnet"));
    let tap = tap.expect("the host's end").to_owned();
    world.serves();
    sh(world, &format!("ip link delete {tap}"));
    world.not_reached(HOST_V4, 8080);
    let said = world.explained(ADDRESS).fails("tap", "virsh destroy web");
    world.mend(&said);
    world.lab.wait_guest(WEB);
    world.serves();
}

fn own_address(world: &mut World) {
    let said = world.breaks("route", "ip address delete 192.168.50.10/32", |world| {
        sh(world, "ip address add 192.168.50.10/32 dev lo");
    });
    assert_eq!(said, "ip address delete 192.168.50.10/32 dev lo");
}

/// A client's packets come by one uplink, and what guests answer it goes by another, both of which lead there.
fn reverse_path(world: &mut World) {
    const FAR: &str = "198.18.9.9";
    sh(
        world,
        "ip netns add far
         ip link add up1 type veth peer name up1 netns far
         ip link add far0 netns outside type veth peer name far0 netns far
         ip address add 198.18.1.1/24 dev up1; ip link set up1 up
         ip -n far link set lo up; ip -n far address add 198.18.9.9/32 dev lo
         ip -n far address add 198.18.1.2/24 dev up1; ip -n far link set up1 up
         ip -n far address add 198.18.3.2/24 dev far0; ip -n far link set far0 up
         ip -n far route add default via 198.18.1.1 src 198.18.9.9
         ip -n outside address add 198.18.3.1/24 dev far0; ip -n outside link set far0 up
         ip -n outside route add 198.18.9.9/32 via 198.18.3.2
         ip netns exec outside sysctl -q -w net.ipv4.ip_forward=1
         ip netns exec far sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.far0.rp_filter=0
         ip route add 198.18.9.9/32 via 198.18.1.2
         ip route add default via 203.0.113.2 table 100
         ip rule add iif br-lan to 198.18.9.9 lookup 100
         sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.up1.rp_filter=0",
    );
    let from = From::Namespace("far");
    world
        .lab
        .answers(from, Proto::Tcp, HOST_V4, 8080, "web tcp 80");
    let explain = |world: &World| world.explain_with(&["8080", "--from", FAR]);
    explain(world).holds();
    sh(world, "sysctl -q -w net.ipv4.conf.up1.rp_filter=1");
    assert!(
        world
            .lab
            .probe(From::Namespace("far"), Proto::Tcp, HOST_V4, 8080)
            .is_err(),
        "it is served"
    );
    let said = explain(world).fails("back", "sysctl -w net.ipv4.conf.up1.rp_filter=2");
    world.mend(&said);
    let from = From::Namespace("far");
    world
        .lab
        .answers(from, Proto::Tcp, HOST_V4, 8080, "web tcp 80");
    explain(world).holds();
    sh(
        world,
        "ip rule delete iif br-lan to 198.18.9.9 lookup 100; ip route flush table 100
         ip route delete 198.18.9.9/32
         ip netns exec outside sysctl -q -w net.ipv4.ip_forward=0
         ip link delete up1; ip -n outside link delete far0; ip netns delete far",
    );
    world.serves();
}

/// A rule of iptables stops port 8080 until the command that is named is run.
fn chains(world: &mut World) {
    for (table, rule, mend) in [
        (
            "raw",
            "PREROUTING -i eth0 -p tcp --dport 8080 -j DROP",
            "iptables -t raw -I PREROUTING -p tcp --dport 8080 ",
        ),
        (
            "mangle",
            "PREROUTING -i eth0 -p tcp --dport 8080 -j DROP",
            "iptables -t mangle -I PREROUTING ",
        ),
        (
            "mangle",
            "FORWARD -o br-lan -p tcp --dport 80 -j DROP",
            "iptables -t mangle -I FORWARD ",
        ),
        (
            "mangle",
            "POSTROUTING -o br-lan -p tcp --dport 80 -j DROP",
            "iptables -t mangle -I POSTROUTING ",
        ),
        (
            "filter",
            "FORWARD -i br-lan -p tcp --sport 80 -j REJECT",
            "iptables -I FORWARD ",
        ),
    ] {
        let said = world.breaks("firewalls", mend, |world| {
            sh(world, &format!("iptables -t {table} -I {rule}"));
        });
        assert!(said.ends_with(" -j ACCEPT"), "{said}");
        let undo = said.replace(" -I ", " -D ");
        sh(world, &format!("{undo}; iptables -t {table} -D {rule}"));
    }
    world.serves();
    // What guests ask of the host.
    sh(
        world,
        "iptables -I INPUT -i br-lan -p udp -m multiport --dports 53,67 -j DROP",
    );
    let leaving = |world: &World| world.explain_with(&["web", "--to", &format!("{OUTSIDE_V4}:80")]);
    let mut undo = Vec::new();
    for (hop, port) in [("address", 67), ("names", 53)] {
        let said = leaving(world).fails(
            hop,
            &format!("iptables -I INPUT -i br-lan -p udp --dport {port} "),
        );
        world.mend(&said);
        undo.push(said.replace(" -I ", " -D "));
    }
    leaving(world).guest_holds();
    undo.push("iptables -D INPUT -i br-lan -p udp -m multiport --dports 53,67 -j DROP".to_owned());
    sh(world, &undo.join("; "));
}

fn back(world: &mut World) {
    let leaving = |world: &World| world.explain_with(&["web", "--to", &format!("{OUTSIDE_V4}:80")]);
    let table = "table inet odd { chain way { type filter hook forward priority 5; oifname \"br-lan\" tcp sport 80 drop; }; }";
    let file = world.lab.file("odd.nft", table);
    sh(world, &format!("nft -f {file}"));
    world
        .lab
        .refuses(From::Guest(WEB), Proto::Tcp, OUTSIDE_V4, 80);
    let said = leaving(world).fails("firewalls", "nft insert rule inet odd way oifname");
    world.mend(&said);
    world.lab.answers(
        From::Guest(WEB),
        Proto::Tcp,
        OUTSIDE_V4,
        80,
        "outside tcp 80",
    );
    leaving(world).guest_holds();
    sh(world, "nft delete table inet odd");
    // Where no router is advertised, the one setting is enough.
    let forwarding = "net.ipv6.conf.all.forwarding";
    world.forward_ipv6();
    world.reached(HOST_V6, 8091, "web tcp 80");
    sh(world, &format!("sysctl -q -w {forwarding}=0"));
    world.not_reached(HOST_V6, 8091);
    let said = world
        .explained(&format!("[{HOST_V6}]:8091"))
        .fails("routing", forwarding);
    assert_eq!(said, format!("sysctl -w {forwarding}=1"));
    world.mend(&said);
    world.reached(HOST_V6, 8091, "web tcp 80");
    // Neighbour discovery that the host's firewall drops: the guest is not to blame.
    let table = "table inet odd { chain way { type filter hook input priority 5; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop; }; }";
    let file = world.lab.file("odd.nft", table);
    sh(
        world,
        &format!("nft -f {file}; ip -6 neighbour flush dev br-lan"),
    );
    world.not_reached(HOST_V6, 8091);
    let said = world
        .explained(&format!("[{HOST_V6}]:8091"))
        .fails("guest", "nft insert rule inet odd way iifname");
    world.mend(&said);
    world.reached(HOST_V6, 8091, "web tcp 80");
    sh(world, "nft delete table inet odd");
    world.end_ipv6();
}

fn between_networks(world: &mut World) {
    const FAR: &str = "192.168.60.10";
    world.lab.start_network(&NetworkXml {
        name: "far",
        mode: "nat",
        number: 60,
        reservations: &[],
        portero: "",
    });
    // Whoever is there: a machine on the bridge.
    sh(
        world,
        "ip netns add there; ip link add there0 type veth peer name eth0 netns there
         ip link set there0 master br-far; ip link set there0 up
         ip -n there address add 192.168.60.10/24 dev eth0; ip -n there link set eth0 up
         ip -n there route add default via 192.168.60.1",
    );
    let agent = world.lab.agent();
    let server =
        portero_lab::Program::start("ip", &["netns", "exec", "there", &agent, "serve", "there"]);
    world.lab.answers_within(
        std::time::Duration::from_secs(20),
        From::Host,
        Proto::Tcp,
        FAR,
        80,
        "there tcp 80",
    );
    world.lab.refuses(From::Guest(WEB), Proto::Tcp, FAR, 80);
    let to = format!("{FAR}:80");
    let said = world
        .explain_with(&["web", "--to", &to])
        .fails("policy", "a policy of network far");
    assert!(!said.contains("sync"), "{said}");
    let policy = "/etc/portero/networks/far.xml";
    let text = "<network xmlns='urn:portero:1'><policy><default in='accept'/></policy></network>";
    std::fs::write(policy, text).expect("a policy");
    world.lab.must("portero", &["sync"]);
    world
        .lab
        .answers(From::Guest(WEB), Proto::Tcp, FAR, 80, "there tcp 80");
    world.explain_with(&["web", "--to", &to]).guest_holds();
    std::fs::remove_file(policy).expect("the policy");
    world.lab.must("portero", &["sync"]);
    drop(server);
    sh(world, "ip link delete there0; ip netns delete there");
    world.lab.virsh(&["net-destroy", "far"]);
    world.lab.virsh(&["net-undefine", "far"]);
    world.serves();
}

fn other_backend(world: &mut World) {
    if !world.lab.can_switch_backend() {
        // libvirt before 10.4 has iptables alone, and the finding says so.
        return;
    }
    let (own, other) = (world.lab.backend(), world.lab.backend().other());
    for backend in [other, own] {
        world.lab.configure_backend(backend);
        let said = world.finding("backend", "network.conf").expect("found");
        let command = said.split(", or take").next().expect("a command");
        assert_eq!(command, RESTART);
        world.mend(command);
        assert_eq!(world.finding("backend", ""), None);
        world.serves();
        // libvirt leaves a table of nftables behind, without the network's rules.
        let table = ["list", "table", "ip", "libvirt_network"];
        let is_nftables = world.lab.run("nft", &table).stdout.contains("br-lan");
        assert_eq!(is_nftables, backend == Backend::Nftables);
    }
}

fn later_network(world: &mut World) {
    let change = |world: &World, verb: &str| {
        let xml = world.lab.virsh(&["net-dumpxml", "--inactive", "lan"]);
        let portero = "<metadata><portero:network xmlns:portero='urn:portero:1'><portero:portForward proto='tcp' \
            guest='192.168.50.10'><portero:range start='8077' to='80'/></portero:portForward></portero:network></metadata>";
        let (with, without) = (format!("<name>lan</name>{portero}"), "<name>lan</name>");
        let xml = match verb {
            "add" => xml.replace(without, &with),
            _ => {
                let begin = xml.find("<metadata>").expect("metadata");
                let end = xml.find("</metadata>").expect("metadata") + "</metadata>".len();
                xml[..begin].to_owned() + &xml[end..]
            }
        };
        let file = world.lab.file("lan.xml", &xml);
        world.lab.virsh(&["net-define", &file]);
    };
    world.serves();
    change(world, "add");
    world.not_reached(HOST_V4, 8077);
    let said = world
        .explained("8077")
        .fails("forward", "virsh net-destroy lan && virsh net-start lan");
    world.mend(&said);
    world.reached(HOST_V4, 8077, "web tcp 80");
    world.explained("8077").holds();
    change(world, "remove");
    world.mend(&said);
    world.not_reached(HOST_V4, 8077);
    world.serves();
}

/// A machine on a network's bridge, with this number.
fn machine(world: &World, number: u8) {
    let script = format!(
        "ip netns add there{number}; ip link add th{number} type veth peer name eth0 netns there{number}
         ip link set th{number} master br-n{number}; ip link set th{number} up
         ip -n there{number} address add 192.168.{number}.10/24 dev eth0; ip -n there{number} link set eth0 up
         ip -n there{number} route add default via 192.168.{number}.1"
    );
    sh(world, &script);
}

/// How many datagrams have come to a port of a machine where nobody listens.
fn datagrams(world: &World, number: u8) -> u64 {
    let name = format!("there{number}");
    let words = ["netns", "exec", &name, "cat", "/proc/net/snmp"];
    let counters = world.lab.must("ip", &words);
    let mut lines = counters.lines().filter(|line| line.starts_with("Udp: "));
    let at = lines
        .next()
        .and_then(|names| names.split(' ').position(|name| name == "NoPorts"))
        .expect("NoPorts");
    let values = lines.next().expect("values");
    let value = values.split(' ').nth(at).expect("a value");
    value.parse().expect("a number")
}

fn leaks(world: &mut World) {
    // IPv6 into a network of NAT.
    world.reached("fd00:50::10", 80, "web tcp 80");
    let said = world.finding("ipv6-into-nat", "'lan'").expect("found");
    world.mend(&said);
    world.not_reached("fd00:50::10", 80);
    assert_eq!(world.finding("ipv6-into-nat", ""), None);
    world.serves();
    std::fs::remove_file("/etc/portero/networks/lan.xml").expect("the policy");
    world.lab.must("portero", &["sync"]);
    world.reached("fd00:50::10", 80, "web tcp 80");
    // Datagrams of an isolated network into a routed one.
    for (name, mode, number) in [("n70", "", 70), ("n71", "route", 71)] {
        world.lab.start_network(&NetworkXml {
            name,
            mode,
            number,
            reservations: &[],
            portero: "",
        });
        machine(world, number);
    }
    let send = |world: &World| {
        let script = "for i in 1 2 3; do echo x >/dev/udp/192.168.71.10/9999; sleep 0.2; done";
        let words = ["netns", "exec", "there70", "bash", "-c", script];
        world.lab.must("ip", &words);
        datagrams(world, 71)
    };
    let before = datagrams(world, 71);
    let arrived = send(world);
    assert!(arrived > before, "no datagram arrives");
    let says = "of network 'n71', which";
    let said = world.finding("isolated-to-routed", says).expect("found");
    world.mend(&said);
    assert_eq!(send(world), arrived, "a datagram arrives");
    assert_eq!(world.finding("isolated-to-routed", says), None);
    for (name, number) in [("n70", 70), ("n71", 71)] {
        sh(
            world,
            &format!("ip link delete th{number}; ip netns delete there{number}"),
        );
        world.lab.virsh(&["net-destroy", name]);
        world.lab.virsh(&["net-undefine", name]);
    }
    std::fs::remove_file("/etc/portero/networks/n71.xml").expect("the policy");
    world.lab.must("portero", &["sync"]);
    world.serves();
}
