//! Tables, chains, sets and rules of nf_tables as messages (linux/netfilter/nf_tables.h), as nft would give them to the kernel.

use crate::attributes::{chain, data, element, expression, rule, set, LIST_ELEMENT};
use crate::netlink::Raw;
use crate::nfnetlink::{
    lists, message, names, Attributes, TableFamily, CHAIN_NAME, DELETE_CHAIN, DELETE_RULES,
    DELETE_SET, DELETE_TABLE, NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE, TABLE, WITHIN,
};
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use portero_firewall::nftables::{
    Edge, Expression, Hook, Intervals, KnownSets, NewChain, NewRule, NewSet, Object, ObjectChange,
    OwnSet, Place, RawRule, SetTypes, Value,
};

/// The name by which the kernel is asked to name a set of a rule's own.
const OWN_NAME: &str = "__set%d";

/// What makes the messages of one batch, in which each new set has a number.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    sets: u32,
}

impl Objects {
    /// The messages with their flags; nothing where nft has to read the words.
    pub(crate) fn messages(
        &mut self,
        change: &ObjectChange,
        sets: &mut KnownSets,
    ) -> Option<Vec<(Raw, u16)>> {
        let place = change.place;
        let named = |kind, named: &[(u16, &str)]| {
            let all = [&[(TABLE, place.name())], named].concat();
            message(kind, TableFamily::from(place), &names(&all))
        };
        let mut messages = Vec::new();
        match &change.object {
            Object::Table {
                sets: new_sets,
                chains,
            } => {
                messages.push((named(NEW_TABLE, &[]), NLM_F_CREATE));
                messages.extend(chains.iter().map(|chain| new_chain(place, chain)));
                for set in new_sets {
                    messages.push(self.new_set(place, set, sets)?);
                }
                for chain in chains {
                    self.add_rules(place, chain, sets, &mut messages)?;
                }
            }
            Object::Set(set) => messages.push(self.new_set(place, set, sets)?),
            Object::Chain(chain) => {
                messages.push(new_chain(place, chain));
                if !chain.rules.is_empty() {
                    messages.push((named(DELETE_RULES, &[(WITHIN, &chain.name)]), 0));
                }
                self.add_rules(place, chain, sets, &mut messages)?;
            }
            Object::FirstRule { chain, rule } => {
                let raw = sets.raw_rule(place, rule)?;
                let whole = self.new_rule(place, (chain, rule), &raw, NLM_F_CREATE);
                messages.extend(whole);
            }
            Object::NoTable => messages.push((named(DELETE_TABLE, &[]), 0)),
            Object::NoSet(name) => messages.push((named(DELETE_SET, &[(WITHIN, name)]), 0)),
            Object::NoChain(name) => {
                messages.push((named(DELETE_RULES, &[(WITHIN, name)]), 0));
                messages.push((named(DELETE_CHAIN, &[(CHAIN_NAME, name)]), 0));
            }
            Object::NoRule { chain, handle } => {
                let mut attributes = names(&[(TABLE, place.name()), (WITHIN, chain)]);
                attributes.put(rule::HANDLE, &handle.to_be_bytes());
                let family = TableFamily::from(place);
                messages.push((message(DELETE_RULES, family, &attributes), 0));
            }
        }
        Some(messages)
    }

    fn next_set(&mut self) -> u32 {
        self.sets += 1;
        self.sets
    }

    fn new_set(&mut self, place: Place, new: &NewSet, sets: &mut KnownSets) -> Option<(Raw, u16)> {
        let known = sets.of(place).get(&new.name).cloned();
        let types = known.or_else(|| SetTypes::of_set(new))?;
        let mut attributes = names(&[(TABLE, place.name()), (WITHIN, &new.name)]);
        put_types(&mut attributes, &types, 0);
        attributes.put_number(set::ID, self.next_set());
        if types.has_counters {
            attributes.nest(set::EXPRESSION, |counter| {
                counter.put_text(expression::NAME, "counter");
                counter.nest(expression::DATA, |_| {});
            });
        }
        let whole = message(NEW_SET, TableFamily::from(place), &attributes);
        Some((whole, NLM_F_CREATE))
    }

    fn add_rules(
        &mut self,
        place: Place,
        chain: &NewChain,
        sets: &mut KnownSets,
        messages: &mut Vec<(Raw, u16)>,
    ) -> Option<()> {
        for rule in &chain.rules {
            let raw = sets.raw_rule(place, rule)?;
            let flags = NLM_F_CREATE | NLM_F_APPEND;
            messages.extend(self.new_rule(place, (&chain.name, rule), &raw, flags));
        }
        Some(())
    }

    /// A rule of a chain, behind the sets that it has to itself.
    fn new_rule(
        &mut self,
        place: Place,
        (chain, rule): (&str, &NewRule),
        raw: &RawRule,
        flags: u16,
    ) -> Vec<(Raw, u16)> {
        let mut messages = Vec::new();
        let mut numbers = Vec::new();
        for own in &raw.sets {
            let number = self.next_set();
            numbers.push(number);
            let own = own_set(place, own, number).into_iter();
            messages.extend(own.map(|message| (message, NLM_F_CREATE)));
        }
        let mut attributes = names(&[(TABLE, place.name()), (WITHIN, chain)]);
        attributes.nest(rule::EXPRESSIONS, |list| {
            for expression in &raw.expressions {
                list.nest(LIST_ELEMENT, |one| {
                    put_expression(one, expression, &numbers)
                });
            }
        });
        // No comment of portero's is longer than the 128 bytes that nft permits.
        let comment = note(rule::COMMENT, &[rule.comment.as_bytes(), &[0]].concat());
        attributes.put(rule::USERDATA, &comment);
        let whole = message(NEW_RULE, TableFamily::from(place), &attributes);
        messages.push((whole, flags));
        messages
    }
}

