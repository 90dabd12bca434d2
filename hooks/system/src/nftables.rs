//! nf_tables without its program: the kernel is given changes as one transaction, and a table is read as it stands.

use crate::attributes::{data, element, expression, rule, set, LIST_ELEMENT};
use crate::netlink::{Netlink, Raw};
use crate::nfnetlink::{
    attributes, find, lists, message, names, number, text, value, Attributes, TableFamily,
    CHAIN_NAME, DELETE_ELEMENTS, GENERATION_ID, GET_CHAIN, GET_ELEMENTS, GET_GENERATION, GET_RULE,
    GET_SET, NEW_ELEMENTS, SUBSYSTEM, TABLE, WITHIN,
};
use crate::objects::Objects;
use crate::tables::has_table;
use crate::{Deadline, Result, SystemError};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use portero_firewall::nftables::{
    behind, DataTypes, Intervals, KnownSets, Place, RawData, RawElement, RawTypes, RuleContent,
    SetContent, SetTypes, TableContent, JUMP, NAME,
};
use portero_firewall::{Command, ElementChange, Verb};
use portero_model::Counter;

/// Gives the kernel the commands of a script, all or none of them. Says that it cannot, and does nothing, where one is not in
/// such words that its bytes are known.
///
/// # Errors
/// [`SystemError::Refused`] when the kernel refuses one, [`SystemError`] when it cannot be asked.
pub(crate) fn commit(commands: &[Command], deadline: Deadline) -> Result<Committed> {
    let mut sets = KnownSets::default();
    // The messages, and the command that each is part of.
    let (mut steps, mut parts) = (Vec::new(), Vec::new());
    let mut objects = Objects::default();
    for command in commands {
        let messages = match command {
            Command::Text(_) => None,
            Command::Elements(change) => change_of_elements(change, &mut sets),
            Command::Object(change) => objects.messages(change, &mut sets),
        };
        let Some(messages) = messages else {
            return Ok(Committed::Unknown);
        };
        parts.extend(messages.iter().map(|_| command));
        steps.extend(messages);
    }
    let refused = Netlink::open(NETLINK_NETFILTER, deadline)?.transact(SUBSYSTEM, &steps)?;
    match refused {
        None => Ok(Committed::Done),
        Some((step, source)) => Err(SystemError::Refused {
            what: parts
                .get(step)
                .map_or_else(|| "a change".to_owned(), |command| name(command)),
            source,
        }),
    }
}

fn change_of_elements(change: &ElementChange, sets: &mut KnownSets) -> Option<Vec<(Raw, u16)>> {
    let known = sets.of(change.place).get(&change.set).cloned();
    let types = known.or_else(|| policy_types(change))?;
    let flags = match change.verb {
        Verb::Add => NLM_F_CREATE,
        Verb::Create => NLM_F_CREATE | NLM_F_EXCL,
        Verb::Delete => 0,
    };
    let messages = messages(change, &types)?.into_iter();
    Some(messages.map(|message| (message, flags)).collect())
}

/// The types of a set that a policy has to itself.
fn policy_types(change: &ElementChange) -> Option<SetTypes> {
    let (first, _) = change.elements.first()?;
    (change.place == Place::Policy).then(|| SetTypes::of_policy(first))
}

/// A command in a few words.
fn name(command: &Command) -> String {
    match command {
        Command::Text(text) => text.clone(),
        Command::Elements(change) => {
            let (verb, place, set) = (change.verb, change.place, &change.set);
            format!("{verb} element {place} {set}")
        }
        Command::Object(change) => change.to_string(),
    }
}

/// What has come of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// All are in the kernel.
    Done,
    /// They have to be given to nft.
    Unknown,
}

/// The messages of a change; nothing when its words cannot be understood.
fn messages(change: &ElementChange, types: &SetTypes) -> Option<Vec<Raw>> {
    let kind = match change.verb {
        Verb::Add | Verb::Create => NEW_ELEMENTS,
        Verb::Delete => DELETE_ELEMENTS,
    };
    let head = || names(&[(TABLE, change.place.name()), (WITHIN, &change.set)]);
    let (mut all_known, mut encoded) = (true, Encoded::default());
    let of = (kind, TableFamily::from(change.place));
    let messages = lists(of, head, change.elements.iter(), |list, (key, data)| {
        let element = (key.as_str(), data.as_deref());
        all_known &= put_element(list, types, element, &mut encoded).is_some();
    });
    all_known.then_some(messages)
}

