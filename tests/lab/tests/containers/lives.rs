//! Forwards and policies of containers, from their start to their end.

use crate::world::{metadata, World, BOX, BOX_MAC, BOX_UUID, FORWARDS};
use portero_lab::{
    Backend, DomainXml, Driver, From, Program, Proto, Scenario, HOST_V4, OUTSIDE_V4,
};
use std::fs;
use std::path::Path;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a container's ports are served where the lxc hook is linked, and else not",
        run: served,
    },
    Scenario {
        name: "a container's start is refused for a port that is taken",
        run: refused,
    },
    Scenario {
        name: "net-destroy and net-start under a container",
        run: network_restart,
    },
    Scenario {
        name: "a flushed firewall and a restart of libvirtd under a container",
        run: daemon_restart,
    },
    Scenario {
        name: "a sync keeps a running container for good, and one that libvirt knows no more it forgets",
        run: kept_by_sync,
    },
    Scenario {
        name: "forwards of a running container change at once",
        run: live,
    },
    Scenario {
        name: "a virtual machine of the same name",
        run: same_name,
    },
    Scenario {
        name: "sixty containers beside ten thousand rules of others",
        run: sixty,
    },
    Scenario {
        name: "a policy holds for containers",
        run: policy,
    },
];

/// How many.
const MANY: u16 = 60;

fn sixty(world: &mut World) {
    // Nobody has a reservation: the service follows the leases.
    let watch = Program::start("portero-watch", &[]);
    let name = |number: u16| format!("many{number}");
    let port = |number: u16| 9000 + number;
    for number in 1..=MANY {
        let portero = format!(
            "<portero:portForward proto='tcp'><portero:range start='{}' to='80'/></portero:portForward>",
            port(number)
        );
        let identity = (
            format!("00000000-0000-4000-8000-00000000c1{number:02}"),
            format!("52:54:00:01:50:{number:02}"),
        );
        world.begin(
            &name(number),
            (&identity.0, &identity.1),
            &metadata(&portero),
        );
    }
    for number in 1..=MANY {
        let answer = format!("{} tcp 80 from ", name(number));
        (world.lab).answers(From::Outside, Proto::Tcp, HOST_V4, port(number), &answer);
    }
    drop(watch);
    world.lab.begin_crowd();
    let address = format!("{HOST_V4}:{}", port(MANY / 2));
    let commands: [&[&str]; 4] = [&["explain", &address], &["doctor"], &["status"], &["map"]];
    world.lab.answers_in_time(&commands, &[]);
    // The control: the rules are read.
    world.lab.must(
        "nft",
        &["insert rule inet crowd way tcp dport 80 counter drop"],
    );
    (world.lab).refuses(From::Outside, Proto::Tcp, HOST_V4, port(MANY / 2));
    let said = world.lab.run("portero", &["explain", &address]).stdout;
    assert!(said.contains("inet crowd way"), "{said}");
    world.lab.end_crowd();
    for number in 1..=MANY {
        world.end(&name(number));
    }
    world.is_untouched();
}

const LINK: &str = "/etc/libvirt/hooks/lxc.d/50-portero";

fn served(world: &mut World) {
    let link = fs::read_link(LINK).expect("the hook's link");
    // The control: libvirt tells nobody of the container.
    fs::remove_file(LINK).expect("no link");
    world.start_box(FORWARDS);
    world.is_closed();
    let said = world.lab.run("portero", &["doctor"]).stdout;
    assert!(
        said.contains("portero-lxc-hook is not in /etc/libvirt/hooks/lxc.d"),
        "{said}"
    );
    world.end("box");
    std::os::unix::fs::symlink(link, LINK).expect("the link again");
    world.start_box(FORWARDS);
    world.serves();
    world.lab.is_in_order();
    let status = world.lab.must("portero", &["status"]);
    assert!(
        status.contains("lxc domain box") && status.contains("box (lxc)"),
        "{status}"
    );
    assert!(
        status.contains(BOX) && status.contains("active"),
        "{status}"
    );
    let map = world.lab.must("portero", &["map"]);
    assert!(map.contains("box") && map.contains("8080"), "{map}");
    let explained = world.lab.run("portero", &["explain", "8080"]).stdout;
    assert!(
        explained.contains("lxc domain 'box' wants it"),
        "{explained}"
    );
    world.end("box");
    world.is_closed();
    world.is_untouched();
}

fn refused(world: &mut World) {
    let program = world.lab.listen("203.0.113.1:8080");
    let xml = portero_lab::container("box", BOX_UUID, &metadata(FORWARDS), "");
    let path = world.lab.file("container.xml", &xml);
    world.lxc(&["define", &path]);
    let ran = world.try_lxc(&["start", "box"]);
    assert!(!ran.ok && ran.stderr.contains("8080"), "{ran:?}");
    assert!(ran.stderr.contains("lxc domain 'box'"), "{ran:?}");
    drop(program);
    world.lxc(&["undefine", "box"]);
    world.is_untouched();
}

fn network_restart(world: &mut World) {
    world.start_box(FORWARDS);
    world.serves();
    world.lab.virsh(&["net-destroy", "lan"]);
    world.is_closed();
    world.lab.virsh(&["net-start", "lan"]);
    world.serves();
    world.lab.is_in_order();
    world.end("box");
    world.is_untouched();
}

