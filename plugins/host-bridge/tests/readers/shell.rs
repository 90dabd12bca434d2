//! Values of an ifcfg file: by a real shell, as initscripts have them, and as NetworkManager unescapes them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;

/// Variables by name.
pub(crate) type Values = BTreeMap<String, String>;

/// What a shell has after it sourced the texts.
pub(crate) fn source(texts: &[&str]) -> Values {
    thread_local! {
        static KNOWN: RefCell<BTreeMap<String, Values>> = RefCell::default();
    }
    let text = texts.join("\n");
    let known = KNOWN.with_borrow(|known| known.get(&text).cloned());
    known.unwrap_or_else(|| {
        let values = run(&text);
        KNOWN.with_borrow_mut(|known| known.insert(text, values.clone()));
        values
    })
}

fn run(text: &str) -> Values {
    const LIST: &str = r#"for key in $(compgen -v); do printf '%s\0%s\0' "$key" "${!key}"; done"#;
    let script = format!("{text}\n{LIST}");
    let output = Command::new("bash")
        .args(["--norc", "-c", &script])
        .env_clear()
        .output();
    let text = String::from_utf8_lossy(&output.expect("bash").stdout).into_owned();
    let words: Vec<&str> = text.split('\0').collect();
    let pairs = words
        .chunks_exact(2)
        .filter(|pair| !pair[0].starts_with("BASH") && !pair[1].is_empty());
    pairs
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect()
}

/// What NetworkManager has of a file: a line that it cannot unescape has no value.
pub(crate) fn unescape(text: &str) -> Values {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    let values = lines
        .filter_map(|line| line.split_once('='))
        .filter_map(|(key, value)| Some((key.to_owned(), unescape_one(value)?)));
    values.filter(|(_, value)| !value.is_empty()).collect()
}

fn unescape_one(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (Some('\''), _) => value.push(letter),
            (_, '\\') => value.push(letters.next()?),
            (_, '$' | '`') => return None,
            (None, ' ' | '\t') => break,
            _ => value.push(letter),
        }
    }
    quote.is_none().then_some(value)
}

/// initscripts' `is_true`.
pub(crate) fn is_true(values: &Values, key: &str) -> bool {
    let value = values.get(key).map(|value| value.to_lowercase());
    value.is_some_and(|value| ["yes", "y", "true", "t", "on", "1"].contains(&value.as_str()))
}

/// initscripts' `is_false`.
pub(crate) fn is_false(values: &Values, key: &str) -> bool {
    let value = values.get(key).map(|value| value.to_lowercase());
    value.is_some_and(|value| ["no", "n", "false", "f", "off", "0"].contains(&value.as_str()))
}

/// The bits that a mask has.
pub(crate) fn prefix_of(mask: &str) -> u32 {
    let mask: std::net::Ipv4Addr = mask.parse().expect("a netmask");
    mask.to_bits().count_ones()
}

/// The prefix that an address had by its class.
pub(crate) fn class(address: &str) -> u32 {
    let first: u8 = address
        .split('.')
        .next()
        .and_then(|first| first.parse().ok())
        .expect("an address");
    match first {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

/// The files of a folder that are no backups, by name.
pub(crate) fn scripts(
    files: &portero_host_bridge::HostFiles,
) -> impl Iterator<Item = (&str, &str)> {
    let ends = [
        "~", ".bak", ".old", ".orig", ".rpmsave", ".rpmnew", ".rpmorig",
    ];
    let all = files.folder("sysconfig/network-scripts");
    all.filter(move |(name, _)| !ends.iter().any(|end| name.ends_with(end)))
}

/// The files of interfaces, each by what is behind `ifcfg-`; none of aliases.
pub(crate) fn interfaces(
    files: &portero_host_bridge::HostFiles,
) -> impl Iterator<Item = (&str, &str)> {
    scripts(files).filter_map(|(name, text)| {
        let nick = name.strip_prefix("ifcfg-")?;
        (!nick.contains(':')).then_some((nick, text))
    })
}

/// What can be behind `IPADDR`, in the order in which it counts.
pub(crate) fn numbers() -> impl Iterator<Item = String> {
    std::iter::once(String::new()).chain((0..=255).map(|number: u32| number.to_string()))
}
