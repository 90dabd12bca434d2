//! The map as a tree for terminals.

use super::reachability::{ConnectionEnd, Connections, Passes};
use super::sources::SegmentKind;
use super::value::{Map, MapNic, PlacedGuest, Segment};
use crate::status::Row;
use crate::text::{cut, measure, pluralize, shown, CUT};
use terminal_size::{terminal_size_of, Width};

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Its characters.
    pub(super) charset: Charset,
    /// How many of them stand in a line; any number when absent.
    pub(super) width: Option<usize>,
}

impl Terminal {
    /// The one that this program writes to, by its environment. A file is as wide as it has to be.
    pub(crate) fn detect() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
        let measured = || {
            let (Width(columns), _) = terminal_size_of(std::io::stdout())?;
            Some(usize::from(columns))
        };
        Self {
            charset: Charset::from_environment(&variable),
            width: columns.or_else(measured).filter(|columns| *columns > 0),
        }
    }
}

/// The characters of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// All of Unicode.
    Unicode,
    /// ASCII only.
    Ascii,
}

impl Charset {
    /// The charset of a locale, by the words of its environment: `LC_ALL`, `LC_CTYPE`, `LANG`, and
    /// of the terminal's name, `TERM`.
    pub(super) fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut locales = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(variable);
        let locale = locales.find(|value| !value.is_empty());
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        if is_utf8 && variable("TERM").as_deref() != Some("dumb") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }

    /// What stands before a branch, before the lines below it, and the same for the last one.
    fn branches(self) -> [[&'static str; 2]; 2] {
        match self {
            Self::Unicode => [["├─ ", "│  "], ["└─ ", "   "]],
            Self::Ascii => [["|- ", "|  "], ["`- ", "   "]],
        }
    }

    /// What stands for what is cut off.
    fn cut(self) -> char {
        match self {
            Self::Unicode => CUT,
            Self::Ascii => '~',
        }
    }

    fn arrow(self) -> &'static str {
        match self {
            Self::Unicode => "→",
            Self::Ascii => "->",
        }
    }

    /// A text in these characters.
    fn show(self, text: &str) -> String {
        match self {
            Self::Unicode => shown(text),
            Self::Ascii => {
                let escaped = |character: char| match character {
                    ' '..='~' => character.to_string(),
                    other => other.escape_unicode().to_string(),
                };
                text.chars().map(escaped).collect()
            }
        }
    }
}

/// A line with what stands below it.
struct Branch {
    text: String,
    below: Vec<Branch>,
}

impl Branch {
    fn leaf(text: String) -> Self {
        let below = Vec::new();
        Self { text, below }
    }
}

/// Draws the map.
pub(super) fn draw(map: &Map, terminal: Terminal) -> String {
    let nics = map.nics.iter().map(nic);
    let segments = map.segments.iter();
    let segments = segments.map(|one| segment(one, &map.connections, terminal.charset));
    let root = Branch {
        text: format!("{}: {}", map.host, map.routing()),
        below: nics.chain(segments).collect(),
    };
    let mut lines = Vec::new();
    write(&root, ["", ""], terminal, &mut lines);
    lines.concat()
}

fn write(branch: &Branch, before: [&str; 2], terminal: Terminal, lines: &mut Vec<String>) {
    let text = terminal.charset.show(&branch.text);
    let [first, later] = before;
    // What belongs to a line but not into it stands further right than what is below it.
    let rest = if branch.below.is_empty() {
        format!("{later}  ")
    } else {
        format!("{later}{}  ", terminal.charset.branches()[0][1])
    };
    let wrapped = wrapped(&text, measure(first), measure(&rest), terminal);
    for (index, line) in wrapped.iter().enumerate() {
        let before = if index == 0 { first } else { &rest };
        lines.push(format!("{before}{line}").trim_end().to_owned() + "\n");
    }
    let [middle, last] = terminal.charset.branches();
    let count = branch.below.len();
    for (index, below) in branch.below.iter().enumerate() {
        let [first, rest] = if index + 1 == count { last } else { middle };
        let first = format!("{later}{first}");
        let rest = format!("{later}{rest}");
        write(below, [&first, &rest], terminal, lines);
    }
}

/// Breaks a text between words into lines that fit; a word that is too long for a line is cut.
fn wrapped(text: &str, first: usize, later: usize, terminal: Terminal) -> Vec<String> {
    let Some(width) = terminal.width else {
        return vec![text.to_owned()];
    };
    let mut lines = vec![String::new()];
    let mut room = width.saturating_sub(first).max(1);
    for word in text.split(' ') {
        let line = lines.last_mut();
        let used = line.as_ref().map_or(0, |line| measure(line));
        let is_new = used == 0;
        match line {
            Some(line) if !is_new && used + 1 + measure(word) <= room => {
                *line += &format!(" {word}");
            }
            Some(line) if is_new => *line = cut(word, room, terminal.charset.cut()),
            _ => {
                room = width.saturating_sub(later).max(1);
                lines.push(cut(word, room, terminal.charset.cut()));
            }
        }
    }
    lines
}

