//! Rules of routing, as `ip rule` has them: the host's, all but those that each host has and portero's own.

use crate::message::{Hex, Parts};
use nix::libc::{RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN};
use portero_system::interfaces::ip_of_octets as ip;
use portero_system::RULE_PROTOCOL;
use serde::{Deserialize, Serialize};

/// Length of `struct fib_rule_hdr` of linux/fib_rules.h, in bytes.
pub(super) const RULE_HEAD: usize = 12;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

/// `FIB_RULE_INVERT`: the only flag that is asked for; others tell whether an interface is there.
const INVERT: u32 = 2;

/// A rule of routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoutingRule {
    /// In words, `100: from 192.0.2.10/32 lookup 77`.
    pub(crate) text: String,
    /// The kernel's message, without what it says of the moment.
    message: Hex,
}

impl RoutingRule {
    /// A rule of somebody's: not one of the three that each host has, nor portero's for answers.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let mut parts = Parts::split(message, RULE_HEAD)?;
        let priority = parts.number(FRA_PRIORITY).unwrap_or(0);
        let table = parts.number(FRA_TABLE);
        let table = table.unwrap_or_else(|| u32::from(parts.head[4]));
        let protocol = parts.get(FRA_PROTOCOL).and_then(|value| value.first());
        let of_kernel = [
            (0, RT_TABLE_LOCAL),
            (32766, RT_TABLE_MAIN),
            (32767, RT_TABLE_DEFAULT),
        ];
        let is_of_kernel = of_kernel.map(|(at, to)| (at, u32::from(to)));
        if is_of_kernel.contains(&(priority, table)) || protocol == Some(&RULE_PROTOCOL) {
            return None;
        }
        let flags = u32::from_ne_bytes(parts.head[8..12].try_into().ok()?) & INVERT;
        parts.head[8..12].copy_from_slice(&flags.to_ne_bytes());
        Some(Self::from_parts(&parts))
    }

    fn from_parts(parts: &Parts) -> Self {
        let number = |kind| parts.number(kind);
        let mut text = format!("{}:", number(FRA_PRIORITY).unwrap_or(0));
        for (word, kind, length) in [("from", FRA_SRC, 2), ("to", FRA_DST, 1)] {
            if let Some(address) = parts.get(kind).and_then(ip) {
                text += &format!(" {word} {address}/{}", parts.head[length]);
            }
        }
        for (word, kind) in [("iif", FRA_IIFNAME), ("oif", FRA_OIFNAME)] {
            if let Some(name) = parts.get(kind) {
                let name = String::from_utf8_lossy(name);
                text += &format!(" {word} {}", name.trim_end_matches('\0'));
            }
        }
        if let Some(mark) = number(FRA_FWMARK).filter(|mark| *mark != 0) {
            text += &format!(" fwmark {mark:#x}");
        }
        match number(FRA_TABLE).unwrap_or(u32::from(parts.head[4])) {
            0 => {}
            table => text += &format!(" lookup {table}"),
        }
        Self {
            text,
            message: Hex(parts.message()),
        }
    }

    fn parts(&self) -> Option<Parts> {
        Parts::split(&self.message.0, RULE_HEAD)
    }

    /// The addresses that it is about.
    pub(super) fn addresses(&self) -> Vec<std::net::IpAddr> {
        let parts = self.parts();
        let of = |kind| {
            parts
                .as_ref()
                .and_then(|parts| parts.get(kind).and_then(ip))
        };
        [FRA_SRC, FRA_DST].into_iter().filter_map(of).collect()
    }

    /// Whether it is about packets that come or leave by an interface.
    pub(super) fn is_by(&self, interface: &str) -> bool {
        let name = name(interface);
        let parts = self.parts();
        parts.is_some_and(|parts| {
            [FRA_IIFNAME, FRA_OIFNAME]
                .iter()
                .any(|kind| parts.get(*kind) == Some(&name))
        })
    }

    /// The same of another interface.
    pub(super) fn moved(&self, from: &str, to: &str) -> Self {
        let Some(mut parts) = self.parts() else {
            return self.clone();
        };
        let (from, to) = (name(from), name(to));
        for (kind, value) in &mut parts.attributes {
            if [FRA_IIFNAME, FRA_OIFNAME].contains(kind) && *value == from {
                value.clone_from(&to);
            }
        }
        Self::from_parts(&parts)
    }

    /// Whether two rules do the same, whoever has made them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let key = |rule: &Self| {
            let mut parts = rule.parts()?;
            parts.remove(FRA_PROTOCOL);
            parts.attributes.sort();
            Some((parts.head, parts.attributes))
        };
        key(self) == key(other)
    }

    /// The message that makes it, and the one that takes it away.
    pub(super) fn request(&self) -> Vec<u8> {
        self.message.0.clone()
    }
}

/// The name of an interface in an attribute.
fn name(interface: &str) -> Vec<u8> {
    [interface.as_bytes(), &[0]].concat()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    fn message(priority: u32, table: u32, flags: u32, more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut head = vec![2, 0, 32, 0, 0, 0, 0, 1];
        head.extend(flags.to_ne_bytes());
        let mut attributes = vec![
            (FRA_PRIORITY, priority.to_ne_bytes().to_vec()),
            (FRA_TABLE, table.to_ne_bytes().to_vec()),
        ];
        attributes.extend(more.iter().map(|(kind, value)| (*kind, value.to_vec())));
        Parts { head, attributes }.message()
    }

    const FROM: (u16, &[u8]) = (FRA_SRC, &[192, 0, 2, 10]);
    const BY: (u16, &[u8]) = (FRA_IIFNAME, b"lan0\0");

    #[test]
    fn what_each_host_has_is_nobodys() {
        for (priority, table) in [(0, 255), (32766, 254), (32767, 253)] {
            assert_eq!(RoutingRule::read(&message(priority, table, 0, &[])), None);
        }
        let ours = (FRA_PROTOCOL, &[RULE_PROTOCOL][..]);
        assert_eq!(RoutingRule::read(&message(90, 77, 0, &[ours])), None);
        let read = RoutingRule::read(&message(100, 77, 0, &[FROM, BY])).expect("a rule");
        assert_eq!(read.text, "100: from 192.0.2.10/32 iif lan0 lookup 77");
        assert!(read.is_by("lan0") && !read.is_by("lan"));
    }

    #[test]
    fn it_moves_with_its_interface() {
        let read =
            |more: &[(u16, &[u8])]| RoutingRule::read(&message(100, 77, 8, more)).expect("a rule");
        let moved = read(&[FROM, BY]).moved("lan0", "br0");
        assert_eq!(moved.text, "100: from 192.0.2.10/32 iif br0 lookup 77");
        // Whose it is, whether its interface is there, and the order of attributes make no other rule.
        let other = read(&[(FRA_IIFNAME, b"br0\0"), FROM, (FRA_PROTOCOL, &[4])]);
        assert!(moved.is_same(&other) && !moved.is_same(&read(&[FROM, BY])));
    }
}
