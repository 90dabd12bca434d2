//! The tables of nftables, changed by `nft -f`: everything or nothing.

use portero_firewall::nftables::{Place, LIBVIRT_TABLE};
use portero_model::{Counter, Family};
use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A set or map: the types of its key, and its elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Set {
    is_map: bool,
    /// Whether each element has a counter.
    counts: bool,
    types: Vec<String>,
    elements: BTreeMap<String, Option<String>>,
    /// Of one with intervals that has come with the present script: the chains that were there before.
    came_after: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    sets: BTreeMap<String, Set>,
    chains: BTreeMap<String, Vec<(u64, String)>>,
}

/// All tables by family and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Nftables {
    tables: BTreeMap<String, Table>,
    handles: u64,
}

impl Nftables {
    /// Whether portero has its own table.
    pub(crate) fn has_own_table(&self) -> bool {
        let places = [Place::Own, Place::Policy].into_iter();
        places
            .map(|place| place.to_string())
            .any(|name| self.tables.contains_key(&name))
    }

    /// Makes what libvirt makes, with one rule of its own in the chain portero jumps from.
    pub(crate) fn make_libvirt_tables(&mut self) {
        for family in Family::ALL {
            let mut table = Table::default();
            let rule = (1, "jump guest_input".to_owned());
            table.chains.insert("forward".to_owned(), vec![rule]);
            for chain in ["guest_input", "guest_output"] {
                table.chains.insert(chain.to_owned(), Vec::new());
            }
            let name = Place::Libvirt(family).to_string();
            self.tables.insert(name, table);
        }
        self.handles = self.handles.max(1);
    }

    /// Whether libvirt's tables are there.
    pub(crate) fn has_libvirt_tables(&self) -> bool {
        let mut families = Family::ALL.into_iter();
        families.all(|family| {
            self.tables
                .contains_key(&Place::Libvirt(family).to_string())
        })
    }

    /// Takes libvirt's tables away.
    pub(crate) fn remove_libvirt_tables(&mut self) {
        for family in Family::ALL {
            self.tables.remove(&Place::Libvirt(family).to_string());
        }
    }

    /// What `nft -j list table` prints of each of these tables that is there.
    pub(crate) fn list(&self, places: &[Place]) -> Vec<(Place, Value)> {
        let tables = places.iter();
        tables
            .filter_map(|place| Some((*place, self.tables.get(&place.to_string())?)))
            .map(|(place, table)| (place, table.to_json(&BTreeMap::new())))
            .collect()
    }

    /// The same of the table of policies, whose rules and elements have counted this.
    pub(crate) fn list_counted(&self, counters: &BTreeMap<String, Counter>) -> Option<Value> {
        let table = self.tables.get(&Place::Policy.to_string())?;
        Some(table.to_json(counters))
    }

