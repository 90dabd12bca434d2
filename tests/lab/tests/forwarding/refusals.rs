//! What is refused, with one line that virsh shows and nothing changed.

use crate::world::{web, World};
use portero_lab::{DomainXml, From, Proto, Scenario, HOST_V4};
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a port the host listens on",
        run: listening,
    },
    Scenario {
        name: "a port another guest holds",
        run: held,
    },
    Scenario {
        name: "errors in the metadata",
        run: grammar,
    },
    Scenario {
        name: "limits and unsafe files",
        run: configuration,
    },
    Scenario {
        name: "a guest that fails to start leaves nothing",
        run: failed_start,
    },
    Scenario {
        name: "broken input: one line, or none where libvirt must not notice",
        run: broken_input,
    },
    Scenario {
        name: "a network whose bridge on the host is not there",
        run: host_bridge,
    },
    Scenario {
        name: "strange names",
        run: names,
    },
];

pub fn is_one_line(message: &str, expected: &str) {
    let ours: Vec<&str> = message
        .lines()
        .filter(|line| line.contains("portero:"))
        .collect();
    assert_eq!(ours.len(), 1, "{message}");
    assert!(
        ours[0].contains(expected),
        "expected '{expected}' in: {message}"
    );
}

fn host_bridge(world: &mut World) {
    let lab = &world.lab;
    let network = "<network><name>joined</name><metadata>\
        <portero:network xmlns:portero='urn:portero:1'><portero:hostBridge nic='eth0'/></portero:network>\
        </metadata><forward mode='bridge'/><bridge name='br0'/></network>";
    lab.virsh(&["net-define", &lab.file("joined.xml", network)]);
    let ran = lab.try_virsh(&["net-start", "joined"]);
    assert!(!ran.ok, "started without its bridge");
    is_one_line(
        &ran.stderr,
        "bridge br0 is not there, expected it; it is made by 'portero bridge apply --bridge br0 --nic eth0'",
    );
    assert!(!lab.virsh(&["net-list"]).contains("joined"));
    lab.must("ip", &["link", "add", "br0", "type", "bridge"]);
    lab.virsh(&["net-start", "joined"]);
    lab.virsh(&["net-destroy", "joined"]);
    lab.must("ip", &["link", "delete", "br0"]);
    lab.virsh(&["net-undefine", "joined"]);
    world.is_untouched();
}

fn listening(world: &mut World) {
    let program = world.lab.listen("0.0.0.0:8080");
    world.lab.define(&web(crate::world::FORWARDS));
    is_one_line(
        &world.refused("web"),
        "listens on 0.0.0.0 port 8080 (stop it, or permit it",
    );
    world
        .lab
        .answers(From::Outside, Proto::Tcp, HOST_V4, 8080, "host tcp 8080");
    drop(program);
    world.is_untouched();
    world.lab.virsh(&["start", "web"]);
    world.stop_web();
}

fn held(world: &mut World) {
    world.running_web();
    world.lab.define(&DomainXml {
        name: "rival",
        nics: &[("lan", "52:54:00:00:50:99")],
        v6: None,
        portero: "<portero:portForward proto='tcp' guest='192.168.50.99'><portero:range start='8000' end='8090'/></portero:portForward>",
    });
    is_one_line(&world.refused("rival"), "is held by domain 'web'");
    world.serves();
    world.lab.is_in_order();
    world.stop_web();
    world.lab.virsh(&["start", "rival"]);
    is_one_line(&world.refused("web"), "is held by domain 'rival'");
    world.lab.virsh(&["destroy", "rival"]);
    world.lab.virsh(&["undefine", "rival"]);
    world.is_untouched();
}

fn grammar(world: &mut World) {
    let wrong = [
        ("<portero:portForward proto='icmp'><portero:range start='1'/></portero:portForward>", "protocol 'icmp'"),
        ("<portero:portForward proto='tcp'><portero:range start='0'/></portero:portForward>", "'0' is not a port"),
        ("<portero:portForward proto='tcp'><portero:range start='65536'/></portero:portForward>", "'65536' is not a port"),
        ("<portero:portForward proto='tcp'><portero:range start='90' end='80'/></portero:portForward>", "before its start"),
        ("<portero:portForward proto='tcp'><portero:range start='1' end='10' to='65530'/></portero:portForward>", "pass 65535"),
        ("<portero:portForward proto='tcp'><portero:range start='1' exclude='yes'/></portero:portForward>", "not excluded"),
        ("<portero:portForward proto='tcp'/>", "all ports of the host"),
        ("<portero:portForward proto='tcp' guest='10.9.9.9'><portero:range start='8080'/></portero:portForward>", "guest address 10.9.9.9"),
        ("<portero:portForward proto='tcp' adress='1.2.3.4'><portero:range start='8080'/></portero:portForward>", "attribute 'adress'"),
        ("<portero:policy in='reject'/>", "not known here"),
    ];
    for (portero, expected) in wrong {
        world.lab.define(&web(portero));
        let message = world.refused("web");
        is_one_line(&message, expected);
        is_one_line(&message, "metadata of domain 'web', line ");
        world.is_untouched();
    }
    let xml = world.lab.domain_xml(&web("<portero:x/>"));
    let path = world
        .lab
        .file("two.xml", &xml.replace("urn:portero:1", "urn:portero:2"));
    world.lab.virsh(&["define", &path]);
    is_one_line(&world.refused("web"), "expected 'urn:portero:1'");
    world.lab.virsh(&["undefine", "web"]);
    world.is_untouched();
}

