//! What is in the kernel's tables, reduced to what concerns portero.

use super::base::{
    jump_comment, libvirt_chains, libvirt_sets, own_chains, own_sets, policy_chains, policy_sets,
};
use super::content::{RuleContent, SetContent, TableContent};
use super::element::{Elements, Place};
use super::listing::ReadError;
use super::object::{NewChain, NewRule, NewSet};
use super::{LIBVIRT_CHAIN, LIBVIRT_VERDICTS, NAME};
use crate::antispoof::{antispoof_chains, antispoof_sets};
use portero_model::Family;
use std::collections::{BTreeMap, BTreeSet};

/// portero's own tables and its part of libvirt's, those of them that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    pub(crate) own: Option<Table>,
    pub(crate) policy: Option<Table>,
    pub(crate) antispoof: Option<Table>,
    pub(crate) libvirt: BTreeMap<Family, LibvirtTable>,
}

/// A table that portero has to itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Whether it has the sets, chains and rules that do not depend on any owner.
    pub(crate) is_whole: bool,
    pub(crate) elements: Elements,
    /// Its other sets.
    pub(crate) sets: BTreeSet<String>,
    /// Its other chains, with the comments of their rules.
    pub(crate) chains: BTreeMap<String, Vec<String>>,
}

/// What portero has in a table of libvirt's that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LibvirtTable {
    /// Whether the table has the chain that the jump belongs in, and those that portero asks.
    pub(crate) has_forward: bool,
    /// Handles of jumps to portero's chain.
    pub(crate) jumps: Vec<u64>,
    /// Whether the first rule of the chain is such a jump.
    pub(crate) jump_is_first: bool,
    /// portero's sets that are there.
    pub(crate) sets: BTreeSet<String>,
    /// portero's chains that are there.
    pub(crate) chains: BTreeSet<String>,
    /// Whether they have exactly the rules they should have.
    pub(crate) is_whole: bool,
    pub(crate) elements: Elements,
}

impl Observed {
    /// What is seen while nobody has rules: nothing of portero's, and libvirt's tables of these
    /// families.
    #[must_use]
    pub fn without_rules(libvirt: &[Family]) -> Self {
        let table = LibvirtTable {
            has_forward: true,
            ..LibvirtTable::default()
        };
        let tables = libvirt.iter().map(|family| (*family, table.clone()));
        Self {
            libvirt: tables.collect(),
            ..Self::default()
        }
    }

    /// Adds a table that is there from the output of `nft -j list table`.
    ///
    /// # Errors
    /// [`ReadError`] when it is not what nft writes.
    pub fn add(&mut self, place: Place, json: &[u8]) -> Result<(), ReadError> {
        self.add_content(place, TableContent::from_json(place, json)?);
        Ok(())
    }

    /// Adds a table that is there.
    pub fn add_content(&mut self, place: Place, content: TableContent) {
        match place {
            Place::Own => {
                self.own = Some(Table::fixed(place, content, &own_sets(), &own_chains()));
            }
            Place::Antispoof => {
                let table = Table::fixed(place, content, &antispoof_sets(), &antispoof_chains());
                self.antispoof = Some(table);
            }
            Place::Policy => {
                let table = Table::read(place, content, &policy_sets(), &policy_chains());
                self.policy = Some(table);
            }
            Place::Libvirt(family) => {
                self.libvirt
                    .insert(family, LibvirtTable::read(family, content));
            }
        }
    }

    /// Adds the table of antispoof as another observation has it.
    pub fn add_antispoof(&mut self, other: Self) {
        self.antispoof = other.antispoof;
    }

    /// Which of libvirt's tables are there.
    pub fn libvirt_families(&self) -> impl Iterator<Item = Family> + '_ {
        let tables = self.libvirt.iter();
        tables
            .filter(|(_, table)| table.has_forward)
            .map(|(family, _)| *family)
    }
}

impl Table {
    /// A table of portero's own with these sets and chains and no others.
    fn fixed(place: Place, content: TableContent, sets: &[NewSet], chains: &[NewChain]) -> Self {
        let mut table = Self::read(place, content, sets, chains);
        table.is_whole &= table.sets.is_empty() && table.chains.is_empty();
        table
    }

    /// A table of portero's own, of which these sets and chains are always there.
    fn read(
        place: Place,
        content: TableContent,
        fixed_sets: &[NewSet],
        fixed_chains: &[NewChain],
    ) -> Self {
        let mut table = Self::default();
        let mut is_strange = false;
        for set in content.sets {
            table.sets.insert(set.name.clone());
            is_strange |= !add_elements(place, set, &mut table.elements);
        }
        let chains = content.chains.into_iter();
        table.chains.extend(chains.map(|name| (name, Vec::new())));
        for rule in content.rules {
            let comments = table.chains.entry(rule.chain).or_default();
            comments.push(rule.comment);
        }
        let has_sets = fixed_sets.iter().all(|set| table.sets.remove(&set.name));
        let has_chains = fixed_chains
            .iter()
            .all(|chain| has_rules(table.chains.remove(&chain.name).as_ref(), &chain.rules));
        table.is_whole = !is_strange && has_sets && has_chains;
        table
    }
}

impl LibvirtTable {
    fn read(family: Family, content: TableContent) -> Self {
        let mut table = Self::default();
        let wanted_sets = libvirt_sets(family).map(|set| set.name);
        let wanted_chains = libvirt_chains(family);
        let mut comments: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut libvirt_chains = BTreeSet::new();
        let (mut is_strange, mut is_first) = (false, true);
        for set in content.sets {
            if wanted_sets.contains(&set.name) {
                table.sets.insert(set.name.clone());
                is_strange |= !add_elements(Place::Libvirt(family), set, &mut table.elements);
            }
        }
        for chain in content.chains {
            if wanted_chains.iter().any(|wanted| wanted.name == chain) {
                table.chains.insert(chain);
            } else {
                libvirt_chains.insert(chain);
            }
        }
        for RuleContent {
            chain,
            handle,
            comment,
            jump,
            ..
        } in content.rules
        {
            if chain == LIBVIRT_CHAIN {
                let is_jump = jump.as_deref() == Some(NAME);
                if is_jump {
                    table.jumps.push(handle);
                }
                table.jump_is_first |= is_first && is_jump && comment == jump_comment();
                is_first = false;
            } else if table.chains.contains(&chain) {
                comments.entry(chain).or_default().push(comment);
            }
        }
        let mut asked = [LIBVIRT_CHAIN].into_iter().chain(LIBVIRT_VERDICTS);
        table.has_forward = asked.all(|name| libvirt_chains.contains(name));
        let mut wanted = wanted_chains.iter();
        let has_chains = wanted.all(|chain| has_rules(comments.get(&chain.name), &chain.rules));
        table.is_whole = !is_strange && has_chains;
        table
    }
}

/// Whether a chain that was found has these rules, by their comments.
pub(crate) fn has_rules(found: Option<&Vec<String>>, wanted: &[NewRule]) -> bool {
    let wanted = wanted.iter().map(|rule| &rule.comment);
    found.is_some_and(|found| found.iter().eq(wanted))
}

/// Adds a set's elements; false when one is in a form that portero never gives it.
fn add_elements(place: Place, set: SetContent, elements: &mut Elements) -> bool {
    let SetContent {
        name,
        is_known,
        elements: found,
    } = set;
    if is_known {
        let found = found.into_iter();
        let found = found.map(|element| (element.key, element.data));
        elements.insert_all(place, &name, found.collect());
    }
    is_known
}
