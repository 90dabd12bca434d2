//! Many guests at once, programs that hang and locks that are held.

use crate::act::{forget_network, network_port, qemu};
use crate::program::{put_back, replace};
use crate::world::World;
use portero_lab::{Backend, Program, Scenario};
use std::fs;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "fifty guests' hooks at once",
        run: crowd,
    },
    Scenario {
        name: "a hung firewall and held locks delay no longer than the deadline",
        run: hung,
    },
];

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
        assert!(qemu(number, "prepare").run(), "prepare {number}");
        assert!(network_port(number, "port-created").run());
        assert!(qemu(number, "start").run(), "start {number}");
        assert!(qemu(number, "started").run(), "started {number}");
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
    world.lab.is_in_order();
    all(|number| {
        assert!(qemu(number, "stopped").run());
        assert!(network_port(number, "port-deleted").run());
        assert!(qemu(number, "release").run());
    });
    assert!(forget_network().run());
    world.is_untouched();
}

/// Puts a script in the place of a program, for as long as `body` runs.
fn replaced(program: &str, script: &str, body: impl FnOnce()) {
    replace(program, script);
    body();
    put_back(program);
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
    assert!(network_port(1, "port-created").run());
    assert!(qemu(1, "prepare").run());
    match world.lab.backend() {
        Backend::Iptables => restore_hangs(world),
        Backend::Nftables => nft_hangs(world),
    }
    assert!(qemu(1, "prepare").run());
    let holder = hold("/run/portero/lock");
    hangs("portero's lock held, start", || {
        assert!(!qemu(1, "start").run())
    });
    hangs("portero's lock held, reconnect", || {
        assert!(qemu(1, "reconnect").run())
    });
    drop(holder);
    if world.lab.backend() == Backend::Iptables {
        xtables_lock();
    }
    fs::write(settings, shipped).expect("portero.toml");
    assert!(qemu(1, "stopped").run());
    assert!(forget_network().run());
    world.is_untouched();
}

/// A program that hangs.
const HANG: &str = "#!/bin/sh\nexec sleep 60\n";

fn restore_hangs(world: &World) {
    let (writer, reader) = ("/usr/sbin/iptables-restore", "/usr/sbin/iptables");
    replaced(writer, HANG, || {
        hangs("a writer that hangs, start", || {
            assert!(!qemu(1, "start").run())
        });
        hangs("a writer that hangs, started", || {
            assert!(qemu(1, "started").run())
        });
    });
    assert!(qemu(1, "started").run());
    replaced(writer, HANG, || {
        hangs("a writer that hangs, stopped", || {
            assert!(qemu(1, "stopped").run())
        });
    });
    assert!(qemu(1, "prepare").run() && qemu(1, "start").run());
    fs::remove_file("/run/portero/clean").expect("the state was trusted");
    replaced(reader, HANG, || {
        hangs("a reader that hangs, reconnect", || {
            assert!(qemu(1, "reconnect").run())
        });
        hangs("a reader that hangs, release", || {
            assert!(qemu(1, "release").run())
        });
    });
    // What the hung release left is taken by the next event.
    let rule = world.port_80_of("10.77.1.1");
    assert!(world.lab.rules().contains(&rule));
    assert!(qemu(1, "release").run());
    assert!(!world.lab.rules().contains(&rule));
}

/// nf_tables is changed and read without nft.
fn nft_hangs(world: &World) {
    let rule = world.port_80_of("10.77.1.1");
    let nft = "/usr/sbin/nft";
    // The lab asks nft too.
    let is_there = |expected: bool| assert_eq!(world.lab.rules().contains(&rule), expected);
    replaced(nft, HANG, || {
        let begin = Instant::now();
        assert!(qemu(1, "start").run() && qemu(1, "started").run());
        assert!(begin.elapsed() < Duration::from_millis(1500), "nft was met");
    });
    is_there(true);
    replaced(nft, HANG, || {
        // Everything is compared, and nothing differs.
        fs::remove_file("/run/portero/clean").expect("the state was trusted");
        let begin = Instant::now();
        assert!(qemu(1, "reconnect").run() && qemu(1, "stopped").run());
        assert!(begin.elapsed() < Duration::from_millis(1500), "nft was met");
    });
    is_there(false);
    assert!(qemu(1, "release").run());
    // Somebody has thrown the tables away.
    assert!(qemu(1, "prepare").run());
    world.lab.must(nft, &["delete table inet portero"]);
    fs::remove_file("/run/portero/clean").expect("the state was trusted");
    replaced(nft, HANG, || {
        let begin = Instant::now();
        assert!(qemu(1, "start").run() && qemu(1, "started").run());
        assert!(begin.elapsed() < Duration::from_millis(1500), "nft was met");
    });
    is_there(true);
    assert!(qemu(1, "stopped").run() && qemu(1, "release").run());
    is_there(false);
}

fn xtables_lock() {
    // The lock of xtables belongs to iptables-legacy, which the hook uses where it is installed as
    // iptables.
    fs::write("/run/xtables.lock", "").expect("the lock");
    let legacy = "#!/bin/sh\nexec /usr/sbin/xtables-legacy-multi iptables-restore \"$@\"\n";
    replaced("/usr/sbin/iptables-restore", legacy, || {
        let _holder = hold("/run/xtables.lock");
        hangs("xtables' lock held, start", || {
            assert!(!qemu(1, "start").run())
        });
    });
}
