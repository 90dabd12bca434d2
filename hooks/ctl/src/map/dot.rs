//! The map as a graph in the language of graphviz (<https://graphviz.org/doc/info/lang.html>).

use super::reachability::{ConnectionEnd, Passes};
use super::sources::SegmentKind;
use super::value::{Map, Segment};
use crate::status::{ForwardState, Row};
use crate::text::shown;
use std::fmt::Write as _;

/// Draws the map.
pub(super) fn draw(map: &Map) -> String {
    let mut graph = Graph::default();
    graph.line("digraph portero {");
    graph.line("graph [rankdir=LR, fontname=\"sans-serif\", ranksep=1];");
    graph.line("node [shape=box, fontname=\"monospace\", fontsize=11];");
    graph.line("edge [fontname=\"sans-serif\", fontsize=10];");
    graph.node("host", &map.host, "shape=house, style=bold");
    for (index, nic) in map.nics.iter().enumerate() {
        let state = if nic.is_up { "up" } else { "down" };
        let kind = format!("{}, {state}", nic.kind);
        let label = [&[nic.name.clone(), kind], nic.addresses.as_slice()].concat();
        graph.node(&format!("nic{index}"), &label.join("\n"), "shape=component");
        if map.segments.iter().all(|one| !one.nics.contains(&nic.name)) {
            graph.edge(&format!("nic{index}"), "host", "", "dir=none");
        }
    }
    for (index, segment) in map.segments.iter().enumerate() {
        graph.segment(index, segment);
        graph.joints(index, segment, map);
    }
    graph.connections(map);
    graph.line("}");
    graph.text
}

#[derive(Default)]
struct Graph {
    text: String,
    forwards: usize,
}

impl Graph {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    /// `id` is one of ours, `label` can be anything.
    fn node(&mut self, id: &str, label: &str, attributes: &str) {
        let label = quoted(label);
        self.line(&format!("{id} [label={label}, {attributes}];"));
    }

    fn edge(&mut self, from: &str, to: &str, label: &str, attributes: &str) {
        let label = quoted(label);
        self.line(&format!("{from} -> {to} [label={label}, {attributes}];"));
    }

    fn segment(&mut self, index: usize, segment: &Segment) {
        self.line(&format!("subgraph cluster{index} {{"));
        let is_segment = segment.kind != SegmentKind::Elsewhere;
        let label = match segment.kind {
            SegmentKind::Elsewhere => quoted(&segment.name),
            kind => quoted(&format!("{} ({})", segment.name, kind.name())),
        };
        self.line(&format!("label={label}; style=rounded;"));
        let networks = segment.networks.iter();
        let networks = networks.filter(|name| **name != segment.name);
        let bridge = segment.bridge.iter().filter(|name| **name != segment.name);
        let mut words: Vec<String> = bridge.cloned().collect();
        words.extend(networks.map(|name| format!("network {name}")));
        words.extend(segment.addresses.iter().cloned());
        words.extend(segment.problems.iter().cloned());
        let style = match segment.problems.as_slice() {
            [] => "shape=ellipse",
            _ => "shape=ellipse, color=red",
        };
        if words.is_empty() {
            words.push(segment.name.clone());
        }
        if is_segment || !segment.forwards.is_empty() {
            self.node(&format!("segment{index}"), &words.join("\n"), style);
        }
        for (number, guest) in segment.guests.iter().enumerate() {
            let label = [std::slice::from_ref(&guest.name), &guest.addresses].concat();
            self.node(&guest_id(index, number), &label.join("\n"), "style=rounded");
        }
        self.line("}");
        for (number, guest) in segment.guests.iter().enumerate() {
            let guest_id = guest_id(index, number);
            if is_segment {
                self.edge(&format!("segment{index}"), &guest_id, "", "dir=none");
            }
            for row in &guest.forwards {
                self.forward(&guest_id, row);
            }
        }
        for row in &segment.forwards {
            self.forward(&format!("segment{index}"), row);
        }
    }

    fn forward(&mut self, to: &str, row: &Row) {
        let id = format!("forward{}", self.forwards);
        self.forwards += 1;
        let source = row.claim.source.map(|source| format!("from {source}"));
        let label: Vec<String> = [row.host()].into_iter().chain(source).collect();
        self.node(&id, &label.join("\n"), "shape=cds, margin=\"0.25,0.1\"");
        let style = match row.state {
            ForwardState::Active => "color=darkgreen",
            _ => "color=red, style=dashed",
        };
        let reason = row.state.reason().map(str::to_owned);
        let words = [row.guest(), row.options(), reason];
        let words: Vec<String> = words.into_iter().flatten().collect();
        self.edge(&id, to, &words.join("\n"), style);
    }

    /// What a segment hangs on: its own NICs, or the host.
    fn joints(&mut self, index: usize, segment: &Segment, map: &Map) {
        let id = format!("segment{index}");
        for (number, nic) in map.nics.iter().enumerate() {
            if segment.nics.contains(&nic.name) {
                self.edge(&format!("nic{number}"), &id, "", "dir=none");
            }
        }
        if segment.kind.is_behind_host() || !segment.addresses.is_empty() {
            self.edge("host", &id, "", "dir=none");
        }
    }

    /// Connections between networks that a policy lets pass; all that can be opened without would be
    /// too many to see anything.
    fn connections(&mut self, map: &Map) {
        let find = |end: &ConnectionEnd| {
            let ConnectionEnd::Network(name) = end else {
                return None;
            };
            let mut segments = map.segments.iter().enumerate();
            segments.find(|(_, one)| one.kind.is_behind_host() && one.name == *name)
        };
        for connection in &map.connections {
            let style = match connection.passes {
                Passes::None => continue,
                Passes::Some => "style=dashed, color=orange, constraint=false",
                Passes::All => "style=dashed, color=blue, constraint=false",
            };
            let (Some(from), Some(to)) = (find(&connection.from), find(&connection.to)) else {
                continue;
            };
            if from.1.has_policy || to.1.has_policy {
                let (from, to) = (format!("segment{}", from.0), format!("segment{}", to.0));
                self.edge(&from, &to, &connection.words(), style);
            }
        }
    }
}

fn guest_id(segment: usize, number: usize) -> String {
    format!("guest{segment}_{number}")
}

/// A string of graphviz's, in which a backslash and an ampersand have a meaning of their own.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            quoted += "\\n";
        }
        for character in shown(line).chars() {
            // Writing to a String cannot fail.
            let _ = match character {
                '"' | '\\' => write!(quoted, "\\{character}"),
                '&' => write!(quoted, "&amp;"),
                other => write!(quoted, "{other}"),
            };
        }
    }
    quoted + "\""
}
