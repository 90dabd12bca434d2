//! What guests may not pretend, also towards each other: `antispoof` of a policy.

use crate::counter::{packets, Counter};
use crate::frames::{
    advertisement, arp, hexadecimal, snapped, tagged, udp4, udp6, End, Mac, BROADCAST,
};
use crate::world::World;
use portero_lab::{Backend, DomainXml, From, Lab, NetworkXml, Program, Proto::Tcp, Scenario};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "guard: frames to a neighbour on the same bridge",
        run: frames,
    },
    Scenario {
        name: "guard: a guest that changes its MAC address",
        run: disguised,
    },
    Scenario {
        name: "guard: a guest that is rogue from its first frame on",
        run: rogue,
    },
    Scenario {
        name: "guard: an interface that is plugged in",
        run: plugged,
    },
    Scenario {
        name: "guard: many interfaces of others that come and go",
        run: many,
    },
    Scenario {
        name: "guard: where nft is not installed",
        run: without_nft,
    },
];

const PEN: NetworkXml<'_> = NetworkXml {
    name: "pen",
    mode: "nat",
    number: 99,
    reservations: &[(THIEF_MAC, 10), (VICTIM_MAC, 11), (ROGUE_MAC, 12)],
    portero: "",
};
const BRIDGE: &str = "br-pen";
const FILE: &str = "/etc/portero/networks/pen.xml";

/// The guest that tries.
const THIEF: &str = "192.168.99.10";
const THIEF_MAC: &str = "52:54:00:00:99:10";
const THIEF_OCTETS: Mac = [0x52, 0x54, 0, 0, 0x99, 0x10];
/// The one that listens.
const VICTIM: &str = "192.168.99.11";
const VICTIM_MAC: &str = "52:54:00:00:99:11";
/// The one that sends with [`FALSE_MAC`] all the time.
const ROGUE: &str = "192.168.99.12";
const ROGUE_MAC: &str = "52:54:00:00:99:12";
/// Its second interface, and the host's end of it.
const SECOND_MAC: &str = "52:54:00:00:99:20";
const SECOND_TAP: &str = "fe:54:00:00:99:20";
const SECOND_OCTETS: Mac = [0x52, 0x54, 0, 0, 0x99, 0x20];

/// What nobody has been given.
const FALSE_MAC: &str = "02:00:00:de:ad:01";
const FALSE_OCTETS: Mac = [0x02, 0, 0, 0xde, 0xad, 0x01];

/// All that a policy can forbid.
const ALL: &str = "ip='yes' mac='yes' dhcp='yes' ra='yes'";

/// How long a frame is listened for.
const HEARING: Duration = Duration::from_millis(1500);

/// What a guarded network says of itself.
fn policy(antispoof: &str) -> String {
    format!("<portero:policy><portero:antispoof {antispoof}/></portero:policy>")
}

/// Guards a running network, as an administrator does: a file and `portero sync`.
fn guard(lab: &Lab, antispoof: &str) {
    let policy = policy(antispoof);
    let text =
        format!("<portero:network xmlns:portero='urn:portero:1'>{policy}</portero:network>\n");
    fs::write(FILE, text).expect("a file of the administrator's");
    lab.must("portero", &["sync"]);
}

fn unguard(lab: &Lab) {
    let _ = fs::remove_file(FILE);
    lab.must("portero", &["sync"]);
}

fn has_table(lab: &Lab) -> bool {
    let tables = lab.must("nft", &["list", "tables"]);
    tables
        .lines()
        .any(|line| line == "table bridge portero_policy")
}

/// Starts the network and a guest on it.
fn start(lab: &Lab, name: &str, mac: &str, address: &str) {
    let known = lab.virsh(&["net-list", "--name"]);
    if !known.lines().any(|line| line == PEN.name) {
        lab.start_network(&PEN);
    }
    let last = address
        .rsplit('.')
        .next()
        .and_then(|last| last.parse().ok());
    lab.define(&DomainXml {
        name,
        nics: &[(PEN.name, mac)],
        v6: last.map(|last| (PEN.number, last)),
        portero: "",
    });
    lab.virsh(&["start", name]);
    lab.wait_guest(address);
}

/// Ends guests and the network: nothing of portero is left.
fn end(lab: &Lab, guests: &[&str]) {
    for name in guests {
        lab.virsh(&["destroy", name]);
        lab.virsh(&["undefine", name]);
    }
    let elements = lab.run("nft", &["list", "table", "bridge", "portero_policy"]);
    assert!(!elements.stdout.contains("elements"), "{elements:?}");
    let _ = fs::remove_file(FILE);
    lab.virsh(&["net-destroy", PEN.name]);
    lab.virsh(&["net-undefine", PEN.name]);
    assert!(!has_table(lab), "the table of guards is left");
}

