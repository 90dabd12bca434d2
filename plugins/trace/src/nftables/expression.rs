//! Whether an expression of nft's JSON fits a packet; nothing when that cannot be told
//! (libnftables-json(5)).

use super::listing::Listing;
use crate::flow::{Dev, Leg, Packet, Tracked, Traffic, TCP_FLAGS};
use crate::walk::{all, is_interface};
use ipnet::IpNet;
use portero_model::Family;
use serde_json::Value;
use std::net::IpAddr;

/// What an expression is for a packet.
enum Operand {
    /// A word or a number, as nft may write it: by its name, or else as a number.
    Words(Vec<String>),
    /// An interface.
    Interface(String),
    /// An address.
    Address(IpAddr),
    /// A number.
    Number(u64),
    /// Flags of TCP.
    Flags(u64),
    /// Whether there is something.
    Exists(bool),
    /// Several one after the other.
    Concat(Vec<Operand>),
    /// The packet has no such thing, as an IPv4 packet has no IPv6 address: no comparison fits.
    Nothing,
}

/// The expressions of a rule, with the sets and maps of its table.
pub(super) struct Expressions<'a> {
    pub(super) rule: &'a Value,
    pub(super) listing: &'a Listing,
    pub(super) packet: &'a Packet<'a>,
}

impl<'a> Expressions<'a> {
    /// Whether a `match` fits.
    pub(super) fn fits(&self, content: &Value) -> Option<bool> {
        let operator = content["op"].as_str()?;
        let left = &content["left"];
        let known = match left.get("&") {
            // `ct status & dnat == dnat` is what `ct status dnat` means.
            Some(mask) if mask[0].get("ct").is_some() && mask[1] == content["right"] => {
                known(&mask[0], self.packet)?
            }
            Some(mask) => match known(&mask[0], self.packet)? {
                Operand::Flags(flags) => Operand::Flags(flags & flag_bits(&mask[1])?),
                Operand::Nothing => Operand::Nothing,
                _ => return None,
            },
            None => known(left, self.packet)?,
        };
        if matches!(known, Operand::Nothing) {
            return Some(false);
        }
        if let (Operand::Flags(flags), "in" | "!") = (&known, operator) {
            let wanted = flag_bits(&content["right"])?;
            return Some((flags & wanted != 0) == (operator == "in"));
        }
        let is_in = self.matches(&known, &content["right"]);
        match operator {
            "==" | "in" => return is_in,
            "!=" | "!" => return is_in.map(|is_in| !is_in),
            _ => {}
        }
        let (Operand::Number(number), Some(limit)) = (known, content["right"].as_u64()) else {
            return None;
        };
        match operator {
            "<" => Some(number < limit),
            ">" => Some(number > limit),
            "<=" => Some(number <= limit),
            ">=" => Some(number >= limit),
            _ => None,
        }
    }

    /// The verdict that a `vmap` has for the packet, if it has one.
    pub(super) fn lookup(&self, content: &'a Value) -> Option<Option<&'a Value>> {
        let key = known(&content["key"], self.packet)?;
        for pair in self.pairs(content)? {
            if self.matches(&key, &pair[0])? {
                return Some(Some(&pair[1]));
            }
        }
        Some(None)
    }

    /// The keys and verdicts of a `vmap`.
    pub(super) fn pairs(&self, content: &'a Value) -> Option<&'a [Value]> {
        let data = &content["data"];
        match data.as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => self.listing.elements(self.rule, name),
            None => data["set"].as_array().map(Vec::as_slice),
        }
    }

    /// Whether something known is what a value says, or among what it says.
    fn matches(&self, known: &Operand, value: &Value) -> Option<bool> {
        if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) {
            return self.is_among(known, self.listing.elements(self.rule, name)?);
        }
        if let Some(values) = value.get("set").unwrap_or(value).as_array() {
            return self.is_among(known, values);
        }
        if let Some(element) = value.pointer("/elem/val") {
            return self.matches(known, element);
        }
        match known {
            Operand::Exists(exists) => Some(value.as_bool()? == *exists),
            Operand::Flags(flags) => Some(flag_bits(value)? == *flags),
            Operand::Words(words) => match value {
                Value::String(text) => {
                    is_unsure(words, text).map_or(Some(words.contains(text)), |()| None)
                }
                Value::Number(number) => Some(words.contains(&number.to_string())),
                _ => None,
            },
            Operand::Interface(name) => Some(is_interface(name, value.as_str()?, '*')),
            Operand::Address(address) => is_address(*address, value),
            Operand::Number(number) => match value.get("range") {
                Some(range) => Some((range[0].as_u64()?..=range[1].as_u64()?).contains(number)),
                None => Some(value.as_u64()? == *number),
            },
            Operand::Concat(parts) => {
                let pairs = parts.iter().zip(value.get("concat")?.as_array()?);
                all(pairs.map(|(part, value)| self.matches(part, value)))
            }
            Operand::Nothing => Some(false),
        }
    }

