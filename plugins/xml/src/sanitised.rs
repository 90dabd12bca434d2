//! What others have written, in a message of portero's.

use std::fmt;

/// Text on one line, in which nothing is left that a terminal acts on or that makes it read as another.
#[derive(Debug, Clone, Copy)]
pub struct Sanitised<'a>(pub &'a str);

impl fmt::Display for Sanitised<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        characters.try_for_each(|character| match character {
            character if character.is_control() => {
                write!(formatter, "{}", character.escape_debug())
            }
            character if is_misleading(character) => {
                write!(formatter, "{}", character.escape_unicode())
            }
            character => write!(formatter, "{character}"),
        })
    }
}

/// Whether a character makes a line read as another: line and paragraph separators, and all of
/// Unicode's property Bidi_Control.
#[must_use]
pub fn is_misleading(character: char) -> bool {
    matches!(
        character,
        '\u{2028}'
            | '\u{2029}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::{is_misleading, Sanitised};

    #[test]
    fn what_is_not_plain_is_escaped() {
        let plain = |text| Sanitised(text).to_string();
        assert_eq!(plain("a\nb\u{1b}[2J\0"), "a\\nb\\u{1b}[2J\\0");
        assert_eq!(plain("\u{202e}txt\u{2028}."), "\\u{202e}txt\\u{2028}.");
        assert_eq!(
            plain("a\u{61c}\u{200f}\u{2066}b"),
            "a\\u{61c}\\u{200f}\\u{2066}b"
        );
        assert!(!is_misleading('\u{200d}') && !is_misleading('\u{202f}'));
        assert_eq!(plain("\"Größe\" 'a\\b'"), "\"Größe\" 'a\\b'");
    }
}
