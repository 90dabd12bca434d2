//! What rules ask of a packet, of its connection and of routes, and what that is compared with.

use super::expression::Value;
use super::wire::DataType;
use portero_model::Family;

/// Registers and operators.
pub(super) mod kernel {
    /// `NFT_REG_1`, which is four of [`REGISTER_32`].
    pub(in super::super) const REGISTER: u32 = 1;
    /// `NFT_REG32_00`.
    pub(in super::super) const REGISTER_32: u32 = 8;
    /// `NFT_CMP_EQ`, `NFT_CMP_NEQ`, `NFT_CMP_LTE` and `NFT_CMP_GTE`.
    pub(in super::super) const EQUAL: u32 = 0;
    pub(in super::super) const UNEQUAL: u32 = 1;
    pub(in super::super) const AT_MOST: u32 = 3;
    pub(in super::super) const AT_LEAST: u32 = 5;
    /// `NFT_RETURN` and `NFT_GOTO`, which are -5 and -4.
    pub(in super::super) const RETURN: u32 = u32::MAX - 4;
    pub(in super::super) const GOTO: u32 = u32::MAX - 3;
    /// `NFT_META_...`.
    pub(in super::super) const ETHER_TYPE: u32 = 1;
    pub(in super::super) const MARK: u32 = 3;
    pub(in super::super) const IN_NAME: u32 = 6;
    pub(in super::super) const OUT_NAME: u32 = 7;
    pub(in super::super) const IN_TYPE: u32 = 8;
    pub(in super::super) const PROTOCOL_FAMILY: u32 = 15;
    pub(in super::super) const PROTOCOL: u32 = 16;
    /// `NFT_PAYLOAD_..._HEADER`.
    pub(in super::super) const LINK: u32 = 0;
    pub(in super::super) const NETWORK: u32 = 1;
    pub(in super::super) const TRANSPORT: u32 = 2;
    /// `NF_NAT_RANGE_PROTO_SPECIFIED`.
    pub(in super::super) const PORTS_GIVEN: u32 = 2;
    /// `ARPHRD_ETHER` of linux/if_arp.h.
    pub(in super::super) const ETHERNET: u16 = 1;
}

/// Something of a packet or its connection.
pub(super) struct Field {
    /// What loads it: the name of an expression and its attributes but the register.
    pub(super) load: (&'static str, Vec<(u16, Value)>),
    /// What the words beside it are of.
    pub(super) kind: Kind,
}

/// What a field is compared with.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A value that sets have too.
    Of(DataType),
    /// One of these words, as bytes.
    Words(&'static [(&'static str, &'static [u8])]),
    /// A bit by its name.
    Bits(&'static [(&'static str, u32)]),
    /// A mark.
    Mark,
    /// The index of an interface.
    Index,
}

impl Kind {
    /// In bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Of(kind) => kind.size(),
            Self::Words(words) => words.first().map_or(0, |(_, bytes)| bytes.len()),
            Self::Bits(_) | Self::Mark | Self::Index => 4,
        }
    }

    pub(super) fn encode(self, word: &str) -> Option<[Vec<u8>; 2]> {
        let mut both = [Vec::new(), Vec::new()];
        match self {
            Self::Of(kind) => {
                let mut names = NUMBERS.iter();
                let named = names.find(|(of, name, _)| (*of, *name) == (kind, word));
                kind.encode(named.map_or(word, |(.., number)| number), &mut both)?;
            }
            Self::Words(words) => {
                let (_, bytes) = words.iter().find(|(name, _)| *name == word)?;
                both = [bytes.to_vec(), bytes.to_vec()];
            }
            Self::Index => {
                let bytes = word.parse::<u32>().ok()?.to_ne_bytes().to_vec();
                both = [bytes.clone(), bytes];
            }
            Self::Bits(_) | Self::Mark => return None,
        }
        Some(both)
    }
}

/// Names of numbers: protocols (IANA), a type of ICMPv6 (RFC 4861), and Ethernet's types (linux/if_ether.h).
const NUMBERS: [(DataType, &str, &str); 6] = [
    (DataType::InetProtocol, "icmp", "1"),
    (DataType::InetProtocol, "icmpv6", "58"),
    (DataType::InetProtocol, "nd-router-advert", "134"),
    (DataType::EtherType, "ip", "0x0800"),
    (DataType::EtherType, "arp", "0x0806"),
    (DataType::EtherType, "ip6", "0x86dd"),
];

/// Connection tracking's words (linux/netfilter/nf_conntrack_common.h).
pub(super) const STATES: Kind = Kind::Bits(&[("related", 4), ("new", 8)]);
pub(super) const STATUSES: Kind = Kind::Bits(&[("dnat", 0x20)]);
pub(super) const DIRECTIONS: Kind = Kind::Words(&[("original", &[0]), ("reply", &[1])]);
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
pub(super) const FAMILIES: Kind = Kind::Words(&[("ipv4", &[2]), ("ipv6", &[10])]);
/// `RTN_LOCAL` of linux/rtnetlink.h.
pub(super) const ADDRESS_TYPES: Kind = Kind::Words(&[("local", &2_u32.to_ne_bytes())]);

pub(super) fn payload(base: u32, offset: usize, kind: DataType) -> Field {
    let number = |number: usize| Value::Number(u32::try_from(number).unwrap_or(u32::MAX));
    // `NFTA_PAYLOAD_BASE`, `_OFFSET`, `_LEN`.
    let attributes = vec![
        (2, Value::Number(base)),
        (3, number(offset)),
        (4, number(kind.size())),
    ];
    Field {
        load: ("payload", attributes),
        kind: Kind::Of(kind),
    }
}

/// The number of a family, `NFPROTO_...`.
pub(super) fn number_of(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}
