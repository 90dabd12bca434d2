//! The tables of what becomes of each section and key of a NIC's .network file.

use crate::unit::{Fate, Table};
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

/// What becomes of what stands in a .network file.
pub(crate) const TABLE: Table = Table {
    sections: SECTIONS,
    keys: KEYS,
    others: ("Network", Moves),
};
