//! Rewrites the files of routes and rules of a NIC: their lines are arguments of ip(8), or the
//! older `ADDRESS0=`.

use crate::rename::{rename_words, rename_zone};

/// The text with the NIC's name replaced by the bridge's wherever an interface is meant.
pub(crate) fn rewrite(text: &str, nic: &str, bridge: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with('#') {
            return format!("{line}\n");
        }
        rename_in_line(line, nic, bridge) + "\n"
    });
    lines.collect()
}

/// One line of them, or of a setting that is written alike.
pub(crate) fn rename_in_line(line: &str, nic: &str, bridge: &str) -> String {
    rename_words(line, |before, word| {
        let alias = word.strip_prefix(nic).filter(|end| end.starts_with(':'));
        match (before, alias) {
            ("dev" | "iif" | "oif", _) if word == nic => bridge.to_owned(),
            ("dev" | "label", Some(end)) => format!("{bridge}{end}"),
            _ => rename_zone(word, nic, bridge),
        }
    })
}
