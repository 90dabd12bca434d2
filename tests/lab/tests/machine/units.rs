//! Units that guests' connections depend on are restarted, reloaded, started and stopped by systemd: what was served is
//! served again, and what was not flushed stays.

use crate::firewalls::on_iptables;
use crate::world::{World, BOX_PORT, SOON, WEB_PORT};
use portero_lab::{wait_until, Scenario, Talk};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "units: what is flushed comes back with portero-watch, and not without it",
        run: flushed,
    },
    Scenario {
        name: "units: libvirtd, portero-watch and networking are restarted and reloaded",
        run: running,
    },
    Scenario {
        name: "units: NetworkManager and systemd-networkd are started, restarted, reloaded and stopped",
        run: managers,
    },
    Scenario {
        name: "units: nftables.service is started, restarted, reloaded and stopped",
        run: |world| nftables(world, "inet portero"),
    },
    Scenario {
        name: "units: nftables.service beside a libvirt that is on iptables",
        run: |world| on_iptables(world, |world| nftables(world, "ip nat")),
    },
];

/// How long nobody puts anything back when portero-watch does not run: it needs a second with it.
const NOBODY: Duration = Duration::from_secs(15);

/// How long what a unit does in the background may take.
const SETTLED: Duration = Duration::from_secs(5);

fn flushed(world: &mut World) {
    let before = begin(world);
    world
        .vm
        .must("systemctl stop portero-watch && nft flush ruleset");
    is_not_healed(world);
    world.vm.must("systemctl start portero-watch");
    let took = world.serves(BOX_PORT);
    println!(
        "  served {:.1} s after portero-watch started",
        took.as_secs_f64()
    );
    world.serves(WEB_PORT);
    for _ in 0..3 {
        is_made_anew(world, "inet portero", "nft flush ruleset");
    }
    ends(world, &before);
}

fn running(world: &mut World) {
    let before = begin(world);
    let talk = world.talk();
    for unit in ["portero-watch", "libvirtd", "networking"] {
        restarts_and_reloads(world, &talk, unit);
    }
    ends(world, &before);
}

fn managers(world: &mut World) {
    let before = begin(world);
    let talk = world.talk();
    // NetworkManager writes it anew.
    world.vm.must("cp -p /etc/resolv.conf /etc/resolv.conf.lab");
    for unit in ["NetworkManager", "systemd-networkd"] {
        does(world, &talk, &format!("systemctl start {unit}"));
        restarts_and_reloads(world, &talk, unit);
        // Those that systemd starts it by too.
        does(world, &talk, &format!("systemctl stop '{unit}*'"));
    }
    world.vm.must("mv /etc/resolv.conf.lab /etc/resolv.conf");
    ends(world, &before);
}

/// `table` is one that portero's rules are in.
fn nftables(world: &mut World, table: &str) {
    let before = begin(world);
    // Each time all rules are flushed, and until portero-watch has put them back the host itself answers connections that a
    // rule had led to a guest: it ends them. The control is what the service does when portero-watch does not run.
    for verb in ["start", "restart", "reload", "stop"] {
        let command = format!("systemctl {verb} nftables");
        is_made_anew(world, table, &command);
        holds(world, &command);
    }
    world
        .vm
        .must("systemctl stop portero-watch && systemctl start nftables");
    is_not_healed(world);
    world
        .vm
        .must("systemctl stop nftables && systemctl start portero-watch");
    ends(world, &before);
}

/// Everything is served; gives the rules.
fn begin(world: &World) -> Vec<String> {
    world.has_portero();
    world.serves(WEB_PORT);
    // libvirtd, which the package has restarted, answers once its own rules are there.
    world.vm.must("virsh list");
    world.is_in_order();
    world.rules()
}

/// libvirt makes its own rules anew when it starts; then all are as they were.
fn ends(world: &World, before: &[String]) {
    world
        .vm
        .must("nft flush ruleset && systemctl restart libvirtd && virsh list");
    world.serves(BOX_PORT);
    world.serves(WEB_PORT);
    let (mut now, end) = (world.rules(), Instant::now() + SOON);
    while now != before && Instant::now() < end {
        now = world.rules();
    }
    assert_eq!(now, before, "the rules");
    world.is_in_order();
}

/// Nothing is served, and nobody mends it.
fn is_not_healed(world: &World) {
    world.refuses(BOX_PORT);
    std::thread::sleep(NOBODY);
    world.refuses(BOX_PORT);
    world.refuses(WEB_PORT);
    let plan = world.vm.run("portero plan");
    assert!(!plan.ok, "nothing is missing: {plan:?}");
}

/// What the kernel calls a table: a number that no other table has had.
fn number(world: &World, table: &str) -> Option<String> {
    let listed = world.vm.run(&format!("nft -a list table {table}")).stdout;
    let line = listed.lines().next().unwrap_or_default();
    line.split("# handle ").nth(1).map(str::to_owned)
}

/// A command flushes all rules, and portero-watch makes the table anew.
fn is_made_anew(world: &World, table: &str, command: &str) {
    let before = number(world, table);
    assert!(before.is_some(), "no table before {command}");
    world.vm.must(command);
    wait_until(SOON, "portero's table is not made anew", || {
        let now = number(world, table);
        now.is_some() && now != before
    });
    world.serves(BOX_PORT);
    world.serves(WEB_PORT);
}

/// Restarts a unit, and reloads it where it can be.
fn restarts_and_reloads(world: &World, talk: &Talk, unit: &str) {
    let invocation = || (world.vm).must(&format!("systemctl show -P InvocationID {unit}"));
    let before = invocation();
    does_to_libvirt(world, talk, "restart", unit);
    assert_ne!(invocation(), before, "{unit} was not restarted");
    let can_reload = world
        .vm
        .must(&format!("systemctl show -P CanReload {unit}"));
    if can_reload.trim() == "yes" {
        does_to_libvirt(world, talk, "reload", unit);
    } else {
        println!("  {unit} cannot be reloaded");
    }
}

/// libvirtd makes its own rules anew, and no other unit does: so it has not ignored what it was told.
fn does_to_libvirt(world: &World, talk: &Talk, verb: &str, unit: &str) {
    // libvirtd ignores a reload until its drivers are there, and answers nobody before.
    world.vm.must("virsh list");
    let numbers = || (world.vm).must("nft -a -s list table ip libvirt_network");
    let before = numbers();
    does(world, talk, &format!("systemctl {verb} {unit}"));
    if unit == "libvirtd" {
        wait_until(SOON, "libvirtd has not made its rules anew", || {
            numbers() != before
        });
    } else {
        assert_eq!(numbers(), before, "{verb} {unit}: libvirt's rules");
    }
}

/// The same for a command that leaves rules alone: a connection goes on too.
fn does(world: &World, talk: &Talk, command: &str) {
    world.vm.must(command);
    holds(world, command);
    assert!(talk.is_heard(SOON), "{command}: the connection is cut");
}

/// After a command guests are served, no unit has failed, and no rule is missing.
fn holds(world: &World, command: &str) {
    std::thread::sleep(SETTLED);
    let took = world.serves(BOX_PORT);
    println!("  {command}: served after {:.1} s", took.as_secs_f64());
    world.serves(WEB_PORT);
    wait_until(SOON, "rules are missing", || {
        world.vm.run("portero plan").ok
    });
    let failed = world.vm.must("systemctl --failed --no-legend --plain");
    assert_eq!(failed, "", "{command}: units that failed");
}
