//! Making a bridge, keeping it, rolling it back and removing it, under a connection through the NIC.

use crate::host::{Host, ADDRESS, BACK, NIC};
use crate::manager::{self, Manager};
use portero_lab::{wait_until, Lab, Program, Scenario};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<Host>] = &[
    Scenario {
        name: "ifupdown: made, confirmed and removed under a connection",
        run: |host| made_and_removed(host, manager::ifupdown),
    },
    Scenario {
        name: "ifupdown: rolled back when nobody confirms, and when the gateway is gone",
        run: |host| taken_back(host, manager::ifupdown),
    },
    Scenario {
        name: "ifupdown: killed at any of its steps",
        run: |host| killed(host, manager::ifupdown),
    },
    Scenario {
        name: "on a terminal ENTER keeps a bridge, anything else rolls back, and so does nothing",
        run: on_a_terminal,
    },
    Scenario {
        name: "ifupdown: DHCP gives the bridge the NIC's address",
        run: dhcp,
    },
    Scenario {
        name: "networkd: made, confirmed and removed under a connection",
        run: |host| made_and_removed(host, manager::networkd),
    },
    Scenario {
        name: "networkd: rolled back when nobody confirms, and when the gateway is gone",
        run: |host| taken_back(host, manager::networkd),
    },
    Scenario {
        name: "ifupdown: killed with its guard, and repaired as doctor says",
        run: half_done,
    },
    Scenario {
        name: "networkd: killed at any of its steps",
        run: |host| killed(host, manager::networkd),
    },
    Scenario {
        name: "NetworkManager: made, confirmed and removed under a connection",
        run: |host| made_and_removed(host, manager::network_manager),
    },
    Scenario {
        name: "NetworkManager: rolled back when nobody confirms, and when the gateway is gone",
        run: |host| taken_back(host, manager::network_manager),
    },
    Scenario {
        name: "NetworkManager: killed at any of its steps",
        run: |host| killed(host, manager::network_manager),
    },
    Scenario {
        name: "netplan: made, confirmed and removed under a connection",
        run: |host| made_and_removed(host, manager::netplan),
    },
    Scenario {
        name: "netplan: rolled back when nobody confirms, and when the gateway is gone",
        run: |host| taken_back(host, manager::netplan),
    },
    Scenario {
        name: "a bridge that cannot be brought up",
        run: fails,
    },
    Scenario {
        name: "the host boots before the bridge is confirmed",
        run: boots,
    },
    Scenario {
        name: "refusals change nothing",
        run: refusals,
    },
];

const APPLY: &str = "bridge apply --bridge br0 --nic lan0";

/// plan, apply, confirm and remove: addresses, routes and MAC are those of before, a connection
/// and pings go on, and in the end all files are what they were.
fn made_and_removed(host: &mut Host, manager: fn(&Lab) -> Manager) {
    host.configure(manager);
    let before = host.seen();
    let (addresses, mac) = (host.addresses(NIC), host.mac(NIC));
    assert!(addresses.contains(ADDRESS), "{addresses}");
    assert!(host.dns(NIC) != Some(false), "no DNS");
    let planned = host.portero("bridge plan --bridge br0 --nic lan0");
    assert!(planned.stdout.contains("br0"), "{planned:?}");
    assert_eq!(host.seen(), before, "plan changed something");
    let mut connection = host.connect();
    connection.is_heard();
    let ping = host.ping();
    let start = Instant::now();
    let said = host.must(&format!("{APPLY} --timeout 20"));
    let took = start.elapsed();
    assert!(said.contains("portero bridge confirm br0"), "{said}");
    connection.is_heard();
    let pings = ping.outcome();
    println!("  applied in {:.1} s; {pings}", took.as_secs_f64());
    assert_eq!(host.addresses("br0"), addresses);
    assert_eq!(host.addresses(NIC), "");
    assert_eq!(host.routes(), before.nic.replace(&addresses, ""));
    assert_eq!(host.mac("br0"), mac);
    assert!(host.dns("br0") != Some(false), "no DNS");
    assert!(host.dns(NIC) != Some(true), "DNS is left on the NIC");
    // doctor says so, and what confirms it.
    let found = host.portero("doctor").stdout;
    let (_, found) = found
        .split_once("bridges: bridge br0 is not confirmed")
        .unwrap_or_else(|| panic!("{found}"));
    let (_, repair) = found.split_once("repair: portero ").expect("a command");
    let repair = repair.lines().next().expect("a command");
    assert_eq!(repair, "bridge confirm --bridge br0");
    assert_eq!(host.must(repair), "br0 stays\n");
    assert!(!host.portero("doctor").stdout.contains("bridges: bridge"));
    // The time in which it would have been rolled back.
    while start.elapsed() < took + Duration::from_secs(22) {
        connection.say();
        std::thread::sleep(Duration::from_millis(100));
    }
    connection.is_heard();
    assert_eq!(host.addresses("br0"), addresses);
    // Once more is done already; another bridge of the same NIC is refused.
    assert!(host.must(APPLY).contains("br0 is there already"));
    let again = host.portero("bridge apply --bridge br1 --nic lan0");
    assert!(!again.ok && again.stderr.lines().count() == 1, "{again:?}");
    host.must("bridge remove --bridge br0");
    host.is_back(&before, Duration::from_secs(10));
    connection.is_heard();
}

