//! What is wrong in portero.toml, in an administrator's words: which setting, what it is, and what was expected.

/// The words for what serde calls by the names of Rust's types.
const TYPES: [(&[&str], &str); 5] = [
    (
        &["u8", "u16", "u32", "u64", "usize", "integer"],
        "a whole number",
    ),
    (&["a boolean", "boolean"], "true or false"),
    (&["a sequence", "sequence"], "a list in [ ]"),
    (&["a string", "string"], "a text in quotes"),
    (&["a map", "map", "struct"], "a section in [ ]"),
];

/// What an error of the parser's says of a text; `offset` is where.
pub(crate) fn reword(text: &str, offset: usize, message: &str) -> String {
    let message = message.replace('\n', ", ");
    let setting = setting_at(text, offset);
    let of = |name: &str| {
        message
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(" `"))
            .and_then(|rest| rest.split_once('`'))
    };
    if let Some((found, rest)) = of("unknown field") {
        let place = match section_at(text, offset) {
            Some(section) if !found.eq(&section) => format!(" in [{section}]"),
            _ => String::new(),
        };
        let expected = expected(rest);
        return format!("there is no setting '{found}'{place}, expected {expected}");
    }
    if let Some((found, rest)) = of("unknown variant") {
        return format!("{setting} is '{found}', expected {}", expected(rest));
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        if let Some((found, wanted)) = rest.rsplit_once(", expected ") {
            let (found, wanted) = (found_words(found), type_words(wanted));
            return format!("{setting} is {found}, expected {wanted}");
        }
    }
    if let Some(rest) = message.strip_prefix("invalid value: ") {
        if let Some((found, wanted)) = rest.rsplit_once(", expected ") {
            let (found, wanted) = (found_words(found), type_words(wanted));
            return format!("{setting} is {found}, which is out of range, expected {wanted}");
        }
    }
    if message.starts_with("duplicate key") {
        return format!("{setting} is set twice, expected once");
    }
    match message.starts_with(&setting) || setting.is_empty() {
        true => message,
        false => format!("{setting}: {message}"),
    }
}

/// The line that is at this place, up to its end.
fn line_at(text: &str, offset: usize) -> &str {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |found| found + 1);
    let rest = text.get(start..).unwrap_or_default();
    rest.lines().next().unwrap_or_default()
}

/// The section that a place is in.
fn section_at(text: &str, offset: usize) -> Option<String> {
    let before = text.get(..offset).unwrap_or(text);
    let lines = before.lines().rev();
    let mut headings = lines.filter_map(|line| {
        let line = line.trim();
        line.strip_prefix('[')?.split(']').next()
    });
    headings.next().map(|name| name.trim().to_owned())
}

/// `limits.most_ports`; empty where none is set.
fn setting_at(text: &str, offset: usize) -> String {
    let line = line_at(text, offset);
    let Some((key, _)) = line.split_once('=') else {
        return String::new();
    };
    let key = key.trim().trim_matches(['"', '\'']);
    match section_at(text, offset) {
        Some(section) => format!("{section}.{key}"),
        None => key.to_owned(),
    }
}

/// ``, expected one of `a`, `b` `` as `a or b`.
fn expected(rest: &str) -> String {
    let names: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// `string "10"` as `the text "10"`.
fn found_words(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some((_, value)) if value.starts_with('`') => value.trim_matches('`').to_owned(),
        _ => match found {
            "sequence" => "a list".to_owned(),
            "map" => "a section".to_owned(),
            other => other.to_owned(),
        },
    }
}

fn type_words(wanted: &str) -> &str {
    let first = wanted.split(' ').next().unwrap_or_default();
    let mut known = TYPES.iter();
    known
        .find(|(names, _)| names.contains(&wanted) || names.contains(&first))
        .map_or(wanted, |(_, words)| words)
}
