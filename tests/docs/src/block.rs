//! A block of code, and what is to be done with it.

use crate::session::{self, Step};

/// A block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its first line in the page, from 1.
    pub line: usize,
    /// What is to be done with it.
    pub task: Task,
}

/// What is to be done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Commands are run one after the other, and what they say is compared.
    Session(Vec<Step>),
    /// A script is run on the host.
    Script(String),
    /// The text belongs somewhere.
    Put {
        /// Where.
        place: Place,
        /// The text.
        text: String,
    },
    /// cargo compiles it.
    Rust,
    /// It cannot be run.
    NotRun {
        /// Why not.
        reason: String,
        /// The text.
        text: String,
    },
}

/// Where a text belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Its path.
        path: String,
    },
    /// In the definition of an object, instead of the `<metadata>` it has.
    Metadata(Object),
    /// It is the definition of a network.
    Network,
}

/// An object of libvirt's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A domain.
    Domain(String),
    /// A network.
    Network(String),
}

/// What is wrong with a block, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is indented instead of fenced, so that nothing says what it is.
    #[error("line {line}: an indented block, expected a fenced one")]
    Indented {
        /// The line.
        line: usize,
    },
    /// Nobody knows what to do with it.
    #[error(
        "line {line}: a block of kind '{kind}', expected console, sh, xml, toml, json, yaml or rust"
    )]
    Kind {
        /// The line.
        line: usize,
        /// Its kind.
        kind: String,
    },
    /// The comment above it says nothing, or something that does not fit.
    #[error("line {line}: the comment above the {kind} is '{comment}', expected {expected}")]
    Comment {
        /// The line.
        line: usize,
        /// The kind of the block.
        kind: String,
        /// The comment, empty when there is none.
        comment: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A session that cannot be understood.
    #[error("line {line}: {reason}")]
    Session {
        /// The line.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The text does not say where the block belongs.
    #[error("line {line}: the text does not say `{words}`, where the block belongs")]
    Unsaid {
        /// The line.
        line: usize,
        /// What it should say.
        words: String,
    },
}

impl Place {
    /// Where a comment puts a block; nothing when it puts it nowhere.
    fn of(comment: &str) -> Option<Self> {
        let words: Vec<&str> = comment.split_whitespace().collect();
        match words[..] {
            ["file:", path] => Some(Self::File { path: path.into() }),
            ["virsh", "edit", name] => Some(Self::Metadata(Object::Domain(name.into()))),
            ["virsh", "net-edit", name] => Some(Self::Metadata(Object::Network(name.into()))),
            ["virsh", "net-define"] => Some(Self::Network),
            _ => None,
        }
    }

    /// What the text has to say for it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::File { path } => path.clone(),
            Self::Metadata(Object::Domain(name)) => format!("virsh edit {name}"),
            Self::Metadata(Object::Network(name)) => format!("virsh net-edit {name}"),
            Self::Network => "virsh net-define".to_owned(),
        }
    }
}

impl Block {
    /// Reads a fenced block, from its kind, the comment above it and its text.
    ///
    /// # Errors
    /// [`Problem`] when it is not clear what to do with it.
    pub(crate) fn new(line: usize, kind: &str, comment: &str, text: &str) -> Result<Self, Problem> {
        let unfit = |expected| Problem::Comment {
            line,
            kind: kind.to_owned(),
            comment: comment.to_owned(),
            expected,
        };
        let reason = comment.strip_prefix("not run:").map(str::trim);
        let task = match (kind, reason, Place::of(comment)) {
            ("console" | "sh" | "xml" | "toml" | "json" | "yaml" | "rust", Some(reason), _) => {
                Task::NotRun {
                    reason: reason.to_owned(),
                    text: text.to_owned(),
                }
            }
            ("console", None, None) if comment.is_empty() => {
                Task::Session(session::steps(line, text)?)
            }
            ("sh", None, None) if comment.is_empty() => Task::Script(text.to_owned()),
            ("rust", None, None) if comment.is_empty() => Task::Rust,
            ("sh" | "toml" | "json" | "yaml", None, Some(place @ Place::File { .. }))
            | ("xml", None, Some(place)) => Task::Put {
                place,
                text: text.to_owned(),
            },
            ("console" | "rust", ..) => return Err(unfit("none, or 'not run: REASON'")),
            ("sh", ..) => return Err(unfit("none, 'file: PATH' or 'not run: REASON'")),
            ("toml" | "json" | "yaml", ..) => return Err(unfit("'file: PATH'")),
            ("xml", ..) => return Err(unfit(
                "'file: PATH', 'virsh edit DOMAIN', 'virsh net-edit NETWORK' or 'virsh net-define'",
            )),
            _ => {
                return Err(Problem::Kind {
                    line,
                    kind: kind.to_owned(),
                })
            }
        };
        Ok(Self { line, task })
    }
}
