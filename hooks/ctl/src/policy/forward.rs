//! Follows packets to ports of the host that are forwarded to guests.

use super::end::end;
use super::Error;
use portero_engine::{Engine, OwnerStatus};
use portero_model::Rule;
use portero_routed_policy::{At, Course, Packet, Protocol};
use std::net::IpAddr;

/// Sends a packet where a forward sends it; says by which, if there is one.
pub(super) fn follow(
    packet: &mut Packet,
    engine: &mut Engine<'_>,
) -> Result<Option<String>, Error> {
    if packet.to.at != At::Host {
        return Ok(None);
    }
    let owners = engine.status()?;
    let Some((text, guest, port)) = owners.iter().find_map(|owner| sent_by(owner, packet)) else {
        return Ok(None);
    };
    packet.to = end(guest, engine.whereabouts(guest)?);
    packet.course = Course::Forwarded;
    if let Protocol::Port(_, of_packet) = &mut packet.protocol {
        *of_packet = port;
    }
    Ok(Some(text))
}

/// Which of an owner's forwards takes a packet, and to which port of which guest.
fn sent_by(owner: &OwnerStatus, packet: &Packet) -> Option<(String, IpAddr, u16)> {
    let Protocol::Port(wanted, port) = packet.protocol else {
        return None;
    };
    let ruleset = &owner.record.ruleset;
    let mut rules = ruleset.rules.iter().filter(|_| owner.is_in_firewall);
    rules.find_map(|rule| {
        let Rule::Dnat {
            protocol,
            address,
            dev,
            source,
            ports,
            guest,
            guest_ports,
        } = rule
        else {
            return None;
        };
        let to = packet.to.address;
        // Loopback has to be asked for.
        let is_address = match address {
            Some(address) => *address == to,
            None => !to.is_loopback(),
        };
        let is_dev = |dev: &String| packet.from.at == At::Behind(dev.clone());
        let fits = *protocol == wanted
            && to.is_ipv4() == guest.is_ipv4()
            && is_address
            && dev.as_ref().is_none_or(is_dev)
            && source.is_none_or(|source| source.contains(&packet.from.address));
        let mut pairs = ports.zip(*guest_ports).filter(|_| fits);
        let (_, guest_port) = pairs.find(|(host, _)| *host == port)?;
        Some((
            format!("{}, which forwards {rule}", ruleset.owner),
            *guest,
            guest_port,
        ))
    })
}
