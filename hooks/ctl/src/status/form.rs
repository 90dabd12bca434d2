//! How a status is said.

use crate::terminal::Colors;

/// How a status is said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Tables for people.
    Tables(Colors),
    /// JSON for programs.
    Json,
}
