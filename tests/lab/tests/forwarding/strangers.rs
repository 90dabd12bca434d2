//! Nothing but what is meant gets by a forward: not who pretends to be a neighbour, not to the host itself; and what belongs
//! to its connections does.

use crate::world::{World, CELL, FORWARDS, WEB};
use portero_lab::{wait_until, Backend, DomainXml, From, Program, Proto, Scenario, HOST_V4};
use std::time::Duration;
use Proto::{Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "stranger: a source in the guest's subnet that comes from outside is dropped",
        run: pretended_neighbour,
    },
    Scenario {
        name: "stranger: what a bridge sends from loopback is dropped",
        run: pretended_loopback,
    },
    Scenario {
        name: "stranger: a forward never ends at the host",
        run: host_has_address,
    },
    Scenario {
        name: "stranger: sources, groups and exceptions say who may use a forward",
        run: sources,
    },
    Scenario {
        name: "errors of a forward's connections pass, also on an isolated network",
        run: path_mtu,
    },
    Scenario {
        name: "a program that only asks keeps no range from its guest",
        run: questions,
    },
];

/// Runs a command line in a network namespace.
fn inside(world: &World, namespace: &str, line: &str) -> portero_lab::Ran {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    world.lab.inside(namespace, words[0], &words[1..])
}

fn must_inside(world: &World, namespace: &str, line: &str) {
    let ran = inside(world, namespace, line);
    assert!(ran.ok, "{line}: {ran:?}");
}

/// Lets through what portero's rules at a hook would drop; `portero sync` puts that right.
fn open(world: &World, chain: &str, base: &str) {
    match world.lab.backend() {
        Backend::Nftables => {
            let rules = format!("flush chain inet portero {chain}");
            world.lab.must("nft", &[&rules]);
        }
        Backend::Iptables => {
            world.lab.must("iptables", &["-I", base, "-j", "RETURN"]);
        }
    }
}

/// How many datagrams have come to the guest's port 80.
fn received(world: &World) -> u64 {
    let said = world
        .lab
        .must(&world.lab.agent(), &["ask", WEB, "count 80"]);
    said.trim().parse().expect("a number")
}

fn pretended_neighbour(world: &mut World) {
    world.stop_web_if_it_runs();
    world.start_web(FORWARDS);
    for setting in ["all", "eth0"] {
        let setting = format!("net.ipv4.conf.{setting}.rp_filter=0");
        world.lab.must("sysctl", &["-qw", &setting]);
    }
    must_inside(world, "outside", "ip address add 192.168.50.66/32 dev lo");
    must_inside(
        world,
        "outside",
        "ip route add 203.0.113.1/32 dev eth0 src 192.168.50.66",
    );
    let send = || {
        let before = received(world);
        let _ = world.lab.probe_for(
            Duration::from_millis(400),
            From::Outside,
            Udp,
            HOST_V4,
            8080,
        );
        received(world) - before
    };
    assert_eq!(send(), 0, "a pretended neighbour reaches the guest");
    // The control.
    match world.lab.backend() {
        Backend::Nftables => open(world, "forwarded", ""),
        Backend::Iptables => {
            world
                .lab
                .must("iptables", &["-I", "PORTERO-FORWARD", "-j", "ACCEPT"]);
        }
    }
    assert_eq!(send(), 1, "the control");
    world.lab.must("portero", &["sync"]);
    assert_eq!(send(), 0, "a pretended neighbour reaches the guest again");
    must_inside(world, "outside", "ip route delete 203.0.113.1/32 dev eth0");
    must_inside(
        world,
        "outside",
        "ip address delete 192.168.50.66/32 dev lo",
    );
    // Who is what he says is served.
    world.serves();
    world.stop_web();
    world.is_untouched();
}

/// Datagrams that have come to a port of the host's on which nobody listens.
fn unheard(world: &World) -> u64 {
    let counters = world.lab.must("cat", &["/proc/net/snmp"]);
    let mut lines = counters.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let index = names
        .split(' ')
        .position(|name| name == "NoPorts")
        .expect("NoPorts");
    let value = values.split(' ').nth(index).expect("its value");
    value.parse().expect("a number")
}

