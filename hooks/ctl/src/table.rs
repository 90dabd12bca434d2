//! Columns of text, some of it in colours.

use crate::terminal::Colors;
use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// What stands between two columns.
const GAP: usize = 2;

/// One field of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    is_right: bool,
}

impl Cell {
    /// A field in no colour.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
            is_right: false,
        }
    }

    /// A field in a colour.
    pub(crate) fn colored(text: impl Into<String>, color: AnsiColor) -> Self {
        let style = color.on_default();
        Self {
            style,
            ..Self::plain(text)
        }
    }

    /// What may not be there, or not be known.
    pub(crate) fn optional(text: Option<impl ToString>) -> Self {
        Self::plain(text.map_or_else(|| "-".to_owned(), |text| text.to_string()))
    }

    /// The same at the right of its column.
    pub(crate) fn right(self) -> Self {
        let is_right = true;
        Self { is_right, ..self }
    }
}

/// Draws rows below their titles, each column as wide as it has to be.
pub(crate) fn draw<const COLUMNS: usize>(
    titles: [&str; COLUMNS],
    mut rows: Vec<[Cell; COLUMNS]>,
    colors: Colors,
) -> String {
    let mut titles = titles.map(Cell::plain);
    for (index, title) in titles.iter_mut().enumerate() {
        title.style = Style::new().bold();
        title.is_right = rows.first().is_some_and(|row| row[index].is_right);
    }
    rows.insert(0, titles);
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].text.width());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (index, cell) in row.iter().enumerate() {
            let room = widths[index] - cell.text.width();
            let (before, after) = match cell.is_right {
                true => (room, GAP),
                false => (0, room + GAP),
            };
            let after = if index + 1 == COLUMNS { 0 } else { after };
            let painted = colors.paint(cell.style, &cell.text);
            // Writing to a String cannot fail.
            let _ = write!(text, "{:before$}{painted}{:after$}", "", "");
        }
        text.push('\n');
    }
    text
}
