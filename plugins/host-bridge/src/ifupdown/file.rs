//! Divides a file of interfaces(5) into its stanzas, and keeps every line as it was written.

/// Words that begin a stanza, besides `allow-CLASS`.
const WORDS: &str = "auto iface mapping no-auto-down no-scripts rename source source-directory \
                     source-dir template";

/// A stanza: its first line, and all lines up to the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stanza {
    /// The words of the first line; none for what stands before the first stanza.
    pub(crate) words: Vec<String>,
    /// Where the first line is, from 1.
    pub(crate) line: usize,
    /// The lines, the first one among them.
    pub(crate) lines: Vec<String>,
}

impl Stanza {
    /// A stanza of our own, that is told to be in a line.
    pub(crate) fn new(header: String, line: usize, options: Vec<String>) -> Self {
        Self {
            words: header.split_whitespace().map(str::to_owned).collect(),
            line,
            lines: [vec![header], options].concat(),
        }
    }

    /// The interface and the address family of an `iface` stanza.
    pub(crate) fn iface(&self) -> Option<(&str, &str)> {
        match self.words.as_slice() {
            [word, name, family, ..] if word == "iface" => Some((name, family)),
            [word, name] if word == "iface" => Some((name, "inet")),
            _ => None,
        }
    }

    /// The method of an `iface` stanza.
    pub(crate) fn method(&self) -> &str {
        self.words.get(3).map_or("manual", String::as_str)
    }

    /// The interfaces that an `auto` or `allow-CLASS` line brings up.
    pub(crate) fn brings_up(&self) -> Option<&[String]> {
        let (word, names) = self.words.split_first()?;
        (word == "auto" || word.starts_with("allow-")).then_some(names)
    }
}

/// The stanzas of a file; a first one without words when something stands before them.
pub(crate) fn stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas: Vec<Stanza> = Vec::new();
    let mut is_continued = false;
    for (index, line) in text.lines().enumerate() {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let begins = words.first().is_some_and(|word| {
            WORDS.split(' ').any(|known| known == word) || word.starts_with("allow-")
        });
        if (begins && !is_continued) || stanzas.is_empty() {
            stanzas.push(Stanza {
                words: if begins { words } else { Vec::new() },
                line: index + 1,
                lines: Vec::new(),
            });
        }
        is_continued = line.ends_with('\\');
        if let Some(stanza) = stanzas.last_mut() {
            stanza.lines.push(line.to_owned());
        }
    }
    stanzas
}

/// The text of the stanzas.
pub(crate) fn text(stanzas: &[Stanza]) -> String {
    let lines = stanzas.iter().flat_map(|stanza| &stanza.lines);
    lines.map(|line| format!("{line}\n")).collect()
}
