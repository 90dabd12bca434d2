//! The numbered keys of addresses: `IPADDR`, `IPADDR1`, ...

use super::file::Ifcfg;

/// The keys of one address besides `IPADDR`.
pub(crate) const OF_AN_ADDRESS: [&str; 2] = ["PREFIX", "NETMASK"];

/// The name of a key with a number; none for the first, which initscripts and NetworkManager both
/// know without.
pub(crate) fn numbered(key: &str, number: Option<u32>) -> String {
    match number {
        Some(number) => format!("{key}{number}"),
        None => key.to_owned(),
    }
}

/// The numbers a file has addresses with, in the order in which they are read.
pub(crate) fn numbers(file: &Ifcfg) -> Vec<Option<u32>> {
    let mut numbers: Vec<Option<u32>> = file
        .assignments()
        .filter_map(|assignment| assignment.key.strip_prefix("IPADDR"))
        .filter_map(|rest| match rest {
            "" => Some(None),
            digits => digits.parse().ok().map(Some),
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// A number that a further address can have: readers stop at the first gap.
pub(crate) fn next(file: &Ifcfg) -> Option<u32> {
    let numbers = numbers(file);
    if numbers.is_empty() {
        return None;
    }
    let highest = numbers.into_iter().flatten().max();
    Some(highest.map_or(1, |highest| highest + 1))
}
