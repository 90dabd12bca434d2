//! portero.toml with another text for a while.

use std::fs;

/// What the host has until this goes: then it has what it had before.
#[derive(Debug)]
pub struct Settings {
    before: Vec<u8>,
}

impl Settings {
    /// The file.
    pub const PATH: &str = "/etc/portero/portero.toml";

    /// Replaces the whole text.
    ///
    /// # Panics
    /// When the file cannot be read or written.
    #[must_use]
    pub fn replace(text: &str) -> Self {
        let before = fs::read(Self::PATH).expect("the installed portero.toml");
        fs::write(Self::PATH, text).expect("portero.toml");
        Self { before }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        fs::write(Self::PATH, &self.before).expect("portero.toml");
    }
}
