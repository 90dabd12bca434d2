//! From where a forward answers, and where it must not.

use crate::world::{World, CELL, FAR, FORWARDS, PEER, WEB, WEB_V6};
use portero_lab::{Backend, DomainXml, From, NetworkXml, Proto, Scenario, HOST_V4, HOST_V6};
use Proto::{Sctp, Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "control: a running guest without forwards is not reached",
        run: without_forwards,
    },
    Scenario {
        name: "a forward answers from everywhere, and no more after the stop",
        run: everywhere,
    },
    Scenario {
        name: "ranges, exclusion, source, dev and address",
        run: restrictions,
    },
    Scenario {
        name: "127.0.0.1 is served when asked for, and opens no other way to it",
        run: loopback,
    },
    Scenario {
        name: "a neighbour keeps its way to the host",
        run: no_redirect,
    },
    Scenario {
        name: "with bridge-nf-call-iptables",
        run: bridge_netfilter,
    },
    Scenario {
        name: "sctp, between guests",
        run: sctp,
    },
    Scenario {
        name: "a guest on an isolated network",
        run: isolated,
    },
    Scenario {
        name: "a network's own forward",
        run: of_network,
    },
];

/// All places, and an address of the host that each can ask.
const PLACES: [(From<'_>, &str); 9] = [
    (From::Outside, HOST_V4),
    (From::Outside, HOST_V6),
    (From::Host, HOST_V4),
    (From::Host, HOST_V6),
    (From::Host, "192.168.50.1"),
    (From::Guest(WEB), HOST_V4),
    (From::Guest(PEER), HOST_V4),
    (From::Guest(FAR), HOST_V4),
    (From::Guest(PEER), "192.168.50.1"),
];

/// The same for guests and IPv6, asked over IPv4.
const PLACES_V6: [(From<'_>, &str); 3] = [
    (From::Guest(WEB), HOST_V6),
    (From::Guest(PEER), HOST_V6),
    (From::Guest(FAR), HOST_V6),
];

fn nobody_is_served(world: &World) {
    for proto in [Tcp, Udp] {
        for (from, address) in PLACES.iter().chain(&PLACES_V6) {
            if matches!(from, From::Guest(guest) if *guest == WEB) {
                continue;
            }
            world.lab.refuses(*from, proto, address, 8080);
        }
    }
}

fn without_forwards(world: &mut World) {
    world.start_web("");
    world.lab.answers(From::Host, Tcp, WEB, 80, "web tcp 80");
    world.lab.answers(From::Host, Udp, WEB_V6, 80, "web udp 80");
    nobody_is_served(world);
    for (from, address) in [(From::Guest(WEB), HOST_V4), (From::Guest(WEB), HOST_V6)] {
        world.lab.refuses(from, Tcp, address, 8080);
    }
    // libvirt itself refuses the guest's own address to the outside (IPv4: nat).
    world.lab.refuses(From::Outside, Tcp, WEB, 80);
    world.stop_web();
    world.is_untouched();
}

fn everywhere(world: &mut World) {
    nobody_is_served(world);
    world.start_web(FORWARDS);
    for proto in [Tcp, Udp] {
        for (from, address) in PLACES.iter().chain(&PLACES_V6) {
            let answer = format!("web {proto} 80");
            world.lab.answers(*from, proto, address, 8080, &answer);
        }
    }
    let seen = world.lab.answers(From::Outside, Tcp, HOST_V4, 8080, "web");
    assert!(
        seen.contains(" from 203.0.113.2 "),
        "the source is kept: {seen}"
    );
    let seen = world.lab.answers(From::Outside, Udp, HOST_V6, 8080, "web");
    assert!(
        seen.contains(" from 2001:db8:113::2 "),
        "the source is kept: {seen}"
    );
    world.lab.is_in_order();
    // Control: what is not forwarded is still refused by libvirt.
    world.lab.refuses(From::Outside, Tcp, WEB, 80);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 80);
    world.stop_web();
    nobody_is_served(world);
    assert_eq!(world.lab.rules(), world.untouched, "to the letter");
    world.is_untouched();
}

fn restrictions(world: &mut World) {
    world.running_web();
    let lab = &world.lab;
    for (port, answer) in [
        (2000, "web tcp 3000"),
        (2009, "web tcp 3009"),
        (2020, "web tcp 3020"),
    ] {
        lab.answers(From::Outside, Tcp, HOST_V4, port, answer);
    }
    lab.answers(From::Outside, Tcp, HOST_V4, 5000, "web tcp 5000");
    // 3001 is served by the guest, and by UDP there is no exclusion.
    lab.refuses(From::Outside, Tcp, HOST_V4, 2001);
    lab.answers(From::Host, Tcp, WEB, 3001, "web tcp 3001");
    lab.answers(From::Outside, Udp, HOST_V4, 2001, "web udp 3001");
    lab.answers(From::Outside, Udp, HOST_V4, 2020, "web udp 3020");
    lab.answers(From::Outside, Tcp, HOST_V6, 2101, "web tcp 3001");
    lab.answers(From::Outside, Tcp, HOST_V6, 2120, "web tcp 3020");
    lab.answers(From::Outside, Tcp, HOST_V4, 8083, "web tcp 80");
    lab.refuses(From::Outside, Tcp, HOST_V4, 8084);
    lab.answers(From::Outside, Tcp, HOST_V4, 8085, "web tcp 80");
    lab.refuses(From::Host, Tcp, HOST_V4, 8085);
    lab.answers(From::Outside, Tcp, HOST_V4, 8086, "web tcp 80");
    lab.refuses(From::Host, Tcp, "192.168.50.1", 8086);
}

fn loopback(world: &mut World) {
    world.running_web();
    let lab = &world.lab;
    lab.answers(From::Host, Tcp, "127.0.0.1", 8081, "web tcp 80");
    lab.refuses(From::Outside, Tcp, HOST_V4, 8081);
    lab.refuses(From::Host, Tcp, "127.0.0.1", 8080);
    // A machine on the bridge that sends to 127.0.0.1 must not reach the host's own programs,
    // although loopback is routed there now.
    let steps: [&[&str]; 9] = [
        &["netns", "add", "rogue"],
        &[
            "link", "add", "rogue0", "type", "veth", "peer", "name", "eth0", "netns", "rogue",
        ],
        &["link", "set", "rogue0", "master", "br-lan", "up"],
        &[
            "-n",
            "rogue",
            "address",
            "add",
            "192.168.50.66/24",
            "dev",
            "eth0",
        ],
        &["-n", "rogue", "link", "set", "eth0", "up"],
        &[
            "-n",
            "rogue",
            "route",
            "add",
            "127.0.0.1/32",
            "via",
            "192.168.50.1",
            "table",
            "7",
        ],
        &[
            "-n",
            "rogue",
            "rule",
            "add",
            "priority",
            "1",
            "to",
            "127.0.0.1",
            "lookup",
            "7",
        ],
        &[
            "-n", "rogue", "rule", "add", "priority", "2", "lookup", "local",
        ],
        &["-n", "rogue", "rule", "delete", "priority", "0"],
    ];
    for step in steps {
        lab.must("ip", step);
    }
    lab.must(
        "ip",
        &[
            "netns",
            "exec",
            "rogue",
            "sysctl",
            "-qw",
            "net.ipv4.conf.all.route_localnet=1",
        ],
    );
    // The bridge's spanning tree takes a moment to let a new port speak.
    let dns = [
        "netns",
        "exec",
        "rogue",
        "/run/lab/files/agent",
        "probe",
        "udp",
        "192.168.50.1",
        "80",
        "900",
    ];
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !lab.run("ip", &dns).stdout.contains("refused") {
        assert!(
            std::time::Instant::now() < end,
            "the rogue machine never reaches the host"
        );
    }
    let secret = lab.listen("127.0.0.1:9099");
    let ask = || {
        let agent = "/run/lab/files/agent";
        let words = [
            "netns",
            "exec",
            "rogue",
            agent,
            "probe",
            "tcp",
            "127.0.0.1",
            "9099",
            "900",
        ];
        lab.run("ip", &words)
    };
    assert!(!ask().ok, "the bridge reaches the host's loopback");
    // Control: without the guard the same connection comes through.
    match lab.backend() {
        Backend::Iptables => lab.must(
            "iptables",
            &["-I", "PORTERO-INPUT", "-i", "br-lan", "-j", "ACCEPT"],
        ),
        Backend::Nftables => lab.must(
            "nft",
            &["insert rule inet portero local_in iifname br-lan accept"],
        ),
    };
    assert!(ask().ok, "the control does not reach it: {:?}", ask());
    lab.must("portero", &["sync"]);
    assert!(!ask().ok, "the bridge reaches the host's loopback again");
    drop(secret);
    lab.must("ip", &["netns", "delete", "rogue"]);
    world.stop_web();
    let setting = lab.must("cat", &["/proc/sys/net/ipv4/conf/br-lan/route_localnet"]);
    assert_eq!(setting.trim(), "0");
    lab.refuses(From::Host, Tcp, "127.0.0.1", 8081);
    world.is_untouched();
}

/// A packet that leaves by the bridge it came in by makes the kernel tell the sender of a shorter
/// way: to the guest, for everything that has the host's address.
fn no_redirect(world: &mut World) {
    world.running_web();
    let _program = world.lab.listen("0.0.0.0:9090");
    for _ in 0..3 {
        world
            .lab
            .answers(From::Guest(PEER), Tcp, HOST_V4, 9090, "host tcp 9090");
        world
            .lab
            .answers(From::Guest(PEER), Tcp, HOST_V4, 8080, "web tcp 80");
        world
            .lab
            .answers(From::Guest(PEER), Udp, HOST_V6, 8080, "web udp 80");
    }
}

fn bridge_netfilter(world: &mut World) {
    world.running_web();
    world.lab.set_bridge_netfilter("1");
    for (from, address) in PLACES {
        // A bridge does not send a frame back by the port it came from, so not from web itself.
        if !matches!(from, From::Guest(guest) if guest == WEB) {
            world.lab.answers(from, Tcp, address, 8080, "web tcp 80");
        }
    }
    world.lab.set_bridge_netfilter("0");
}

fn sctp(world: &mut World) {
    world.running_web();
    world
        .lab
        .answers(From::Guest(PEER), Sctp, HOST_V4, 8080, "web sctp 80");
    world
        .lab
        .answers(From::Guest(FAR), Sctp, HOST_V4, 8080, "web sctp 80");
    world.stop_web();
    world.lab.refuses(From::Guest(PEER), Sctp, HOST_V4, 8080);
}

fn isolated(world: &mut World) {
    let lab = &world.lab;
    lab.refuses(From::Outside, Tcp, HOST_V4, 8070);
    lab.define(&DomainXml {
        name: "cell",
        nics: &[("cell", "52:54:00:00:70:13")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8070' to='80'/></portero:portForward>",
    });
    lab.virsh(&["start", "cell"]);
    lab.wait_guest(CELL);
    lab.answers(From::Outside, Tcp, HOST_V4, 8070, "cell tcp 80");
    lab.answers(From::Host, Tcp, HOST_V4, 8070, "cell tcp 80");
    lab.answers(From::Guest(FAR), Tcp, HOST_V4, 8070, "cell tcp 80");
    // Control: it is isolated but for that.
    lab.refuses(From::Guest(CELL), Tcp, portero_lab::OUTSIDE_V4, 80);
    lab.virsh(&["destroy", "cell"]);
    lab.virsh(&["undefine", "cell"]);
    lab.refuses(From::Outside, Tcp, HOST_V4, 8070);
    world.is_untouched();
}

fn of_network(world: &mut World) {
    let lab = &world.lab;
    let network = NetworkXml {
        name: "edge",
        mode: "nat",
        number: 80,
        reservations: &[("52:54:00:00:80:14", 14)],
        portero: "<portero:portForward proto='tcp' guest='192.168.80.14'><portero:range start='8014' to='80'/></portero:portForward>",
    };
    let before = lab.rules();
    lab.start_network(&network);
    lab.define(&DomainXml {
        name: "edge",
        nics: &[("edge", "52:54:00:00:80:14")],
        v6: None,
        portero: "",
    });
    lab.virsh(&["start", "edge"]);
    lab.wait_guest("192.168.80.14");
    lab.answers(From::Outside, Tcp, HOST_V4, 8014, "edge tcp 80");
    lab.answers(From::Guest(FAR), Tcp, HOST_V4, 8014, "edge tcp 80");
    lab.virsh(&["destroy", "edge"]);
    lab.virsh(&["net-destroy", "edge"]);
    lab.refuses(From::Outside, Tcp, HOST_V4, 8014);
    lab.virsh(&["undefine", "edge"]);
    lab.virsh(&["net-undefine", "edge"]);
    assert_eq!(lab.rules(), before);
    world.is_untouched();
}
