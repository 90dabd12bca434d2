//! Everybody's rules as the firewalls list them, for whoever wants to know who judges a packet.

use crate::unlisted::unlisted;
use portero_model::Family;
use portero_system::programs::{find_program, read};
use portero_system::{files, side_by_side, Deadline, Paths, SystemError};
use portero_trace::{Iptables, Kept, Rules, Settings};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use std::thread::{self, Builder};

/// How much iptables-save tells, in bytes, before it is worth a look at which tables of nftables are iptables' own: nft takes
/// ten times as long for each of their rules.
const MUCH: usize = 64 * 1024;

/// Most programs that run at one time.
const SIDE_BY_SIDE: usize = 8;

/// What is read, and until when.
#[derive(Clone, Copy)]
struct Reading {
    kept: Kept,
    deadline: Deadline,
}

/// Reads all rules that packets of these families meet, and what decides besides them.
#[must_use]
pub fn foreign_rules(families: &[Family], deadline: Deadline) -> Rules {
    let kept = Kept::All;
    with_unlisted(deadline, || {
        listed_rules(families, Reading { kept, deadline })
    })
}

/// What says whether somebody else publishes a port.
#[must_use]
pub fn publishing_rules(families: &[Family], deadline: Deadline) -> Rules {
    let kept = Kept::DnatOfOthers;
    listed_rules(families, Reading { kept, deadline })
}

/// Tables of the legacy iptables are read only where the kernel has some, since reading makes them.
fn listed_rules(families: &[Family], reading: Reading) -> Rules {
    let (iptables, told) = iptables(families, reading);
    with_nftables(iptables, told, reading)
}

/// What [`foreign_rules`] reads, if anybody but libvirt and portero has what may stop a packet. If nobody has, no rules, and what
/// could not be read.
/// What is in the sets of nftables, of which most may be portero's, says nothing of that, and is read only then.
#[must_use]
pub fn stopping_rules(families: &[Family], deadline: Deadline) -> Rules {
    let kept = Kept::All;
    let reading = Reading { kept, deadline };
    let (iptables, told) = iptables(families, reading);
    if told <= MUCH && !iptables.have_stops_of_others() {
        let (chains, _) = nftables(&["-t", "list", "ruleset"], reading);
        if chains.unread.is_empty() && !chains.have_stops_of_others() {
            let mut none = Rules::default();
            none.unread.extend(iptables.unread);
            return none;
        }
    }
    with_unlisted(deadline, || with_nftables(iptables, told, reading))
}

/// Reads what decides too and no firewall lists, beside the rules.
fn with_unlisted(deadline: Deadline, listed: impl FnOnce() -> Rules) -> Rules {
    let (unlisted, mut rules) = beside(|| unlisted(deadline), listed);
    rules.unlisted = unlisted;
    rules
}

/// Does the first in a thread of its own, and again here if that comes to nothing, while this does the second.
fn beside<R: Send, T>(first: impl Fn() -> R + Sync, second: impl FnOnce() -> T) -> (R, T) {
    thread::scope(|scope| {
        let doing = Builder::new().spawn_scoped(scope, &first);
        let second = second();
        let done = doing.ok().and_then(|doing| doing.join().ok());
        (done.unwrap_or_else(&first), second)
    })
}

/// What iptables lists, and how much that tells of nftables.
fn iptables(families: &[Family], reading: Reading) -> (Rules, usize) {
    let variants: Vec<Variant> = families
        .iter()
        .flat_map(|family| variants(*family))
        .collect();
    let saved = side_by_side(&variants, SIDE_BY_SIDE, |variant| variant.read(reading));
    let mut iptables = Rules::default();
    let mut told = 0;
    for (variant, (rules, length)) in variants.iter().zip(saved) {
        told += if variant.of.is_in_nftables { length } else { 0 };
        iptables.append(rules);
    }
    (iptables, told)
}

/// That with what nft lists besides.
fn with_nftables(iptables: Rules, told: usize, reading: Reading) -> Rules {
    let few = (told > MUCH)
        .then(|| tables_besides(&iptables, reading))
        .flatten();
    let mut rules = few.unwrap_or_else(|| nftables(&["list", "ruleset"], reading).0);
    rules.append(iptables);
    rules
}

/// Reads them while this works on something else.
pub fn foreign_rules_during<T>(
    families: &[Family],
    deadline: Deadline,
    work: impl FnOnce() -> T,
) -> (Rules, T) {
    beside(|| foreign_rules(families, deadline), work)
}

/// What nftables has besides the tables of which iptables has told everything; nothing when that is not to be had so.
fn tables_besides(iptables: &Rules, reading: Reading) -> Option<Rules> {
    let listing = read(NFT, &["-j", "list", "chains"], reading.deadline).ok()?;
    let chains = Chain::read(&String::from_utf8_lossy(&listing)).ok()?;
    let mut tables: Vec<[&str; 2]> = Vec::new();
    for chain in &chains {
        let table = [chain.family.as_str(), chain.table.as_str()];
        if !iptables.tell_chain(&chain.family, &chain.table, &chain.name)
            && !tables.contains(&table)
        {
            tables.push(table);
        }
    }
    let listings = side_by_side(&tables, SIDE_BY_SIDE, |[family, table]| {
        nftables(&["list", "table", family, table], reading)
    });
    let mut rules = Rules::default();
    for (listing, _) in listings {
        // One may have gone by now: all at once they are as they are at one moment.
        if !listing.unread.is_empty() {
            return None;
        }
        rules.append(listing);
    }
    Some(rules)
}

