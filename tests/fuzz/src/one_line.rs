//! What a user is told when something is refused.

use std::fmt;

/// The text, which has to be one line that is not empty and that no terminal acts on.
pub(crate) fn one_line(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    assert!(!text.trim().is_empty(), "an error that says nothing");
    let control = text.chars().find(|character| character.is_control());
    assert!(control.is_none(), "{control:?} in an error: {text:?}");
    text
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_is_given_back() {
        assert_eq!(one_line(&"line 1: <a>: no"), "line 1: <a>: no");
    }

    #[test]
    #[should_panic(expected = "in an error")]
    fn a_second_line_is_found() {
        one_line(&"line 1\nline 2");
    }

    #[test]
    #[should_panic(expected = "says nothing")]
    fn silence_is_found() {
        one_line(&" ");
    }
}