fn daemon_restart(world: &mut World) {
    world.start_box(FORWARDS);
    let id = world.lxc(&["domid", "box"]);
    let flush = |world: &World, nft: &[&str]| {
        match world.lab.backend() {
            Backend::Iptables => world.lab.must("iptables", &["-t", "nat", "-F"]),
            Backend::Nftables => world.lab.must("nft", nft),
        };
        world.is_closed();
    };
    // Of the daemon that has the containers, and of no other.
    let daemon = Driver::Lxc.daemon();
    for signal in ["TERM", "KILL", "HUP"] {
        flush(world, &["flush", "table", "inet", "portero"]);
        match signal {
            "HUP" => world.lab.signal_daemon(daemon, signal),
            _ => world.lab.restart_daemon(daemon, signal),
        }
        world.serves();
    }
    flush(world, &["flush", "ruleset"]);
    world.lab.restart_libvirtd();
    world.serves();
    world.lab.is_in_order();
    assert_eq!(world.lxc(&["domid", "box"]), id, "another container");
    // What libvirt starts with may be wrong: it must not cost the container its life.
    let file = "/etc/portero/domains/box.xml";
    fs::write(file, "<domain").expect("a file of the administrator's");
    world.lab.restart_libvirtd();
    world.serves();
    assert_eq!(world.lxc(&["domid", "box"]), id, "another container");
    fs::remove_file(file).expect("no file");
    world.end("box");
    world.is_untouched();
}

fn kept_by_sync(world: &mut World) {
    world.start_box(FORWARDS);
    let known = format!("/run/portero/domains/{BOX_UUID}.xml");
    let age = || world.lab.must("touch", &["-d", "10 minutes ago", &known]);
    age();
    world.lab.must("portero", &["sync"]);
    world.serves();
    world.lab.is_in_order();
    // The control: the driver's folder does not have it.
    let (state, aside) = ("/run/libvirt/lxc/box.xml", "/run/lab/box.xml");
    assert!(Path::new(state).exists());
    world.lab.must("mv", &[state, aside]);
    age();
    world.lab.must("portero", &["sync"]);
    world.is_closed();
    assert!(!Path::new(&known).exists(), "it is still known");
    world.lab.must("mv", &[aside, state]);
    world.lab.must("portero", &["sync"]);
    world.serves();
    world.end("box");
    world.is_untouched();
}

fn live(world: &mut World) {
    world.start_box("");
    world.is_closed();
    let uri = ["-c", "lxc:///system"];
    for port in ["8080:80/tcp", "8080:80/udp"] {
        let words = [&["forward", "add"], &uri[..], &["box", port]].concat();
        world.lab.must("portero", &words);
    }
    world.serves();
    let words = [&["forward", "remove"], &uri[..], &["box", "8080:80/tcp"]].concat();
    world.lab.must("portero", &words);
    world.lab.refuses(From::Outside, Proto::Tcp, HOST_V4, 8080);
    world.end("box");
    world.is_untouched();
}

fn same_name(world: &mut World) {
    // Its firmware finds nothing to boot: what is looked at is what its hooks do.
    let forward = "<portero:portForward proto='tcp' guest='192.168.50.20'>\
                   <portero:range start='8090' to='80'/></portero:portForward>";
    world.lab.define(&DomainXml {
        name: "box",
        nics: &[("lan", "52:54:00:00:50:20")],
        v6: None,
        portero: forward,
    });
    world.lab.virsh(&["start", "--paused", "box"]);
    world.start_box(FORWARDS);
    world.serves();
    let status = world.lab.must("portero", &["status"]);
    let has = |words: &str| status.lines().any(|line| line.starts_with(words));
    assert!(has("domain box") && has("lxc domain box"), "{status}");
    world.lab.must("portero", &["sync"]);
    world.lab.is_in_order();
    world.lab.virsh(&["destroy", "box"]);
    world.lab.virsh(&["undefine", "box"]);
    world.serves();
    assert!(!world.lab.rules().contains("8090"), "{}", world.lab.rules());
    world.end("box");
    world.is_untouched();
}

fn policy(world: &mut World) {
    world.start_box(FORWARDS);
    world.serves();
    let out = || {
        world
            .lab
            .probe(From::Guest(BOX), Proto::Tcp, OUTSIDE_V4, 80)
    };
    assert!(out().is_ok(), "{:?}", out());
    let file = "/etc/portero/networks/lan.xml";
    let text = "<portero:network xmlns:portero='urn:portero:1'><portero:policy>\
                <portero:default out='reject'/></portero:policy></portero:network>\n";
    fs::write(file, text).expect("a file of the administrator's");
    world.lab.must("portero", &["sync"]);
    assert!(out().is_err(), "{:?}", out());
    world.serves();
    fs::remove_file(file).expect("no file");
    world.lab.must("portero", &["sync"]);
    assert!(out().is_ok(), "{:?}", out());
    let links = world
        .lab
        .must("ip", &["-o", "link", "show", "master", "br-lan"]);
    assert!(
        !links.contains(BOX_MAC),
        "the host's end has its own address: {links}"
    );
    world.end("box");
}
