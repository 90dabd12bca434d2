//! What `portero` prints: each file in tests/ui holds a command line and what comes of it in the
//! folder tests. `PORTERO_CASES=accept` writes down what comes of it now.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn ui() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let accepts = std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept");
    let (mut count, mut failed) = (0, Vec::new());
    for entry in fs::read_dir(tests.join("ui")).expect("tests/ui") {
        let path = entry.expect("a file").path();
        let expected = fs::read_to_string(&path).expect("a text");
        let command = expected.lines().next().unwrap_or_default();
        let words = command.strip_prefix("$ portero").expect("a command line");
        let output = Command::new(env!("CARGO_BIN_EXE_portero"))
            .args(words.split_whitespace())
            .env_clear()
            .current_dir(&tests)
            .output()
            .expect("portero");
        let transcript = format!(
            "{command}\n{}{}exit {}\n",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status.code().unwrap_or(-1)
        );
        if accepts {
            fs::write(&path, &transcript).expect("the file");
        } else if transcript != expected {
            failed.push(transcript);
        }
        count += 1;
    }
    assert!(count >= 4, "files of tests/ui are missing");
    assert!(failed.is_empty(), "not as expected:\n{}", failed.join("\n"));
}
