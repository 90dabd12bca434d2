//! What a command changes in a domain's metadata: checked before the first effect, and taken back as
//! a whole when any of it fails.

use super::args::AffectedState;
use super::document::Document;
use super::error::Error;
use super::guest::LibvirtGuest;
use super::host::{Host, HostPlace};
use super::reserve::NewReservation;
use crate::doctor::Finding;
use crate::terminal::warning;
use portero_engine::{ApplyError, Engine, Record};
use portero_libvirt::Domain;
use portero_model::{Claim, Owner};
use portero_port_forward::{check_own, Forward};
use portero_system::LogSink;

/// portero's element in one state of a domain, as it is and as it shall be.
pub(crate) struct MetadataChange {
    pub(crate) target: AffectedState,
    pub(crate) domain: Domain,
    before: Option<String>,
    /// As it shall be.
    pub(crate) document: Document,
}

/// What a running domain shall hold afterwards, and what no more.
#[derive(Debug, Default)]
pub(crate) struct ExpectedClaims {
    pub(crate) gained: Vec<Claim>,
    pub(crate) lost: Vec<Claim>,
}

impl MetadataChange {
    /// Reads what is there; as it is, it changes nothing.
    ///
    /// # Errors
    /// [`Error`] when libvirt does not answer, or it cannot be understood.
    pub(crate) fn read(guest: &LibvirtGuest, target: AffectedState) -> Result<Self, Error> {
        let domain = guest.domain(target)?;
        // Of another version of portero's namespace libvirt would give nothing here.
        domain.metadata().map_err(|source| ApplyError::Metadata {
            object: guest.to_string(),
            source,
        })?;
        let before = guest.metadata(target)?;
        Ok(Self {
            target,
            domain,
            document: guest.document(before.as_deref())?,
            before,
        })
    }

    /// Whether there is an element of portero's now.
    pub(crate) fn has_element(&self) -> bool {
        self.before.is_some()
    }

    fn undo(&self, guest: &LibvirtGuest) -> Result<(), Error> {
        guest.set_metadata(self.target, self.before.as_deref())
    }

    /// The forwards that it shall have.
    ///
    /// # Errors
    /// [`Error`] when portero's grammar does not take it.
    pub(crate) fn forwards(&self, guest: &LibvirtGuest) -> Result<Vec<Forward>, Error> {
        guest.forwards(&self.domain, &self.document)
    }

    /// Checks what it shall have as the hooks would, as far as that can be told from here; gives what
    /// others hold now and the domain could not have at its next start.
    ///
    /// # Errors
    /// [`Error`] with what is wrong.
    pub(crate) fn check(
        &self,
        host: &Host,
        guest: &LibvirtGuest,
    ) -> Result<Option<ApplyError>, Error> {
        let forwards = self.forwards(guest)?;
        if host.place != HostPlace::Here {
            check_own(&forwards)?;
            return Ok(None);
        }
        let element = guest.element(&self.document)?;
        let domain = self.domain.clone().with_metadata(Some(element));
        let conflict = with_engine(|engine| engine.check_domain(&domain))?;
        match (conflict, self.target) {
            (Some(conflict), AffectedState::Live) => Err(conflict.into()),
            (conflict, _) => Ok(conflict),
        }
    }
}

/// Makes changes and applies them; gives what the running domain has then, where that is known.
///
/// # Errors
/// [`Error`]; all is as it was then.
pub(crate) fn commit(
    host: &Host,
    guest: &LibvirtGuest,
    changes: &[MetadataChange],
    reservation: Option<&NewReservation>,
    expected: &ExpectedClaims,
) -> Result<Option<Record>, Error> {
    if let Some(reservation) = reservation {
        reservation.make()?;
    }
    let mut done = Vec::new();
    let written = changes.iter().try_for_each(|change| {
        guest.set_metadata(change.target, change.document.text().as_deref())?;
        done.push(change);
        Ok(())
    });
    let is_live = changes
        .iter()
        .any(|change| change.target == AffectedState::Live);
    let applied = written.and_then(|()| {
        let record = reconcile(host, changes)?;
        if is_live && host.place == HostPlace::Here && !expected.is_met(record.as_ref()) {
            // portero-watch heard of it first, and its log says what is wrong.
            let domain = guest.name.escape_debug().to_string();
            return Err(Error::NotApplied { domain });
        }
        Ok(record)
    });
    if applied.is_err() {
        let undone = done.iter().rev().map(|change| change.undo(guest));
        warn_of_failures(undone.chain(reservation.map(NewReservation::unmake)));
        // It has what it had, or says why it has not.
        let _ = reconcile(host, changes);
    }
    applied
}

/// The host ports that forwards hold by what is set on this host.
///
/// # Errors
/// [`Error`] when the host's settings cannot be used.
pub(crate) fn claims(host: &Host, forwards: &[Forward]) -> Result<Vec<Claim>, Error> {
    let forwards = match host.place {
        HostPlace::Here => with_engine(|engine| engine.complete(forwards.to_vec()))?,
        HostPlace::Elsewhere { .. } => forwards.to_vec(),
    };
    Ok(forwards
        .iter()
        .flat_map(|forward| forward.claims())
        .collect())
}

/// Warns of what others on this host do to the forwards of an owner.
pub(crate) fn warn_of_others(owner: &Owner) {
    // The forward is there: what cannot be looked at now is no failure.
    let found = with_engine(|engine| crate::doctor::forwards_of(engine, owner));
    for Finding { finding, mend } in found.unwrap_or_default() {
        warning(format_args!("{finding}; {mend}"));
    }
}

/// Takes back changes that were made, when another domain's could not be.
pub(crate) fn take_back(host: &Host, guest: &LibvirtGuest, changes: &[MetadataChange]) {
    warn_of_failures(changes.iter().rev().map(|change| change.undo(guest)));
    warn_of_failures([reconcile(host, changes).map(drop)]);
}

fn warn_of_failures(results: impl IntoIterator<Item = Result<(), Error>>) {
    for failure in results.into_iter().filter_map(Result::err) {
        warning(format_args!("cannot take back what was done: {failure}"));
    }
}

/// Gives the running domain of this host what it asks for after changes.
fn reconcile(host: &Host, changes: &[MetadataChange]) -> Result<Option<Record>, Error> {
    let mut live = changes.iter();
    match live.find(|change| change.target == AffectedState::Live) {
        Some(change) if host.place == HostPlace::Here => {
            let Domain { driver, name, .. } = &change.domain;
            Ok(with_engine(|engine| {
                engine.reconcile_domain(*driver, name)
            })?)
        }
        _ => Ok(None),
    }
}

impl ExpectedClaims {
    fn is_met(&self, record: Option<&Record>) -> bool {
        let held = record.map_or(&[][..], |record| &record.ruleset.claims);
        let is_lost = |lost: &Claim| !held.iter().any(|held| held.conflicts_with(lost));
        self.gained.iter().all(|gained| held.contains(gained)) && self.lost.iter().all(is_lost)
    }
}

fn with_engine<T>(
    work: impl FnOnce(&mut Engine<'_>) -> Result<T, ApplyError>,
) -> Result<T, ApplyError> {
    crate::engine::with_engine_for(LogSink::System, Some("portero forward"), work)
}
