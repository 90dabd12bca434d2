//! `portero bridge` by ssh over the very NIC that the bridge is made of, with each program that Debian configures NICs with:
//! kept over a boot, rolled back by itself, and rolled back after the machine lost its power.

use crate::world::{World, BOX_PORT, SOON};
use portero_lab::{Ran, Scenario, INTERFACES};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "bridge over ssh, ifupdown: kept over a boot, rolled back without a word and without power",
        run: |world| lives(world, &IFUPDOWN),
    },
    Scenario {
        name: "bridge over ssh, systemd-networkd: kept over a boot, rolled back without a word and without power",
        run: |world| lives(world, &NETWORKD),
    },
    Scenario {
        name: "bridge over ssh, NetworkManager: kept over a boot, rolled back without a word and without power",
        run: |world| lives(world, &NETWORK_MANAGER),
    },
];

/// What configures the NIC.
struct Manager {
    /// Its file, with mode and content.
    file: (&'static str, &'static str, &'static str),
    /// Its unit, where it is not Debian's own that is on already.
    unit: Option<&'static str>,
}

/// Brings up what a DHCP client is: a program that `ifup` leaves behind.
const IFUPDOWN: Manager = Manager {
    file: (
        INTERFACES_FILE,
        "644",
        "# of this host\nauto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n    address 203.0.113.1/24\n    \
         gateway 203.0.113.2\n    up sh -c 'echo $$ >/run/left; exec sleep 86399' >/dev/null 2>&1 &\n\
         iface eth0 inet6 static\n    address 2001:db8:113::1/64\n    gateway 2001:db8:113::2\n    dad-attempts 0\n",
    ),
    unit: None,
};

const NETWORKD: Manager = Manager {
    file: (
        "/etc/systemd/network/20-lan.network",
        "644",
        "[Match]\nName=eth0\n\n[Network]\n# the office\nAddress=203.0.113.1/24\nGateway=203.0.113.2\n\
         Address=2001:db8:113::1/64\nGateway=2001:db8:113::2\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\n",
    ),
    unit: Some("systemd-networkd"),
};

const NETWORK_MANAGER: Manager = Manager {
    file: (
        "/etc/NetworkManager/system-connections/lan.nmconnection",
        "600",
        "[connection]\nid=lan\nuuid=6b1c5a0e-7b43-4d5c-9a53-0c5b6f9a2f10\ntype=ethernet\ninterface-name=eth0\n\n\
         [ethernet]\n\n# the office\n[ipv4]\naddress1=203.0.113.1/24,203.0.113.2\nmethod=manual\n\n\
         [ipv6]\naddr-gen-mode=stable-privacy\naddress1=2001:db8:113::1/64,2001:db8:113::2\nip6-privacy=0\n\
         method=manual\n",
    ),
    unit: Some("NetworkManager"),
};

const INTERFACES_FILE: &str = "/etc/network/interfaces";

/// A machine whose NIC somebody else configures.
const ONLY_LOOPBACK: &str = "# of this host\nauto lo\niface lo inet loopback\n";

/// What NetworkManager writes anew.
const RESOLVER: &str = "/etc/resolv.conf";

const APPLY: &str = "portero bridge apply --bridge br0 --nic eth0";

/// Why it changes nothing where nobody would take the change back.
const NO_GUARD: &str = "the process that would roll back did not start";

/// What is there as long as portero has something to roll back.
const RECORD: &str = "/var/lib/portero/bridges/br0/record.json";

/// What portero says when it takes files back at a boot.
const TAKEN_BACK: &str =
    "bridge br0 was not confirmed before the host went down: its files are rolled back";

fn lives(world: &mut World, manager: &Manager) {
    world.has_portero();
    let original = seen(world);
    begin(world, manager);
    let before = seen(world);
    assert!(before.nic.contains("203.0.113.1/24"), "{before:?}");
    is_reached(world);
    kept(world, &before, manager);
    without_a_word(world, &before);
    outlives(world, manager);
    without_power(world, &before);
    end(world, manager);
    assert_eq!(seen(world), original);
    is_reached(world);
}

/// Confirmed: it is there after a boot, and goes when it is removed.
fn kept(world: &mut World, before: &Seen, manager: &Manager) {
    let start = Instant::now();
    let ran = apply(world, 600);
    println!("  applied in {:.1} s", start.elapsed().as_secs_f64());
    let expected = "It is rolled back in 600 s unless you say: portero bridge confirm br0";
    assert!(ran.stdout.contains(expected), "{ran:?}");
    has(world, "br0", before);
    outlives(world, manager);
    let ran = ssh(world, "portero bridge confirm --bridge br0");
    assert_eq!(ran.stdout, "br0 stays\n");
    world.reboot();
    has(world, "br0", before);
    is_reached(world);
    assert!(!was_taken_back(world), "a confirmed one is rolled back");
    guarded(world, "portero bridge remove --bridge br0");
    is_back(world, before, SOON);
}

/// What `ifup` left behind lives, in no ssh session and no guard's unit.
fn outlives(world: &World, manager: &Manager) {
    if manager.unit.is_none() {
        let group = world.vm.must("cat /proc/$(cat /run/left)/cgroup");
        assert!(group.contains("/system.slice/run-"), "{group}");
    }
}

/// An interface has the addresses and routes, and no other has them.
fn has(world: &World, interface: &str, before: &Seen) {
    let start = Instant::now();
    while nic(world, interface) != before.nic && start.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(nic(world, interface), before.nic, "{interface}");
    let address = world.vm.must("ip -o address | grep -c ' 203.0.113.1/24 '");
    assert_eq!(address.trim(), "1", "on more than one interface");
}

/// Nobody confirms it.
fn without_a_word(world: &World, before: &Seen) {
    apply(world, 40);
    let start = Instant::now();
    assert_ne!(&seen(world), before, "nothing was made");
    let guard = world
        .vm
        .run("systemctl is-active portero-bridge-guard@br0.service");
    assert!(guard.ok, "systemd runs no guard: {guard:?}");
    has(world, "br0", before);
    is_back(world, before, SOON);
    println!(
        "  not confirmed: back {:.1} s after it was made",
        start.elapsed().as_secs_f64()
    );
    is_reached(world);
}

/// The machine loses its power while the bridge is made, and once more while it waits to be confirmed.
fn without_power(world: &mut World, before: &Seen) {
    let apply_again = format!("for try in 1 2 3 4 5; do {APPLY} --timeout 600 && exit; done");
    let applying = world.vm.start_ssh(&apply_again);
    let files =
        "/etc/network/interfaces /etc/systemd/network /etc/NetworkManager/system-connections";
    let record = world.vm.must(&format!(
        "for try in $(seq 6000); do ! grep -rqs br0 {files} || exec cat {RECORD}; sleep 0.01; done; exit 1"
    ));
    assert!(
        record.contains("\"changing\""),
        "not in the middle: {record}"
    );
    loses_power(world, before);
    drop(applying);
    apply(world, 600);
    assert_ne!(&seen(world), before, "nothing was made");
    loses_power(world, before);
}

fn loses_power(world: &mut World, before: &Seen) {
    world.vm.switch_off();
    world.vm.switch_on();
    let took = world.vm.wait_boot();
    println!("  booted anew in {:.0} s", took.as_secs_f64());
    is_back(world, before, SOON);
    assert!(was_taken_back(world), "nothing was rolled back");
    is_reached(world);
}

/// Makes the bridge by ssh.
fn apply(world: &World, timeout: u32) -> Ran {
    guarded(world, &format!("{APPLY} --timeout {timeout}"))
}

/// Runs a command by ssh that starts a guard; tries again where a machine that is emulated beside others does not start it in
/// time, before anything has changed.
fn guarded(world: &World, command: &str) -> Ran {
    for _ in 0..4 {
        let ran = world.vm.ssh(command);
        if ran.ok || !ran.stderr.contains(NO_GUARD) {
            assert!(ran.ok, "{command}: {ran:?}");
            return ran;
        }
        println!("  {}", ran.stderr.trim());
    }
    ssh(world, command)
}

/// Runs a command by ssh, which has to succeed.
fn ssh(world: &World, command: &str) -> Ran {
    let ran = world.vm.ssh(command);
    assert!(ran.ok, "{command}: {ran:?}");
    ran
}

/// Both the machine and a guest behind it are reached from outside.
fn is_reached(world: &World) {
    assert_eq!(ssh(world, "uname -n").stdout, "machine\n");
    world.serves(BOX_PORT);
}

/// Whether portero has taken files back in this boot.
fn was_taken_back(world: &World) -> bool {
    let journal = world.vm.must("journalctl -b -q -o cat -t portero");
    journal.contains(TAKEN_BACK)
}

/// What can be seen of the machine's configuration.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    files: String,
    nic: String,
}

