//! The lines of files with settings in them.

/// A line of a file, or of a section of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Setting(Setting),
    /// A comment or an empty line.
    Other(String),
}

/// `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Where it was written, from 1; 0 for one of our own.
    pub(crate) line: usize,
}

impl Line {
    /// A setting of our own.
    pub(crate) fn own(key: &str, value: &str) -> Self {
        Self::Setting(Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            line: 0,
        })
    }

    pub(crate) fn setting(&self) -> Option<&Setting> {
        match self {
            Self::Setting(setting) => Some(setting),
            Self::Other(_) => None,
        }
    }
}