/// An element's key and data in bytes, first and last of each; they are there once for all elements.
#[derive(Default)]
struct Encoded {
    key: [Vec<u8>; 2],
    data: [Vec<u8>; 2],
}

/// Adds an element to a message.
fn put_element(
    list: &mut Attributes,
    types: &SetTypes,
    (key, words): (&str, Option<&str>),
    encoded: &mut Encoded,
) -> Option<()> {
    types.key.encode_into(key, &mut encoded.key)?;
    let [first, last] = &encoded.key;
    if types.intervals == Intervals::None && first != last {
        return None;
    }
    let jump = match (&types.data, words) {
        (None, None) => None,
        (Some(DataTypes::Verdict), Some(words)) => Some(words.strip_prefix("jump ")?),
        (Some(DataTypes::Values(types)), Some(words)) => {
            types.encode_into(words, &mut encoded.data)?;
            let [value, last] = &encoded.data;
            (value == last).then_some(())?;
            None
        }
        _ => return None,
    };
    list.nest(LIST_ELEMENT, |one| {
        one.nest(element::KEY, |key| key.put(data::VALUE, first));
        if types.intervals == Intervals::InOne {
            one.nest(element::KEY_END, |key| key.put(data::VALUE, last));
        }
        match (jump, &types.data) {
            (Some(chain), _) => one.put_verdict(element::DATA, JUMP, Some(chain)),
            (None, Some(_)) => one.nest(element::DATA, |data| {
                data.put(data::VALUE, &encoded.data[0]);
            }),
            (None, None) => {}
        }
    });
    if let (Intervals::InTwo, Some(behind)) = (types.intervals, behind(last)) {
        list.nest(LIST_ELEMENT, |one| {
            one.nest(element::KEY, |key| key.put(data::VALUE, &behind));
            one.put_number(element::FLAGS, element::IS_INTERVAL_END);
        });
    }
    Some(())
}

/// The number that each commit to nf_tables counts up, whoever's it is; nothing when the kernel does not tell it.
pub(crate) fn generation(deadline: Deadline) -> Option<u32> {
    // Of no family.
    let asked = message(GET_GENERATION, TableFamily::Inet, &Attributes::default());
    let mut generation = None;
    let mut netlink = Netlink::open(NETLINK_NETFILTER, deadline).ok()?;
    let told = netlink.request(&asked, NLM_F_REQUEST | NLM_F_ACK, |answer: Raw| {
        generation = value(&answer, GENERATION_ID).and_then(number);
    });
    told.ok().and(generation)
}

/// What is in a table, if it is there; of libvirt's tables portero's own sets and the rules.
///
/// # Errors
/// [`SystemError`] when the kernel cannot be asked, or somebody else changes so much that no answer is whole.
pub(crate) fn read(place: Place, deadline: Deadline) -> Result<Option<TableContent>> {
    let Some(mut table) = Table::open(place, deadline)? else {
        return Ok(None);
    };
    let is_own = |name: &str| match place {
        Place::Own | Place::Policy | Place::Antispoof => true,
        Place::Libvirt(_) => name.starts_with(NAME),
    };
    let mut content = TableContent::default();
    // The kernel tells the chains of all tables of the family.
    let chains = table.dump(GET_CHAIN, &[])?;
    let names = chains.iter().filter_map(|chain| value(chain, CHAIN_NAME));
    content.chains = names.map(text).collect();
    let rules = table.dump(GET_RULE, &[(TABLE, place.name())])?;
    content.rules = rules.iter().filter_map(rule_of).collect();
    for (name, types) in table.sets()? {
        if is_own(&name) {
            content.sets.push(table.set(name, types)?);
        }
    }
    Ok(Some(content))
}

/// What the elements of a set have counted, by their keys; nothing where there is none.
///
/// # Errors
/// As [`read`].
pub(crate) fn count(place: Place, set: &str, deadline: Deadline) -> Result<Vec<(String, Counter)>> {
    let Some(mut table) = Table::open(place, deadline)? else {
        return Ok(Vec::new());
    };
    let mut sets = table.sets()?.into_iter();
    let Some((name, types)) = sets.find(|(name, _)| name == set) else {
        return Ok(Vec::new());
    };
    let elements = table.set(name, types)?.elements.into_iter();
    let counted = elements.filter_map(|element| Some((element.key, element.counter?)));
    Ok(counted.collect())
}

/// A table that is there, to be read.
struct Table {
    place: Place,
    netlink: Netlink,
}

