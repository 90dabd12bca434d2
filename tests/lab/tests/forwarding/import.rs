//! What another hook did, portero does after `portero import`; and the operator's command knows
//! libvirt's names.

use crate::world::{web, World, WEB};
use portero_lab::{From, Proto, Scenario, HOST_V4};
use Proto::{Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "an imported hooks.json",
        run: hooks_json,
    },
    Scenario {
        name: "an imported shell hook",
        run: shell_hook,
    },
    Scenario {
        name: "an imported hooks.json that is set",
        run: set,
    },
    Scenario {
        name: "names that a shell is offered",
        run: names,
    },
];

const HOOKS_JSON: &str = r#"{
    "web": {                               // everything for the web server
        "interface": "virbr50",
        "public_ip": "203.0.113.1",
        "private_ip": "192.168.50.10",
        "port_map": {"tcp": [[8080, 80]], "udp": [[8080, 80]]}
    }
}
"#;

const SHELL_HOOK: &str = r#"#!/bin/bash
if [ "${1}" = "web" ]; then
   GUEST_IP=192.168.50.10
   GUEST_PORT=80
   HOST_PORT=8070
   if [ "${2}" = "stopped" ] || [ "${2}" = "reconnect" ]; then
    /sbin/iptables -t nat -D PREROUTING -p tcp --dport $HOST_PORT -j DNAT --to $GUEST_IP:$GUEST_PORT
   fi
   if [ "${2}" = "start" ] || [ "${2}" = "reconnect" ]; then
    /sbin/iptables -t nat -I PREROUTING -p tcp --dport $HOST_PORT -j DNAT --to $GUEST_IP:$GUEST_PORT
   fi
fi
"#;

/// Starts `web` without forwards, and looks that none of these ports answers; then sets what is
/// imported as it is printed, and starts `web` anew.
fn imported(world: &World, file: &str, content: &str, ports: &[(Proto, u16)]) {
    world.start_web("");
    for (proto, port) in ports {
        world.lab.refuses(From::Outside, *proto, HOST_V4, *port);
    }
    let path = world.lab.file(file, content);
    world.lab.must(
        "sh",
        &[
            "-c",
            &format!("portero import {path} | grep ^virsh | sh -e"),
        ],
    );
    // What was set is for the next start.
    world
        .lab
        .refuses(From::Outside, ports[0].0, HOST_V4, ports[0].1);
    world.stop_web();
    let xml = world.lab.virsh(&["dumpxml", "--inactive", "web"]);
    let xml = world.lab.file("web-imported.xml", &xml);
    let said = world.lab.must("portero", &["validate", &xml]);
    assert_eq!(said, format!("{xml}: valid\n"));
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    for (proto, port) in ports {
        let answer = match proto {
            Tcp => "web tcp 80",
            _ => "web udp 80",
        };
        world
            .lab
            .answers(From::Outside, *proto, HOST_V4, *port, answer);
    }
    world.stop_web();
    world.is_untouched();
}

fn hooks_json(world: &mut World) {
    imported(world, "hooks.json", HOOKS_JSON, &[(Tcp, 8080), (Udp, 8080)]);
}

fn shell_hook(world: &mut World) {
    imported(world, "qemu-hook", SHELL_HOOK, &[(Tcp, 8070)]);
}

/// Of two domains, the second of which may not be there.
const TWO_DOMAINS: &str = r#"{
    "web": {"private_ip": "192.168.50.10", "port_map": {"tcp": [[8080, 80]]}},
    "peer": {"private_ip": "192.168.50.11", "port_map": {"tcp": [[8090, 80]]}}
}
"#;

fn set(world: &mut World) {
    let lab = &world.lab;
    let file = lab.file("hooks.json", TWO_DOMAINS);
    let import = |more: &[&str]| {
        let words = [&["import", file.as_str(), "--set"], more].concat();
        lab.run("portero", &words)
    };
    // Newer versions of virsh print nothing where there is none, and succeed.
    let has = |domain: &str, flag: &str| {
        let ran = lab.try_virsh(&["metadata", domain, "--uri", "urn:portero:1", flag]);
        ran.stdout.contains("portForward")
    };
    // All domains or none: the other one is not there.
    let _ = lab.try_virsh(&["undefine", "web"]);
    let refused = import(&[]);
    assert!(
        !refused.ok && refused.stderr.contains("'web'"),
        "{refused:?}"
    );
    assert!(!has("peer", "--config"));
    world.start_web("");
    lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    // As virsh metadata --config, by whatever URI.
    let only = ["--domain", "web"];
    let done = import(&[&only[..], &["-c", "qemu:///system"]].concat());
    assert!(done.ok, "{done:?}");
    assert_eq!(
        done.stdout,
        "domain 'web' forwards what was imported from its next start on\n"
    );
    assert!(has("web", "--config") && !has("web", "--live"));
    lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    // What is there is not lost unless somebody says so.
    let refused = import(&only);
    assert!(!refused.ok, "{refused:?}");
    let last = refused.stderr.lines().last();
    assert_eq!(
        last,
        Some(
            "error: domain 'web' has metadata of portero's from its next start on already, \
         expected --replace to lose it"
        )
    );
    // A port that is taken: neither of the domains has anything then.
    let program = lab.listen("203.0.113.1:8090");
    let refused = import(&["--live", "--replace"]);
    assert!(
        !refused.ok && refused.stderr.contains("8090"),
        "{refused:?}"
    );
    assert!(!has("web", "--live") && !has("peer", "--config"));
    drop(program);
    let done = import(&["--live", "--replace"]);
    assert!(done.ok, "{done:?}");
    for (name, port) in [("web", 8080), ("peer", 8090)] {
        for said in ["", " from its next start on"] {
            let line = format!("domain '{name}' forwards what was imported{said}\n");
            assert!(done.stdout.contains(&line), "{line} in {done:?}");
        }
        let answer = format!("{name} tcp 80");
        lab.answers(From::Outside, Tcp, HOST_V4, port, &answer);
    }
    for flag in ["--live", "--config"] {
        let peer = [
            "metadata",
            "peer",
            "--uri",
            "urn:portero:1",
            "--remove",
            flag,
        ];
        lab.virsh(&peer);
    }
    lab.must("portero", &["sync"]);
    lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    world.stop_web();
    world.is_untouched();
}

fn names(world: &mut World) {
    world.lab.define(&web(""));
    let offered = |word: &str| {
        let script = format!("PORTERO_COMPLETE=fish portero -- portero import x --domain '{word}'");
        world.lab.must("sh", &["-c", &script])
    };
    assert_eq!(offered(""), "far\npeer\nweb\n");
    assert_eq!(offered("pe"), "peer\n");
    assert_eq!(offered("nobody"), "");
    // Whoever may not look into libvirt's folders asks virsh.
    let script = "chmod 0700 /etc/libvirt/qemu /run/libvirt/qemu; \
                  PORTERO_COMPLETE=fish setpriv --reuid=65534 --regid=65534 --clear-groups \
                  portero -- portero import x --domain p";
    let ran = world.lab.run("sh", &["-c", script]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("peer\n", ""));
}