/// Has a guest's agent do something.
fn order(lab: &Lab, guest: &str, words: &str) -> Result<String, String> {
    // The host may believe what it was told falsely.
    lab.must("ip", &["neigh", "flush", "dev", BRIDGE]);
    let ran = lab.run(&lab.agent(), &["ask", guest, words]);
    let said = ran.stdout.trim().to_owned();
    if ran.ok {
        Ok(said)
    } else {
        Err(said)
    }
}

/// Whether a frame that a guest sends by an interface comes to the victim.
fn comes(lab: &Lab, (guest, interface): (&str, &str), frame: &[u8], mark: &[u8]) -> bool {
    thread::scope(|scope| {
        let words = format!("hear {} {}", hexadecimal(mark), HEARING.as_millis());
        let ear = scope.spawn(move || order(lab, VICTIM, &words));
        thread::sleep(Duration::from_millis(300));
        let words = format!("frame {interface} {}", hexadecimal(frame));
        order(lab, guest, &words).expect("a guest that sends");
        match ear.join().expect("an ear") {
            Ok(_) => true,
            Err(said) if said.contains("not heard") => false,
            Err(said) => panic!("the victim does not listen: {said}"),
        }
    })
}

/// Something that a guest tries, and the attribute that forbids it.
struct Attempt {
    name: &'static str,
    against: &'static str,
    frame: Frame,
}

/// Makes a frame with a mark in it.
type Frame = fn(&[u8]) -> Vec<u8>;

const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 99, 10);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, 0x10);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe00, 0x9910);
const FOREIGN: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0xfd0e, 0, 0, 0, 0, 0, 0, 9);
const EVERYBODY: Ipv4Addr = Ipv4Addr::BROADCAST;
const NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn v4(mac: Mac, address: Ipv4Addr, port: u16) -> End<Ipv4Addr> {
    End { mac, address, port }
}

fn v6(mac: Mac, address: Ipv6Addr, port: u16) -> End<Ipv6Addr> {
    End { mac, address, port }
}

fn to_all(port: u16) -> End<Ipv4Addr> {
    v4(BROADCAST, EVERYBODY, port)
}

fn to_nodes(port: u16) -> End<Ipv6Addr> {
    v6([0x33, 0x33, 0, 0, 0, 1], NODES, port)
}

fn offer(mark: &[u8]) -> Vec<u8> {
    udp4(v4(THIEF_OCTETS, OWN, 67), to_all(68), mark)
}

fn router(mark: &[u8]) -> Vec<u8> {
    advertisement(THIEF_OCTETS, LINK_LOCAL, FOREIGN_V6, mark)
}

