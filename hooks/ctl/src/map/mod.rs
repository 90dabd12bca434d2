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

use crate::args::MapFormat;
use crate::exit::DONE;
use crate::json::to_json;
use portero_engine::{ApplyError, Engine};
use portero_inventory::Snapshot;
use portero_system::Linux;
use sources::MapSources;
use std::collections::BTreeMap;
use value::Map;

pub(crate) use sources::{problems, SegmentKind};
pub(crate) use tree::Terminal;

/// Draws what there is now.
pub(crate) fn run(
    format: MapFormat,
    terminal: Terminal,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), ApplyError> {
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
    let map = Map::new(&sources);
    let text = match format {
        MapFormat::Tree => tree::draw(&map, terminal),
        MapFormat::Svg => svg::draw(&map),
        MapFormat::Dot => dot::draw(&map),
        MapFormat::Json => to_json(&map),
    };
    Ok((text, DONE))
}