    fn is_among(&self, known: &Operand, values: &[Value]) -> Option<bool> {
        let differ = values
            .iter()
            .map(|value| Some(!self.matches(known, value)?));
        all(differ).map(|differ| !differ)
    }
}

fn known(expression: &Value, packet: &Packet<'_>) -> Option<Operand> {
    if let Some(parts) = expression.get("concat").and_then(Value::as_array) {
        let parts: Option<Vec<Operand>> = parts.iter().map(|part| known(part, packet)).collect();
        let parts = parts?;
        let has_nothing = parts.iter().any(|part| matches!(part, Operand::Nothing));
        return Some(if has_nothing {
            Operand::Nothing
        } else {
            Operand::Concat(parts)
        });
    }
    if let Some(key) = expression.pointer("/meta/key") {
        return known_meta(key.as_str()?, packet);
    }
    if let Some(payload) = expression.get("payload") {
        let (protocol, field) = (payload["protocol"].as_str()?, payload["field"].as_str()?);
        return known_payload(protocol, field, packet);
    }
    if let Some(fib) = expression.get("fib") {
        return known_fib(fib, packet);
    }
    let ct = expression.get("ct")?;
    if packet.may_be_untracked {
        return None;
    }
    let (key, direction) = (ct["key"].as_str()?, ct["dir"].as_str());
    match &packet.tracked {
        Some(tracked) => known_ct(key, direction, tracked, packet),
        // What is not tracked yet is invalid (`nft_ct_get_eval` in net/netfilter/nft_ct.c).
        None if key == "state" => words(&["invalid"]),
        None => Some(Operand::Nothing),
    }
}

fn words(words: &[&str]) -> Option<Operand> {
    let words = words.iter().map(|word| (*word).to_owned());
    Some(Operand::Words(words.collect()))
}

fn known_meta(key: &str, packet: &Packet<'_>) -> Option<Operand> {
    let interface = |dev: Dev<'_>| match dev {
        Dev::Named(name) => Some(Operand::Interface(name.to_owned())),
        // Where there is none its name is empty (`nft_meta_store_ifname`).
        Dev::Absent => Some(Operand::Interface(String::new())),
        Dev::Unknown => None,
    };
    match (key, packet.family) {
        ("iifname" | "iif", _) => interface(packet.in_dev),
        ("oifname" | "oif", _) => interface(packet.out_dev),
        ("ibrname" | "obrname", _) => packet
            .bridge
            .map(|name| Operand::Interface(name.to_owned())),
        ("l4proto", _) => known_protocol(packet),
        ("nfproto", Family::Ipv4) => words(&["ipv4", "2"]),
        ("nfproto", Family::Ipv6) => words(&["ipv6", "10"]),
        ("protocol", Family::Ipv4) => words(&["ip", "2048"]),
        ("protocol", Family::Ipv6) => words(&["ip6", "34525"]),
        ("pkttype", _) => match packet.is_broadcast()? {
            true => words(&["broadcast"]),
            false if packet.destination?.is_multicast() => words(&["multicast"]),
            // To the host's own MAC address, or seen by a bridge on its way to another.
            false if packet.bridge.is_some() => None,
            false => words(&["host", "unicast"]),
        },
        _ => None,
    }
}

fn known_protocol(packet: &Packet<'_>) -> Option<Operand> {
    let (name, number) = packet.protocol()?;
    words(&[name, &number.to_string()])
}

fn known_payload(header: &str, field: &str, packet: &Packet<'_>) -> Option<Operand> {
    let is_v4 = packet.family == Family::Ipv4;
    let port = |port: Option<u16>| port.map(|port| Operand::Number(port.into()));
    let protocol = packet.protocol().map(|(name, _)| name);
    let is_transport = match header {
        "th" => matches!(packet.traffic, Traffic::Port { .. }),
        "icmpv6" => protocol == Some("ipv6-icmp"),
        header => protocol == Some(header),
    };
    match (header, field) {
        ("ip", _) if !is_v4 => Some(Operand::Nothing),
        ("ip6", _) if is_v4 => Some(Operand::Nothing),
        ("arp" | "vlan", _) => Some(Operand::Nothing),
        ("ip" | "ip6", "saddr") => packet.source.map(Operand::Address),
        ("ip" | "ip6", "daddr") => packet.destination.map(Operand::Address),
        ("ip", "protocol") | ("ip6", "nexthdr") => known_protocol(packet),
        ("ether", "saddr") => words(&[packet.mac?]),
        (_, "sport") if is_transport => port(packet.ports().0),
        (_, "dport") if is_transport => port(packet.ports().1),
        ("tcp", "flags") if is_transport => packet.tcp_flags().map(Operand::Flags),
        ("icmp" | "icmpv6", "type") if is_transport => known_icmp(packet),
        // Nothing is known of another protocol, not even which it is.
        ("th" | "tcp" | "udp" | "sctp" | "icmp" | "icmpv6" | "dccp" | "udplite", _)
            if !is_transport =>
        {
            protocol.map(|_| Operand::Nothing)
        }
        _ => None,
    }
}

