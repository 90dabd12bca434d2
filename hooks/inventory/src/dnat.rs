//! Which forward takes a packet that comes to the host, and how its answers are routed.

use crate::OwnerStatus;
use portero_model::{Dnat, Owner, ReplyRoute, Rule, ToHost};
use std::net::IpAddr;

/// Where rules send a packet.
#[derive(Debug)]
pub struct DnatMatch<'a> {
    /// Who was given the rule.
    pub owner: &'a Owner,
    /// The rule.
    pub dnat: &'a Dnat,
    /// The guest's port.
    pub port: u16,
    /// Whether all rules of the owner are in the firewall.
    pub is_in_firewall: bool,
}

/// The forward that takes a packet, as the firewalls ask them: an address that leads to a guest as a whole comes first, and
/// last where it is not known what address the packet is sent to.
pub fn find_dnat<'a>(
    owners: impl IntoIterator<Item = &'a OwnerStatus>,
    packet: &ToHost<'_>,
) -> Option<DnatMatch<'a>> {
    let matches = owners.into_iter().flat_map(|status| {
        let ruleset = &status.record.ruleset;
        ruleset.dnats().filter_map(move |dnat| {
            Some(DnatMatch {
                owner: &ruleset.owner,
                dnat,
                port: dnat.takes(packet)?,
                is_in_firewall: status.is_in_firewall,
            })
        })
    });
    matches.min_by_key(|one| one.dnat.is_whole_address != packet.address.is_some())
}

/// By which mark and table a guest answers connections that came for an address of the host, where a forward to that guest is
/// symmetric.
pub fn find_reply_route<'a>(
    owners: impl IntoIterator<Item = &'a OwnerStatus>,
    host: IpAddr,
    of: IpAddr,
) -> Option<ReplyRoute> {
    rules_in_firewall(owners).find_map(|rule| match rule {
        Rule::Symmetric {
            address,
            guest,
            route,
        } if (*address, *guest) == (host, of) => Some(*route),
        _ => None,
    })
}

/// Whether a guest sees the host's address in place of a client's, or of everybody's when absent, that connects by a forward.
pub fn is_masqueraded<'a>(
    owners: impl IntoIterator<Item = &'a OwnerStatus>,
    of: IpAddr,
    client: Option<IpAddr>,
) -> bool {
    rules_in_firewall(owners).any(|rule| match rule {
        Rule::Masquerade { source, guest, .. } if *guest == of => match (source, client) {
            (None, _) => true,
            (Some(source), Some(client)) => source.contains(&client),
            (Some(_), None) => false,
        },
        _ => false,
    })
}

fn rules_in_firewall<'a>(
    owners: impl IntoIterator<Item = &'a OwnerStatus>,
) -> impl Iterator<Item = &'a Rule> {
    let given = owners.into_iter().filter(|owner| owner.is_in_firewall);
    given.flat_map(|owner| &owner.record.ruleset.rules)
}
