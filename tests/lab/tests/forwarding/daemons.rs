//! Forwards outlive what happens to libvirt's daemons, one by one, also where nobody tells of a guest.

use crate::world::{Flush, World, WEB};
use portero_lab::{
    wait_until, Driver, From, NetworkXml, Program, Proto, Scenario, HOST_V4, OUTSIDE_V4,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "daemons: a network's own forwards, a flush, and nobody who tells of a guest",
        run: no_guest_tells,
    },
    Scenario {
        name: "daemons: what waits for a daemon is killed, or hangs",
        run: waiting_is_killed,
    },
    Scenario {
        name: "daemons: each is restarted, killed and reloaded, also over a flushed firewall",
        run: each,
    },
];

/// Where libvirt is divided.
pub const MODULAR: &[Scenario<World>] = &[
    Scenario {
        name: "daemons: a flush, and virtnetworkd alone starts again",
        run: networks_alone,
    },
    Scenario {
        name: "daemons: virtnetworkd ends when it is idle, and starts with a connection",
        run: idle_networks,
    },
    Scenario {
        name: "daemons: virtqemud ends when it is idle, and starts with a connection",
        run: idle_guests,
    },
];

/// A network with forwards of its own, and a machine on it that libvirt knows nothing of.
const OWN: NetworkXml<'_> = NetworkXml {
    name: "own",
    mode: "nat",
    number: 91,
    reservations: &[],
    portero: "<portero:portForward proto='tcp' guest='192.168.91.20'>\
              <portero:range start='8091' to='80'/></portero:portForward>",
};

const LINK: &str = "/etc/libvirt/hooks/daemon.d/50-portero";
const PROGRAM: &str = "/usr/bin/portero-daemon-hook";

/// Starts the network, and the machine.
fn own_network(world: &World) -> Program {
    let lab = &world.lab;
    lab.start_network(&OWN);
    let steps = "netns add pod
        link add pod0 type veth peer name eth0 netns pod
        link set pod0 up master br-own
        -n pod link set lo up
        -n pod address add 192.168.91.20/24 dev eth0
        -n pod link set eth0 up
        -n pod route add default via 192.168.91.1";
    for step in steps.lines() {
        lab.ip(step);
    }
    let serve = ["netns", "exec", "pod", &lab.agent(), "serve", "pod"];
    Program::start("ip", &serve)
}

fn remove_own_network(world: &World, machine: Program) {
    drop(machine);
    world.lab.must("ip", &["netns", "del", "pod"]);
    world.lab.virsh(&["net-destroy", "own"]);
    world.lab.virsh(&["net-undefine", "own"]);
}

fn own_serves(world: &World) {
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8091, "pod tcp 80");
}

fn own_is_refused(world: &World) {
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8091);
}

/// Ends the guests that a daemon would tell of when it starts.
fn without_guests(world: &World) {
    for name in world.lab.virsh(&["list", "--name"]).lines() {
        if !name.is_empty() {
            world.lab.virsh(&["managedsave", name]);
        }
    }
}

fn with_guests(world: &World) {
    for name in ["peer", "far"] {
        world.lab.virsh(&["start", name]);
    }
    for address in [crate::world::PEER, crate::world::FAR] {
        world.lab.wait_guest(address);
    }
}

/// Processes that wait for a daemon.
fn waiting(world: &World) -> Vec<String> {
    let shell = "for one in /proc/[0-9]*; do \
                 ! tr '\\0' ' ' 2>/dev/null <$one/cmdline | grep -q -- '--when-re[a-z]* [0-9]' || echo ${one#/proc/}; done";
    let found = world.lab.run("sh", &["-c", shell]).stdout;
    found.lines().map(str::to_owned).collect()
}

fn nobody_waits(world: &World) {
    wait_until(
        Duration::from_secs(20),
        "somebody still waits for a daemon",
        || waiting(world).is_empty(),
    );
}

fn no_guest_tells(world: &mut World) {
    world.stop_web_if_it_runs();
    without_guests(world);
    let machine = own_network(world);
    own_serves(world);
    for what in [Flush::Rules, Flush::Everything] {
        world.flush(what);
        own_is_refused(world);
        world.lab.restart_libvirtd();
        own_serves(world);
        nobody_waits(world);
        world.lab.is_in_order();
    }
    // Once more, as when the machine has lost its daemon.
    world.flush(Flush::Everything);
    world.lab.restart_daemon(Driver::Network.daemon(), "KILL");
    own_serves(world);
    nobody_waits(world);
    world.lab.is_in_order();
    remove_own_network(world, machine);
    with_guests(world);
    world.is_untouched_after_flushes();
}

