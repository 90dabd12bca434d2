//! Where addresses are, and where packets to ports of the host go that are forwarded to guests.

use super::Error;
use portero_engine::Engine;
use portero_inventory::{find_dnat, DnatMatch, OwnerStatus};
use portero_model::{Arrives, ToHost};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol};
use portero_system::RouteLookup;
use portero_trace::Translated;
use std::net::IpAddr;

/// Where an address is, as an end of a packet.
pub(crate) fn end(address: IpAddr, route_lookup: RouteLookup) -> End {
    let (at, mac) = match route_lookup {
        RouteLookup::Host => (At::Host, None),
        RouteLookup::Behind { interface, mac } => (At::Behind(interface), mac),
        RouteLookup::Nowhere => (At::Nowhere, None),
    };
    End { address, at, mac }
}

/// A forward that has taken a packet.
pub(super) struct Followed {
    /// Whose it is, and what it forwards.
    pub(super) text: String,
    /// What the packet was sent to.
    pub(super) translated: Translated,
}

/// Sends a packet where a forward sends it; says by which, if there is one.
pub(super) fn follow(
    packet: &mut Packet,
    owners: &[OwnerStatus],
    engine: &mut Engine<'_>,
) -> Result<Option<Followed>, Error> {
    if packet.to.at != At::Host {
        return Ok(None);
    }
    let Some(DnatMatch {
        owner, dnat, port, ..
    }) = sent_by(owners, packet)
    else {
        return Ok(None);
    };
    let (text, guest) = (format!("{owner}, which forwards {dnat}"), dnat.guest);
    let address = Some(packet.to.address);
    packet.to = end(guest, engine.route_lookup(guest)?);
    packet.path = PacketPath::Forwarded;
    let Protocol::Port(_, of_packet) = &mut packet.protocol else {
        return Ok(None);
    };
    let translated = Translated {
        address,
        port: std::mem::replace(of_packet, port),
    };
    Ok(Some(Followed { text, translated }))
}

/// The forward that takes a packet, among those whose rules are in the firewall.
fn sent_by<'a>(owners: &'a [OwnerStatus], packet: &Packet) -> Option<DnatMatch<'a>> {
    let Protocol::Port(protocol, port) = packet.protocol else {
        return None;
    };
    let packet = ToHost {
        protocol,
        port,
        address: Some(packet.to.address),
        source: Some(packet.from.address),
        arrives: match &packet.from.at {
            At::Behind(dev) => Arrives::By(dev),
            At::Host | At::Nowhere => Arrives::FromHost,
        },
    };
    find_dnat(owners.iter().filter(|owner| owner.is_in_firewall), &packet)
}
