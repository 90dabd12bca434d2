//! Keys and data of elements in the kernel's own bytes (linux/netfilter/nf_tables.h), beside the words of nft(8) for them.
//! Numbers are in network byte order; the parts of a concatenation are each padded to four bytes.

use super::element::{network, quoted};
use super::object::NewSet;
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use portero_model::Family;
use std::net::IpAddr;

/// How many bits of a set's type each part of a concatenation has (`TYPE_BITS` of nft's include/datatype.h).
const TYPE_BITS: u32 = 6;

/// The kernel's number of a verdict as data (`NFT_DATA_VERDICT`).
const VERDICT: u32 = 0xffff_ff00;

/// Room for an interface's name (`IFNAMSIZ` of linux/if.h).
const NAME_SIZE: usize = 16;

/// A type of nft's (`enum datatypes` of its include/datatype.h), by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    Ipv4Address = 7,
    Ipv6Address = 8,
    EtherAddress = 9,
    EtherType = 10,
    InetProtocol = 12,
    InetService = 13,
    InterfaceName = 41,
}

impl DataType {
    const ALL: [Self; 7] = [
        Self::Ipv4Address,
        Self::Ipv6Address,
        Self::EtherAddress,
        Self::EtherType,
        Self::InetProtocol,
        Self::InetService,
        Self::InterfaceName,
    ];

    fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ipv4Address => "ipv4_addr",
            Self::Ipv6Address => "ipv6_addr",
            Self::EtherAddress => "ether_addr",
            Self::EtherType => "ether_type",
            Self::InetProtocol => "inet_proto",
            Self::InetService => "inet_service",
            Self::InterfaceName => "ifname",
        }
    }

    /// That of a family's addresses.
    pub(crate) fn of_address(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4Address,
            Family::Ipv6 => Self::Ipv6Address,
        }
    }

    /// In bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Ipv4Address => 4,
            Self::Ipv6Address => 16,
            Self::EtherAddress => 6,
            Self::EtherType => 2,
            Self::InetProtocol => 1,
            Self::InetService => 2,
            Self::InterfaceName => NAME_SIZE,
        }
    }

    /// See [`Types::byte_order`].
    pub(crate) fn byte_order(self) -> u32 {
        match self {
            Self::InterfaceName | Self::InetProtocol => 1,
            Self::Ipv4Address
            | Self::Ipv6Address
            | Self::EtherAddress
            | Self::EtherType
            | Self::InetService => 2,
        }
    }

    /// Adds the first and the last value that a word stands for to both.
    pub(crate) fn encode(self, word: &str, [first, last]: &mut [Vec<u8>; 2]) -> Option<()> {
        let mut put = |one: &[u8], other: &[u8]| {
            first.extend_from_slice(one);
            last.extend_from_slice(other);
        };
        match self {
            Self::Ipv4Address | Self::Ipv6Address => {
                let net = match word.parse::<IpAddr>() {
                    Ok(address) => IpNet::from(address),
                    Err(_) => word.parse().ok()?,
                };
                match (self, net) {
                    (Self::Ipv4Address, IpNet::V4(net)) => {
                        put(&net.network().octets(), &net.broadcast().octets());
                    }
                    (Self::Ipv6Address, IpNet::V6(net)) => {
                        put(&net.network().octets(), &net.broadcast().octets());
                    }
                    _ => return None,
                }
            }
            Self::EtherAddress => {
                let bytes = word.split(':').map(|byte| u8::from_str_radix(byte, 16));
                let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().ok()?;
                put(&bytes, &bytes);
                (bytes.len() == self.size()).then_some(())?;
            }
            Self::EtherType => {
                let digits = word.strip_prefix("0x")?;
                let number = u16::from_str_radix(digits, 16).ok()?.to_be_bytes();
                put(&number, &number);
            }
            Self::InetProtocol => {
                let number = [word.parse().ok()?];
                put(&number, &number);
            }
            Self::InetService => {
                let bytes = |port: &str| Some(port.parse::<u16>().ok()?.to_be_bytes());
                match bytes(word) {
                    Some(port) => put(&port, &port),
                    None => {
                        let (from, to) = word.split_once('-')?;
                        put(&bytes(from)?, &bytes(to)?);
                    }
                }
            }
            Self::InterfaceName => {
                let name = word.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
                (name.len() < NAME_SIZE).then_some(())?;
                let mut bytes = [0; NAME_SIZE];
                bytes[..name.len()].copy_from_slice(name);
                put(&bytes, &bytes);
            }
        }
        Some(())
    }

    /// The word for all values from the first to the last.
    fn decode(self, first: &[u8], last: &[u8]) -> Option<String> {
        let one = |word: String| (first == last).then_some(word);
        match self {
            Self::Ipv4Address => {
                let address = |bytes: &[u8]| Some(<[u8; 4]>::try_from(bytes).ok()?.into());
                Some(network(network_of(address(first)?, address(last)?)?))
            }
            Self::Ipv6Address => {
                let address = |bytes: &[u8]| Some(<[u8; 16]>::try_from(bytes).ok()?.into());
                Some(network(network_of(address(first)?, address(last)?)?))
            }
            Self::EtherAddress => {
                let bytes: Vec<String> = first.iter().map(|byte| format!("{byte:02x}")).collect();
                one(bytes.join(":"))
            }
            Self::EtherType => {
                let number = u16::from_be_bytes(first.try_into().ok()?);
                one(format!("{number:#06x}"))
            }
            Self::InetProtocol => one(first.first()?.to_string()),
            Self::InetService => {
                let port = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.try_into().ok()?));
                let (first, last) = (port(first)?, port(last)?);
                Some(match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                })
            }
            Self::InterfaceName => {
                let end = first.iter().position(|byte| *byte == 0)?;
                one(quoted(std::str::from_utf8(&first[..end]).ok()?))
            }
        }
    }
}

