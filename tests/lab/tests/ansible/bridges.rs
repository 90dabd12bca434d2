//! The bridge of the page on both hosts, whose NICs are configured by Debian's ifupdown.

use crate::world::{Host, World, HOSTS};
use portero_lab::Scenario;
use std::fs;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "the page's bridge is made and kept on both hosts, and a second run changes nothing",
    run: bridge,
}];

const PLAYBOOK: &str = "/etc/ansible/bridge.yml";

fn interfaces(host: Host) -> String {
    format!(
        "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n    address {}/24\n    \
         up ip route add 198.51.100.0/24 via 203.0.113.2 dev eth0\n",
        host.address
    )
}

fn bridge(world: &mut World) {
    for host in HOSTS {
        let machine = world.at(host);
        machine.must("mkdir", &["-p", "/run/network"]);
        fs::write(machine.path("/etc/network/interfaces"), interfaces(host)).expect("interfaces");
        machine.ip("address flush dev eth0");
        machine.ip("link set eth0 down");
        machine.must("ifup", &["--force", "eth0"]);
    }
    answer(world);

    // The control: what nobody has made cannot be kept.
    let confirmed = world.task("bridge", "bridge: br0, state: confirmed", &[]);
    assert!(
        !confirmed.ok && confirmed.output.contains("portero has not made br0"),
        "{confirmed}"
    );
    let before = world.seen();
    let checked = world.play_page(PLAYBOOK, &["--check", "--diff"]);
    checked.changes(2);
    assert!(
        checked.output.contains("+++ b/etc/network/interfaces"),
        "{checked}"
    );
    assert_eq!(world.seen(), before, "check mode has changed something");

    world.play_page(PLAYBOOK, &[]).changes(2);
    for host in HOSTS {
        let machine = world.at(host);
        let address = machine.must("ip", &["-brief", "address", "show", "br0"]);
        assert!(address.contains(host.address), "{address}");
        let status = machine.must("portero", &["bridge", "status"]);
        assert!(status.contains("confirmed"), "{status}");
    }
    answer(world);
    let after = world.seen();
    world.play_page(PLAYBOOK, &["--check"]).changes(0);
    world.play_page(PLAYBOOK, &[]).changes(0);
    assert_eq!(world.seen(), after, "the second run has changed something");
    let other = world.task("bridge", "bridge: br0, nics: eth7", &["--check"]);
    assert!(
        !other.ok
            && other
                .output
                .contains("br0 exists with eth0 and is confirmed"),
        "{other}"
    );

    let remove = "bridge: br0, state: absent";
    world.task("bridge", remove, &["--check"]).changes(1);
    assert_eq!(world.seen(), after);
    world.task("bridge", remove, &[]).changes(1);
    for host in HOSTS {
        let file = fs::read_to_string(world.at(host).path("/etc/network/interfaces"));
        assert_eq!(file.expect("interfaces"), interfaces(host));
    }
    answer(world);
    world.task("bridge", remove, &[]).changes(0);

    // One that nobody keeps is rolled back by `absent` too, before its time is over.
    world
        .task("bridge", "bridge: br0, nics: eth0, timeout: 600", &[])
        .changes(1);
    world
        .task("bridge", "bridge: br0, nics: eth0", &[])
        .changes(0);
    world.task("bridge", remove, &[]).changes(1);
    answer(world);
}

/// Expects both hosts to answer the machine outside.
fn answer(world: &World) {
    for host in HOSTS {
        let ran = world.first.outside("ping", &["-c1", "-W5", host.address]);
        assert!(ran.ok, "{} does not answer: {ran:?}", host.name);
    }
}