fn pretended_loopback(world: &mut World) {
    world.stop_web_if_it_runs();
    world.start_web(FORWARDS);
    for setting in ["all", "br-lan"] {
        let setting = format!("net.ipv4.conf.{setting}.rp_filter=0");
        world.lab.must("sysctl", &["-qw", &setting]);
    }
    for step in [
        "netns add rogue",
        "link add rogue0 type veth peer name eth0 netns rogue",
        "link set rogue0 master br-lan up",
        "-n rogue address add 192.168.50.66/24 dev eth0",
        "-n rogue link set eth0 up",
        "-n rogue link set lo up",
        "-n rogue address add 127.0.0.5/32 dev lo",
    ] {
        world.lab.ip(step);
    }
    must_inside(
        world,
        "rogue",
        "sysctl -qw net.ipv4.conf.all.route_localnet=1",
    );
    must_inside(
        world,
        "rogue",
        "ip route add 192.168.50.1/32 dev eth0 src 127.0.0.5",
    );
    let send = || {
        let before = unheard(world);
        let rogue = From::Namespace("rogue");
        let _ = world
            .lab
            .probe_for(Duration::from_millis(400), rogue, Udp, "192.168.50.1", 9898);
        unheard(world) - before
    };
    assert_eq!(send(), 0, "a bridge speaks for loopback");
    // The control.
    open(world, "local_in", "PORTERO-INPUT");
    assert_eq!(send(), 1, "the control");
    world.lab.must("portero", &["sync"]);
    assert_eq!(send(), 0, "a bridge speaks for loopback again");
    world.lab.must("ip", &["netns", "delete", "rogue"]);
    world.serves();
    world
        .lab
        .answers(From::Host, Tcp, "127.0.0.1", 8081, "web tcp 80");
    world.stop_web();
    world.is_untouched();
}

/// Outside is in the group; two of three forwards are for it.
const SOURCES: &str = "
<portero:portForward proto='tcp'><portero:source group='friends'/><portero:range start='8090' to='80'/></portero:portForward>
<portero:portForward proto='tcp'><portero:source group='friends'/><portero:source address='203.0.113.2' match='no'/>
  <portero:range start='8091' to='80'/></portero:portForward>
<portero:portForward proto='tcp'><portero:source address='198.51.100.0' prefix='24'/><portero:source address='203.0.113.0' prefix='30'/>
  <portero:range start='8092' to='80'/></portero:portForward>
<portero:portForward proto='tcp'><portero:source address='203.0.113.2' match='no'/><portero:range start='8093' to='80'/></portero:portForward>";

fn sources(world: &mut World) {
    const GROUP: &str = "/etc/portero/groups/friends.xml";
    world.stop_web_if_it_runs();
    world.lab.define(&crate::world::web(SOURCES));
    let said = world.refused("web");
    assert!(
        said.contains("there is no group /etc/portero/groups/friends.xml"),
        "{said}"
    );
    let group = "<portero:group xmlns:portero='urn:portero:1'><portero:peer address='203.0.113.0' prefix='24'/></portero:group>";
    std::fs::write(GROUP, group).expect("a group");
    world.start_web(SOURCES);
    for port in [8090, 8092] {
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, port, "web tcp 80");
    }
    for port in [8091, 8093] {
        world.lab.refuses(From::Outside, Tcp, HOST_V4, port);
    }
    // Everybody but the one.
    world.lab.answers(
        From::Guest(crate::world::FAR),
        Tcp,
        HOST_V4,
        8093,
        "web tcp 80",
    );
    world
        .lab
        .refuses(From::Guest(crate::world::FAR), Tcp, HOST_V4, 8090);
    world.stop_web();
    std::fs::remove_file(GROUP).expect("no group");
    world.is_untouched();
}

const HOSTS_OWN: &str = "<portero:portForward proto='tcp' guest='192.168.50.77'>\
    <portero:range start='8090' to='9099'/></portero:portForward>";