const ATTEMPTS: [Attempt; 18] = [
    Attempt {
        name: "another MAC address",
        against: "mac",
        frame: |mark| udp4(v4(FALSE_OCTETS, OWN, 5000), to_all(5000), mark),
    },
    Attempt {
        name: "another MAC address, tagged",
        against: "mac",
        frame: |mark| tagged(&udp4(v4(FALSE_OCTETS, OWN, 5000), to_all(5000), mark), 2),
    },
    Attempt {
        name: "another MAC address inside of ARP",
        against: "mac",
        frame: |mark| arp(THIEF_OCTETS, FALSE_OCTETS, OWN, mark),
    },
    Attempt {
        name: "another MAC address inside of ARP, tagged",
        against: "mac",
        frame: |mark| tagged(&arp(THIEF_OCTETS, FALSE_OCTETS, OWN, mark), 1),
    },
    Attempt {
        name: "another MAC address inside of ARP, tagged twice",
        against: "mac",
        frame: |mark| tagged(&arp(THIEF_OCTETS, FALSE_OCTETS, OWN, mark), 2),
    },
    Attempt {
        name: "a DHCP offer",
        against: "dhcp",
        frame: offer,
    },
    Attempt {
        name: "a DHCP offer from another port",
        against: "dhcp",
        frame: |mark| udp4(v4(THIEF_OCTETS, OWN, 5000), to_all(68), mark),
    },
    Attempt {
        name: "a DHCPv6 answer",
        against: "dhcp",
        frame: |mark| udp6(v6(THIEF_OCTETS, LINK_LOCAL, 547), to_nodes(546), mark),
    },
    Attempt {
        name: "a DHCP offer, tagged",
        against: "dhcp",
        frame: |mark| tagged(&offer(mark), 1),
    },
    Attempt {
        name: "a router advertisement",
        against: "ra",
        frame: router,
    },
    Attempt {
        name: "a router advertisement, tagged",
        against: "ra",
        frame: |mark| tagged(&router(mark), 1),
    },
    Attempt {
        name: "a router advertisement, tagged twice",
        against: "ra",
        frame: |mark| tagged(&router(mark), 2),
    },
    Attempt {
        name: "a router advertisement in SNAP",
        against: "ra",
        frame: |mark| snapped(&router(mark)),
    },
    Attempt {
        name: "a router advertisement in SNAP, tagged",
        against: "ra",
        frame: |mark| tagged(&snapped(&router(mark)), 1),
    },
    Attempt {
        name: "a foreign IPv4 address",
        against: "ip",
        frame: |mark| udp4(v4(THIEF_OCTETS, FOREIGN, 5000), to_all(5000), mark),
    },
    Attempt {
        name: "a foreign IPv4 address inside of ARP",
        against: "ip",
        frame: |mark| arp(THIEF_OCTETS, THIEF_OCTETS, FOREIGN, mark),
    },
    Attempt {
        name: "a foreign IPv4 address inside of ARP, tagged",
        against: "ip",
        frame: |mark| tagged(&arp(THIEF_OCTETS, THIEF_OCTETS, FOREIGN, mark), 1),
    },
    Attempt {
        name: "a foreign IPv6 address",
        against: "ip",
        frame: |mark| udp6(v6(THIEF_OCTETS, FOREIGN_V6, 5000), to_nodes(5000), mark),
    },
];

/// What every guest may send.
const HONEST: [(&str, Frame); 6] = [
    ("a datagram", |mark| {
        udp4(v4(THIEF_OCTETS, OWN, 5000), to_all(5000), mark)
    }),
    ("a datagram in IPv6", |mark| {
        udp6(v6(THIEF_OCTETS, OWN_V6, 5000), to_nodes(5000), mark)
    }),
    ("a datagram of the link", |mark| {
        udp6(v6(THIEF_OCTETS, LINK_LOCAL, 5000), to_nodes(5000), mark)
    }),
    ("a DHCP request", |mark| {
        udp4(
            v4(THIEF_OCTETS, Ipv4Addr::UNSPECIFIED, 68),
            to_all(67),
            mark,
        )
    }),
    ("an ARP reply", |mark| {
        arp(THIEF_OCTETS, THIEF_OCTETS, OWN, mark)
    }),
    ("a tagged datagram", |mark| {
        tagged(&udp4(v4(THIEF_OCTETS, OWN, 5000), to_all(5000), mark), 1)
    }),
];

fn frames(world: &mut World) {
    let lab = &world.lab;
    start(lab, "victim", VICTIM_MAC, VICTIM);
    start(lab, "thief", THIEF_MAC, THIEF);
    let mut number = 0;
    let mut tries = |frame: Frame| {
        // No frame is taken for one of before.
        number += 1;
        let mark = format!("portero-lab {number:04}").into_bytes();
        comes(lab, (THIEF, "eth0"), &frame(&mark), &mark)
    };
    for attempt in &ATTEMPTS {
        assert!(tries(attempt.frame), "control: {}", attempt.name);
    }
    for against in ["ip", "mac", "dhcp", "ra"] {
        guard(lab, &format!("{against}='yes'"));
        for attempt in ATTEMPTS.iter().filter(|attempt| attempt.against == against) {
            assert!(!tries(attempt.frame), "{against}: {}", attempt.name);
        }
        // What is not forbidden comes, the first of each kind.
        for other in ["ip", "mac", "dhcp", "ra"] {
            let mut attempts = ATTEMPTS.iter();
            let first = attempts.find(|attempt| attempt.against == other);
            let first = first.expect("an attempt of each kind");
            assert_eq!(
                tries(first.frame),
                other != against,
                "{against}: {}",
                first.name
            );
        }
    }
    guard(lab, ALL);
    for attempt in &ATTEMPTS {
        assert!(!tries(attempt.frame), "{}", attempt.name);
    }
    for (name, frame) in HONEST {
        assert!(tries(frame), "with all guards: {name}");
    }
    lab.answers(From::Guest(THIEF), Tcp, VICTIM, 80, "victim tcp 80");
    lab.answers(From::Guest(THIEF), Tcp, "fd00:99::11", 80, "victim tcp 80");
    lab.answers(
        From::Guest(THIEF),
        Tcp,
        portero_lab::OUTSIDE_V4,
        80,
        "outside tcp 80",
    );
    let plan = lab.run("portero", &["plan"]);
    assert!(
        !plan.stdout.contains("bridge portero_policy"),
        "not at rest: {plan:?}"
    );
    let counters = lab.must("nft", &["list", "table", "bridge", "portero_policy"]);
    let silent: Vec<&str> = counters
        .lines()
        .filter(|line| line.contains("counter packets 0 ") && !line.contains("not guarded yet"))
        .collect();
    assert!(silent.is_empty(), "never seen to work: {silent:?}");
    unguard(lab);
    assert!(!has_table(lab), "the table of guards is left");
    for attempt in &ATTEMPTS {
        // One frame of three may be lost where guests are slow.
        let comes = (0..3).any(|_| tries(attempt.frame));
        assert!(comes, "again without: {}", attempt.name);
    }
    guard(lab, ALL);
    end(lab, &["thief", "victim"]);
}

