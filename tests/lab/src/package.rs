//! The DEB that is tested.

use std::path::{Path, PathBuf};

/// The package of this version in a folder of `make deb`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn find_package(folder: &Path) -> PathBuf {
    let start = format!("portero_{}_", env!("CARGO_PKG_VERSION"));
    let mut found = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}, expected that of make deb", folder.display()))
        .map(|entry| entry.expect("an entry").path());
    let is_package = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".deb")
    };
    found
        .find(is_package)
        .expect("a package, as make deb makes it")
}
