//! Scripts for nft that bring the kernel from one set of rules to another; each is committed as a
//! whole or not at all.

use super::elements::{elements, Elements, Key};
use super::frame::{accept_chain, accept_set, jump, jump_chain, own_table};
use super::observed::{LibvirtTable, Observed};
use super::{Place, NAME};
use crate::{Family, Ruleset, Script, Tool};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The script that replaces an owner's rules `old` by `new` in tables that stand and stay: only
/// elements change, so its cost does not depend on other owners. `libvirt` are the families whose
/// table of libvirt's has portero's set.
///
/// It fails as a whole when the kernel does not hold what it should, or when another owner has the
/// same element already (see [`shares_elements`]).
#[must_use]
pub fn change_owner(old: &Ruleset, new: &Ruleset, libvirt: &[Family]) -> Option<Script> {
    let (old, new) = (elements(old), elements(new));
    let gone = old.iter().filter(|element| !has(&new, element));
    let came = new.iter().filter(|element| !has(&old, element));
    let is_there = |(key, _): &(&Key, &Option<String>)| is_in(key, libvirt);
    let mut text = String::new();
    write_elements("delete", gone.filter(is_there), &mut text);
    write_elements("create", came.filter(is_there), &mut text);
    script(text)
}

/// The script that turns what was observed into exactly the desired rules; none when nothing
/// differs. portero's own table goes when nobody has rules, and so does all it has in libvirt's.
/// Nothing of anybody else is touched.
#[must_use]
pub fn reconcile(observed: &Observed, desired: &[Ruleset]) -> Option<Script> {
    let wanted = union(desired);
    let mut text = String::new();
    let in_own = |(key, _): &(&Key, &Option<String>)| key.place == Place::Own;
    match &observed.own {
        None if wanted.is_empty() => {}
        Some(_) if wanted.is_empty() => {
            let _ = writeln!(text, "delete table {}", Place::Own);
        }
        Some(table) if table.is_whole => {
            write_difference(&table.elements, wanted.iter().filter(in_own), &mut text)
        }
        other => {
            if other.is_some() {
                let _ = writeln!(text, "delete table {}", Place::Own);
            }
            text += &own_table();
            write_elements("add", wanted.iter().filter(in_own), &mut text);
        }
    }
    for (family, table) in &observed.libvirt {
        if wanted.is_empty() || !table.has_forward {
            withdraw(*family, table, &mut text);
        } else {
            accept(*family, table, &wanted, &mut text);
        }
    }
    script(text)
}

/// Whether two owners have an element in common, as when both forward ports of one guest: neither
/// may then take it away alone.
#[must_use]
pub fn shares_elements(desired: &[Ruleset]) -> bool {
    let sum: usize = desired.iter().map(|ruleset| elements(ruleset).len()).sum();
    sum > union(desired).len()
}

impl Observed {
    /// Whether all of an owner's rules are there and can be reached.
    #[must_use]
    pub fn holds(&self, ruleset: &Ruleset) -> bool {
        elements(ruleset).iter().all(|element| {
            let found = match element.0.place {
                Place::Own => match &self.own {
                    Some(table) if table.is_whole => &table.elements,
                    _ => return false,
                },
                Place::Libvirt(family) => match self.libvirt.get(&family) {
                    None => return true,
                    Some(table) if table.chain_is_whole && table.jump_is_first => &table.elements,
                    Some(_) => return false,
                },
            };
            has(found, &element)
        })
    }
}

fn script(text: String) -> Option<Script> {
    (!text.is_empty()).then_some(Script {
        tool: Tool::Nft,
        text,
    })
}

fn union(rulesets: &[Ruleset]) -> Elements {
    rulesets.iter().flat_map(elements).collect()
}

fn has(elements: &Elements, (key, data): &(&Key, &Option<String>)) -> bool {
    elements.get(*key) == Some(*data)
}

fn is_in(key: &Key, libvirt: &[Family]) -> bool {
    match key.place {
        Place::Own => true,
        Place::Libvirt(family) => libvirt.contains(&family),
    }
}

/// One command for each set.
fn write_elements<'a>(
    verb: &str,
    elements: impl Iterator<Item = (&'a Key, &'a Option<String>)>,
    text: &mut String,
) {
    let mut sets: BTreeMap<(Place, &str), Vec<String>> = BTreeMap::new();
    for (Key { place, set, key }, data) in elements {
        let element = match data {
            Some(data) => format!("{key} : {data}"),
            None => key.clone(),
        };
        sets.entry((*place, set)).or_default().push(element);
    }
    for ((place, set), elements) in sets {
        let _ = writeln!(
            text,
            "{verb} element {place} {set} {{ {} }}",
            elements.join(", ")
        );
    }
}

fn write_difference<'a>(
    found: &Elements,
    wanted: impl Iterator<Item = (&'a Key, &'a Option<String>)>,
    text: &mut String,
) {
    let wanted: Elements = wanted
        .map(|(key, data)| (key.clone(), data.clone()))
        .collect();
    let strange = found.iter().filter(|element| !has(&wanted, element));
    let missing = wanted.iter().filter(|element| !has(found, element));
    write_elements("delete", strange, text);
    write_elements("add", missing, text);
}

/// Puts portero's part of a table of libvirt's right.
fn accept(family: Family, table: &LibvirtTable, wanted: &Elements, text: &mut String) {
    let place = Place::Libvirt(family);
    if !table.has_set {
        let _ = writeln!(text, "add set {place} {NAME} {}", accept_set(family));
    }
    let wanted = wanted.iter().filter(|(key, _)| key.place == place);
    write_difference(&table.elements, wanted, text);
    if !table.chain_is_whole {
        let _ = writeln!(text, "add chain {place} {NAME}");
        let _ = writeln!(text, "flush chain {place} {NAME}");
        for rule in accept_chain(family).rules() {
            let _ = writeln!(text, "add rule {place} {NAME} {rule}");
        }
    }
    if !(table.jump_is_first && table.jumps.len() == 1) {
        delete_jumps(family, table, text);
        let _ = writeln!(text, "insert rule {} {}", jump_chain(family), jump());
    }
}

/// Takes portero's part out of a table of libvirt's.
fn withdraw(family: Family, table: &LibvirtTable, text: &mut String) {
    let place = Place::Libvirt(family);
    delete_jumps(family, table, text);
    if table.has_chain {
        let _ = writeln!(text, "flush chain {place} {NAME}");
        let _ = writeln!(text, "delete chain {place} {NAME}");
    }
    if table.has_set {
        let _ = writeln!(text, "delete set {place} {NAME}");
    }
}

fn delete_jumps(family: Family, table: &LibvirtTable, text: &mut String) {
    for handle in &table.jumps {
        let _ = writeln!(text, "delete rule {} handle {handle}", jump_chain(family));
    }
}
