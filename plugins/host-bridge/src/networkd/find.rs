//! Which of networkd's files is for a NIC.

use crate::bridge::{HostFiles, Nic};
use crate::unit::{Section, Unit};
use glob::Pattern;

/// Where the files are, below /etc.
pub(super) const FOLDER: &str = "systemd/network";

/// How well a file fits a NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is for the NIC alone.
    Alone,
    /// It may be for others as well.
    Shared,
    /// It is for others.
    No,
}

/// The path of the file that configures the NIC.
pub(crate) fn owner(files: &HostFiles, nic: &Nic) -> Option<String> {
    let unread = || {
        let line = format!("Name={}", nic.name);
        // It is there, and the plan says what is wrong with it.
        let is_for = |text: &str| Unit::parse(text).is_err() && text.lines().any(|l| l == line);
        let mut files = files.folder(FOLDER);
        files.find_map(|(name, text)| is_for(text).then(|| name.to_owned()))
    };
    let found = owner_unit(files, nic).map(|(name, _, _)| name);
    found.or_else(unread).map(|name| path(&name))
}

/// networkd takes the first file that fits, by name.
pub(super) fn owner_unit(files: &HostFiles, nic: &Nic) -> Option<(String, Unit, Fit)> {
    let units = files.folder(FOLDER).filter_map(|(name, text)| {
        let unit = name
            .ends_with(".network")
            .then(|| Unit::parse(text).ok())??;
        let fit = fit_of(&unit, nic);
        (fit != Fit::No).then(|| (name.to_owned(), unit, fit))
    });
    let mut units: Vec<_> = units.collect();
    units.sort_by(|a, b| a.0.cmp(&b.0));
    units.into_iter().next()
}

/// Whether `[Match]` fits the NIC; all of its keys have to.
fn fit_of(unit: &Unit, nic: &Nic) -> Fit {
    let mut fit = Fit::No;
    let sections = unit.sections.iter().filter(|known| known.name == "Match");
    for (key, value, _) in sections.flat_map(Section::settings) {
        let words: Vec<&str> = value.split_whitespace().collect();
        let here = match key {
            "Name" if words == [nic.name.as_str()] => Fit::Alone,
            "Name" if words.iter().any(|word| is_match(word, nic.name.as_str())) => Fit::Shared,
            "MACAddress" | "PermanentMACAddress" => {
                let is_mac = |word: &&str| nic.mac.is_some() && word.parse().ok() == nic.mac;
                match words.as_slice() {
                    [one] if is_mac(one) => Fit::Alone,
                    many if many.iter().any(is_mac) => Fit::Shared,
                    _ => Fit::No,
                }
            }
            "Type" if words.contains(&"ether") => Fit::Shared,
            "Name" | "Type" => Fit::No,
            // What we cannot compare does not speak against it.
            _ if fit == Fit::No => continue,
            _ => fit,
        };
        fit = match (fit, here) {
            (_, Fit::No) => return Fit::No,
            (Fit::Alone, _) | (_, Fit::Alone) => Fit::Alone,
            _ => Fit::Shared,
        };
    }
    fit
}

/// Shell patterns of `[Match]`.
fn is_match(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}

pub(super) fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}
