//! Refuses host ports that are somebody else's: another forward's, or a program's on the host.

use crate::index::Index;
use crate::{ErrorKind, Forward, Limits, Result};
use portero_model::{Claim, Owner, Protocol, Ruleset};
use portero_xml::Sanitised;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

/// A socket on which a program of the host waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address it is bound to.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Which program that is, where it can be seen.
    pub program: Option<ListeningProgram>,
}

/// A program that waits on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningProgram {
    /// Its name (`comm` in proc(5)).
    pub name: String,
    /// Its process.
    pub process: u32,
    /// The unit of systemd's that it is in (`nginx.service`), where there is one.
    pub unit: Option<String>,
}

/// Why a port cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortRefusal {
    /// Another owner's forward holds it.
    #[error("{claim} is held by {}", tell_apart(.holder, .asker))]
    Held {
        /// What was asked for.
        claim: Claim,
        /// Who has it.
        holder: Owner,
        /// Who asks for it.
        asker: Owner,
    },
    /// A program on the host listens on it.
    #[error(
        "{claim}: {} listens on {} port {} ({}permit it as 'listening' under [limits] in portero.toml)",
        name_program(.listener), .listener.address, .listener.port, elsewhere(.listener)
    )]
    Listening {
        /// What was asked for.
        claim: Claim,
        /// The program's socket.
        listener: Listener,
    },
    /// Two forwards of the same object hold it.
    #[error("{claim} is already forwarded by the {element} in line {line}")]
    Twice {
        /// What was asked for.
        claim: Claim,
        /// Name of the other element.
        element: &'static str,
        /// Line of the other element.
        line: usize,
    },
}

/// Who has a port, for somebody else: two may have one name, as when a guest was made anew.
fn tell_apart(holder: &Owner, asker: &Owner) -> String {
    if (holder.kind, &holder.name) == (asker.kind, &asker.name) {
        format!("another {holder} with UUID {}", holder.uuid)
    } else {
        holder.to_string()
    }
}

fn name_program(listener: &Listener) -> String {
    match &listener.program {
        Some(ListeningProgram {
            name,
            process,
            unit,
        }) => {
            let name = Sanitised(name);
            match unit {
                Some(unit) => format!("program {name} (process {process}, {})", Sanitised(unit)),
                None => format!("program {name} (process {process})"),
            }
        }
        None => "the host itself".to_owned(),
    }
}

/// What else helps: whoever listens on all addresses has each of them.
fn elsewhere(listener: &Listener) -> &'static str {
    if listener.address.is_unspecified() {
        "stop it, or "
    } else {
        "give address= for another of the host's addresses, or "
    }
}

/// Checks the forwards of one object against each other.
///
/// # Errors
/// [`crate::ForwardError`] at the second of two forwards of one port.
pub fn check_own(forwards: &[Forward]) -> Result<()> {
    let mut earlier = Index::default();
    for (index, forward) in forwards.iter().enumerate() {
        let claims: Vec<Claim> = forward.claims().collect();
        for claim in &claims {
            if let Some((other, _)) = earlier.first_in_conflict(claim) {
                let other = &forwards[other];
                return Err(forward.invalid(PortRefusal::Twice {
                    claim: claim.clone(),
                    element: other.element(),
                    line: other.line,
                }));
            }
        }
        for claim in claims {
            earlier.insert(index, claim);
        }
    }
    Ok(())
}

/// Checks forwards against what all other owners hold.
///
/// # Errors
/// [`crate::ForwardError`] at the first forward of a port that somebody else holds.
pub fn check_others<'a>(
    owner: &Owner,
    forwards: &[Forward],
    others: impl IntoIterator<Item = &'a Ruleset>,
) -> Result<()> {
    let mut own = Index::default();
    for (index, forward) in forwards.iter().enumerate() {
        for claim in forward.claims() {
            own.insert(index, claim);
        }
    }
    for other in others {
        if other.owner.key() == owner.key() {
            continue;
        }
        for held in &other.claims {
            if let Some((index, claim)) = own.first_in_conflict(held) {
                let refusal = PortRefusal::Held {
                    claim: claim.clone(),
                    holder: other.owner.clone(),
                    asker: owner.clone(),
                };
                return Err(forwards[index].error(ErrorKind::Taken, refusal));
            }
        }
    }
    Ok(())
}

/// Checks forwards against the sockets of the host's own programs; ports that the owner already
/// `held` are not checked again.
///
/// # Errors
/// [`crate::ForwardError`] at the first forward that would take a program's port.
pub fn check_listeners(
    forwards: &[Forward],
    held: &HashSet<&Claim>,
    listeners: &[Listener],
    limits: &Limits,
) -> Result<()> {
    for forward in forwards {
        // Of a whole address only a program that asked for this very one is in the way: whoever gives the address away does
        // not mean the host's own ports on all addresses.
        let is_in_the_way = |listener: &Listener| {
            !forward.is_whole_address || forward.address == Some(listener.address.to_canonical())
        };
        for claim in forward.claims().filter(|claim| !held.contains(claim)) {
            let taken = listeners.iter().find(|listener| {
                is_in_the_way(listener)
                    && would_take(&claim, listener)
                    && !limits.may_take_from_listener(listener.port)
            });
            if let Some(listener) = taken.cloned() {
                return Err(forward.unpermitted(PortRefusal::Listening { claim, listener }));
            }
        }
    }
    Ok(())
}

/// Whether packets for the listener would match the claim. A wildcard IPv6 socket usually serves
/// IPv4 too (ipv6(7), `IPV6_V6ONLY`), so it is taken to.
fn would_take(claim: &Claim, listener: &Listener) -> bool {
    if claim.protocol != listener.protocol || !claim.ports.contains(listener.port) {
        return false;
    }
    let bound = match listener.address {
        IpAddr::V6(address) => address
            .to_ipv4_mapped()
            .map_or(listener.address, IpAddr::V4),
        IpAddr::V4(_) => listener.address,
    };
    match claim.address {
        None => !bound.is_loopback(),
        Some(address) => {
            let any_v4 = bound == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            bound == address || (any_v4 && address.is_ipv4()) || (bound.is_unspecified() && !any_v4)
        }
    }
}
