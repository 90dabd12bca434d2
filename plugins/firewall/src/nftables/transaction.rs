//! Scripts for nft that bring the kernel from one set of rules to another; each is committed as a
//! whole or not at all.

use super::base::{jump, libvirt_chains, libvirt_sets, own_table, policy_table};
use super::element::{Elements, Place};
use super::forward;
use super::object::{NewChain, Object, ObjectChange};
use super::observed::{has_rules, LibvirtTable, Observed, Table};
use super::policy::{objects, Objects};
use super::write::{has, reconcile_table, write_difference, write_elements, PolicyTable};
use super::LIBVIRT_CHAIN;
use crate::script::{Commands, Verb};
use crate::Script;
use portero_model::{Family, Ruleset};

/// All elements of an owner's rules, and what it has to itself.
fn parts(ruleset: &Ruleset) -> (Elements, Objects) {
    let mut elements = Elements::default();
    forward::add_all(&ruleset.rules, &mut elements);
    let objects = objects(ruleset, &mut elements);
    (elements, objects)
}

/// The script that replaces an owner's rules `old` by `new` in tables that stand and stay: only
/// elements and the owner's own chains change, so its cost does not depend on other owners.
/// `libvirt` are the families whose table of libvirt's has portero's sets.
///
/// It fails as a whole when the kernel does not hold what it should, or when another owner has the
/// same element already (see [`crate::Reconciled::shared`]).
#[must_use]
pub fn change_owner(
    old: &Ruleset,
    new: &Ruleset,
    libvirt: &[Family],
    policies: PolicyTable,
) -> Option<Script> {
    let (old, old_objects) = parts(old);
    let (new, new_objects) = parts(new);
    let mut commands = Commands::default();
    if policies == PolicyTable::Missing && !new_objects.chains.is_empty() {
        make_policy_table(&new_objects, &mut commands);
    }
    let is_known = |name: &str| old_objects.chains.contains_key(name);
    add_objects(&new_objects, is_known, &mut commands);
    let [mut gone, mut came] = old.difference(new);
    let has_set = |objects: &Objects, place: &Place, set: &String| {
        *place == Place::Policy && objects.sets.contains_key(set)
    };
    gone.retain(|(place, set, _)| {
        let is_own = has_set(&old_objects, place, set);
        is_in(*place, libvirt) && (!is_own || has_set(&new_objects, place, set))
    });
    write_elements(Verb::Delete, gone, &mut commands);
    came.retain(|(place, ..)| is_in(*place, libvirt));
    // Nobody else can have elements in a set that comes now, and nft (seen on 1.0.6) finds those
    // that it is told to create in one with intervals there already.
    let (first, others): (Vec<_>, Vec<_>) = came.into_iter().partition(|(place, set, _)| {
        let is_new = *place == Place::Policy && policies == PolicyTable::Missing;
        is_new || has_set(&new_objects, place, set)
    });
    write_elements(Verb::Add, first, &mut commands);
    write_elements(Verb::Create, others, &mut commands);
    let stale_chains = old_objects.chains.keys();
    let stale_chains = stale_chains.filter(|name| !new_objects.chains.contains_key(*name));
    let stale_sets = old_objects.sets.keys();
    let stale_sets = stale_sets.filter(|name| !new_objects.sets.contains_key(*name));
    delete_objects(Place::Policy, stale_chains, stale_sets, &mut commands);
    commands.finish()
}

/// The script that turns what was observed into exactly the desired rules; none when nothing
/// differs. portero's own tables go when nobody has rules for them, and so does all it has in
/// libvirt's. Nothing of anybody else is touched.
#[must_use]
pub fn reconcile(observed: &Observed, desired: &[Ruleset]) -> Option<Script> {
    Wanted::of(desired).reconcile(observed)
}

/// What all owners together are to have.
#[derive(Default)]
pub(super) struct Wanted {
    elements: Elements,
    objects: Objects,
    /// The owners' elements, each counted for each of its owners.
    count: usize,
}

impl Wanted {
    pub(super) fn of(desired: &[Ruleset]) -> Self {
        let mut wanted = Self::default();
        for ruleset in desired {
            let (elements, objects) = parts(ruleset);
            wanted.count += elements.len();
            wanted.elements.extend(elements);
            wanted.objects.extend(objects);
        }
        wanted
    }

    /// Whether two owners have an element in common, as when both forward ports of one guest.
    pub(super) fn is_shared(&self) -> bool {
        self.count > self.elements.len()
    }

    /// See [`reconcile`].
    pub(super) fn reconcile(&self, observed: &Observed) -> Option<Script> {
        let (wanted, objects) = (&self.elements, &self.objects);
        let mut commands = Commands::default();
        let wanted_in = |place| wanted.has_any(place).then_some(wanted);
        reconcile_table(
            Place::Own,
            observed.own.as_ref(),
            wanted_in(Place::Own),
            |commands| commands.push_object(own_table()),
            |table, wanted, commands| {
                write_difference(Place::Own, &table.elements, wanted, commands);
            },
            &mut commands,
        );
        reconcile_table(
            Place::Policy,
            observed.policy.as_ref(),
            wanted_in(Place::Policy),
            |commands| {
                make_policy_table(objects, commands);
                add_objects(objects, |_| false, commands);
            },
            |table, wanted, commands| mend_policies(table, wanted, objects, commands),
            &mut commands,
        );
        for (family, table) in &observed.libvirt {
            if wanted.is_empty() || !table.has_forward {
                withdraw(*family, table, &mut commands);
            } else {
                accept(*family, table, wanted, &mut commands);
            }
        }
        commands.finish()
    }
}

