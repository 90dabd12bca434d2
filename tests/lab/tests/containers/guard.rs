//! What containers may not pretend.

use crate::frames::{hexadecimal, udp4, End, Mac, BROADCAST};
use crate::world::{World, BOX, FORWARDS, PEER};
use portero_lab::{wait_until, From, Proto, Scenario};
use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "guard: a container sends as itself, and not as another",
        run: guarded,
    },
    Scenario {
        name:
            "guard: portero-watch guards what is plugged into a container, and follows its metadata",
        run: plugged,
    },
    Scenario {
        name: "guard: an interface that is no guest's is told",
        run: unguarded,
    },
];

/// How soon portero-watch has answered on a busy machine.
const SOON: Duration = Duration::from_secs(10);
const FILE: &str = "/etc/portero/networks/lan.xml";
const OWN_MAC: Mac = [0x52, 0x54, 0, 0, 0x50, 0x10];
const FALSE_MAC: Mac = [0x02, 0, 0, 0xde, 0xad, 0x01];
const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 10);
const FOREIGN: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

fn guard(world: &World) {
    let text = "<portero:network xmlns:portero='urn:portero:1'><portero:policy>\
                <portero:antispoof ip='yes' mac='yes'/></portero:policy></portero:network>\n";
    fs::write(FILE, text).expect("a file of the administrator's");
    world.lab.must("portero", &["sync"]);
}

fn unguard(world: &World) {
    fs::remove_file(FILE).expect("no file");
    world.lab.must("portero", &["sync"]);
}

/// Whether a datagram of `box` with this sender comes to its neighbour.
fn comes(world: &World, mac: Mac, address: Ipv4Addr, mark: &str) -> bool {
    let lab = &world.lab;
    let end = |mac, address, port| End { mac, address, port };
    let to = end(BROADCAST, Ipv4Addr::BROADCAST, 5000);
    let frame = hexadecimal(&udp4(end(mac, address, 5000), to, mark.as_bytes()));
    let ask = |guest: &str, words: &str| lab.run(&lab.agent(), &["ask", guest, words]);
    thread::scope(|scope| {
        let words = format!("hear {} 1500", hexadecimal(mark.as_bytes()));
        let ear = scope.spawn(move || ask(PEER, &words));
        thread::sleep(Duration::from_millis(300));
        let sent = ask(BOX, &format!("frame eth0 {frame}"));
        assert!(sent.ok, "{sent:?}");
        let heard = ear.join().expect("an ear");
        assert!(heard.ok || heard.stdout.contains("not heard"), "{heard:?}");
        heard.ok
    })
}

/// The same where it has to come: the ear may not be there yet, or the bridge may not forward yet.
fn comes_soon(world: &World, mac: Mac, address: Ipv4Addr, mark: &str) -> bool {
    (0..5).any(|_| comes(world, mac, address, mark))
}

fn taps(world: &World) -> String {
    let set = ["list", "set", "bridge", "portero_policy", "guarded"];
    world.lab.must("nft", &set)
}

fn guarded(world: &mut World) {
    world.start_box("");
    world.start_peer();
    // The control: nobody looks.
    assert!(comes_soon(world, OWN_MAC, OWN, "lab honest 1"));
    assert!(comes_soon(world, FALSE_MAC, OWN, "lab mac 1"));
    assert!(comes_soon(world, OWN_MAC, FOREIGN, "lab address 1"));
    let tries = |world: &World, round: &str| {
        let answered = (world.lab).probe(From::Guest(BOX), Proto::Tcp, PEER, 80);
        assert!(answered.is_ok(), "{round}: {answered:?}");
        assert!(
            comes_soon(world, OWN_MAC, OWN, &format!("lab honest {round}")),
            "{round}"
        );
        assert!(
            !comes(world, FALSE_MAC, OWN, &format!("lab mac {round}")),
            "{round}"
        );
        assert!(
            !comes(world, OWN_MAC, FOREIGN, &format!("lab address {round}")),
            "{round}"
        );
    };
    // Both run already, and nothing but libvirt's state says which interfaces are theirs.
    guard(world);
    assert_eq!(taps(world).matches("vnet").count(), 2, "{}", taps(world));
    tries(world, "sync");
    // Those that start now are guarded before they can send.
    world.end("box");
    assert_eq!(taps(world).matches("vnet").count(), 1, "{}", taps(world));
    let log = world.lab.log();
    world.start_box("");
    let log = [log, world.lab.log()].concat();
    assert!(
        !log.iter().any(|line| line.contains("cannot be guarded")),
        "{log:#?}"
    );
    tries(world, "start");
    world.lab.virsh(&["net-destroy", "lan"]);
    world.lab.virsh(&["net-start", "lan"]);
    tries(world, "network");
    world.lab.restart_libvirtd();
    tries(world, "daemon");
    world.end("box");
    world.end("peer");
    unguard(world);
    world.is_untouched();
}

