//! Rewrites the files of routes and rules of a NIC: their lines are arguments of ip(8), or the
//! older `ADDRESS0=`.

/// The files of a NIC besides its ifcfg file, by what their names start with.
pub(crate) const KINDS: [&str; 4] = ["route", "route6", "rule", "rule6"];

/// Words of ip(8) that an interface stands behind.
const BEFORE_AN_INTERFACE: [&str; 3] = ["dev", "iif", "oif"];

/// The text with the NIC's name replaced by the bridge's wherever an interface is meant.
pub(crate) fn rewrite(text: &str, nic: &str, bridge: &str) -> String {
    text.lines()
        .map(|line| {
            if line.trim_start().starts_with('#') {
                return format!("{line}\n");
            }
            format!("{}\n", rewrite_line(line, nic, bridge))
        })
        .collect()
}

fn rewrite_line(line: &str, nic: &str, bridge: &str) -> String {
    let mut rewritten = String::new();
    let mut is_interface = false;
    for piece in line.split_inclusive([' ', '\t']) {
        let word = piece.trim_end_matches([' ', '\t']);
        let space = &piece[word.len()..];
        if is_interface && word == nic {
            rewritten += bridge;
        } else {
            rewritten += &zone(word, nic, bridge);
        }
        rewritten += space;
        if !word.is_empty() {
            is_interface = BEFORE_AN_INTERFACE.contains(&word);
        }
    }
    rewritten
}

/// A link-local address names its interface: `fe80::1%eth0`.
pub(crate) fn zone(value: &str, nic: &str, bridge: &str) -> String {
    match value
        .strip_suffix(nic)
        .and_then(|rest| rest.strip_suffix('%'))
    {
        Some(address) => format!("{address}%{bridge}"),
        None => value.to_owned(),
    }
}