    /// All tables with what is in them; of libvirt's the part that is portero's.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        for (name, table) in &self.tables {
            let is_libvirts = name.ends_with(LIBVIRT_TABLE);
            for (set, content) in &table.sets {
                for (key, data) in &content.elements {
                    let data = data.as_ref().map(|data| format!(" : {data}"));
                    text += &format!("{name} {set} {{ {key}{} }}\n", data.unwrap_or_default());
                }
            }
            for (chain, rules) in &table.chains {
                for (_, rule) in rules {
                    if !is_libvirts || rule.contains("portero") {
                        text += &format!("{name} {chain} {rule}\n");
                    }
                }
            }
        }
        text
    }

    /// Commits a script.
    pub(crate) fn commit(&mut self, script: &str) -> Result<(), String> {
        let mut changed = self.clone();
        let mut lines = script.lines();
        while let Some(line) = lines.next() {
            let done = if line.starts_with("table ") {
                changed.add_table(line, &mut lines)
            } else {
                changed.command(line)
            };
            done.map_err(|reason| format!("{reason}: {line}"))?;
        }
        let tables = changed.tables.values_mut();
        for set in tables.flat_map(|table| table.sets.values_mut()) {
            set.came_after = None;
        }
        *self = changed;
        Ok(())
    }

    fn handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }

    fn table(&mut self, name: &str) -> Result<&mut Table, String> {
        self.tables.get_mut(name).ok_or(format!("no table {name}"))
    }

    /// A table in the form of `nft list`.
    fn add_table<'a>(
        &mut self,
        head: &str,
        lines: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let name = head.trim_start_matches("table ").trim_end_matches(" {");
        let mut table = self.tables.remove(name).unwrap_or_default();
        let chains_before: BTreeSet<String> = table.chains.keys().cloned().collect();
        let mut chain: Option<String> = None;
        for line in lines.map(str::trim) {
            match (&chain, line) {
                (None, "}") => {
                    self.tables.insert(name.to_owned(), table);
                    return Ok(());
                }
                (Some(_), "}") => chain = None,
                (None, _) if line.starts_with("chain ") => {
                    let name = line.trim_start_matches("chain ").trim_end_matches(" {");
                    table.chains.insert(name.to_owned(), Vec::new());
                    chain = Some(name.to_owned());
                }
                (None, _) => {
                    let (kind, rest) = line.split_once(' ').ok_or("a set has no name")?;
                    let (name, definition) = rest.split_once(' ').ok_or("a set has no type")?;
                    let set = Set::new(kind, definition, &chains_before)?;
                    table.sets.insert(name.to_owned(), set);
                }
                (Some(_), _) if line.starts_with("type ") => {}
                (Some(name), _) => {
                    let rule = (self.handle(), line.to_owned());
                    let rules = table.chains.get_mut(name).ok_or("no such chain")?;
                    rules.push(rule);
                }
            }
        }
        Err("the table does not end".to_owned())
    }

    fn command(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.splitn(5, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (verb, kind) = (next(), next());
        let (family, table_name, rest) = (next(), next(), next());
        let name = format!("{family} {table_name}");
        let (what, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let handle = self.handle();
        match (verb, kind) {
            ("delete", "table") => {
                return self.tables.remove(&name).map(drop).ok_or("no table".into());
            }
            ("add", "table") => {
                self.tables.entry(name).or_default();
                return Ok(());
            }
            _ => {}
        }
        let table = self.table(&name)?;
        let chain = |table: &mut Table| -> Result<usize, String> {
            table
                .chains
                .get(what)
                .map(Vec::len)
                .ok_or(format!("no chain {what}"))
        };
        match (verb, kind) {
            (_, "element") => table.change_elements(verb, what, rest),
            ("add", "set") => {
                let chains = table.chains.keys().cloned().collect();
                let set = Set::new("set", rest, &chains)?;
                table.sets.insert(what.to_owned(), set);
                Ok(())
            }
            ("delete", "set") => {
                let mut rules = table.chains.values().flatten();
                if rules.any(|(_, rule)| rule.contains(&format!("@{what} "))) {
                    return Err("the set is in use".to_owned());
                }
                table.sets.remove(what).map(drop).ok_or("no set".into())
            }
            ("add", "chain") => {
                table.chains.entry(what.to_owned()).or_default();
                Ok(())
            }
            ("flush", "chain") => {
                chain(table)?;
                table.chains.insert(what.to_owned(), Vec::new());
                Ok(())
            }
            ("delete", "chain") => {
                let mut rules = table.chains.values().flatten();
                let is_used = rules.any(|(_, rule)| rule.contains(&format!("jump {what} ")));
                if is_used || chain(table)? > 0 {
                    return Err("the chain is in use".to_owned());
                }
                table.chains.remove(what);
                Ok(())
            }
            ("add" | "insert", "rule") => {
                let at = if verb == "add" { chain(table)? } else { 0 };
                let rules = table.chains.get_mut(what).ok_or("no chain")?;
                rules.insert(at, (handle, rest.to_owned()));
                Ok(())
            }
            ("delete", "rule") => {
                let number: u64 = rest
                    .trim_start_matches("handle ")
                    .parse()
                    .map_err(|_| "no handle")?;
                let rules = table.chains.get_mut(what).ok_or("no chain")?;
                let at = rules.iter().position(|(handle, _)| *handle == number);
                rules.remove(at.ok_or("no such rule")?);
                Ok(())
            }
            _ => Err("not a command of portero's".to_owned()),
        }
    }
}

impl Table {
    fn change_elements(&mut self, verb: &str, set: &str, list: &str) -> Result<(), String> {
        let all_chains: BTreeSet<String> = self.chains.keys().cloned().collect();
        let set = self.sets.get_mut(set).ok_or(format!("no set {set}"))?;
        // nft writes the elements of a set with intervals together with the set.
        let is_there_already = verb == "create" && set.came_after.is_some();
        let chains = set.came_after.as_ref().unwrap_or(&all_chains);
        let list = list.trim_start_matches("{ ").trim_end_matches(" }");
        for element in list.split(", ") {
            let (key, data) = match element.split_once(" : ") {
                Some((key, data)) => (key.to_owned(), Some(data.to_owned())),
                None => (element.to_owned(), None),
            };
            if data.is_some() != set.is_map {
                return Err(format!("{element} does not fit the set"));
            }
            let jump = data.as_deref().and_then(|data| data.strip_prefix("jump "));
            if jump.is_some_and(|chain| verb != "delete" && !chains.contains(chain)) {
                return Err(format!("no chain for {element}"));
            }
            if is_there_already {
                return Err(format!("{key} exists"));
            }
            let found = set.elements.get(&key);
            match (verb, found) {
                ("add", Some(known)) if *known != data => return Err(format!("{key} exists")),
                ("create", Some(_)) => return Err(format!("{key} exists")),
                ("add" | "create", _) => drop(set.elements.insert(key, data)),
                ("delete", Some(_)) => drop(set.elements.remove(&key)),
                _ => return Err(format!("no element {key}")),
            }
        }
        Ok(())
    }

    fn to_json(&self, counters: &BTreeMap<String, Counter>) -> Value {
        let mut items = vec![json!({ "metainfo": {} })];
        for (name, set) in &self.sets {
            let kind = if set.is_map { "map" } else { "set" };
            items.push(json!({ kind: set.to_json(name, counters) }));
        }
        for name in self.chains.keys() {
            items.push(json!({ "chain": { "name": name } }));
        }
        for (chain, rules) in &self.chains {
            for (handle, rule) in rules {
                let comment = rule.split(" comment \"").nth(1);
                let comment = comment.map(|comment| comment.trim_end_matches('"'));
                let jump = rule.split("jump ").nth(1).unwrap_or_default();
                let target = jump.split(' ').next().unwrap_or_default();
                let comment = comment.unwrap_or_default();
                let counter = counters.get(comment).copied().unwrap_or_default();
                items.push(json!({ "rule": {
                    "chain": chain,
                    "handle": handle,
                    "comment": comment,
                    "expr": [{ "counter": counter }, { "jump": { "target": target } }],
                } }));
            }
        }
        json!({ "nftables": items })
    }
}

impl Set {
    fn new(kind: &str, definition: &str, chains: &BTreeSet<String>) -> Result<Self, String> {
        let types = definition
            .split("type ")
            .nth(1)
            .ok_or("a set has no type")?;
        let key = types.split([';', ':']).next().unwrap_or_default().trim();
        Ok(Self {
            is_map: kind == "map",
            counts: definition.contains("counter"),
            types: key.split(" . ").map(str::to_owned).collect(),
            elements: BTreeMap::new(),
            came_after: definition.contains("interval").then(|| chains.clone()),
        })
    }

    fn to_json(&self, name: &str, counters: &BTreeMap<String, Counter>) -> Value {
        let elements = self.elements.iter().map(|(key, data)| {
            let counter = counters.get(key).copied().unwrap_or_default();
            let key = concat(key, Some(&self.types));
            let jump = data.as_deref().and_then(|data| data.strip_prefix("jump "));
            match (data, jump) {
                (_, Some(chain)) => json!([key, { "jump": { "target": chain } }]),
                (Some(data), None) => json!([key, concat(data, None)]),
                (None, None) if self.counts => {
                    json!({ "elem": { "val": key, "counter": counter } })
                }
                (None, None) => key,
            }
        });
        let elements: Vec<Value> = elements.collect();
        match self.types.as_slice() {
            [one] => json!({ "name": name, "type": one, "elem": elements }),
            types => json!({ "name": name, "type": types, "elem": elements }),
        }
    }
}

/// A key or an address and port, as nft prints it.
fn concat(text: &str, types: Option<&[String]>) -> Value {
    let parts = text.split(" . ").enumerate().map(|(index, part)| {
        let kind = types.and_then(|types| types.get(index));
        match (kind.map(String::as_str), part) {
            (Some("ifname"), part) => json!(part.trim_matches('"')),
            (Some("inet_proto"), "6") => json!("tcp"),
            (Some("inet_proto"), "17") => json!("udp"),
            (Some("inet_proto"), "132") => json!("sctp"),
            (Some("inet_service"), part) if part.contains('-') => {
                let ends: Vec<u16> = part.split('-').flat_map(str::parse).collect();
                json!({ "range": ends })
            }
            (_, part) => match (part.parse::<u16>(), part.split_once('/')) {
                (Ok(number), _) => json!(number),
                (_, Some((address, length))) => {
                    let length: u8 = length.parse().unwrap_or_default();
                    json!({ "prefix": { "addr": address, "len": length } })
                }
                _ => json!(part),
            },
        }
    });
    let parts: Vec<Value> = parts.collect();
    match parts.as_slice() {
        [one] => one.clone(),
        parts => json!({ "concat": parts }),
    }
}
