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
