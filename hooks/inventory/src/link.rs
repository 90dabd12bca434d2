//! What sysfs(5) and sysctl(8) say of one interface.

use portero_system::interfaces::{folder, master};
use portero_trace::Link;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Most interfaces that are looked at for what carries them.
const DEPTH: usize = 16;

/// An interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Whether the administrator has it up (`IFF_UP`), whatever is at its other end.
    pub is_up: bool,
    /// The bridge that it is in.
    pub master: Option<String>,
    /// What the bridge does with its frames, where it is in one.
    pub port: Option<BridgePort>,
}

/// What a bridge does with the frames of a port (`BR_STATE_*` in linux/if_bridge.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgePort {
    /// It passes them on.
    Forwarding,
    /// It passes them on after this time at most: the spanning tree protocol has it wait.
    Waiting(Duration),
    /// The spanning tree protocol has it closed, since there is another way.
    Blocking,
    /// The port has no carrier, or is down.
    Disabled,
}

/// An interface, if it is there.
#[must_use]
pub fn link(name: &str) -> Option<LinkState> {
    const IFF_UP: u32 = 1;
    let flags = fs::read_to_string(folder(name).join("flags")).ok()?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok()?;
    let master = master(name);
    Some(LinkState {
        is_up: flags & IFF_UP != 0,
        port: master.as_ref().and_then(|bridge| port(name, bridge)),
        master,
    })
}

fn port(name: &str, bridge: &str) -> Option<BridgePort> {
    let number = |path: std::path::PathBuf| -> Option<u64> {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let state = number(folder(name).join("brport/state"))?;
    // In hundredths of a second: once for learning, and once more for listening before it.
    let delay = number(folder(bridge).join("bridge/forward_delay")).unwrap_or(1500);
    let delay = Duration::from_millis(delay * 10);
    port_of(state, delay)
}

fn port_of(state: u64, delay: Duration) -> Option<BridgePort> {
    match state {
        0 => Some(BridgePort::Disabled),
        1 => Some(BridgePort::Waiting(2 * delay)),
        2 => Some(BridgePort::Waiting(delay)),
        3 => Some(BridgePort::Forwarding),
        4 => Some(BridgePort::Blocking),
        _ => None,
    }
}

/// Whether an interface is a bridge.
#[must_use]
pub fn is_bridge(name: &str) -> bool {
    folder(name).join("bridge").is_dir()
}

/// An interface that an end of a connection is behind, as packets come and go by it.
#[must_use]
pub fn link_of(name: Option<String>) -> Link {
    let is_bridge = name.as_deref().is_some_and(is_bridge);
    let of_it = name.as_deref().filter(|_| !is_bridge);
    Link {
        is_bridge,
        carriers: of_it.map(carriers).unwrap_or_default(),
        ..Link::named(name)
    }
}

/// The interfaces that carry one, as NICs carry a bond and that a VLAN: all of them.
fn carriers(name: &str) -> Vec<String> {
    let mut all: Vec<String> = vec![name.to_owned()];
    let mut next = 0;
    while let Some(name) = all.get(next) {
        let entries = fs::read_dir(folder(name)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("lower_").map(str::to_owned)
        });
        let names: Vec<String> = names.collect();
        all.extend(names);
        next += 1;
        if next > DEPTH {
            break;
        }
    }
    all.split_off(1)
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
        assert_eq!(
            link("lo").map(|lo| (lo.master, lo.port)),
            Some((None, None))
        );
        assert_eq!(link("no-such-link"), None);
        assert_eq!(reverse_path_filter("no-such-link"), None);
    }

    #[test]
    fn a_port_that_listens_has_to_learn_after_that() {
        let delay = Duration::from_secs(15);
        let twice = Duration::from_secs(30);
        assert_eq!(port_of(1, delay), Some(BridgePort::Waiting(twice)));
        assert_eq!(port_of(2, delay), Some(BridgePort::Waiting(delay)));
        assert_eq!(port_of(3, delay), Some(BridgePort::Forwarding));
        assert_eq!(port_of(9, delay), None);
    }
}
