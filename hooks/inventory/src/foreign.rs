//! Everybody's rules as the firewalls list them, for whoever wants to know who else judges a packet.

use portero_model::Family;
use portero_system::programs::{find_program, read};
use portero_system::{files, Deadline, Paths, SystemError};
use portero_trace::{ForeignRules, Settings};
use std::fs;

/// Reads all rules. Tables of the legacy iptables are read only where the kernel has some, since
/// reading makes them.
#[must_use]
pub fn foreign_rules(deadline: Deadline) -> ForeignRules {
    let mut rules = ForeignRules::default();
    let mut listing = |program: &str, arguments: &[&str]| match read(program, arguments, deadline) {
        Ok(listing) => Some(String::from_utf8_lossy(&listing).into_owned()),
        Err(SystemError::NoProgram { .. }) => None,
        Err(error) => {
            rules.unread.push(error.to_string());
            None
        }
    };
    let nftables = listing("nft", &["-j", "list", "ruleset"]);
    let mut iptables = Vec::new();
    for (family, prefix, tables) in [
        (Family::Ipv4, "iptables", "/proc/net/ip_tables_names"),
        (Family::Ipv6, "ip6tables", "/proc/net/ip6_tables_names"),
    ] {
        let has_legacy = fs::read_to_string(tables).is_ok_and(|names| names.contains("filter"));
        let is_there = |program: &String| find_program(program).is_ok();
        let mut programs = vec![format!("{prefix}-nft-save")];
        programs.extend(has_legacy.then(|| format!("{prefix}-legacy-save")));
        programs.retain(is_there);
        if programs.is_empty() {
            programs.push(format!("{prefix}-save"));
        }
        for program in programs {
            iptables.extend(listing(&program, &["-t", "filter"]).map(|text| (family, text)));
        }
    }
    rules.nftables = nftables;
    rules.iptables = iptables;
    rules
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
