//! What `--json` prints.

use serde::Serialize;

/// A value as JSON, with a line's end.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    // Strings and options of strings always have a JSON form.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
