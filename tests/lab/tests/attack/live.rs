//! Metadata that turns hostile while the guest runs, where portero-watch follows it.

use crate::world::{forward, is_plain, World, MALLORY};
use portero_lab::{From, Proto, Scenario, HOST_V4};
use std::fs;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "live: what is refused leaves the forwards that are there",
    run: live,
}];

/// Sets the metadata of the running guest; as a script, which has room for all that libvirt takes.
fn set(world: &World, portero: &str) -> bool {
    let element = format!("<domain>{}</domain>", portero.replace("portero:", ""));
    let script =
        format!("metadata mallory --uri urn:portero:1 --key portero --live --set \"{element}\"\n");
    let script = world.lab.file("metadata.virsh", &script);
    let line = "exec virsh -q -c qemu:///system <\"$0\"";
    let ran = world.lab.run("sh", &["-c", line, &script]);
    ran.ok && !ran.stderr.contains("error")
}

/// Waits for what portero-watch says.
fn says(world: &World, expected: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut log = Vec::new();
    while Instant::now() < end {
        log.extend(world.lab.log());
        if log.iter().any(|line| line.contains(expected)) {
            log.iter().for_each(|line| is_plain(line));
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("expected '{expected}' in {log:#?}");
}

fn live(world: &mut World) {
    world.define(&forward("proto='tcp'", "start='8090' to='80'"));
    world.lab.virsh(&["start", "mallory"]);
    world.lab.wait_guest(MALLORY);
    let watch = world.lab.start("portero-watch", &[]);
    let _ssh = world.lab.listen("0.0.0.0:22");
    let many: String = (0..10_001)
        .map(|number| forward("proto='tcp'", &format!("start='{}'", 20_000 + number)))
        .collect();
    let rows = [
        (forward("proto='tcp'", "start='22'"), "listens on"),
        (
            forward("proto='tcp'", "start='8080'"),
            "is held by domain 'victim'",
        ),
        (
            forward("proto='tcp' dev='eth0'", "start='8000' end='8089'"),
            "is held by domain 'victim'",
        ),
        (
            forward("proto='tcp' guest='192.168.50.10'", "start='8091'"),
            "is reserved for",
        ),
        (
            forward("proto='udp' guest='192.168.50.255'", "start='8091'"),
            "cannot be a guest's",
        ),
        (
            forward("proto='tcp' guest='192.168.60.1'", "start='8091'"),
            "cannot be a guest's",
        ),
        (
            forward("proto='tcp' dev='-j ACCEPT'", "start='8091'"),
            "is not an interface name",
        ),
        (
            forward("proto='tcp'", "start='8091 ; flush ruleset'"),
            "is not a port",
        ),
        (many, "10001 ranges, expected at most 10000"),
    ];
    for (number, (hostile, expected)) in rows.into_iter().enumerate() {
        let _ = world.lab.log();
        let before = world.rules();
        assert!(set(world, &hostile), "libvirt refuses it: {expected}");
        says(world, "domain 'mallory' keeps the rules it has: ");
        assert_eq!(world.rules(), before, "{expected}");
        // The control: with nothing hostile it is followed.
        let port = 8100 + u16::try_from(number).expect("a port");
        assert!(set(
            world,
            &forward("proto='tcp'", &format!("start='{port}' to='80'"))
        ));
        world
            .lab
            .answers(From::Outside, Proto::Tcp, HOST_V4, port, "mallory tcp 80");
        world.count();
    }
    world.served();
    drop(watch);
    world.stop();
    world.lab.virsh(&["undefine", "mallory"]);
    let _ = fs::remove_file("/run/lab/files/metadata.virsh");
    world.is_in_order();
}