/// Runs apply on a terminal on which somebody presses ENTER before there is a question, which is no answer, and types something
/// ten seconds later; gives what is seen there, and whether it
/// succeeded.
fn apply_and_type(host: &Host, typed: &str) -> (bool, String) {
    let command = format!(
        "(sleep 0.3; echo; sleep 10; printf '{typed}'; sleep 20) | script -qec 'portero {APPLY} --timeout 15' /dev/null"
    );
    let ran = host.lab.run("bash", &["-c", &command]);
    (ran.ok, ran.stdout)
}

fn on_a_terminal(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    let (is_done, seen) = apply_and_type(host, "\\n");
    for expected in [
        "  ifdown lan0",
        "  write /etc/network/interfaces",
        "  ifup --force br0",
        "Press ENTER to keep br0 (1",
        "br0 stays",
    ] {
        assert!(is_done && seen.contains(expected), "{expected}: {seen}");
    }
    assert!(host.must("bridge status").contains("confirmed"));
    host.must("bridge remove br0");
    host.is_back(&before, Duration::from_secs(10));
    for (typed, expected) in [
        ("no\\n", "br0 is rolled back"),
        ("", "nobody confirmed br0"),
    ] {
        let (is_done, seen) = apply_and_type(host, typed);
        assert!(!is_done && seen.contains(expected), "{expected}: {seen}");
        host.is_back(&before, Duration::from_secs(10));
    }
    assert_eq!(host.must("bridge status"), "portero has made no bridge\n");
}

fn taken_back(host: &mut Host, manager: fn(&Lab) -> Manager) {
    host.configure(manager);
    let before = host.seen();
    let mut connection = host.connect();
    host.must(&format!("{APPLY} --timeout 10"));
    let start = Instant::now();
    assert_ne!(host.seen(), before, "nothing was applied");
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(host.addresses(NIC), "", "rolled back before its time");
    host.is_back(&before, BACK);
    println!(
        "  unconfirmed: all was back {:.1} s after",
        start.elapsed().as_secs_f64()
    );
    connection.is_heard();
    // Nobody confirms what is not there any more.
    let late = host.portero("bridge confirm --bridge br0");
    assert!(
        !late.ok && late.stderr.contains("portero has not made br0"),
        "{late:?}"
    );

    host.must(&format!("{APPLY} --timeout 600"));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(
        host.addresses(NIC),
        "",
        "rolled back with the gateway there"
    );
    let gateway = |word| {
        let words = [word, "192.0.2.1/24", "dev", NIC];
        assert!(host.router("ip", &[&["address"], &words[..]].concat()).ok);
    };
    gateway("delete");
    let start = Instant::now();
    while !host.addresses(NIC).contains(ADDRESS) {
        assert!(start.elapsed() < BACK, "not rolled back");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "  without gateway: back {:.1} s after it was gone",
        start.elapsed().as_secs_f64()
    );
    gateway("add");
    host.is_back(&before, BACK);
    host.must(&format!("{APPLY} --timeout 600"));
    host.must("bridge rollback --bridge br0");
    host.is_back(&before, Duration::from_secs(5));
}

/// `apply` is killed at its N-th system call of those that change something.
fn killed(host: &mut Host, manager: fn(&Lab) -> Manager) {
    host.configure(manager);
    let before = host.seen();
    let calls = "rename,renameat,renameat2,unlink,unlinkat,fdatasync,fsync,clone3,vfork,clone";
    let (mut kills, mut at, mut longest) = (0, 1, Duration::ZERO);
    loop {
        let inject = format!("inject={calls}:signal=KILL:when={at}");
        let status = Command::new("strace")
            .args(["-o", "/dev/null", "-e", &inject, "portero"])
            .args(APPLY.split(' '))
            .stdout(Stdio::null())
            .status()
            .expect("strace");
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "{status:?} at call {at}");
        kills += 1;
        longest = longest.max(host.is_back(&before, BACK));
        at += 1;
        assert!(at < 400, "no end");
    }
    println!(
        "  survived {kills} kills; all was back within {:.1} s",
        longest.as_secs_f64()
    );
    assert!(kills >= 15, "only {kills} kills");
    host.must("bridge rollback --bridge br0");
    host.is_back(&before, Duration::from_secs(5));
}

fn dhcp(host: &mut Host) {
    host.configure(manager::ifupdown_dhcp);
    let before = host.addresses(NIC);
    assert_eq!(before, "inet 192.0.2.77/24\n");
    host.must(&format!("{APPLY} --yes"));
    assert_eq!(host.addresses("br0"), before);
    // The client of before may have left it there: the host would answer by neither.
    assert_eq!(host.addresses(NIC), "");
    host.must("bridge remove --bridge br0");
    assert_eq!(host.addresses(NIC), before);
}

