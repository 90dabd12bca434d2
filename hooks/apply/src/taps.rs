//! Puts guests' taps back into a bridge that libvirt took away under them.

use crate::interfaces;
use crate::netlink::Netlink;
use crate::{Deadline, KernelError};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use portero_event::{InterfaceName, MacAddress};
use std::fs;
use std::path::Path;

/// The first octet of a tap's MAC address; the others are the guest's
/// (`virNetDevTapCreateInBridgePort` in src/util/virnetdevtap.c).
const TAP_FIRST_OCTET: u8 = 0xfe;

/// Puts the taps of guests with these MAC addresses into `bridge` if they are in no bridge; gives
/// the names of those that were put back.
pub(crate) fn reattach(
    bridge: &InterfaceName,
    guests: &[MacAddress],
    deadline: Deadline,
) -> Result<Vec<String>, KernelError> {
    let wanted: Vec<String> = guests.iter().map(|mac| tap_address(*mac)).collect();
    let error = |source| KernelError::Kernel {
        path: interfaces::FOLDER.to_owned(),
        source,
    };
    let mut back = Vec::new();
    let bridge_index = index_of(&interfaces::folder(bridge.as_str())).map_err(error)?;
    for entry in fs::read_dir(interfaces::FOLDER).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let is_wanted = fs::read_to_string(path.join("address"))
            .is_ok_and(|address| wanted.iter().any(|wanted| wanted == address.trim()));
        let is_tap = path.join("tun_flags").exists();
        if !is_wanted || !is_tap || path.join("master").exists() {
            continue;
        }
        let index = index_of(&path).map_err(error)?;
        let mut message = LinkMessage::default();
        message.header.index = index;
        message
            .attributes
            .push(LinkAttribute::Controller(bridge_index));
        Netlink::open(NETLINK_ROUTE, deadline)?.request(
            RouteNetlinkMessage::SetLink(message),
            NLM_F_REQUEST | NLM_F_ACK,
            |_| {},
        )?;
        back.extend(
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    Ok(back)
}

fn tap_address(guest: MacAddress) -> String {
    let [_, b, c, d, e, f] = guest.octets();
    format!("{TAP_FIRST_OCTET:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn index_of(interface: &Path) -> std::io::Result<u32> {
    fs::read_to_string(interface.join("ifindex"))?
        .trim()
        .parse()
        .map_err(std::io::Error::other)
}
