//! Rules in the kernel's own expressions (linux/netfilter/nf_tables.h).

use super::wire::{DataType, Intervals, SetTypes};

/// A rule as the kernel takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRule {
    /// What it looks up in sets of its own. The kernel names them; [`Value::OwnSet`] is an index of these.
    pub sets: Vec<OwnSet>,
    /// Its steps.
    pub expressions: Vec<Expression>,
}

/// A set that is part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSet {
    /// What its keys are made of.
    pub types: SetTypes,
    /// Its keys in their order.
    pub keys: Vec<(Vec<u8>, Edge)>,
}

/// What a key of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// An element, or the first of an interval.
    First,
    /// The first of an interval that ends with the last of all keys.
    FirstOfRest,
    /// The first behind an interval.
    Behind,
}

/// A step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// The name of its kind, `NFTA_EXPR_NAME`.
    pub name: &'static str,
    /// Its attributes with their numbers, which are those of its kind.
    pub attributes: Vec<(u16, Value)>,
}

/// What an attribute of an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u32),
    /// A number of one byte.
    Byte(u8),
    /// A number of eight bytes.
    Long(u64),
    /// Bytes to load or to compare, `NFTA_DATA_VALUE`.
    Bytes(Vec<u8>),
    /// A verdict, `NFTA_DATA_VERDICT`.
    Verdict {
        /// `NFTA_VERDICT_CODE`.
        code: u32,
        /// Where it leads to.
        chain: Option<String>,
    },
    /// A name, or a text for the log.
    Text(String),
    /// A set of the rule's own, by its index.
    OwnSet(usize),
}

impl OwnSet {
    /// One with elements from a first to a last key each. Those that touch are one, as nft has it.
    pub(super) fn with(kind: DataType, mut elements: Vec<[Vec<u8>; 2]>) -> Self {
        let has_intervals = elements.iter().any(|[first, last]| first != last);
        let mut keys = Vec::new();
        if has_intervals {
            elements.sort_unstable();
            let mut joined: Vec<[Vec<u8>; 2]> = Vec::new();
            for [first, last] in elements {
                match joined.last_mut() {
                    Some([_, end]) if behind(end).is_none_or(|behind| first <= behind) => {
                        *end = last.max(std::mem::take(end));
                    }
                    _ => joined.push([first, last]),
                }
            }
            // nft says where the first interval does not begin yet.
            let begins_later = |[first, _]: &&[Vec<u8>; 2]| first.iter().any(|byte| *byte != 0);
            if let Some([first, _]) = joined.first().filter(begins_later) {
                keys.push((vec![0; first.len()], Edge::Behind));
            }
            for [first, last] in joined {
                match behind(&last) {
                    Some(behind) => keys.extend([(first, Edge::First), (behind, Edge::Behind)]),
                    None => keys.push((first, Edge::FirstOfRest)),
                }
            }
        } else {
            keys.extend(elements.into_iter().map(|[key, _]| (key, Edge::First)));
        }
        let intervals = match has_intervals {
            true => Intervals::InTwo,
            false => Intervals::None,
        };
        let types = SetTypes::of_one(kind, intervals);
        Self { types, keys }
    }
}

/// The kernel's code of a jump (`NFT_JUMP`), which is -3.
pub const JUMP: u32 = u32::MAX - 2;

/// The key behind a key, in network byte order; nothing behind the last of all.
#[must_use]
pub fn behind(key: &[u8]) -> Option<Vec<u8>> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(key);
        }
    }
    None
}
