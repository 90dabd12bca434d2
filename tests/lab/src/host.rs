//! Makes the namespaces into a host: its own files, devices, interfaces, and the outside.

use crate::{HOST_V4, HOST_V6, OUTSIDE_V4, OUTSIDE_V6};
use nix::mount::{mount, MsFlags};
use nix::sys::stat::{makedev, mknod, Mode, SFlag};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Character devices that libvirt, QEMU, busybox and containers need: name, major, minor.
const DEVICES: [(&str, u64, u64); 8] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("net/tun", 10, 200),
    ("fuse", 10, 229),
];

/// Runs a program that has to succeed.
pub(crate) fn must(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn tmpfs(on: &str, options: &str) {
    mount(
        Some("portero-lab"),
        on,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options),
    )
    .unwrap_or_else(|error| panic!("tmpfs on {on}: {error}"));
}

/// Makes the host in the present root.
pub(crate) fn make() {
    files();
    devices();
    interfaces();
}

/// The same for a second host, which the first gives an interface.
pub(crate) fn make_second() {
    files();
    devices();
    set_bridge_netfilter("0");
    must("ip", &["link", "set", "lo", "up"]);
}

fn files() {
    // A sysfs and a proc/sys of this network namespace.
    mount(
        Some("sysfs"),
        "/sys",
        Some("sysfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .expect("sysfs");
    // On an overlay a folder of the tree's own cannot be renamed, as scenarios do with this one.
    let _ = fs::remove_dir_all("/etc/libvirt/hooks");
    fs::create_dir_all("/run/libvirt").expect("/run/libvirt");
    fs::create_dir_all("/var/lib/libvirt/dnsmasq").expect("dnsmasq folder");
}

/// Lets `tc` succeed with the action `csum`, which libvirt's nftables backend mends the checksums
/// of DHCP with and which the kernel of some build machines lacks.
pub(crate) fn excuse_checksum_action() {
    let program = ["/usr/sbin/tc", "/sbin/tc"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("tc, of package iproute2");
    let real = format!("{program}.real");
    if Path::new(&real).exists() {
        return;
    }
    fs::copy(program, &real).expect("a copy of tc");
    let wrapper = format!(
        "#!/bin/sh\ncase \"$*\" in *'action csum'*) {real} \"$@\" 2>/dev/null || exit 0 ;; \
         *) exec {real} \"$@\" ;; esac\n"
    );
    fs::remove_file(program).expect("tc");
    fs::write(program, wrapper).expect("the wrapper of tc");
    must("chmod", &["755", program]);
}

pub(crate) fn devices() {
    tmpfs("/dev", "mode=0755");
    fs::create_dir_all("/dev/net").expect("/dev/net");
    fs::create_dir_all("/dev/pts").expect("/dev/pts");
    fs::create_dir_all("/dev/shm").expect("/dev/shm");
    for (name, major, minor) in DEVICES {
        let path = Path::new("/dev").join(name);
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor))
            .unwrap_or_else(|error| panic!("/dev/{name}: {error}"));
        // Every user of the host may use them, whatever the umask is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode of a device");
    }
    mount(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        MsFlags::empty(),
        Some("newinstance,ptmxmode=0666"),
    )
    .expect("devpts");
    for (to, name) in [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
    ] {
        std::os::unix::fs::symlink(to, Path::new("/dev").join(name))
            .unwrap_or_else(|error| panic!("/dev/{name}: {error}"));
    }
}

/// Whether frames that are bridged go through iptables too. On a machine whose kernel has loaded
/// br_netfilter they do unless it is told otherwise; without it, as on most hosts, they do not.
pub(crate) fn set_bridge_netfilter(value: &str) {
    for name in ["iptables", "ip6tables", "arptables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        if Path::new(&path).exists() {
            fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
}

fn interfaces() {
    set_bridge_netfilter("0");
    must("ip", &["netns", "add", "outside"]);
    must("ip", &["link", "set", "lo", "up"]);
    must(
        "ip",
        &[
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "outside",
        ],
    );
    let (v4, v6) = (format!("{HOST_V4}/24"), format!("{HOST_V6}/64"));
    must("ip", &["address", "add", &v4, "dev", "eth0"]);
    must("ip", &["address", "add", &v6, "dev", "eth0", "nodad"]);
    must("ip", &["link", "set", "eth0", "up"]);
    let outside = ["-n", "outside"];
    let (v4, v6) = (format!("{OUTSIDE_V4}/24"), format!("{OUTSIDE_V6}/64"));
    let steps: [&[&str]; 6] = [
        &["link", "set", "lo", "up"],
        &["address", "add", &v4, "dev", "eth0"],
        &["address", "add", &v6, "dev", "eth0", "nodad"],
        &["link", "set", "eth0", "up"],
        &["route", "add", "default", "via", HOST_V4],
        &["route", "add", "default", "via", HOST_V6],
    ];
    for step in steps {
        must("ip", &[&outside, step].concat());
    }
}
