//! Sets what was read elsewhere as portero's element in the metadata of domains.

use super::args::{Activity, AffectedState};
use super::change::{claims, commit, take_back, ExpectedClaims, MetadataChange};
use super::document::Document;
use super::error::Error;
use super::guest::LibvirtGuest;
use super::host::Host;
use super::{changeable, outcome, warn_of_conflicts, when};
use portero_libvirt::ObjectName;
use portero_system::clean_environment;

/// What a domain is to have.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The domain.
    pub(crate) name: ObjectName,
    /// portero's element without its namespace.
    pub(crate) element: String,
}

/// How elements are set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetOptions {
    /// In the running domain too, where it runs.
    pub(crate) live: bool,
    /// Though one is lost that is there already; nothing is set without.
    pub(crate) replace: bool,
}

/// One domain with what is to be changed of it.
struct Planned {
    guest: LibvirtGuest,
    changes: Vec<MetadataChange>,
    expected: ExpectedClaims,
}

/// Sets elements of all domains, or, when one cannot have its own, of none; gives what to print.
///
/// # Errors
/// [`Error`]; all is as it was then.
pub(crate) fn set(
    connect: Option<&str>,
    wanted: &[Wanted],
    options: SetOptions,
) -> Result<String, Error> {
    let host = Host::connect(connect)?;
    clean_environment();
    let planned = wanted.iter().map(|one| plan(&host, one, options));
    let planned: Vec<Planned> = planned.collect::<Result<_, _>>()?;
    let mut text = String::new();
    for (index, one) in planned.iter().enumerate() {
        let guest = &one.guest;
        let record = match commit(&host, guest, &one.changes, None, &one.expected) {
            Ok(record) => record,
            Err(error) => {
                for done in planned[..index].iter().rev() {
                    take_back(&host, &done.guest, &done.changes);
                }
                return Err(error);
            }
        };
        let mut waits = record.iter().flat_map(|record| &record.pending);
        let now = match waits.next().map(|waiting| &waiting.reason) {
            Some(reason) => format!("{guest} does not forward all of it yet: {reason}\n"),
            None => format!("{guest} forwards what was imported\n"),
        };
        let at_start = format!("{guest} forwards what was imported from its next start on\n");
        text += &outcome(&host, guest, &one.changes, &now, &at_start);
    }
    Ok(text)
}

/// Reads what is there and checks what shall be, before anything is changed.
fn plan(host: &Host, wanted: &Wanted, options: SetOptions) -> Result<Planned, Error> {
    let guest = changeable(host, wanted.name.as_str())?;
    let targets: &[AffectedState] = match (options.live, guest.activity) {
        (true, Activity::Running) => &[AffectedState::Config, AffectedState::Live],
        _ => &[AffectedState::Config],
    };
    let element = Document::parse(&wanted.element).map_err(|source| Error::Metadata {
        domain: guest.name.escape_debug().to_string(),
        source,
    })?;
    let (mut changes, mut expected) = (Vec::new(), ExpectedClaims::default());
    for target in targets {
        let mut change = MetadataChange::read(&guest, *target)?;
        if change.has_element() && !options.replace {
            return Err(Error::Existing {
                domain: guest.name.escape_debug().to_string(),
                place: when(*target),
            });
        }
        change.document = element.clone();
        let conflict = change.check(host, &guest)?;
        warn_of_conflicts(&guest, conflict);
        let forwards = change.forwards(&guest)?;
        expected.gained = claims(host, &forwards)?;
        changes.push(change);
    }
    Ok(Planned {
        guest,
        changes,
        expected,
    })
}
