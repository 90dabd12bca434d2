//! The table of what becomes of each section and key of a NIC's .network file.

use crate::disposition::Disposition::{Both, Divided, Moves, Refused, Stacked, Stays};
use crate::disposition::Table;

const MEMBER: &str = "the NIC is part of another interface already";
const UNMANAGED: &str = "networkd leaves the NIC alone, expected the program that configures it";

/// systemd.network(5): `[Section]`, and `Section.Key` of those that are divided. Other keys of
/// `[Link]` stay, and of `[Network]` move.
pub(crate) const TABLE: Table = Table(&[
    (Divided, "[Link] [Network]"),
    (Refused(UNMANAGED), "Link.Unmanaged"),
    (
        Refused(MEMBER),
        "Network.Bond Network.Bridge Network.VRF Network.BatmanAdvanced",
    ),
    (
        Stacked,
        "Network.VLAN Network.MACVLAN Network.MACVTAP Network.IPVLAN Network.IPVTAP Network.MACsec",
    ),
    (
        Both,
        "Link.MTUBytes Link.RequiredForOnline Link.ActivationPolicy Network.BindCarrier
         Network.IgnoreCarrierLoss Network.ConfigureWithoutCarrier",
    ),
    (
        Stays,
        "[Match] [Bridge] [BridgeFDB] [BridgeMDB] [BridgeVLAN] [LLDP] [SR-IOV]
         Network.Description Network.LLDP Network.EmitLLDP Network.PrimarySlave
         Network.ActiveSlave",
    ),
    (
        Moves,
        "[Address] [Route] [RoutingPolicyRule] [NextHop] [Neighbor] [IPv6AddressLabel]
         [IPv6AcceptRA] [IPv6SendRA] [IPv6Prefix] [IPv6RoutePrefix] [IPv6PREF64Prefix]
         [DHCP] [DHCPv4] [DHCPv6] [DHCPPrefixDelegation] [DHCPServer]
         [DHCPServerStaticLease] Link.RequiredFamilyForOnline Network.*",
    ),
    (Stays, "Link.*"),
]);
