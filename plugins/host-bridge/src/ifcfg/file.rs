//! Reads and writes ifcfg files: the part of the shell's language that initscripts' `source` and
//! NetworkManager's own reader understand alike.

use crate::setting::{Line, Setting};
use std::fmt;

/// A file of assignments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ifcfg {
    lines: Vec<Line>,
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
    /// [`SyntaxError`] at the first line that is more than a plain assignment, and at the second of
    /// two assignments of one key: the two readers could understand those differently.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut file = Self::default();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let error = |reason: &str| SyntaxError {
                line,
                reason: reason.to_owned(),
            };
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                file.lines.push(Line::Other(raw.trim_end().to_owned()));
                continue;
            }
            let (key, rest) = trimmed
                .split_once('=')
                .ok_or_else(|| error("is no assignment, expected KEY=value"))?;
            if !is_key(key) {
                return Err(error(&format!(
                    "'{}' is no key, expected letters, digits and '_' before the '='",
                    key.escape_debug()
                )));
            }
            let value = value(rest).map_err(error)?;
            if let Some(first) = file.find(key) {
                return Err(error(&format!(
                    "{key} is given a second time (first in line {}), expected it once",
                    first.line
                )));
            }
            file.lines.push(Line::Setting(Setting {
                key: key.to_owned(),
                value,
                line,
            }));
        }
        Ok(file)
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
                    writeln!(formatter, "{key}={}", quoted(value))?;
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

/// Single quotes around anything that a shell could make something else of.
fn quoted(value: &str) -> String {
    let is_plain = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._:/%+-@,=".contains(&byte));
    if is_plain {
        value.to_owned()
    } else {
        format!("'{value}'")
    }
}

/// The value after the `=`: plain, quoted, or pieces of both, with a comment behind it or none.
fn value(text: &str) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut quote: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (_, '\\') => {
                return Err(
                    "has a '\\', expected a value without escapes and without a line that goes on",
                );
            }
            (_, character)
                if !character.is_ascii() || character.is_ascii_control() && character != '\t' =>
            {
                return Err("has a character beyond ASCII, expected a plain value");
            }
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (Some('"') | None, '$' | '`') => {
                return Err("is computed by a shell ('$' or '`'), expected a plain value");
            }
            (None, ' ' | '\t') => {
                return rest_is_comment(characters).map(|()| value);
            }
            (
                None,
                ';' | '&' | '|' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | ']' | '~'
                | '!',
            ) => {
                return Err(
                    "has a character that a shell acts on, expected quotes around the value",
                );
            }
            (_, character) => value.push(character),
        }
    }
    if quote.is_some() {
        return Err("has a quote that does not end on the line, expected both quotes");
    }
    if value.contains('\'') {
        return Err("has a single quote in its value, expected none");
    }
    Ok(value)
}

fn rest_is_comment(rest: impl Iterator<Item = char>) -> Result<(), &'static str> {
    let rest: String = rest.collect();
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("goes on after its value, expected one value, quoted if it has a space")
    }
}
