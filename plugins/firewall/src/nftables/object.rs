//! What a table of nftables is made of: values that are printed as nft reads them, and that the kernel can be given.

use super::element::Place;
use std::fmt::{self, Write as _};

/// A set or map that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSet {
    /// `set` or `map`.
    pub(crate) what: &'static str,
    /// Its name.
    pub name: String,
    /// Its types, and what else nft is told of it.
    pub(crate) definition: String,
}

impl NewSet {
    pub(crate) fn set(name: impl Into<String>, types: impl fmt::Display) -> Self {
        Self::of("set", name, types)
    }

    pub(crate) fn map(name: impl Into<String>, types: impl fmt::Display) -> Self {
        Self::of("map", name, types)
    }

    fn of(what: &'static str, name: impl Into<String>, types: impl fmt::Display) -> Self {
        Self {
            what,
            name: name.into(),
            definition: format!("{{ type {types}; }}"),
        }
    }
}

/// Type, hook and priority of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// `prerouting`, `input`, `forward`, `output` or `postrouting`.
    pub hook: &'static str,
    /// Who comes first.
    pub priority: i32,
}

/// A rule: its comment, and its words without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// By which it is known again.
    pub comment: String,
    /// As nft reads it.
    pub words: String,
}

impl NewRule {
    pub(crate) fn new(comment: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            comment: comment.into(),
            words: words.into(),
        }
    }
}

impl fmt::Display for NewRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} comment \"{}\"", self.words, self.comment)
    }
}

/// A chain that comes, with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChain {
    /// Its name.
    pub name: String,
    /// Absent for a chain that is jumped to.
    pub hook: Option<Hook>,
    /// Its rules in their order.
    pub rules: Vec<NewRule>,
}

impl NewChain {
    /// One that is jumped to.
    pub(crate) fn inner(name: &str, rules: Vec<NewRule>) -> Self {
        Self {
            name: name.to_owned(),
            hook: None,
            rules,
        }
    }
}

/// What is made in a table, or goes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectChange {
    /// The table.
    pub place: Place,
    /// What it is.
    pub object: Object,
}

/// See [`ObjectChange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The table comes, with sets and chains; what there is of it stays.
    Table {
        /// Its sets and maps.
        sets: Vec<NewSet>,
        /// Its chains.
        chains: Vec<NewChain>,
    },
    /// A set or map comes.
    Set(NewSet),
    /// A chain comes, or has other rules; one that is given no rules keeps what it has.
    Chain(NewChain),
    /// A rule comes at the head of a chain.
    FirstRule {
        /// The chain.
        chain: String,
        /// The rule.
        rule: NewRule,
    },
    /// The table goes, with all that is in it.
    NoTable,
    /// A set or map goes, with what is in it.
    NoSet(String),
    /// A chain goes, with its rules.
    NoChain(String),
    /// A rule goes.
    NoRule {
        /// Its chain.
        chain: String,
        /// What the kernel knows it by.
        handle: u64,
    },
}

impl ObjectChange {
    /// A table comes, with these sets and chains.
    pub(crate) fn table(place: Place, sets: Vec<NewSet>, chains: Vec<NewChain>) -> Self {
        let object = Object::Table { sets, chains };
        Self { place, object }
    }

    pub(crate) fn write(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = self.write_to(text);
    }

    fn write_to(&self, text: &mut String) -> fmt::Result {
        let place = self.place;
        match &self.object {
            Object::Table { sets, chains } if sets.is_empty() && chains.is_empty() => {
                writeln!(text, "add {self}")
            }
            Object::Table { sets, chains } => write_table(place, sets, chains, text),
            Object::Set(NewSet { definition, .. }) => writeln!(text, "add {self} {definition}"),
            Object::Chain(NewChain { name, rules, .. }) => {
                writeln!(text, "add {self}")?;
                if !rules.is_empty() {
                    writeln!(text, "flush {self}")?;
                }
                for rule in rules {
                    writeln!(text, "add rule {place} {name} {rule}")?;
                }
                Ok(())
            }
            Object::NoChain(name) => writeln!(text, "flush chain {place} {name}\n{self}"),
            Object::FirstRule { .. }
            | Object::NoTable
            | Object::NoSet(_)
            | Object::NoRule { .. } => writeln!(text, "{self}"),
        }
    }
}

/// In a few words.
impl fmt::Display for ObjectChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place;
        match &self.object {
            Object::Table { .. } => write!(formatter, "table {place}"),
            Object::Set(NewSet { what, name, .. }) => write!(formatter, "{what} {place} {name}"),
            Object::Chain(NewChain { name, .. }) => write!(formatter, "chain {place} {name}"),
            Object::FirstRule { chain, rule } => {
                write!(formatter, "insert rule {place} {chain} {rule}")
            }
            Object::NoTable => write!(formatter, "delete table {place}"),
            Object::NoSet(name) => write!(formatter, "delete set {place} {name}"),
            Object::NoChain(name) => write!(formatter, "delete chain {place} {name}"),
            Object::NoRule { chain, handle } => {
                write!(formatter, "delete rule {place} {chain} handle {handle}")
            }
        }
    }
}

fn write_table(
    place: Place,
    sets: &[NewSet],
    chains: &[NewChain],
    text: &mut String,
) -> fmt::Result {
    writeln!(text, "table {place} {{")?;
    for NewSet {
        what,
        name,
        definition,
    } in sets
    {
        writeln!(text, "\t{what} {name} {definition}")?;
    }
    for NewChain { name, hook, rules } in chains {
        writeln!(text, "\tchain {name} {{")?;
        if let Some(Hook {
            kind,
            hook,
            priority,
        }) = hook
        {
            writeln!(
                text,
                "\t\ttype {kind} hook {hook} priority {priority}; policy accept;"
            )?;
        }
        for rule in rules {
            writeln!(text, "\t\t{rule}")?;
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    Ok(())
}
