//! Pseudonyms: addresses and names of a report under others, the same one everywhere, so that what belongs together is still
//! seen together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names that tell nothing of a host, or are words of every program.
const COMMON: [&str; 3] = ["default", "localhost", "host"];

/// What a name is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Guest,
    Network,
    Host,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Network => "network",
            Self::Host => "host",
        }
    }
}

/// Who is known by another name.
#[derive(Debug, Default)]
pub(crate) struct Pseudonyms {
    /// The longest first: one may be part of another.
    names: Vec<(String, String)>,
    subnets_v4: HashMap<[u8; 3], usize>,
    subnets_v6: HashMap<[u8; 8], usize>,
    hosts_v6: HashMap<[u8; 8], usize>,
    macs: HashMap<String, usize>,
    uuids: HashMap<String, usize>,
}

/// The number of a key, a new one when it has none.
fn number<K: std::hash::Hash + Eq>(known: &mut HashMap<K, usize>, key: K) -> usize {
    let next = known.len() + 1;
    *known.entry(key).or_insert(next)
}

impl Pseudonyms {
    /// Gives these names others.
    pub(crate) fn new(names: impl IntoIterator<Item = (Kind, String)>) -> Self {
        let mut given: Vec<(String, String)> = Vec::new();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (kind, name) in names {
            let is_known = given.iter().any(|(known, _)| *known == name);
            if name.is_empty() || is_known || COMMON.contains(&name.as_str()) {
                continue;
            }
            let count = counts.entry(kind.word()).or_default();
            *count += 1;
            let other = format!("{}-{count}", kind.word());
            // As comments in the firewall have it.
            let is_kept = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
            let reduced = name.replace(|one| !is_kept(one), "_");
            if reduced != name {
                given.push((reduced, other.clone()));
            }
            given.push((name, other));
        }
        given.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self {
            names: given,
            ..Self::default()
        }
    }

    /// A text under other names.
    pub(crate) fn apply(&mut self, text: &str) -> String {
        let text = self.replace_names(text);
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            replaced += before;
            let end = from.find(|one| !is_part(one)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            replaced += &self.word(word);
            rest = after;
        }
        replaced + rest
    }

    /// Names where they are words by themselves.
    fn replace_names(&self, text: &str) -> String {
        let is_letter = |one: char| one.is_alphanumeric() || one == '_';
        let mut replaced = text.to_owned();
        for (name, other) in &self.names {
            let mut done = String::with_capacity(replaced.len());
            let mut rest = replaced.as_str();
            while let Some(found) = rest.find(name.as_str()) {
                let (before, from) = rest.split_at(found);
                let after = from.get(name.len()..).unwrap_or_default();
                done += before;
                let is_word = !done.ends_with(is_letter) && !after.starts_with(is_letter);
                done += if is_word { other } else { name };
                rest = after;
            }
            replaced = done + rest;
        }
        replaced
    }

    /// A word of digits, letters, `.`, `:` and `-`: an address, or whatever it is.
    fn word(&mut self, word: &str) -> String {
        if let Some(other) = self.address(word) {
            return other;
        }
        // A sentence's end, and the colon before a port or behind a title, are none of an address's.
        let inner = word.trim_end_matches(['.', ':', '-']);
        let (inner, end) = word.split_at(inner.len());
        if let Some(other) = self.address(inner) {
            return other + end;
        }
        if let Some((address, port)) = inner.rsplit_once(':') {
            let is_port =
                !port.is_empty() && port.chars().all(|one| one.is_ascii_digit() || one == '-');
            if let (true, Ok(IpAddr::V4(_))) = (is_port, address.parse()) {
                let other = self.address(address).unwrap_or_default();
                return format!("{other}:{port}{end}");
            }
        }
        // Ranges of addresses, as of DHCP.
        if let Some((from, to)) = inner.split_once('-') {
            if let (Some(from), Some(to)) = (self.address(from), self.address(to)) {
                return format!("{from}-{to}{end}");
            }
        }
        word.to_owned()
    }

    fn address(&mut self, word: &str) -> Option<String> {
        if is_mac(word) {
            let number = number(&mut self.macs, word.to_lowercase());
            let [.., high, low] = number.to_be_bytes();
            return Some(format!("02:00:00:00:{high:02x}:{low:02x}"));
        }
        if is_uuid(word) {
            let number = number(&mut self.uuids, word.to_lowercase());
            return Some(format!("00000000-0000-4000-8000-{number:012x}"));
        }
        match word.parse().ok()? {
            IpAddr::V4(address) => self.v4(address),
            IpAddr::V6(address) => self.v6(address),
        }
    }