fn seen(world: &World) -> Seen {
    let files = world.vm.must(
        "cd /etc && for folder in network systemd/network NetworkManager/system-connections netplan; do \
         [ ! -d $folder ] || find $folder -type f; done | sort | xargs -r sha256sum",
    );
    Seen {
        files,
        nic: nic(world, "eth0"),
    }
}

/// An interface's addresses, and default routes.
fn nic(world: &World, interface: &str) -> String {
    world.vm.must(&format!(
        "ip -o address show dev {interface} scope global | awk '{{ print $3, $4 }}' | sort; \
         for family in -4 -6; do ip $family route show default | cut -d ' ' -f 1-3; done"
    ))
}

/// Waits until all is as it was, and portero has nothing more to do.
fn is_back(world: &World, before: &Seen, limit: Duration) {
    let start = Instant::now();
    let gone = format!("! [ -e {RECORD} ] && ! [ -e /sys/class/net/br0 ]");
    while !world.vm.run(&gone).ok || &seen(world) != before {
        if start.elapsed() > limit {
            assert_eq!(&seen(world), before);
            panic!("{gone}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Has a manager configure the NIC, as an administrator does.
fn begin(world: &World, manager: &Manager) {
    let (file, mode, content) = manager.file;
    let Some(unit) = manager.unit else {
        world.vm.write(file, content);
        world.vm.must("ifdown eth0; ifup eth0");
        return is_configured(world);
    };
    world.vm.must(&format!(
        "cp -p {RESOLVER} {RESOLVER}.lab && ifdown eth0 && mkdir -p \"$(dirname {file})\""
    ));
    world.vm.write(INTERFACES_FILE, ONLY_LOOPBACK);
    world.vm.write(file, content);
    // Units that wait until it is online are masked here, which `enable` says.
    world.vm.must(&format!(
        "chmod {mode} {file}; systemctl -q enable {unit}; systemctl is-enabled {unit} && systemctl start {unit}"
    ));
    is_configured(world);
}

/// Debian's own once more.
fn end(world: &World, manager: &Manager) {
    let Some(unit) = manager.unit else {
        world.vm.must("ifdown eth0");
        world.vm.write(INTERFACES_FILE, INTERFACES);
        world.vm.must("ifup eth0");
        return is_configured(world);
    };
    world.vm.write(INTERFACES_FILE, INTERFACES);
    // NetworkManager leaves routes when it stops, and has the kernel give no address of the link's own.
    world.vm.must(&format!(
        "systemctl -q disable {unit}; systemctl stop '{unit}*' && rm {} && mv {RESOLVER}.lab {RESOLVER}; \
         ip address flush dev eth0; ip -6 route flush dev eth0; ip link set eth0 down; \
         echo 0 >/proc/sys/net/ipv6/conf/eth0/addr_gen_mode; ifup --force eth0",
        manager.file.0
    ));
    is_configured(world);
}

fn is_configured(world: &World) {
    let ran = world.vm.run(
        "for try in $(seq 600); do ip route show default | grep -q 203.0.113.2 && exit; sleep 0.2; done; exit 1",
    );
    assert!(ran.ok, "the NIC is not configured: {}", nic(world, "eth0"));
}
