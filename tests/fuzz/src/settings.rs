//! The target of portero.toml.

use crate::one_line::one_line;
use crate::Reached;
use portero_engine::Config;
use std::path::Path;

/// Any text as portero.toml: it is read, or refused with the file and a line that is in it.
pub fn settings(input: &[u8]) -> Reached {
    let path = Path::new("/etc/portero/portero.toml");
    match Config::parse(path, input) {
        Ok(config) => {
            assert!(
                (1..=300).contains(&config.deadline().as_secs()),
                "deadline {:?}",
                config.deadline()
            );
            Reached::Taken
        }
        Err(error) => {
            let text = one_line(&error);
            let rest = text
                .strip_prefix("/etc/portero/portero.toml: line ")
                .unwrap_or_else(|| panic!("no file and line: {text}"));
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let number: usize = number.parse().expect("a line's number");
            let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&number), "{text}: of {lines} lines");
            Reached::Refused
        }
    }
}