/// Whether the host reaches a guest at once, wherever it thought that it was.
fn is_reached(lab: &Lab, guest: &str) -> bool {
    lab.must("ip", &["neigh", "flush", "dev", BRIDGE]);
    lab.probe(From::Host, Tcp, guest, 80).is_ok()
}

/// The MAC address at which the host reaches a guest.
fn neighbour(lab: &Lab, guest: &str) -> String {
    lab.must("ip", &["neigh", "show", guest, "dev", BRIDGE])
}

fn disguised(world: &mut World) {
    let lab = &world.lab;
    start(lab, "thief", THIEF_MAC, THIEF);
    let disguise = format!("disguise {FALSE_MAC} 6000");
    order(lab, THIEF, &disguise).expect("a disguise");
    // Control.
    wait_for("control: reached at the false address", || {
        is_reached(lab, THIEF) && neighbour(lab, THIEF).contains(FALSE_MAC)
    });
    wait_for("reached at its own address again", || {
        is_reached(lab, THIEF) && neighbour(lab, THIEF).contains(THIEF_MAC)
    });
    guard(lab, "mac='yes'");
    assert!(is_reached(lab, THIEF));
    order(lab, THIEF, &disguise).expect("a disguise");
    wait_for("not reached any more", || !is_reached(lab, THIEF));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert!(!is_reached(lab, THIEF), "{}", neighbour(lab, THIEF));
    }
    wait_for("reached at its own address again", || {
        is_reached(lab, THIEF) && neighbour(lab, THIEF).contains(THIEF_MAC)
    });
    end(lab, &["thief"]);
}

/// Waits until something is so.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !is_so() {
        assert!(Instant::now() < end, "not {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Counts frames of the false MAC address that got past the guard, and those to other guests.
const SPY: &str = "table bridge spy {
    counter got { }
    counter passed { }
    chain prerouting {
        type filter hook prerouting priority 0; policy accept;
        ether saddr 02:00:00:de:ad:01 counter name got
    }
    chain forward {
        type filter hook forward priority 0; policy accept;
        ether saddr 02:00:00:de:ad:01 counter name passed
    }
}";

/// What got past the guard, and what got to other guests.
static GOT: Counter = Counter::new(["bridge", "spy", "got"]);
static PASSED: Counter = Counter::new(["bridge", "spy", "passed"]);

fn spy(lab: &Lab) {
    let path = lab.file("spy.nft", SPY);
    let _ = lab.run("nft", &["delete", "table", "bridge", "spy"]);
    lab.must("nft", &["-f", &path]);
    GOT.begin();
    PASSED.begin();
}

/// How many got past the guard since the last time.
fn got(lab: &Lab) -> u64 {
    GOT.since(lab)
}

/// How many got to other guests since the last time.
fn passed(lab: &Lab) -> u64 {
    PASSED.since(lab)
}

