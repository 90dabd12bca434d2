//! What `iptables -S` says is in the kernel, reduced to what concerns portero.

use super::base::{
    Base, LibvirtChains, Table, CHAIN_PREFIX, LIBVIRT_FROM_GUESTS, LIBVIRT_TO_GUESTS,
};
use super::render::chains;
use portero_model::{Family, Ruleset};
use std::collections::{BTreeMap, BTreeSet};

/// The tables of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    tables: BTreeMap<Table, ObservedTable>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedTable {
    /// portero's chains with their rules.
    pub chains: BTreeMap<String, Vec<String>>,
    /// All rules of the built-in chains that portero has jumps in.
    pub built_in: BTreeMap<String, Vec<String>>,
    /// Which of libvirt's chains that portero jumps to are there.
    libvirt: BTreeSet<String>,
}

/// A table that is not there.
static NO_TABLE: ObservedTable = ObservedTable {
    chains: BTreeMap::new(),
    built_in: BTreeMap::new(),
    libvirt: BTreeSet::new(),
};

impl Observed {
    /// Adds a table from the lines of `iptables -t TABLE -S`.
    pub fn add<'a>(&mut self, table: Table, lines: impl IntoIterator<Item = &'a str>) {
        let mut found = ObservedTable::default();
        let built_in: Vec<&str> = Base::all()
            .filter(|base| base.table() == table)
            .flat_map(|base| base.built_in_chains())
            .copied()
            .collect();
        for line in lines {
            let mut words = line.trim_end().splitn(3, ' ');
            let (Some(command), Some(chain)) = (words.next(), words.next()) else {
                continue;
            };
            let rule = words.next().unwrap_or("");
            let ours = chain.starts_with(CHAIN_PREFIX);
            match command {
                "-N" if [LIBVIRT_TO_GUESTS, LIBVIRT_FROM_GUESTS].contains(&chain) => {
                    found.libvirt.insert(chain.to_owned());
                }
                "-N" if ours => {
                    found.chains.entry(chain.to_owned()).or_default();
                }
                "-A" if ours || built_in.contains(&chain) => {
                    let chains = match ours {
                        true => &mut found.chains,
                        false => &mut found.built_in,
                    };
                    let rules = chains.entry(chain.to_owned()).or_default();
                    rules.push(rule.to_owned());
                }
                _ => {}
            }
        }
        self.tables.insert(table, found);
    }

    /// A table; empty if it was not there.
    #[must_use]
    pub fn table(&self, table: Table) -> &ObservedTable {
        self.tables.get(&table).unwrap_or(&NO_TABLE)
    }

    /// Whether libvirt's chains can be jumped to.
    #[must_use]
    pub fn libvirt(&self) -> LibvirtChains {
        match self.table(Table::Filter).libvirt.len() {
            2 => LibvirtChains::Standing,
            _ => LibvirtChains::Missing,
        }
    }

    /// Whether a table in which an owner has rules of a family has none of portero's at all.
    #[must_use]
    pub fn is_flushed(&self, family: Family, ruleset: &Ruleset) -> bool {
        let wanted = chains(ruleset, |_| self.libvirt());
        let mut wanted = wanted.iter().filter(|((of, _), _)| *of == family);
        wanted.any(|((_, base), _)| {
            let mut chains = self.table(base.table()).chains.values();
            chains.all(Vec::is_empty)
        })
    }

    /// Whether all of an owner's rules of a family are there and can be reached.
    #[must_use]
    pub fn holds(&self, family: Family, ruleset: &Ruleset) -> bool {
        chains(ruleset, |_| self.libvirt())
            .iter()
            .filter(|((of, _), _)| *of == family)
            .all(|((_, base), rules)| {
                let table = self.table(base.table());
                let has = |chain: &str, jump: &str| {
                    let rules = table.chains.get(chain).or(table.built_in.get(chain));
                    rules.is_some_and(|rules| rules.iter().any(|rule| rule == jump))
                };
                let jump = base.built_in_jump();
                table.chains.get(&base.owner_chain(&ruleset.owner)) == Some(rules)
                    && has(base.chain(), &base.owner_jump(ruleset))
                    && base.built_in_chains().iter().all(|chain| has(chain, &jump))
            })
    }
}
