//! `portero status`: networks, guests and forwards, once or again and again.

mod form;
mod metrics;
mod obstacles;
mod row;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod watch;

use crate::exit::DONE;
use crate::json::to_json;
use crate::named::NamedError;
use obstacles::Known;
use portero_engine::Engine;
use portero_inventory::Snapshot;
use portero_libvirt::ObjectName;
use value::HostStatus;

pub(crate) use form::Form;
pub(crate) use metrics::{tell_metrics, MetricsFormat};
pub(crate) use row::{rows, ForwardState, Row};
pub(crate) use watch::StatusWatchError;

/// Says what there is now, of everybody or of one guest or network.
pub(crate) fn tell_once(
    name: Option<&ObjectName>,
    form: Form,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), NamedError> {
    let status = gather(name, engine)?;
    let text = match form {
        Form::Tables(colors) => text::draw(&status, colors),
        Form::Json => to_json(&status),
    };
    Ok((text, DONE))
}

/// Says it again and again, until somebody ends it.
pub(crate) fn tell_again(
    name: Option<&ObjectName>,
    form: Form,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), StatusWatchError> {
    watch::run(form, || gather(name, engine))?;
    Ok((String::new(), DONE))
}

fn gather(name: Option<&ObjectName>, engine: &mut Engine<'_>) -> Result<HostStatus, NamedError> {
    let mut snapshot = Snapshot::take(engine)?;
    let owners = snapshot.owners()?;
    let counters = snapshot.forward_counters(&owners)?;
    let (guests, networks) = (snapshot.guests()?, snapshot.networks());
    let facts = snapshot.host_facts();
    // Events of libvirt's wait for it.
    drop(snapshot);
    let mut status = HostStatus::new(&networks, &guests, &owners, &counters);
    let known = Known {
        networks: &networks,
        guests: &guests,
        owners: &owners,
        facts: &facts,
    };
    status.obstacles = obstacles::gather(&known, engine)?;
    if let Some(name) = name {
        if !status.keep(name) {
            return Err(NamedError::nobody(name));
        }
    }
    Ok(status)
}
