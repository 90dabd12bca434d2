//! The kernel's expressions from the words of nft(8) for them. Only words that
//! portero writes its rules in are known; whatever has others is nft's to read.
//!
//! The expressions and registers are those that nft chooses for the same words, as `nft --debug=netlink` prints them, so that
//! nft lists the rules as they were written.

use super::element::{ip, Place};
use super::expression::{Expression, OwnSet, RawRule, Value, JUMP};
use super::field::{
    kernel, number_of, payload, Field, Kind, ADDRESS_TYPES, DIRECTIONS, FAMILIES, STATES, STATUSES,
};
use super::wire::{DataType, DataTypes, SetTypes};
use portero_model::{Family, Protocol};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Split;

/// The kernel's rule for the words of one in a table; nothing where a word is not known.
///
/// `sets` are the types of the table's sets.
#[must_use]
pub(super) fn raw_rule(
    place: Place,
    words: &str,
    sets: &BTreeMap<String, SetTypes>,
) -> Option<RawRule> {
    let family = match place {
        Place::Own | Place::Policy | Place::Antispoof => None,
        Place::Libvirt(family) => Some(family),
    };
    let mut reader = Reader {
        words: words.split(' ').peekable(),
        known_sets: sets,
        is_inet: matches!(place, Place::Own | Place::Policy),
        family,
        protocol: None,
        is_ethernet: place == Place::Antispoof,
        rule: RawRule {
            sets: Vec::new(),
            expressions: Vec::new(),
        },
    };
    while reader.words.peek().is_some() {
        reader.statement()?;
    }
    Some(reader.rule)
}

struct Reader<'a> {
    words: Peekable<Split<'a, char>>,
    known_sets: &'a BTreeMap<String, SetTypes>,
    /// Whether it is of a table of the family `inet`.
    is_inet: bool,
    /// What packets that get so far are known to be of.
    family: Option<Family>,
    protocol: Option<u8>,
    is_ethernet: bool,
    rule: RawRule,
}

