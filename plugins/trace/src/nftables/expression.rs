//! Whether an expression of nft's JSON fits a packet; nothing when that cannot be told
//! (libnftables-json(5)).

use super::listing::Listing;
use crate::packet::{Leg, Packet};
use crate::walk::is_interface;
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;

/// What an expression is for a packet.
enum Known {
    /// A word or a number, as nft may write it: by its name, or else as a number.
    Words(Vec<String>),
    /// An interface.
    Interface(String),
    /// An address.
    Address(IpAddr),
    /// A number.
    Number(u64),
    /// Several one after the other.
    Concat(Vec<Known>),
    /// The packet has no such thing, as an IPv4 packet has no IPv6 address: no comparison fits.
    Nothing,
}

/// Whether a `match` fits.
pub(super) fn fits(
    content: &Value,
    packet: &Packet,
    listing: &Listing<'_>,
    rule: &Value,
) -> Option<bool> {
    let left = match content["left"].get("&") {
        // `ct status & dnat == dnat` is what `ct status dnat` means.
        Some(mask) if mask[0].get("ct").is_some() && mask[1] == content["right"] => &mask[0],
        _ => &content["left"],
    };
    let known = known(left, packet)?;
    if matches!(known, Known::Nothing) {
        return Some(false);
    }
    let is_in = is(&known, &content["right"], listing, rule);
    match content["op"].as_str()? {
        "==" | "in" => is_in,
        "!=" => is_in.map(|is_in| !is_in),
        "<" | ">" | "<=" | ">=" => {
            let (Known::Number(number), Some(limit)) = (known, content["right"].as_u64()) else {
                return None;
            };
            Some(match content["op"].as_str()? {
                "<" => number < limit,
                ">" => number > limit,
                "<=" => number <= limit,
                _ => number >= limit,
            })
        }
        _ => None,
    }
}

/// The verdict that a `vmap` has for a packet, if it has one.
pub(super) fn lookup<'a>(
    content: &'a Value,
    packet: &Packet,
    listing: &Listing<'a>,
    rule: &Value,
) -> Option<Option<&'a Value>> {
    let key = known(&content["key"], packet)?;
    for pair in pairs(content, listing, rule)? {
        if is(&key, &pair[0], listing, rule)? {
            return Some(Some(&pair[1]));
        }
    }
    Some(None)
}

/// The keys and verdicts of a `vmap`.
pub(super) fn pairs<'a>(
    content: &'a Value,
    listing: &Listing<'a>,
    rule: &Value,
) -> Option<&'a [Value]> {
    let data = &content["data"];
    match data.as_str().and_then(|name| name.strip_prefix('@')) {
        Some(name) => listing.elements("map", rule, name),
        None => data["set"].as_array().map(Vec::as_slice),
    }
}

fn known(expression: &Value, packet: &Packet) -> Option<Known> {
    if let Some(parts) = expression.get("concat").and_then(Value::as_array) {
        let parts: Option<Vec<Known>> = parts.iter().map(|part| known(part, packet)).collect();
        return parts.map(Known::Concat);
    }
    if let Some(key) = expression.pointer("/meta/key") {
        return of_meta(key.as_str()?, packet);
    }
    if let Some(payload) = expression.get("payload") {
        return of_payload(
            payload["protocol"].as_str()?,
            payload["field"].as_str()?,
            packet,
        );
    }
    let ct = expression.get("ct")?;
    of_ct(ct["key"].as_str()?, ct["dir"].as_str(), packet)
}

fn words(words: &[&str]) -> Option<Known> {
    Some(Known::Words(
        words.iter().map(|word| (*word).to_owned()).collect(),
    ))
}

fn of_meta(key: &str, packet: &Packet) -> Option<Known> {
    let is_v4 = packet.guest.is_ipv4();
    let interface = |name: Option<&str>| name.map(|name| Known::Interface(name.to_owned()));
    match key {
        "iifname" | "iif" => interface(packet.in_dev()),
        "oifname" | "oif" => interface(packet.out_dev()),
        "l4proto" => of_protocol(packet),
        "nfproto" if is_v4 => words(&["ipv4", "2"]),
        "nfproto" => words(&["ipv6", "10"]),
        "protocol" if is_v4 => words(&["ip"]),
        "protocol" => words(&["ip6"]),
        _ => None,
    }
}

