//! libvirts that are not this host's: a user's own, which runs the hooks of the host as that user, and one with other files.

use crate::world::World;
use portero_lab::{wait_until, Driver, Program, Ran, Scenario};
use std::fs;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "session: a user's own guest starts, as it does without hooks",
        run: starts,
    },
    Scenario {
        name: "session: a daemon with other files is not this host's",
        run: other_files,
    },
];

const USER: &str = "ada";
const HOOKS: &str = "/etc/libvirt/hooks";
const AWAY: &str = "/etc/libvirt/hooks.away";

/// What the user's guest is: no disk, no kernel, and the network that needs no rights.
const GUEST: &str = "<domain type='qemu'><name>own</name><memory unit='MiB'>32</memory>\
    <os><type arch='x86_64' machine='pc'>hvm</type></os>\
    <devices><interface type='user'/><memballoon model='none'/></devices></domain>";

/// A hook beside portero's that tells who ran it, and for what.
const WITNESS: &str = "#!/bin/sh\necho \"$(id -u) $1 $2\" >>/run/lab/files/session-hooks\n";
const SEEN: &str = "/run/lab/files/session-hooks";

fn session(world: &World, arguments: &[&str]) -> Ran {
    let by_user = [
        "-u",
        USER,
        "--",
        "env",
        "HOME=/home/ada",
        "XDG_RUNTIME_DIR=/run/ada",
        "virsh",
        "-q",
        "-c",
        "qemu:///session",
    ];
    world.lab.run("runuser", &[&by_user, arguments].concat())
}

/// The guest runs; gives what virsh said on stderr.
fn runs(world: &World, guest: &str) -> String {
    let ran = session(world, &["create", guest]);
    assert!(ran.ok, "{ran:?}");
    assert_eq!(
        session(world, &["domstate", "own"]).stdout.trim(),
        "running"
    );
    assert!(session(world, &["destroy", "own"]).ok);
    ran.stderr
}

fn starts(world: &mut World) {
    let lab = &world.lab;
    lab.must("useradd", &["--create-home", USER]);
    lab.must("install", &["-d", "-o", USER, "-m", "700", "/run/ada"]);
    let guest = lab.file("own.xml", GUEST);
    let witness = format!("{HOOKS}/qemu.d/10-witness");
    fs::write(&witness, WITNESS).expect("a hook");
    lab.must("chmod", &["755", &witness]);
    fs::write(SEEN, "").expect("a file");
    lab.must("chmod", &["666", SEEN]);
    let _ = lab.log();

    let said = runs(world, &guest);
    let seen = fs::read_to_string(SEEN).expect("what the hook saw");
    let uid = world.lab.must("id", &["-u", USER]);
    for operation in ["prepare", "start", "started", "stopped", "release"] {
        let line = format!("{} own {operation}\n", uid.trim());
        assert!(
            seen.contains(&line),
            "the user's libvirt ran no hook for {operation}: {seen}"
        );
    }
    assert_eq!(said, "");
    let log = world.lab.log();
    assert!(log.iter().all(|line| !line.contains("portero")), "{log:?}");
    // Control: the same without any hook.
    fs::rename(HOOKS, AWAY).expect("hooks");
    let said = runs(world, &guest);
    fs::rename(AWAY, HOOKS).expect("hooks");
    assert_eq!(said, "");

    // What a user types by hand does nothing either, whatever it is given.
    for hook in ["qemu", "lxc", "network", "daemon"] {
        let program = format!("/usr/bin/portero-{hook}-hook");
        let by_user = ["-u", USER, "--", &program, "x"];
        let ran = world.lab.run("runuser", &by_user);
        assert!(
            ran.ok && ran.stdout.is_empty() && ran.stderr.is_empty(),
            "{ran:?}"
        );
    }
    // Control: root is told.
    assert!(!world.lab.run("portero-qemu-hook", &["x"]).ok);
    // doctor speaks of the host's daemon alone, however old the user's is.
    let daemon = Driver::Qemu.daemon();
    makes_stale(world, daemon, 1);
    world.lab.restart_libvirtd();
    says_stale(world, daemon, 0);

    let pid = fs::read_to_string(format!("/run/ada/libvirt/{daemon}.pid"));
    let pid = pid.expect("the user's daemon");
    world.lab.must("kill", &[pid.trim()]);
    fs::remove_file(witness).expect("a hook");
}

/// Makes the folder of QEMU's hooks anew: a daemon that runs has not looked into it. So many are said to be such.
fn makes_stale(world: &World, daemon: &str, count: usize) {
    let folder = format!("{HOOKS}/qemu.d");
    let anew = format!(
        "mv {folder} {folder}.old; mkdir {folder}; mv {folder}.old/* {folder}/; rmdir {folder}.old"
    );
    world.lab.must("sh", &["-ec", &anew]);
    says_stale(world, daemon, count);
}

fn says_stale(world: &World, daemon: &str, count: usize) {
    let stale = format!("{daemon} runs since before portero-qemu-hook was put into");
    let said = world.lab.run("portero", &["doctor"]).stdout;
    assert_eq!(said.matches(&stale).count(), count, "{said}");
}

/// As in a container that the host's root sees: root's too, and with hooks of its own.
fn other_files(world: &mut World) {
    let daemon = Driver::Qemu.daemon();
    let script = format!(
        "mount -t tmpfs other /run/libvirt && mount -t tmpfs other /etc/libvirt/hooks && \
         exec {daemon} --pid-file /run/libvirt/other.pid 2>/run/libvirt/other.log"
    );
    let other = Program::start("unshare", &["--mount", "--net", "sh", "-c", &script]);
    let root = format!("/proc/{}/root", other.id());
    wait_until(
        Duration::from_secs(20),
        "the other daemon does not run",
        || {
            fs::exists(format!("{root}/run/libvirt/{daemon}-sock")).is_ok_and(|exists| exists)
                || fs::exists(format!("{root}/run/libvirt/libvirt-sock")).is_ok_and(|exists| exists)
        },
    );
    makes_stale(world, daemon, 1);
    world.lab.restart_libvirtd();
    says_stale(world, daemon, 0);
    // Nor does the package say so: of the host's daemon it does.
    let unseen = format!("portero: {daemon} has not seen the hooks yet");
    let installed = |world: &World| {
        world
            .lab
            .must("/usr/share/portero/after-install", &["first"])
    };
    let said = installed(world);
    assert_eq!(said.matches(&unseen).count(), 1, "{said}");
    world.lab.end_daemon(daemon, "TERM");
    let said = installed(world);
    assert_eq!(said.matches(&unseen).count(), 0, "{said}");
    world.lab.start_daemon(daemon);
}
