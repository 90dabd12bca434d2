//! Reads the port forwards that another hook was given, and makes metadata of domains of them. Nothing
//! here has an effect.

mod hooks_json;
mod metadata;
mod rule;
mod shell;
mod shell_hook;

pub use metadata::{conflicts, Metadata};

use portero_libvirt::ObjectName;
use portero_model::{PortRange, Protocol};

/// Something to be said of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct Remark {
    /// The line, from 1.
    pub line: usize,
    /// What there is to say.
    pub text: String,
}

impl Remark {
    fn new(line: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { line, text }
    }
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Its domains that have forwards, in its order.
    pub domains: Vec<Domain>,
    /// What is not taken over, beside what is said of each domain.
    pub warnings: Vec<Remark>,
}

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

    /// Adds a domain, or says that it has nothing.
    fn add(&mut self, domain: Domain, line: usize) {
        if domain.forwards.is_empty() {
            let text = format!("no port of domain '{}' is forwarded", domain.name);
            self.warnings.push(Remark::new(line, text));
        } else {
            self.domains.push(domain);
        }
    }
}

/// What a file says of one domain.
#[derive(Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: ObjectName,
    /// Its forwards; those of equal [`Ends`] that follow each other make one element.
    pub forwards: Vec<Forward>,
    /// What is not taken over.
    pub warnings: Vec<Remark>,
}

impl Domain {
    fn new(name: ObjectName) -> Self {
        Self {
            name,
            forwards: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// One range of ports that is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// What it has in common with others.
    pub ends: Ends,
    /// The host's ports.
    pub ports: PortRange,
    /// The first of the guest's.
    pub to: u16,
    /// The line that says so.
    pub line: usize,
}

/// Between whom ports are forwarded, as the file writes it: the planners judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The host's address.
    pub address: Option<String>,
    /// The host's interface.
    pub dev: Option<String>,
    /// Who may use it.
    pub source: Option<String>,
    /// The guest's address.
    pub guest: String,
}

/// Whether a file is hooks.json, in which there may be comments, and not a program for a shell.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    ["{", "//", "/*"]
        .iter()
        .any(|start| text.starts_with(start))
}