fn rogue(world: &mut World) {
    spy(&world.lab);
    // Control: it is rogue indeed.
    start(&world.lab, "rogue", ROGUE_MAC, ROGUE);
    thread::sleep(Duration::from_millis(500));
    let control = got(&world.lab);
    assert!(control > 10, "control: {control} frames");
    end(&world.lab, &["rogue"]);

    let portero = policy("mac='yes'");
    world.lab.define_network(&NetworkXml {
        portero: &portero,
        ..PEN
    });
    world.lab.virsh(&["net-start", PEN.name]);
    got(&world.lab);
    start(&world.lab, "rogue", ROGUE_MAC, ROGUE);
    type Step = fn(&mut World);
    let steps: [(&str, Step); 6] = [
        ("its start", |_| {}),
        ("a restart of the network", |world| {
            world.lab.virsh(&["net-destroy", PEN.name]);
            world.lab.virsh(&["net-start", PEN.name]);
        }),
        ("SIGHUP", |world| world.lab.signal_libvirtd("HUP")),
        ("a restart of libvirtd", |world| {
            world.lab.restart_libvirtd()
        }),
        ("a comparison", |world| {
            fs::remove_file("/run/portero/clean").expect("trust");
            world.lab.must("portero", &["sync"]);
        }),
        ("a neighbour that comes and goes", |world| {
            start(&world.lab, "victim", VICTIM_MAC, VICTIM);
            world.lab.virsh(&["destroy", "victim"]);
            world.lab.virsh(&["undefine", "victim"]);
        }),
    ];
    for (name, step) in steps {
        step(world);
        thread::sleep(Duration::from_millis(500));
        world.lab.wait_guest(ROGUE);
        assert_eq!(got(&world.lab), 0, "{name}: frames got past the guard");
        assert!(has_table(&world.lab), "{name}");
        let dropped = dropped(&world.lab);
        assert!(
            dropped > 10,
            "{name}: {dropped} dropped, so it proves nothing"
        );
    }
    // What is thrown away comes back with the service.
    let lab = &world.lab;
    lab.must("nft", &["delete", "table", "bridge", "portero_policy"]);
    thread::sleep(Duration::from_millis(300));
    assert!(got(lab) > 10, "control: without the table");
    let watch = Program::start("portero-watch", &[]);
    wait_for("guarded again", || has_table(lab));
    got(lab);
    lab.must("nft", &["flush", "ruleset"]);
    let begin = Instant::now();
    wait_for("guarded again", || has_table(lab));
    println!(
        "   guarded again {} ms after a flush",
        begin.elapsed().as_millis()
    );
    spy(lab);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(got(lab), 0, "guarded again");
    drop(watch);
    world.lab.restart_libvirtd();
    world.lab.wait_guest(ROGUE);
    end(&world.lab, &["rogue"]);
    world.lab.must("nft", &["delete", "table", "bridge", "spy"]);
}

/// How many packets the guard against false MAC addresses has dropped since its table was made.
fn dropped(lab: &Lab) -> u64 {
    let table = lab.must("nft", &["list", "table", "bridge", "portero_policy"]);
    let rule = table.lines().find(|line| line.ends_with(": mac\""));
    packets(rule.expect("the rule"))
}

/// How many packets the host has got from the rogue's second interface; nothing without it.
fn from_second() -> Option<u64> {
    let interfaces = fs::read_dir("/sys/class/net").expect("interfaces");
    let mut paths = interfaces.filter_map(|entry| Some(entry.ok()?.path()));
    let tap = paths.find(|path| {
        fs::read_to_string(path.join("address")).is_ok_and(|mac| mac.trim() == SECOND_TAP)
    })?;
    let packets = fs::read_to_string(tap.join("statistics/rx_packets")).ok()?;
    packets.trim().parse().ok()
}

/// Whether the rogue's second interface is among those that are guarded.
fn guards_second(lab: &Lab) -> bool {
    let macs = lab.run("nft", &["list", "set", "bridge", "portero_policy", "macs"]);
    macs.stdout.contains(SECOND_MAC)
}

/// Plugs the rogue's second interface in or out, by virsh's command.
fn plug(lab: &Lab, command: &str, more: &[&str]) {
    let words = [command, "rogue", "network", "--mac", SECOND_MAC, "--live"];
    lab.virsh(&[&words[..], more].concat());
}