/// A daemon hook that does something to what waits for its daemon, once that has become what it is: on a busy machine
/// that takes a while, and a daemon that stops leaves nobody who waits.
fn meddle(signal: &str) {
    let script = format!(
        "#!/bin/sh\n{PROGRAM} \"$@\"\ncode=$?\ntest \"$2\" = start || exit $code\n\
         for try in $(seq 100); do\nfor one in /proc/[0-9]*; do\n\
         ! tr '\\0' ' ' 2>/dev/null <$one/cmdline | grep -q -- '--when-re[a-z]* [0-9]' || {{\n\
         kill -s {signal} ${{one#/proc/}}\nexit $code\n}}\ndone\nsleep 0.05\ndone\nexit $code\n"
    );
    fs::remove_file(LINK).expect("the hook");
    fs::write(LINK, script).expect("a hook");
    fs::set_permissions(LINK, fs::Permissions::from_mode(0o755)).expect("its mode");
}

fn meddle_no_more() {
    fs::remove_file(LINK).expect("the hook");
    std::os::unix::fs::symlink(PROGRAM, LINK).expect("the hook");
}

/// Flushes everything and restarts the daemon of networks, until libvirt rejects what others send to guests of a bridge:
/// with nftables it may leave a network without rules the first time (docs/libvirt.md). It makes them one by one, and
/// portero names the bridge too.
fn restart_after_flush(world: &mut World, bridge: &str) {
    let rejects = [
        format!("oif \"{bridge}\" counter reject"),
        format!("-o {bridge} -j REJECT"),
    ];
    for _ in 0..10 {
        world.flush(Flush::Everything);
        world.lab.restart_daemon(Driver::Network.daemon(), "TERM");
        assert_eq!(waiting(world), Vec::<String>::new());
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            let rules = world.lab.rules();
            if rejects.iter().any(|rule| rules.contains(rule)) {
                return;
            }
        }
    }
    panic!("libvirt makes no rules for {bridge}");
}

fn waiting_is_killed(world: &mut World) {
    let networks = Driver::Network.daemon();
    world.stop_web_if_it_runs();
    without_guests(world);
    let machine = own_network(world);
    own_serves(world);
    // The control: without it nobody mends what the daemon hook came too early for.
    meddle("KILL");
    restart_after_flush(world, "br-own");
    own_is_refused(world);
    let plan = world.lab.run("portero", &["plan"]);
    assert!(!plan.ok && !plan.stdout.is_empty(), "{plan:?}");
    // The next event does, and nothing else was harmed.
    with_guests(world);
    own_serves(world);
    world.lab.is_in_order();
    // One that hangs: libvirt waits for nothing of it, guests and networks come and go.
    meddle("STOP");
    world.flush(Flush::Everything);
    let begin = Instant::now();
    world.lab.restart_daemon(networks, "TERM");
    let hung = waiting(world);
    assert_eq!(hung.len(), 1, "{hung:?}");
    world.running_web();
    world.serves();
    world.stop_web();
    world.lab.virsh(&["net-list"]);
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(waiting(world), hung);
    meddle_no_more();
    // It has seen nothing of the daemon's start, compares, and would still look for it for two minutes.
    world.lab.must("kill", &["-s", "CONT", &hung[0]]);
    own_serves(world);
    world.lab.is_in_order();
    world.lab.must("kill", &["-s", "KILL", &hung[0]]);
    nobody_waits(world);
    remove_own_network(world, machine);
    world.is_untouched_after_flushes();
}

/// What guests of `lan` may not do is connect to others.
const POLICY: &str = "<portero:network xmlns:portero='urn:portero:1'><portero:policy>\
                      <portero:default out='reject'/></portero:policy></portero:network>\n";
const POLICY_FILE: &str = "/etc/portero/networks/lan.xml";

/// The forward is served, the policy is in force, and nothing is left to do.
fn holds(world: &World) {
    nobody_waits(world);
    wait_until(
        Duration::from_secs(10),
        "portero plan would change something",
        || world.lab.run("portero", &["plan"]).ok,
    );
    world.serves();
    (world.lab).refuses(From::Guest(WEB), Tcp, OUTSIDE_V4, 80);
}

/// Neither is: nobody refuses what the policy does.
fn is_lost(world: &World) {
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    connects(world);
}

fn connects(world: &World) {
    (world.lab).answers(From::Guest(WEB), Tcp, OUTSIDE_V4, 80, "outside tcp 80");
}

fn send(world: &mut World, name: &'static str, signal: &str) {
    if signal != "HUP" {
        return world.lab.restart_daemon(name, signal);
    }
    world.lab.signal_daemon(name, signal);
    // Its hook has run by then.
    std::thread::sleep(Duration::from_millis(500));
}

fn each(world: &mut World) {
    world.running_web();
    connects(world);
    fs::write(POLICY_FILE, POLICY).expect("a file of the administrator's");
    world.lab.must("portero", &["sync"]);
    holds(world);
    for name in world.lab.daemons() {
        let drivers = [Driver::Network, Driver::Qemu, Driver::Lxc];
        let compares = drivers.iter().any(|driver| driver.daemon() == *name);
        for signal in ["TERM", "KILL", "HUP"] {
            println!("  {name}, {signal}");
            send(world, name, signal);
            holds(world);
            world.flush(Flush::Rules);
            is_lost(world);
            let flushed = world.lab.rules();
            send(world, name, signal);
            if !compares {
                // It has neither networks nor guests: to compare for it would be for nothing.
                assert_eq!(waiting(world), Vec::<String>::new());
                assert_eq!(world.lab.rules(), flushed);
                world.lab.must("portero", &["sync"]);
            }
            holds(world);
        }
    }
    fs::remove_file(POLICY_FILE).expect("the policy");
    world.lab.must("portero", &["sync"]);
    connects(world);
    world.stop_web();
    world.is_untouched_after_flushes();
}