fn of_protocol(packet: &Packet) -> Option<Known> {
    words(&[
        packet.protocol.name(),
        &packet.protocol.number().to_string(),
    ])
}

fn of_payload(header: &str, field: &str, packet: &Packet) -> Option<Known> {
    let is_v4 = packet.guest.is_ipv4();
    let port = |port: Option<u16>| port.map(|port| Known::Number(port.into()));
    let is_transport = header == "th" || header == packet.protocol.name();
    match (header, field) {
        ("ip", _) if !is_v4 => Some(Known::Nothing),
        ("ip6", _) if is_v4 => Some(Known::Nothing),
        ("ip" | "ip6", "saddr") => packet.source().map(Known::Address),
        ("ip" | "ip6", "daddr") => packet.destination().map(Known::Address),
        ("ip", "protocol") | ("ip6", "nexthdr") => of_protocol(packet),
        (_, "sport") if is_transport => port(packet.ports().0),
        (_, "dport") if is_transport => port(packet.ports().1),
        ("tcp" | "udp" | "sctp" | "icmp" | "icmpv6" | "dccp" | "udplite", _) if !is_transport => {
            Some(Known::Nothing)
        }
        _ => None,
    }
}

fn of_ct(key: &str, direction: Option<&str>, packet: &Packet) -> Option<Known> {
    match (key, direction) {
        ("state", None) => words(&[packet.state()]),
        ("status", None) => match packet.leg {
            Leg::There => words(&["dnat"]),
            Leg::Back => words(&["dnat", "seen-reply", "confirmed"]),
        },
        ("direction", None) => words(&[match packet.leg {
            Leg::There => "original",
            Leg::Back => "reply",
        }]),
        ("proto-dst", Some("original")) => Some(Known::Number(packet.host_port.into())),
        ("proto-src", Some("reply")) => Some(Known::Number(packet.guest_port.into())),
        ("ip saddr" | "ip6 saddr" | "saddr", Some("original")) => packet.client.map(Known::Address),
        ("ip daddr" | "ip6 daddr" | "daddr", Some("original")) => packet.host.map(Known::Address),
        ("ip saddr" | "ip6 saddr" | "saddr", Some("reply")) => Some(Known::Address(packet.guest)),
        _ => None,
    }
}

/// Whether something known is what a value says, or among what it says.
fn is(known: &Known, value: &Value, listing: &Listing<'_>, rule: &Value) -> Option<bool> {
    if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) {
        return among(known, listing.elements("set", rule, name)?, listing, rule);
    }
    if let Some(values) = value.get("set").unwrap_or(value).as_array() {
        return among(known, values, listing, rule);
    }
    if let Some(element) = value.pointer("/elem/val") {
        return is(known, element, listing, rule);
    }
    match known {
        Known::Words(words) => {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some(words.contains(&value))
        }
        Known::Interface(name) => Some(is_interface(name, value.as_str()?, '*')),
        Known::Address(address) => is_address(*address, value),
        Known::Number(number) => match value.get("range") {
            Some(range) => Some((range[0].as_u64()?..=range[1].as_u64()?).contains(number)),
            None => Some(value.as_u64()? == *number),
        },
        Known::Concat(parts) => {
            let values = value.get("concat")?.as_array()?;
            let mut all = Some(true);
            for (part, value) in parts.iter().zip(values) {
                match is(part, value, listing, rule) {
                    Some(true) => {}
                    Some(false) => return Some(false),
                    None => all = None,
                }
            }
            all
        }
        Known::Nothing => Some(false),
    }
}

fn among(known: &Known, values: &[Value], listing: &Listing<'_>, rule: &Value) -> Option<bool> {
    let mut any = Some(false);
    for value in values {
        match is(known, value, listing, rule) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => any = None,
        }
    }
    any
}

fn is_address(address: IpAddr, value: &Value) -> Option<bool> {
    if let Some(prefix) = value.get("prefix") {
        let net: IpAddr = prefix["addr"].as_str()?.parse().ok()?;
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return Some(IpNet::new(net, length).ok()?.contains(&address));
    }
    if let Some(range) = value.get("range") {
        let (first, last): (IpAddr, IpAddr) = (
            range[0].as_str()?.parse().ok()?,
            range[1].as_str()?.parse().ok()?,
        );
        return Some(first <= address && address <= last);
    }
    Some(value.as_str()?.parse::<IpAddr>().ok()? == address)
}
