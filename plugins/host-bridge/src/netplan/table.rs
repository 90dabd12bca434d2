//! The table of what becomes of each key of a NIC's entry.

use crate::disposition::Disposition::{Both, Moves, Refused, Stays};
use crate::disposition::Table;

const SWITCH: &str = "Open vSwitch has bridges of its own";

/// The YAML reference of netplan.
pub(crate) const TABLE: Table = Table(&[
    (Refused(SWITCH), "openvswitch"),
    (
        Stays,
        "match set-name macaddress wakeonlan emit-lldp *-offload virtual-function-count
         embedded-switch-mode delay-virtual-functions-rebind infiniband-mode
         regulatory-domain auth id link interfaces parameters networkmanager",
    ),
    (Both, "mtu optional renderer ignore-carrier activation-mode"),
    (
        Moves,
        "addresses gateway4 gateway6 nameservers routes routing-policy neigh-suppress
         dhcp4 dhcp6 dhcp4-* dhcp6-* dhcp-identifier accept-ra ra-overrides link-local
         ipv6-* optional-addresses critical",
    ),
]);
