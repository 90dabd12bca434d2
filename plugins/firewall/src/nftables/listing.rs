//! What `nft -j list table` says is in a table.

use super::content::{ElementContent, RuleContent, SetContent, TableContent};
use super::element::{network, quoted, Place};
use super::wire::network_of;
use ipnet::IpNet;
use portero_model::{Counter, Protocol};
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

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
struct Item {
    set: Option<Set>,
    map: Option<Set>,
    chain: Option<Named>,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    r#type: Value,
    #[serde(default)]
    elem: Vec<Value>,
}

#[derive(Deserialize)]
struct Rule {
    chain: String,
    handle: u64,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    expr: Vec<Value>,
}

impl TableContent {
    /// From the output of `nft -j list table`.
    ///
    /// # Errors
    /// [`ReadError`] when it is not what nft writes.
    pub fn from_json(place: Place, json: &[u8]) -> Result<Self, ReadError> {
        let listing: Listing = serde_json::from_slice(json).map_err(|source| ReadError {
            table: place.to_string(),
            source,
        })?;
        let mut content = Self::default();
        for item in listing.nftables {
            if let Some(set) = item.set.or(item.map) {
                let elements = set.elements();
                content.sets.push(SetContent::new(set.name, elements));
            }
            content.chains.extend(item.chain.map(|chain| chain.name));
            content.rules.extend(item.rule.map(|rule| RuleContent {
                jump: rule.jump(),
                counter: rule.counter(),
                chain: rule.chain,
                handle: rule.handle,
                comment: rule.comment,
            }));
        }
        Ok(content)
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

    /// Its elements; nothing in place of one in a form that portero never gives it.
    fn elements(&self) -> Vec<Option<ElementContent>> {
        let types = self.types();
        let elements = self.elem.iter();
        elements.map(|one| element(one, &types)).collect()
    }
}

impl Rule {
    /// What its counter says, if it has one.
    fn counter(&self) -> Option<Counter> {
        let mut counters = self.expr.iter().filter_map(|word| word.get("counter"));
        counters.find_map(Counter::from_json)
    }

    /// The chain that it jumps to.
    fn jump(&self) -> Option<String> {
        let mut words = self.expr.iter();
        let target = words.find_map(|word| word.pointer("/jump/target"))?;
        target.as_str().map(ToOwned::to_owned)
    }
}

fn element(element: &Value, types: &[&str]) -> Option<ElementContent> {
    // One with a counter of its own.
    let counter = element.pointer("/elem/counter");
    let element = element.pointer("/elem/val").unwrap_or(element);
    let (key, data) = match element {
        Value::Array(pair) => (pair.first()?, pair.get(1)),
        key => (key, None),
    };
    let data = match data {
        None => None,
        Some(data) => Some(words_of_data(data)?),
    };
    Some(ElementContent {
        key: joined(key, types)?,
        data,
        counter: counter.and_then(Counter::from_json),
    })
}

/// What a map gives.
fn words_of_data(data: &Value) -> Option<String> {
    if let Some(chain) = data.pointer("/jump/target") {
        return Some(format!("jump {}", chain.as_str()?));
    }
    let types: &[&str] = match data.get("concat") {
        Some(_) => &["", ""],
        None => &[""],
    };
    joined(data, types)
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