impl Table {
    fn open(place: Place, deadline: Deadline) -> Result<Option<Self>> {
        if !has_table(TableFamily::from(place), place.name(), deadline)? {
            return Ok(None);
        }
        let netlink = Netlink::open(NETLINK_NETFILTER, deadline)?;
        Ok(Some(Self { place, netlink }))
    }

    /// All that the table has of a kind.
    fn dump(&mut self, kind: u16, asked: &[(u16, &str)]) -> Result<Vec<Raw>> {
        let family = TableFamily::from(self.place);
        let mut found = self.netlink.dump(&message(kind, family, &names(asked)))?;
        let name = self.place.name();
        found.retain(|one| value(one, TABLE).is_some_and(|table| text(table) == name));
        Ok(found)
    }

    fn sets(&mut self) -> Result<Vec<(String, RawTypes)>> {
        let found = self.dump(GET_SET, &[(TABLE, self.place.name())])?;
        Ok(found.iter().filter_map(set_of).collect())
    }

    fn set(&mut self, name: String, types: RawTypes) -> Result<SetContent> {
        let asked = [(TABLE, self.place.name()), (WITHIN, name.as_str())];
        let elements = elements_of(&self.dump(GET_ELEMENTS, &asked)?);
        Ok(SetContent::of_kernel(name, types, elements))
    }
}

/// The elements in the messages that tell of them.
fn elements_of(lists: &[Raw]) -> Vec<RawElement> {
    let lists = lists.iter().filter_map(|found| value(found, element::LIST));
    let elements = lists.flat_map(attributes).map(|(_, one)| element_of(one));
    elements.collect()
}

/// A set's name and types; nothing for one that is part of a rule.
fn set_of(found: &Raw) -> Option<(String, RawTypes)> {
    let numbered = |attribute| value(found, attribute).and_then(number);
    let flags = numbered(set::FLAGS).unwrap_or(0);
    let types = RawTypes {
        key: numbered(set::KEY_TYPE)?,
        data: numbered(set::DATA_TYPE),
        has_intervals: flags & set::INTERVAL != 0,
    };
    let is_named = flags & set::ANONYMOUS == 0;
    is_named.then_some((text(value(found, WITHIN)?), types))
}

fn element_of(bytes: &[u8]) -> RawElement {
    let key = |attribute| Some(find(find(bytes, attribute)?, data::VALUE)?.to_vec());
    let flags = find(bytes, element::FLAGS).and_then(number).unwrap_or(0);
    RawElement {
        key: key(element::KEY).unwrap_or_default(),
        key_end: key(element::KEY_END),
        is_interval_end: flags & element::IS_INTERVAL_END != 0,
        data: find(bytes, element::DATA).map(data_of),
        counter: counter_of(bytes),
    }
}

/// The counter of an element, which is alone or, in newer kernels, one of several.
fn counter_of(bytes: &[u8]) -> Option<Counter> {
    let several = find(bytes, element::EXPRESSIONS).map(counter_among);
    let one = find(bytes, element::EXPRESSION).map(counter_in);
    one.or(several).flatten()
}

/// The first counter of a list of expressions.
fn counter_among(expressions: &[u8]) -> Option<Counter> {
    attributes(expressions).find_map(|(_, one)| counter_in(one))
}

/// What an expression has counted, if it is a counter.
fn counter_in(bytes: &[u8]) -> Option<Counter> {
    let name = find(bytes, expression::NAME).map(text)?;
    let data = find(bytes, expression::DATA).filter(|_| name == "counter")?;
    let number = |wanted| Some(u64::from_be_bytes(find(data, wanted)?.try_into().ok()?));
    Some(Counter {
        packets: number(expression::PACKETS)?,
        bytes: number(expression::BYTES)?,
    })
}

fn data_of(bytes: &[u8]) -> RawData {
    match (find(bytes, data::VALUE), find(bytes, data::VERDICT)) {
        (Some(value), _) => RawData::Value(value.to_vec()),
        (None, Some(verdict)) => match jump_of(verdict) {
            Some(chain) => RawData::Jump(chain),
            None => RawData::Verdict,
        },
        (None, None) => RawData::Verdict,
    }
}

/// The chain that a verdict jumps to.
fn jump_of(verdict: &[u8]) -> Option<String> {
    let is_jump = find(verdict, data::CODE).and_then(number) == Some(JUMP);
    let chain = find(verdict, data::CHAIN).filter(|_| is_jump)?;
    Some(text(chain))
}

