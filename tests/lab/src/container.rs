//! What libvirt's LXC driver needs of the host, and a container with the lab's agent.

use crate::host::must;
use std::collections::BTreeMap;
use std::fs;

/// Where the guests' image was put together: a container's files are copied from there.
const IMAGE: &str = "/run/lab/files/initrd";

/// What runs first in a container. libvirt tells it its name, and mounts /proc, /sys and /dev.
pub(crate) const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /udhcpc -t 20 -T 1 -b -q
exec /agent serve "$LIBVIRT_LXC_NAME"
"#;

/// Mounts the control groups that the LXC driver puts containers into: those of version 1, where the kernel has any
/// in use, or the one tree of version 2. They are the machine's own, so that empty folders `machine` are left in them.
///
/// # Panics
/// When the kernel refuses.
pub fn mount_cgroups() {
    let list = fs::read_to_string("/proc/cgroups").expect("/proc/cgroups");
    let mut trees: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some(tree)) = (words.next(), words.next()) {
            let tree = tree.parse().expect("a number");
            trees.entry(tree).or_default().push(name);
        }
    }
    // The tree of version 2 has no number.
    trees.remove(&0);
    let root = "/sys/fs/cgroup";
    if trees.is_empty() {
        must("mount", &["-t", "cgroup2", "cgroup", root]);
        return;
    }
    must("mount", &["-t", "tmpfs", "cgroup", root]);
    for names in trees.values() {
        let names = names.join(",");
        let folder = format!("{root}/{names}");
        fs::create_dir(&folder).expect("a folder for control groups");
        must("mount", &["-t", "cgroup", "-o", &names, "cgroup", &folder]);
    }
}

/// The XML of a container that runs the lab's agent, with its files; `inside` stands in it as it is, interfaces in
/// `devices`.
///
/// # Panics
/// When its files cannot be made.
#[must_use]
pub fn container(name: &str, uuid: &str, inside: &str, devices: &str) -> String {
    let root = format!("/run/lab/containers/{name}");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all("/run/lab/containers").expect("a folder for containers");
    must("cp", &["-a", IMAGE, &root]);
    for folder in ["proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(format!("{root}/{folder}")).expect("a folder of a container");
    }
    let init = format!("{root}/container");
    fs::write(&init, INIT).expect("what runs first");
    must("chmod", &["755", &init]);
    xml(name, uuid, &root, inside, devices)
}

/// The XML of a container whose files are below `root`.
pub(crate) fn xml(name: &str, uuid: &str, root: &str, inside: &str, devices: &str) -> String {
    format!(
        "<domain type='lxc'><name>{name}</name><uuid>{uuid}</uuid>{inside}<memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type>exe</type><init>/container</init></os><devices><filesystem type='mount'><source dir='{root}'/>\
         <target dir='/'/></filesystem>{devices}<console type='pty'/></devices></domain>"
    )
}
