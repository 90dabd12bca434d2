//! So much that whoever reads it might not come to an end.

use crate::world::{forward, hook, qemu, World, MALLORY, MEMORY};
use portero_lab::{limit_by_load, Scenario, Urgent, HOST_V4};
use std::fmt::Write;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "bulk: ten thousand forwards hold up nobody",
        run: many,
    },
    Scenario {
        name: "bulk: a flood of UDP through a forward holds up nobody when it ends",
        run: flood,
    },
    Scenario {
        name: "bulk: more than that is refused",
        run: too_many,
    },
    Scenario {
        name: "bulk: sources that come to too much, or to a file of somebody's",
        run: sources,
    },
    Scenario {
        name: "bulk: XML that grows",
        run: xml,
    },
];

/// The attributes and the range of the forward with a number.
type Each = fn(u32) -> (String, String);

fn many_forwards(count: u32, each: impl Fn(u32) -> (String, String)) -> String {
    let mut portero = String::new();
    for number in 0..count {
        let (attributes, range) = each(number);
        write!(portero, "{}", forward(&attributes, &range)).expect("a string");
    }
    portero
}

fn each_another_port(number: u32) -> (String, String) {
    let port = 20_000 + number;
    ("proto='tcp'".to_owned(), format!("start='{port}' to='80'"))
}

fn each_another_source(number: u32) -> (String, String) {
    let (a, b) = (number / 250, number % 250 + 1);
    let source = format!("proto='tcp' source='10.0.{a}.{b}'");
    (source, "start='8090' to='80'".to_owned())
}

/// Another guest of no hostile kind.
fn other_guest(world: &World) -> String {
    let xml = world.mallory(&forward(
        "proto='tcp' guest='192.168.50.99'",
        "start='8099' to='80'",
    ));
    let xml = xml.replace("<name>mallory</name>", "<name>bystander</name>");
    let uuid = xml.split("<uuid>").nth(1).expect("a UUID");
    let uuid = uuid.split('<').next().expect("a UUID").to_owned();
    xml.replace(&uuid, "00000000-0000-4000-8000-00000000b0b0")
        .replace(crate::world::MALLORY_MAC, crate::world::WAITING_MAC)
}

fn many(world: &mut World) {
    let before = world.rules();
    let cases: [(&str, Each); 2] = [
        ("each of another port", each_another_port),
        ("each from another source", each_another_source),
    ];
    let bystander = other_guest(world);
    for (what, each) in cases {
        let portero = many_forwards(10_000, each);
        let xml = world.mallory(&portero);
        let memory = ["prlimit", MEMORY];
        let prepared = qemu(&memory, &xml, "prepare");
        let begin = Instant::now();
        let (started, waited) = std::thread::scope(|scope| {
            let started = scope.spawn(|| {
                // The file of the event is another's.
                let path = "/run/lab/files/many.xml";
                std::fs::write(path, &xml).expect("an event");
                let line = "exec /usr/bin/portero-qemu-hook mallory start begin - <\"$0\"";
                let mut command = std::process::Command::new("prlimit");
                crate::world::run(command.args([MEMORY, "sh", "-c", line, path]))
            });
            std::thread::sleep(Duration::from_millis(50));
            // Meanwhile another guest starts and ends.
            let begin = Instant::now();
            for operation in ["prepare", "start", "stopped"] {
                let words = ["bystander", operation, "begin", "-"];
                hook(&[], &words, bystander.as_bytes()).works();
            }
            (started.join().expect("a hook"), begin.elapsed())
        });
        println!(
            "  10,000 forwards {what}: prepare {:.1} s, start {:.1} s; another guest's prepare, start and \
             stopped meanwhile {:.1} s, all {:.1} s",
            prepared.took.as_secs_f64(),
            started.took.as_secs_f64(),
            waited.as_secs_f64(),
            begin.elapsed().as_secs_f64()
        );
        prepared.works();
        started.works();
        assert!(world.leads_to(MALLORY));
        world.served();
        qemu(&[], &xml, "stopped").works();
        assert_eq!(world.rules(), before, "{what}");
        world.count();
    }
    world.is_in_order();
}

/// How many connections each of these machines outside has.
const CONNECTIONS: u32 = 60_000;
const CLIENTS: [&str; 3] = ["203.0.113.131", "203.0.113.132", "203.0.113.133"];

