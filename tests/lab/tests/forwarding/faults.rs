//! Kills, crowds and hanging programs.

use crate::world::{sorted, World};
use portero_lab::{Backend, Event, Program, Scenario};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a hook killed at any of its steps heals at the next event",
        run: killed,
    },
    Scenario {
        name: "a program that outlives its killed hook changes nothing that comes after",
        run: orphan,
    },
    Scenario {
        name: "fifty guests' hooks at once",
        run: crowd,
    },
    Scenario {
        name: "a hung firewall and held locks delay no longer than the deadline",
        run: hung,
    },
];

/// A network with room for all recorded guests.
const NETWORK: &str = "<hookData><network><name>rec</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid><forward mode='nat'/><bridge name='br-rec'/>\
<ip address='10.77.0.1' prefix='16'/><ip family='ipv6' address='fd00:77::1' prefix='64'/></network>PORT</hookData>";

pub fn domain(number: u16) -> String {
    format!(
        "<domain><name>rec{number}</name><uuid>bbbbbbbb-0000-4000-8000-00000000{number:04x}</uuid>\
         <metadata><p:domain xmlns:p='urn:portero:1'>\
         <p:portForward proto='tcp' guest='10.77.1.{number}'><p:range start='{}' to='80'/></p:portForward>\
         <p:portForward proto='udp' guest='fd00:77::1:{number}'><p:range start='{}' to='80'/></p:portForward>\
         </p:domain></metadata><devices><interface type='network'>\
         <mac address='52:54:00:77:00:{number:02x}'/><source network='rec'/></interface></devices></domain>",
        20000 + number,
        20000 + number
    )
}

fn port(number: u16) -> String {
    NETWORK.replace(
        "PORT",
        &format!(
            "<networkport><uuid>cccccccc-0000-4000-8000-00000000{number:04x}</uuid><owner>\
             <name>rec{number}</name><uuid>bbbbbbbb-0000-4000-8000-00000000{number:04x}</uuid></owner>\
             <mac address='52:54:00:77:00:{number:02x}'/></networkport>"
        ),
    )
}

/// The command for a recorded event.
pub fn hook(
    wrapper: &[&str],
    hook: &'static str,
    name: &str,
    operation: &'static str,
    stdin: &str,
) -> Command {
    let event = Event {
        hook,
        name: name.to_owned(),
        operation,
        stdin: stdin.to_owned(),
    };
    event.command(wrapper)
}

pub fn qemu(number: u16, operation: &'static str) -> bool {
    let name = format!("rec{number}");
    let status = hook(&[], "qemu", &name, operation, &domain(number)).status();
    status.expect("the hook").success()
}

pub fn network_port(number: u16, operation: &'static str) {
    let status = hook(&[], "network", "rec", operation, &port(number)).status();
    assert!(status.expect("the hook").success());
}

pub fn forget_network() {
    let status = hook(
        &[],
        "network",
        "rec",
        "stopped",
        &NETWORK.replace("PORT", ""),
    )
    .status();
    assert!(status.expect("the hook").success());
}

