//! The table of what becomes of each key of a NIC's entry.

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is about the link: it stays with the NIC.
    Stays,
    /// It is about IP: it goes to the bridge.
    Moves,
    /// Both need it.
    Both,
    /// No bridge can be made of a NIC with it, for this reason.
    Refused(&'static str),
    /// It is not known: it stays, and the administrator is told.
    Unknown,
}

use crate::pattern;
use Fate::{Both, Moves, Refused, Stays};

/// The YAML reference of netplan; a `*` stands for any end or beginning.
const TABLE: &[(&str, Fate)] = &[
    ("match", Stays),
    ("set-name", Stays),
    ("macaddress", Stays),
    ("wakeonlan", Stays),
    ("emit-lldp", Stays),
    ("*-offload", Stays),
    ("virtual-function-count", Stays),
    ("embedded-switch-mode", Stays),
    ("delay-virtual-functions-rebind", Stays),
    ("infiniband-mode", Stays),
    ("regulatory-domain", Stays),
    ("auth", Stays),
    ("id", Stays),
    ("link", Stays),
    ("interfaces", Stays),
    ("parameters", Stays),
    ("networkmanager", Stays),
    (
        "openvswitch",
        Refused("Open vSwitch has bridges of its own"),
    ),
    ("mtu", Both),
    ("optional", Both),
    ("renderer", Both),
    ("ignore-carrier", Both),
    ("activation-mode", Both),
    ("addresses", Moves),
    ("gateway4", Moves),
    ("gateway6", Moves),
    ("nameservers", Moves),
    ("routes", Moves),
    ("routing-policy", Moves),
    ("neigh-suppress", Moves),
    ("dhcp4", Moves),
    ("dhcp6", Moves),
    ("dhcp4-*", Moves),
    ("dhcp6-*", Moves),
    ("dhcp-identifier", Moves),
    ("accept-ra", Moves),
    ("ra-overrides", Moves),
    ("link-local", Moves),
    ("ipv6-*", Moves),
    ("optional-addresses", Moves),
    ("critical", Moves),
];

/// What becomes of a key.
pub(crate) fn fate(key: &str) -> Fate {
    pattern::find(TABLE, key).unwrap_or(Fate::Unknown)
}
