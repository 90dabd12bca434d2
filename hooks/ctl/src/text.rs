//! Text of others as it can be shown, and how wide it is.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands for the rest of a text that was cut, of one column.
pub(crate) const CUT: char = '…';

/// A text without anything that a terminal or a reader would not show as it is: no control
/// characters, nothing that turns the direction of writing.
pub(crate) fn shown(text: &str) -> String {
    // Almost every text is of these, and a status of thousands of forwards has many.
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let shown = |character: char| match character {
        '\'' | '"' | '\\' => character.to_string(),
        // A character that joins the one before it is shown only where there is one.
        other => format!("a{other}").escape_debug().skip(1).collect(),
    };
    text.chars().map(shown).collect()
}

/// How many columns a text takes where all characters are of one width, or of two.
pub(crate) fn measure(text: &str) -> usize {
    text.width()
}

/// A text of at most so many columns; where something is cut off there is a mark of one column.
pub(crate) fn cut(text: &str, limit: usize, mark: char) -> String {
    if measure(text) <= limit {
        return text.to_owned();
    }
    let mut left = limit.saturating_sub(1);
    let fits = |character: &char| {
        let width = character.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    if limit > 0 {
        kept.push(mark);
    }
    kept
}

/// `no guests`, `1 guest`, `2 guests`.
pub(crate) fn pluralize(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, measure, shown, CUT};

    #[test]
    fn nothing_is_shown_that_is_not_seen() {
        assert_eq!(shown("it's \"a\\b\""), "it's \"a\\b\"");
        assert_eq!(shown("a\u{1b}[2J"), "a\\u{1b}[2J");
        assert_eq!(shown("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        assert_eq!(shown("e\u{301} ก\u{e34} 名"), "e\u{301} ก\u{e34} 名");
        assert_eq!(shown("\u{ffff}"), "\\u{ffff}");
    }

    #[test]
    fn what_is_cut_fits() {
        assert_eq!(cut("web", 3, CUT), "web");
        assert_eq!(cut("webs", 3, CUT), "we…");
        assert_eq!(cut("名前名前", 5, CUT), "名前…");
        assert_eq!(cut("名前名前", 4, CUT), "名…");
        assert_eq!(cut("web", 1, CUT), "…");
        assert_eq!(cut("web", 0, CUT), "");
        for limit in 0..12 {
            assert!(
                measure(&cut("a名e\u{301}🙂bcdef", limit, CUT)) <= limit,
                "{limit}"
            );
        }
    }
}