/// How many connections are tracked.
fn tracked() -> u32 {
    let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
    let count = count.expect("a number").trim().parse();
    count.expect("a number")
}

fn flood(world: &mut World) {
    let bystander = other_guest(world);
    let life = || {
        let begin = Instant::now();
        for operation in ["prepare", "start", "stopped"] {
            let words = ["bystander", operation, "begin", "-"];
            hook(&[], &words, bystander.as_bytes()).works();
        }
        begin.elapsed()
    };
    life();
    let alone = life();
    let before = world.rules();
    let xml = world.mallory(&forward("proto='udp'", "start='5353' to='53'"));
    for operation in ["prepare", "start"] {
        qemu(&[], &xml, operation).works();
    }
    let count = CONNECTIONS.to_string();
    for client in CLIENTS {
        world
            .lab
            .ip(&format!("-n outside address add {client}/24 dev eth0"));
        let words = ["scatter", client, &count, HOST_V4, "5353"];
        let ran = world.lab.outside(&world.lab.agent(), &words);
        assert!(ran.ok, "{ran:?}");
    }
    // The control: they are tracked, and lead to the guest.
    let flooded = tracked();
    assert!(flooded > CONNECTIONS * 2, "{flooded} connections");
    let urgent = Urgent::begin();
    let (waited, stopped) = std::thread::scope(|scope| {
        let stopped = scope.spawn(|| {
            // The file of the event is another's.
            let path = "/run/lab/files/flood.xml";
            std::fs::write(path, &xml).expect("an event");
            let line = "exec /usr/bin/portero-qemu-hook mallory stopped end - <\"$0\"";
            let mut command = std::process::Command::new("sh");
            crate::world::run(command.args(["-c", line, path]))
        });
        std::thread::sleep(Duration::from_millis(50));
        (life(), stopped.join().expect("a hook"))
    });
    drop(urgent);
    println!(
        "  {flooded} connections: stopped {:.2} s; another guest's prepare, start and stopped meanwhile {:.2} s, alone {:.2} s",
        stopped.took.as_secs_f64(),
        waited.as_secs_f64(),
        alone.as_secs_f64()
    );
    stopped.works();
    let limit = limit_by_load(alone * 2 + Duration::from_millis(200));
    assert!(waited < limit, "{waited:?}, limit {limit:?}");
    // What went to the guest is forgotten, whoever sent it.
    assert!(tracked() < CONNECTIONS / 10, "{} connections", tracked());
    assert_eq!(world.rules(), before);
    for client in CLIENTS {
        world
            .lab
            .ip(&format!("-n outside address delete {client}/24 dev eth0"));
    }
    world.served();
    world.is_in_order();
}

fn too_many(world: &mut World) {
    let before = world.rules();
    let refused = |portero: &str, says: &str| {
        let xml = world.mallory(portero);
        qemu(&["prlimit", MEMORY], &xml, "prepare").is_refused(says);
        assert_eq!(world.rules(), before, "{says}");
    };
    refused(
        &many_forwards(10_001, each_another_port),
        "10001 ranges, expected at most 10000",
    );
    // As many as libvirt takes.
    refused(
        &many_forwards(45_000, each_another_port),
        "10001 ranges, expected at most 10000",
    );
    let all = forward("proto='tcp'", "start='10000' end='65535'");
    let both = format!("{all}{}", all.replace("tcp", "udp"));
    refused(&both, "111072 ports, expected at most 65535");
    let sources = many_forwards(10_000, |number| {
        let (source, _) = each_another_source(number);
        (source, "start='10000' end='65535'".to_owned())
    });
    refused(&sources, "ports, expected at most 65535");
    let holes = |end: u32, step: usize| {
        let mut ranges = String::new();
        for port in (20_000..=end).step_by(step) {
            write!(ranges, "<portero:range start='{port}' exclude='yes'/>").expect("a string");
        }
        format!(
            "<portero:portForward proto='tcp'><portero:range start='20000' end='{end}'/>{ranges}\
             </portero:portForward>"
        )
    };
    refused(&holes(64_999, 1), "every port is excluded");
    refused(&holes(64_999, 2), "ranges, expected at most 10000");
    world.control(&holes(21_999, 9));
    // A range for each port, and a hole in each: quadratic if it is done by comparing all.
    let mut ranges = String::new();
    for port in (1..65_000).step_by(4) {
        let (end, hole) = (port + 2, port + 1);
        write!(
            ranges,
            "<portero:range start='{port}' end='{end}'/><portero:range start='{hole}' exclude='yes'/>"
        )
        .expect("a string");
    }
    let combed = format!("<portero:portForward proto='tcp'>{ranges}</portero:portForward>");
    refused(&combed, "32500 ranges, expected at most 10000");
    world.control(&many_forwards(100, each_another_port));
    world.refused += 7;
    world.served();
    world.is_in_order();
}