fn new_chain(place: Place, new: &NewChain) -> (Raw, u16) {
    let mut attributes = names(&[(TABLE, place.name()), (CHAIN_NAME, &new.name)]);
    if let Some(hook) = &new.hook {
        attributes.nest(chain::HOOK, |at| {
            at.put_number(chain::HOOK_NUMBER, hook_number(hook));
            at.put(chain::HOOK_PRIORITY, &hook.priority.to_be_bytes());
        });
        attributes.put_number(chain::POLICY, chain::ACCEPT);
        attributes.put_text(chain::TYPE, hook.kind);
    }
    let whole = message(NEW_CHAIN, TableFamily::from(place), &attributes);
    (whole, NLM_F_CREATE)
}

/// `NF_INET_...` of linux/netfilter.h; those of bridges are the same.
fn hook_number(hook: &Hook) -> u32 {
    let names = ["prerouting", "input", "forward", "output", "postrouting"];
    let number = (0..).zip(names).find(|(_, name)| *name == hook.hook);
    number.map_or(u32::MAX, |(number, _)| number)
}

/// What a set's elements are made of, and flags besides those that follow from it.
fn put_types(attributes: &mut Attributes, types: &SetTypes, more: u32) {
    let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let mut flags = more;
    flags |= match types.intervals {
        Intervals::None => 0,
        Intervals::InOne => set::INTERVAL | set::CONCATENATION,
        Intervals::InTwo => set::INTERVAL,
    };
    if types.data.is_some() {
        flags |= set::MAP;
    }
    let mut notes = order(set::KEY_ORDER, types.key.byte_order());
    attributes.put_number(set::FLAGS, flags);
    attributes.put_number(set::KEY_TYPE, types.key.number());
    attributes.put_number(set::KEY_LENGTH, size(types.key.size()));
    if let Some(data) = &types.data {
        attributes.put_number(set::DATA_TYPE, data.number());
        attributes.put_number(set::DATA_LENGTH, size(data.size()));
        notes.extend(order(set::DATA_ORDER, data.byte_order()));
    }
    if types.intervals == Intervals::InOne {
        attributes.nest(set::DESCRIPTION, |description| {
            description.nest(set::DESCRIPTION_FIELDS, |fields| {
                for length in types.key.sizes() {
                    fields.nest(LIST_ELEMENT, |field| {
                        field.put_number(set::FIELD_LENGTH, size(length));
                    });
                }
            });
        });
    }
    // What touches in a rule's own set is one.
    if flags & set::ANONYMOUS != 0 && types.intervals == Intervals::InTwo {
        notes.extend(order(set::MERGES, 1));
    }
    attributes.put(set::USERDATA, &notes);
}

/// What nft notes of an object for itself: a type and a length of one byte each, and what is so long.
fn note(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[kind, length], value].concat()
}

/// The order of bytes, which nft notes in that of the host.
fn order(kind: u8, number: u32) -> Vec<u8> {
    note(kind, &number.to_ne_bytes())
}

/// A set of a rule's own, and its elements.
fn own_set(place: Place, own: &OwnSet, number: u32) -> Vec<Raw> {
    let family = TableFamily::from(place);
    let head = || names(&[(TABLE, place.name()), (WITHIN, OWN_NAME)]);
    let mut attributes = head();
    put_types(&mut attributes, &own.types, set::ANONYMOUS | set::CONSTANT);
    attributes.put_number(set::ID, number);
    let head = || {
        let mut elements = head();
        elements.put_number(element::LIST_ID, number);
        elements
    };
    let put = |list: &mut Attributes, (key, edge): &(Vec<u8>, Edge)| {
        list.nest(LIST_ELEMENT, |one| {
            one.nest(element::KEY, |value| value.put(data::VALUE, key));
            match edge {
                Edge::First => {}
                Edge::Behind => one.put_number(element::FLAGS, element::IS_INTERVAL_END),
                Edge::FirstOfRest => one.put(element::USERDATA, &order(element::NOTES, 1)),
            }
        });
    };
    let elements = lists((NEW_ELEMENTS, family), head, own.keys.iter(), put);
    [vec![message(NEW_SET, family, &attributes)], elements].concat()
}

fn put_expression(one: &mut Attributes, step: &Expression, own_sets: &[u32]) {
    one.put_text(expression::NAME, step.name);
    one.nest(expression::DATA, |attributes| {
        for (attribute, value) in &step.attributes {
            match value {
                Value::Number(number) => attributes.put_number(*attribute, *number),
                Value::Byte(byte) => attributes.put(*attribute, &[*byte]),
                Value::Bytes(bytes) => {
                    attributes.nest(*attribute, |data| data.put(data::VALUE, bytes));
                }
                Value::Verdict { code, chain } => {
                    attributes.put_verdict(*attribute, *code, chain.as_deref());
                }
                Value::Long(number) => attributes.put(*attribute, &number.to_be_bytes()),
                Value::Text(text) => attributes.put_text(*attribute, text),
                Value::OwnSet(index) => {
                    attributes.put_text(*attribute, OWN_NAME);
                    let number = own_sets.get(*index).copied().unwrap_or_default();
                    attributes.put_number(expression::SET_ID, number);
                }
            }
        }
    });
}
