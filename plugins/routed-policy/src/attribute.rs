//! Reads attributes: each that is there has to be valid.

use portero_model::{PortRange, Verdict};
use portero_xml::{Element, Problem};
use std::net::IpAddr;

/// Reads one of some words.
pub(crate) fn word<'a, T: Copy>(
    words: &'a [(&'a str, T)],
) -> impl Fn(&str) -> Result<T, String> + 'a {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let (text, words) = (text.escape_debug(), words.join(", "));
            format!("'{text}' is not known, expected {words}")
        })
    }
}

/// `yes` or `no`; absent is `no`.
pub(crate) fn is_yes(element: &Element, name: &str) -> Result<bool, Problem> {
    let words = [("yes", true), ("no", false)];
    let is_yes = element.optional(name, word(&words))?;
    Ok(is_yes.unwrap_or(false))
}

/// `accept`, `drop` or `reject`.
pub(crate) fn verdict(text: &str) -> Result<Verdict, String> {
    let words = [Verdict::Accept, Verdict::Drop, Verdict::Reject];
    word(&words.map(|verdict| (verdict.name(), verdict)))(text)
}

/// A number within bounds, both included, in decimal digits.
pub(crate) fn number(text: &str, first: i64, last: i64) -> Result<i64, String> {
    // Rust would read a plus sign too.
    let number = (!text.starts_with('+')).then(|| text.parse().ok());
    number
        .flatten()
        .filter(|number| (first..=last).contains(number))
        .ok_or_else(|| {
            format!(
                "'{}' is not a number, expected {first} to {last}",
                text.escape_debug()
            )
        })
}

/// An address.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("'{}' is not an IP address", text.escape_debug()))
}

/// A range of ports in two attributes; the second is the first when absent.
pub(crate) fn ports(
    element: &Element,
    start: &str,
    end: &str,
) -> Result<Option<PortRange>, Problem> {
    let first = element.optional(start, PortRange::port)?;
    let last = element.optional(end, PortRange::port)?;
    match (first, last) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(element.problem(format!("{end} without {start}"))),
        (Some(first), last) => PortRange::new(first, last.unwrap_or(first))
            .map(Some)
            .map_err(|error| element.problem(error)),
    }
}
