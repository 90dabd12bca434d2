//! The table of what becomes of each section and key of a NIC's keyfile.

use crate::disposition::Disposition::{Both, Divided, Moves, Refused, Stays};
use crate::disposition::Table;

const MEMBER: &str = "the NIC is part of another interface already, expected that itself";
const WIRELESS: &str = "the NIC is wireless; an access point takes no bridge";

/// nm-settings(5): `[section]`, and `section.key` of those that are divided. Of links nearly all stays.
pub(crate) const TABLE: Table = Table(&[
    (Divided, "[connection] [ethernet] [802-3-ethernet]"),
    (Refused(WIRELESS), "[wifi] [802-11-wireless]"),
    (
        Refused(MEMBER),
        "[bridge-port] [bond-port] [team-port] [ovs-interface] [vrf]
         connection.master connection.controller connection.slave-type connection.port-type",
    ),
    (
        Both,
        "[user] connection.autoconnect connection.autoconnect-priority
         connection.autoconnect-retries connection.auth-retries
         connection.wait-device-timeout connection.permissions
         connection.down-on-poweroff connection.wait-activation-delay
         ethernet.mtu 802-3-ethernet.mtu",
    ),
    (
        Moves,
        "[ipv4] [ipv6] [proxy] [hostname] connection.zone connection.metered
         connection.mdns connection.llmnr connection.dns-over-tls connection.dnssec
         connection.mptcp-flags connection.mud-url connection.secondaries
         connection.stable-id connection.gateway-ping-timeout
         connection.ip-ping-addresses connection.ip-ping-timeout",
    ),
    (
        Stays,
        "[802-1x] [bond] [vlan] [team] [link] [match] [ethtool] [dcb] [sriov] [tc]
         connection.id connection.uuid connection.type connection.interface-name
         connection.timestamp connection.lldp connection.multi-connect
         connection.autoconnect-slaves connection.autoconnect-ports
         ethernet.* 802-3-ethernet.*",
    ),
]);
