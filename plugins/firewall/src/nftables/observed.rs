//! What `nft -j list table` says is in the kernel, reduced to what concerns portero.

use super::base::{
    jump_comment, libvirt_chains, libvirt_sets, own_chains, own_sets, policy_chains, policy_sets,
    Chain,
};
use super::element::{network, quoted, Elements, Place};
use super::{LIBVIRT_CHAIN, LIBVIRT_VERDICTS, NAME};
use crate::antispoof::{antispoof_chains, antispoof_sets};
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use portero_model::{Counter, Family, Protocol};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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

/// Why what nft says cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("cannot understand 'nft -j list table {table}': {source}")]
pub struct ReadError {
    /// The table.
    pub table: String,
    /// What is wrong with the JSON.
    pub source: serde_json::Error,
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Item>,
}

/// What a table's listing holds, each in one of its fields.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) set: Option<Set>,
    map: Option<Set>,
    chain: Option<Named>,
    pub(crate) rule: Option<Rule>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
pub(crate) struct Set {
    pub(crate) name: String,
    r#type: Value,
    #[serde(default)]
    elem: Vec<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Rule {
    pub(crate) chain: String,
    handle: u64,
    #[serde(default)]
    pub(crate) comment: String,
    #[serde(default)]
    expr: Vec<Value>,
}

pub(crate) fn items(place: Place, json: &[u8]) -> Result<Vec<Item>, ReadError> {
    let listing: Listing = serde_json::from_slice(json).map_err(|source| ReadError {
        table: place.to_string(),
        source,
    })?;
    Ok(listing.nftables)
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
        let items = items(place, json)?;
        match place {
            Place::Own => {
                self.own = Some(Table::fixed(place, items, &own_sets(), &own_chains()));
            }
            Place::Antispoof => {
                let table = Table::fixed(place, items, &antispoof_sets(), &antispoof_chains());
                self.antispoof = Some(table);
            }
            Place::Policy => {
                let table = Table::read(place, items, &policy_sets(), &policy_chains());
                self.policy = Some(table);
            }
            Place::Libvirt(family) => {
                self.libvirt
                    .insert(family, LibvirtTable::read(family, items));
            }
        }
        Ok(())
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
    fn fixed(
        place: Place,
        items: Vec<Item>,
        sets: &BTreeMap<String, String>,
        chains: &[Chain],
    ) -> Self {
        let mut table = Self::read(place, items, sets, chains);
        table.is_whole &= table.sets.is_empty() && table.chains.is_empty();
        table
    }

    /// A table of portero's own, of which these sets and chains are always there.
    fn read(
        place: Place,
        items: Vec<Item>,
        fixed_sets: &BTreeMap<String, String>,
        fixed_chains: &[Chain],
    ) -> Self {
        let mut table = Self::default();
        let mut is_strange = false;
        for item in items {
            if let Some(set) = item.set.or(item.map) {
                is_strange |= !read_elements(place, &set, &mut table.elements);
                table.sets.insert(set.name);
            }
            if let Some(chain) = item.chain {
                table.chains.entry(chain.name).or_default();
            }
            if let Some(rule) = item.rule {
                let comments = table.chains.entry(rule.chain).or_default();
                comments.push(rule.comment);
            }
        }
        let has_sets = fixed_sets.keys().all(|name| table.sets.remove(name));
        let has_chains = fixed_chains
            .iter()
            .all(|chain| table.chains.remove(chain.name) == Some(chain.comments()));
        table.is_whole = !is_strange && has_sets && has_chains;
        table
    }
}

impl LibvirtTable {
    fn read(family: Family, items: Vec<Item>) -> Self {
        let mut table = Self::default();
        let wanted_sets = libvirt_sets(family).map(|(name, _)| name);
        let wanted_chains = libvirt_chains(family);
        let mut comments: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut libvirt_chains = BTreeSet::new();
        let (mut is_strange, mut is_first) = (false, true);
        for item in items {
            let set = item.set;
            let set = set.filter(|set| wanted_sets.contains(&set.name.as_str()));
            if let Some(set) = set {
                is_strange |= !read_elements(Place::Libvirt(family), &set, &mut table.elements);
                table.sets.insert(set.name);
            }
            if let Some(chain) = item.chain {
                if wanted_chains.iter().any(|wanted| wanted.name == chain.name) {
                    table.chains.insert(chain.name);
                } else {
                    libvirt_chains.insert(chain.name);
                }
            }
            let Some(rule) = item.rule else {
                continue;
            };
            if rule.chain == LIBVIRT_CHAIN {
                let is_jump = rule.jumps_to(NAME);
                if is_jump {
                    table.jumps.push(rule.handle);
                }
                table.jump_is_first |= is_first && is_jump && rule.comment == jump_comment();
                is_first = false;
            } else if table.chains.contains(&rule.chain) {
                comments.entry(rule.chain).or_default().push(rule.comment);
            }
        }
        let mut asked = [LIBVIRT_CHAIN].into_iter().chain(LIBVIRT_VERDICTS);
        table.has_forward = asked.all(|name| libvirt_chains.contains(name));
        let wanted = wanted_chains.iter();
        let wanted = wanted.map(|chain| (chain.name.to_owned(), chain.comments()));
        table.is_whole = !is_strange && comments == wanted.collect();
        table
    }
}

impl Set {
    /// The types of its key's parts.
    fn types(&self) -> Vec<&str> {
        match &self.r#type {
            Value::String(one) => vec![one.as_str()],
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The keys of its elements that have a counter, with that.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (String, Counter)> + '_ {
        let types = self.types();
        let counted = self.elem.iter().filter_map(|element| element.get("elem"));
        counted.filter_map(move |element| {
            let key = joined(element.get("val")?, &types)?;
            Some((key, Counter::from_json(element.get("counter")?)?))
        })
    }
}

impl Rule {
    /// What its counter says, if it has one.
    pub(crate) fn counter(&self) -> Option<Counter> {
        let mut counters = self.expr.iter().filter_map(|word| word.get("counter"));
        counters.find_map(Counter::from_json)
    }

