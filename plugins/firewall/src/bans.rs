//! The table of bans: sets of addresses that others fill, mirrored, and what drops their packets to forwarded ports.
//!
//! nftables looks a packet up in sets of the rule's own table only, so that what others have is copied. The table is of
//! nftables whichever firewall has the rest, and its chain comes before any address is translated: connections that are there
//! already end, too.

use crate::nftables::element::{address_type, ip};
use crate::script::Commands;
use crate::Script;
use portero_model::{Ban, Family, NftSet};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use xxhash_rust::xxh3::xxh3_64;

/// The table, of family inet.
pub const BANS_TABLE: &str = "portero_bans";

/// Most elements of a set that are mirrored.
pub const MOST_BANNED: usize = 65_536;

/// What the comment of the chain's rules starts with; the rest says what all rules are.
const VERSION: &str = "portero 2: bans";

/// How much the time that an element has left may differ, in seconds: it is read at different times.
const CLOSE: u64 = 5;

/// Addresses that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Banned {
    /// The first of them.
    pub first: IpAddr,
    /// The last of them.
    pub last: IpAddr,
    /// For how many seconds; without an end when absent.
    pub left: Option<u64>,
}

/// What is in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanList {
    /// The family of its addresses.
    pub family: Family,
    /// The addresses, in their order.
    pub banned: Vec<Banned>,
    /// How many elements it has beyond [`MOST_BANNED`].
    pub more: usize,
}

/// Why a set cannot be mirrored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanListError {
    /// It holds something else than addresses.
    #[error("it holds {found}, expected addresses (ipv4_addr or ipv6_addr)")]
    Type {
        /// What.
        found: String,
    },
    /// What nft lists of it is not understood.
    #[error("nft lists it in an unknown form")]
    Unknown,
}

/// The objects of a kind in what `nft -j` lists.
fn objects<'a>(listing: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
    let all = listing["nftables"].as_array().into_iter().flatten();
    all.filter_map(move |object| object.get(kind))
}

impl BanList {
    /// Reads what `nft -j list set` prints.
    ///
    /// # Errors
    /// [`BanListError`].
    pub fn read(listing: &[u8]) -> Result<Self, BanListError> {
        let listing: Value = serde_json::from_slice(listing).map_err(|_| BanListError::Unknown)?;
        let set = objects(&listing, "set").next();
        Self::of_set(set.ok_or(BanListError::Unknown)?)
    }

    fn of_set(set: &Value) -> Result<Self, BanListError> {
        let family = match set["type"].as_str() {
            Some("ipv4_addr") => Family::Ipv4,
            Some("ipv6_addr") => Family::Ipv6,
            _ => {
                let found = set["type"].to_string().replace('"', "");
                return Err(BanListError::Type { found });
            }
        };
        let elements = set["elem"].as_array().into_iter().flatten();
        let banned: Option<Vec<Banned>> = elements.map(banned).collect();
        let mut banned = banned.ok_or(BanListError::Unknown)?;
        banned.sort_unstable();
        let more = banned.len().saturating_sub(MOST_BANNED);
        banned.truncate(MOST_BANNED);
        Ok(Self {
            family,
            banned,
            more,
        })
    }
}

fn banned(element: &Value) -> Option<Banned> {
    if let Some(more) = element.get("elem") {
        let left = match (more.get("expires"), more.get("timeout")) {
            (Some(left), _) | (None, Some(left)) => Some(left.as_u64()?),
            (None, None) => None,
        };
        return Some(Banned {
            left,
            ..banned(&more["val"])?
        });
    }
    let address = |value: &Value| -> Option<IpAddr> { value.as_str()?.parse().ok() };
    let (first, last) = if let Some(prefix) = element.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        let net = ipnet::IpNet::new(address(&prefix["addr"])?, length).ok()?;
        let last = match net {
            ipnet::IpNet::V4(net) => net.broadcast().into(),
            ipnet::IpNet::V6(net) => net.broadcast().into(),
        };
        (net.network(), last)
    } else if let Some(range) = element.get("range") {
        (address(&range[0])?, address(&range[1])?)
    } else {
        (address(element)?, address(element)?)
    };
    Some(Banned {
        first,
        last,
        left: None,
    })
}

