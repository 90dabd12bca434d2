//! Scripts for nft that bring the table of antispoof from one state to another.

use super::base::{antispoof_table, net_set, tap_set, GUARDED_SET, MAC_SET};
use crate::nftables::element::{network, quoted, Elements, Place};
use crate::nftables::observed::{Observed, Table};
use crate::nftables::write::{has, reconcile_table, write_difference, write_elements, PolicyTable};
use crate::script::{Commands, Verb};
use crate::Script;
use portero_model::{Family, Ruleset, Spoof};

/// The elements of a network's antispoof.
fn elements(ruleset: &Ruleset) -> Elements {
    let mut elements = Elements::default();
    let Some(antispoof) = &ruleset.antispoof else {
        return elements;
    };
    let mut add = |set: &str, key: String| {
        elements.insert(Place::Antispoof, set, key, None);
    };
    for tap in &antispoof.taps {
        let name = quoted(&tap.name);
        add(GUARDED_SET, name.clone());
        for against in &antispoof.against {
            add(tap_set(*against), name.clone());
        }
        if antispoof.against.contains(&Spoof::Mac) {
            add(MAC_SET, format!("{name} . {}", tap.mac));
        }
        if antispoof.against.contains(&Spoof::Ip) {
            for net in &antispoof.nets {
                let set = net_set(Family::from(net.addr()));
                add(&set, format!("{name} . {}", network(*net)));
            }
        }
    }
    elements
}

/// The script that replaces a network's antispoof `old` by `new` in the table, which is made when it is
/// missing and stays; see [`crate::nftables::change_owner`].
#[must_use]
pub fn change_antispoof(old: &Ruleset, new: &Ruleset, table: PolicyTable) -> Option<Script> {
    let mut commands = Commands::default();
    if table == PolicyTable::Missing && new.antispoof.is_some() {
        commands.push_object(antispoof_table());
    }
    let [gone, came] = elements(old).difference(elements(new));
    write_elements(Verb::Delete, gone, &mut commands);
    write_elements(Verb::Create, came, &mut commands);
    commands.finish()
}

/// The script that turns what was observed of the table into exactly the desired antispoof; none when
/// nothing differs.
#[must_use]
pub fn reconcile_antispoof(observed: &Observed, desired: &[Ruleset]) -> Option<Script> {
    let is_wanted = desired.iter().any(|ruleset| ruleset.antispoof.is_some());
    let (wanted, _) = union(desired);
    let mut commands = Commands::default();
    let place = Place::Antispoof;
    reconcile_table(
        place,
        observed.antispoof.as_ref(),
        is_wanted.then_some(&wanted),
        |commands| commands.push_object(antispoof_table()),
        |table, wanted, commands| write_difference(place, &table.elements, wanted, commands),
        &mut commands,
    );
    commands.finish()
}

/// Whether two networks guard one interface, as when both were taken from under guests of which two
/// have the same MAC address; see [`crate::Reconciled::shared`].
#[must_use]
pub fn shares_antispoof(desired: &[Ruleset]) -> bool {
    let (union, sum) = union(desired);
    sum > union.len()
}

/// The elements of all networks, and how many all have together.
fn union(desired: &[Ruleset]) -> (Elements, usize) {
    let mut union = Elements::default();
    let mut sum = 0;
    for one in desired.iter().map(elements) {
        sum += one.len();
        union.extend(one);
    }
    (union, sum)
}

impl Observed {
    /// Whether all of a network's antispoof is there.
    #[must_use]
    pub fn holds_antispoof(&self, ruleset: &Ruleset) -> bool {
        let whole = |table: &&Table| table.is_whole;
        match self.antispoof.as_ref().filter(whole) {
            None => ruleset.antispoof.is_none(),
            Some(table) => {
                let wanted = elements(ruleset);
                let mut wanted = wanted.iter();
                wanted.all(|element| has(&table.elements, &element))
            }
        }
    }
}