fn sources(world: &mut World) {
    let before = world.rules();
    let with = |port: u32, sources: &str| {
        format!(
            "<portero:portForward proto='tcp'>{sources}<portero:range start='{port}'/></portero:portForward>"
        )
    };
    let excepted = |count: u32| -> String {
        let addresses = (0..count).map(|number| {
            let (a, b) = (number / 250, number % 250 + 1);
            format!("<portero:source address='10.{a}.{b}.7' match='no'/>")
        });
        addresses.collect()
    };
    let many: String = (0..20_000)
        .map(|number| with(20_000 + number, &excepted(1)))
        .collect();
    let most: String = (0..60)
        .map(|number| with(20_000 + number, &excepted(30)))
        .collect();
    let named = |group: &str| with(8090, &format!("<portero:source group='{group}'/>"));
    for (portero, says) in [
        (with(8090, &excepted(20_000)), "more than 1000 networks"),
        (many, "more than 100000 forwards"),
        (most, "ranges, expected at most 10000"),
        (named("../domains/mallory"), "'../domains/mallory'"),
        (named("/etc/shadow"), "'/etc/shadow'"),
        (named("nobody"), "there is no group"),
    ] {
        let xml = world.mallory(&portero);
        qemu(&["prlimit", MEMORY], &xml, "prepare").is_refused(says);
        assert_eq!(world.rules(), before, "{says}");
        world.refused += 1;
    }
    world.control(&with(8090, &excepted(10)));
    world.served();
    world.is_in_order();
}

fn xml(world: &mut World) {
    let before = world.rules();
    let inside = |content: &str| {
        world.mallory(&forward("proto='tcp'", "start='8090'").replace("/>", content))
    };
    let deep = format!(
        ">{}{}</portero:range>",
        "<a>".repeat(1000),
        "</a>".repeat(1000)
    );
    let wide = format!(">{}</portero:range>", "<a/>".repeat(800_000));
    let long = format!(" x='{}'/>", "y".repeat(7_000_000));
    let too_long = format!(">{}</portero:range>", " ".repeat(10_000_000));
    let laughs = "<!DOCTYPE d [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>\
                  <!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>]>";
    let outside = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/shadow'>]>";
    let plain = world.mallory(&forward("proto='tcp'", "start='8090'"));
    let rows = [
        (inside(&deep), "more than 128 levels"),
        (inside(&wide), "more than 400000 elements"),
        (inside(&long), "attribute 'x' is not known"),
        (inside(&too_long), "longer than 8388608 bytes"),
        (
            format!("{laughs}{}", plain.replace("8090", "&c;")),
            "a document type is not accepted",
        ),
        (
            format!("{outside}{}", plain.replace("8090", "&a;")),
            "a document type is not accepted",
        ),
        (plain.replace("8090", "&a;"), "entity"),
        (plain.replace("8090", "&#x110000;"), "not well-formed"),
    ];
    for (xml, says) in rows {
        let refused = qemu(&["prlimit", MEMORY], &xml, "prepare");
        refused.is_refused(says);
        // libvirt does not notice what comes of it later.
        qemu(&["prlimit", MEMORY], &xml, "started").works();
        assert_eq!(world.rules(), before, "{says}");
        let path = world.lab.file("grown.xml", &xml);
        let defined = world.lab.try_virsh(&["define", &path]);
        // By libvirt itself, or by the hook.
        assert!(!defined.ok || !world.start().ok, "{says}");
        world.count();
    }
    world.control(&forward("proto='tcp'", "start='8090'"));
    world.served();
}
