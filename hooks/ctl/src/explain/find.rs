//! Finds who wants a port and where it leads, among what everybody wants and was given.

use super::value::{Asked, Refusal, Wanted, Written};
use ipnet::IpNet;
use portero_inventory::{DesiredForwards, Guest, ObjectState, OwnerStatus};
use portero_model::{Arrives, Claim, Family, Origin, Owner, OwnerKind, ToHost};
use portero_port_forward::Forward;
use std::net::IpAddr;

/// Where rules send a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DnatMatch {
    /// The host's address in the rule.
    pub(super) address: Option<IpAddr>,
    /// The host's interface in the rule.
    pub(super) dev: Option<String>,
    /// Whom the rule is for.
    pub(super) source: Option<IpNet>,
    /// The guest.
    pub(super) guest: IpAddr,
    /// Its port.
    pub(super) port: u16,
    /// Whether all rules of the owner are in the firewall.
    pub(super) is_in_firewall: bool,
}

/// Whether a forward is about the port, whoever the client is.
fn is_about(forward: &Forward, asked: &Asked) -> bool {
    let mut mappings = forward.mappings.iter();
    forward.protocol == asked.protocol
        && mappings.any(|mapping| mapping.host.contains(asked.port))
        && packet(asked).is_to(forward.address)
        && asked
            .address
            .is_none_or(|address| forward.takes(Family::from(address)))
}

fn takes_client(forward: &Forward, asked: &Asked) -> bool {
    packet(asked).is_from(forward.source)
}

/// What a client would send.
fn packet(asked: &Asked) -> ToHost<'static> {
    ToHost {
        protocol: asked.protocol,
        port: asked.port,
        address: asked.address,
        source: asked.from,
        arrives: Arrives::Somehow,
    }
}

/// Who wants the port: one that could have it now, if there is any.
pub(super) fn who_wants<'a>(
    asked: &Asked,
    desired: &'a [DesiredForwards],
) -> Option<&'a DesiredForwards> {
    let wants = |forwards: &&DesiredForwards| {
        let now = forwards.written.as_deref().unwrap_or_default().iter();
        let mut all = now.chain(&forwards.from_next_start);
        all.any(|forward| is_about(forward, asked))
    };
    let serves = |forwards: &&DesiredForwards| {
        let mut now = forwards.written.as_deref().unwrap_or_default().iter();
        now.any(|forward| is_about(forward, asked) && takes_client(forward, asked))
    };
    let rank = |forwards: &&DesiredForwards| {
        let state = match forwards.state {
            ObjectState::Running => 0,
            ObjectState::Paused => 1,
            ObjectState::Off => 2,
        };
        (!serves(forwards), state)
    };
    desired.iter().filter(wants).min_by_key(rank)
}

/// Where the port leads, if anybody was given it.
pub(super) fn dnat_match(asked: &Asked, owners: &[OwnerStatus]) -> Option<(DnatMatch, Owner)> {
    let packet = packet(asked);
    owners.iter().find_map(|owner| {
        let ruleset = &owner.record.ruleset;
        let matched = ruleset.dnats().find_map(|dnat| {
            Some(DnatMatch {
                port: dnat.takes(&packet)?,
                address: dnat.address,
                dev: dnat.dev.clone(),
                source: dnat.source,
                guest: dnat.guest,
                is_in_firewall: owner.is_in_firewall,
            })
        })?;
        Some((matched, ruleset.owner.clone()))
    })
}

/// What has come of forwards that have no rules; `refusal` is why the hooks would refuse it.
pub(super) fn wanted(
    asked: &Asked,
    forwards: &DesiredForwards,
    owners: &[OwnerStatus],
    guests: &[Guest],
    networks: &[&str],
    refusal: Option<Refusal>,
) -> Wanted {
    let owner = forwards.owner.clone();
    let now = forwards.written.as_deref().unwrap_or_default();
    let about: Vec<&Forward> = now.iter().filter(|one| is_about(one, asked)).collect();
    if about.is_empty() {
        let mut later = forwards.from_next_start.iter();
        let spec = later.find(|one| is_about(one, asked)).map(spec);
        return match (forwards.state, spec) {
            (ObjectState::Off, _) => Wanted::Off { owner, refusal },
            (_, spec) => Wanted::Later {
                owner,
                spec: spec.unwrap_or_default(),
            },
        };
    }
    if forwards.state == ObjectState::Off {
        return Wanted::Off { owner, refusal };
    }
    if let (false, Some(source)) = (
        about.iter().any(|one| takes_client(one, asked)),
        about.iter().find_map(|one| one.source),
    ) {
        return Wanted::ForOthers {
            owner,
            whom: format!("clients in {source}"),
        };
    }
    let status = owners.iter().find(|status| {
        let known = &status.record.ruleset.owner;
        (known.kind, known.uuid) == (forwards.owner.kind, forwards.owner.uuid)
    });
    let waiting = status.and_then(|status| {
        let mut pending = status.record.pending.iter();
        pending.find(|waiting| waiting.claims.iter().any(|claim| is_claimed(claim, asked)))
    });
    if let Some(waiting) = waiting {
        let guest = guests
            .iter()
            .find(|guest| guest.uuid == forwards.owner.uuid);
        let nics = guest.map_or(&[][..], |guest| &guest.nics);
        let names = nics.iter().filter_map(|nic| nic.network.as_deref());
        let mut inactive = names.filter(|name| !networks.contains(name));
        return Wanted::Pending {
            owner,
            reason: waiting.reason.clone(),
            known: nics.iter().find_map(|nic| nic.addresses.first().copied()),
            inactive: inactive.next().map(str::to_owned),
        };
    }
    match (refusal, &forwards.written) {
        (Some(refusal), _) => Wanted::Refused { owner, refusal },
        (None, Err(error)) => Wanted::Refused {
            owner,
            refusal: error.into(),
        },
        (None, Ok(_)) => Wanted::Untold { owner },
    }
}

fn is_claimed(claim: &Claim, asked: &Asked) -> bool {
    claim.protocol == asked.protocol
        && claim.ports.contains(asked.port)
        && packet(asked).is_to(claim.address)
}

/// The forward that is about the port, where `portero forward` can change it.
pub(super) fn written(asked: &Asked, forwards: &DesiredForwards) -> Option<Written> {
    let now = forwards.written.as_deref().unwrap_or_default();
    let forward = now.iter().find(|one| is_about(one, asked))?;
    let is_simple = forward.mappings.len() == 1 && forward.interface.is_none();
    let is_metadata = matches!(forward.origin, Origin::Metadata(_));
    let is_domain = forwards.owner.kind == OwnerKind::Domain;
    (is_simple && is_metadata && is_domain).then(|| Written {
        spec: spec(forward),
        without_guest: spec(&Forward {
            guest: None,
            ..forward.clone()
        }),
    })
}

/// A forward as `portero forward add` takes it, with its options.
fn spec(forward: &Forward) -> String {
    let mut text = String::new();
    match forward.address {
        Some(IpAddr::V6(address)) => text += &format!("[{address}]:"),
        Some(address) => text += &format!("{address}:"),
        None => {}
    }
    if let Some(mapping) = forward.mappings.first() {
        text += &format!(
            "{}:{}/{}",
            mapping.host,
            mapping.guest.start(),
            forward.protocol
        );
    }
    if let Some(source) = forward.source {
        text += &format!(" --source {source}");
    }
    if let Some(dev) = &forward.dev {
        text += &format!(" --dev {dev}");
    }
    if let Some(guest) = forward.guest {
        text += &format!(" --guest {guest}");
    }
    text
}
