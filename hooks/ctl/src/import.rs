//! `portero import`: prints the port forwards that another hook was given as metadata of domains, or
//! sets it. Everything is read and checked before anything is printed.

use crate::args::ImportArgs;
use crate::forward::{self, SetOptions, Wanted};
use crate::{input, terminal};
use portero_import::{conflicts, Imported, ImportedDomain, Metadata, Remark};
use portero_libvirt::ObjectName;
use portero_system::FileError;
use std::path::Path;

/// Why nothing is imported; each is one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something in the file is not understood.
    #[error("{file}, {remark}")]
    Line {
        file: String,
        /// The line, with what was found and what was expected.
        remark: Remark,
    },
    /// It cannot be set.
    #[error(transparent)]
    Set(#[from] forward::Error),
    /// A domain was asked for that the file says nothing of.
    #[error("{file}: there is nothing of domain '{name}', expected one of {known}")]
    NoDomain {
        file: String,
        /// The domain.
        name: String,
        /// Which there are.
        known: String,
    },
}

/// Reads a file and prints what domains are to have, or sets it; gives what to print.
pub(crate) fn run(connect: Option<&str>, args: &ImportArgs) -> Result<String, Error> {
    let read = read(&args.file, &args.domains)?;
    if !args.set {
        return Ok(read.into_iter().map(|(text, _)| text).collect());
    }
    let wanted: Vec<Wanted> = read.into_iter().map(|(_, wanted)| wanted).collect();
    let options = SetOptions {
        live: args.live,
        replace: args.replace,
    };
    let connect = args.connect.as_deref().or(connect);
    Ok(forward::set(connect, &wanted, options)?)
}

/// Reads a file; gives for each domain what to print of it and what it is to have. `only` are the
/// domains that are asked for, all when empty.
fn read(path: &Path, only: &[ObjectName]) -> Result<Vec<(String, Wanted)>, Error> {
    let content = input::read(path)?;
    let file = input::name(path);
    let at = |remark: Remark| Error::Line {
        file: file.clone(),
        remark,
    };
    let Imported {
        domains,
        mut warnings,
    } = Imported::read(&content).map_err(at)?;
    for name in only {
        if !domains.iter().any(|domain| domain.name == *name) {
            let known: Vec<&str> = domains.iter().map(|d| d.name.as_str()).collect();
            return Err(Error::NoDomain {
                file,
                name: name.to_string(),
                known: known.join(", "),
            });
        }
    }
    let wanted = |domain: &&ImportedDomain| only.is_empty() || only.contains(&domain.name);
    let domains = domains.iter().filter(wanted);
    let metadata: Result<Vec<_>, Remark> = domains.clone().map(Metadata::new).collect();
    let metadata = metadata.map_err(at)?;
    warnings.extend(domains.flat_map(|domain| domain.warnings.iter().cloned()));
    warnings.extend(conflicts(&metadata));
    warnings.sort_by_key(|warning| warning.line);
    for warning in warnings {
        terminal::warning(format!("{file}, {warning}"));
    }
    let read = metadata.iter().map(|one| {
        let wanted = Wanted {
            name: one.domain.name.clone(),
            element: one.for_libvirt(),
        };
        (one.to_string(), wanted)
    });
    Ok(read.collect())
}
