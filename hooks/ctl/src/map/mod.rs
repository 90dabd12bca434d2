//! `portero map`: the host's networks, bridges, guests, forwards and policies as a picture.

mod dot;
#[cfg(test)]
pub(crate) mod fixtures;
mod passage;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod value;

use crate::args::MapFormat;
use crate::{status, DONE};
use portero_engine::{ApplyError, Engine};
use portero_model::Family;
use portero_system::Host;
use value::{Map, Sources};

pub(crate) use text::shown;
pub(crate) use tree::Terminal;
pub(crate) use value::{problems, Kind};

/// Draws what there is now.
pub(crate) fn run(
    format: MapFormat,
    terminal: Terminal,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), ApplyError> {
    let networks = engine.networks()?;
    let passes_on = Family::ALL.into_iter();
    let sources = Sources {
        host: Host::name(),
        interfaces: Host::interfaces(),
        networks,
        guests: engine.guests()?,
        owners: engine.status()?,
        passes_on: passes_on
            .filter(|family| engine.passes_on(*family))
            .collect(),
    };
    let map = Map::new(&sources);
    let text = match format {
        MapFormat::Tree => tree::draw(&map, terminal),
        MapFormat::Svg => svg::draw(&map),
        MapFormat::Dot => dot::draw(&map),
        MapFormat::Json => status::to_json(&map),
    };
    Ok((text, DONE))
}
