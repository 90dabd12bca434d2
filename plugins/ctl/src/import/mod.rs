//! `portero import`: reads the port forwards that another hook was given, and prints them as metadata
//! of domains. Everything is read and checked before anything is printed.

mod hooks_json;
mod metadata;
mod rule;
mod shell;
mod shell_hook;

use crate::args::ImportArgs;
use crate::forward::{self, Existing, Reach, Wanted};
use crate::{input, terminal};
use metadata::Metadata;
use portero_apply::ApplyError;
use portero_event::ObjectName;
use portero_plan::{PortRange, Protocol};
use std::path::Path;

/// Why nothing is imported; each is one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Something in the file is not understood.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What was found and what was expected.
        reason: String,
    },
    /// It cannot be set.
    #[error(transparent)]
    Set(#[from] forward::Error),
    /// A domain was asked for that the file says nothing of.
    #[error("{file}: there is nothing of domain '{name}', expected one of {known}")]
    NoDomain {
        /// The file.
        file: String,
        /// The domain.
        name: String,
        /// Which there are.
        known: String,
    },
}

/// Something to be said of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remark {
    /// The line, from 1.
    line: usize,
    /// What there is to say.
    text: String,
}

impl Remark {
    fn new(line: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { line, text }
    }
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Imported {
    /// Its domains that have forwards, in its order.
    domains: Vec<Domain>,
    /// What is not taken over, beside what is said of each domain.
    warnings: Vec<Remark>,
}

impl Imported {
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
struct Domain {
    /// Its name.
    name: ObjectName,
    /// Its forwards; those of equal [`Ends`] that follow each other make one element.
    forwards: Vec<Forward>,
    /// What is not taken over.
    warnings: Vec<Remark>,
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
struct Forward {
    /// What it has in common with others.
    ends: Ends,
    /// The host's ports.
    ports: PortRange,
    /// The first of the guest's.
    to: u16,
    /// The line that says so.
    line: usize,
}

/// Between whom ports are forwarded, as the file writes it: the planners judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    /// The transport protocol.
    protocol: Protocol,
    /// The host's address.
    address: Option<String>,
    /// The host's interface.
    dev: Option<String>,
    /// Who may use it.
    source: Option<String>,
    /// The guest's address.
    guest: String,
}

/// Reads a file and prints what domains are to have, or sets it; gives what to print.
pub(crate) fn run(connect: Option<&str>, args: &ImportArgs) -> Result<String, Error> {
    let read = read(&args.file, &args.domains)?;
    if !args.set {
        return Ok(read.into_iter().map(|(text, _)| text).collect());
    }
    let wanted: Vec<Wanted> = read.into_iter().map(|(_, wanted)| wanted).collect();
    let reach = if args.live {
        Reach::Live
    } else {
        Reach::Config
    };
    let existing = if args.replace {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    let connect = args.connect.as_deref().or(connect);
    Ok(forward::set(connect, &wanted, reach, existing)?)
}

/// Reads a file; gives for each domain what to print of it and what it is to have. `only` are the
/// domains that are asked for, all when empty.
fn read(path: &Path, only: &[ObjectName]) -> Result<Vec<(String, Wanted)>, Error> {
    let content = input::read(path)?;
    let file = input::name(path);
    let at = |remark: Remark| Error::Line {
        file: file.clone(),
        line: remark.line,
        reason: remark.text,
    };
    let text = std::str::from_utf8(&content)
        .map_err(|error| at(Remark::new(1, format!("not a text: {error}"))))?;
    let imported = if is_json(text) {
        hooks_json::read(text)
    } else {
        shell_hook::read(text)
    };
    let imported = imported.map_err(at)?;
    for name in only {
        if !imported.domains.iter().any(|domain| domain.name == *name) {
            let known: Vec<&str> = imported.domains.iter().map(|d| d.name.as_str()).collect();
            return Err(Error::NoDomain {
                file,
                name: name.to_string(),
                known: known.join(", "),
            });
        }
    }
    let (domains, mut warnings) = (imported.domains, imported.warnings);
    let wanted = |domain: &&Domain| only.is_empty() || only.contains(&domain.name);
    let metadata: Vec<Metadata<'_>> = domains
        .iter()
        .filter(wanted)
        .map(Metadata::of)
        .collect::<Result<_, _>>()
        .map_err(at)?;
    let of_domains = domains.iter().filter(wanted);
    warnings.extend(of_domains.flat_map(|domain| domain.warnings.iter().cloned()));
    warnings.extend(metadata::conflicts(&metadata));
    warnings.sort_by_key(|warning| warning.line);
    for Remark { line, text } in warnings {
        terminal::warning(format!("{file}, line {line}: {text}"));
    }
    let read = metadata.iter().map(|one| (one.to_string(), one.wanted()));
    Ok(read.collect())
}

/// Whether a file is hooks.json, in which there may be comments, and not a program for a shell.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    ["{", "//", "/*"]
        .iter()
        .any(|start| text.starts_with(start))
}
