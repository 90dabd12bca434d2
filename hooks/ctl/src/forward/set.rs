//! Sets what was read elsewhere as portero's element in the metadata of domains.

use super::args::{Activity, Target};
use super::change::{commit, take_back, Change, Expected};
use super::document::Document;
use super::error::Error;
use super::guest::Guest;
use super::host::Host;
use super::{changeable, outcome, when};
use crate::terminal::warning;
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

/// Which states of the domains are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From the next start on.
    Config,
    /// The running domain too, where it runs.
    Live,
}

/// What becomes of an element that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is not touched, and nothing is set.
    Refuse,
    /// It is lost.
    Replace,
}

/// One domain with what is to be changed of it.
struct Planned {
    guest: Guest,
    changes: Vec<Change>,
    expected: Expected,
}

/// Sets elements of all domains, or, when one cannot have its own, of none; gives what to print.
///
/// # Errors
/// [`Error`]; all is as it was then.
pub(crate) fn set(
    connect: Option<&str>,
    wanted: &[Wanted],
    reach: Reach,
    existing: Existing,
) -> Result<String, Error> {
    let host = Host::connect(connect)?;
    clean_environment();
    let planned = wanted.iter().map(|one| plan(&host, one, reach, existing));
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
        let waits = record.iter().flat_map(|record| &record.pending).next();
        let now = match waits {
            Some(waiting) => format!(
                "{guest} does not forward all of it yet: {}\n",
                waiting.reason
            ),
            None => format!("{guest} forwards what was imported\n"),
        };
        let at_start = format!("{guest} forwards what was imported from its next start on\n");
        text += &outcome(&host, guest, &one.changes, &now, &at_start);
    }
    Ok(text)
}

/// Reads what is there and checks what shall be, before anything is changed.
fn plan(host: &Host, wanted: &Wanted, reach: Reach, existing: Existing) -> Result<Planned, Error> {
    let guest = changeable(host, wanted.name.as_str())?;
    let targets: &[Target] = match (reach, guest.activity) {
        (Reach::Live, Activity::Running) => &[Target::Config, Target::Live],
        _ => &[Target::Config],
    };
    let element = Document::parse(&wanted.element).map_err(|source| Error::Metadata {
        domain: guest.name.escape_debug().to_string(),
        source,
    })?;
    let (mut changes, mut expected) = (Vec::new(), Expected::default());
    for target in targets {
        let mut change = Change::read(&guest, *target)?;
        if change.has_element() && existing == Existing::Refuse {
            return Err(Error::Existing {
                domain: guest.name.escape_debug().to_string(),
                place: when(*target),
            });
        }
        change.document = element.clone();
        if let Some(conflict) = change.check(host, &guest)? {
            warning(format_args!(
                "{conflict}; {guest} cannot start while that is so"
            ));
        }
        let forwards = change.forwards(&guest)?;
        expected.gained = forwards.iter().flat_map(|one| one.claims()).collect();
        changes.push(change);
    }
    Ok(Planned {
        guest,
        changes,
        expected,
    })
}
