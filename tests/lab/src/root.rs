//! Takes another Debian tree for the root, with the machine's out of reach.

use crate::host::must;
use nix::mount::{mount, umount2, MntFlags, MsFlags};
use std::fs;
use std::path::Path;

/// Where the new root is put together, on a tmpfs of this mount namespace.
const WORKSHOP: &str = "/run";

/// Makes a copy of `tree` that can be written to the root, and leaves of the machine only
/// `folders` and nothing else.
pub(crate) fn enter(tree: &Path, folders: &[&Path]) {
    let path = tree.display();
    assert!(
        tree.join("usr/sbin").is_dir(),
        "{path} is no Debian tree, expected one that tests/roots has made"
    );
    let tree = tree.canonicalize().expect("the tree");
    // It must not be hidden by the workshop.
    assert!(
        !tree.starts_with(WORKSHOP),
        "{path} is below {WORKSHOP}, expected it elsewhere"
    );
    special("tmpfs", WORKSHOP, "mode=0755");
    let new_root = Path::new(WORKSHOP).join("root");
    for folder in ["root", "upper", "work"] {
        fs::create_dir(Path::new(WORKSHOP).join(folder)).expect("folder of the new root");
    }
    let options = format!(
        "lowerdir={},upperdir={WORKSHOP}/upper,workdir={WORKSHOP}/work",
        tree.display()
    );
    special("overlay", &new_root.to_string_lossy(), &options);
    for folder in folders {
        let to = new_root.join(folder.strip_prefix("/").expect("an absolute path"));
        bind(folder, &to);
    }
    special("proc", &new_root.join("proc").to_string_lossy(), "");
    let resolver = new_root.join("etc/resolv.conf");
    let _ = fs::remove_file(&resolver);
    fs::write(resolver, "").expect("resolv.conf");
    let old_root = new_root.join("mnt");
    fs::create_dir_all(&old_root).expect("folder of the old root");
    nix::unistd::pivot_root(&new_root, &old_root).expect("pivot_root");
    std::env::set_current_dir("/").expect("the new root");
    umount2("/mnt", MntFlags::MNT_DETACH).expect("umount of the old root");
    special("tmpfs", "/run", "mode=0755");
    must(
        "mkdir",
        &["-p", "/run/lock", "/var/lib/libvirt", "/var/log"],
    );
}

fn special(kind: &str, on: &str, options: &str) {
    mount(
        Some("portero-lab"),
        on,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )
    .unwrap_or_else(|error| panic!("{kind} on {on}: {error}"));
}

fn bind(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .unwrap_or_else(|error| panic!("{} on {}: {error}", from.display(), to.display()));
}
