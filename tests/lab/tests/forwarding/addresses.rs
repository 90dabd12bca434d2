//! An address of the host that leads to a guest as a whole: `<portero:address>`.

use crate::refusals::is_one_line;
use crate::world::{web, Flush, World, NOTHING_TO_DO, PEER, WEB};
use portero_lab::{DomainXml, From, NetworkXml, Proto, Scenario, Settings, HOST_V4, OUTSIDE_V4};
use std::fs;
use Proto::{Icmp, Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "address: all of it leads to the guest, and the guest leaves by it",
        run: whole,
    },
    Scenario {
        name: "address: on a network with a policy, what that refuses stays refused",
        run: with_policy,
    },
    Scenario {
        name: "address: given and taken back on the command line",
        run: on_command_line,
    },
    Scenario {
        name: "address: what the host needs itself is refused",
        run: refused,
    },
];

/// An address that the host has besides its first.
const SECOND: &str = "203.0.113.5";

const PEER_FILE: &str = "/etc/portero/domains/peer.xml";
const PEER_FORWARDS: &str = "<domain xmlns='urn:portero:1'><portForward proto='tcp'>\
    <range start='80'/></portForward></domain>";

const ADDRESS: &str = "<portero:address host='203.0.113.5'>\
    <portero:exclude proto='tcp' start='7000' end='7009'/></portero:address>";

/// Permits the addresses of the LAN and of the guests' network.
fn permit() -> Settings {
    Settings::replace("[limits]\nwhole_addresses = [\"203.0.113.0/24\", \"192.168.50.0/24\"]\n")
}

fn whole(world: &mut World) {
    world.stop_web_if_it_runs();
    let settings = permit();
    world.lab.ip(&format!("address add {SECOND}/24 dev eth0"));
    let host = world.lab.listen("0.0.0.0:7001");
    world.start_web("");
    // The controls: nobody serves it but the host, and the guest leaves by the host's first address.
    world.lab.refuses(From::Outside, Tcp, SECOND, 80);
    leaves_by(world, HOST_V4);
    world.stop_web();
    world.start_web(ADDRESS);
    for (proto, name) in [(Tcp, "tcp"), (Udp, "udp")] {
        let answer = format!("web {name} 80 from {OUTSIDE_V4}");
        world.lab.answers(From::Outside, proto, SECOND, 80, &answer);
    }
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 80);
    world
        .lab
        .answers(From::Outside, Tcp, SECOND, 7001, "host tcp 7001");
    for from in [From::Host, From::Guest(PEER), From::Guest(WEB)] {
        world.lab.answers(from, Tcp, SECOND, 80, "web tcp 80");
    }
    // Whoever names no address has the host's others.
    fs::write(PEER_FILE, PEER_FORWARDS).expect("a file");
    world.lab.must("portero", &["sync"]);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 80, "peer tcp 80");
    world
        .lab
        .answers(From::Outside, Tcp, SECOND, 80, "web tcp 80");
    fs::remove_file(PEER_FILE).expect("a file");
    world.lab.must("portero", &["sync"]);
    leaves_by(world, SECOND);
    // On its own network it is who it is.
    let answer = format!("peer tcp 80 from {WEB}");
    world.lab.answers(From::Guest(WEB), Tcp, PEER, 80, &answer);
    echoes(world);
    let explained = world
        .lab
        .run("portero", &["explain", &format!("{SECOND}:80")]);
    assert!(explained.ok, "{explained:?}");
    let status = world.lab.must("portero", &["status"]);
    assert!(status.contains(&format!("tcp {SECOND}:1-6999")), "{status}");
    assert_eq!(world.lab.must("portero", &["sync"]), NOTHING_TO_DO);
    // Somebody's flush is put right.
    world.flush(Flush::Everything);
    world.lab.restart_libvirtd();
    world.lab.must("portero", &["sync"]);
    world
        .lab
        .answers(From::Outside, Tcp, SECOND, 80, "web tcp 80");
    leaves_by(world, SECOND);
    world.stop_web();
    drop(host);
    world.lab.refuses(From::Outside, Tcp, SECOND, 80);
    world
        .lab
        .ip(&format!("address delete {SECOND}/24 dev eth0"));
    drop(settings);
    world.is_untouched_after_flushes();
}