    /// Of a subnet of 256 addresses each keeps its last part.
    fn v4(&mut self, address: Ipv4Addr) -> Option<String> {
        let tells_nothing = address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || address.is_broadcast()
            || address.octets()[0] == 255;
        if tells_nothing {
            return None;
        }
        let [first, second, third, last] = address.octets();
        let [.., high, low] = number(&mut self.subnets_v4, [first, second, third]).to_be_bytes();
        Some(Ipv4Addr::from([10, high, low, last]).to_string())
    }

    fn v6(&mut self, address: Ipv6Addr) -> Option<String> {
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            return None;
        }
        let octets = address.octets();
        let (mut subnet, mut host) = ([0; 8], [0; 8]);
        subnet.copy_from_slice(&octets[..8]);
        host.copy_from_slice(&octets[8..]);
        let prefix = match subnet {
            [0xfe, 0x80, 0, 0, 0, 0, 0, 0] => "fe80:".to_owned(),
            _ => format!("2001:db8:0:{:x}:", number(&mut self.subnets_v6, subnet)),
        };
        Some(match host {
            [0, 0, 0, 0, 0, 0, 0, 0] => format!("{prefix}:"),
            _ => format!("{prefix}:{:x}", number(&mut self.hosts_v6, host)),
        })
    }
}

fn is_part(one: char) -> bool {
    one.is_ascii_alphanumeric() || ['.', ':', '-'].contains(&one)
}

fn is_mac(word: &str) -> bool {
    // udev's names of interfaces by their address.
    let by_address = ["enx", "wlx"];
    if by_address.iter().any(|start| {
        word.strip_prefix(start)
            .is_some_and(|rest| is_hex(rest, 12))
    }) {
        return true;
    }
    let parts: Vec<&str> = word.split(':').collect();
    parts.len() == 6 && parts.iter().all(|part| is_hex(part, 2))
}

fn is_uuid(word: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = word.split('-').collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| is_hex(part, length))
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length && part.chars().all(|one| one.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{Kind, Pseudonyms};

    #[test]
    fn the_same_is_the_same_everywhere_and_what_is_together_stays_so() {
        let names = [
            (Kind::Guest, "web"),
            (Kind::Guest, "web-2"),
            (Kind::Guest, "my vm"),
            (Kind::Network, "lan"),
            (Kind::Network, "default"),
            (Kind::Host, "alpha"),
        ];
        let names = names.map(|(kind, name)| (kind, name.to_owned()));
        let mut of = Pseudonyms::new(names);
        for (text, expected) in [
            ("web and web-2 on lan", "guest-1 and guest-2 on network-1"),
            (
                "domain 'my vm', domain my_vm",
                "domain 'guest-3', domain guest-3",
            ),
            ("webmail, my_web, vlan", "webmail, my_web, vlan"),
            (
                "default via 203.0.113.1 dev eth0",
                "default via 10.0.1.1 dev eth0",
            ),
            ("203.0.113.7/24:", "10.0.1.7/24:"),
            ("tcp 203.0.113.7:8080-8090.", "tcp 10.0.1.7:8080-8090."),
            ("198.51.100.1-198.51.100.9", "10.0.2.1-10.0.2.9"),
            (
                "52:54:00:AB:cd:01 52:54:00:ab:cd:01",
                "02:00:00:00:00:01 02:00:00:00:00:01",
            ),
            ("[2001:db8:1::5]:80", "[2001:db8:0:1::1]:80"),
            (
                "2001:db8:1::5 2001:db8:1::6",
                "2001:db8:0:1::1 2001:db8:0:1::2",
            ),
            ("fe80::5054:ff:fe00:1%eth0 ::1", "fe80::3%eth0 ::1"),
            (
                "127.0.0.1 0.0.0.0 255.255.255.0",
                "127.0.0.1 0.0.0.0 255.255.255.0",
            ),
            (
                "6f9c0f5a-1d2e-4b3c-8d4e-5f6a7b8c9d0e",
                "00000000-0000-4000-8000-000000000001",
            ),
            ("12:30:45 version 1.2.3", "12:30:45 version 1.2.3"),
            ("portero on alpha", "portero on host-1"),
        ] {
            assert_eq!(of.apply(text), expected);
        }
    }
}
