//! Reads and writes ifcfg files: the part of the shell's language that initscripts' `source` and
//! NetworkManager's own reader understand alike.

use super::value::{quoted, read_value, Value, Verbatim};
use crate::setting::{Line, Setting};
use std::collections::BTreeMap;
use std::fmt;

/// A file of assignments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ifcfg {
    lines: Vec<Line>,
    /// Keys whose value is kept as it is written, since it is not understood.
    verbatim: BTreeMap<String, Verbatim>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl Ifcfg {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SyntaxError`] at the first line that is no assignment of one word of the shell's, and at the
    /// second of two assignments of one key: the two readers could understand those differently.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (file, error) = Self::read(text);
        error.map_or(Ok(file), Err)
    }

    /// What of a file can be read, and the first error in it.
    pub(crate) fn read(text: &str) -> (Self, Option<SyntaxError>) {
        let mut file = Self::default();
        let mut first = None;
        for (index, raw) in text.lines().enumerate() {
            if let Err(reason) = file.read_line(raw, index + 1) {
                let line = index + 1;
                first.get_or_insert(SyntaxError { line, reason });
            }
        }
        (file, first)
    }

    fn read_line(&mut self, raw: &str, line: usize) -> Result<(), String> {
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.lines.push(Line::Other(raw.trim_end().to_owned()));
            return Ok(());
        }
        let (key, rest) = trimmed
            .split_once('=')
            .ok_or("is no assignment, expected KEY=value")?;
        if !is_key(key) {
            return Err(format!(
                "'{}' is no key, expected letters, digits and '_' before the '='",
                key.escape_debug()
            ));
        }
        let value = match read_value(rest)? {
            Value::Plain(value) => value,
            Value::Verbatim(verbatim) => {
                self.verbatim.insert(key.to_owned(), verbatim);
                rest.to_owned()
            }
        };
        if let Some(first) = self.find(key) {
            return Err(format!(
                "{key} is given a second time (first in line {}), expected it once",
                first.line
            ));
        }
        self.lines.push(Line::Setting(Setting {
            key: key.to_owned(),
            value,
            line,
        }));
        Ok(())
    }

    /// Why a key's value is kept as it is written, if it is.
    pub(crate) fn verbatim(&self, key: &str) -> Option<&Verbatim> {
        self.verbatim.get(key)
    }

    pub(crate) fn assignments(&self) -> impl Iterator<Item = &Setting> {
        self.lines.iter().filter_map(Line::setting)
    }

    pub(crate) fn find(&self, key: &str) -> Option<&Setting> {
        self.assignments().find(|known| known.key == key)
    }

    /// A key's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|found| found.value.as_str())
    }

    /// Whether a key says yes, as initscripts' `is_true` has it; absent is no.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        let value = self.get(key).unwrap_or_default().to_ascii_lowercase();
        ["yes", "y", "true", "t", "on", "1"].contains(&value.as_str())
    }

    /// Whether a key says no; absent is not.
    pub(crate) fn is_false(&self, key: &str) -> bool {
        let value = self.get(key).unwrap_or_default().to_ascii_lowercase();
        ["no", "n", "false", "f", "off", "0"].contains(&value.as_str())
    }

    /// Adds an assignment at the end, or gives the key another value where it stands.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.verbatim.remove(key);
        for line in &mut self.lines {
            if let Line::Setting(known) = line {
                if known.key == key {
                    value.clone_into(&mut known.value);
                    return;
                }
            }
        }
        self.lines.push(Line::own(key, value));
    }

    /// Keeps the assignments that `keep` says, and all comments.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Setting) -> bool) {
        self.lines.retain(|line| line.setting().is_none_or(&keep));
    }

    /// Takes comments away that initscripts' own search with `grep` would take for settings; gives
    /// their number.
    pub(crate) fn remove_misleading_comments(&mut self) -> usize {
        const SEARCHED: [&str; 4] = ["TYPE=", "DEVICE=", "SLAVE=", "NM_CONTROLLED="];
        let before = self.lines.len();
        self.lines.retain(|line| match line {
            Line::Other(text) => !SEARCHED.iter().any(|key| text.contains(key)),
            Line::Setting(_) => true,
        });
        before - self.lines.len()
    }
}

impl fmt::Display for Ifcfg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Other(text) => writeln!(formatter, "{text}")?,
                Line::Setting(Setting { key, value, .. }) => {
                    let is_verbatim = self.verbatim.contains_key(key);
                    let value = match is_verbatim {
                        true => value.clone(),
                        false => quoted(value),
                    };
                    writeln!(formatter, "{key}={value}")?;
                }
            }
        }
        Ok(())
    }
}

fn is_key(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_letter)
        && text
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}
