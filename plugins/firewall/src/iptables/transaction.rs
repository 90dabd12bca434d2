//! Scripts for `iptables-restore --noflush` that bring the kernel from one state to another.
//!
//! Two ways lead to one. [`change_owner`] trusts that the kernel holds what was committed last and
//! touches only one owner's chains: its cost does not depend on the other owners. [`reconcile`]
//! compares with what was observed and mends whatever differs.

use super::base::{Base, Chains, LibvirtChains, Table, CHAIN_PREFIX, LIBVIRT_CHAIN_PREFIX};
use super::render::chains;
use super::{Observed, ObservedTable};
use crate::{Script, Tool};
use portero_model::{Family, Ruleset};
use std::collections::{BTreeMap, BTreeSet};

/// The commands for one table, in the order in which they must stand.
#[derive(Debug, Default, PartialEq, Eq)]
struct TableScript {
    declare: BTreeSet<String>,
    delete_first: Vec<String>,
    rules: Vec<String>,
    insert: Vec<String>,
    remove: Vec<String>,
}

impl TableScript {
    fn render(&self, table: Table, text: &mut String) {
        if *self == Self::default() {
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
        (!text.is_empty()).then(|| Script::of_text(tool, text))
    }
}

/// The scripts that replace an owner's rules `old`, all of which are in the kernel, by `new`.
///
/// `others` are the rules of everybody else: with the first owner of a base chain the base chain
/// and its jumps appear, with the last they go. `libvirt` are the families whose chains of libvirt's
/// can be jumped to.
#[must_use]
pub fn change_owner(
    old: &Ruleset,
    new: &Ruleset,
    others: impl IntoIterator<Item = Ruleset>,
    libvirt: &[Family],
) -> Vec<Script> {
    let (old_chains, new_chains) = (chains_in(old, libvirt), chains_in(new, libvirt));
    // As the kernel sees it: a record of an older version does not know all of its owner.
    let is_same_owner =
        old.owner.hash() == new.owner.hash() && old.owner.comment() == new.owner.comment();
    if old_chains == new_chains && is_same_owner {
        return Vec::new();
    }
    let touched = old_chains.keys().chain(new_chains.keys()).copied();
    let kept = used_bases(touched.collect(), others, libvirt);
    let mut scripts = Vec::new();
    for family in Family::ALL {
        let mut builder = Builder::default();
        for base in Base::all() {
            let key = (family, base);
            let (was, is) = (old_chains.get(&key), new_chains.get(&key));
            let was_jump = was.map(|_| base.owner_jump(old));
            let is_jump = is.map(|_| base.owner_jump(new));
            let has_same_jump = was_jump == is_jump;
            let script = builder.table(base.table());
            if was == is && has_same_jump && is_same_owner {
                continue;
            }
            if let Some(jump) = was_jump.filter(|_| !has_same_jump) {
                script
                    .delete_first
                    .push(format!("-D {} {jump}", base.chain()));
            }
            match (was, is) {
                (_, Some(rules)) => {
                    if was.is_none() && !kept.contains(&key) {
                        script.declare.insert(base.chain().to_owned());
                    }
                    rebuild(script, &base.owner_chain(&new.owner), rules);
                    if let Some(jump) = is_jump.filter(|_| !has_same_jump) {
                        script.rules.push(format!("-A {} {jump}", base.chain()));
                    }
                }
                (Some(_), None) => {
                    script.remove.push(base.owner_chain(&old.owner));
                    if !kept.contains(&key) {
                        script.remove.push(base.chain().to_owned());
                    }
                }
                (None, None) => {}
            }
        }
        for (table, built_in) in BUILT_IN {
            let jumps = |chains: &Chains| -> Vec<String> {
                bases_of(table, built_in)
                    .map(|base| (family, base))
                    .filter(|key| chains.contains_key(key) || kept.contains(key))
                    .map(|(_, base)| base.built_in_jump())
                    .collect()
            };
            let (before, after) = (jumps(&old_chains), jumps(&new_chains));
            order_jumps(builder.table(table), built_in, &before, &after);
        }
        scripts.extend(builder.finish(family));
    }
    scripts
}

/// The built-in chains that portero has jumps in.
const BUILT_IN: [(Table, &str); 8] = [
    (Table::Filter, "FORWARD"),
    (Table::Filter, "INPUT"),
    (Table::Filter, "OUTPUT"),
    (Table::Nat, "PREROUTING"),
    (Table::Nat, "OUTPUT"),
    (Table::Nat, "POSTROUTING"),
    (Table::Mangle, "FORWARD"),
    (Table::Mangle, "PREROUTING"),
];

/// The base chains that a built-in chain jumps to, in their order.
fn bases_of(table: Table, built_in: &'static str) -> impl DoubleEndedIterator<Item = Base> {
    Base::all()
        .filter(move |base| base.table() == table && base.built_in_chains().contains(&built_in))
}

/// Changes the jumps of a built-in chain, which all stand at its head.
fn order_jumps(script: &mut TableScript, built_in: &str, before: &[String], after: &[String]) {
    let only_go = after.iter().all(|jump| before.contains(jump));
    for jump in before {
        if !only_go || !after.contains(jump) {
            script.delete_first.push(format!("-D {built_in} {jump}"));
        }
    }
    if !only_go {
        for jump in after.iter().rev() {
            script.insert.push(format!("-I {built_in} {jump}"));
        }
    }
}

/// An owner's chains, with jumps to libvirt's where those are.
fn chains_in(ruleset: &Ruleset, libvirt: &[Family]) -> Chains {
    chains(ruleset, |family| match libvirt.contains(&family) {
        true => LibvirtChains::Standing,
        false => LibvirtChains::Missing,
    })
}

/// The base chains that others use: of those asked for all, of the rest as far as they were seen.
/// Looks at no more owners than it takes to know; when one that was asked for is used by nobody,
/// all owners have been looked at.
fn used_bases(
    mut asked: BTreeSet<(Family, Base)>,
    others: impl IntoIterator<Item = Ruleset>,
    libvirt: &[Family],
) -> BTreeSet<(Family, Base)> {
    let mut used = BTreeSet::new();
    for ruleset in others {
        for key in chains_in(&ruleset, libvirt).into_keys() {
            asked.remove(&key);
            used.insert(key);
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
        .map(|ruleset| (ruleset, chains(ruleset, |_| observed.libvirt())))
        .collect();
    let mut builder = Builder::default();
    for table in Table::ALL {
        let found = observed.table(table);
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for base in Base::all().filter(|base| base.table() == table) {
            let mut jumps = Vec::new();
            for (ruleset, chains) in &rendered {
                let Some(rules) = chains.get(&(family, base)) else {
                    continue;
                };
                let chain = base.owner_chain(&ruleset.owner);
                jumps.push(base.owner_jump(ruleset));
                if found.chains.get(&chain) != Some(rules) {
                    rebuild(builder.table(table), &chain, rules);
                }
                wanted.insert(chain);
            }
            let script = builder.table(table);
            if !jumps.is_empty() {
                let chain = base.chain().to_owned();
                if !same_set(found.chains.get(&chain), &jumps) {
                    rebuild(script, &chain, &jumps);
                }
                wanted.insert(chain);
            }
        }
        for (_, built_in) in BUILT_IN.iter().filter(|(of, _)| *of == table) {
            let needed: Vec<String> = bases_of(table, built_in)
                .filter(|base| wanted.contains(base.chain()))
                .map(Base::built_in_jump)
                .collect();
            mend_built_in(builder.table(table), found, built_in, &needed);
        }
        let stale = found.chains.keys().filter(|chain| !wanted.contains(*chain));
        builder.table(table).remove.extend(stale.cloned());
    }
    builder.finish(family)
}

fn rebuild(script: &mut TableScript, chain: &str, rules: &[String]) {
    script.declare.insert(chain.to_owned());
    let rules = rules.iter().map(|rule| format!("-A {chain} {rule}"));
    script.rules.extend(rules);
}

fn same_set(found: Option<&Vec<String>>, wanted: &[String]) -> bool {
    found.is_some_and(|found| {
        let found_set: BTreeSet<&String> = found.iter().collect();
        found.len() == wanted.len() && found_set == wanted.iter().collect()
    })
}

/// Puts the jumps of a built-in chain right: each there once, in this order and above libvirt's, and
/// no other.
fn mend_built_in(
    script: &mut TableScript,
    found: &ObservedTable,
    built_in: &str,
    needed: &[String],
) {
    let empty = Vec::new();
    let rules = found.built_in.get(built_in).unwrap_or(&empty);
    let target = |rule: &String| rule.rsplit("-j ").next().unwrap_or("").to_owned();
    let is_ours = |rule: &&String| target(rule).starts_with(CHAIN_PREFIX);
    let ours: Vec<&String> = rules.iter().filter(is_ours).collect();
    let last = rules.iter().rposition(|rule| is_ours(&rule));
    let is_libvirts = |rule: &String| target(rule).starts_with(LIBVIRT_CHAIN_PREFIX);
    let libvirt = rules.iter().position(is_libvirts);
    let is_above = match (last, libvirt) {
        (Some(last), Some(libvirt)) => last < libvirt,
        _ => true,
    };
    if is_above && ours.iter().copied().eq(needed) {
        return;
    }
    for rule in ours {
        script.delete_first.push(format!("-D {built_in} {rule}"));
    }
    for jump in needed.iter().rev() {
        script.insert.push(format!("-I {built_in} {jump}"));
    }
}
