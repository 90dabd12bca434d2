//! From the package's installation under running guests to its purge.

use crate::world::{World, BOX_PORT, SOON, WEB, WEB_PORT};
use portero_lab::Scenario;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "short: AppArmor confines libvirtd and its guests",
        run: confined,
    },
    Scenario {
        name: "short: the package is installed under running guests",
        run: installed,
    },
    Scenario {
        name: "short: a boot brings everything back with nobody's hand",
        run: rebooted,
    },
    Scenario {
        name: "upgrade: a connection through a forward goes on, and the package is removed, then purged",
        run: upgraded,
    },
    Scenario {
        name: "short: the package is purged under running guests",
        run: purged,
    },
];

/// What the package brings: hooks' links, programs, units, and what portero keeps.
const BROUGHT: &str = "ls -d /etc/libvirt/hooks/*.d/50-portero /usr/bin/portero* /lib/systemd/system/portero* \
     /etc/systemd/system/portero* /etc/systemd/system/*/portero* /lib/systemd/system/sysinit.target.wants/portero* /run/portero /var/lib/portero \
     /etc/portero 2>/dev/null || true";

fn confined(world: &mut World) {
    let profiles = world.vm.must("cat /sys/kernel/security/apparmor/profiles");
    assert!(profiles.contains("libvirtd (enforce)"), "{profiles}");
    let uuid = world.vm.must("virsh domuuid web");
    let guest = format!("libvirt-{} (enforce)", uuid.trim());
    assert!(profiles.contains(&guest), "{profiles}");
    // The control of what `is_calm` looks for: what the guest's profile forbids is refused, and the journal has it.
    let marks = "journalctl -q -b -o cat --grep 'apparmor=\"DENIED\"' || true";
    assert_eq!(world.vm.must(marks), "");
    let refused = world.vm.run(&format!(
        "aa-exec -p libvirt-{} -- cat /etc/shadow /root/lab-control",
        uuid.trim()
    ));
    assert!(!refused.ok, "{refused:?}");
    assert_ne!(world.vm.must(marks), "");
    world.begin_calm();
}

fn installed(world: &mut World) {
    // Controls: nobody forwards, and nothing of portero's is there.
    world.refuses(WEB_PORT);
    world.refuses(BOX_PORT);
    assert_eq!(world.vm.must(BROUGHT), "");
    let before = world.guests();
    let said = world.install();
    // What it leaves to do it names in lines of its own: nothing here, where systemd restarts libvirtd.
    assert!(!said.contains("\nportero: "), "{said}");
    let took = world.serves(WEB_PORT);
    println!(
        "  served {:.0} s after the package is in",
        took.as_secs_f64()
    );
    world.serves(BOX_PORT);
    assert_eq!(world.guests(), before, "guests were restarted");
    assert!(world.vm.run("systemctl is-active portero-watch").ok);
    // libvirt routes the network's IPv6 subnet, as portero says; of itself it has nothing to say.
    let doctor = world.vm.run("portero doctor").stdout;
    let mut findings = doctor.lines().filter(|line| !line.starts_with(' '));
    assert!(
        findings.all(|finding| finding.starts_with("ipv6-into-nat: ")),
        "{doctor}"
    );
    world.is_in_order();
    world.is_calm();
}

fn rebooted(world: &mut World) {
    world.has_portero();
    world.reboot();
    let took = world.serves(WEB_PORT);
    println!("  served {:.0} s after the boot's end", took.as_secs_f64());
    world.serves(BOX_PORT);
    world.is_in_order();
    world.is_calm();
    // The control: what serves is portero's, and not what libvirt or the boot has left.
    world
        .vm
        .must("systemctl stop portero-watch && portero withdraw");
    world.refuses(WEB_PORT);
    world.refuses(BOX_PORT);
    world.vm.must("systemctl start portero-watch");
    world.serves(WEB_PORT);
    world.serves(BOX_PORT);
}

fn upgraded(world: &mut World) {
    world.has_portero();
    world.serves(WEB_PORT);
    world.begin_calm();
    let talk = world.talk();
    let (guests, libvirtd) = (world.guests(), world.process("libvirtd"));
    let watch = world.process("portero-watch");
    // What is installed was an older version, as far as dpkg knows.
    world.vm.must(
        "sed -i '/^Package: portero$/,/^$/s/^Version: .*/Version: 0.0.1/' /var/lib/dpkg/status",
    );
    let said = world.install();
    assert!(said.contains(" over (0.0.1)"), "{said}");
    assert!(talk.is_heard(SOON), "the connection is cut");
    world.serves(WEB_PORT);
    world.serves(BOX_PORT);
    assert_eq!(world.guests(), guests, "guests were restarted");
    assert_eq!(world.process("libvirtd"), libvirtd, "it was restarted");
    assert_ne!(world.process("portero-watch"), watch, "still the older one");
    world.is_in_order();
    // The control of the connection: a rule that stops it is noticed.
    let rule = "{ type filter hook forward priority 0; policy drop; }";
    world
        .vm
        .must(&format!("nft 'table inet cut {{ chain way {rule}; }}'"));
    // An answer that was on its way may still be noted.
    std::thread::sleep(Duration::from_secs(1));
    assert!(!talk.is_heard(Duration::from_secs(3)), "nothing cuts it");
    world.vm.must("nft delete table inet cut");
    assert!(talk.is_heard(SOON), "the connection is cut");

    let said = world.dpkg("-r portero");
    // What keeps it is the kernel: connections that are there need no rule.
    assert!(talk.is_heard(SOON), "the connection is cut");
    world.refuses(WEB_PORT);
    world.refuses(BOX_PORT);
    world.vm.must("systemctl restart libvirtd && virsh list");
    world.refuses(WEB_PORT);
    let left = world.vm.must(BROUGHT);
    assert!(left.contains("/etc/portero"), "{said}{left}");
    assert!(!left.contains("bin/") && !left.contains("hooks/"), "{left}");
    world.dpkg("-P portero");
    assert_eq!(world.vm.must(BROUGHT), "");
    assert_eq!(world.rules(), world.untouched);
    assert_eq!(world.guests(), guests, "guests were restarted");
    world.is_calm();
}

fn purged(world: &mut World) {
    world.has_portero();
    world.serves(WEB_PORT);
    assert_ne!(world.vm.must(BROUGHT), "");
    let before = world.guests();
    let said = world.dpkg("-P portero");
    world.refuses(WEB_PORT);
    world.refuses(BOX_PORT);
    assert_eq!(world.vm.must(BROUGHT), "", "{said}");
    assert_eq!(world.rules(), world.untouched);
    assert_eq!(world.guests(), before, "guests were restarted");
    world.vm.wait_guest(WEB);
    world.is_calm();
}