impl Reader<'_> {
    fn next_is(&mut self, word: &str) -> Option<()> {
        (self.words.next()? == word).then_some(())
    }

    /// Whether this word is next, which it then is no more.
    fn takes(&mut self, word: &str) -> bool {
        self.words.next_if_eq(&word).is_some()
    }

    fn push(&mut self, name: &'static str, attributes: Vec<(u16, Value)>) {
        self.rule.expressions.push(Expression { name, attributes });
    }

    fn verdict(&mut self, code: u32, chain: Option<&str>) {
        let chain = chain.map(str::to_owned);
        // `NFTA_IMMEDIATE_DREG` and `_DATA`.
        let attributes = vec![(1, Value::Number(0)), (2, Value::Verdict { code, chain })];
        self.push("immediate", attributes);
    }

    fn statement(&mut self) -> Option<()> {
        let word = self.words.next()?;
        match word {
            "counter" => self.push("counter", Vec::new()),
            "drop" => self.verdict(0, None),
            "accept" => self.verdict(1, None),
            "return" => self.verdict(kernel::RETURN, None),
            "jump" => {
                let chain = self.words.next()?;
                self.verdict(JUMP, Some(chain));
            }
            "goto" => {
                let chain = self.words.next()?;
                self.verdict(kernel::GOTO, Some(chain));
            }
            "reject" => {
                // `NFT_REJECT_ICMPX_UNREACH`, or `NFT_REJECT_ICMP_UNREACH`, and that the port is not reached.
                let (kind, code) = match self.family {
                    None => (2, 1),
                    Some(Family::Ipv4) => (0, 3),
                    Some(Family::Ipv6) => (0, 4),
                };
                self.push(
                    "reject",
                    vec![(1, Value::Number(kind)), (2, Value::Byte(code))],
                );
            }
            "limit" => self.limit()?,
            "log" => self.log()?,
            "masquerade" => self.masquerade()?,
            "dnat" | "snat" => self.nat(word)?,
            _ => self.comparison(word)?,
        }
        Some(())
    }

    /// `rate NUMBER/UNIT burst NUMBER packets`.
    fn limit(&mut self) -> Option<()> {
        self.next_is("rate")?;
        let (rate, unit) = self.words.next()?.split_once('/')?;
        let seconds = match unit {
            "second" => 1,
            "minute" => 60,
            "hour" => 60 * 60,
            "day" => 24 * 60 * 60,
            _ => return None,
        };
        self.next_is("burst")?;
        let burst = self.words.next()?.parse().ok()?;
        self.next_is("packets")?;
        // `NFTA_LIMIT_RATE`, `_UNIT`, `_BURST`, `_TYPE` (`NFT_LIMIT_PKTS`), `_FLAGS`.
        let attributes = vec![
            (1, Value::Long(rate.parse().ok()?)),
            (2, Value::Long(seconds)),
            (3, Value::Number(burst)),
            (4, Value::Number(0)),
            (5, Value::Number(0)),
        ];
        self.push("limit", attributes);
        Some(())
    }

    /// `prefix "TEXT"`, in which there may be spaces.
    fn log(&mut self) -> Option<()> {
        self.next_is("prefix")?;
        let mut text = self.words.next()?.strip_prefix('"')?.to_owned();
        while !text.ends_with('"') {
            text.push(' ');
            text += self.words.next()?;
        }
        text.pop();
        // `NFTA_LOG_PREFIX`.
        self.push("log", vec![(2, Value::Text(text))]);
        Some(())
    }

    fn masquerade(&mut self) -> Option<()> {
        let mut attributes = Vec::new();
        if self.takes("to") {
            let ports = self.words.next()?.strip_prefix(':')?;
            let ports = Kind::Of(DataType::InetService).encode(ports)?;
            // `NFTA_MASQ_FLAGS`, `_REG_PROTO_MIN`, `_REG_PROTO_MAX`.
            attributes.push((1, Value::Number(kernel::PORTS_GIVEN)));
            let registers = self.both(kernel::REGISTER, ports);
            attributes.extend([2, 3].into_iter().zip(registers));
        }
        self.push("masq", attributes);
        Some(())
    }

    /// Loads a value, and the last of several, into registers from this on, and returns these.
    fn both(&mut self, first: u32, values: [Vec<u8>; 2]) -> Vec<Value> {
        let mut values = Vec::from(values);
        values.dedup();
        let numbered = (first..).zip(values);
        let registers = numbered.map(|(register, value)| {
            // `NFTA_IMMEDIATE_DREG` and `_DATA`.
            let attributes = vec![(1, Value::Number(register)), (2, Value::Bytes(value))];
            self.push("immediate", attributes);
            Value::Number(register)
        });
        registers.collect()
    }

    /// A change of one end of a connection: to what a map gives, to a field, or to addresses and ports.
    fn nat(&mut self, word: &str) -> Option<()> {
        let family = family_of(self.words.next()?)?;
        self.next_is("to")?;
        let first = self.words.next()?;
        // `NFTA_NAT_TYPE`, `_FAMILY`.
        let mut attributes = vec![
            (1, Value::Number(u32::from(word == "dnat"))),
            (2, Value::Number(number_of(family).into())),
        ];
        if first.contains(['.', ':']) {
            attributes.extend(self.given(family, first)?);
            self.push("nat", attributes);
            return Some(());
        }
        let fields = self.fields(first)?;
        let mut port = None;
        if self.takes("map") {
            let set = self.words.next()?.strip_prefix('@')?;
            let Some(DataTypes::Values(types)) = &self.known_sets.get(set)?.data else {
                return None;
            };
            port = (!types.is_one()).then(|| register_at(DataType::of_address(family).size()));
            self.load(&fields)?;
            self.look_up(named(set), Some(kernel::REGISTER), false);
        } else {
            let [_] = fields.as_slice() else { return None };
            self.load(&fields)?;
        }
        // `NFTA_NAT_REG_ADDR_MIN`, `_REG_PROTO_MIN`.
        attributes.push((3, Value::Number(kernel::REGISTER)));
        attributes.extend(port.map(|port| (5, Value::Number(port))));
        self.push("nat", attributes);
        Some(())
    }

    /// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, addresses of IPv6 in brackets where ports follow.
    fn given(&mut self, family: Family, word: &str) -> Option<Vec<(u16, Value)>> {
        let separator = match family {
            Family::Ipv4 => ":",
            Family::Ipv6 => "]:",
        };
        let both = word.split_once(separator);
        let (addresses, ports) = both.map_or((word, None), |(both, ports)| (both, Some(ports)));
        let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
        let address = |word: &str| {
            let [first, last] =
                Kind::Of(DataType::of_address(family)).encode(word.trim_matches(['[', ']']))?;
            (first == last).then_some(first)
        };
        let registers = self.both(kernel::REGISTER, [address(first)?, address(last)?]);
        // `NFTA_NAT_REG_ADDR_MIN`, `_REG_ADDR_MAX`.
        let next = kernel::REGISTER + u32::try_from(registers.len()).ok()?;
        let mut attributes: Vec<_> = [3, 4].into_iter().zip(registers).collect();
        if let Some(ports) = ports {
            let ports = Kind::Of(DataType::InetService).encode(ports)?;
            // `NFTA_NAT_REG_PROTO_MIN`, `_REG_PROTO_MAX`, `_FLAGS`.
            attributes.extend([5, 6].into_iter().zip(self.both(next, ports)));
            attributes.push((7, Value::Number(kernel::PORTS_GIVEN)));
        }
        Some(attributes)
    }

    /// A field, or several together, and what is to be with it.
    fn comparison(&mut self, first: &str) -> Option<()> {
        let fields = self.fields(first)?;
        let kind = fields.last()?.kind;
        let is_one = fields.len() == 1;
        let word = self.words.next()?;
        if word == "vmap" {
            let set = self.words.next()?.strip_prefix('@')?;
            self.load(&fields)?;
            self.look_up(named(set), Some(0), false);
            return Some(());
        }
        if word == "set" {
            return self.set_mark(&fields);
        }
        // `ct status ! dnat` is about one bit, `!=` would be about all of them.
        let not = match kind {
            Kind::Bits(_) => "!",
            _ => "!=",
        };
        let (is_not, word) = match word {
            word if word == not => (true, self.words.next()?),
            word => (false, word),
        };
        if let Some(set) = word.strip_prefix('@') {
            self.load(&fields)?;
            self.look_up(named(set), None, is_not);
            return Some(());
        }
        is_one.then_some(())?;
        match (kind, word) {
            (Kind::Bits(bits), word) => {
                let (_, bit) = bits.iter().find(|(name, _)| *name == word)?;
                self.load(&fields)?;
                self.mask(*bit, 0);
                // `ct status dnat` wants the bit, `ct status ! dnat` wants none.
                self.compare(equal(!is_not), &0_u32.to_ne_bytes());
            }
            (Kind::Mark, "&") => {
                let mask = hexadecimal(self.words.next()?)?;
                let is_not = match self.words.next()? {
                    "==" => false,
                    "!=" => true,
                    _ => return None,
                };
                let mark = hexadecimal(self.words.next()?)?;
                self.load(&fields)?;
                self.mask(mask, 0);
                self.compare(equal(is_not), &mark.to_ne_bytes());
            }
            (kind, "{") => match <[_; 1]>::try_from(self.elements(kind)?) {
                // nft compares with one, too.
                Ok([one]) => self.value(fields, one, is_not)?,
                Err(several) => {
                    let Kind::Of(kind) = kind else { return None };
                    let index = self.rule.sets.len();
                    self.rule.sets.push(OwnSet::with(kind, several));
                    self.load(&fields)?;
                    self.look_up(Value::OwnSet(index), None, is_not);
                }
            },
            (Kind::Of(DataType::InterfaceName), word) if word.ends_with("*\"") => {
                let start = word.strip_prefix('"')?.trim_end_matches("*\"");
                self.load(&fields)?;
                self.compare(equal(is_not), start.as_bytes());
            }
            (kind, word) => {
                self.value(fields, kind.encode(word)?, is_not)?;
                match word {
                    "ipv4" | "ip" if !is_not => self.family = Some(Family::Ipv4),
                    "ipv6" | "ip6" if !is_not => self.family = Some(Family::Ipv6),
                    _ => {}
                }
            }
        }
        Some(())
    }

    /// A field that is a value, or one of those from the first to the last.
    fn value(
        &mut self,
        mut fields: Vec<Field>,
        [first, last]: [Vec<u8>; 2],
        is_not: bool,
    ) -> Option<()> {
        let operator = equal(is_not);
        if first == last {
            self.load(&fields)?;
            self.compare(operator, &first);
            return Some(());
        }
        let field = fields.first_mut()?;
        if let Kind::Of(DataType::InetService) = field.kind {
            (!is_not).then_some(())?;
            self.load(&fields)?;
            self.compare(kernel::AT_LEAST, &first);
            self.compare(kernel::AT_MOST, &last);
            return Some(());
        }
        // A network: as many bytes as it has, and a mask where it ends within one.
        let mask: Vec<u8> = first
            .iter()
            .zip(&last)
            .map(|(first, last)| !(first ^ last))
            .collect();
        let whole = mask.iter().take_while(|byte| **byte == 0xff).count();
        let ends_within = mask.get(whole).is_some_and(|byte| *byte != 0);
        if ends_within || whole == 0 {
            self.load(&fields)?;
            let zeros = vec![0; mask.len()];
            self.bitwise(mask, zeros);
            self.compare(operator, &first);
            return Some(());
        }
        // `NFTA_PAYLOAD_LEN`.
        let (_, length) = field
            .load
            .1
            .iter_mut()
            .find(|(attribute, _)| *attribute == 4)?;
        *length = Value::Number(u32::try_from(whole).ok()?);
        self.load(&fields)?;
        self.compare(operator, &first[..whole]);
        Some(())
    }

    /// `ct mark set ct mark & MASK | BITS`, and the same of a packet's mark.
    fn set_mark(&mut self, fields: &[Field]) -> Option<()> {
        let [Field {
            load: (name, attributes),
            kind: Kind::Mark,
        }] = fields
        else {
            return None;
        };
        let first = self.words.next()?;
        let same = self.fields(first)?;
        (same.len() == 1 && same.first()?.load == (*name, attributes.clone())).then_some(())?;
        self.next_is("&")?;
        let mask = hexadecimal(self.words.next()?)?;
        self.next_is("|")?;
        let bits = hexadecimal(self.words.next()?)?;
        (mask & bits == 0).then_some(())?;
        self.load(&same)?;
        self.mask(mask, bits);
        // `NFTA_CT_SREG` and `NFTA_META_SREG`.
        let register = if *name == "ct" { 4 } else { 3 };
        let mut attributes = attributes.clone();
        attributes.push((register, Value::Number(kernel::REGISTER)));
        self.push(name, attributes);
        Some(())
    }

    /// Fields that are joined by dots.
    fn fields(&mut self, first: &str) -> Option<Vec<Field>> {
        let mut fields = vec![self.field(first)?];
        while self.takes(".") {
            let word = self.words.next()?;
            fields.push(self.field(word)?);
        }
        Some(fields)
    }

    fn field(&mut self, word: &str) -> Option<Field> {
        let meta = |key: u32, kind| Field {
            // `NFTA_META_KEY`.
            load: ("meta", vec![(2, Value::Number(key))]),
            kind,
        };
        Some(match word {
            "iifname" => meta(kernel::IN_NAME, Kind::Of(DataType::InterfaceName)),
            "oifname" => meta(kernel::OUT_NAME, Kind::Of(DataType::InterfaceName)),
            "meta" => match self.words.next()? {
                "l4proto" => meta(kernel::PROTOCOL, Kind::Of(DataType::InetProtocol)),
                "nfproto" => meta(kernel::PROTOCOL_FAMILY, FAMILIES),
                "mark" => meta(kernel::MARK, Kind::Mark),
                "protocol" => meta(kernel::ETHER_TYPE, Kind::Of(DataType::EtherType)),
                _ => return None,
            },
            "ip" | "ip6" => {
                let family = family_of(word)?;
                self.needs_family(family)?;
                let kind = DataType::of_address(family);
                let source = match family {
                    Family::Ipv4 => 12,
                    Family::Ipv6 => 8,
                };
                let offset = match self.words.next()? {
                    "saddr" => source,
                    "daddr" => source + kind.size(),
                    _ => return None,
                };
                payload(kernel::NETWORK, offset, kind)
            }
            "ether" => {
                self.next_is("saddr")?;
                self.needs_ethernet();
                payload(kernel::LINK, 6, DataType::EtherAddress)
            }
            // The rest of a packet of ARP stands behind what it says of itself in eight bytes.
            "arp" => {
                self.next_is("saddr")?;
                match self.words.next()? {
                    "ether" => payload(kernel::NETWORK, 8, DataType::EtherAddress),
                    "ip" => payload(kernel::NETWORK, 14, DataType::Ipv4Address),
                    _ => return None,
                }
            }
            // The first two bytes, which are compared as such a number is.
            "@nh,0,16" => payload(kernel::NETWORK, 0, DataType::EtherType),
            "th" => {
                let offset = self.port()?;
                payload(kernel::TRANSPORT, offset, DataType::InetService)
            }
            "tcp" | "udp" | "sctp" => {
                let protocol = word.parse::<Protocol>().ok()?;
                let offset = self.port()?;
                self.needs_protocol(protocol.number())?;
                payload(kernel::TRANSPORT, offset, DataType::InetService)
            }
            "icmp" | "icmpv6" => {
                let (family, protocol) = match word {
                    "icmp" => (Family::Ipv4, 1),
                    _ => (Family::Ipv6, 58),
                };
                let offset = match self.words.next()? {
                    "type" => 0,
                    "code" => 1,
                    _ => return None,
                };
                self.needs_family(family)?;
                self.needs_protocol(protocol)?;
                // One number of one byte is as another.
                payload(kernel::TRANSPORT, offset, DataType::InetProtocol)
            }
            "fib" => self.fib()?,
            "ct" => self.connection()?,
            _ => return None,
        })
    }

    /// Where a port is.
    fn port(&mut self) -> Option<usize> {
        match self.words.next()? {
            "sport" => Some(0),
            "dport" => Some(2),
            _ => None,
        }
    }

    fn fib(&mut self) -> Option<Field> {
        // `NFTA_FIB_RESULT`, `_FLAGS`: `NFT_FIB_RESULT_ADDRTYPE` of `NFTA_FIB_F_DADDR`, or `NFT_FIB_RESULT_OIF` of
        // `NFTA_FIB_F_SADDR` and `NFTA_FIB_F_IIF`.
        let (result, flags, kind) = match self.words.next()? {
            "daddr" => {
                self.next_is("type")?;
                (3, 2, ADDRESS_TYPES)
            }
            "saddr" => {
                for word in [".", "iif", "oif"] {
                    self.next_is(word)?;
                }
                (1, 1 | 8, Kind::Index)
            }
            _ => return None,
        };
        let attributes = vec![(2, Value::Number(result)), (3, Value::Number(flags))];
        Some(Field {
            load: ("fib", attributes),
            kind,
        })
    }

    fn connection(&mut self) -> Option<Field> {
        // `NFTA_CT_KEY`, with `NFT_CT_...`.
        let of = |key: u32, kind| Field {
            load: ("ct", vec![(2, Value::Number(key))]),
            kind,
        };
        let word = self.words.next()?;
        Some(match word {
            "state" => of(0, STATES),
            "direction" => of(1, DIRECTIONS),
            "status" => of(2, STATUSES),
            "mark" => of(3, Kind::Mark),
            "original" | "reply" => {
                let mut field = match self.words.next()? {
                    "proto-src" => of(11, Kind::Of(DataType::InetService)),
                    "proto-dst" => of(12, Kind::Of(DataType::InetService)),
                    name => {
                        let family = family_of(name)?;
                        self.needs_family(family)?;
                        let source = match family {
                            Family::Ipv4 => 19,
                            Family::Ipv6 => 21,
                        };
                        let key = match self.words.next()? {
                            "saddr" => source,
                            "daddr" => source + 1,
                            _ => return None,
                        };
                        of(key, Kind::Of(DataType::of_address(family)))
                    }
                };
                // `NFTA_CT_DIRECTION`.
                let direction = Value::Byte(u8::from(word == "reply"));
                field.load.1.push((3, direction));
                field
            }
            _ => return None,
        })
    }

    /// A packet of another family has no such header.
    fn needs_family(&mut self, family: Family) -> Option<()> {
        match self.family {
            Some(known) => return (known == family).then_some(()),
            None if !self.is_inet => return None,
            None => {}
        }
        self.load_meta(kernel::PROTOCOL_FAMILY);
        self.compare(kernel::EQUAL, &[number_of(family)]);
        self.family = Some(family);
        Some(())
    }

    fn needs_protocol(&mut self, protocol: u8) -> Option<()> {
        match self.protocol {
            Some(known) => return (known == protocol).then_some(()),
            None => self.load_meta(kernel::PROTOCOL),
        }
        self.compare(kernel::EQUAL, &[protocol]);
        self.protocol = Some(protocol);
        Some(())
    }

    fn needs_ethernet(&mut self) {
        if !self.is_ethernet {
            self.load_meta(kernel::IN_TYPE);
            self.compare(kernel::EQUAL, &kernel::ETHERNET.to_ne_bytes());
            self.is_ethernet = true;
        }
    }

    fn load_meta(&mut self, key: u32) {
        // `NFTA_META_DREG` and `_KEY`.
        let attributes = vec![
            (1, Value::Number(kernel::REGISTER)),
            (2, Value::Number(key)),
        ];
        self.push("meta", attributes);
    }

    /// Loads fields, each behind the one before.
    fn load(&mut self, fields: &[Field]) -> Option<()> {
        let mut start = 0;
        for Field {
            load: (name, attributes),
            kind,
        } in fields
        {
            // The register is attribute 1 of all of them: `NFTA_META_DREG`, `NFTA_PAYLOAD_DREG`, `NFTA_CT_DREG`,
            // `NFTA_FIB_DREG`.
            let mut attributes = attributes.clone();
            attributes.insert(0, (1, Value::Number(register_at(start))));
            self.push(name, attributes);
            start += kind.size().next_multiple_of(4);
        }
        // There are sixteen registers of four bytes.
        (start <= 64).then_some(())
    }

    fn look_up(&mut self, set: Value, data: Option<u32>, is_not: bool) {
        // `NFTA_LOOKUP_SET`, `_SREG`, `_DREG`, and `_FLAGS` with `NFT_LOOKUP_F_INV`.
        let mut attributes = vec![(1, set), (2, Value::Number(kernel::REGISTER))];
        attributes.extend(data.map(|register| (3, Value::Number(register))));
        attributes.extend(is_not.then_some((5, Value::Number(1))));
        self.push("lookup", attributes);
    }

    fn compare(&mut self, operator: u32, value: &[u8]) {
        // `NFTA_CMP_SREG`, `_OP`, `_DATA`.
        let attributes = vec![
            (1, Value::Number(kernel::REGISTER)),
            (2, Value::Number(operator)),
            (3, Value::Bytes(value.to_vec())),
        ];
        self.push("cmp", attributes);
    }

    /// Keeps the bits of a number that are in the mask, and sets some.
    fn mask(&mut self, mask: u32, bits: u32) {
        self.bitwise(mask.to_ne_bytes().to_vec(), bits.to_ne_bytes().to_vec());
    }

    fn bitwise(&mut self, mask: Vec<u8>, bits: Vec<u8>) {
        // `NFTA_BITWISE_SREG`, `_DREG`, `_LEN`, `_MASK`, `_XOR`.
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let attributes = vec![
            (1, Value::Number(kernel::REGISTER)),
            (2, Value::Number(kernel::REGISTER)),
            (3, Value::Number(length)),
            (4, Value::Bytes(mask)),
            (5, Value::Bytes(bits)),
        ];
        self.push("bitwise", attributes);
    }

    /// What is in braces.
    fn elements(&mut self, kind: Kind) -> Option<Vec<[Vec<u8>; 2]>> {
        let mut elements = Vec::new();
        loop {
            match self.words.next()? {
                "}" => return Some(elements),
                word => elements.push(kind.encode(word.trim_end_matches(','))?),
            }
        }
    }
}

