//! Messages of nf_tables (linux/netfilter/nfnetlink.h and nf_tables.h): their types, and attributes within attributes.

use crate::attributes::{data, element};
use crate::netlink::Raw;
use portero_firewall::nftables::Place;
use portero_model::Family;

/// `NFNL_SUBSYS_NFTABLES` of linux/netfilter/nfnetlink.h.
pub(crate) const SUBSYSTEM: u8 = 10;

/// A type of nf_tables' messages, with the subsystem in its upper byte.
const fn kind(number: u8) -> u16 {
    u16::from_be_bytes([SUBSYSTEM, number])
}

/// `NFT_MSG_NEWTABLE`.
pub(crate) const NEW_TABLE: u16 = kind(0);
/// `NFT_MSG_GETTABLE`.
pub(crate) const GET_TABLE: u16 = kind(1);
/// `NFT_MSG_DELTABLE`.
pub(crate) const DELETE_TABLE: u16 = kind(2);
/// `NFT_MSG_NEWCHAIN`.
pub(crate) const NEW_CHAIN: u16 = kind(3);
/// `NFT_MSG_GETCHAIN`.
pub(crate) const GET_CHAIN: u16 = kind(4);
/// `NFT_MSG_DELCHAIN`.
pub(crate) const DELETE_CHAIN: u16 = kind(5);
/// `NFT_MSG_NEWRULE`.
pub(crate) const NEW_RULE: u16 = kind(6);
/// `NFT_MSG_GETRULE`.
pub(crate) const GET_RULE: u16 = kind(7);
/// `NFT_MSG_DELRULE`.
pub(crate) const DELETE_RULES: u16 = kind(8);
/// `NFT_MSG_NEWSET`.
pub(crate) const NEW_SET: u16 = kind(9);
/// `NFT_MSG_GETSET`.
pub(crate) const GET_SET: u16 = kind(10);
/// `NFT_MSG_DELSET`.
pub(crate) const DELETE_SET: u16 = kind(11);
/// `NFT_MSG_NEWSETELEM`.
pub(crate) const NEW_ELEMENTS: u16 = kind(12);
/// `NFT_MSG_GETSETELEM`.
pub(crate) const GET_ELEMENTS: u16 = kind(13);
/// `NFT_MSG_DELSETELEM`.
pub(crate) const DELETE_ELEMENTS: u16 = kind(14);
/// `NFT_MSG_GETGEN`.
pub(crate) const GET_GENERATION: u16 = kind(16);

/// `NFTA_GEN_ID`.
pub(crate) const GENERATION_ID: u16 = 1;
/// `NFTA_TABLE_NAME`, and the table of whatever is in one: `NFTA_CHAIN_TABLE`, `NFTA_SET_ELEM_LIST_TABLE`, ...
pub(crate) const TABLE: u16 = 1;
/// What something is in, or its name, of all but chains: `NFTA_RULE_CHAIN`, `NFTA_SET_NAME`, `NFTA_SET_ELEM_LIST_SET`, ...
pub(crate) const WITHIN: u16 = 2;
/// `NFTA_CHAIN_NAME`.
pub(crate) const CHAIN_NAME: u16 = 3;

/// What few messages are longer than, in bytes: so much is taken at once, since taking it bit by bit takes longer than the rest.
const USUAL: usize = 1024;

/// Length of an attribute's own header in bytes, netlink(7).
const ATTRIBUTE_HEADER: usize = 4;
/// `NLA_F_NESTED` of linux/netlink.h: what is in it are attributes.
const NESTED: u16 = 1 << 15;
/// `NLA_TYPE_MASK`.
const TYPE_MASK: u16 = 0x3fff;

/// A family of tables, `NFPROTO_...` of linux/netfilter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFamily {
    /// Both IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// Frames that pass a bridge.
    Bridge = 7,
    /// IPv6.
    Ipv6 = 10,
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<Place> for TableFamily {
    fn from(place: Place) -> Self {
        match place {
            Place::Own | Place::Policy => Self::Inet,
            Place::Antispoof => Self::Bridge,
            Place::Libvirt(family) => family.into(),
        }
    }
}

/// How many bytes of elements are put into one message: the length of their attribute has sixteen bits.
const MOST_BYTES: usize = 32 * 1024;

/// Attributes that are being put together.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
    /// Whether one of them is longer than its length can say.
    is_too_long: bool,
}

impl Attributes {
    pub(crate) fn put(&mut self, attribute: u16, value: &[u8]) {
        self.put_parts(attribute, [value, &[]]);
    }

    /// A number in network byte order.
    pub(crate) fn put_number(&mut self, attribute: u16, number: u32) {
        self.put(attribute, &number.to_be_bytes());
    }

    /// A text, which the kernel wants to end in a zero.
    pub(crate) fn put_text(&mut self, attribute: u16, text: &str) {
        self.put_parts(attribute, [text.as_bytes(), &[0]]);
    }

    /// An attribute whose value is two parts.
    fn put_parts(&mut self, attribute: u16, [first, second]: [&[u8]; 2]) {
        self.put_header(attribute, first.len() + second.len());
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
        self.pad();
    }

