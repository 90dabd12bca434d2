//! Rewrites the files of routes and rules of a NIC: their lines are arguments of ip(8), or the
//! older `ADDRESS0=`.

use crate::rename::{rename_words, rename_zone};

/// The files of a NIC besides its ifcfg file, by what their names start with.
pub(crate) const KINDS: [&str; 4] = ["route", "route6", "rule", "rule6"];

/// The text with the NIC's name replaced by the bridge's wherever an interface is meant.
pub(crate) fn rewrite(text: &str, nic: &str, bridge: &str) -> String {
    let rename = |before: &str, word: &str| match before {
        "dev" | "iif" | "oif" if word == nic => bridge.to_owned(),
        _ => rename_zone(word, nic, bridge),
    };
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with('#') {
            return format!("{line}\n");
        }
        rename_words(line, rename) + "\n"
    });
    lines.collect()
}