/// Turns a table of policies that is whole into the one that is wanted.
fn mend_policies(table: &Table, wanted: &Elements, objects: &Objects, commands: &mut Commands) {
    let is_right = |name: &str| {
        let (found, wanted) = (table.chains.get(name), objects.chains.get(name));
        wanted.is_some_and(|wanted| has_rules(found, wanted))
    };
    add_objects(objects, is_right, commands);
    let stale = |name: &String| table.sets.contains(name) && !objects.sets.contains_key(name);
    let (place, found) = (Place::Policy, &table.elements);
    let strange = found.without(place, wanted);
    write_elements(
        Verb::Delete,
        strange.filter(|(_, set, _)| !stale(set)),
        commands,
    );
    write_elements(Verb::Add, wanted.without(place, found), commands);
    let chains = table.chains.keys();
    let chains = chains.filter(|name| !objects.chains.contains_key(*name));
    let sets = table.sets.iter().filter(|name| stale(name));
    delete_objects(place, chains, sets, commands);
}

/// Makes the table of policies. The chains of owners come first: nft (seen on 1.0.6 and 1.1.3) writes
/// the elements of a map with intervals together with the map, before what leads up to them.
fn make_policy_table(objects: &Objects, commands: &mut Commands) {
    let place = Place::Policy;
    commands.push_object(ObjectChange::table(place, Vec::new(), Vec::new()));
    for name in objects.chains.keys() {
        let chain = NewChain::inner(name, Vec::new());
        commands.change(place, Object::Chain(chain));
    }
    commands.push_object(policy_table());
}

/// Makes an owner's own sets and chains with their rules; those chains that are right stay.
fn add_objects(objects: &Objects, is_right: impl Fn(&str) -> bool, commands: &mut Commands) {
    let place = Place::Policy;
    let is_right = |chain: &String| is_right(chain);
    let chains = || objects.chains.iter().filter(|(name, _)| !is_right(name));
    for (name, set) in &objects.sets {
        // A set's name starts with that of its chain.
        if chains().any(|(chain, _)| name.starts_with(chain.as_str())) {
            commands.change(place, Object::Set(set.clone()));
        }
    }
    for (name, rules) in chains() {
        let chain = NewChain::inner(name, rules.clone());
        commands.change(place, Object::Chain(chain));
    }
}

/// Takes sets and chains away that nothing leads to any more but the chains before them.
fn delete_objects<'a>(
    place: Place,
    chains: impl Iterator<Item = &'a String>,
    sets: impl Iterator<Item = &'a String>,
    commands: &mut Commands,
) {
    let chains = chains.map(|name| Object::NoChain(name.clone()));
    for object in chains.chain(sets.map(|name| Object::NoSet(name.clone()))) {
        commands.change(place, object);
    }
}

impl Observed {
    /// Whether all of an owner's rules are there and can be reached.
    #[must_use]
    pub fn holds(&self, ruleset: &Ruleset) -> bool {
        let (elements, objects) = parts(ruleset);
        let whole = |table: &&Table| table.is_whole;
        let (own, policy) = (self.own.as_ref().filter(whole), self.policy.as_ref());
        let is_there = elements.iter().all(|element| {
            let found = match element.0.place {
                Place::Own => own.map(|table| &table.elements),
                Place::Policy => policy.filter(whole).map(|table| &table.elements),
                Place::Antispoof => None,
                Place::Libvirt(family) => match self.libvirt.get(&family) {
                    None => return true,
                    Some(table) => {
                        (table.is_whole && table.jump_is_first).then_some(&table.elements)
                    }
                },
            };
            found.is_some_and(|found| has(found, &element))
        });
        let mut chains = objects.chains.iter();
        is_there
            && chains.all(|(name, rules)| {
                let found = policy.and_then(|table| table.chains.get(name));
                has_rules(found, rules)
            })
    }
}

fn is_in(place: Place, libvirt: &[Family]) -> bool {
    match place {
        Place::Own | Place::Policy | Place::Antispoof => true,
        Place::Libvirt(family) => libvirt.contains(&family),
    }
}

/// Puts portero's part of a table of libvirt's right.
fn accept(family: Family, table: &LibvirtTable, wanted: &Elements, commands: &mut Commands) {
    let place = Place::Libvirt(family);
    for set in libvirt_sets(family) {
        if !table.sets.contains(&set.name) {
            commands.change(place, Object::Set(set));
        }
    }
    write_difference(place, &table.elements, wanted, commands);
    if !table.is_whole {
        for chain in libvirt_chains(family) {
            commands.change(place, Object::Chain(chain));
        }
    }
    if !(table.jump_is_first && table.jumps.len() == 1) {
        delete_jumps(family, table, commands);
        let (chain, rule) = (LIBVIRT_CHAIN.to_owned(), jump());
        commands.change(place, Object::FirstRule { chain, rule });
    }
}

/// Takes portero's part out of a table of libvirt's.
fn withdraw(family: Family, table: &LibvirtTable, commands: &mut Commands) {
    delete_jumps(family, table, commands);
    // By their names the chain that leads to the others is the first.
    let (chains, sets) = (table.chains.iter(), table.sets.iter());
    delete_objects(Place::Libvirt(family), chains, sets, commands);
}

fn delete_jumps(family: Family, table: &LibvirtTable, commands: &mut Commands) {
    for handle in &table.jumps {
        let (chain, handle) = (LIBVIRT_CHAIN.to_owned(), *handle);
        commands.change(Place::Libvirt(family), Object::NoRule { chain, handle });
    }
}
