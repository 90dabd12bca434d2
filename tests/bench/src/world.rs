//! The machine the hooks see: a /run of their own, and the bridge of the guests' network.

use crate::process::Process;
use crate::recorded::{BRIDGE, BRIDGE_ADDRESS, PREFIX};
use std::io;

/// Where the benchmark keeps its files; gone with the private /run.
pub const FOLDER: &str = "/run/bench";

/// What libvirt's nftables backend has for a network, as far as it matters to the hooks.
const LIBVIRT_NFTABLES: &str = "
add table FAMILY libvirt_network
delete table FAMILY libvirt_network
table FAMILY libvirt_network {
    chain guest_output { iif \"BRIDGE\" accept; }
    chain guest_input { oif \"BRIDGE\" ct state established,related accept; oif \"BRIDGE\" reject; }
    chain forward { type filter hook forward priority filter; policy accept; jump guest_input; }
}
";

/// Makes tables as libvirt's nftables backend does, or puts them back to how they were.
///
/// # Errors
/// Those of `nft`.
pub fn make_libvirt_nftables() -> io::Result<()> {
    let file = std::path::Path::new(FOLDER).join("libvirt");
    std::fs::write(&file, libvirt_nftables())?;
    Process::new("nft", ["-f", "-"]).reading(&file).run()?;
    Ok(())
}

/// Takes libvirt's tables away again.
///
/// # Errors
/// Those of `nft`.
pub fn remove_libvirt_nftables() -> io::Result<()> {
    for family in ["ip", "ip6"] {
        Process::new("nft", ["delete", "table", family, "libvirt_network"]).run()?;
    }
    Ok(())
}

/// The script that does so.
#[must_use]
pub fn libvirt_nftables() -> String {
    let of = |family| {
        LIBVIRT_NFTABLES
            .replace("FAMILY", family)
            .replace("BRIDGE", BRIDGE)
    };
    of("ip") + &of("ip6")
}

/// Sets up the present namespaces, which have to be new ones.
///
/// # Errors
/// Those of `mount` and `ip`.
pub fn set_up() -> io::Result<()> {
    // Without a folder of our own yet there is no file for what the first program says.
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "portero-bench", "/run"])
        .status()?;
    if !mounted.success() {
        return Err(io::Error::other("cannot mount a private /run"));
    }
    std::fs::create_dir(FOLDER)?;
    let address = format!("{BRIDGE_ADDRESS}/{PREFIX}");
    let steps: [&[&str]; 4] = [
        &["link", "set", "lo", "up"],
        &["link", "add", BRIDGE, "type", "bridge"],
        &["addr", "add", &address, "dev", BRIDGE],
        &["link", "set", BRIDGE, "up"],
    ];
    for step in steps {
        Process::new("ip", step).run()?;
    }
    Ok(())
}
