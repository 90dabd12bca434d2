//! The host's address: whether it has it, and what to do where it does not.

use super::hop::Seen;
use crate::explain::value::{AddressOf, Facts, Wanted};
use portero_model::{Owner, OwnerKind};
use portero_trace::word;
use std::net::IpAddr;

/// The host's address has to be the host's.
pub(super) fn address(facts: &Facts) -> Seen {
    let named = facts.way.as_ref().and_then(|way| way.address);
    let Some(address) = facts.asked.address.or(named) else {
        return Seen::Ok("any address of the host's".to_owned());
    };
    if address.is_loopback() {
        return Seen::Ok(format!(
            "{address} is the host's own, for the host itself alone"
        ));
    }
    let mut own = facts.own.iter();
    if let Some((dev, _)) = own.find(|(_, own)| *own == address) {
        return Seen::Ok(format!("{address} is on {dev}"));
    }
    let length = if address.is_ipv4() { 32 } else { 128 };
    let text = format!("{address} is not an address of this host");
    match &facts.lacking {
        Some(AddressOf::Nobody { dev }) => Seen::fails(
            format!("{text}, and nobody on {dev} answers for it"),
            format!("ip address add {address}/{length} dev {dev}"),
        ),
        Some(AddressOf::Somebody { dev, who }) => Seen::fails(
            format!("{text}: {who} on {dev} answers for it"),
            instead(facts, address),
        ),
        Some(AddressOf::Network { name, leads }) => Seen::fails(
            format!(
                "{text}: it is in the subnet of network '{}'",
                name.escape_debug()
            ),
            match leads {
                Some(port) => {
                    format!("ask for the port of the host that leads there: portero explain {port}")
                }
                None => instead(facts, address),
            },
        ),
        Some(AddressOf::Unknown) | None => Seen::fails(
            format!("{text}, and whose it is cannot be seen from here"),
            instead(facts, address),
        ),
    }
}

/// Another address in place of one that the host must not take.
fn instead(facts: &Facts, address: IpAddr) -> String {
    let is_fit =
        |own: &&(String, IpAddr)| own.1.is_ipv4() == address.is_ipv4() && !own.1.is_loopback();
    let own: Vec<String> = facts
        .own
        .iter()
        .filter(is_fit)
        .map(|(dev, own)| format!("{own} on {dev}"))
        .collect();
    let own = match own.as_slice() {
        [] => String::new(),
        own => format!(" ({})", own.join(", ")),
    };
    match owner(&facts.wanted) {
        // Whoever wants the port of this address has written it.
        Some(owner) => format!(
            "give the forward an address of this host{own}, or none: {}",
            edit(owner)
        ),
        None => format!("name an address of this host{own}"),
    }
}

/// What lets the administrator change the metadata of somebody.
pub(super) fn edit(owner: &Owner) -> String {
    let name = word(&owner.name);
    match owner.kind {
        OwnerKind::Domain => format!("virsh {}edit {name}", owner.connect_option()),
        OwnerKind::Network => format!("virsh net-edit {name}"),
    }
}

fn owner(wanted: &Wanted) -> Option<&Owner> {
    match wanted {
        Wanted::Nobody | Wanted::Published(_) | Wanted::Unclear { .. } => None,
        Wanted::ForOthers { owner, .. }
        | Wanted::Off { owner, .. }
        | Wanted::Later { owner, .. }
        | Wanted::Refused { owner, .. }
        | Wanted::Untold { owner }
        | Wanted::Pending { owner, .. }
        | Wanted::Given { owner, .. } => Some(owner),
    }
}
