//! What keeps libvirt from running the hooks.

use crate::world::{World, RESTART};
use portero_lab::{Driver, Scenario, HOST_V4};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "libvirtd runs since before the hooks were installed",
        run: stale,
    },
    Scenario {
        name: "a hook is not in its folder",
        run: missing,
    },
    Scenario {
        name: "a hook cannot be executed",
        run: not_executable,
    },
    Scenario {
        name: "AppArmor denies libvirt a hook",
        run: apparmor,
    },
];

const HOOKS: &str = "/etc/libvirt/hooks";
const LINK: &str = "/etc/libvirt/hooks/qemu.d/50-portero";

fn stale(world: &mut World) {
    assert_eq!(world.finding("daemons", ""), None);
    let said = world.breaks("hooks", RESTART, |world| {
        world.stop_web();
        let aside = "/etc/libvirt/hooks.aside";
        fs::rename(HOOKS, aside).expect("the hooks");
        world.lab.restart_libvirtd();
        fs::remove_dir_all(aside).expect("the hooks");
        for kind in ["network", "qemu", "lxc", "daemon"] {
            let folder = format!("{HOOKS}/{kind}.d");
            fs::create_dir_all(&folder).expect("a folder of hooks");
            let program = format!("/usr/bin/portero-{kind}-hook");
            std::os::unix::fs::symlink(program, format!("{folder}/50-portero")).expect("a hook");
        }
        world.start_web();
        // Each that runs hooks by its name.
        for driver in [Driver::Qemu, Driver::Network] {
            let stale = format!("{} runs since before", driver.daemon());
            assert!(world.finding("daemons", &stale).is_some(), "{stale}");
        }
    });
    assert_eq!(said, RESTART);
    assert_eq!(world.finding("daemons", ""), None);
}

fn missing(world: &mut World) {
    world.breaks("hooks", "ln -sfn /usr/bin/portero-qemu-hook", |world| {
        world.stop_web();
        fs::remove_file(LINK).expect("the hook");
        world.start_web();
        assert!(world
            .finding("hooks", "portero-qemu-hook is not in")
            .is_some());
    });
    assert_eq!(world.finding("hooks", ""), None);
}

fn not_executable(world: &mut World) {
    // The four are one file with four names.
    world.breaks(
        "hooks",
        "chmod 0755 /usr/bin/portero-network-hook",
        |world| {
            world.stop_web();
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions("/usr/bin/portero-qemu-hook", mode).expect("chmod");
            world.start_web();
            assert!(world.finding("hooks", "cannot be executed").is_some());
            world.not_reached(HOST_V4, 8080);
        },
    );
    assert_eq!(world.finding("hooks", ""), None);
}

/// A line as the kernel logs it (Debian 12, of a program elsewhere than in /usr/bin), of the profile that the daemon with the
/// guests has.
fn denied(seconds: u64) -> String {
    format!(
        "2026-01-01T00:00:00 host kernel: [  100.0] audit: type=1400 audit({seconds}.250:77): \
         apparmor=\"DENIED\" operation=\"exec\" class=\"file\" profile=\"{}\" \
         name=\"/opt/portero/portero-qemu-hook\" pid=712 comm=\"rpc-libvirtd\" \
         requested_mask=\"x\" denied_mask=\"x\" fsuid=0 ouid=0\n",
        Driver::Qemu.daemon()
    )
}

fn apparmor(world: &mut World) {
    assert_eq!(world.finding("apparmor", ""), None);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    fs::create_dir_all("/etc/apparmor.d/local").expect("a folder");
    fs::create_dir_all("/var/log").expect("a folder");
    fs::write("/var/log/kern.log", denied(now.as_secs() - 1)).expect("a log");
    let said = world
        .finding("apparmor", "/opt/portero/portero-qemu-hook")
        .expect("found");
    assert!(said.contains("PUx"), "{said}");
    // The parser itself needs a kernel with AppArmor.
    let said = said.split(" && ").next().expect("a command").to_owned();
    world.mend(&said);
    assert_eq!(world.finding("apparmor", ""), None);
    fs::remove_file("/var/log/kern.log").expect("the log");
}
