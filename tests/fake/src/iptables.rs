//! The tables of one family, changed by `iptables-restore --noflush`: each table as a whole or not
//! at all.

use portero_model::Counter;
use std::collections::BTreeMap;

/// Built-in chains of each table.
const BUILT_IN: [(&str, &[&str]); 3] = [
    (
        "mangle",
        &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    ),
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
];

/// libvirt's chains that portero jumps to.
const LIBVIRT_CHAINS: [&str; 2] = ["LIBVIRT_FWI", "LIBVIRT_FWO"];

type Chains = BTreeMap<String, Vec<String>>;

/// Tables with their chains and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Iptables {
    tables: BTreeMap<&'static str, Chains>,
}

impl Default for Iptables {
    fn default() -> Self {
        let chains = |names: &[&str]| -> Chains {
            let names = names.iter();
            names.map(|name| ((*name).to_owned(), Vec::new())).collect()
        };
        let tables = BUILT_IN
            .iter()
            .map(|(table, names)| (*table, chains(names)));
        Self {
            tables: tables.collect(),
        }
    }
}

impl Iptables {
    /// What `iptables -t TABLE -S` prints.
    pub(crate) fn list(&self, table: &str) -> Vec<String> {
        let chains = &self.tables[table];
        let names = chains.keys().map(|chain| {
            if is_built_in(table, chain) {
                format!("-P {chain} ACCEPT")
            } else {
                format!("-N {chain}")
            }
        });
        let rules = chains
            .iter()
            .flat_map(|(chain, rules)| rules.iter().map(move |rule| format!("-A {chain} {rule}")));
        names.chain(rules).collect()
    }

    /// What `iptables-save -c -t TABLE` prints of rules; each has counted what is said of its comment.
    pub(crate) fn list_counted(
        &self,
        table: &str,
        counters: &BTreeMap<String, Counter>,
    ) -> Vec<String> {
        let rules = self.list(table).into_iter();
        let rules = rules.filter(|line| line.starts_with("-A"));
        rules
            .map(|line| {
                let comment = line.split("--comment ").nth(1).unwrap_or_default();
                let comment = match comment.strip_prefix('"') {
                    Some(quoted) => quoted.split('"').next(),
                    None => comment.split(' ').next(),
                };
                let counter = counters.get(comment.unwrap_or_default());
                let Counter { packets, bytes } = counter.copied().unwrap_or_default();
                format!("[{packets}:{bytes}] {line}")
            })
            .collect()
    }

    /// Makes the chains of libvirt's that portero jumps to, with their jumps.
    pub(crate) fn make_libvirt_chains(&mut self) {
        if let Some(chains) = self.tables.get_mut("filter") {
            for chain in LIBVIRT_CHAINS {
                chains.entry(chain.to_owned()).or_default();
                let jumps = chains.entry("FORWARD".to_owned()).or_default();
                let jump = format!("-j {chain}");
                if !jumps.contains(&jump) {
                    jumps.push(jump);
                }
            }
        }
    }

    /// Makes them as a daemon does that finds none of its jumps: above all that is there.
    pub(crate) fn insert_libvirt_chains(&mut self) {
        self.remove_libvirt_chains();
        if let Some(chains) = self.tables.get_mut("filter") {
            for chain in LIBVIRT_CHAINS {
                chains.entry(chain.to_owned()).or_default();
                let jumps = chains.entry("FORWARD".to_owned()).or_default();
                jumps.insert(0, format!("-j {chain}"));
            }
        }
    }

    /// Takes them away.
    pub(crate) fn remove_libvirt_chains(&mut self) {
        if let Some(chains) = self.tables.get_mut("filter") {
            chains.retain(|chain, _| !LIBVIRT_CHAINS.contains(&chain.as_str()));
            for rules in chains.values_mut() {
                rules.retain(|rule| !LIBVIRT_CHAINS.contains(&target(rule)));
            }
        }
    }

    /// Whether any chain is portero's.
    pub(crate) fn has_portero(&self) -> bool {
        let mut names = self.tables.values().flat_map(BTreeMap::keys);
        names.any(|name| name.starts_with("PORTERO"))
    }

    /// All rules under a heading; nothing when there are none.
    pub(crate) fn show(&self, heading: &str) -> String {
        let mut text = String::new();
        for table in self.tables.keys() {
            for line in self.list(table) {
                if !line.starts_with("-P") {
                    text += &format!("{heading} {table} {line}\n");
                }
            }
        }
        text
    }

    /// Commits a script.
    pub(crate) fn restore(&mut self, script: &str) -> Result<(), String> {
        let mut open: Option<(&'static str, Chains)> = None;
        for line in script.lines() {
            if let Some(name) = line.strip_prefix('*') {
                let (name, chains) = self
                    .tables
                    .get_key_value(name)
                    .ok_or_else(|| format!("no table {name}"))?;
                open = Some((name, chains.clone()));
            } else if line == "COMMIT" {
                let (name, chains) = open.take().ok_or("COMMIT without a table")?;
                check_jumps(&chains)?;
                self.tables.insert(name, chains);
            } else {
                let (name, chains) = open.as_mut().ok_or("a command without a table")?;
                command(name, chains, line).map_err(|reason| format!("{reason}: {line}"))?;
            }
        }
        if open.is_some() {
            return Err("no COMMIT".to_owned());
        }
        Ok(())
    }
}

fn is_built_in(table: &str, chain: &str) -> bool {
    let names = BUILT_IN.iter().find(|(name, _)| *name == table);
    names.is_some_and(|(_, names)| names.contains(&chain))
}

fn command(table: &str, chains: &mut Chains, line: &str) -> Result<(), String> {
    if let Some(declared) = line.strip_prefix(':') {
        let name = declared.split(' ').next().unwrap_or_default();
        chains.insert(name.to_owned(), Vec::new());
        return Ok(());
    }
    let mut words = line.splitn(3, ' ');
    let command = words.next().unwrap_or_default();
    let name = words.next().unwrap_or_default();
    let rule = words.next().unwrap_or_default().to_owned();
    if command == "-X" {
        let is_used = chains.values().flatten().any(|rule| target(rule) == name);
        let is_empty = chains.get(name).is_some_and(Vec::is_empty);
        if is_used || !is_empty || is_built_in(table, name) {
            return Err("the chain cannot be deleted".to_owned());
        }
        chains.remove(name);
        return Ok(());
    }
    let chain = chains.get_mut(name).ok_or("no such chain")?;
    match command {
        "-A" => chain.push(rule),
        "-I" => chain.insert(0, rule),
        "-F" => chain.clear(),
        "-D" => {
            let at = chain.iter().position(|known| *known == rule);
            chain.remove(at.ok_or("no such rule")?);
        }
        _ => return Err("not a command of portero's".to_owned()),
    }
    Ok(())
}

fn target(rule: &str) -> &str {
    let after = rule.split("-j ").nth(1).unwrap_or_default();
    after.split(' ').next().unwrap_or_default()
}

fn check_jumps(chains: &Chains) -> Result<(), String> {
    for rule in chains.values().flatten() {
        let target = target(rule);
        let is_known = target.starts_with("PORTERO") || LIBVIRT_CHAINS.contains(&target);
        if is_known && !chains.contains_key(target) {
            return Err(format!("no chain {target}"));
        }
    }
    Ok(())
}