/// Kills the hook at the N-th of these system calls, for every N until one run ends by itself.
fn killed(world: &mut World) {
    let calls = "rename,renameat,renameat2,unlink,unlinkat,openat,mkdir,fdatasync,vfork,clone,clone3,execve,sendto,flock";
    world.running_web();
    network_port(1, "port-created");
    assert!(qemu(1, "prepare") && qemu(1, "start"));
    let running = sorted(&world.lab.rules());
    assert!(qemu(1, "stopped"));
    let stopped = sorted(&world.lab.rules());
    assert_ne!(running, stopped);
    let (mut kills, mut children, mut at) = (0, 0, 0);
    let mut unfinished = vec!["start", "stopped"];
    while let Some(operation) = unfinished.first().copied() {
        at += 1;
        assert!(at < 2000, "no end at {operation}");
        let starting = operation == "start";
        network_port(1, "port-created");
        assert!(qemu(1, "prepare"));
        assert!(starting || qemu(1, "start"));
        let inject = format!("inject={calls}:signal=KILL:when={at}");
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
        let status = hook(&strace, "qemu", "rec1", operation, &domain(1)).status();
        // strace ends as the hook did. A hook that fails by itself had a program of its own killed.
        let status = status.expect("strace");
        if status.success() {
            unfinished.remove(0);
            at = 0;
        } else if status.signal() == Some(9) {
            kills += 1;
        } else {
            children += 1;
        }
        let next = if starting { "started" } else { "release" };
        assert!(qemu(1, next));
        let expected = if starting { &running } else { &stopped };
        assert_eq!(
            &sorted(&world.lab.rules()),
            expected,
            "{operation} killed at call {at}"
        );
        world.is_in_order();
        assert!(qemu(1, "stopped"));
        assert_eq!(
            sorted(&world.lab.rules()),
            stopped,
            "stop after {operation} killed at call {at}"
        );
    }
    println!("  survived {kills} kills of the hook, {children} of programs it runs");
    assert!(kills > 40, "only {kills} kills: strace did not inject");
    forget_network();
    world.serves();
    world.stop_web();
    world.is_untouched();
}

/// Kills the hook while its program has not written yet; the guest's end has to wait for that one.
fn orphan(world: &mut World) {
    world.running_web();
    network_port(1, "port-created");
    assert!(qemu(1, "prepare"));
    let before = sorted(&world.lab.rules());
    let (writer, slow) = match world.lab.backend() {
        Backend::Iptables => (
            "/usr/sbin/iptables-restore",
            "#!/bin/sh\nsleep 1\nexec /usr/sbin/xtables-nft-multi iptables-restore \"$@\"\n",
        ),
        Backend::Nftables => (
            "/usr/sbin/nft",
            "#!/bin/sh\ncase \"$*\" in -f*) sleep 1;; esac\nexec /usr/sbin/nft.aside \"$@\"\n",
        ),
    };
    replaced(writer, slow, || {
        // Control: it writes in the end.
        assert!(qemu(1, "start"));
        assert_ne!(sorted(&world.lab.rules()), before);
        assert!(qemu(1, "stopped"));
        assert_eq!(sorted(&world.lab.rules()), before);
        assert!(qemu(1, "prepare"));
        let mut killed = hook(&[], "qemu", "rec1", "start", &domain(1))
            .spawn()
            .expect("the hook");
        std::thread::sleep(Duration::from_millis(500));
        killed.kill().expect("the hook");
        let status = killed.wait().expect("the hook");
        assert_eq!(status.signal(), Some(9));
        assert_eq!(sorted(&world.lab.rules()), before, "it has written already");
        assert!(qemu(1, "stopped") && qemu(1, "release"));
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(sorted(&world.lab.rules()), before);
    });
    network_port(1, "port-deleted");
    forget_network();
    world.stop_web();
    world.is_untouched();
}

fn crowd(world: &mut World) {
    let numbers: Vec<u16> = (1..=50).collect();
    let all = |step: fn(u16)| {
        let threads: Vec<_> = numbers
            .iter()
            .map(|number| {
                let number = *number;
                std::thread::spawn(move || step(number))
            })
            .collect();
        for thread in threads {
            thread.join().expect("a guest's hooks");
        }
    };
    let begin = Instant::now();
    all(|number| {
        assert!(qemu(number, "prepare"), "prepare {number}");
        network_port(number, "port-created");
        assert!(qemu(number, "start"), "start {number}");
        assert!(qemu(number, "started"), "started {number}");
    });
    println!("  50 starts in {:.1} s", begin.elapsed().as_secs_f64());
    let rules = world.lab.rules();
    for number in &numbers {
        let guests = [format!("10.77.1.{number}"), format!("fd00:77::1:{number}")];
        for guest in guests {
            let rule = world.port_80_of(&guest);
            assert_eq!(rules.matches(&rule).count(), 1, "{rule} in\n{rules}");
        }
    }
    world.is_in_order();
    all(|number| {
        assert!(qemu(number, "stopped"));
        network_port(number, "port-deleted");
        assert!(qemu(number, "release"));
    });
    forget_network();
    world.is_untouched();
}

