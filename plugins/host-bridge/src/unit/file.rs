//! Divides files of sections into those, and keeps every line as it was written: units,
//! systemd.syntax(7), and keyfiles.

use crate::setting::{Line, Setting};
use crate::{BridgeError, Result, SyntaxError};
use std::fmt;

/// A unit file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Comments and empty lines before the first section.
    pub(crate) head: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// A section; one name may be that of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) lines: Vec<Line>,
}

impl Section {
    /// A section of our own.
    pub(crate) fn new(name: &str, settings: &[(&str, &str)]) -> Self {
        let lines = settings.iter().map(|(key, value)| Line::own(key, value));
        Self {
            name: name.to_owned(),
            lines: lines.collect(),
        }
    }

    /// The settings in it.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.lines.iter().filter_map(Line::setting)
    }

    /// Adds settings before the empty lines that end the section.
    pub(crate) fn add(&mut self, settings: &[(&str, &str)]) {
        let mut lines = self.lines.iter();
        let last = lines.rposition(|line| line.setting().is_some());
        let end = last.map_or(0, |at| at + 1);
        self.lines.splice(end..end, Self::new("", settings).lines);
    }

    /// Gives every setting's value another.
    pub(crate) fn rename(&mut self, rename: impl Fn(&str, &str) -> String) {
        for line in &mut self.lines {
            if let Line::Setting(Setting { key, value, .. }) = line {
                *value = rename(key, value);
            }
        }
    }

    /// Whether anything is set in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings().next().is_none()
    }
}

impl Unit {
    /// A unit of our own.
    pub(crate) fn new(sections: Vec<Section>) -> Self {
        Self {
            head: Vec::new(),
            sections,
        }
    }

    /// Reads the unit file of a path.
    ///
    /// # Errors
    /// [`BridgeError::Syntax`].
    pub(crate) fn read(file: String, text: &str) -> Result<Self> {
        Self::parse(text).map_err(|source| BridgeError::Syntax { file, source })
    }

    /// Reads a unit file.
    ///
    /// # Errors
    /// [`SyntaxError`] at the first line that is no section, setting or comment, or that goes on in
    /// the next.
    pub(crate) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut unit = Self::default();
        for (index, raw) in text.lines().enumerate() {
            let error = |reason: &str| SyntaxError {
                line: index + 1,
                reason: reason.to_owned(),
            };
            let trimmed = raw.trim();
            let line = if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                Line::Other(raw.to_owned())
            } else if trimmed.ends_with('\\') {
                return Err(error("goes on in the next line, expected it in one"));
            } else if let Some(name) = trimmed.strip_prefix('[') {
                let name = name
                    .strip_suffix(']')
                    .ok_or_else(|| error("is no section, expected [Name]"))?;
                unit.sections.push(Section::new(name, &[]));
                continue;
            } else {
                let (key, value) = trimmed
                    .split_once('=')
                    .ok_or_else(|| error("is no setting, expected Key=value"))?;
                Line::Setting(Setting {
                    key: key.trim().to_owned(),
                    value: value.trim().to_owned(),
                    line: index + 1,
                })
            };
            match (unit.sections.last_mut(), line) {
                (Some(section), line) => section.lines.push(line),
                (None, Line::Other(text)) => unit.head.push(text),
                (None, Line::Setting(_)) => {
                    return Err(error("stands before the first section, expected [Name]"));
                }
            }
        }
        Ok(unit)
    }

    /// All values of a key in all sections of a name, in order; an empty one rolls back those
    /// before it.
    pub(crate) fn values(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        let sections = self.sections.iter().filter(|known| known.name == section);
        let settings = sections.flat_map(Section::settings);
        for setting in settings.filter(|setting| setting.key == key) {
            match setting.value.as_str() {
                "" => values.clear(),
                value => values.push(value),
            }
        }
        values
    }

    /// The last value of a key.
    pub(crate) fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.values(section, key).last().copied()
    }

    /// Gives a key one value, in the first section of the name, which is added where there is none.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: &str) {
        let position = self.sections.iter().position(|known| known.name == section);
        let position = position.unwrap_or_else(|| {
            self.sections.push(Section::new(section, &[]));
            self.sections.len() - 1
        });
        let section = &mut self.sections[position];
        let is_other = |line: &Line| line.setting().is_none_or(|known| known.key != key);
        section.lines.retain(is_other);
        section.add(&[(key, value)]);
    }

    /// The first section of a name.
    pub(crate) fn section_mut(&mut self, name: &str) -> Option<&mut Section> {
        self.sections.iter_mut().find(|known| known.name == name)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self.head.clone();
        for (index, section) in self.sections.iter().enumerate() {
            if index > 0 && lines.last().is_some_and(|line| !line.trim().is_empty()) {
                lines.push(String::new());
            }
            lines.push(format!("[{}]", section.name));
            lines.extend(section.lines.iter().map(|line| match line {
                Line::Setting(Setting { key, value, .. }) => format!("{key}={value}"),
                Line::Other(text) => text.clone(),
            }));
        }
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines
            .iter()
            .try_for_each(|line| writeln!(formatter, "{line}"))
    }
}
