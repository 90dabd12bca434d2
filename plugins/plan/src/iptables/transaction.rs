//! Scripts for `iptables-restore --noflush` that bring the kernel from one state to another.
//!
//! Two ways lead to one. [`change_owner`] trusts that the kernel holds what was committed last and
//! touches only one owner's chains: its cost does not depend on the other owners. [`reconcile`]
//! compares with what was observed and mends whatever differs.

use super::render::{chains, Base, Chains, Table};
use super::{Observed, ObservedTable};
use crate::{Family, Ruleset, Script, Tool};
use std::collections::{BTreeMap, BTreeSet};

/// libvirt's own chains in FORWARD (src/network/network_iptables.c), which end in REJECT.
const LIBVIRT_FORWARD_CHAINS: [&str; 3] = ["LIBVIRT_FWX", "LIBVIRT_FWI", "LIBVIRT_FWO"];

/// The commands for one table, in the order in which they must stand.
#[derive(Debug, Default)]
struct TableScript {
    declare: BTreeSet<String>,
    delete_first: Vec<String>,
    rules: Vec<String>,
    insert: Vec<String>,
    remove: Vec<String>,
}

impl TableScript {
    fn is_empty(&self) -> bool {
        self.declare.is_empty()
            && self.delete_first.is_empty()
            && self.rules.is_empty()
            && self.insert.is_empty()
            && self.remove.is_empty()
    }

    fn render(&self, table: Table, text: &mut String) {
        if self.is_empty() {
            return;
        }
        *text += &format!("*{}\n", table.name());
        for chain in &self.declare {
            *text += &format!(":{chain} - [0:0]\n");
        }
        for lines in [&self.delete_first, &self.rules, &self.insert] {
            for line in lines {
                *text += line;
                text.push('\n');
            }
        }
        for chain in &self.remove {
            *text += &format!("-F {chain}\n");
        }
        for chain in &self.remove {
            *text += &format!("-X {chain}\n");
        }
        *text += "COMMIT\n";
    }
}

/// Collects commands per table of one family.
#[derive(Debug, Default)]
struct Builder {
    tables: BTreeMap<Table, TableScript>,
}

impl Builder {
    fn table(&mut self, table: Table) -> &mut TableScript {
        self.tables.entry(table).or_default()
    }

    fn finish(&self, family: Family) -> Option<Script> {
        let mut text = String::new();
        for (table, script) in &self.tables {
            script.render(*table, &mut text);
        }
        let tool = Tool::Restore(family);
        (!text.is_empty()).then_some(Script { tool, text })
    }
}

/// The scripts that replace an owner's rules `old`, all of which are in the kernel, by `new`.
///
/// `others` are the rules of everybody else: with the first owner of a base chain the base chain
/// and its jumps appear, with the last they go.
#[must_use]
pub fn change_owner(
    old: &Ruleset,
    new: &Ruleset,
    others: impl IntoIterator<Item = Ruleset>,
) -> Vec<Script> {
    let (old_chains, new_chains) = (chains(old), chains(new));
    if old_chains == new_chains && old.owner == new.owner {
        return Vec::new();
    }
    let touched = old_chains.keys().chain(new_chains.keys()).copied();
    let kept = used_bases(touched.collect(), others);
    Family::ALL
        .iter()
        .filter_map(|family| {
            let mut builder = Builder::default();
            for base in Base::ALL {
                let key = (*family, base);
                let (was, is) = (old_chains.get(&key), new_chains.get(&key));
                let script = builder.table(base.table());
                if was == is && old.owner == new.owner {
                    continue;
                }
                if was.is_some() && (is.is_none() || old.owner != new.owner) {
                    let jump = base.owner_jump(&old.owner);
                    script
                        .delete_first
                        .push(format!("-D {} {jump}", base.chain()));
                }
                match (was, is) {
                    (_, Some(rules)) => {
                        let chain = base.owner_chain(&new.owner);
                        if was.is_none() && !kept.contains(&key) {
                            script.declare.insert(base.chain().to_owned());
                            for built_in in base.built_in_chains() {
                                script
                                    .insert
                                    .push(format!("-I {built_in} {}", base.built_in_jump()));
                            }
                        }
                        for rule in rules {
                            script.rules.push(format!("-A {chain} {rule}"));
                        }
                        if was.is_none() || old.owner != new.owner {
                            let jump = base.owner_jump(&new.owner);
                            script.rules.push(format!("-A {} {jump}", base.chain()));
                        }
                        script.declare.insert(chain);
                    }
                    (Some(_), None) => {
                        script.remove.push(base.owner_chain(&old.owner));
                        if !kept.contains(&key) {
                            for built_in in base.built_in_chains() {
                                script
                                    .delete_first
                                    .push(format!("-D {built_in} {}", base.built_in_jump()));
                            }
                            script.remove.push(base.chain().to_owned());
                        }
                    }
                    (None, None) => {}
                }
            }
            builder.finish(*family)
        })
        .collect()
}