/// `apply` and its guard are killed in the middle: doctor finds what is left, and its repair takes it back.
fn half_done(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    assert!(!host.portero("doctor").stdout.contains("bridges: "));
    let brctl = fs::read("/usr/sbin/brctl").expect("brctl");
    fs::write("/usr/sbin/brctl", "#!/bin/sh\nexec sleep 300\n").expect("brctl");
    let words: Vec<&str> = APPLY.split(' ').collect();
    let apply = Program::start("portero", &words);
    let is_there = |of: &str| host.lab.run("pgrep", &["-f", of]).ok;
    wait_until(Duration::from_secs(9), "nothing is done", || {
        is_there("sleep 300") && is_there("portero bridge guard")
    });
    for of in [
        "portero bridge guard",
        "portero bridge apply",
        "ifup",
        "sleep 300",
    ] {
        let _ = host.lab.run("pkill", &["-9", "-f", of]);
    }
    fs::write("/usr/sbin/brctl", brctl).expect("brctl");
    drop(apply);
    let found = host.portero("doctor").stdout;
    let (_, found) = found
        .split_once("bridges: bridge br0 is half done")
        .unwrap_or_else(|| panic!("{found}"));
    let (_, repair) = found.split_once("repair: portero ").expect("a command");
    assert_ne!(host.seen().files, before.files, "nothing has been done");
    host.must(repair.lines().next().expect("a command"));
    host.is_back(&before, Duration::from_secs(10));
    assert!(!host.portero("doctor").stdout.contains("bridges: "));
}

/// A program of the host fails, or hangs, in the middle.
fn fails(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    let brctl = fs::read("/usr/sbin/brctl").expect("brctl");
    fs::write(
        "/usr/sbin/brctl",
        "#!/bin/sh\necho no bridges today >&2\nexit 1\n",
    )
    .expect("brctl");
    let ran = host.portero(APPLY);
    fs::write("/usr/sbin/brctl", brctl).expect("brctl");
    assert!(!ran.ok, "{ran:?}");
    let line = ran.stderr.lines().last().unwrap_or_default();
    assert!(line.ends_with("what was there before is back"), "{ran:?}");
    host.is_back(&before, Duration::from_secs(1));
}

/// Nobody runs that could roll it back, and then the host boots: files are restored before
/// interfaces come up.
fn boots(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    host.must(&format!("{APPLY} --timeout 600"));
    let guards = host.lab.run("pkill", &["-9", "-f", "portero bridge guard"]);
    assert!(guards.ok, "no guard ran");
    let record = "/var/lib/portero/bridges/br0/record.json";
    host.must("bridge recover");
    assert!(Path::new(record).exists(), "recovered in the same boot");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
    let text = fs::read_to_string(record).expect("a record");
    let other = text.replace(boot.trim(), "00000000-0000-4000-8000-000000000000");
    assert_ne!(text, other);
    fs::write(record, other).expect("a record");
    host.must("bridge recover");
    assert_eq!(host.seen().files, before.files);
    assert!(!Path::new(record).exists());
    // What a boot does.
    host.lab.must("ip", &["link", "delete", "br0"]);
    host.lab.must("ifup", &["--force", NIC]);
    host.is_back(&before, Duration::from_secs(5));
}

fn refusals(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    for (words, expected) in [
        ("bridge apply --bridge br0 --nic lan9", "lan9 is not there"),
        (
            "bridge apply --bridge lan0 --nic lan0",
            "is there already, expected no configuration of lan0",
        ),
        (
            "bridge apply --bridge eth0 --nic lan0",
            "an interface eth0 exists already",
        ),
        (
            "bridge apply --bridge br0 --nic lan0 --nic lan0",
            "lan0 is given a second time",
        ),
        (
            "bridge apply --bridge br0 --nic eth0",
            "no file configures eth0",
        ),
        ("bridge confirm --bridge br0", "portero has not made br0"),
        ("bridge remove --bridge br0", "portero has not made br0"),
    ] {
        let ran = host.portero(words);
        assert!(!ran.ok, "portero {words} did something");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
    assert_eq!(host.seen(), before);
    // Somebody edits a file that was written: it is theirs now.
    host.must(&format!("{APPLY} --yes"));
    let path = "/etc/network/interfaces";
    let text = fs::read_to_string(path).expect("interfaces");
    fs::write(path, format!("{text}# by hand\n")).expect("interfaces");
    let ran = host.portero("bridge remove --bridge br0");
    assert!(
        !ran.ok && ran.stderr.contains("has changed since"),
        "{ran:?}"
    );
    assert!(Path::new("/sys/class/net/br0").exists());
    fs::write(path, text).expect("interfaces");
    host.must("bridge remove --bridge br0");
    host.is_back(&before, Duration::from_secs(5));
}