fn on_command_line(world: &mut World) {
    world.stop_web_if_it_runs();
    let settings = permit();
    world.lab.ip(&format!("address add {SECOND}/24 dev eth0"));
    world.start_web("");
    let portero = |verb: &str, words: &[&str]| {
        let words = [&["forward", verb, "web", "--live"], words].concat();
        world.lab.run("portero", &words)
    };
    // The control.
    world.lab.refuses(From::Outside, Tcp, SECOND, 80);
    let given = [SECOND, "--exclude", "7000-7009"];
    let said = portero("add", &given);
    assert!(said.ok, "{said:?}");
    let expected = format!("domain 'web' forwards {SECOND} to {WEB}\n");
    assert_eq!(said.stdout, expected);
    world
        .lab
        .answers(From::Outside, Tcp, SECOND, 80, "web tcp 80");
    world.lab.refuses(From::Outside, Tcp, SECOND, 7001);
    let expected = format!("domain 'web' forwards {SECOND} already\n");
    assert_eq!(portero("add", &given).stdout, expected);
    let listed = portero("list", &[]).stdout;
    let expected = format!("{SECOND} --exclude 7000-7009/tcp ");
    assert!(
        listed.lines().any(|line| line.starts_with(&expected)),
        "{listed}"
    );
    // Otherwise it is another forward, and the address is taken.
    for (words, expected) in [
        (&[SECOND][..], SECOND),
        (
            &[SECOND, "--dev", "eth0"],
            "--dev is given, expected it with ports only",
        ),
        (
            &["8090:80", "--exclude", "22"],
            "--exclude is given, expected it with an address alone only",
        ),
    ] {
        let said = portero("add", words);
        assert!(!said.ok && said.stderr.contains(expected), "{said:?}");
    }
    assert_eq!(portero("list", &[]).stdout, listed);
    let said = portero("remove", &[SECOND]);
    let expected = format!("domain 'web' no longer forwards {SECOND}\n");
    assert_eq!(said.stdout, expected, "{said:?}");
    world.lab.refuses(From::Outside, Tcp, SECOND, 80);
    let said = portero("remove", &[SECOND]);
    assert!(!said.ok, "{said:?}");
    world.stop_web();
    world
        .lab
        .ip(&format!("address delete {SECOND}/24 dev eth0"));
    drop(settings);
    world.is_untouched();
}

/// From where the guest's connections come to the machine outside.
fn leaves_by(world: &World, address: &str) {
    let answer = format!("outside tcp 80 from {address} ");
    world
        .lab
        .answers(From::Guest(WEB), Tcp, OUTSIDE_V4, 80, &answer);
}

/// Whether it is the guest that answers echo requests.
fn echoes(world: &World) {
    world.lab.answers(From::Outside, Icmp, SECOND, 0, "echo");
    let deaf = |setting: &str| {
        let line = format!("run sysctl -w net.ipv4.icmp_echo_ignore_all={setting}");
        world.lab.must(&world.lab.agent(), &["ask", WEB, &line]);
    };
    deaf("1");
    world.lab.refuses(From::Outside, Icmp, SECOND, 0);
    world.lab.answers(From::Outside, Icmp, HOST_V4, 0, "echo");
    deaf("0");
    world.lab.answers(From::Outside, Icmp, SECOND, 0, "echo");
}

fn refused(world: &mut World) {
    world.stop_web_if_it_runs();
    world.lab.define(&web(ADDRESS));
    is_one_line(
        &world.refused("web"),
        "metadata cannot have all of host address 203.0.113.5, expected one of 'whole_addresses'",
    );
    let settings = permit();
    let refuses = |world: &World, portero: &'static str, expected: &str| {
        world.lab.define(&web(portero));
        is_one_line(&world.refused("web"), expected);
    };
    refuses(
        world,
        "<portero:address host='203.0.113.1'/>",
        "203.0.113.1 is the first address of interface eth0",
    );
    refuses(
        world,
        "<portero:address host='192.168.50.1'/>",
        "192.168.50.1 is the first address of interface br-lan",
    );
    world.lab.ip(&format!("address add {SECOND}/24 dev eth0"));
    let host = world.lab.listen(&format!("{SECOND}:7100"));
    refuses(world, ADDRESS, &format!("listens on {SECOND} port 7100"));
    drop(host);
    // The control, with a program that listens on all addresses.
    let host = world.lab.listen("0.0.0.0:7100");
    world.lab.virsh(&["start", "web"]);
    drop(host);
    world.lab.define(&DomainXml {
        name: "rival",
        nics: &[("lan", "52:54:00:00:50:99")],
        v6: None,
        portero: "<portero:portForward proto='udp' address='203.0.113.5' guest='192.168.50.99'><portero:range start='8200'/></portero:portForward>",
    });
    is_one_line(&world.refused("rival"), "is held by domain 'web'");
    world.stop_web();
    world.lab.virsh(&["start", "rival"]);
    is_one_line(&world.refused("web"), "is held by domain 'rival'");
    world.lab.virsh(&["destroy", "rival"]);
    world.lab.virsh(&["undefine", "rival"]);
    world
        .lab
        .ip(&format!("address delete {SECOND}/24 dev eth0"));
    drop(settings);
    world.is_untouched();
}