/// The types of a key's parts, or of those of what a map gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Types(Vec<DataType>);

impl Types {
    /// From the kernel's number of a set's type; nothing when portero gives no set such a part.
    #[must_use]
    pub fn of_number(number: u32) -> Option<Self> {
        let mut types = Vec::new();
        let mut rest = number;
        while rest != 0 {
            types.insert(0, DataType::of_number(rest & ((1 << TYPE_BITS) - 1))?);
            rest >>= TYPE_BITS;
        }
        (!types.is_empty()).then_some(Self(types))
    }

    fn of_words(words: &str) -> Option<Self> {
        let types = words.split(" . ").map(DataType::of_word);
        types.collect::<Option<_>>().map(Self)
    }

    /// Whether it is no concatenation.
    pub(crate) fn is_one(&self) -> bool {
        self.0.len() == 1
    }

    /// The kernel's number of a set's type.
    #[must_use]
    pub fn number(&self) -> u32 {
        let numbers = self.0.iter().map(|kind| *kind as u32);
        numbers.fold(0, |number, kind| (number << TYPE_BITS) | kind)
    }

    /// The sizes of the parts, without what they are padded with, in bytes.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|kind| kind.size())
    }

    /// The size of a key, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|kind| self.padded(*kind)).sum()
    }

    /// How nft notes the order of a key's bytes (`enum byteorder` of its include/datatype.h): 0 for a concatenation, 1 for
    /// that of the host, 2 for that of the network.
    #[must_use]
    pub fn byte_order(&self) -> u32 {
        match self.0.as_slice() {
            [one] => one.byte_order(),
            _ => 0,
        }
    }

    /// The size of a part that stands at an index, with what it is padded with, in bytes.
    fn padded(&self, kind: DataType) -> usize {
        match self.0.len() {
            1 => kind.size(),
            _ => kind.size().next_multiple_of(4),
        }
    }

    /// The first and the last key that words stand for, into what is there for them, whatever it held; nothing when they are not
    /// of these types.
    pub fn encode_into(&self, words: &str, both: &mut [Vec<u8>; 2]) -> Option<()> {
        both.iter_mut().for_each(Vec::clear);
        let mut words = words.split_ascii_whitespace();
        let mut end = 0;
        for kind in &self.0 {
            if end > 0 && words.next() != Some(".") {
                return None;
            }
            kind.encode(words.next()?, both)?;
            end += self.padded(*kind);
            both.iter_mut().for_each(|bytes| bytes.resize(end, 0));
        }
        words.next().is_none().then_some(())
    }

    /// The words for all keys from the first to the last, in each part; nothing when portero never writes such.
    #[must_use]
    pub fn decode(&self, first: &[u8], last: &[u8]) -> Option<String> {
        let mut words = String::new();
        let mut start = 0;
        for kind in &self.0 {
            let (part, end) = (start..start + kind.size(), start + self.padded(*kind));
            if !words.is_empty() {
                words += " . ";
            }
            words += &kind.decode(first.get(part.clone())?, last.get(part)?)?;
            start = end;
        }
        (start == first.len() && start == last.len()).then_some(words)
    }
}

/// What a map gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataTypes {
    /// Values of these types.
    Values(Types),
    /// A chain to jump to.
    Verdict,
}

impl DataTypes {
    /// From the kernel's number of what a map gives.
    #[must_use]
    pub fn of_number(number: u32) -> Option<Self> {
        match number {
            VERDICT => Some(Self::Verdict),
            number => Types::of_number(number).map(Self::Values),
        }
    }

    /// The kernel's number of it.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self {
            Self::Values(types) => types.number(),
            Self::Verdict => VERDICT,
        }
    }

    /// The size of what is given, in bytes; a verdict has none.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Values(types) => types.size(),
            Self::Verdict => 0,
        }
    }

    /// See [`Types::byte_order`].
    #[must_use]
    pub fn byte_order(&self) -> u32 {
        match self {
            Self::Values(types) => types.byte_order(),
            Self::Verdict => 0,
        }
    }
}