fn plugged(world: &mut World) {
    let lab = &world.lab;
    start(lab, "victim", VICTIM_MAC, VICTIM);
    start(lab, "rogue", ROGUE_MAC, ROGUE);
    spy(lab);
    thread::sleep(Duration::from_millis(500));
    let control = passed(lab);
    assert!(control > 10, "control: {control} frames to the victim");
    guard(lab, "mac='yes'");
    let plug_in = || {
        let more = ["--source", PEN.name, "--model", "virtio"];
        plug(lab, "attach-interface", &more);
    };
    let plug_out = || {
        plug(lab, "detach-interface", &[]);
        wait_for("without the interface", || from_second().is_none());
        wait_for("without its guard", || !guards_second(lab));
    };
    let sends = || from_second().is_some_and(|packets| packets > 50);
    let mark = b"portero-lab second";
    let honest = udp4(v4(SECOND_OCTETS, OWN, 5000), to_all(5000), mark);
    let honest_comes = || comes(lab, (ROGUE, "eth1"), &honest, mark);
    // Without the service nobody tells of it: the host sees what it sends, but no guest does.
    got(lab);
    passed(lab);
    plug_in();
    wait_for("sending", sends);
    assert!(!guards_second(lab) && !honest_comes(), "it is not known");
    assert!(got(lab) > 10, "control: it sends");
    assert_eq!(passed(lab), 0, "before anybody knows of it");
    lab.must("portero", &["sync"]);
    got(lab);
    thread::sleep(Duration::from_millis(500));
    assert!(guards_second(lab) && honest_comes(), "it is known");
    assert_eq!((got(lab), passed(lab)), (0, 0), "after a comparison");
    plug_out();
    let watch = Program::start("portero-watch", &[]);
    thread::sleep(Duration::from_secs(2));
    for _ in 0..3 {
        got(lab);
        let begin = Instant::now();
        plug_in();
        wait_for("guarded", || guards_second(lab));
        let time = begin.elapsed();
        wait_for("sending", sends);
        // Here it sends as soon as it can, every 3 ms.
        let before = got(lab);
        println!(
            "   guarded in {} ms, after {before} frames",
            time.as_millis()
        );
        thread::sleep(Duration::from_millis(500));
        assert_eq!((got(lab), passed(lab)), (0, 0), "with the service");
        plug_out();
    }
    drop(watch);
    end(lab, &["rogue", "victim"]);
    lab.must("nft", &["delete", "table", "bridge", "spy"]);
}

fn many(world: &mut World) {
    const LINKS: u32 = 1000;
    let lab = &world.lab;
    start(lab, "victim", VICTIM_MAC, VICTIM);
    guard(lab, "mac='yes'");
    let all = |verb: &str, rest: &str| {
        let lines = (0..LINKS / 2).map(|number| {
            let rest = rest.replace("PEER", &format!("more{number}"));
            format!("link {verb} many{number}{rest}\n")
        });
        let file = lab.file("links", &lines.collect::<String>());
        lab.must("ip", &["-batch", &file]);
    };
    all("add", " type veth peer name PEER");
    let watch = Program::start("portero-watch", &[]);
    thread::sleep(Duration::from_secs(2));
    let before = watch.cpu();
    for _ in 0..40 {
        lab.ip("link add one type veth peer name other");
        lab.ip("link set one up");
        lab.ip("link delete one");
    }
    thread::sleep(Duration::from_secs(1));
    let cpu = watch.cpu() - before;
    println!("   {} ms of a processor for 40 pairs", cpu.as_millis());
    assert!(cpu < Duration::from_millis(400), "{cpu:?}");
    // The control: one that joins the guarded bridge is seen at once.
    lab.ip("link add vnet99 type veth peer name other");
    lab.ip(&format!("link set vnet99 up master {BRIDGE}"));
    let is_told = || {
        let log = lab.log();
        log.iter()
            .any(|line| line.contains("vnet99 is in br-pen and is no guest's"))
    };
    wait_for("it is told", is_told);
    lab.ip("link delete vnet99");
    drop(watch);
    all("delete", "");
    end(lab, &["victim"]);
}

fn without_nft(world: &mut World) {
    let lab = &world.lab;
    if lab.backend() == Backend::Nftables {
        // libvirt itself would miss it.
        return;
    }
    let nft = ["/usr/sbin/nft", "/sbin/nft"];
    let nft = nft.iter().find(|path| fs::exists(path).unwrap_or(false));
    let nft = nft.expect("nft");
    let away = format!("{nft}.away");
    let portero = policy("mac='yes'");
    lab.define_network(&NetworkXml {
        portero: &portero,
        ..PEN
    });
    fs::rename(nft, &away).expect("nft away");
    let started = lab.try_virsh(&["net-start", PEN.name]);
    fs::rename(&away, nft).expect("nft back");
    assert!(started.ok, "{started:?}");
    let guards = || lab.run("nft", &["list", "table", "bridge", "portero_policy"]);
    assert!(guards().stdout.contains("comment \"portero 2: mac\""));
    end(lab, &[]);
    // Control.
    assert!(!guards().ok);
}