/// Which of these base chains somebody else uses. Looks at no more owners than it takes to know.
fn used_bases(
    mut asked: BTreeSet<(Family, Base)>,
    others: impl IntoIterator<Item = Ruleset>,
) -> BTreeSet<(Family, Base)> {
    let mut used = BTreeSet::new();
    for ruleset in others {
        for key in chains(&ruleset).into_keys() {
            if asked.remove(&key) {
                used.insert(key);
            }
        }
        if asked.is_empty() {
            break;
        }
    }
    used
}

/// The script that turns what was observed of a family into exactly the desired rules: missing
/// rules come back, strange ones in portero's chains go, jumps stand once and above libvirt's.
/// Nothing of anybody else is touched. No script when nothing differs.
#[must_use]
pub fn reconcile(family: Family, observed: &Observed, desired: &[Ruleset]) -> Option<Script> {
    let rendered: Vec<(&Ruleset, Chains)> = desired
        .iter()
        .map(|ruleset| (ruleset, chains(ruleset)))
        .collect();
    let mut builder = Builder::default();
    for table in Table::ALL {
        let found = observed.table(table);
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for base in Base::ALL.iter().filter(|base| base.table() == table) {
            let mut jumps = Vec::new();
            for (ruleset, chains) in &rendered {
                let Some(rules) = chains.get(&(family, *base)) else {
                    continue;
                };
                let chain = base.owner_chain(&ruleset.owner);
                jumps.push(base.owner_jump(&ruleset.owner));
                if found.chains.get(&chain) != Some(rules) {
                    rebuild(builder.table(table), &chain, rules);
                }
                wanted.insert(chain);
            }
            let script = builder.table(table);
            let needed = !jumps.is_empty();
            if needed {
                let chain = base.chain().to_owned();
                if !same_set(found.chains.get(&chain), &jumps) {
                    rebuild(script, &chain, &jumps);
                }
                wanted.insert(chain);
            }
            for built_in in base.built_in_chains() {
                mend_built_in(script, &found, *base, built_in, needed);
            }
        }
        let stale: Vec<String> = found
            .chains
            .keys()
            .filter(|chain| !wanted.contains(*chain))
            .cloned()
            .collect();
        builder.table(table).remove.extend(stale);
    }
    builder.finish(family)
}

fn rebuild(script: &mut TableScript, chain: &str, rules: &[String]) {
    script.declare.insert(chain.to_owned());
    script
        .rules
        .extend(rules.iter().map(|rule| format!("-A {chain} {rule}")));
}

fn same_set(found: Option<&Vec<String>>, wanted: &[String]) -> bool {
    found.is_some_and(|found| {
        let found_set: BTreeSet<&String> = found.iter().collect();
        found.len() == wanted.len() && found_set == wanted.iter().collect()
    })
}

/// Puts the jump of a built-in chain right: there once and above libvirt's, or not at all.
fn mend_built_in(
    script: &mut TableScript,
    found: &ObservedTable,
    base: Base,
    built_in: &str,
    needed: bool,
) {
    let empty = Vec::new();
    let rules = found.built_in.get(built_in).unwrap_or(&empty);
    let target = |rule: &String| rule.rsplit("-j ").next().unwrap_or("").to_owned();
    let ours: Vec<usize> = (0..rules.len())
        .filter(|index| target(&rules[*index]) == base.chain())
        .collect();
    let libvirt = rules
        .iter()
        .position(|rule| LIBVIRT_FORWARD_CHAINS.contains(&target(rule).as_str()));
    let right = match ours.as_slice() {
        [only] => {
            needed
                && rules[*only] == base.built_in_jump()
                && libvirt.is_none_or(|libvirt| *only < libvirt)
        }
        [] => !needed,
        _ => false,
    };
    if right {
        return;
    }
    for index in ours {
        script
            .delete_first
            .push(format!("-D {built_in} {}", rules[index]));
    }
    if needed {
        script
            .insert
            .push(format!("-I {built_in} {}", base.built_in_jump()));
    }
}
