//! Files that the user names.

use portero_system::FileError;
use portero_xml::INPUT_LIMIT;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What stands for stdin.
const STDIN: &str = "-";

/// What is called so in messages.
pub(crate) fn name(path: &Path) -> String {
    if path.as_os_str() == STDIN {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Reads a file, or stdin, to one byte beyond the longest that is understood.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    let limit = INPUT_LIMIT as u64 + 1;
    let read = if path.as_os_str() == STDIN {
        std::io::stdin().take(limit).read_to_end(&mut content)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content))
    };
    read.map_err(|source| FileError::Io {
        action: "read",
        path: name(path).into(),
        source,
    })?;
    Ok(content)
}