fn host_has_address(world: &mut World) {
    world.stop_web_if_it_runs();
    let address = |verb: &str| {
        let words = ["address", verb, "192.168.50.77/32", "dev", "br-lan"];
        world.lab.must("ip", &words);
    };
    address("add");
    world.lab.define(&crate::world::web(HOSTS_OWN));
    let said = world.refused("web");
    assert!(
        said.contains("guest address 192.168.50.77 is this host's own"),
        "{said}"
    );
    // It gets the address later.
    address("delete");
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    address("add");
    let program = world.lab.listen("192.168.50.77:9099");
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    // The control.
    open(world, "local_in", "PORTERO-LOCAL");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "host tcp 9099");
    world.lab.must("portero", &["sync"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    drop(program);
    address("delete");
    world.stop_web();
    world.is_untouched();
}

/// The control port of a guest's agent, from outside.
const CONTROL: &str =
    "<portero:portForward proto='tcp'><portero:range start='7000'/></portero:portForward>";

fn path_mtu(world: &mut World) {
    world.stop_web_if_it_runs();
    // A machine beyond the one outside, by a way that takes only packets of 1,300 bytes.
    for step in [
        "netns add beyond",
        "-n outside link add narrow0 mtu 1300 type veth peer name eth0 netns beyond",
        "-n outside address add 198.51.100.1/24 dev narrow0",
        "-n outside link set narrow0 up",
        "-n beyond address add 198.51.100.2/24 dev eth0",
        "-n beyond link set eth0 up",
        "-n beyond route add default via 198.51.100.1",
        "route add 198.51.100.0/24 via 203.0.113.2",
    ] {
        world.lab.ip(step);
    }
    must_inside(world, "outside", "sysctl -qw net.ipv4.ip_forward=1");
    world.lab.define(&DomainXml {
        name: "cell",
        nics: &[("cell", "52:54:00:00:70:13")],
        v6: None,
        portero: CONTROL,
    });
    world.lab.virsh(&["start", "cell"]);
    world.lab.wait_guest(CELL);
    // As much as fills many packets.
    let download = || {
        let ran = world.lab.inside(
            "beyond",
            &world.lab.agent(),
            &["ask", HOST_V4, "run seq 60000"],
        );
        ran.stdout.len()
    };
    // The control comes first: a guest remembers what it was told.
    match world.lab.backend() {
        Backend::Nftables => world
            .lab
            .must("nft", &["flush set ip libvirt_network portero_guests"]),
        Backend::Iptables => world.lab.must(
            "iptables",
            &["-I", "PORTERO-FORWARD", "-p", "icmp", "-j", "RETURN"],
        ),
    };
    let without = download();
    assert!(without < 60_000, "the control: {without} bytes come");
    world.lab.must("portero", &["sync"]);
    wait_until(Duration::from_secs(60), "all of it comes", || {
        download() > 300_000
    });
    world.lab.virsh(&["destroy", "cell"]);
    world.lab.virsh(&["undefine", "cell"]);
    world
        .lab
        .must("ip", &["route", "delete", "198.51.100.0/24"]);
    world.lab.must("ip", &["netns", "delete", "beyond"]);
    world.is_untouched();
}

const RANGE: &str = "<portero:portForward proto='udp'><portero:range start='15000' end='15999'/></portero:portForward>";

fn questions(world: &mut World) {
    world.stop_web_if_it_runs();
    // Somebody asks one question after another, each from a port of its own for a moment.
    let agent = world.lab.agent();
    let ask = format!(
        "port=15000; while [ $port -lt 15999 ]; do {agent} hold $port 150; port=$((port+1)); done"
    );
    let asking = Program::start("sh", &["-c", &ask]);
    world.lab.define(&crate::world::web(RANGE));
    world.lab.virsh(&["start", "web"]);
    world.lab.virsh(&["destroy", "web"]);
    drop(asking);
    // The control: who stays is named.
    let serving = Program::start("sh", &["-c", &format!("exec {agent} hold 15500 20000")]);
    std::thread::sleep(Duration::from_millis(300));
    let said = world.refused("web");
    assert!(
        said.contains("udp port 15000-15999: program agent (process "),
        "{said}"
    );
    assert!(said.contains("listens on 0.0.0.0 port 15500"), "{said}");
    drop(serving);
    world.is_untouched();
}
