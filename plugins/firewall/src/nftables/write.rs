//! Commands for elements, and for the tables that have them. A script is one transaction: all of it or nothing.

use super::element::{Element, Elements, OfSet, Place};
use super::object::Object;
use super::observed::Table;
use crate::script::{Commands, ElementChange, Verb};

/// Whether a table of policies is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyTable {
    /// It is.
    Standing,
    /// It is not, since nobody has had what belongs into it.
    Missing,
}

/// Whether these are among the elements, with the same data.
pub(crate) fn has(elements: &Elements, (key, data): &Element<'_>) -> bool {
    elements.get(*key) == Some(*data)
}

/// One command for each set of which there are elements.
pub(crate) fn write_elements(
    verb: Verb,
    sets: impl IntoIterator<Item = OfSet>,
    commands: &mut Commands,
) {
    for (place, set, elements) in sets {
        if !elements.is_empty() {
            commands.push(ElementChange {
                verb,
                place,
                set,
                elements,
            });
        }
    }
}

/// Brings a table of portero's own to the elements that are wanted, or takes it away where none are:
/// `mend` changes one that is whole, `make` writes a new one.
pub(crate) fn reconcile_table(
    place: Place,
    observed: Option<&Table>,
    wanted: Option<&Elements>,
    make: impl FnOnce(&mut Commands),
    mend: impl FnOnce(&Table, &Elements, &mut Commands),
    commands: &mut Commands,
) {
    match (observed, wanted) {
        (Some(table), Some(wanted)) if table.is_whole => mend(table, wanted, commands),
        (observed, wanted) => {
            if observed.is_some() {
                commands.change(place, Object::NoTable);
            }
            if let Some(wanted) = wanted {
                make(commands);
                let nothing = Elements::default();
                write_elements(Verb::Add, wanted.without(place, &nothing), commands);
            }
        }
    }
}

/// Turns the elements that were found in a table into those that are wanted there.
pub(crate) fn write_difference(
    place: Place,
    found: &Elements,
    wanted: &Elements,
    commands: &mut Commands,
) {
    write_elements(Verb::Delete, found.without(place, wanted), commands);
    write_elements(Verb::Add, wanted.without(place, found), commands);
}
