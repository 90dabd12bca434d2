//! Which of networkd's files is for a NIC.

use crate::bridge::HostNic;
use crate::fit::NicFit;
use crate::setting::Setting;
use crate::unit::{Section, Unit};

/// A file by its name, that is for a NIC.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) unit: Unit,
    pub(super) fit: NicFit,
}

/// networkd takes the first file that fits, by name. One that cannot be read is passed over.
pub(super) fn find_first<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
    nic: &HostNic,
) -> Option<Found> {
    let mut files = files.filter(|(name, _)| name.ends_with(".network"));
    files.find_map(|(name, text)| {
        let unit = Unit::parse(text).ok()?;
        let fit = fit_of(&unit, nic);
        let file = name.to_owned();
        (fit != NicFit::No).then_some(Found { file, unit, fit })
    })
}

/// Whether `[Match]` fits the NIC; all of its keys have to.
fn fit_of(unit: &Unit, nic: &HostNic) -> NicFit {
    let mut fit = NicFit::No;
    let sections = unit.sections.iter().filter(|known| known.name == "Match");
    for Setting { key, value, .. } in sections.flat_map(Section::settings) {
        let words: Vec<&str> = value.split_whitespace().collect();
        let fits_of = |compare: &dyn Fn(&str) -> NicFit| match words.as_slice() {
            [one] => compare(one),
            many if many.iter().any(|word| compare(word) != NicFit::No) => NicFit::Shared,
            _ => NicFit::No,
        };
        let here = match key.as_str() {
            "Name" => fits_of(&|word| NicFit::compare(word, nic.name.as_str())),
            "MACAddress" | "PermanentMACAddress" => fits_of(&|word| match nic.has_mac(word) {
                true => NicFit::Alone,
                false => NicFit::No,
            }),
            "Type" if words.contains(&"ether") => NicFit::Shared,
            "Type" => NicFit::No,
            // What we cannot compare does not speak against it.
            _ if fit == NicFit::No => continue,
            _ => fit,
        };
        fit = match (fit, here) {
            (_, NicFit::No) => return NicFit::No,
            (NicFit::Alone, _) | (_, NicFit::Alone) => NicFit::Alone,
            _ => NicFit::Shared,
        };
    }
    fit
}