/// A set of the table's.
fn named(set: &str) -> Value {
    Value::Text(set.to_owned())
}

/// The operator that compares with one value.
fn equal(is_not: bool) -> u32 {
    match is_not {
        false => kernel::EQUAL,
        true => kernel::UNEQUAL,
    }
}

/// The register for what is loaded so many bytes behind the first.
fn register_at(start: usize) -> u32 {
    let words = u32::try_from(start / 4).unwrap_or(u32::MAX);
    match words % 4 {
        0 => kernel::REGISTER + words / 4,
        _ => kernel::REGISTER_32 + words,
    }
}

/// The family that nft has this name for.
fn family_of(word: &str) -> Option<Family> {
    let mut families = Family::ALL.into_iter();
    families.find(|family| ip(*family) == word)
}

fn hexadecimal(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nftables::KnownSets;

    fn read(place: Place, words: &str) -> Option<RawRule> {
        raw_rule(place, words, KnownSets::default().of(place))
    }

    #[test]
    fn what_is_in_other_words_is_nft_s_to_read() {
        for words in [
            "queue",
            "masquerade random",
            "ct state established accept",
            "ip daddr 10.0.0.0/33 accept",
            "ip saddr 192.0.2.1 ip6 daddr fd00::1 accept",
            "tcp dport 80 udp dport 80 accept",
            "tcp dport != 80-90 accept",
            "ct status != dnat accept",
            "iifname ! \"eth0\" accept",
            "limit rate 1/week burst 5 packets",
            "log prefix \"without an end",
            "ip saddr . tcp",
            "dnat ip to ip daddr map @nobody",
            "jump",
        ] {
            assert_eq!(read(Place::Own, words), None, "{words}");
        }
        // What nft puts before the same words is another there.
        assert_eq!(read(Place::Antispoof, "ip saddr 192.0.2.1 drop"), None);
        assert_eq!(
            read(Place::Libvirt(Family::Ipv4), "ip6 saddr fd00::1 drop"),
            None
        );
    }

    #[test]
    fn each_part_of_a_key_has_the_registers_behind_the_one_before() {
        // An interface, an address, a protocol: `NFT_REG_1`, `NFT_REG_2`, `NFT_REG32_05`.
        assert_eq!([0, 16, 20].map(register_at), [1, 2, 13]);
        let rule = read(Place::Own, "iifname . ip daddr . meta l4proto @v4 drop");
        let expressions = rule.map(|rule| rule.expressions).unwrap_or_default();
        let names: Vec<&str> = expressions.iter().map(|one| one.name).collect();
        let family = ["meta", "cmp"];
        let key = ["meta", "payload", "meta", "lookup", "immediate"];
        assert_eq!(names, [&family[..], &key].concat());
    }

    #[test]
    fn what_touches_is_one_interval() {
        let keys = |words: &str| {
            let rule = read(Place::Own, &format!("tcp dport {{ {words} }} accept"));
            let sets = rule.map(|rule| rule.sets).unwrap_or_default();
            sets.into_iter()
                .flat_map(|set| set.keys)
                .map(|(key, _)| key)
        };
        let one = || keys("80-95, 443");
        assert_eq!(one().count(), 5);
        assert!(one().eq(keys("443, 80-90, 91-95")));
        assert!(one().eq(keys("80-95, 85, 443")));
        assert!(one().eq(keys("80-90, 80-95, 85-92, 443")));
    }

    #[test]
    fn a_network_is_as_many_bytes_as_it_has() {
        let length = |words: &str| {
            let rule = read(Place::Own, words)?;
            let mut names = rule.expressions.iter().map(|one| one.name);
            let load = rule.expressions.iter().find(|one| one.name == "payload")?;
            let length = load
                .attributes
                .iter()
                .find(|(attribute, _)| *attribute == 4)?;
            Some((length.1.clone(), names.any(|name| name == "bitwise")))
        };
        for (net, bytes, has_mask) in [
            ("10.0.0.0/8", 1, false),
            ("192.0.2.0/25", 4, true),
            ("192.0.2.1", 4, false),
            ("0.0.0.0/0", 4, true),
        ] {
            let found = length(&format!("ip daddr {net} drop"));
            assert_eq!(found, Some((Value::Number(bytes), has_mask)), "{net}");
        }
    }
}
