//! The DEBs that are tested.

use std::path::{Path, PathBuf};

/// The package of a name, in this version, in a folder of `make deb` and `make cockpit-deb`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn find_package(name: &str, folder: &Path) -> PathBuf {
    let start = format!("{name}_{}_", env!("CARGO_PKG_VERSION"));
    let mut found = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}, expected that of make deb", folder.display()))
        .map(|entry| entry.expect("an entry").path());
    let is_package = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".deb")
    };
    found.find(is_package).unwrap_or_else(|| {
        panic!("no {start}*.deb, expected what make deb or make cockpit-deb makes")
    })
}
