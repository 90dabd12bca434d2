//! What a file of another hook says, as values.

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
    pub(crate) fn new(line: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { line, text }
    }
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Its domains that have forwards, in its order.
    pub domains: Vec<ImportedDomain>,
    /// What is not taken over, beside what is said of each domain.
    pub warnings: Vec<Remark>,
}

impl Imported {
    /// Adds a domain, or says that it has nothing.
    pub(crate) fn add(&mut self, domain: ImportedDomain, line: usize) {
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
pub struct ImportedDomain {
    /// Its name.
    pub name: ObjectName,
    /// Its forwards; those of equal [`Ends`] that follow each other make one element.
    pub forwards: Vec<ImportedForward>,
    /// What is not taken over.
    pub warnings: Vec<Remark>,
}

impl ImportedDomain {
    pub(crate) fn new(name: ObjectName) -> Self {
        Self {
            name,
            forwards: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// One range of ports that is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedForward {
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
