//! What people write into elements and attributes, and what they had better not.

/// Attributes that an element may have, each with what people write.
pub(super) type Attributes = &'static [(&'static str, &'static [&'static str])];

pub(super) const ADDRESSES: &[&str] = &[
    "192.168.70.10",
    "192.168.50.11",
    "203.0.113.1",
    "127.0.0.1",
    "fd00:70::10",
    "fd00:50::11",
    "2001:db8::1",
    "0.0.0.0",
    "255.255.255.255",
    "::1",
    "::ffff:192.0.2.1",
    "fe80::1",
    "224.0.0.1",
    "192.168.70.1",
    "192.168.70.255",
    "::192.0.2.1",
];
pub(super) const DEVS: &[&str] = &[
    "eth0", "br-lan", "br-new", "vnet0", "lo", "-j", "eth+", "a.b:1@c", "eth0 -j",
];
pub(super) const NAMES: &[&str] = &[
    "lan", "dmz", "new", "lab", "some", "web", "a b", "x\"y", "..", "-x",
];
pub(super) const PORTS: &[&str] = &[
    "80", "1", "1000", "1100", "8080", "65535", "0", "53", "700", "+5", "http",
];
pub(super) const MACS: &[&str] = &[
    "52:54:00:00:50:10",
    "52:54:00:00:50:11",
    "52:54:00:00:70:10",
    "0:0:0:0:0:0",
    "ff:ff:ff:ff:ff:ff",
];
pub(super) const VERDICTS: &[&str] = &["accept", "drop", "reject"];
pub(super) const YES_NO: &[&str] = &["yes", "no"];
pub(super) const NETS: &[&str] = &[
    "198.51.100.0/24",
    "0.0.0.0/0",
    "::/0",
    "192.0.2.1",
    "2001:db8::/32",
    "192.168.70.0/24",
    "10.0.0.0/33",
    "fd00:70::/64",
    "127.0.0.0/8",
];

pub(super) const FORWARD: Attributes = &[
    ("proto", &["tcp", "udp", "sctp", "icmp"]),
    ("guest", ADDRESSES),
    ("address", ADDRESSES),
    ("dev", DEVS),
    ("source", NETS),
    ("interface", MACS),
];
pub(super) const RANGE: Attributes = &[
    ("start", PORTS),
    ("end", PORTS),
    ("to", PORTS),
    ("exclude", YES_NO),
];
pub(super) const DEFAULT: Attributes = &[
    ("in", VERDICTS),
    ("out", VERDICTS),
    ("host", VERDICTS),
    ("log", YES_NO),
];
pub(super) const ANTISPOOF: Attributes = &[
    ("ip", YES_NO),
    ("mac", YES_NO),
    ("dhcp", YES_NO),
    ("ra", YES_NO),
];
pub(super) const RULE: Attributes = &[
    ("action", VERDICTS),
    ("direction", &["in", "out", "inout"]),
    ("priority", &["500", "-1000", "1000", "0", "1001"]),
    ("family", &["ipv4", "ipv6"]),
    ("statematch", &["yes", "no", "true", "false", "0", "1"]),
    ("log", YES_NO),
    (
        "limit",
        &["5/minute", "1/second", "0/hour", "4294967296/day"],
    ),
    (
        "comment",
        &["web", "\"; flush ruleset", "-j ACCEPT", "a\nb"],
    ),
];
pub(super) const PEERS: [Attributes; 5] = [
    &[("network", NAMES), ("match", YES_NO), ("nat", YES_NO)],
    &[("group", NAMES), ("match", YES_NO)],
    &[
        ("address", ADDRESSES),
        ("prefix", &["24", "64", "0", "32", "128", "129", "1"]),
        ("match", YES_NO),
        ("nat", YES_NO),
    ],
    &[("host", YES_NO)],
    &[("mac", MACS), ("match", YES_NO)],
];
pub(super) const SERVICE: Attributes = &[("dstportstart", PORTS), ("dstportend", PORTS)];
pub(super) const ICMP: Attributes = &[
    ("type", &["8", "0", "128", "255", "254"]),
    ("code", &["0", "1", "255"]),
];
pub(super) const NEIGHBOR: Attributes = &[("dev", DEVS), ("arp", YES_NO), ("ndp", YES_NO)];
pub(super) const NAT: Attributes = &[("ipv6", YES_NO)];
pub(super) const NAT_ADDRESS: Attributes = &[("start", ADDRESSES), ("end", ADDRESSES)];
pub(super) const NAT_PORT: Attributes = &[("start", PORTS), ("end", PORTS)];
pub(super) const HOST_BRIDGE: Attributes = &[
    ("nic", DEVS),
    ("renderer", &["auto", "ifcfg", "netplan", "none"]),
    ("activate", YES_NO),
];
