//! What was printed before, kept in a folder of tests, for tests to compare with.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::Path;

/// Compares each text with the file of its name in tests/`folder`; with `PORTERO_CASES=accept` it
/// becomes the file.
///
/// # Panics
/// When one differs, or cannot be written.
pub(crate) fn compare(folder: &str, texts: impl IntoIterator<Item = (String, String)>) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let accepts = std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept");
    let mut failed = Vec::new();
    for (name, text) in texts {
        let path = tests.join(folder).join(name);
        if accepts {
            fs::write(&path, &text).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            failed.push(path);
        }
    }
    assert!(failed.is_empty(), "not as expected: {failed:?}");
}