fn configuration(world: &mut World) {
    let lab = &world.lab;
    lab.define(&web(
        "<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>",
    ));
    let settings = "/etc/portero/portero.toml";
    let shipped = fs::read(settings).expect("the installed portero.toml");
    fs::write(settings, "[limits]\nports = [\"9000-9999\"]\n").expect("portero.toml");
    is_one_line(
        &world.refused("web"),
        "host port 8080 is not among the ports",
    );
    fs::write(settings, "[limits]\naddresses = [\"192.0.2.1\"]\n").expect("portero.toml");
    is_one_line(&world.refused("web"), "address is missing");
    fs::write(settings, "firewall = \"auto\"\nlimit = 3\n").expect("portero.toml");
    is_one_line(&world.refused("web"), "portero.toml: line 2");
    fs::write(settings, "").expect("portero.toml");
    fs::set_permissions(settings, fs::Permissions::from_mode(0o666)).expect("chmod");
    is_one_line(&world.refused("web"), "can be written by others");
    fs::set_permissions(settings, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(settings, shipped).expect("portero.toml");
    // The administrator's own file for a domain.
    lab.define(&web(""));
    let file = "/etc/portero/domains/web.xml";
    let xml = "<domain xmlns='urn:portero:1'>\n<portForward proto='tcp'>\n<range start='8081' to='80' end='x'/></portForward></domain>";
    fs::write(file, xml).expect("web.xml");
    is_one_line(
        &world.refused("web"),
        "/etc/portero/domains/web.xml, line 3: <range>: end: 'x'",
    );
    fs::write(file, xml.replace(" end='x'", "")).expect("web.xml");
    lab.virsh(&["start", "web"]);
    lab.answers(From::Outside, Proto::Tcp, HOST_V4, 8081, "web tcp 80");
    fs::remove_file(file).expect("web.xml");
    world.stop_web();
    world.is_untouched();
}

fn failed_start(world: &mut World) {
    let lab = &world.lab;
    let xml = lab.domain_xml(&web(crate::world::FORWARDS));
    let broken = xml.replace("initrd.cpio", "nothing.cpio");
    assert_ne!(xml, broken);
    let path = lab.file("broken.xml", &broken);
    lab.virsh(&["define", &path]);
    let message = world.refused("web");
    assert!(
        !message.contains("portero:"),
        "QEMU refuses, not portero: {message}"
    );
    world.is_untouched();
    lab.virsh(&["undefine", "web"]);
}

fn broken_input(world: &mut World) {
    let long = format!("<domain>{}</domain>", " ".repeat(50 * 1024 * 1024));
    let inputs: [(&[u8], &str); 4] = [
        (b"<domain><name>x</name>", "never closed"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"<!DOCTYPE d><domain/>", "document type"),
        (long.as_bytes(), "longer than"),
    ];
    for (input, expected) in inputs {
        let path = "/run/lab/files/broken-input";
        fs::write(path, input).expect("a file of the lab");
        for operation in [
            "prepare",
            "start",
            "started",
            "stopped",
            "release",
            "reconnect",
            "attach",
            "migrate",
            "restore",
            "unheard-of",
        ] {
            let output = std::process::Command::new("/etc/libvirt/hooks/qemu.d/50-portero")
                .args(["web", operation, "begin", "-"])
                .stdin(fs::File::open(path).expect("a file of the lab"))
                .output()
                .expect("the hook");
            let refuses = ["prepare", "start"].contains(&operation);
            assert_eq!(output.status.success(), !refuses, "{operation}: {output:?}");
            assert!(output.stdout.is_empty(), "{operation}: {output:?}");
            if refuses {
                let message = String::from_utf8_lossy(&output.stderr);
                assert_eq!(message.lines().count(), 1, "{message}");
                is_one_line(&message, expected);
            }
        }
        world.is_untouched();
    }
}

fn names(world: &mut World) {
    let long = "n".repeat(200);
    for name in ["-A; reboot \"x\"", long.as_str()] {
        let mut xml = world.lab.domain_xml(&DomainXml {
            name: "NAME",
            ..web("<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>")
        });
        xml = xml.replace(
            "<name>NAME</name>",
            &format!("<name>{}</name>", name.replace('"', "&quot;")),
        );
        let path = world.lab.file("name.xml", &xml);
        let created = world.lab.try_virsh(&["create", &path]);
        if name.len() > 100 && !created.ok {
            // QEMU's own socket paths are too long for such a name; portero must not be the reason.
            assert!(!created.stderr.contains("portero:"), "{created:?}");
        } else {
            assert!(created.ok, "{created:?}");
            world
                .lab
                .answers(From::Outside, Proto::Tcp, HOST_V4, 8080, "NAME tcp 80");
            let uuid = world.lab.virsh(&["list", "--uuid"]);
            let names = world.lab.virsh(&["list", "--name"]);
            let row = names
                .lines()
                .position(|line| line == name)
                .expect("it is listed");
            world
                .lab
                .virsh(&["destroy", uuid.lines().nth(row).expect("its UUID")]);
        }
        world.is_untouched();
    }
}
