//! What is in a table, whoever has read it.

use super::wire::{DataTypes, Types};
use portero_model::Counter;

/// A table's sets, chains and rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableContent {
    /// Its sets and maps that have a name.
    pub sets: Vec<SetContent>,
    /// The names of its chains.
    pub chains: Vec<String>,
    /// Its rules, those of each chain in their order.
    pub rules: Vec<RuleContent>,
}

/// A set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetContent {
    /// Its name.
    pub name: String,
    /// Whether all that is in it is in a form that portero gives it.
    pub is_known: bool,
    /// Its elements, but those in another form.
    pub elements: Vec<ElementContent>,
}

/// An element, in the words in which portero writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementContent {
    /// By which it is found.
    pub key: String,
    /// What a map gives for it.
    pub data: Option<String>,
    /// What it has counted, if it counts.
    pub counter: Option<Counter>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleContent {
    /// Its chain.
    pub chain: String,
    /// By which it is deleted.
    pub handle: u64,
    /// Its comment; empty when it has none.
    pub comment: String,
    /// The chain that it jumps to.
    pub jump: Option<String>,
    /// What it has counted, if it counts.
    pub counter: Option<Counter>,
}

/// An element in the kernel's own bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawElement {
    /// The key; of a range in a concatenation its first.
    pub key: Vec<u8>,
    /// The last key of a range in a concatenation.
    pub key_end: Option<Vec<u8>>,
    /// Whether it is the first key behind an interval (`NFT_SET_ELEM_INTERVAL_END`).
    pub is_interval_end: bool,
    /// What a map gives.
    pub data: Option<RawData>,
    /// What it has counted, if it counts.
    pub counter: Option<Counter>,
}

/// What a map gives, in the kernel's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawData {
    /// A value.
    Value(Vec<u8>),
    /// A chain to jump to.
    Jump(String),
    /// Another verdict.
    Verdict,
}

/// The types of a set, as the kernel has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTypes {
    /// The number of the key's type.
    pub key: u32,
    /// The number of the type of what a map gives.
    pub data: Option<u32>,
    /// Whether an interval is two elements: its first key, and the first behind it.
    pub has_intervals: bool,
}

impl SetContent {
    /// A set with those elements that are known.
    pub(crate) fn new(name: String, elements: Vec<Option<ElementContent>>) -> Self {
        Self {
            name,
            is_known: elements.iter().all(Option::is_some),
            elements: elements.into_iter().flatten().collect(),
        }
    }

    /// From what the kernel says of a set.
    #[must_use]
    pub fn of_kernel(name: String, types: RawTypes, elements: Vec<RawElement>) -> Self {
        let Some(key) = Types::of_number(types.key) else {
            return Self::new(name, vec![None]);
        };
        let data = types.data.map(DataTypes::of_number);
        let elements = match types.has_intervals && key.is_one() {
            true => intervals(elements),
            false => elements,
        };
        let words = elements.iter().map(|element| {
            let last = element.key_end.as_ref().unwrap_or(&element.key);
            let data = match (&data, &element.data) {
                (None, None) => None,
                (Some(types), Some(data)) => Some(words_of_data(types.as_ref()?, data)?),
                _ => return None,
            };
            Some(ElementContent {
                key: key.decode(&element.key, last)?,
                data,
                counter: element.counter,
            })
        });
        Self::new(name, words.collect())
    }
}

fn words_of_data(types: &DataTypes, data: &RawData) -> Option<String> {
    match (types, data) {
        (DataTypes::Values(types), RawData::Value(value)) => types.decode(value, value),
        (DataTypes::Verdict, RawData::Jump(chain)) => Some(format!("jump {chain}")),
        _ => None,
    }
}

/// Intervals that are two elements each become one: its first key and its last. The kernel tells where the next one begins,
/// or nothing behind the last of all.
fn intervals(mut elements: Vec<RawElement>) -> Vec<RawElement> {
    // An end stands before what begins at the same key.
    elements.sort_by(|one, other| {
        let order = one.key.cmp(&other.key);
        order.then(other.is_interval_end.cmp(&one.is_interval_end))
    });
    let mut found: Vec<RawElement> = Vec::new();
    let mut is_open = false;
    for element in elements {
        if is_open {
            if let Some(last) = found.last_mut() {
                last.key_end = Some(before(&element.key));
            }
        }
        is_open = !element.is_interval_end;
        if is_open {
            let all = vec![u8::MAX; element.key.len()];
            found.push(RawElement {
                key_end: Some(all),
                ..element
            });
        }
    }
    found
}

/// The key before a key, in network byte order.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != u8::MAX {
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ipv4_addr`.
    const ADDRESSES: RawTypes = RawTypes {
        key: 7,
        data: None,
        has_intervals: true,
    };

    fn element(key: [u8; 4], is_interval_end: bool) -> RawElement {
        RawElement {
            key: key.to_vec(),
            is_interval_end,
            ..RawElement::default()
        }
    }

    fn keys(elements: Vec<RawElement>) -> Option<Vec<String>> {
        let set = SetContent::of_kernel("set".to_owned(), ADDRESSES, elements);
        let keys = set.elements.into_iter().map(|element| element.key);
        set.is_known.then(|| keys.collect())
    }

    #[test]
    fn an_interval_is_from_its_first_key_to_the_one_before_the_next() {
        let elements = vec![
            element([255, 255, 255, 0], false),
            element([10, 1, 0, 0], true),
            element([10, 0, 0, 0], false),
            element([10, 1, 0, 0], false),
            element([10, 1, 0, 1], true),
            element([0, 0, 0, 0], true),
        ];
        let expected = ["10.0.0.0/16", "10.1.0.0", "255.255.255.0/24"];
        let expected = expected.map(ToOwned::to_owned).to_vec();
        assert_eq!(keys(elements), Some(expected));
    }

    #[test]
    fn an_interval_has_counted_what_its_first_element_has() {
        let counter = Counter {
            packets: 3,
            bytes: 180,
        };
        let first = RawElement {
            counter: Some(counter),
            ..element([10, 0, 0, 0], false)
        };
        let elements = vec![element([10, 1, 0, 0], true), first];
        let set = SetContent::of_kernel("set".to_owned(), ADDRESSES, elements);
        let expected = ElementContent {
            key: "10.0.0.0/16".to_owned(),
            data: None,
            counter: Some(counter),
        };
        assert_eq!(set.elements, [expected]);
    }

    #[test]
    fn what_is_no_network_is_not_portero_s() {
        let elements = vec![element([10, 0, 0, 1], false), element([10, 0, 0, 3], true)];
        assert_eq!(keys(elements), None);
        let unknown = RawTypes {
            key: 5,
            ..ADDRESSES
        };
        let set = SetContent::of_kernel("set".to_owned(), unknown, Vec::new());
        assert!(!set.is_known && set.elements.is_empty());
    }
}
