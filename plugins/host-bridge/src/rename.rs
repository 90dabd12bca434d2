//! Puts a bridge's name wherever a NIC's is written.

/// A link-local address names its interface: `fe80::1%eth0`.
pub(crate) fn rename_zone(value: &str, nic: &str, bridge: &str) -> String {
    let address = value.strip_suffix(nic);
    match address.and_then(|rest| rest.strip_suffix('%')) {
        Some(address) => format!("{address}%{bridge}"),
        None => value.to_owned(),
    }
}

/// The line with each word as `rename` gives it for the word before and itself.
pub(crate) fn rename_words(line: &str, rename: impl Fn(&str, &str) -> String) -> String {
    let mut renamed = String::new();
    let mut before = "";
    for piece in line.split_inclusive([' ', '\t']) {
        let word = piece.trim_end_matches([' ', '\t']);
        if !word.is_empty() {
            renamed += &rename(before, word);
            before = word;
        }
        renamed += &piece[word.len()..];
    }
    renamed
}

/// Arguments of ip(8) and route(8), with the bridge wherever they name the NIC as a device.
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
