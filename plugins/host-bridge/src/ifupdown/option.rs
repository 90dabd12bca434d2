//! The table of what becomes of each option of a NIC's `iface` stanza.

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is about the link: it stays with the NIC.
    Stays,
    /// It is about IP: it goes to the bridge.
    Moves,
    /// Both need it.
    Both,
    /// It is a command, and what it does decides.
    Command,
    /// No bridge can be made of a NIC with it, for this reason.
    Refused(&'static str),
    /// It is not known: it stays, and the administrator is told.
    Unknown,
}

use crate::pattern;
use Fate::{Both, Command, Moves, Refused, Stays};

const WIRELESS: &str = "the NIC is wireless; an access point takes no bridge";
const MEMBER: &str = "the NIC is part of a bond, expected that itself";
const BRIDGE: &str = "it is a bridge already";

/// Names, or beginnings of names with a `*`; the first that fits counts (interfaces(5), and the
/// manuals of ethtool, ifenslave, vlan, bridge-utils, resolvconf).
const TABLE: &[(&str, Fate)] = &[
    ("wpa-*", Refused(WIRELESS)),
    ("wireless*", Refused(WIRELESS)),
    ("bond-master", Refused(MEMBER)),
    ("bridge*", Refused(BRIDGE)),
    ("bond-*", Stays),
    ("slaves", Stays),
    ("vlan-*", Stays),
    ("hwaddress", Stays),
    ("ethernet-*", Stays),
    ("link-*", Stays),
    ("offload-*", Stays),
    ("hardware-*", Stays),
    ("driver-*", Stays),
    ("ethtool-*", Stays),
    ("rename", Stays),
    ("mtu", Both),
    ("description", Stays),
    ("up", Command),
    ("pre-up", Command),
    ("post-up", Command),
    ("down", Command),
    ("pre-down", Command),
    ("post-down", Command),
    ("address", Moves),
    ("netmask", Moves),
    ("broadcast", Moves),
    ("network", Moves),
    ("gateway", Moves),
    ("metric", Moves),
    ("pointopoint", Moves),
    ("scope", Moves),
    ("hostname", Moves),
    ("client", Moves),
    ("vendor", Moves),
    ("leasehours", Moves),
    ("leasetime", Moves),
    ("request-prefix", Moves),
    ("ll-attempts", Moves),
    ("ll-interval", Moves),
    ("dad-*", Moves),
    ("accept-ra*", Moves),
    ("autoconf", Moves),
    ("privext", Moves),
    ("preferred-lifetime", Moves),
    ("dhcp", Moves),
    ("ip-forward", Moves),
    ("arp-*", Moves),
    ("dns-*", Moves),
    ("media", Stays),
];

/// What becomes of an option; ifupdown takes `-` and `_` for the same.
pub(crate) fn fate(name: &str) -> Fate {
    pattern::find(TABLE, &name.replace('_', "-")).unwrap_or(Fate::Unknown)
}

/// Whether a command is about the link, and so stays with the NIC.
pub(crate) fn is_about_link(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let program = |word: &&str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words.first().map(program).unwrap_or_default();
    ["ethtool", "mii-tool", "modprobe"].contains(&first.as_str())
        || (first == "ip" && words.get(1).is_some_and(|word| "link".starts_with(word)))
}