impl Banned {
    fn write(&self, text: &mut String) {
        let Self { first, last, left } = self;
        // Writing to a String cannot fail.
        let _ = match first == last {
            true => write!(text, "{first}"),
            false => write!(text, "{first}-{last}"),
        };
        if let Some(left) = left {
            let _ = write!(text, " timeout {}s", left + 1);
        }
    }

    fn is_close_to(&self, other: &Self) -> bool {
        let is_as_long = match (self.left, other.left) {
            (None, None) => true,
            (Some(one), Some(other)) => one.abs_diff(other) <= CLOSE,
            _ => false,
        };
        (self.first, self.last) == (other.first, other.last) && is_as_long
    }
}

/// The address behind another.
fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(Ipv4Addr::from(u32::from(address).checked_add(1)?).into()),
        IpAddr::V6(address) => Some(Ipv6Addr::from(u128::from(address).checked_add(1)?).into()),
    }
}

/// The same addresses in the fewest ranges: nft may list neighbours as one, or as two.
fn joined(banned: &[Banned]) -> Vec<Banned> {
    let mut joined: Vec<Banned> = Vec::new();
    for one in banned {
        match joined.last_mut() {
            Some(last)
                if (last.left, one.left) == (None, None) && next(last.last) == Some(one.first) =>
            {
                last.last = one.last;
            }
            _ => joined.push(*one),
        }
    }
    joined
}

fn are_same(one: &[Banned], other: &[Banned]) -> bool {
    let (one, other) = (joined(one), joined(other));
    let mut pairs = one.iter().zip(&other);
    one.len() == other.len() && pairs.all(|(one, other)| one.is_close_to(other))
}

/// What stands in the table of bans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedBans {
    sets: BTreeMap<String, Vec<Banned>>,
    comments: BTreeSet<String>,
}

impl ObservedBans {
    /// Reads what `nft -j list table` prints of it.
    #[must_use]
    pub fn read(listing: &[u8]) -> Self {
        let listing: Value = serde_json::from_slice(listing).unwrap_or_default();
        let sets = objects(&listing, "set").filter_map(|set| {
            let list = BanList::of_set(set).ok()?;
            Some((set["name"].as_str()?.to_owned(), list.banned))
        });
        let comments = objects(&listing, "rule").filter_map(|rule| rule["comment"].as_str());
        let comments = comments.map(str::to_owned);
        Self {
            sets: sets.collect(),
            comments: comments.collect(),
        }
    }
}

/// The table that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanTable {
    lists: Vec<BanList>,
    rules: String,
}

impl BanTable {
    /// What these bans come to while sets of others hold these lists; those of which there is none ban nobody. Nothing where
    /// nobody can be banned.
    #[must_use]
    pub fn new(bans: &BTreeSet<&Ban>, lists: &BTreeMap<NftSet, BanList>) -> Option<Self> {
        let (mut chains, mut jumps) = (String::new(), String::new());
        let mut used = Vec::new();
        for (set, list) in lists {
            let of_set = bans.iter().filter(|ban| &ban.set == set);
            let rules: Vec<String> = of_set
                .filter(|ban| ban.family == list.family)
                .map(|ban| rule(ban))
                .collect();
            if rules.is_empty() {
                continue;
            }
            used.push(list.clone());
            let number = used.len();
            let _ = writeln!(chains, "\tchain ban{number} {{");
            for rule in rules {
                let _ = writeln!(chains, "\t\t{rule} counter drop comment \"{set}\"");
            }
            chains += "\t}\n";
            let ip = ip(list.family);
            let _ = writeln!(
                jumps,
                "\t\t{ip} saddr @set{number} fib daddr type local jump ban{number} comment \"COMMENT\""
            );
        }
        if used.is_empty() {
            return None;
        }
        let base =
            "\tchain prerouting {\n\t\ttype filter hook prerouting priority -151; policy accept;\n";
        let rules = format!("{chains}{base}{jumps}\t}}\n");
        let comment = format!("{VERSION} {:016x}", xxh3_64(rules.as_bytes()));
        Some(Self {
            lists: used,
            rules: rules.replace("COMMENT", &comment),
        })
    }

