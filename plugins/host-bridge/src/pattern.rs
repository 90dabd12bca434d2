//! Finds a name in a table whose entries may have a `*` at one end.

/// What the first entry that fits a name says.
pub(crate) fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    let fits = |pattern: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    };
    let entry = table.iter().find(|(pattern, _)| fits(pattern));
    entry.map(|(_, said)| *said)
}
