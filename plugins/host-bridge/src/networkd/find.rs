//! Which of networkd's files is for a NIC.

use crate::bridge::Nic;
use crate::fit::Fit;
use crate::unit::{Section, Unit};

/// A file by its name, that is for a NIC.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) unit: Unit,
    pub(super) fit: Fit,
}

/// networkd takes the first file that fits, by name. One that cannot be read is passed over.
pub(super) fn find_first<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
    nic: &Nic,
) -> Option<Found> {
    let mut files = files.filter(|(name, _)| name.ends_with(".network"));
    files.find_map(|(name, text)| {
        let unit = Unit::parse(text).ok()?;
        let fit = fit_of(&unit, nic);
        let file = name.to_owned();
        (fit != Fit::No).then_some(Found { file, unit, fit })
    })
}

/// Whether `[Match]` fits the NIC; all of its keys have to.
fn fit_of(unit: &Unit, nic: &Nic) -> Fit {
    let mut fit = Fit::No;
    let sections = unit.sections.iter().filter(|known| known.name == "Match");
    for (key, value, _) in sections.flat_map(Section::settings) {
        let words: Vec<&str> = value.split_whitespace().collect();
        let fits_of = |compare: &dyn Fn(&str) -> Fit| match words.as_slice() {
            [one] => compare(one),
            many if many.iter().any(|word| compare(word) != Fit::No) => Fit::Shared,
            _ => Fit::No,
        };
        let here = match key {
            "Name" => fits_of(&|word| Fit::compare(word, nic.name.as_str())),
            "MACAddress" | "PermanentMACAddress" => fits_of(&|word| match nic.has_mac(word) {
                true => Fit::Alone,
                false => Fit::No,
            }),
            "Type" if words.contains(&"ether") => Fit::Shared,
            "Type" => Fit::No,
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
