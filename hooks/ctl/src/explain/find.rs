//! Finds who wants a port and where it leads, among what everybody wants and was given.

use super::value::{Asked, MissingNetwork, RefusalReason, Waits, Wanted, Written};
use crate::forward::Spec;
use portero_inventory::{DesiredForwards, Object, ObjectState, OwnerStatus};
use portero_libvirt::Nic;
use portero_model::{Arrives, Claim, Family, Origin, OwnerKind, ToHost};
use portero_port_forward::{Forward, Missing};
use std::net::IpAddr;

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
pub(super) fn packet(asked: &Asked) -> ToHost<'static> {
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

/// What has come of forwards that have no rules.
pub(super) fn find_outcome(
    asked: &Asked,
    forwards: &DesiredForwards,
    owners: &[OwnerStatus],
    found: Findings<'_>,
) -> Wanted {
    let owner = forwards.owner.clone();
    let Findings {
        refusal,
        networks,
        guest_of,
    } = found;
    let now = forwards.written.as_deref().unwrap_or_default();
    let about: Vec<&Forward> = now.iter().filter(|one| is_about(one, asked)).collect();
    let off = |owner, refusal| Wanted::Off {
        owner,
        refusal,
        inactive: inactive_networks(forwards, networks),
    };
    if about.is_empty() {
        let mut later = forwards.from_next_start.iter();
        let spec = later.find(|one| is_about(one, asked)).map(write_spec);
        return match (forwards.state, spec) {
            (ObjectState::Off, _) => off(owner, refusal),
            (_, spec) => Wanted::Later {
                owner,
                spec: spec.unwrap_or_default(),
            },
        };
    }
    if forwards.state == ObjectState::Off {
        return off(owner, refusal);
    }
    let taker = about.iter().find(|one| takes_client(one, asked));
    let source = about.iter().find_map(|one| one.source);
    if let (None, Some(source)) = (taker, source) {
        let whom = format!("clients in {source}");
        return Wanted::ForOthers { owner, whom };
    }
    let mut statuses = owners.iter().map(|status| &status.record);
    let record = statuses.find(|record| record.ruleset.owner.key() == owner.key());
    let mut pending = record.iter().flat_map(|record| &record.pending);
    let waits = |claim: &Claim| is_claimed(claim, asked);
    let recorded = pending.find(|waiting| waiting.claims.iter().any(waits));
    let wrong = || forwards.written.as_ref().err().map(RefusalReason::from);
    if let (None, Some(refusal)) = (recorded, refusal.or_else(wrong)) {
        return Wanted::Refused { owner, refusal };
    }
    let guest = taker.and_then(|forward| Some((*forward, guest_of(forward)?)));
    match (guest, recorded) {
        (Some((forward, Err(missing))), _) => Wanted::Pending {
            owner,
            reason: missing.to_string(),
            waits: waits_for(missing, forward, forwards, networks),
        },
        (Some((_, Ok(addresses))), Some(recorded)) => Wanted::Pending {
            owner,
            reason: recorded.reason.clone(),
            waits: Waits::Known(addresses),
        },
        _ => Wanted::Untold { owner },
    }
}

/// The guest's addresses that a forward leads to, or what is missing.
type GuestAddresses = Result<Vec<IpAddr>, Missing>;

/// What is known beside what somebody wants.
pub(super) struct Findings<'a> {
    /// Why the hooks would refuse it.
    pub(super) refusal: Option<RefusalReason>,
    /// All networks that libvirt has, and whether each is active.
    pub(super) networks: &'a [(String, ObjectState)],
    /// Where a forward would lead now, or what is missing; nothing when that cannot be found out.
    pub(super) guest_of: &'a dyn Fn(&Forward) -> Option<GuestAddresses>,
}

/// The networks of a domain that are not active, each once.
pub(super) fn inactive_networks(
    desired: &DesiredForwards,
    networks: &[(String, ObjectState)],
) -> Vec<MissingNetwork> {
    let nics = nics(desired);
    let names = nics.iter().filter_map(|nic| nic.network.as_deref());
    let mut inactive: Vec<MissingNetwork> = Vec::new();
    for name in names {
        let known = networks.iter().find(|(known, _)| known == name);
        let is_active = known.is_some_and(|(_, state)| *state != ObjectState::Off);
        if !is_active && inactive.iter().all(|one| one.name != name) {
            inactive.push(missing_network(name, networks));
        }
    }
    inactive
}

fn missing_network(name: &str, networks: &[(String, ObjectState)]) -> MissingNetwork {
    MissingNetwork {
        name: name.to_owned(),
        is_defined: networks.iter().any(|(known, _)| known == name),
    }
}

fn nics(desired: &DesiredForwards) -> &[Nic] {
    match &desired.object {
        Object::Domain(domain) => &domain.nics,
        Object::Network(_) => &[],
    }
}

fn waits_for(
    missing: Missing,
    forward: &Forward,
    desired: &DesiredForwards,
    networks: &[(String, ObjectState)],
) -> Waits {
    let nics = nics(desired);
    match missing {
        Missing::NoInterface => Waits::Interface(nics.iter().map(|nic| nic.kind).collect()),
        Missing::NoSuchInterface { .. } => {
            let on_networks = nics.iter().filter(|nic| nic.network.is_some());
            Waits::NamedInterface(on_networks.map(|nic| nic.mac).collect())
        }
        Missing::Inactive { network } => Waits::Network(missing_network(&network, networks)),
        Missing::NoSubnet { network, family } => Waits::Subnet { network, family },
        Missing::NoDhcp { .. } => {
            Waits::Address(is_simple(forward, desired).then(|| write_spec(forward)))
        }
        Missing::NoLease { .. } | Missing::NoAddress { .. } => Waits::Lease,
    }
}

fn is_claimed(claim: &Claim, asked: &Asked) -> bool {
    claim.protocol == asked.protocol
        && claim.ports.contains(asked.port)
        && packet(asked).is_to(claim.address)
}

/// The forward that is about the port, where `portero forward` can change it.
pub(super) fn find_written(asked: &Asked, forwards: &DesiredForwards) -> Option<Written> {
    let now = forwards.written.as_deref().unwrap_or_default();
    let forward = now.iter().find(|one| is_about(one, asked))?;
    is_simple(forward, forwards).then(|| Written {
        spec: write_spec(forward),
        without_guest: write_spec(&Forward {
            guest: None,
            ..forward.clone()
        }),
    })
}

/// Whether `portero forward` can change a forward.
fn is_simple(forward: &Forward, desired: &DesiredForwards) -> bool {
    forward.mappings.len() == 1
        && forward.sources.is_empty()
        && !forward.has_defaults
        && !forward.is_whole_address
        && forward.interface.is_none()
        && matches!(forward.origin, Origin::Metadata(_))
        && desired.owner.kind == OwnerKind::Domain
}

/// A forward as `portero forward add` takes it, with its options.
fn write_spec(forward: &Forward) -> String {
    // It is about a port, so that it has one.
    let mapping = forward.mappings.first();
    let mut text = mapping.map_or(String::new(), |mapping| {
        Spec::of(forward, *mapping).to_string()
    });
    if let Some(source) = forward.source {
        text += &format!(" --source {source}");
    }
    if let Some(dev) = &forward.dev {
        text += &format!(" --dev {dev}");
    }
    if let Some(guest) = forward.guest {
        text += &format!(" --guest {guest}");
    }
    if forward.masquerade {
        text += " --masquerade";
    }
    text
}