fn networks_alone(world: &mut World) {
    world.running_web();
    for (what, signal) in [
        (Flush::Rules, "TERM"),
        (Flush::Everything, "TERM"),
        (Flush::Everything, "KILL"),
    ] {
        world.flush(what);
        world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
        world.lab.restart_daemon("virtnetworkd", signal);
        world.serves();
        nobody_waits(world);
        world.lab.is_in_order();
    }
    // The control: without what waits for the daemon the forwards stay away, whatever its guests are.
    meddle("KILL");
    restart_after_flush(world, "br-lan");
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    meddle_no_more();
    // The other daemon tells of a guest that runs.
    world.lab.restart_daemon("virtqemud", "TERM");
    world.serves();
    world.lab.is_in_order();
    world.stop_web();
    world.is_untouched_after_flushes();
}

/// Has a daemon started by the next connection, as systemd has it, and ended when nobody has needed it for two seconds.
fn by_socket(name: &str) -> Program {
    let sockets =
        ["sock", "sock-ro", "admin-sock"].map(|kind| format!("/run/libvirt/{name}-{kind}"));
    let mut words = format!("--fdname={name}.socket:{name}-ro.socket:{name}-admin.socket");
    for socket in &sockets {
        let _ = fs::remove_file(socket);
        words += &format!(" --listen={socket}");
    }
    let command = format!(
        "exec systemd-socket-activate {words} /usr/sbin/{name} --timeout 2 2>>/run/lab/libvirtd.log"
    );
    let waits = Program::start("sh", &["-c", &command]);
    wait_until(Duration::from_secs(5), "nobody listens", || {
        sockets.iter().all(|socket| Path::new(socket).exists())
    });
    waits
}

/// Whether a daemon of this name runs.
fn runs(world: &World, name: &str) -> bool {
    world.lab.run("pidof", &[name]).ok
}

fn ends(world: &World, name: &str) {
    wait_until(Duration::from_secs(30), "it does not end", || {
        !runs(world, name)
    });
}

/// Longer than a daemon of [`by_socket`] stays when nobody needs it.
fn wait_idle() {
    std::thread::sleep(Duration::from_secs(4));
}

fn idle_networks(world: &mut World) {
    let name = "virtnetworkd";
    world.running_web();
    world.lab.end_daemon(name, "TERM");
    for what in [None, Some(Flush::Rules), Some(Flush::Everything)] {
        let waits = by_socket(name);
        assert!(!runs(world, name));
        if let Some(what) = what {
            world.flush(what);
            world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
        }
        world.lab.virsh(&["net-list"]);
        assert!(runs(world, name));
        world.serves();
        nobody_waits(world);
        world.lab.is_in_order();
        // It stays while a network is active (`virInhibitorHold` in src/network/bridge_driver.c); older ones do not, and what
        // they do by themselves is done by a signal here.
        wait_idle();
        assert!(runs(world, name));
        world.lab.must("kill", &[&waits.id().to_string()]);
        ends(world, name);
        // Networks and forwards need no daemon.
        world.serves();
        world.lab.is_in_order();
    }
    let waits = by_socket(name);
    for network in NETWORKS {
        world.lab.virsh(&["net-destroy", network]);
    }
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    ends(world, name);
    drop(waits);
    let waits = by_socket(name);
    for network in NETWORKS {
        world.lab.virsh(&["net-start", network]);
    }
    world.serves();
    world.lab.is_in_order();
    world.lab.must("kill", &[&waits.id().to_string()]);
    ends(world, name);
    world.lab.start_daemon(name);
    world.serves();
    world.stop_web();
    world.is_untouched_after_flushes();
}

/// The networks of this world.
const NETWORKS: [&str; 3] = ["lan", "far", "cell"];

fn idle_guests(world: &mut World) {
    let name = "virtqemud";
    world.running_web();
    world.lab.end_daemon(name, "TERM");
    let waits = by_socket(name);
    world.flush(Flush::Rules);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    // The other daemon needs none that tells of a guest.
    world.lab.restart_networks();
    world.serves();
    assert!(!runs(world, name));
    // It tells of its guests when it starts.
    world.flush(Flush::Rules);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    world.lab.virsh(&["list"]);
    assert!(runs(world, name));
    world.serves();
    // It stays for them.
    wait_idle();
    assert!(runs(world, name));
    world.stop_web();
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    without_guests(world);
    ends(world, name);
    drop(waits);
    let waits = by_socket(name);
    world.running_web();
    world.serves();
    with_guests(world);
    nobody_waits(world);
    world.lab.is_in_order();
    world.lab.must("kill", &[&waits.id().to_string()]);
    ends(world, name);
    world.serves();
    world.lab.start_daemon(name);
    world.stop_web();
    world.is_untouched_after_flushes();
}
