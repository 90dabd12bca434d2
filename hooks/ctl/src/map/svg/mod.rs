//! The map as a picture.

mod card;
mod layout;
mod matrix;
#[cfg(test)]
mod tests;

use super::value::Map;
use crate::svg::to_svg;

/// Draws the map.
pub(super) fn draw(map: &Map) -> String {
    to_svg(&layout::lay_out(map))
}