fn rule_of(found: &Raw) -> Option<RuleContent> {
    let handle = value(found, rule::HANDLE)?.try_into().ok()?;
    let expressions = value(found, rule::EXPRESSIONS).unwrap_or(&[]);
    let jump = attributes(expressions).find_map(|(_, expression)| {
        let name = find(expression, expression::NAME).map(text);
        let immediate =
            find(expression, expression::DATA).filter(|_| name.as_deref() == Some("immediate"))?;
        jump_of(find(
            find(immediate, expression::IMMEDIATE_DATA)?,
            data::VERDICT,
        )?)
    });
    Some(RuleContent {
        chain: text(value(found, WITHIN)?),
        handle: u64::from_be_bytes(handle),
        comment: value(found, rule::USERDATA)
            .and_then(comment)
            .unwrap_or_default(),
        jump,
        counter: counter_among(expressions),
    })
}

/// The comment among what nft notes of a rule: types and lengths of one byte each, with what is so long.
fn comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, more @ ..] = rest {
        let value = more.get(..usize::from(*length))?;
        if *kind == rule::COMMENT {
            return Some(text(value));
        }
        rest = &more[value.len()..];
    }
    None
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_among_what_nft_notes() {
        assert_eq!(
            comment(&[9, 1, 0, 0, 3, b'h', b'i', 0]),
            Some("hi".to_owned())
        );
        assert_eq!(comment(&[0, 9, b'h']), None);
        assert_eq!(comment(&[]), None);
    }

    #[test]
    fn an_interval_of_one_part_is_its_first_key_and_the_one_behind() {
        let words = ["10.0.0.0/16", "10.1.0.0", "192.0.2.1", "255.255.255.0/24"];
        let change = |verb| ElementChange {
            verb,
            place: Place::Policy,
            set: "in_0".to_owned(),
            elements: words.map(|word| (word.to_owned(), None)).into(),
        };
        let types = policy_types(&change(Verb::Add)).expect("addresses");
        let found = messages(&change(Verb::Create), &types).expect("bytes");
        let elements = elements_of(&found);
        // Nothing is behind the last of all addresses.
        assert_eq!(elements.len(), 2 * words.len() - 1);
        let types = RawTypes {
            key: 7,
            data: None,
            has_intervals: true,
        };
        let read = SetContent::of_kernel("in_0".to_owned(), types, elements);
        assert!(read.is_known);
        assert!(read.elements.iter().map(|one| &one.key).eq(words));
    }

    #[test]
    fn an_interval_goes_with_its_end() {
        let [came, gone] = [Verb::Create, Verb::Delete].map(|verb| {
            let change = ElementChange {
                verb,
                place: Place::Policy,
                set: "nat_v4".to_owned(),
                elements: vec![("10.0.0.0/8".to_owned(), Some("jump nat0".to_owned()))],
            };
            let types = KnownSets::default().of(Place::Policy)["nat_v4"].clone();
            messages(&change, &types).expect("bytes").remove(0)
        });
        assert_eq!(came.payload, gone.payload);
        assert_ne!(came.kind, gone.kind);
    }

    #[test]
    fn many_elements_are_many_messages() {
        let elements =
            (1..=10_000).map(|port| (format!("6 . {port}"), Some(format!("10.0.0.1 . {port}"))));
        let change = ElementChange {
            verb: Verb::Create,
            place: Place::Own,
            set: "v4".to_owned(),
            elements: elements.collect(),
        };
        let mut sets = KnownSets::default();
        let messages = messages(&change, &sets.of(Place::Own)["v4"]).unwrap_or_default();
        assert!(messages.len() > 10, "{}", messages.len());
        let longest = messages.iter().map(|message| message.payload.len()).max();
        assert!(longest < Some(usize::from(u16::MAX)), "{longest:?}");
        let found = messages
            .iter()
            .filter_map(|message| value(message, element::LIST));
        let found: Vec<_> = found
            .flat_map(attributes)
            .map(|(_, one)| element_of(one))
            .collect();
        let types = RawTypes {
            key: (12 << 6) | 13,
            data: Some((7 << 6) | 13),
            has_intervals: false,
        };
        let read = SetContent::of_kernel("v4".to_owned(), types, found);
        let elements = read.elements.into_iter();
        let elements: Vec<_> = elements.map(|one| (one.key, one.data)).collect();
        assert!(read.is_known);
        assert_eq!(elements, change.elements);
    }
}
