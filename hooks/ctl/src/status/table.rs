//! Columns of text, some of it in colours.

use crate::terminal::Colors;
use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// What stands between two columns.
const GAP: usize = 2;

/// One field of a table.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A field in no colour.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }

    /// A field in a colour.
    pub(super) fn colored(text: impl Into<String>, color: AnsiColor) -> Self {
        Self {
            text: text.into(),
            style: color.on_default(),
        }
    }

    /// What is not there, or not known.
    pub(super) fn optional(text: Option<impl Into<String>>) -> Self {
        text.map_or_else(|| Self::plain("-"), Self::plain)
    }
}

/// Draws rows below their titles, each column as wide as it has to be.
pub(super) fn draw<const COLUMNS: usize>(
    titles: [&str; COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
    colors: Colors,
) -> String {
    let titles = titles.map(|title| Cell {
        text: title.to_owned(),
        style: Style::new().bold(),
    });
    let rows: Vec<[Cell; COLUMNS]> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].text.width());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (index, cell) in row.iter().enumerate() {
            let is_last = index + 1 == COLUMNS;
            let gap = if is_last {
                0
            } else {
                widths[index] - cell.text.width() + GAP
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{:gap$}", colors.paint(cell.style, &cell.text), "");
        }
        text.push('\n');
    }
    text
}
