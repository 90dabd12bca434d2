//! Rewrites the files of routes and rules of a NIC: their lines are arguments of ip(8), or the
//! older `ADDRESS0=`.

use crate::rename::rename_in_line;

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
