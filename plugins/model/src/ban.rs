//! Who is kept from ports of the host by a set of addresses that somebody else fills.

use crate::{Dnat, Family, PortRange, Protocol};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The families of tables whose sets can be named.
const FAMILIES: [&str; 3] = ["inet", "ip", "ip6"];

/// Longest name of a table or set; the kernel takes 255 bytes.
const LONGEST_NAME: usize = 128;

/// A named set of nftables in a table of somebody else's: `inet f2b banned`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NftSet {
    /// `inet`, `ip` or `ip6`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The set.
    pub name: String,
}

impl FromStr for NftSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "'{}' names no set of nftables, expected FAMILY TABLE SET, such as 'inet f2b banned'",
                text.escape_debug()
            )
        };
        let words: Vec<&str> = text.split(' ').collect();
        let [family, table, name] = words[..] else {
            return Err(unknown());
        };
        if !FAMILIES.contains(&family) || !is_name(table) || !is_name(name) {
            return Err(unknown());
        }
        if table.starts_with("portero") {
            return Err(format!(
                "table '{table}' is portero's own, expected one of somebody else's"
            ));
        }
        Ok(Self {
            family: family.to_owned(),
            table: table.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Whether nft(8) reads it as the name of a table or set.
fn is_name(word: &str) -> bool {
    let is_first = |first: char| first.is_ascii_alphabetic() || first == '_';
    let is_more = |more: char| more.is_ascii_alphanumeric() || "_-./".contains(more);
    word.len() <= LONGEST_NAME && word.starts_with(is_first) && word.chars().all(is_more)
}

impl TryFrom<String> for NftSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NftSet> for String {
    fn from(set: NftSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for NftSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.family, self.table, self.name)
    }
}

/// Ports of the host that lead to a guest, and a set of addresses that do not get there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ban {
    /// Whose addresses.
    pub set: NftSet,
    /// The family of the forward.
    pub family: Family,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The host's address; any local one except loopback when absent.
    pub address: Option<IpAddr>,
    /// The host's interface the packet must arrive by; any when absent.
    pub dev: Option<String>,
    /// Who else may use the forward; everybody when absent.
    pub source: Option<IpNet>,
    /// The host's ports.
    pub ports: PortRange,
}

impl Ban {
    /// Whether it keeps somebody from this forward.
    #[must_use]
    pub fn is_of(&self, dnat: &Dnat) -> bool {
        (self.family, self.protocol, self.ports) == (dnat.family(), dnat.protocol, dnat.ports)
            && (self.address, &self.dev, self.source) == (dnat.address, &dnat.dev, dnat.source)
    }
}

#[cfg(test)]
mod tests {
    use super::NftSet;

    #[test]
    fn a_set_is_named_by_family_table_and_name() {
        for text in ["inet f2b-table addr-set-sshd", "ip a b", "ip6 t_1 x.y/z"] {
            let set: Result<NftSet, String> = text.parse();
            assert_eq!(set.map(|set| set.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "f2b banned",
            "inet f2b",
            "inet f2b banned more",
            "inet  f2b banned",
            "arp f2b banned",
            "inet f2b ban;ned",
            "inet f2b -banned",
            "inet f2b {banned}",
            "inet portero v4",
            "inet portero_bans set1",
            "inet f2b 1banned",
            "inet f2b bann\u{e9}d",
        ] {
            assert!(text.parse::<NftSet>().is_err(), "{text}");
        }
        let long = format!("inet f2b {}", "x".repeat(129));
        assert!(long.parse::<NftSet>().is_err());
    }
}