/// Puts a program in the place of another one, for as long as `body` runs.
fn replaced(program: &str, script: &str, body: impl FnOnce()) {
    let aside = format!("{program}.aside");
    fs::rename(program, &aside).expect("the program");
    fs::write(program, script).expect("the replacement");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("chmod");
    body();
    fs::rename(&aside, program).expect("the program");
}

/// Expects that `body` waits until the deadline of [`DEADLINE`] seconds, and not much longer: a body
/// that is done before it has met nothing that hangs.
fn hangs(what: &str, body: impl FnOnce()) {
    let begin = Instant::now();
    body();
    let took = begin.elapsed();
    println!("  {what}: {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_millis(3500), "{what} took {took:?}");
    assert!(
        took > Duration::from_millis(1500),
        "{what} met nothing that hangs: {took:?}"
    );
}

/// What portero.toml says in these tests, in seconds.
const DEADLINE: u64 = 2;

/// Holds a lock until the value ends.
fn hold(path: &str) -> Program {
    // Without --no-fork the lock would live on in a child.
    let holder = Program::start("flock", &["--no-fork", "-x", path, "sleep", "60"]);
    std::thread::sleep(Duration::from_millis(200));
    holder
}

fn hung(world: &mut World) {
    let settings = "/etc/portero/portero.toml";
    let shipped = fs::read(settings).expect("the installed portero.toml");
    fs::write(settings, format!("deadline = {DEADLINE}\n")).expect("portero.toml");
    let hang = "#!/bin/sh\nexec sleep 60\n";
    network_port(1, "port-created");
    assert!(qemu(1, "prepare"));
    let (writer, reader) = match world.lab.backend() {
        Backend::Iptables => ("/usr/sbin/iptables-restore", "/usr/sbin/iptables"),
        Backend::Nftables => ("/usr/sbin/nft", "/usr/sbin/nft"),
    };
    replaced(writer, hang, || {
        hangs("a writer that hangs, start", || assert!(!qemu(1, "start")));
        hangs("a writer that hangs, started", || {
            assert!(qemu(1, "started"))
        });
    });
    assert!(qemu(1, "started"));
    replaced(writer, hang, || {
        hangs("a writer that hangs, stopped", || {
            assert!(qemu(1, "stopped"))
        });
    });
    assert!(qemu(1, "prepare") && qemu(1, "start"));
    fs::remove_file("/run/portero/trusted").expect("the state was trusted");
    replaced(reader, hang, || {
        hangs("a reader that hangs, reconnect", || {
            assert!(qemu(1, "reconnect"))
        });
        hangs("a reader that hangs, release", || {
            assert!(qemu(1, "release"))
        });
    });
    // What the hung release left is taken by the next event.
    let rule = world.port_80_of("10.77.1.1");
    assert!(world.lab.rules().contains(&rule));
    assert!(qemu(1, "release"));
    assert!(!world.lab.rules().contains(&rule));
    assert!(qemu(1, "prepare"));
    let holder = hold("/run/portero/lock");
    hangs("portero's lock held, start", || assert!(!qemu(1, "start")));
    hangs("portero's lock held, reconnect", || {
        assert!(qemu(1, "reconnect"))
    });
    drop(holder);
    if world.lab.backend() == Backend::Iptables {
        xtables_lock();
    }
    fs::write(settings, shipped).expect("portero.toml");
    assert!(qemu(1, "stopped"));
    forget_network();
    world.is_untouched();
}

fn xtables_lock() {
    // The lock of xtables belongs to iptables-legacy, which the hook uses where it is installed as
    // iptables.
    fs::write("/run/xtables.lock", "").expect("the lock");
    let legacy = "#!/bin/sh\nexec /usr/sbin/xtables-legacy-multi iptables-restore \"$@\"\n";
    replaced("/usr/sbin/iptables-restore", legacy, || {
        let _holder = hold("/run/xtables.lock");
        hangs("xtables' lock held, start", || assert!(!qemu(1, "start")));
    });
}
