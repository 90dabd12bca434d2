//! The value of an assignment as initscripts' shell and NetworkManager both read it.

use std::iter::Peekable;
use std::str::Chars;

/// A value that a shell and NetworkManager may still understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verbatim {
    /// Why it is not understood.
    pub(crate) reason: &'static str,
    /// The keys of the file that it names.
    pub(crate) names: Vec<String>,
}

/// A value.
pub(crate) enum Value {
    /// What both readers take it for.
    Plain(String),
    /// It is one word on one line, and no more is known of it.
    Verbatim(Verbatim),
}

/// Single quotes around anything that a shell could make something else of.
pub(crate) fn quoted(value: &str) -> String {
    let is_plain = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._:/%+-@,=".contains(&byte));
    if is_plain {
        value.to_owned()
    } else {
        format!("'{value}'")
    }
}

/// The kinds of quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    Single,
    Double,
    /// `$'...'`, with escapes as in C.
    Escapes,
}

const ESCAPE: &str = "has a '\\', expected a value without escapes";
const BEYOND: &str = "has a character beyond ASCII, expected a plain value";
const COMPUTED: &str = "is computed by a shell ('$' or '`'), expected a plain value";

/// Reads what follows the `=`: plain, quoted, or pieces of both, with a comment behind it or none.
///
/// # Errors
/// Why it may not be one word on one line.
pub(crate) fn read_value(text: &str) -> Result<Value, &'static str> {
    let mut value = String::new();
    let mut names = Vec::new();
    let mut reason = None;
    let mut quote: Option<Quote> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_control() && character != '\t' {
            return Err(BEYOND);
        }
        if !character.is_ascii() {
            reason = reason.or(Some(BEYOND));
        }
        match (quote, character) {
            (Some(Quote::Single), '\'')
            | (Some(Quote::Double), '"')
            | (Some(Quote::Escapes), '\'') => {
                quote = None;
            }
            (Some(Quote::Single), _) => value.push(character),
            (_, '\\') => {
                reason = reason.or(Some(ESCAPE));
                if characters.next().is_none_or(char::is_control) {
                    return Err("has a '\\' at its end, expected a line that does not go on");
                }
            }
            (Some(Quote::Escapes), _) => {}
            (None, '$') if characters.next_if_eq(&'\'').is_some() => {
                reason = reason.or(Some(COMPUTED));
                quote = Some(Quote::Escapes);
            }
            (_, '$') => {
                reason = reason.or(Some(COMPUTED));
                names.push(read_name(&mut characters).ok_or(COMPUTED)?);
            }
            (_, '`') => return Err(COMPUTED),
            (Some(Quote::Double), _) => value.push(character),
            (None, '\'') => quote = Some(Quote::Single),
            (None, '"') => quote = Some(Quote::Double),
            (None, ' ' | '\t') => {
                is_comment(characters)?;
                break;
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
            (None, _) => value.push(character),
        }
    }
    if quote.is_some() {
        return Err("has a quote that does not end on the line, expected both quotes");
    }
    if value.contains('\'') {
        reason = reason.or(Some("has a single quote in its value, expected none"));
    }
    Ok(match reason {
        None => Value::Plain(value),
        Some(reason) => Value::Verbatim(Verbatim { reason, names }),
    })
}

/// The name after a `$`, in braces or not; nothing more of the shell's language.
fn read_name(characters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let has_brace = characters.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(letter) = characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '_')
    {
        name.push(letter);
    }
    let is_name = name.starts_with(|first: char| !first.is_ascii_digit());
    let is_whole = !has_brace || characters.next_if_eq(&'}').is_some();
    (is_name && is_whole).then_some(name)
}

fn is_comment(rest: impl Iterator<Item = char>) -> Result<(), &'static str> {
    let rest: String = rest.collect();
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("goes on after its value, expected one value, quoted if it has a space")
    }
}