/// Plugs an interface into `box`. libvirt takes none before the container has told it of its first process, and at times
/// it never hears of that: then it does after another start.
fn plug(world: &World, path: &str) {
    for _ in 0..3 {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            let ran = world.try_lxc(&["attach-device", "box", path, "--live"]);
            assert!(ran.ok || ran.stderr.contains("init PID"), "{ran:?}");
            if ran.ok {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        world.end("box");
        world.start_box("");
    }
    panic!("libvirt takes no interface");
}

fn plugged(world: &mut World) {
    let uri = [
        "--uri",
        "urn:portero:1",
        "--key",
        "portero",
        "--live",
        "--set",
    ];
    let element = format!("<domain>{}</domain>", FORWARDS.replace("portero:", ""));
    let metadata = [&["metadata", "box"], &uri[..], &[&element]].concat();
    let nic = "<interface type='network'><mac address='52:54:00:00:50:30'/><source network='lan'/></interface>";
    let path = world.lab.file("nic.xml", nic);
    world.start_box("");
    guard(world);
    let guarded = || taps(world).matches("vnet").count();
    assert_eq!(guarded(), 1);
    // The control: nobody hears of either.
    plug(world, &path);
    world.lxc(&metadata);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(guarded(), 1);
    world.is_closed();
    world.end("box");
    world.start_box("");
    let _watch = world.lab.start("portero-watch", &[]);
    thread::sleep(Duration::from_secs(2));
    plug(world, &path);
    wait_until(SOON, "a second interface that is guarded", || {
        guarded() == 2
    });
    world.lxc(&metadata);
    world.serves();
    world.lxc(&["detach-device", "box", &path, "--live"]);
    wait_until(SOON, "one interface that is guarded", || guarded() == 1);
    let status = world.lab.must("portero", &["status"]);
    assert!(!status.contains("cannot be guarded"), "{status}");
    world.end("box");
    unguard(world);
    wait_until(SOON, "nothing of portero's", || {
        !world.lab.rules().to_lowercase().contains("portero")
    });
}

/// An end of a pair that somebody has put into the bridge: of libvirt's own names, and of others'.
fn unguarded(world: &mut World) {
    world.start_peer();
    guard(world);
    let said = world.lab.must("portero", &["status"]);
    assert!(!said.contains("cannot be guarded"), "{said}");
    let _ = world.lab.log();
    for (name, address) in [("vnet77", "192.168.50.77"), ("pair78", "192.168.50.78")] {
        let space = format!("of-{name}");
        let inner = format!("{address}/24");
        let steps: [&[&str]; 6] = [
            &["netns", "add", &space],
            &[
                "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &space,
            ],
            &["link", "set", name, "up", "master", "br-lan"],
            &["-n", &space, "link", "set", "eth0", "up"],
            &["-n", &space, "address", "add", &inner, "dev", "eth0"],
            &["-n", &space, "link", "set", "lo", "up"],
        ];
        for step in steps {
            world.lab.must("ip", step);
        }
    }
    // The next event finds them.
    world.start_box("");
    let log = world.lab.log().join("\n");
    let status = world.lab.must("portero", &["status"]);
    let doctor = world.lab.run("portero", &["doctor"]).stdout;
    let cut = "vnet77 is in br-lan and is no guest's interface on the network: it cannot be guarded, and it reaches \
               no guarded guest";
    let free = "pair78 is in br-lan and is no guest's interface on the network: it cannot be guarded, and what it \
                sends is not looked at";
    for said in [&status, &doctor, &log] {
        assert!(said.contains(cut) && said.contains(free), "{said}");
    }
    // As it was said.
    world
        .lab
        .refuses(From::Namespace("of-vnet77"), Proto::Tcp, PEER, 80);
    world.lab.answers(
        From::Namespace("of-pair78"),
        Proto::Tcp,
        PEER,
        80,
        "peer tcp 80",
    );
    // Once is enough.
    world.end("box");
    world.start_box("");
    let log = world.lab.log().join("\n");
    assert!(!log.contains("cannot be guarded"), "{log}");
    world.end("box");
    // The repair that it names: nobody is there any more whom nobody guards.
    for name in ["vnet77", "pair78"] {
        let repair = format!("ip link set {name} nomaster");
        assert!(doctor.contains(&repair), "{doctor}");
        world.lab.must("sh", &["-c", &repair]);
    }
    let doctor = world.lab.run("portero", &["doctor"]).stdout;
    assert!(!doctor.contains("cannot be guarded"), "{doctor}");
    for space in ["of-vnet77", "of-pair78"] {
        world
            .lab
            .refuses(From::Namespace(space), Proto::Tcp, PEER, 80);
    }
    for name in ["vnet77", "pair78"] {
        world.lab.must("ip", &["link", "del", name]);
        world
            .lab
            .must("ip", &["netns", "del", &format!("of-{name}")]);
    }
    world.lab.must("portero", &["sync"]);
    let status = world.lab.must("portero", &["status"]);
    assert!(!status.contains("cannot be guarded"), "{status}");
    world.end("peer");
    unguard(world);
    world.is_untouched();
}
