//! Commands of nft for elements. A script is one transaction: all of it or nothing.

use super::element::{Element, Elements, Key, Place};
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

/// One command for each set; elements come in the order of their sets.
pub(crate) fn write_elements<'a>(
    verb: Verb,
    elements: impl Iterator<Item = Element<'a>>,
    commands: &mut Commands,
) {
    let mut change: Option<ElementChange> = None;
    for (Key { place, set, key }, data) in elements {
        let element = (key.to_owned(), data.clone());
        match &mut change {
            Some(open) if open.place == place && open.set == set => open.elements.push(element),
            _ => {
                let next = ElementChange {
                    verb,
                    place,
                    set: set.to_owned(),
                    elements: vec![element],
                };
                if let Some(whole) = change.replace(next) {
                    commands.push(whole);
                }
            }
        }
    }
    if let Some(whole) = change {
        commands.push(whole);
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
                write_elements(Verb::Add, wanted.iter_in(place), commands);
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
    let strange = found.iter_in(place).filter(|one| !has(wanted, one));
    write_elements(Verb::Delete, strange, commands);
    let missing = wanted.iter_in(place).filter(|one| !has(found, one));
    write_elements(Verb::Add, missing, commands);
}