const NFT: &str = "nft";

/// What nft lists of its rules, and how long that is.
fn nftables(words: &[&str], reading: Reading) -> (Rules, usize) {
    let words: Vec<&str> = ["-j"].iter().chain(words).copied().collect();
    parsed(NFT, &words, reading, |rules, listing| {
        rules.add_nftables(listing);
    })
}

/// What a program lists, and how long that is; nothing where it is not installed, or cannot, which is noted.
fn parsed(
    program: &str,
    arguments: &[&str],
    reading: Reading,
    parse: impl FnOnce(&mut Rules, &str),
) -> (Rules, usize) {
    let mut rules = Rules::keeping(reading.kept);
    let mut length = 0;
    match read(program, arguments, reading.deadline) {
        Ok(listing) => {
            length = listing.len();
            parse(&mut rules, &String::from_utf8_lossy(&listing));
        }
        Err(SystemError::NoProgram { .. }) => {}
        Err(error) => rules.unread.push(error.to_string()),
    }
    (rules, length)
}

/// A chain as `nft -j list chains` names it.
#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
}

impl Chain {
    fn read(json: &str) -> serde_json::Result<Vec<Self>> {
        #[derive(Deserialize)]
        struct Listing {
            nftables: Vec<Object>,
        }
        #[derive(Deserialize)]
        struct Object {
            chain: Option<Chain>,
        }
        let listing: Listing = serde_json::from_str(json)?;
        let objects = listing.nftables.into_iter();
        Ok(objects.filter_map(|object| object.chain).collect())
    }
}

/// One of the two iptables, of one family.
struct Variant {
    /// What lists its rules.
    save: String,
    of: Iptables,
}

impl Variant {
    /// Its rules, and how much it tells.
    fn read(&self, reading: Reading) -> (Rules, usize) {
        parsed(&self.save, &[], reading, |rules, listing| {
            rules.add_iptables(self.of.clone(), listing);
        })
    }
}

/// The iptables of a family that may have rules.
fn variants(family: Family) -> Vec<Variant> {
    let (name, tables) = match family {
        Family::Ipv4 => ("iptables", "/proc/net/ip_tables_names"),
        Family::Ipv6 => ("ip6tables", "/proc/net/ip6_tables_names"),
    };
    let file = |program: &str| {
        find_program(program)
            .ok()
            .and_then(|path| fs::canonicalize(path).ok())
    };
    // Which of them the plain name is.
    let plain = file(name);
    let variant = |which: &str| {
        let program = format!("{name}-{which}");
        let is_plain = file(&program).is_some_and(|own| Some(own) == plain);
        Variant {
            save: format!("{program}-save"),
            of: Iptables {
                program: if is_plain { name.to_owned() } else { program },
                family,
                is_in_nftables: which == "nft",
            },
        }
    };
    let has_legacy = fs::read_to_string(tables).is_ok_and(|names| !names.trim().is_empty());
    let mut variants = vec![variant("nft")];
    variants.extend(has_legacy.then(|| variant("legacy")));
    variants.retain(|one| file(&one.save).is_some());
    if variants.is_empty() && plain.is_some() {
        let of_nftables = |path: &PathBuf| path.ends_with("xtables-nft-multi");
        variants.push(Variant {
            save: format!("{name}-save"),
            of: Iptables {
                program: name.to_owned(),
                family,
                is_in_nftables: plain.as_ref().is_some_and(of_nftables),
            },
        });
    }
    variants
}

/// Reads what other firewalls are told.
#[must_use]
pub fn settings(paths: &Paths) -> Settings {
    let text = files::read(&paths.etc.join("firewalld/firewalld.conf"));
    let text = text.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut values = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        (name.trim() == "StrictForwardPorts").then(|| value.trim())
    });
    let is_yes = |value: &str| value.eq_ignore_ascii_case("yes");
    Settings {
        is_firewalld_strict: values.next_back().is_some_and(is_yes),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_and_what_else_is_listed_is_passed_over() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.1.3"}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 2, "prio": 0}},
            {"chain": {"family": "inet", "table": "crowd", "name": "way", "handle": 1}}]}"#;
        let chains = Chain::read(json).expect("JSON");
        let names: Vec<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
        assert_eq!(names, ["FORWARD", "way"]);
        assert!(Chain::read("no").is_err());
    }

    #[test]
    fn the_last_line_that_is_no_comment_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        assert_eq!(settings(&paths), Settings::default());
        fs::create_dir_all(paths.etc.join("firewalld")).expect("a folder");
        let strict = "StrictForwardPorts=no\nStrictForwardPorts=yes\n#StrictForwardPorts=no\n";
        fs::write(paths.etc.join("firewalld/firewalld.conf"), strict).expect("a file");
        assert!(settings(&paths).is_firewalld_strict);
    }
}
