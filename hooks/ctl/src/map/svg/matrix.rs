//! Who may open connections to whom, as a table: from the left, to the top.

use crate::map::reachability::{ConnectionEnd, Connections, Passes};
use crate::map::value::Map;
use crate::svg::{Anchor, Area, Drawing, Face, Style, MARGIN};
use crate::text::shown;

/// Width of the names at the left.
const NAMES: std::ops::RangeInclusive<i32> = 90..=240;
/// Height of a row.
const ROW: i32 = 26;
/// The narrowest cell, with a symbol in it, and the widest, with words.
const CELL: std::ops::RangeInclusive<i32> = 34..=150;
/// The narrowest cell with words.
const WORDY: i32 = 84;

/// Draws the table; gives where it ends.
pub(super) fn matrix(drawing: &mut Drawing, y: i32, map: &Map) -> i32 {
    let mut ends: Vec<&ConnectionEnd> = Vec::new();
    for connection in &map.connections {
        if !ends.contains(&&connection.from) {
            ends.push(&connection.from);
        }
    }
    let Ok(count) = i32::try_from(ends.len()) else {
        return y;
    };
    if ends
        .iter()
        .all(|end| !matches!(end, ConnectionEnd::Network(_)))
    {
        return y;
    }
    let names = ends
        .iter()
        .map(|end| Face::Code.width(&shown(end.name())) + 50);
    let names = names.max().unwrap_or(0).clamp(*NAMES.start(), *NAMES.end());
    let left = MARGIN + names;
    let room = (drawing.width - MARGIN - left) / count.max(1);
    let cell = room.clamp(*CELL.start(), *CELL.end());
    drawing.width = drawing.width.max(left + count * cell + MARGIN);
    let area = Area::new(MARGIN, y, drawing.width - 2 * MARGIN, 20);
    let words = "Who may open connections, from the left to the top";
    drawing.text(area, Style::new(Face::Heading, "muted"), words);
    let mut y = legend(drawing, y + 24) + 6;
    for (index, end) in (0..).zip(&ends) {
        let area = Area::new(left + index * cell + 3, y, cell - 6, ROW);
        let style = Style::new(Face::Small, "strong").anchored(Anchor::Middle);
        let number = number(index);
        drawing.text(area, style, if cell < WORDY { &number } else { end.name() });
    }
    y += ROW;
    for (index, from) in (0..).zip(&ends) {
        let mut name_x = MARGIN;
        if cell < WORDY {
            let area = Area::new(MARGIN, y, 26, ROW);
            let style = Style::new(Face::Small, "muted").anchored(Anchor::End);
            drawing.text(area, style, &number(index));
            name_x += 34;
        }
        let area = Area::new(name_x, y, left - name_x - 8, ROW);
        drawing.text(area, Style::new(Face::Code, "strong"), from.name());
        for (column, to) in (0..).zip(&ends) {
            let area = Area::new(left + column * cell, y, cell, ROW);
            let mut connections = map.connections.iter();
            let connection = connections.find(|one| one.from == **from && one.to == **to);
            draw_cell(drawing, area, from, to, connection);
        }
        y += ROW;
    }
    y + 14
}

fn number(index: i32) -> String {
    (index + 1).to_string()
}

fn draw_cell(
    drawing: &mut Drawing,
    area: Area,
    from: &ConnectionEnd,
    to: &ConnectionEnd,
    connection: Option<&Connections>,
) {
    let words = connection.map(Connections::words).unwrap_or_default();
    let told = match connection {
        Some(_) => format!("from {} to {}: {words}", from.name(), to.name()),
        None if from == to => format!("{}: not through the host", from.name()),
        None => format!("from {} to {}: not asked", from.name(), to.name()),
    };
    drawing.group(&told, |drawing| {
        let Some(connection) = connection else {
            return drawing.rounded(area, 4, "self");
        };
        let (class, ink) = match connection.passes {
            Passes::All => ("all", "good"),
            Passes::Some => ("some", "wait"),
            Passes::None => ("none", "bad"),
        };
        drawing.rounded(area, 4, class);
        let middle = area.middle();
        if area.width < WORDY {
            return symbol(drawing, area.x + area.width / 2, middle, connection.passes);
        }
        symbol(drawing, area.x + 14, middle, connection.passes);
        let text = Area::new(area.x + 25, area.y, area.width - 31, area.height);
        drawing.text(text, Style::new(Face::Small, ink), &words);
    });
}

/// A mark that is known by its form too.
fn symbol(drawing: &mut Drawing, x: i32, y: i32, passes: Passes) {
    match passes {
        Passes::All => drawing.line(&[(x - 5, y), (x - 1, y + 4), (x + 5, y - 4)], "tick"),
        Passes::None => {
            drawing.line(&[(x - 4, y - 4), (x + 4, y + 4)], "cross");
            drawing.line(&[(x - 4, y + 4), (x + 4, y - 4)], "cross");
        }
        Passes::Some => {
            drawing.disc(x, y, 5, "ring");
            drawing.disc(x, y, 2, "half");
        }
    }
}

fn legend(drawing: &mut Drawing, y: i32) -> i32 {
    let mut x = MARGIN;
    let entries = [
        (Passes::All, "all pass"),
        (Passes::Some, "some pass"),
        (Passes::None, "none passes"),
    ];
    for (passes, words) in entries {
        symbol(drawing, x + 7, y + 10, passes);
        let style = Style::new(Face::Label, "muted");
        let area = Area::new(x + 20, y, Face::Label.width(words), 20);
        drawing.text(area, style, words);
        x = area.right() + 24;
    }
    drawing.rounded(Area::new(x, y + 3, 14, 14), 3, "self");
    let words = "not for the host to decide";
    let area = Area::new(x + 20, y, Face::Label.width(words), 20);
    drawing.text(area, Style::new(Face::Label, "muted"), words);
    y + 20
}
