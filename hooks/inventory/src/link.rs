//! What sysfs(5) and sysctl(8) say of one interface.

use portero_system::interfaces::{folder, master};
use std::fs;
use std::path::Path;

/// An interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Whether the administrator has it up (`IFF_UP`), whatever is at its other end.
    pub is_up: bool,
    /// The bridge that it is in.
    pub master: Option<String>,
}

/// An interface, if it is there.
#[must_use]
pub fn link(name: &str) -> Option<LinkState> {
    const IFF_UP: u32 = 1;
    let flags = fs::read_to_string(folder(name).join("flags")).ok()?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok()?;
    Some(LinkState {
        is_up: flags & IFF_UP != 0,
        master: master(name),
    })
}

/// How strictly an interface takes packets only where their answers would leave (`rp_filter`): the
/// stricter of its own value and that of all. 0 not at all, 1 strictly, 2 by any interface.
#[must_use]
pub fn reverse_path_filter(name: &str) -> Option<u32> {
    let value = |of: &str| {
        let folder = Path::new("/proc/sys/net/ipv4/conf").join(of);
        let text = fs::read_to_string(folder.join("rp_filter")).ok()?;
        text.trim().parse::<u32>().ok()
    };
    // The kernel takes the greater number (IN_DEV_RPFILTER in include/linux/inetdevice.h).
    Some(value("all")?.max(value(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_in_no_bridge() {
        assert_eq!(link("lo").map(|lo| lo.master), Some(None));
        assert_eq!(link("no-such-link"), None);
        assert_eq!(reverse_path_filter("no-such-link"), None);
    }
}
