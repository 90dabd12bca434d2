//! Names and values that are words to a shell, a firewall, a terminal or a log.

use crate::world::{forward, hook, is_one_line, is_plain, qemu, World, MALLORY};
use portero_lab::{NetworkXml, Scenario};
use std::fs;
use std::path::Path;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "names: a guest with any name is a guest like any other",
        run: served_names,
    },
    Scenario {
        name: "names: libvirt's own refusals, and portero's of the same",
        run: refused_names,
    },
    Scenario {
        name: "names: attributes",
        run: attributes,
    },
    Scenario {
        name: "names: groups of a policy",
        run: groups,
    },
];

/// What would be there if a shell had read a name.
const PWNED: [&str; 2] = ["pwned", "/pwned"];

fn escaped(name: &str) -> String {
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    name.replace('\'', "&apos;").replace('"', "&quot;")
}

/// The log since the last call: each message is one line that does nothing to who reads it.
fn plain_log(world: &World) -> Vec<String> {
    let log = world.lab.log();
    for message in &log {
        is_plain(message);
        assert!(message.starts_with('<'), "{message}");
    }
    log
}

fn served_names(world: &mut World) {
    let long = "n".repeat(255);
    let touch = "$(touch pwned)";
    let names = [
        "-j ACCEPT",
        "--help",
        "; flush ruleset",
        "\" ; add rule inet portero to_guests accept #",
        "x' ; touch pwned ; '",
        touch,
        "`touch pwned`",
        "..",
        "lock",
        "clean",
        "PORTERO-0123456789abcdef",
        "%s%n%100000d",
        "\u{202e}gnp.exe",
        "\u{2028}portero: forged",
        "victim ",
        long.as_str(),
    ];
    let portero = forward("proto='tcp'", "start='8090' to='80'");
    let before = world.rules();
    let _ = world.lab.log();
    for name in names {
        let xml = world.mallory(&portero);
        let title = format!("<name>{0}</name><title>{0}</title>", escaped(name));
        let xml = xml.replace("<name>mallory</name>", &title);
        for operation in ["prepare", "start", "started"] {
            let words = [name, operation, "begin", "-"];
            hook(&[], &words, xml.as_bytes()).works();
        }
        assert!(world.leads_to(MALLORY), "{name}");
        let log = plain_log(world);
        let told = log.iter().filter(|line| {
            line.contains(": forward tcp 8090 -> ") && line.ends_with(" (guest started)")
        });
        assert_eq!(told.count(), 1, "{name}: {log:?}");
        let status = world.lab.must("portero", &["status"]);
        status.lines().for_each(is_plain);
        hook(&[], &[name, "stopped", "end", "-"], xml.as_bytes()).works();
        assert_eq!(world.rules(), before, "{name}");
        world.count();
    }
    // The same by libvirt, of those that QEMU's own file names can have. The UUID is mallory's.
    let _ = world.lab.try_virsh(&["undefine", "mallory"]);
    for name in ["; flush ruleset", touch, "\u{202e}gnp.exe"] {
        let xml = world.mallory(&portero);
        let named = format!("<name>{}</name>", escaped(name));
        let xml = xml.replace("<name>mallory</name>", &named);
        let path = world.lab.file("named.xml", &xml);
        world.lab.virsh(&["create", &path, "--paused"]);
        assert!(world.leads_to(MALLORY), "{name}");
        let uuid = xml.split("<uuid>").nth(1).expect("a UUID");
        let uuid = uuid.split('<').next().expect("a UUID");
        world.lab.virsh(&["destroy", uuid]);
        assert_eq!(world.rules(), before, "{name}");
        world.count();
    }
    plain_log(world);
    let mut pwned = PWNED.iter().map(Path::new);
    assert!(!pwned.any(Path::exists), "a shell has read a name");
    world.served();
    world.is_in_order();
}

fn refused_names(world: &mut World) {
    let portero = forward("proto='tcp'", "start='8090' to='80'");
    world.control(&portero);
    let before = world.rules();
    let _ = world.lab.log();
    for (name, says) in [
        ("../../etc/cron.d/x", "is not an object's name"),
        ("a/b", "is not an object's name"),
        (
            "x&#10;portero: domain 'victim' is gone",
            "is not an object's name",
        ),
        ("x&#27;[2Jy", "is not"),
        ("", "is not an object's name"),
        ("x&#0;y", "0"),
    ] {
        let xml = world.mallory(&portero);
        let xml = xml.replace("<name>mallory</name>", &format!("<name>{name}</name>"));
        let path = world.lab.file("named.xml", &xml);
        let defined = world.lab.try_virsh(&["define", &path]);
        assert!(!defined.ok, "libvirt takes {name:?}");
        // As if it had not.
        let refused = qemu(&[], &xml, "prepare");
        refused.is_refused(says);
        assert_eq!(world.rules(), before, "{name}");
        let log = plain_log(world);
        assert_eq!(log.len(), 1, "{log:?}");
        world.count();
    }
}

