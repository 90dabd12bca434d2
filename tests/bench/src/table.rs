//! The plain text table of results.

use crate::cost::Cost;
use std::fmt::Write as _;
use std::time::Duration;

/// One comparison, or one size.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured, and against what.
    pub what: String,
    /// What it took.
    pub measured: String,
    /// What it is measured against took.
    pub against: String,
    /// The ratio of the two.
    pub ratio: String,
    /// The instructions of both, where they were counted.
    pub instructions: String,
    /// What is permitted.
    pub limit: String,
    /// Whether that was kept; nothing where there is no limit.
    pub within: Option<bool>,
}

/// What a time is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limit {
    /// At most this many times the other.
    pub ratio: Option<f64>,
    /// At most this long.
    pub time: Option<Duration>,
}

impl Row {
    /// A cost beside the one that it is measured against.
    #[must_use]
    pub fn costs(what: String, measured: Cost, against: Cost, limit: Limit) -> Self {
        let ratio = measured.time.as_secs_f64() / against.time.as_secs_f64();
        let within = [
            limit.ratio.map(|limit| ratio <= limit),
            limit.time.map(|limit| measured.time <= limit),
        ];
        let counted = measured.instructions.zip(against.instructions);
        let instructions =
            counted.map(|(one, other)| format!("{} / {}", millions(one), millions(other)));
        let texts = [
            limit.ratio.map(|limit| format!("{limit}x")),
            limit.time.map(milliseconds),
        ];
        let texts: Vec<String> = texts.into_iter().flatten().collect();
        Self {
            what,
            measured: milliseconds(measured.time),
            against: milliseconds(against.time),
            instructions: instructions.unwrap_or_default(),
            ratio: format!("{ratio:.2}x"),
            limit: texts.join(", "),
            within: within.into_iter().flatten().reduce(|a, b| a && b),
        }
    }
}

fn milliseconds(time: Duration) -> String {
    let value = time.as_secs_f64() * 1000.0;
    let digits = usize::from(value.fract() != 0.0) * 2;
    format!("{value:.digits$} ms")
}

fn millions(instructions: u64) -> String {
    format!(
        "{}.{:02} M",
        instructions / 1_000_000,
        instructions / 10_000 % 100
    )
}

/// All rows below a heading, as wide as they need.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let heading = [
        "MEASURED",
        "TIME/SIZE",
        "AGAINST",
        "RATIO",
        "INSTRUCTIONS",
        "LIMIT",
        "",
    ];
    let mut lines = vec![heading.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let verdict = match row.within {
            Some(true) => "ok",
            Some(false) => "OVER",
            None => "",
        };
        [
            row.what.clone(),
            row.measured.clone(),
            row.against.clone(),
            row.ratio.clone(),
            row.instructions.clone(),
            row.limit.clone(),
            verdict.to_owned(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..heading.len()).filter_map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut cells = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column == 0 {
                write!(cells, "{cell:<width$}")
            } else {
                write!(cells, "  {cell:>width$}")
            };
        }
        let _ = writeln!(text, "{}", cells.trim_end());
    }
    text
}
