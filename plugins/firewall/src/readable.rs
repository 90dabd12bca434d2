//! Texts for people that a test holds together with the code that writes them.

use std::path::Path;

/// Compares a text with the file of this crate that has it, or writes that with `PORTERO_CASES=accept`.
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
pub(crate) fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("PORTERO_CASES").is_some_and(|how| how == "accept") {
        std::fs::write(&path, text).expect("the file can be written");
    }
    let readable = std::fs::read_to_string(&path).expect("the file is there");
    assert_eq!(readable, text, "{file}");
}
