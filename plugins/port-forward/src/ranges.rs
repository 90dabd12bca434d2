//! Reads the `<range>`s of a forward: which ports lead where, in time that grows as their number.

use portero_model::PortRange;
use portero_xml::{Element, Problem};
use std::collections::BTreeMap;

/// Ports of the host and the same number of ports of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The host's ports.
    pub host: PortRange,
    /// The guest's ports.
    pub guest: PortRange,
}

/// The ranges of a forward with what is excluded taken out.
pub(crate) fn mappings(element: &Element) -> Result<Vec<Mapping>, Problem> {
    let mut wanted: Vec<Mapping> = Vec::new();
    let mut by_start: BTreeMap<u16, PortRange> = BTreeMap::new();
    let mut excluded: Vec<PortRange> = Vec::new();
    for child in element.children() {
        match child.own_name() {
            Some("range") => {}
            Some("source") => continue,
            _ => {
                return Err(
                    child.problem("not known in a portForward, expected <range> or <source>")
                )
            }
        }
        child.only_attributes(&["start", "end", "to", "exclude"])?;
        child.expect_nothing()?;
        let range = host_range(child)?;
        match child.attribute("exclude") {
            Some("yes") if child.attribute("to").is_some() => {
                return Err(child.problem("an excluded range maps nowhere, expected no 'to'"));
            }
            Some("yes") => excluded.push(range),
            None | Some("no") => {
                let mapping = mapped(child, range)?;
                if let Some(other) = neighbour(&by_start, range) {
                    return Err(child.problem(format!(
                        "ports {range} overlap the range {other} of the same portForward"
                    )));
                }
                by_start.insert(range.start(), range);
                wanted.push(mapping);
            }
            Some(other) => {
                return Err(child.problem(format!(
                    "exclude is '{}', expected yes or no",
                    other.escape_debug()
                )));
            }
        }
    }
    if wanted.is_empty() {
        return Err(element.problem(
            "no <range> that is not excluded, expected at least one (all ports of the host \
             cannot be forwarded)",
        ));
    }
    excluded.sort_unstable_by_key(|hole| hole.start());
    let excluded = joined(&excluded);
    let cut = |mapping: &Mapping| cut(*mapping, &excluded);
    let left: Vec<Mapping> = match excluded.is_empty() {
        true => wanted,
        false => wanted.iter().flat_map(cut).collect(),
    };
    if left.is_empty() {
        return Err(element.problem("every port is excluded, expected at least one left"));
    }
    Ok(left)
}

/// All ports without some, each where it is; nothing when none is left.
pub(crate) fn all_without(mut excluded: Vec<PortRange>) -> Vec<Mapping> {
    excluded.sort_unstable_by_key(|hole| hole.start());
    let all = Mapping {
        host: PortRange::ALL,
        guest: PortRange::ALL,
    };
    cut(all, &joined(&excluded))
}

/// The ports of the host that an element names.
pub(crate) fn host_range(element: &Element) -> Result<PortRange, Problem> {
    let start = element.required("start", "a port", PortRange::port)?;
    let end = element.optional("end", PortRange::port)?.unwrap_or(start);
    PortRange::new(start, end).map_err(|error| element.problem(error))
}

fn mapped(element: &Element, host: PortRange) -> Result<Mapping, Problem> {
    let Some(to) = element.optional("to", PortRange::port)? else {
        return Ok(Mapping { host, guest: host });
    };
    let guest = host.moved_to(to).ok_or_else(|| {
        element.problem(format!(
            "ports {host} mapped to {to} pass 65535, expected them all to fit"
        ))
    })?;
    Ok(Mapping { host, guest })
}

/// The range, of some that have no port in common, that has one in common with another.
fn neighbour(by_start: &BTreeMap<u16, PortRange>, range: PortRange) -> Option<PortRange> {
    // Most are behind all before them.
    let last = by_start.last_key_value();
    let last = last.filter(|(start, _)| **start <= range.end());
    let (_, last) = last.or_else(|| by_start.range(..=range.end()).next_back())?;
    last.overlaps(range).then_some(*last)
}

/// Ranges in the order of their first ports, as such that have no port in common.
fn joined(ranges: &[PortRange]) -> Vec<PortRange> {
    let mut joined: Vec<PortRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.overlaps(*range) => *last = last.up_to(range.end()),
            _ => joined.push(*range),
        }
    }
    joined
}

/// What is left of a mapping without the excluded ports, which are in order and have none in common.
fn cut(mapping: Mapping, excluded: &[PortRange]) -> Vec<Mapping> {
    let first = excluded.partition_point(|hole| hole.end() < mapping.host.start());
    let mut left = Vec::new();
    let mut rest = Some(mapping.host);
    for hole in &excluded[first..] {
        let Some(range) = rest.filter(|range| range.overlaps(*hole)) else {
            break;
        };
        let parts = range.without(*hole);
        rest = parts
            .last()
            .copied()
            .filter(|last| last.start() > hole.end());
        left.extend(parts.into_iter().filter(|part| part.end() < hole.start()));
    }
    left.extend(rest);
    left.into_iter()
        .filter_map(|host| {
            let offset = host.start() - mapping.host.start();
            let guest = host.moved_to(mapping.guest.start() + offset)?;
            Some(Mapping { host, guest })
        })
        .collect()
}
