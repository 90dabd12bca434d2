//! What differs between what was noted and what is there.

use crate::noted::Entry;
use crate::outcome::Kind;

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Of which kind it is.
    pub(super) kind: Kind,
    /// What is missing, in words.
    pub(super) text: String,
    /// Whether it is what the kernel gives each link, which nobody is told of or waits for.
    pub(super) is_of_link: bool,
}

impl Difference {
    pub(super) fn new(kind: Kind, text: String) -> Self {
        Self {
            kind,
            text,
            is_of_link: false,
        }
    }

    /// That it is not there, in words.
    pub(super) fn is_missing(&self) -> String {
        let what = match self.kind {
            Kind::Addresses => "address ",
            Kind::Routes | Kind::Metrics => "route ",
            Kind::Neighbors => "neighbor ",
            Kind::Rules | Kind::Dns | Kind::Link => "",
        };
        format!("the {what}{} is missing", self.text)
    }

    pub(super) fn of_entry(entry: &Entry) -> Self {
        Self {
            is_of_link: entry.is_of_link(),
            ..Self::new(Kind::from(entry.what), entry.text.clone())
        }
    }
}