    /// Attributes within one; both ends are at multiples of four bytes.
    pub(crate) fn nest(&mut self, attribute: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.put_header(attribute | NESTED, 0);
        fill(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.is_too_long = true,
        }
    }

    fn put_header(&mut self, attribute: u16, length: usize) {
        let whole = u16::try_from(ATTRIBUTE_HEADER + length).unwrap_or_else(|_| {
            self.is_too_long = true;
            u16::MAX
        });
        let ([a, b], [c, d]) = (whole.to_ne_bytes(), attribute.to_ne_bytes());
        self.bytes.extend_from_slice(&[a, b, c, d]);
    }

    fn pad(&mut self) {
        let missing = self.bytes.len().next_multiple_of(4) - self.bytes.len();
        self.bytes.extend_from_slice(&[0; 3][..missing]);
    }

    /// A verdict, and the chain that it leads to.
    pub(crate) fn put_verdict(&mut self, attribute: u16, code: u32, chain: Option<&str>) {
        self.nest(attribute, |data| {
            data.nest(data::VERDICT, |verdict| {
                verdict.put_number(data::CODE, code);
                if let Some(chain) = chain {
                    verdict.put_text(data::CHAIN, chain);
                }
            });
        });
    }

    /// How many bytes they are.
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Attributes that are texts.
pub(crate) fn names(all: &[(u16, &str)]) -> Attributes {
    let mut attributes = Attributes {
        bytes: Vec::with_capacity(USUAL),
        is_too_long: false,
    };
    for (attribute, text) in all {
        attributes.put_text(*attribute, text);
    }
    attributes
}

/// A message with a `struct nfgenmsg` (family, version, resource). One with an attribute that is too long is empty, which the
/// kernel refuses: it would take the first part of it.
pub(crate) fn message(kind: u16, family: TableFamily, attributes: &Attributes) -> Raw {
    let payload = match attributes.is_too_long {
        false => [&[family as u8, 0, 0, 0], &attributes.bytes[..]].concat(),
        true => Vec::new(),
    };
    Raw { kind, payload }
}

/// Messages of a kind with all of these in their lists of elements, none of them too long. Each begins with what `head` gives.
pub(crate) fn lists<T>(
    (kind, family): (u16, TableFamily),
    head: impl Fn() -> Attributes,
    items: impl Iterator<Item = T>,
    mut put: impl FnMut(&mut Attributes, T),
) -> Vec<Raw> {
    let mut items = items.peekable();
    let mut messages = Vec::new();
    while items.peek().is_some() {
        let mut whole = head();
        whole.nest(element::LIST, |list| {
            let start = list.len();
            while list.len() - start < MOST_BYTES {
                let Some(item) = items.next() else {
                    break;
                };
                put(list, item);
            }
        });
        messages.push(message(kind, family, &whole));
    }
    messages
}

/// The first attribute of a type in a message, behind its `struct nfgenmsg`.
pub(crate) fn value(message: &Raw, wanted: u16) -> Option<&[u8]> {
    find(message.payload.get(4..)?, wanted)
}

/// Attributes with their types, as they come.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, _) = rest.split_at_checked(ATTRIBUTE_HEADER)?;
        let number = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let (length, attribute) = (usize::from(number(0)), number(2) & TYPE_MASK);
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((attribute, value))
    })
}

/// The first attribute of a type.
pub(crate) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut all = attributes(bytes);
    all.find_map(|(attribute, value)| (attribute == wanted).then_some(value))
}

/// A text that ends in a zero.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// A number in network byte order.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_read_again() {
        let mut all = Attributes::default();
        all.put_text(1, "portero");
        all.nest(2, |inner| {
            inner.put(3, &[1, 2, 3]);
            inner.put(4, &7_u32.to_be_bytes());
        });
        assert_eq!(all.len() % 4, 0);
        let found: Vec<_> = attributes(&all.bytes).collect();
        assert_eq!(found[0], (1, &b"portero\0"[..]));
        let inner: Vec<_> = attributes(found[1].1).collect();
        assert_eq!(inner, [(3, &[1, 2, 3][..]), (4, &[0, 0, 0, 7][..])]);
        assert_eq!(find(found[1].1, 4).and_then(number), Some(7));
        assert_eq!(text(found[0].1), "portero");
    }

    #[test]
    fn what_is_too_long_is_no_message() {
        let mut all = Attributes::default();
        all.nest(1, |inner| inner.put(2, &[0; 0x8000]));
        assert!(!message(NEW_RULE, TableFamily::Inet, &all)
            .payload
            .is_empty());
        all.nest(1, |inner| {
            inner.put(2, &[0; 0x8000]);
            inner.put(2, &[0; 0x8000]);
        });
        assert!(message(NEW_RULE, TableFamily::Inet, &all)
            .payload
            .is_empty());
    }

    #[test]
    fn what_is_cut_off_is_no_attribute() {
        let mut all = Attributes::default();
        all.put(1, &[1; 8]);
        for end in 0..all.bytes.len() {
            assert_eq!(attributes(&all.bytes[..end]).count(), 0, "{end}");
        }
        // A length of nothing does not go on for ever.
        assert_eq!(attributes(&[0; 16]).count(), 0);
    }
}
