//! Whether an expression of nft's JSON fits a packet; nothing when that cannot be told
//! (libnftables-json(5)).

use super::listing::NftObjects;
use crate::packet::{ForwardedPacket, Leg};
use crate::walk::{all, is_interface};
use ipnet::IpNet;
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
    /// Several one after the other.
    Concat(Vec<Operand>),
    /// The packet has no such thing, as an IPv4 packet has no IPv6 address: no comparison fits.
    Nothing,
}

/// The expressions of a rule, with the sets and maps of its table.
pub(super) struct Expressions<'a, 'l> {
    pub(super) rule: &'l Value,
    pub(super) listing: &'l NftObjects<'a>,
    pub(super) packet: &'l ForwardedPacket,
}

impl<'a> Expressions<'a, '_> {
    /// Whether a `match` fits.
    pub(super) fn fits(&self, content: &Value) -> Option<bool> {
        let left = match content["left"].get("&") {
            // `ct status & dnat == dnat` is what `ct status dnat` means.
            Some(mask) if mask[0].get("ct").is_some() && mask[1] == content["right"] => &mask[0],
            _ => &content["left"],
        };
        let known = known(left, self.packet)?;
        if matches!(known, Operand::Nothing) {
            return Some(false);
        }
        let is_in = self.matches(&known, &content["right"]);
        let operator = content["op"].as_str()?;
        match operator {
            "==" | "in" => return is_in,
            "!=" => return is_in.map(|is_in| !is_in),
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
            Some(name) => self.listing.elements("map", self.rule, name),
            None => data["set"].as_array().map(Vec::as_slice),
        }
    }

    /// Whether something known is what a value says, or among what it says.
    fn matches(&self, known: &Operand, value: &Value) -> Option<bool> {
        if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) {
            return self.is_among(known, self.listing.elements("set", self.rule, name)?);
        }
        if let Some(values) = value.get("set").unwrap_or(value).as_array() {
            return self.is_among(known, values);
        }
        if let Some(element) = value.pointer("/elem/val") {
            return self.matches(known, element);
        }
        match known {
            Operand::Words(words) => match value {
                Value::String(text) => Some(words.contains(text)),
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

fn known(expression: &Value, packet: &ForwardedPacket) -> Option<Operand> {
    if let Some(parts) = expression.get("concat").and_then(Value::as_array) {
        let parts: Option<Vec<Operand>> = parts.iter().map(|part| known(part, packet)).collect();
        return parts.map(Operand::Concat);
    }
    if let Some(key) = expression.pointer("/meta/key") {
        return known_meta(key.as_str()?, packet);
    }
    if let Some(payload) = expression.get("payload") {
        let (protocol, field) = (payload["protocol"].as_str()?, payload["field"].as_str()?);
        return known_payload(protocol, field, packet);
    }
    let ct = expression.get("ct")?;
    known_ct(ct["key"].as_str()?, ct["dir"].as_str(), packet)
}

fn words(words: &[&str]) -> Option<Operand> {
    let words = words.iter().map(|word| (*word).to_owned());
    Some(Operand::Words(words.collect()))
}

fn known_meta(key: &str, packet: &ForwardedPacket) -> Option<Operand> {
    let is_v4 = packet.guest.is_ipv4();
    let interface = |name: Option<&str>| name.map(|name| Operand::Interface(name.to_owned()));
    match key {
        "iifname" | "iif" => interface(packet.in_dev()),
        "oifname" | "oif" => interface(packet.out_dev()),
        "l4proto" => known_protocol(packet),
        "nfproto" if is_v4 => words(&["ipv4", "2"]),
        "nfproto" => words(&["ipv6", "10"]),
        "protocol" if is_v4 => words(&["ip"]),
        "protocol" => words(&["ip6"]),
        _ => None,
    }
}

fn known_protocol(packet: &ForwardedPacket) -> Option<Operand> {
    let protocol = packet.protocol;
    words(&[protocol.name(), &protocol.number().to_string()])
}

fn known_payload(header: &str, field: &str, packet: &ForwardedPacket) -> Option<Operand> {
    let is_v4 = packet.guest.is_ipv4();
    let port = |port: Option<u16>| port.map(|port| Operand::Number(port.into()));
    let is_transport = header == "th" || header == packet.protocol.name();
    match (header, field) {
        ("ip", _) if !is_v4 => Some(Operand::Nothing),
        ("ip6", _) if is_v4 => Some(Operand::Nothing),
        ("ip" | "ip6", "saddr") => packet.source().map(Operand::Address),
        ("ip" | "ip6", "daddr") => packet.destination().map(Operand::Address),
        ("ip", "protocol") | ("ip6", "nexthdr") => known_protocol(packet),
        (_, "sport") if is_transport => port(packet.ports().0),
        (_, "dport") if is_transport => port(packet.ports().1),
        ("tcp" | "udp" | "sctp" | "icmp" | "icmpv6" | "dccp" | "udplite", _) if !is_transport => {
            Some(Operand::Nothing)
        }
        _ => None,
    }
}

fn known_ct(key: &str, direction: Option<&str>, packet: &ForwardedPacket) -> Option<Operand> {
    match (key, direction) {
        ("state", None) => words(&[packet.state()]),
        ("status", None) => match packet.leg {
            Leg::There => words(&["dnat"]),
            Leg::Back => words(&["dnat", "seen-reply", "confirmed"]),
        },
        ("direction", None) => match packet.leg {
            Leg::There => words(&["original"]),
            Leg::Back => words(&["reply"]),
        },
        ("proto-dst", Some("original")) => Some(Operand::Number(packet.host_port.into())),
        ("proto-src", Some("reply")) => Some(Operand::Number(packet.guest_port.into())),
        ("ip saddr" | "ip6 saddr" | "saddr", Some("original")) => {
            packet.client.map(Operand::Address)
        }
        ("ip daddr" | "ip6 daddr" | "daddr", Some("original")) => packet.host.map(Operand::Address),
        ("ip saddr" | "ip6 saddr" | "saddr", Some("reply")) => Some(Operand::Address(packet.guest)),
        _ => None,
    }
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
