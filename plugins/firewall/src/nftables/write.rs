//! Commands of nft for elements. A script is one transaction: all of it or nothing.

use super::element::{Element, Elements, Key, Place};
use super::observed::Table;
use crate::{Script, Tool};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Whether a table of policies is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyTable {
    /// It is.
    Standing,
    /// It is not, since nobody has had what belongs into it.
    Missing,
}

/// A script for nft, if it has any command.
pub(crate) fn script(text: String) -> Option<Script> {
    (!text.is_empty()).then_some(Script {
        tool: Tool::Nft,
        text,
    })
}

/// Whether these are among the elements, with the same data.
pub(crate) fn has(elements: &Elements, (key, data): &Element<'_>) -> bool {
    elements.get(*key) == Some(*data)
}

/// One command for each set; elements come in the order of their sets.
pub(crate) fn write_elements<'a>(
    verb: &str,
    elements: impl Iterator<Item = Element<'a>>,
    text: &mut String,
) {
    let mut open = None;
    for (Key { place, set, key }, data) in elements {
        if open == Some((place, set)) {
            *text += ", ";
        } else {
            if open.is_some() {
                *text += " }\n";
            }
            let _ = write!(text, "{verb} element {place} {set} {{ ");
            open = Some((place, set));
        }
        *text += key;
        if let Some(data) = data {
            *text += " : ";
            *text += data;
        }
    }
    if open.is_some() {
        *text += " }\n";
    }
}

/// The elements in a table, in their order; nothing when there are none.
pub(crate) fn find_in(
    elements: &Elements,
    place: Place,
) -> Option<impl Iterator<Item = Element<'_>>> {
    let mut found = elements
        .iter()
        .filter(move |(key, _)| key.place == place)
        .peekable();
    found.peek().is_some().then_some(found)
}

/// Brings a table of portero's own to the elements that are wanted, or takes it away where none are:
/// `mend` changes one that is whole, `make` writes a new one.
pub(crate) fn reconcile_table<'a, Wanted: Iterator<Item = Element<'a>>>(
    place: Place,
    observed: Option<&Table>,
    wanted: Option<Wanted>,
    make: impl FnOnce(&mut String),
    mend: impl FnOnce(&Table, Wanted, &mut String),
    text: &mut String,
) {
    match (observed, wanted) {
        (Some(table), Some(wanted)) if table.is_whole => mend(table, wanted, text),
        (observed, wanted) => {
            if observed.is_some() {
                let _ = writeln!(text, "delete table {place}");
            }
            if let Some(wanted) = wanted {
                make(text);
                write_elements("add", wanted, text);
            }
        }
    }
}

/// Turns the elements that were found into those that are wanted.
pub(crate) fn write_difference<'a>(
    found: &Elements,
    wanted: impl Iterator<Item = Element<'a>>,
    text: &mut String,
) {
    let wanted: BTreeMap<&Key, &Option<String>> = wanted.collect();
    let strange = found
        .iter()
        .filter(|(key, data)| wanted.get(key) != Some(data));
    let missing = wanted.iter().map(|(key, data)| (*key, *data));
    write_elements("delete", strange, text);
    write_elements("add", missing.filter(|element| !has(found, element)), text);
}
