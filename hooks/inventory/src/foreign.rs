//! Everybody's rules as the firewalls list them, for whoever wants to know who judges a packet.

use portero_model::Family;
use portero_system::programs::{find_program, read};
use portero_system::{files, Deadline, Paths, SystemError};
use portero_trace::{Iptables, Rules, Settings};
use std::fs;
use std::path::PathBuf;

/// Reads all rules that packets of these families meet. Tables of the legacy iptables are read only where the kernel has some, since
/// reading makes them.
#[must_use]
pub fn foreign_rules(families: &[Family], deadline: Deadline) -> Rules {
    let mut rules = Rules::default();
    if let Some(listing) = listing(&mut rules, "nft", &["-j", "list", "ruleset"], deadline) {
        rules.add_nftables(&listing);
    }
    for family in families {
        for variant in variants(*family) {
            if let Some(listing) = listing(&mut rules, &variant.save, &[], deadline) {
                rules.add_iptables(variant.of, &listing);
            }
        }
    }
    rules
}

/// What a program lists; nothing where it is not installed, or cannot, which is noted.
fn listing(
    rules: &mut Rules,
    program: &str,
    arguments: &[&str],
    deadline: Deadline,
) -> Option<String> {
    match read(program, arguments, deadline) {
        Ok(listing) => Some(String::from_utf8_lossy(&listing).into_owned()),
        Err(SystemError::NoProgram { .. }) => None,
        Err(error) => {
            rules.unread.push(error.to_string());
            None
        }
    }
}

/// One of the two iptables, of one family.
struct Variant {
    /// What lists its rules.
    save: String,
    of: Iptables,
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
