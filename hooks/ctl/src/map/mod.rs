//! `portero map`: the host's networks, bridges, guests, forwards and policies as a picture.

mod dot;
#[cfg(test)]
pub(crate) mod fixtures;
mod forwarded;
mod reachability;
mod rules;
mod sources;
mod svg;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use crate::exit::DONE;
use crate::json::to_json;
use crate::named::NamedError;
use portero_engine::Engine;
use portero_inventory::Snapshot;
use portero_libvirt::ObjectName;
use portero_system::Linux;
use sources::MapSources;
use std::collections::BTreeMap;
use value::Map;

pub(crate) use sources::{problems, SegmentKind};
pub(crate) use tree::Terminal;

/// A form of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MapFormat {
    /// Lines for a terminal
    Tree,
    /// A picture
    Svg,
    /// A graph for graphviz
    Dot,
    /// JSON for programs
    Json,
}

/// Draws what there is now.
pub(crate) fn run(
    name: Option<&ObjectName>,
    format: MapFormat,
    terminal: Terminal,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), NamedError> {
    let mut snapshot = Snapshot::take(engine)?;
    let mut sources = MapSources {
        host: Linux::name(),
        interfaces: Linux::interfaces(),
        networks: snapshot.networks(),
        guests: snapshot.guests()?,
        owners: snapshot.owners()?,
        facts: snapshot.host_facts(),
        contradictions: BTreeMap::new(),
    };
    drop(snapshot);
    rules::note(&mut sources, engine)?;
    let mut map = Map::new(&sources);
    if let Some(name) = name {
        map.keep(name.as_str());
        if map.segments.is_empty() {
            return Err(NamedError::nobody(name));
        }
    }
    let text = match format {
        MapFormat::Tree => tree::draw(&map, terminal),
        MapFormat::Svg => svg::draw(&map),
        MapFormat::Dot => dot::draw(&map),
        MapFormat::Json => to_json(&map),
    };
    Ok((text, DONE))
}
