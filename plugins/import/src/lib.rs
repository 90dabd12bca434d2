//! Reads the port forwards that another hook was given, and makes metadata of domains of them. Nothing
//! here has an effect.

mod hooks_json;
mod imported;
mod metadata;
mod rule;
mod shell;
mod shell_hook;

pub use imported::{Ends, Imported, ImportedDomain, ImportedForward, Remark};
pub use metadata::{conflicts, Metadata};

impl Imported {
    /// Reads the content of a file, hooks.json or a hook in shell.
    ///
    /// # Errors
    /// [`Remark`] at the first thing that is not understood.
    pub fn read(content: &[u8]) -> Result<Self, Remark> {
        let text = std::str::from_utf8(content)
            .map_err(|error| Remark::new(1, format!("not a text: {error}")))?;
        if is_json(text) {
            hooks_json::read(text)
        } else {
            shell_hook::read(text)
        }
    }
}

/// Whether a file is hooks.json, in which there may be comments, and not a program for a shell.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    ["{", "//", "/*"]
        .iter()
        .any(|start| text.starts_with(start))
}
