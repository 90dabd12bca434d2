//! The tables of what becomes of each section and key of a NIC's keyfile.

use crate::unit::{Fate, Table};
use Fate::{Both, Divided, Moves, Refused, Stays};

const MEMBER: &str = "the NIC is part of another interface already, expected that itself";
const WIRELESS: &str = "the NIC is wireless; an access point takes no bridge";

/// Sections, nm-settings(5).
const SECTIONS: &[(&str, Fate)] = &[
    ("connection", Divided),
    ("ethernet", Divided),
    ("802-3-ethernet", Divided),
    ("802-1x", Stays),
    ("bond", Stays),
    ("vlan", Stays),
    ("team", Stays),
    ("link", Stays),
    ("match", Stays),
    ("ethtool", Stays),
    ("dcb", Stays),
    ("sriov", Stays),
    ("tc", Stays),
    ("user", Both),
    ("ipv4", Moves),
    ("ipv6", Moves),
    ("proxy", Moves),
    ("hostname", Moves),
    ("wifi", Refused(WIRELESS)),
    ("802-11-wireless", Refused(WIRELESS)),
    ("bridge-port", Refused(MEMBER)),
    ("bond-port", Refused(MEMBER)),
    ("team-port", Refused(MEMBER)),
    ("ovs-interface", Refused(MEMBER)),
    ("vrf", Refused(MEMBER)),
];

/// Keys of sections that are divided.
const KEYS: &[(&str, &str, Fate)] = &[
    ("connection", "id", Stays),
    ("connection", "uuid", Stays),
    ("connection", "type", Stays),
    ("connection", "interface-name", Stays),
    ("connection", "timestamp", Stays),
    ("connection", "lldp", Stays),
    ("connection", "multi-connect", Stays),
    ("connection", "autoconnect-slaves", Stays),
    ("connection", "autoconnect-ports", Stays),
    ("connection", "autoconnect", Both),
    ("connection", "autoconnect-priority", Both),
    ("connection", "autoconnect-retries", Both),
    ("connection", "auth-retries", Both),
    ("connection", "wait-device-timeout", Both),
    ("connection", "permissions", Both),
    ("connection", "down-on-poweroff", Both),
    ("connection", "wait-activation-delay", Both),
    ("connection", "zone", Moves),
    ("connection", "metered", Moves),
    ("connection", "mdns", Moves),
    ("connection", "llmnr", Moves),
    ("connection", "dns-over-tls", Moves),
    ("connection", "dnssec", Moves),
    ("connection", "mptcp-flags", Moves),
    ("connection", "mud-url", Moves),
    ("connection", "secondaries", Moves),
    ("connection", "stable-id", Moves),
    ("connection", "gateway-ping-timeout", Moves),
    ("connection", "ip-ping-addresses", Moves),
    ("connection", "ip-ping-timeout", Moves),
    ("connection", "master", Refused(MEMBER)),
    ("connection", "controller", Refused(MEMBER)),
    ("connection", "slave-type", Refused(MEMBER)),
    ("connection", "port-type", Refused(MEMBER)),
    ("ethernet", "mtu", Both),
    ("802-3-ethernet", "mtu", Both),
];

/// What becomes of what stands in a keyfile; of links nearly all stays.
pub(crate) const TABLE: Table = Table {
    sections: SECTIONS,
    keys: KEYS,
    others: ("connection", Fate::Unknown),
};
