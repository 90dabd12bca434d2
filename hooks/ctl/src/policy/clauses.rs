//! The clauses of a policy in order of judgement, as rows of a table.

use super::words;
use comfy_table::{presets, CellAlignment, Table};
use portero_libvirt::Network;
use portero_model::{Clause, Counters, Judged, Policy, Verdict};
use portero_routed_policy::{rule_of_clause, WrittenPolicy};
use serde::Serialize;

/// A clause.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// `out`, `in`, `host` or `fromhost`, seen from the network's guests.
    way: &'static str,
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

/// The clauses of a policy, each way by itself.
pub(super) fn rows(
    policy: &Policy,
    written: Option<&WrittenPolicy>,
    counters: Option<&Counters>,
    networks: &[Network],
) -> Vec<Row> {
    let ways = policy.ways.iter();
    ways.flat_map(|(way, clauses)| in_order(clauses).map(move |clause| (*way, clause)))
        .map(|(way, clause)| {
            let number = rule_of_clause(&clause.name);
            let rule = written.and_then(|policy| {
                let mut rules = policy.rules.iter();
                rules.find(|rule| Some(rule.number) == number)
            });
            let counter = counters.and_then(|all| all.get(&(way, clause.name.clone())));
            Row {
                way: way.name(),
                clause: clause.name.clone(),
                rule: number,
                line: rule.map(|rule| rule.line),
                verdict: clause.verdict,
                matches: words::of_clause(clause, way, networks),
                comment: rule.and_then(|rule| rule.comment.clone()),
                packets: counter.map(|counter| counter.packets),
                bytes: counter.map(|counter| counter.bytes),
            }
        })
        .collect()
}

/// What looks at each packet comes first.
fn in_order(clauses: &[Clause]) -> impl Iterator<Item = &Clause> {
    let judged = |judged| clauses.iter().filter(move |clause| clause.judged == judged);
    judged(Judged::EveryPacket).chain(judged(Judged::Opener))
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
pub(super) fn table(rows: &[Row], columns: Columns) -> String {
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