/// The only way out that the policies below close is to port 53, and nobody comes in.
const CLOSED: &str = "<portero:default in='reject'/>\
    <portero:rule action='reject' direction='out'><portero:tcp dstportstart='53'/></portero:rule>";

fn with_policy(world: &mut World) {
    const PEN: &str = "192.168.90.10";
    const FILE: &str = "/etc/portero/domains/pen.xml";
    world.stop_web_if_it_runs();
    world.lab.ip(&format!("address add {SECOND}/24 dev eth0"));
    for (mode, given) in [("route", ""), ("open", "mode='nat'")] {
        let network = NetworkXml {
            name: "own",
            mode,
            number: 90,
            reservations: &[("52:54:00:00:90:10", 10)],
            portero: "",
        };
        world.lab.start_network(&network);
        world.lab.define(&DomainXml {
            name: "pen",
            nics: &[("own", "52:54:00:00:90:10")],
            v6: None,
            portero: "",
        });
        world.lab.virsh(&["start", "pen"]);
        world.lab.wait_guest(PEN);
        // The controls: without a policy everybody comes in and gets out, by the guest's own address.
        world.lab.answers(From::Outside, Tcp, PEN, 80, "pen tcp 80");
        for port in [80, 53] {
            let answer = format!("outside tcp {port} from {PEN} ");
            world
                .lab
                .answers(From::Guest(PEN), Tcp, OUTSIDE_V4, port, &answer);
        }
        world.lab.refuses(From::Outside, Tcp, SECOND, 80);
        let policy = format!(
            "<portero:network xmlns:portero='urn:portero:1'><portero:policy {given}>{CLOSED}</portero:policy></portero:network>"
        );
        fs::write("/etc/portero/networks/own.xml", policy).expect("a file");
        world.lab.must("portero", &["sync"]);
        let leaves_by = |address: &str| {
            let answer = format!("outside tcp 80 from {address} ");
            world
                .lab
                .answers(From::Guest(PEN), Tcp, OUTSIDE_V4, 80, &answer);
        };
        let is_closed = || {
            world.lab.refuses(From::Outside, Tcp, PEN, 80);
            world.lab.refuses(From::Guest(PEN), Tcp, OUTSIDE_V4, 53);
        };
        is_closed();
        leaves_by(if given.is_empty() { PEN } else { HOST_V4 });
        let domain = format!(
            "<domain xmlns='urn:portero:1'><address host='{SECOND}'><exclude proto='tcp' start='3000'/></address></domain>"
        );
        fs::write(FILE, domain).expect("a file");
        world.lab.must("portero", &["sync"]);
        let answer = format!("pen tcp 80 from {OUTSIDE_V4}");
        world.lab.answers(From::Outside, Tcp, SECOND, 80, &answer);
        world.lab.answers(From::Outside, Icmp, SECOND, 0, "echo");
        world.lab.refuses(From::Outside, Tcp, SECOND, 3000);
        leaves_by(SECOND);
        is_closed();
        let explained = world
            .lab
            .run("portero", &["explain", &format!("{SECOND}:80")]);
        assert!(explained.ok, "{explained:?}");
        assert_eq!(world.lab.must("portero", &["sync"]), NOTHING_TO_DO);
        // Without the address the policy is as before.
        fs::remove_file(FILE).expect("no file");
        world.lab.must("portero", &["sync"]);
        world.lab.refuses(From::Outside, Tcp, SECOND, 80);
        is_closed();
        world.lab.virsh(&["destroy", "pen"]);
        world.lab.virsh(&["undefine", "pen"]);
        world.lab.remove_network("own");
        fs::remove_file("/etc/portero/networks/own.xml").expect("no file");
        world.lab.must("portero", &["sync"]);
    }
    world
        .lab
        .ip(&format!("address delete {SECOND}/24 dev eth0"));
    world.is_untouched();
}
