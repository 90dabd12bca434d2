//! What a local user plants where a folder of portero's can be written by mistake.

use crate::world::{forward, qemu, Outcome, World, MALLORY};
use portero_lab::Scenario;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "local user: what a host with no mistake gives him",
        run: nothing,
    },
    Scenario {
        name: "local user: /run/portero",
        run: state,
    },
];

const STATE: &str = "/run/portero";
/// What must not be written to.
const PRECIOUS: &str = "/run/lab/files/precious";

/// A command of a user without any privilege.
pub fn nobody(world: &World, command: &str) -> bool {
    let words = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "sh",
        "-c",
        command,
    ];
    world.lab.run("setpriv", &words).ok
}

pub fn set_mode(path: &str, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// Runs with another mode of a file or folder, which has its own again afterwards.
fn with_mode(path: &str, mode: u32, body: impl FnOnce()) {
    let own = fs::metadata(path).expect("metadata").permissions().mode() & 0o7777;
    set_mode(path, mode);
    body();
    set_mode(path, own);
}

pub fn start(world: &World) -> Outcome {
    let xml = world.mallory(&forward("proto='tcp'", "start='8090' to='80'"));
    let prepared = qemu(&[], &xml, "prepare");
    if prepared.ok {
        return qemu(&[], &xml, "start");
    }
    prepared
}

pub fn stop(world: &World) {
    let xml = world.mallory(&forward("proto='tcp'", "start='8090' to='80'"));
    qemu(&[], &xml, "stopped").works();
}

/// Without what was planted, the guest is served.
pub fn control(world: &World) {
    start(world).works();
    assert!(world.leads_to(MALLORY));
    stop(world);
    assert!(!world.leads_to(MALLORY));
}

fn nothing(world: &mut World) {
    control(world);
    for command in [
        "ls /run/portero",
        "flock -n /run/portero/lock true",
        "touch /run/portero/x",
        "touch /etc/portero/x",
        "touch /etc/portero/domains/x.xml",
        "portero sync",
        "portero status",
        "portero withdraw",
    ] {
        assert!(!nobody(world, command), "{command}");
        world.count();
    }
    // Hooks that root does not run do nothing, and say so by nothing: a user's own libvirt runs them.
    let before = world.rules();
    let guest = "echo '<domain><name>x</name><uuid>00000000-0000-4000-8000-000000000001</uuid><metadata>\
         <domain xmlns=\"urn:portero:1\"><portForward proto=\"tcp\" guest=\"192.168.50.10\"><range start=\"8099\"/>\
         </portForward></domain></metadata></domain>'";
    for operation in ["prepare", "start"] {
        let hook = format!("{guest} | /usr/bin/portero-qemu-hook x {operation} begin -");
        assert!(nobody(world, &hook), "{hook}");
        assert_eq!(world.rules(), before, "{hook}");
        world.count();
    }
    assert!(nobody(world, "true"));
    world
        .lab
        .must("flock", &["-n", "/run/portero/lock", "true"]);
    world.served();
    world.is_in_order();
}

fn state(world: &mut World) {
    let before = world.rules();
    fs::write(PRECIOUS, "precious").expect("a file");
    let mut attacks = 0;
    let mut refused = |plant: &dyn Fn(), says: &str, clear: &dyn Fn()| {
        plant();
        start(world).is_refused(says);
        assert_eq!(world.rules(), before, "{says}");
        clear();
        control(world);
        assert_eq!(fs::read(PRECIOUS).expect("a file"), b"precious");
        attacks += 1;
    };
    let others = "can be written by others";
    for folder in [
        STATE.to_owned(),
        format!("{STATE}/records"),
        format!("{STATE}/domains"),
    ] {
        for mode in [0o777, 0o1777, 0o770] {
            let own = 0o700;
            refused(&|| set_mode(&folder, mode), others, &|| {
                set_mode(&folder, own)
            });
        }
    }
    // Whoever owns the folder can do as much.
    let lab = &world.lab;
    let own = |user: &str, path: &str| {
        lab.must("chown", &["-h", user, path]);
    };
    refused(&|| own("65534", STATE), "belongs to user 65534", &|| {
        own("0", STATE)
    });
    // A record of a guest that never was: it would be compared with the firewall, and given its rules.
    let record = "/run/portero/records/domain-00000000-0000-4000-8000-0000000000ff.json";
    let forged = || {
        let name = fs::read_dir("/run/portero/records").expect("records");
        let mut names = name.map(|entry| entry.expect("a record").path());
        let real = names.next().expect("the victim's");
        let text = fs::read_to_string(real)
            .expect("a record")
            .replace("8080", "8095");
        fs::write("/run/lab/files/forged", text).expect("a file");
        set_mode("/run/lab/files/forged", 0o644);
        with_mode(STATE, 0o777, || {
            with_mode("/run/portero/records", 0o777, || {
                assert!(nobody(
                    world,
                    &format!("cat /run/lab/files/forged >{record}")
                ));
            });
        });
    };
    let gone = || fs::remove_file(record).expect("the record");
    refused(&forged, "belongs to user 65534", &gone);
    let linked = || symlink(PRECIOUS, record).expect("a link");
    let fifo = || {
        lab.must("mkfifo", &[record]);
    };
    refused(&fifo, "is not a regular file", &gone);
    let folder = || fs::create_dir(record).expect("a folder");
    let empty = || fs::remove_dir(record).expect("the folder");
    refused(&folder, "is not a regular file", &empty);
    let device = || {
        lab.must("mknod", &[record, "c", "1", "5"]);
    };
    refused(&device, "is not a regular file", &gone);
    // What is no record counts as none, and is not written to.
    linked();
    control(world);
    gone();
    world.lab.must("portero", &["sync"]);
    // The lock.
    let lock = "/run/portero/lock";
    let unlock = || fs::remove_file(lock).expect("the lock");
    unlock();
    let new = "/run/lab/files/new";
    refused(
        &|| symlink(new, lock).expect("a link"),
        "cannot lock",
        &unlock,
    );
    assert!(!Path::new(new).exists(), "it was made through a link");
    unlock();
    let fifo = || {
        lab.must("mkfifo", &[lock]);
    };
    refused(&fifo, "cannot lock", &unlock);
    // The whole folder somewhere else.
    let aside = "/run/portero.aside";
    let away = || {
        fs::rename(STATE, aside).expect("a move");
        lab.must("mkdir", &["-m", "777", "/run/lab/files/elsewhere"]);
        symlink("/run/lab/files/elsewhere", STATE).expect("a link");
    };
    let back = || {
        fs::remove_file(STATE).expect("the link");
        fs::rename(aside, STATE).expect("a move");
        fs::remove_dir_all("/run/lab/files/elsewhere").expect("the folder");
    };
    refused(&away, "is not a folder", &back);
    world.refused += attacks;
    // What has to go on does: a guest ends while the folder is open to all, and its rules go with the
    // next event when it is not.
    start(world).works();
    with_mode(STATE, 0o777, || stop(world));
    world.lab.must("portero", &["sync"]);
    stop(world);
    assert_eq!(world.rules(), before);
    world.served();
    world.is_in_order();
}
