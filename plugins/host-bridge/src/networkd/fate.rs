//! The tables of what becomes of each section and key of a NIC's .network file.

/// What becomes of a section or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is about the link: it stays with the NIC.
    Stays,
    /// It is about IP: it goes to the bridge.
    Moves,
    /// Both need it.
    Both,
    /// What becomes of it is decided key by key.
    Divided,
    /// No bridge can be made of a NIC with it, for this reason.
    Refused(&'static str),
    /// It stays, and its packets are taken by the bridge from now on.
    Stacked,
    /// It is not known: it stays, and the administrator is told.
    Unknown,
}

use Fate::{Both, Divided, Moves, Refused, Stacked, Stays};

const MEMBER: &str = "the NIC is part of another interface already";
const UNMANAGED: &str = "networkd leaves the NIC alone, expected the program that configures it";

/// Sections, systemd.network(5).
const SECTIONS: &[(&str, Fate)] = &[
    ("Match", Stays),
    ("Link", Divided),
    ("Network", Divided),
    ("Address", Moves),
    ("Route", Moves),
    ("RoutingPolicyRule", Moves),
    ("NextHop", Moves),
    ("Neighbor", Moves),
    ("IPv6AddressLabel", Moves),
    ("IPv6AcceptRA", Moves),
    ("IPv6SendRA", Moves),
    ("IPv6Prefix", Moves),
    ("IPv6RoutePrefix", Moves),
    ("IPv6PREF64Prefix", Moves),
    ("DHCP", Moves),
    ("DHCPv4", Moves),
    ("DHCPv6", Moves),
    ("DHCPPrefixDelegation", Moves),
    ("DHCPServer", Moves),
    ("DHCPServerStaticLease", Moves),
    ("Bridge", Stays),
    ("BridgeFDB", Stays),
    ("BridgeMDB", Stays),
    ("BridgeVLAN", Stays),
    ("LLDP", Stays),
    ("SR-IOV", Stays),
];

/// Keys of `[Link]` and `[Network]`; those of `[Network]` that are not here move.
const KEYS: &[(&str, &str, Fate)] = &[
    ("Link", "Unmanaged", Refused(UNMANAGED)),
    ("Link", "MTUBytes", Both),
    ("Link", "RequiredForOnline", Both),
    ("Link", "RequiredFamilyForOnline", Moves),
    ("Link", "ActivationPolicy", Both),
    ("Network", "Description", Stays),
    ("Network", "Bond", Refused(MEMBER)),
    ("Network", "Bridge", Refused(MEMBER)),
    ("Network", "VRF", Refused(MEMBER)),
    ("Network", "BatmanAdvanced", Refused(MEMBER)),
    ("Network", "VLAN", Stacked),
    ("Network", "MACVLAN", Stacked),
    ("Network", "MACVTAP", Stacked),
    ("Network", "IPVLAN", Stacked),
    ("Network", "IPVTAP", Stacked),
    ("Network", "MACsec", Stacked),
    ("Network", "VXLAN", Moves),
    ("Network", "Tunnel", Moves),
    ("Network", "LLDP", Stays),
    ("Network", "EmitLLDP", Stays),
    ("Network", "BindCarrier", Both),
    ("Network", "IgnoreCarrierLoss", Both),
    ("Network", "ConfigureWithoutCarrier", Both),
    ("Network", "PrimarySlave", Stays),
    ("Network", "ActiveSlave", Stays),
];

/// What becomes of a section.
pub(crate) fn fate_of_section(name: &str) -> Fate {
    let line = SECTIONS.iter().find(|(section, _)| *section == name);
    line.map_or(Fate::Unknown, |(_, fate)| *fate)
}

/// What becomes of a key of a section that is divided.
pub(crate) fn fate_of_key(section: &str, key: &str) -> Fate {
    let line = KEYS
        .iter()
        .find(|(known, name, _)| (*known, *name) == (section, key));
    match line {
        Some((_, _, fate)) => *fate,
        None if section == "Network" => Moves,
        None => Stays,
    }
}
