//! The table of what becomes of each key of a NIC's file.

use crate::disposition::Disposition::{Both, Dropped, Moves, Stays};
use crate::disposition::Table;

const STALE: &str = "it is computed from the address, and a stale one loses the default route";

/// sysconfig.txt of initscripts, nm-settings-ifcfg-rh(5).
pub(crate) const TABLE: Table = Table(&[
    (
        Stays,
        "DEVICE HWADDR MACADDR TYPE NAME UUID DEVTIMEOUT HOTPLUG ETHTOOL_* OPTIONS
         VLAN PHYSDEV VID VLAN_ID VLAN_FLAGS REORDER_HDR GVRP MVRP BONDING_*
         IEEE_8021X_* KEY_MGMT DCB* LLDP SRIOV_* SUBCHANNELS NETTYPE PORTNAME",
    ),
    (
        Both,
        "LINKDELAY AUTOCONNECT_PRIORITY MTU ONBOOT NM_CONTROLLED USERCTL",
    ),
    (
        Moves,
        "BOOTPROTO IPADDR# PREFIX# NETMASK# GATEWAY# SCOPE# SRCADDR METRIC DEFROUTE
         DNS# DOMAIN SEARCH RES_OPTIONS PEERDNS PEERROUTES PEERNTP NTPSERVERARGS
         DHCP* DHCLIENT* PERSISTENT_DHCLIENT ARPCHECK ARPUPDATE ARP ACD_TIMEOUT
         ZONE CONNECTION_METERED MDNS LLMNR MULTI_CONNECT
         IPV6* IPV4_* ROUTING_RULE* PROXY_METHOD BROWSER_ONLY",
    ),
    (Dropped(STALE), "NETWORK# BROADCAST#"),
]);
