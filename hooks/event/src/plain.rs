//! What others have written, in a message of portero's.

use std::fmt;

/// Text on one line, in which nothing is left that a terminal acts on.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        characters.try_for_each(|character| match character.is_control() {
            true => write!(formatter, "{}", character.escape_debug()),
            false => write!(formatter, "{character}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Plain;

    #[test]
    fn only_control_characters_are_escaped() {
        let plain = |text| Plain(text).to_string();
        assert_eq!(plain("a\nb\u{1b}[2J\0"), "a\\nb\\u{1b}[2J\\0");
        assert_eq!(plain("\"Größe\" 'a\\b'"), "\"Größe\" 'a\\b'");
    }
}
