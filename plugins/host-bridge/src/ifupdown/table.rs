//! The table of what becomes of each option of a NIC's `iface` stanza.

use crate::disposition::Disposition::{Both, Command, Moves, Refused, Stays};
use crate::disposition::Table;

const WIRELESS: &str = "the NIC is wireless; an access point takes no bridge";
const MEMBER: &str = "the NIC is part of a bond, expected that itself";
const BRIDGE: &str = "it is a bridge already";

/// interfaces(5), and the manuals of ethtool, ifenslave, vlan, bridge-utils, resolvconf; with `-` for
/// each `_`, which is the same to ifupdown.
pub(crate) const TABLE: Table = Table(&[
    (Refused(WIRELESS), "wpa-* wireless*"),
    (Refused(MEMBER), "bond-master"),
    (Refused(BRIDGE), "bridge*"),
    (
        Stays,
        "bond-* slaves vlan-* hwaddress ethernet-* link-* offload-* hardware-* driver-*
         ethtool-* rename description media",
    ),
    (Both, "mtu"),
    (Command, "up pre-up post-up down pre-down post-down"),
    (
        Moves,
        "address netmask broadcast network gateway metric pointopoint scope hostname
         client vendor leasehours leasetime request-prefix ll-attempts ll-interval dad-*
         accept-ra* autoconf privext preferred-lifetime dhcp ip-forward arp-* dns-*",
    ),
]);

/// Whether a command is about the link, and so stays with the NIC.
pub(crate) fn is_about_link(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let program = |word: &&str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words.first().map(program).unwrap_or_default();
    ["ethtool", "mii-tool", "modprobe"].contains(&first.as_str())
        || (first == "ip" && words.get(1).is_some_and(|word| "link".starts_with(word)))
}
