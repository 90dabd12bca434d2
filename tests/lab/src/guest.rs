//! Makes initrds of busybox and modules: the guests', with the lab's agent, and that of a machine with a disk.

use crate::host::must;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Modules of Debian's cloud kernel, in the order of their loading.
const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_net",
    "libcrc32c",
    "udp_tunnel",
    "sctp",
];

/// What runs first in a guest. It learns its name and IPv6 address from the kernel's command line.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
for module in $(cat /modules/order); do insmod "/modules/$module" || echo "no $module"; done
ip link set lo up
name=guest
for word in $(cat /proc/cmdline); do
    case "$word" in
    lab.name=*) name="${word#lab.name=}" ;;
    lab.v6=*) v6="${word#lab.v6=}" ;;
    lab.gw6=*) gw6="${word#lab.gw6=}" ;;
    lab.gw4=*) export gw4="${word#lab.gw4=}" ;;
    esac
done
configure() {
    nic="$1"
    echo 0 >"/proc/sys/net/ipv6/conf/$nic/accept_dad"
    # One address only: a UDP answer must not leave with another than was asked.
    echo 0 >"/proc/sys/net/ipv6/conf/$nic/accept_ra"
    ip link set "$nic" up
    if [ "$nic" = eth0 ] && [ -n "$v6" ]; then
        ip -6 addr add "$v6/64" dev eth0
        ip -6 route add default via "$gw6" dev eth0
    fi
    udhcpc -i "$nic" -s /udhcpc -t 20 -T 1 -b -q
}
configured=''
configure_new() {
    for path in /sys/class/net/eth*; do
        [ -e "$path" ] || continue
        # One that is unplugged and plugged in again has another number.
        read -r number <"$path/ifindex"
        case "$configured" in *" $number "*) continue ;; esac
        configured="$configured $number "
        configure "${path##*/}"
    done
}
configure_new
# Interfaces that are plugged in later. Each process of a guest costs an emulated processor some ten ms, so that the second
# between two looks is waited for without one: nobody writes here.
mkfifo /nobody
while ! read -r -t 1 nothing; do configure_new; done <>/nobody &
exec /agent serve "$name"
"#;

/// What udhcpc runs when it has a lease.
const UDHCPC: &str = r#"#!/bin/busybox sh
export PATH=/bin
case "$1" in
bound | renew)
    ip addr add "$ip/$mask" dev "$interface"
    # An isolated network tells its guests of no way out; some shall try it all the same.
    [ "$interface" != eth0 ] || router="${router:-$gw4}"
    [ -z "$router" ] || ip route add default via "${router%% *}" dev "$interface"
    echo "lease $ip on $interface"
    ;;
esac
"#;

/// Modules for a disk, in the order of their loading.
const MODULES_OF_DISK: [&str; 4] = ["virtio_pci", "virtio_blk", "crc32c", "ext4"];

/// What runs first on a machine with a disk.
const INIT_OF_DISK: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /machine
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
for module in $(cat /modules/order); do insmod "/modules/$module" || echo "no $module"; done
mount -t ext4 /dev/vda /machine || exec sh
if [ ! -e /machine/var/lib/lab/furnished ]; then
    tar -x -f /dev/vdb -C /machine
    touch /machine/var/lib/lab/furnished
    # SELinux goes by labels, and the archive has none.
    contexts=/etc/selinux/default/contexts/files/file_contexts
    [ ! -e "/machine$contexts" ] || chroot /machine /sbin/setfiles -F "$contexts" /etc /root /usr/lib/systemd /usr/local /var
fi
umount /proc /dev
exec switch_root /machine /sbin/init
"#;

/// A kernel and an initrd.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

/// The newest of Debian's cloud kernels.
fn kernel_version() -> String {
    let mut versions: Vec<String> = fs::read_dir("/lib/modules")
        .expect("/lib/modules, which tests/roots unpacks")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("cloud"))
        .collect();
    versions.sort();
    versions
        .pop()
        .expect("a cloud kernel, which tests/roots unpacks")
}

/// Makes a guest's image in `folder`.
pub(crate) fn make(folder: &Path, agent: &Path) -> Image {
    let root = folder.join("initrd");
    begin(&root, &MODULES, &[("init", INIT), ("udhcpc", UDHCPC)]);
    copy(agent, &root.join("agent"));
    for library in libraries(agent) {
        let to = root.join(library.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("folder of a library");
        copy(&library, &to);
    }
    pack(&root);
    image(folder)
}

/// Makes an image in `folder` that mounts the disk `/dev/vda` and goes on there. What the disk is to have besides stands
/// in `/dev/vdb`, a tar archive, and is written to it in its first boot.
pub(crate) fn make_of_disk(folder: &Path) -> Image {
    let root = folder.join("initrd");
    begin(&root, &MODULES_OF_DISK, &[("init", INIT_OF_DISK)]);
    pack(&root);
    image(folder)
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// Lays out an initrd: busybox, modules in the order of their loading, and scripts.
fn begin(root: &Path, modules: &[&str], scripts: &[(&str, &str)]) {
    let version = kernel_version();
    for name in ["bin", "modules", "lib", "lib64"] {
        fs::create_dir_all(root.join(name)).expect("folder of the initrd");
    }
    copy(Path::new("/bin/busybox"), &root.join("bin/busybox"));
    let mut order = Vec::new();
    for module in modules {
        for path in dependencies(&version, module) {
            let name = path
                .file_name()
                .expect("a file")
                .to_string_lossy()
                .into_owned();
            if !order.contains(&name) {
                copy(&path, &root.join("modules").join(&name));
                order.push(name);
            }
        }
    }
    fs::write(root.join("modules/order"), order.join("\n") + "\n").expect("order");
    for (name, text) in scripts {
        fs::write(root.join(name), text).expect("script of the initrd");
        must("chmod", &["755", &root.join(name).to_string_lossy()]);
    }
}

/// Makes an archive of a folder, beside it.
fn pack(root: &Path) {
    let archive = fs::File::create(root.with_extension("cpio")).expect("initrd");
    let mut list = Command::new("find")
        .arg(".")
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .expect("find");
    let status = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(list.stdout.take().expect("find's output"))
        .stdout(archive)
        .status()
        .expect("cpio");
    list.wait().expect("find");
    assert!(status.success(), "cpio failed");
}

/// The image that was made in `folder`.
pub(crate) fn image(folder: &Path) -> Image {
    let kernel = PathBuf::from(format!("/boot/vmlinux-{}", kernel_version()));
    let initrd = folder.join("initrd.cpio");
    Image { kernel, initrd }
}

/// The shared libraries of a program, the loader among them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd");
    String::from_utf8_lossy(&output.stdout)
        .split_ascii_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// A module's files and those of what it needs, in the order of their loading; none if it is built in.
fn dependencies(version: &str, module: &str) -> Vec<PathBuf> {
    let output = Command::new("modprobe")
        .args([
            "--show-depends",
            "--ignore-install",
            "--set-version",
            version,
            module,
        ])
        .output()
        .expect("modprobe");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .map(|path| PathBuf::from(path.trim()))
        .collect()
}