/// A type of ICMP by its name and number.
fn known_icmp(packet: &Packet<'_>) -> Option<Operand> {
    let Traffic::Icmp { kind, .. } = packet.traffic else {
        return None;
    };
    let name = match (packet.family, kind) {
        (Family::Ipv4, 0) | (Family::Ipv6, 129) => "echo-reply",
        (Family::Ipv4, 3) | (Family::Ipv6, 1) => "destination-unreachable",
        (Family::Ipv4, 8) | (Family::Ipv6, 128) => "echo-request",
        (Family::Ipv4, 11) | (Family::Ipv6, 3) => "time-exceeded",
        (Family::Ipv4, 12) | (Family::Ipv6, 4) => "parameter-problem",
        (Family::Ipv6, 2) => "packet-too-big",
        (Family::Ipv6, 133) => "nd-router-solicit",
        (Family::Ipv6, 134) => "nd-router-advert",
        (Family::Ipv6, 135) => "nd-neighbor-solicit",
        (Family::Ipv6, 136) => "nd-neighbor-advert",
        // nft has names for more than these.
        _ => return None,
    };
    words(&[name, &kind.to_string()])
}

/// Where the host's routes lead.
fn known_fib(fib: &Value, packet: &Packet<'_>) -> Option<Operand> {
    let flags: Vec<&str> = fib["flags"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // An address is local by the interface that it is on alone.
    let is_of_interface = flags.contains(&"iif") || flags.contains(&"oif");
    match (fib["result"].as_str()?, flags.contains(&"daddr")) {
        ("type", true) if is_of_interface => None,
        ("type", true) if packet.is_broadcast() == Some(true) => words(&["broadcast"]),
        ("type", true) if packet.destination.is_some_and(|to| to.is_multicast()) => {
            words(&["multicast"])
        }
        ("type", true) => words(&[if packet.is_to_host? {
            "local"
        } else {
            "unicast"
        }]),
        ("oif" | "check", false) if flags.contains(&"saddr") && flags.contains(&"iif") => {
            packet.is_way_back.map(Operand::Exists)
        }
        _ => None,
    }
}

fn known_ct(
    key: &str,
    direction: Option<&str>,
    tracked: &Tracked,
    packet: &Packet<'_>,
) -> Option<Operand> {
    let is_reply = tracked.leg == Leg::Back;
    let number = |port: Option<u16>| port.map(|port| Operand::Number(port.into()));
    match (key, direction) {
        ("state", None) => words(&[packet.state()]),
        ("status", None) => {
            let known = [
                ("dnat", tracked.is_dnat),
                ("snat", tracked.is_snat),
                ("seen-reply", is_reply),
                // What cannot be known before; see `is_unsure`.
                (STATUS, true),
            ];
            let known = known.iter().filter(|(_, is_so)| *is_so);
            words(&known.map(|(name, _)| *name).collect::<Vec<_>>())
        }
        ("direction", None) => words(&[if is_reply { "reply" } else { "original" }]),
        ("proto-dst", Some("original")) => number(tracked.original_port),
        ("proto-src", Some("reply")) => number(tracked.replying_port),
        ("ip saddr" | "ip6 saddr" | "saddr", Some("original")) => {
            tracked.original.0.map(Operand::Address)
        }
        ("ip daddr" | "ip6 daddr" | "daddr", Some("original")) => {
            tracked.original.1.map(Operand::Address)
        }
        ("ip saddr" | "ip6 saddr" | "saddr", Some("reply")) => {
            Some(Operand::Address(tracked.replying))
        }
        _ => None,
    }
}

/// Among the words of a connection's status, of which some cannot be known.
const STATUS: &str = "(status)";

/// Whether a word of a connection's status is one that cannot be known.
fn is_unsure(words: &[String], word: &str) -> Option<()> {
    let is_status = words.iter().any(|known| known == STATUS);
    (is_status && ["expected", "assured", "confirmed", "dying"].contains(&word)).then_some(())
}

/// Flags of TCP as bits: one, several, or `{"|": [...]}`.
fn flag_bits(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    if let Some(name) = value.as_str() {
        let mut flags = TCP_FLAGS.iter();
        return flags.find(|(flag, _)| *flag == name).map(|(_, bit)| *bit);
    }
    let several = value.get("|").unwrap_or(value).as_array()?;
    several
        .iter()
        .try_fold(0, |bits, flag| Some(bits | flag_bits(flag)?))
}

fn is_address(address: IpAddr, value: &Value) -> Option<bool> {
    let parse = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    if let Some(prefix) = value.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        let net = IpNet::new(parse(&prefix["addr"])?, length).ok()?;
        return Some(net.contains(&address));
    }
    if let Some(range) = value.get("range") {
        return Some((parse(&range[0])?..=parse(&range[1])?).contains(&address));
    }
    Some(parse(value)? == address)
}