    fn is_in(&self, found: &ObservedBans) -> bool {
        let mut comments = found.comments.iter();
        let has_rules = comments
            .any(|comment| comment.starts_with(VERSION) && self.rules.contains(comment.as_str()));
        has_rules && found.sets.len() == self.lists.len()
    }
}

/// What a ban matches besides the source that is banned.
fn rule(ban: &Ban) -> String {
    let ip = ip(ban.family);
    let mut text = String::new();
    if let Some(dev) = &ban.dev {
        let _ = write!(text, "iifname \"{dev}\" ");
    }
    if let Some(source) = ban.source.filter(|source| source.prefix_len() > 0) {
        let _ = write!(text, "{ip} saddr {source} ");
    }
    let _ = match ban.address {
        Some(address) => write!(text, "{ip} daddr {address} "),
        None => write!(text, "{ip} daddr != {} ", ban.family.loopback()),
    };
    let _ = write!(text, "{} dport {}", ban.protocol, ban.ports);
    text
}

/// The script that brings the table to what is wanted; none when it is so.
#[must_use]
pub fn reconcile_bans(found: Option<&ObservedBans>, wanted: Option<&BanTable>) -> Option<Script> {
    let mut commands = Commands::default();
    let add = |number: usize, list: &BanList, commands: &mut Commands| {
        for part in list.banned.chunks(1000) {
            let mut line = format!("add element inet {BANS_TABLE} set{number} {{ ");
            for (index, one) in part.iter().enumerate() {
                line += if index > 0 { ", " } else { "" };
                one.write(&mut line);
            }
            let _ = writeln!(commands, "{line} }}");
        }
    };
    match (found, wanted) {
        (None, None) => {}
        (Some(_), None) => {
            let _ = writeln!(commands, "delete table inet {BANS_TABLE}");
        }
        (Some(found), Some(wanted)) if wanted.is_in(found) => {
            for (list, number) in wanted.lists.iter().zip(1..) {
                let there = found.sets.get(&format!("set{number}"));
                if !there.is_some_and(|there| are_same(there, &list.banned)) {
                    let _ = writeln!(commands, "flush set inet {BANS_TABLE} set{number}");
                    add(number, list, &mut commands);
                }
            }
        }
        (found, Some(wanted)) => {
            if found.is_some() {
                let _ = writeln!(commands, "delete table inet {BANS_TABLE}");
            }
            let _ = writeln!(commands, "table inet {BANS_TABLE} {{");
            for (list, number) in wanted.lists.iter().zip(1..) {
                let address = address_type(list.family);
                let _ = writeln!(
                    commands,
                    "\tset set{number} {{ type {address}; flags interval, timeout; }}"
                );
            }
            let _ = writeln!(commands, "{}}}", wanted.rules);
            for (list, number) in wanted.lists.iter().zip(1..) {
                add(number, list, &mut commands);
            }
        }
    }
    commands.finish()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use portero_model::{PortRange, Protocol};

    fn ban(set: &str, family: Family) -> Ban {
        Ban {
            set: set.parse().expect("a set"),
            family,
            protocol: Protocol::Tcp,
            address: None,
            dev: Some("eth0".to_owned()),
            source: None,
            ports: PortRange::new(8080, 8081).expect("ports"),
        }
    }

    fn list(elements: &str) -> Result<BanList, BanListError> {
        let kind = match elements.contains("::") {
            true => "ipv6_addr",
            false => "ipv4_addr",
        };
        let json = format!(
            r#"{{"nftables":[{{"metainfo":{{}}}},{{"set":{{"name":"x","type":"{kind}","elem":[{elements}]}}}}]}}"#
        );
        BanList::read(json.as_bytes())
    }

    #[test]
    fn every_form_of_an_element_is_read() {
        let found = list(
            r#"{"elem":{"val":"10.0.0.9","timeout":60,"expires":31}}, {"range":["10.0.0.1","10.0.0.3"]},
               {"prefix":{"addr":"10.1.0.0","len":16}}, {"elem":{"val":"10.0.0.7","counter":{"packets":0,"bytes":0}}}"#,
        );
        let mut text = String::new();
        for one in found.expect("a list").banned {
            one.write(&mut text);
            text.push('\n');
        }
        assert_eq!(
            text,
            "10.0.0.1-10.0.0.3\n10.0.0.7\n10.0.0.9 timeout 32s\n10.1.0.0-10.1.255.255\n"
        );
        assert_eq!(list(r#"{"mark": 7}"#), Err(BanListError::Unknown));
        let ports = br#"{"nftables":[{"set":{"name":"x","type":["ipv4_addr","inet_service"]}}]}"#;
        assert_eq!(
            BanList::read(ports).expect_err("no addresses").to_string(),
            "it holds [ipv4_addr,inet_service], expected addresses (ipv4_addr or ipv6_addr)"
        );
        assert_eq!(list("").expect("an empty one").banned, []);
    }

    #[test]
    fn too_many_are_counted() {
        let elements: Vec<String> = (0..MOST_BANNED + 3)
            .map(|number| {
                format!(
                    "\"10.{}.{}.{}\"",
                    number >> 16,
                    number >> 8 & 255,
                    number & 255
                )
            })
            .collect();
        let found = list(&elements.join(",")).expect("a list");
        assert_eq!((found.banned.len(), found.more), (MOST_BANNED, 3));
    }

    #[test]
    fn neighbours_are_the_same_however_they_are_listed_and_times_nearly() {
        let of = |text: &str| list(text).expect("a list").banned;
        let apart = of(r#""10.0.0.1", "10.0.0.2""#);
        assert!(are_same(
            &apart,
            &of(r#"{"range":["10.0.0.1","10.0.0.2"]}"#)
        ));
        assert!(!are_same(&apart, &of(r#""10.0.0.1""#)));
        let timed = |left: u64| {
            of(&format!(
                r#"{{"elem":{{"val":"10.0.0.1","timeout":90,"expires":{left}}}}}"#
            ))
        };
        assert!(are_same(&timed(30), &timed(32)) && !are_same(&timed(30), &timed(60)));
        assert!(!are_same(&timed(30), &of(r#""10.0.0.1""#)));
    }

    #[test]
    fn a_table_comes_changes_and_goes() {
        let (v4, v6) = (
            ban("inet f2b banned", Family::Ipv4),
            ban("inet f2b banned6", Family::Ipv6),
        );
        let bans = BTreeSet::from([&v4, &v6]);
        let lists = |elements: &str| {
            let lists = [
                (v4.set.clone(), list(elements).expect("a list")),
                (v6.set.clone(), list(r#""fd00::1""#).expect("a list")),
            ];
            BTreeMap::from(lists)
        };
        let table = BanTable::new(&bans, &lists(r#""10.0.0.1""#)).expect("a table");
        let script = reconcile_bans(None, Some(&table)).expect("a script");
        crate::readable::compare("src/bans.nft", &script.text());
        let comment = table
            .rules
            .split('"')
            .find(|part| part.starts_with(VERSION));
        let found = ObservedBans {
            sets: [("set1", r#""10.0.0.1""#), ("set2", r#""fd00::1""#)]
                .map(|(name, elements)| (name.to_owned(), list(elements).expect("a list").banned))
                .into(),
            comments: [comment.expect("a comment").to_owned()].into(),
        };
        assert_eq!(reconcile_bans(Some(&found), Some(&table)), None);
        let other = BanTable::new(&bans, &lists(r#""10.0.0.2""#));
        let text = reconcile_bans(Some(&found), other.as_ref()).map(|script| script.text());
        let expected =
            "flush set inet portero_bans set1\nadd element inet portero_bans set1 { 10.0.0.2 }\n";
        assert_eq!(text.as_deref(), Some(expected));
        // Somebody has taken the rules away.
        let bare = ObservedBans {
            comments: BTreeSet::new(),
            ..found.clone()
        };
        let text = reconcile_bans(Some(&bare), Some(&table)).map(|script| script.text());
        assert_eq!(
            text,
            Some(format!("delete table inet portero_bans\n{}", script.text()))
        );
        let text = reconcile_bans(Some(&found), None).map(|script| script.text());
        assert_eq!(text.as_deref(), Some("delete table inet portero_bans\n"));
        assert_eq!(BanTable::new(&BTreeSet::new(), &lists("")), None);
        assert_eq!(reconcile_bans(None, None), None);
    }
}
