//! The table of what becomes of each key of a NIC's file.

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is about the link: it stays with the NIC.
    Stays,
    /// It is about IP: it goes to the bridge.
    Moves,
    /// Both need it.
    Both,
    /// It goes, for this reason.
    Dropped(&'static str),
    /// It is not known: it stays, and the administrator is told.
    Unknown,
}

/// How a key of the table is compared.
enum Name {
    /// The whole key.
    Is(&'static str),
    /// The key is this with a number or nothing behind.
    Numbered(&'static str),
    /// The key begins with this.
    Begins(&'static str),
}

use Fate::{Both, Dropped, Moves, Stays};
use Name::{Begins, Is, Numbered};

const STALE: &str = "it is computed from the address, and a stale one loses the default route";

/// The first line that fits counts (sysconfig.txt of initscripts, nm-settings-ifcfg-rh(5)).
const TABLE: &[(Name, Fate)] = &[
    (Is("DEVICE"), Stays),
    (Is("HWADDR"), Stays),
    (Is("MACADDR"), Stays),
    (Is("TYPE"), Stays),
    (Is("NAME"), Stays),
    (Is("UUID"), Stays),
    (Is("DEVTIMEOUT"), Stays),
    (Is("LINKDELAY"), Both),
    (Is("HOTPLUG"), Stays),
    (Is("ETHTOOL_OPTS"), Stays),
    (Begins("ETHTOOL_"), Stays),
    (Is("VLAN"), Stays),
    (Is("PHYSDEV"), Stays),
    (Is("VID"), Stays),
    (Is("VLAN_ID"), Stays),
    (Is("VLAN_FLAGS"), Stays),
    (Is("REORDER_HDR"), Stays),
    (Is("GVRP"), Stays),
    (Is("MVRP"), Stays),
    (Begins("BONDING_"), Stays),
    (Begins("IEEE_8021X_"), Stays),
    (Is("KEY_MGMT"), Stays),
    (Begins("DCB"), Stays),
    (Is("LLDP"), Stays),
    (Begins("SRIOV_"), Stays),
    (Is("SUBCHANNELS"), Stays),
    (Is("NETTYPE"), Stays),
    (Is("PORTNAME"), Stays),
    (Is("OPTIONS"), Stays),
    (Is("AUTOCONNECT_PRIORITY"), Both),
    (Is("MTU"), Both),
    (Is("ONBOOT"), Both),
    (Is("NM_CONTROLLED"), Both),
    (Is("USERCTL"), Both),
    (Is("BOOTPROTO"), Moves),
    (Numbered("IPADDR"), Moves),
    (Numbered("PREFIX"), Moves),
    (Numbered("NETMASK"), Moves),
    (Numbered("GATEWAY"), Moves),
    (Numbered("SCOPE"), Moves),
    (Is("SRCADDR"), Moves),
    (Is("METRIC"), Moves),
    (Is("DEFROUTE"), Moves),
    (Numbered("DNS"), Moves),
    (Is("DOMAIN"), Moves),
    (Is("SEARCH"), Moves),
    (Is("RES_OPTIONS"), Moves),
    (Is("PEERDNS"), Moves),
    (Is("PEERROUTES"), Moves),
    (Is("PEERNTP"), Moves),
    (Is("NTPSERVERARGS"), Moves),
    (Begins("DHCP"), Moves),
    (Begins("DHCLIENT"), Moves),
    (Is("PERSISTENT_DHCLIENT"), Moves),
    (Is("ARPCHECK"), Moves),
    (Is("ARPUPDATE"), Moves),
    (Is("ARP"), Moves),
    (Is("ACD_TIMEOUT"), Moves),
    (Is("ZONE"), Moves),
    (Is("CONNECTION_METERED"), Moves),
    (Is("MDNS"), Moves),
    (Is("LLMNR"), Moves),
    (Is("MULTI_CONNECT"), Moves),
    (Begins("IPV6"), Moves),
    (Begins("IPV4_"), Moves),
    (Begins("ROUTING_RULE"), Moves),
    (Is("PROXY_METHOD"), Moves),
    (Is("BROWSER_ONLY"), Moves),
    (Numbered("NETWORK"), Dropped(STALE)),
    (Numbered("BROADCAST"), Dropped(STALE)),
];

/// What becomes of a key.
pub(crate) fn fate(key: &str) -> Fate {
    let fits = |name: &Name| match name {
        Is(name) => key == *name,
        Begins(start) => key.starts_with(start),
        Numbered(start) => key
            .strip_prefix(start)
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())),
    };
    let line = TABLE.iter().find(|(name, _)| fits(name));
    line.map_or(Fate::Unknown, |(_, fate)| *fate)
}