fn attributes(world: &mut World) {
    let range = "start='8090' to='80'";
    let before = world.rules();
    world.control(&forward(
        "proto='tcp' dev='eth0' source='10.0.0.0/8'",
        range,
    ));
    let _ = world.lab.log();
    let long = format!("proto='{}'", "x".repeat(100_000));
    let interface = "is not an interface name";
    let rows = [
        ("proto='tcp' dev='-j'", range, interface),
        ("proto='tcp' dev='eth+'", range, interface),
        ("proto='tcp' dev='../../x'", range, interface),
        ("proto='tcp' dev='eth0&quot; accept'", range, interface),
        ("proto='tcp' dev='eth0&#10;accept'", range, interface),
        ("proto='tcp' dev='0123456789abcdef'", range, interface),
        ("proto='tcp; flush ruleset'", range, "protocol 'tcp; flush"),
        (
            "proto='tcp&#10;portero: all is well'",
            range,
            "is not known",
        ),
        ("proto='tcp&#27;[2J'", range, "is not known"),
        ("proto='\u{202e}pct'", range, "\\u{202e}pct"),
        (long.as_str(), range, "protocol 'xxx"),
        (
            "proto='tcp' source='10.0.0.1; accept'",
            range,
            "is not a network",
        ),
        (
            "proto='tcp' source='010.0.0.0/8'",
            range,
            "is not a network",
        ),
        ("proto='tcp' address='$(id)'", range, "is not an IP address"),
        (
            "proto='tcp' interface='52:54:00:00:50:66 -j ACCEPT'",
            range,
            "is not a MAC address",
        ),
        (
            "proto='tcp' guest='192.168.50.66:22'",
            range,
            "is not an IP address",
        ),
        ("proto='tcp' nice='yes&#10;x'", range, "is not known"),
        ("proto='tcp'", "start='80 -j ACCEPT'", "is not a port"),
        ("proto='tcp'", "start='+80'", "is not a port"),
        ("proto='tcp'", "start='80&#10;81'", "is not a port"),
        ("proto='tcp'", "start='65536'", "is not a port"),
        (
            "proto='tcp'",
            "start='1' to='99999999999999999999'",
            "is not a port",
        ),
    ];
    for (attributes, range, says) in rows {
        // libvirt takes no escape character and keeps no line break; a hook shall not depend on it.
        let xml = world.mallory(&forward(attributes, range));
        qemu(&[], &xml, "prepare").is_refused(says);
        let path = world.lab.file("mallory.xml", &xml);
        if world.lab.try_virsh(&["define", &path]).ok {
            world
                .start()
                .is_refused("portero: metadata of domain 'mallory'");
        }
        assert_eq!(world.rules(), before, "{attributes} {range}");
        let log = plain_log(world);
        assert!((1..=2).contains(&log.len()), "{log:?}");
        world.count();
    }
    world.served();
}

fn groups(world: &mut World) {
    let peers = "<group xmlns='urn:portero:1'><peer address='203.0.113.2'/></group>";
    fs::write("/etc/portero/groups/office.xml", peers).expect("a group");
    fs::write("/etc/portero/office.xml", peers).expect("no group");
    let policy = |group: &str| {
        format!(
            "<portero:policy><portero:rule action='accept' direction='in'><portero:peer group='{group}'/>\
             <portero:tcp dstportstart='22'/></portero:rule></portero:policy>"
        )
    };
    let start = |portero: &str| {
        world.lab.define_network(&NetworkXml {
            name: "cell",
            mode: "route",
            number: 70,
            reservations: &[],
            portero,
        });
        world.lab.try_virsh(&["net-start", "cell"])
    };
    let ran = start(&policy("office"));
    assert!(ran.ok, "{ran:?}");
    world.lab.virsh(&["net-destroy", "cell"]);
    let before = world.rules();
    for group in [
        "../office",
        "office&#10;x",
        "..",
        "/etc/portero/groups/office",
        "offic\u{202e}e",
    ] {
        let ran = start(&policy(group));
        assert!(!ran.ok, "{group}");
        is_one_line(&ran.stderr, "group");
        assert_eq!(world.rules(), before, "{group}");
    }
    world.lab.virsh(&["net-undefine", "cell"]);
    fs::remove_file("/etc/portero/office.xml").expect("no group");
    fs::remove_file("/etc/portero/groups/office.xml").expect("a group");
    world.refused += 5;
}
