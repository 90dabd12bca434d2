//! What comes of a policy: its compiled rules in order of judgement, and what happens beside them.

use super::words;
use comfy_table::{presets, CellAlignment, Table};
use portero_libvirt::Network;
use portero_model::{Counters, Policy, Verdict};
use portero_routed_policy::WrittenPolicy;
use serde::Serialize;

/// What comes of a policy.
#[derive(Debug, Default, Serialize)]
pub(super) struct Listing {
    /// In order of judgement.
    clauses: Vec<Row>,
    /// What happens to addresses.
    nat: Vec<String>,
    /// Whom the host answers for.
    neighbors: Vec<String>,
    /// What is not as it may be meant.
    pub(super) warnings: Vec<String>,
}

/// A compiled rule.
#[derive(Debug, Serialize)]
struct Row {
    /// `out`, `in`, `host` or `fromhost`, seen from the network's guests.
    #[serde(rename = "way")]
    direction: &'static str,
    /// `in 3`, `in default`.
    clause: String,
    /// Which rule of the policy it is, counted from 1.
    rule: Option<usize>,
    /// The rule's line, where that is known.
    line: Option<usize>,
    /// What is done with what fits.
    verdict: Verdict,
    /// What fits.
    #[serde(rename = "match")]
    matches: String,
    /// What people say of the rule.
    comment: Option<String>,
    /// How many packets have fitted; unknown where it is not in the firewall.
    packets: Option<u64>,
    /// How long they were.
    bytes: Option<u64>,
}

impl Listing {
    /// What comes of a policy among these networks.
    pub(super) fn new(
        policy: &Policy,
        written: Option<&WrittenPolicy>,
        counters: Option<&Counters>,
        networks: &[Network],
    ) -> Self {
        let rules = policy
            .rules
            .keys()
            .flat_map(|direction| policy.in_order(*direction));
        let rows = rules.map(|rule| {
            let written = written.and_then(|policy| policy.rule(rule.name));
            let counter = counters.and_then(|all| all.get(&rule.name));
            Row {
                direction: rule.name.direction.name(),
                clause: rule.name.to_string(),
                rule: rule.name.number(),
                line: written.map(|written| written.line),
                verdict: rule.verdict,
                matches: words::of_rule(rule, networks),
                comment: written.and_then(|written| written.comment.clone()),
                packets: counter.map(|counter| counter.packets),
                bytes: counter.map(|counter| counter.bytes),
            }
        });
        let nat = policy.nat.iter();
        Self {
            clauses: rows.collect(),
            nat: nat.map(|nat| words::of_nat(nat, networks)).collect(),
            neighbors: policy.neighbors.iter().map(words::of_neighbor).collect(),
            warnings: Vec::new(),
        }
    }

    /// For people, without warnings; `nothing` where there are no rules.
    pub(super) fn text(&self, columns: Columns, nothing: &str) -> String {
        let mut text = if self.clauses.is_empty() {
            nothing.to_owned()
        } else {
            table(&self.clauses, columns)
        };
        for line in self.nat.iter().chain(&self.neighbors) {
            text += &format!("  {line}\n");
        }
        text
    }

    /// Its warnings for people.
    pub(super) fn warnings(&self) -> String {
        let warnings = self.warnings.iter();
        warnings
            .map(|warning| format!("  warning: {warning}\n"))
            .collect()
    }
}

/// Whether a table has what was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// It has.
    Counted,
    /// Nothing was.
    Plain,
}

/// Rows as a table for people.
fn table(rows: &[Row], columns: Columns) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut header = vec!["CLAUSE", "LINE", "VERDICT"];
    if columns == Columns::Counted {
        header.extend(["PACKETS", "BYTES"]);
    }
    header.push("MATCH");
    table.set_header(header);
    for row in rows {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |some| some.to_string());
        let line = row.line.and_then(|line| u64::try_from(line).ok());
        let mut cells = vec![row.clause.clone(), number(line), row.verdict.to_string()];
        if columns == Columns::Counted {
            cells.extend([number(row.packets), number(row.bytes)]);
        }
        let comment = row.comment.as_ref();
        let comment = comment.map(|comment| format!(" # {}", comment.escape_debug()));
        cells.push(format!("{}{}", row.matches, comment.unwrap_or_default()));
        table.add_row(cells);
    }
    let numbers: &[usize] = match columns {
        Columns::Counted => &[1, 3, 4],
        Columns::Plain => &[1],
    };
    for index in numbers {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.to_string();
    let lines = lines.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}