/// What the elements of a set or map are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTypes {
    /// The parts of the key.
    pub key: Types,
    /// What a map gives.
    pub data: Option<DataTypes>,
    /// How what stands for many keys is told.
    pub intervals: Intervals,
    /// Whether each element counts.
    pub has_counters: bool,
}

/// How the kernel is told of what stands for many keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervals {
    /// An element is one key.
    None,
    /// An element has a first and a last key, each part of a concatenation by itself.
    InOne,
    /// It is two elements: the first key, and the first behind it.
    InTwo,
}

impl SetTypes {
    /// Those of a set that is made; nothing where portero has no sets of the kind.
    #[must_use]
    pub fn of_set(set: &NewSet) -> Option<Self> {
        let definition = &set.definition;
        let types = definition.split_once("type ")?.1.split_once(';')?.0;
        let (key, data) = match types.split_once(" : ") {
            Some((key, data)) => (key, Some(data)),
            None => (types, None),
        };
        let data = match data {
            Some("verdict") => Some(DataTypes::Verdict),
            Some(words) => Some(DataTypes::Values(Types::of_words(words)?)),
            None => None,
        };
        let key = Types::of_words(key)?;
        let intervals = match (definition.contains("interval"), key.is_one()) {
            (false, _) => Intervals::None,
            (true, false) => Intervals::InOne,
            (true, true) => Intervals::InTwo,
        };
        Some(Self {
            key,
            data,
            intervals,
            has_counters: definition.contains("counter"),
        })
    }

    /// Those of a set that a policy has to itself: addresses, as this one of it.
    #[must_use]
    pub fn of_policy(address: &str) -> Self {
        let kind = match address.contains(':') {
            true => DataType::Ipv6Address,
            false => DataType::Ipv4Address,
        };
        Self {
            has_counters: true,
            ..Self::of_one(kind, Intervals::InTwo)
        }
    }

    /// Those of a set of single values.
    pub(crate) fn of_one(kind: DataType, intervals: Intervals) -> Self {
        Self {
            key: Types(vec![kind]),
            data: None,
            intervals,
            has_counters: false,
        }
    }
}

/// The network that is exactly a range of addresses.
pub(crate) fn network_of(first: IpAddr, last: IpAddr) -> Option<IpNet> {
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

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    fn types(words: &str) -> Types {
        Types::of_words(words).expect("types")
    }

    fn encode(types: &Types, words: &str) -> Option<[Vec<u8>; 2]> {
        let mut both = [vec![1], Vec::new()];
        types.encode_into(words, &mut both).map(|()| both)
    }

    #[test]
    fn words_are_bytes_and_bytes_are_words() {
        let all = [
            ("inet_proto . inet_service", "6 . 8080"),
            (
                "ifname . ipv4_addr . ipv4_addr . inet_proto . inet_service",
                "\"eth0\" . 10.0.0.0/8 . 192.0.2.1 . 17 . 53",
            ),
            ("ipv6_addr . ipv6_addr", "2001:db8::/32 . fd00::1"),
            (
                "ipv4_addr . inet_proto . inet_service",
                "192.0.2.1 . 6 . 1-21",
            ),
            ("ifname . ether_addr", "\"vnet0\" . 52:54:00:00:00:01"),
            ("ifname", "\"virbr0\""),
            ("ether_type", "0x0806"),
            ("ipv4_addr", "192.0.2.1"),
        ];
        for (kinds, words) in all {
            let types = types(kinds);
            let [first, last] = encode(&types, words).expect("bytes");
            assert_eq!(types.decode(&first, &last).as_deref(), Some(words));
        }
    }

    #[test]
    fn parts_of_a_concatenation_are_padded() {
        let ports = types("inet_proto . inet_service");
        let [first, last] = encode(&ports, "6 . 8080").expect("bytes");
        assert_eq!(first, [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(first, last);
        let one = encode(&types("inet_proto"), "6");
        assert_eq!(one, Some([vec![6], vec![6]]));
    }

    #[test]
    fn what_is_of_another_type_is_not_encoded() {
        for (kinds, words) in [
            ("inet_service", "65536"),
            ("ipv4_addr", "fd00::1"),
            ("ifname", "eth0"),
            ("ifname", "\"a name that is too long\""),
            ("ipv4_addr . inet_service", "192.0.2.1"),
            ("ipv4_addr", "192.0.2.1 . 80"),
        ] {
            assert_eq!(encode(&types(kinds), words), None, "{words}");
        }
    }

    #[test]
    fn a_set_s_number_is_that_of_its_parts() {
        let number = (7 << TYPE_BITS) | 13;
        assert_eq!(
            Types::of_number(number),
            Some(types("ipv4_addr . inet_service"))
        );
        assert_eq!(Types::of_number(5), None);
        assert_eq!(DataTypes::of_number(0xffff_ff00), Some(DataTypes::Verdict));
    }
}