fn nic(nic: &MapNic) -> Branch {
    let mut words = vec![nic.kind.to_owned()];
    if !nic.lower.is_empty() {
        words[0] += &format!(" of {}", nic.lower.join(" and "));
    }
    words.push(if nic.is_up { "up" } else { "down" }.to_owned());
    words.extend(nic.addresses.iter().cloned());
    Branch::leaf(format!("{}: {}", nic.name, words.join(", ")))
}

fn segment(segment: &Segment, connections: &[Connections], charset: Charset) -> Branch {
    let mut words = Vec::new();
    let nics = segment.nics.join(" and ");
    match segment.kind {
        SegmentKind::Elsewhere => {}
        kind if nics.is_empty() => words.push(kind.name().to_owned()),
        kind => words.push(format!("{} of {nics}", kind.name())),
    }
    if segment.kind.is_behind_host() {
        words.extend(segment.bridge.clone());
    } else if segment.networks.iter().any(|name| *name != segment.name) {
        words.push(format!("network {}", segment.networks.join(" and ")));
    }
    words.extend(segment.addresses.iter().cloned());
    for (count, what) in [
        (segment.guests.len(), "guest"),
        (segment.other_ports, "other port"),
    ] {
        words.extend((count > 0).then(|| pluralize(count, what)));
    }
    let problems = segment.problems.iter();
    let problems = problems.map(|problem| Branch::leaf(format!("problem: {problem}")));
    let mut below: Vec<Branch> = problems.collect();
    if segment.kind.is_behind_host() {
        below.extend(policy(segment, connections));
    }
    let unknown = segment.forwards.iter();
    below.extend(unknown.map(|row| forward(row, charset)));
    let width = segment.guests.iter().map(|guest| measure(&guest.name));
    let width = width.max().unwrap_or(0).min(NAME_COLUMNS);
    below.extend(segment.guests.iter().map(|one| guest(one, width, charset)));
    Branch {
        text: format!("{}: {}", segment.name, words.join(", ")),
        below,
    }
}

/// Up to which length names are aligned with each other.
const NAME_COLUMNS: usize = 24;

/// Whom a segment's guests reach, and who reaches them.
fn policy(segment: &Segment, connections: &[Connections]) -> Vec<Branch> {
    let own = ConnectionEnd::Network(segment.name.clone());
    let list = |ends: fn(&Connections) -> (&ConnectionEnd, &ConnectionEnd)| {
        let mine = connections.iter().filter_map(|connection| {
            let (end, other) = ends(connection);
            let name = other.name();
            match connection.passes {
                _ if *end != own => None,
                Passes::None => None,
                Passes::Some => Some(format!("{name} ({})", connection.words())),
                Passes::All => Some(name.to_owned()),
            }
        });
        let mine: Vec<String> = mine.collect();
        match mine.as_slice() {
            [] => "nobody".to_owned(),
            ends => ends.join(", "),
        }
    };
    let to = list(|connection| (&connection.from, &connection.to));
    let from = list(|connection| (&connection.to, &connection.from));
    let by = if segment.has_policy { " (policy)" } else { "" };
    vec![
        Branch::leaf(format!("reaches{by}: {to}")),
        Branch::leaf(format!("reached by{by}: {from}")),
    ]
}

fn guest(guest: &PlacedGuest, width: usize, charset: Charset) -> Branch {
    let padding = " ".repeat(width.saturating_sub(measure(&guest.name)));
    let place = match guest.addresses.as_slice() {
        [] => guest.macs.join(", "),
        addresses => addresses.join(", "),
    };
    let mut text = format!("{}{padding}  {place}", guest.name);
    if !guest.also_in.is_empty() {
        text += &format!(" (also in {})", guest.also_in.join(", "));
    }
    let forwards = guest.forwards.iter();
    Branch {
        text,
        below: forwards.map(|row| forward(row, charset)).collect(),
    }
}

fn forward(row: &Row, charset: Charset) -> Branch {
    let mut text = row.host();
    if let Some(source) = &row.claim.source {
        text += &format!(" from {source}");
    }
    if let Some(guest) = row.guest() {
        text += &format!(" {} {guest}", charset.arrow());
    }
    if let Some(options) = row.options() {
        text += &format!(" ({options})");
    }
    if let Some(reason) = row.state.reason() {
        text += &format!(" ({}: {reason})", row.state.name());
    }
    Branch::leaf(text)
}
