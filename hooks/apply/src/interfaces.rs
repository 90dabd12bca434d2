//! What the kernel lists of interfaces, sysfs(5).

use std::fs;
use std::path::{Path, PathBuf};

/// Where it does.
pub(crate) const FOLDER: &str = "/sys/class/net";

/// The folder of an interface; not there when the interface is not.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// The bridge, bond or team that an interface is in.
pub(crate) fn master(name: &str) -> Option<String> {
    let link = fs::read_link(folder(name).join("master")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}