    fn jumps_to(&self, chain: &str) -> bool {
        let words = self.expr.iter();
        let mut targets = words.filter_map(|word| word.pointer("/jump/target"));
        targets.any(|name| name == chain)
    }
}

/// Reads a set's elements; false when one is in a form that portero never gives it.
fn read_elements(place: Place, set: &Set, elements: &mut Elements) -> bool {
    let types = set.types();
    let mut all_known = true;
    for element in &set.elem {
        // Those with a counter of their own.
        let element = element.pointer("/elem/val").unwrap_or(element);
        let (key, data) = match element {
            Value::Array(pair) => (pair.first(), pair.get(1)),
            key => (Some(key), None),
        };
        let data = data.map(|data| match data.pointer("/jump/target") {
            Some(chain) => chain.as_str().map(|chain| format!("jump {chain}")),
            None => joined(
                data,
                if data.get("concat").is_some() {
                    &["", ""]
                } else {
                    &[""]
                },
            ),
        });
        match (key.and_then(|key| joined(key, &types)), data) {
            (Some(key), None) => drop(elements.insert(place.key(&set.name, key), None)),
            (Some(key), Some(Some(data))) => {
                elements.insert(place.key(&set.name, key), Some(data));
            }
            _ => all_known = false,
        }
    }
    all_known
}

/// The parts of a key or of what a map gives, in the form in which `super::forward` and `super::policy` write them.
fn joined(value: &Value, types: &[&str]) -> Option<String> {
    let parts: Vec<&Value> = match value.get("concat") {
        Some(Value::Array(parts)) => parts.iter().collect(),
        _ => vec![value],
    };
    if parts.len() != types.len() {
        return None;
    }
    let parts = parts.iter().zip(types);
    let parts: Option<Vec<String>> = parts.map(|(part, kind)| text(part, kind)).collect();
    Some(parts?.join(" . "))
}

fn text(part: &Value, kind: &str) -> Option<String> {
    match part {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => match kind {
            "ifname" => Some(quoted(text)),
            "ether_addr" => Some(text.clone()),
            "inet_proto" => {
                let protocol: Protocol = text.parse().ok()?;
                Some(protocol.number().to_string())
            }
            _ => Some(text.parse::<IpAddr>().ok()?.to_string()),
        },
        Value::Object(_) => {
            if let Some(prefix) = part.get("prefix") {
                let address: IpAddr = prefix.get("addr")?.as_str()?.parse().ok()?;
                let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
                return Some(network(IpNet::new(address, length).ok()?));
            }
            let range = part.get("range")?.as_array()?;
            if let [Value::Number(first), Value::Number(last)] = &range[..] {
                return Some(format!("{first}-{last}"));
            }
            let end = |index: usize| -> Option<IpAddr> { range.get(index)?.as_str()?.parse().ok() };
            Some(network(network_of(end(0)?, end(1)?)?))
        }
        _ => None,
    }
}

/// The network that is exactly a range of addresses.
fn network_of(first: IpAddr, last: IpAddr) -> Option<IpNet> {
    let mut networks: Box<dyn Iterator<Item = IpNet>> = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Box::new(Ipv4Subnets::new(first, last, 0).map(IpNet::V4))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Box::new(Ipv6Subnets::new(first, last, 0).map(IpNet::V6))
        }
        _ => return None,
    };
    let one = networks.next()?;
    networks.next().is_none().then_some(one)
}
