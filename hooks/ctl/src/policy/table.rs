//! What comes of a policy: its compiled rules in order of judgement, and what happens beside them.

use super::words;
use crate::table::{draw, Cell};
use crate::terminal::Colors;
use portero_libvirt::Network;
use portero_model::{Counters, Policy, Verdict};
use portero_routed_policy::WrittenPolicy;
use serde::Serialize;

/// What comes of a policy.
#[derive(Debug, Default, Serialize)]
pub(super) struct PolicyListing {
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

impl PolicyListing {
    /// What comes of a policy among these networks.
    pub(super) fn new(
        policy: &Policy,
        written: Option<&WrittenPolicy>,
        counters: Option<&Counters>,
        networks: &[Network],
    ) -> Self {
        let directions = policy.rules.keys();
        let rules = directions.flat_map(|direction| policy.in_order(*direction));
        let rows = rules.map(|rule| {
            let written = written.and_then(|policy| policy.rule(rule.name));
            let counter = counters.and_then(|all| all.get(&rule.name));
            Row {
                direction: rule.name.direction.name(),
                clause: rule.name.to_string(),
                rule: rule.name.number(),
                line: written.map(|written| written.line),
                verdict: rule.verdict,
                matches: words::describe_rule(rule, networks),
                comment: written.and_then(|written| written.comment.clone()),
                packets: counter.map(|counter| counter.packets),
                bytes: counter.map(|counter| counter.bytes),
            }
        });
        let (nat, neighbors) = (policy.nat.iter(), policy.neighbors.iter());
        Self {
            clauses: rows.collect(),
            nat: nat.map(|nat| words::describe_nat(nat, networks)).collect(),
            neighbors: neighbors.map(words::describe_neighbor).collect(),
            warnings: Vec::new(),
        }
    }

    /// For people, without warnings; `nothing` where there are no rules.
    pub(super) fn text(&self, columns: Columns, nothing: &str) -> String {
        let mut text = match self.clauses.as_slice() {
            [] => nothing.to_owned(),
            rows => table(rows, columns),
        };
        for line in self.nat.iter().chain(&self.neighbors) {
            text += &format!("  {line}\n");
        }
        text
    }

    /// Its warnings for people.
    pub(super) fn warnings(&self) -> String {
        let warnings = self.warnings.iter();
        let lines = warnings.map(|warning| format!("  warning: {warning}\n"));
        lines.collect()
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
    let line = |row: &Row| Cell::optional(row.line).right();
    let matches = |row: &Row| {
        let comment = row.comment.as_ref();
        let comment = comment.map(|comment| format!(" # {}", comment.escape_debug()));
        Cell::plain(row.matches.clone() + &comment.unwrap_or_default())
    };
    let rows = rows.iter();
    let text = match columns {
        Columns::Counted => {
            let titles = ["CLAUSE", "LINE", "VERDICT", "PACKETS", "BYTES", "MATCH"];
            let rows = rows.map(|row| {
                [
                    Cell::plain(&row.clause),
                    line(row),
                    Cell::plain(row.verdict.to_string()),
                    Cell::optional(row.packets).right(),
                    Cell::optional(row.bytes).right(),
                    matches(row),
                ]
            });
            draw(titles, rows.collect(), Colors::None)
        }
        Columns::Plain => {
            let titles = ["CLAUSE", "LINE", "VERDICT", "MATCH"];
            let rows = rows.map(|row| {
                let verdict = Cell::plain(row.verdict.to_string());
                [Cell::plain(&row.clause), line(row), verdict, matches(row)]
            });
            draw(titles, rows.collect(), Colors::None)
        }
    };
    let lines = text.lines().map(|line| format!(" {}\n", line.trim_end()));
    lines.collect()
}
