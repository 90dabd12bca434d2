//! Files that are read only if they are safe and that are written as a whole or not at all.

use crate::FileError;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

/// Longest configuration or state file that is read, in bytes.
const FILE_LIMIT: u64 = portero_xml::INPUT_LIMIT as u64;

/// Permission bits that let others than the owner write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Reads a regular file; `None` if there is none. Nothing that could make the reader wait, as a FIFO,
/// is read.
///
/// # Errors
/// [`FileError::Unsafe`] when it is something else than a file; [`FileError::Io`] when it cannot
/// be read or is longer than 8 MiB.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let open = open_regular(path)?;
    open.map(|(file, _)| read_open(&file, path)).transpose()
}

/// As [`read`], with the time at which the file was written.
///
/// # Errors
/// As [`read`].
pub fn read_dated(path: &Path) -> Result<Option<(Vec<u8>, SystemTime)>, FileError> {
    let open = open_regular(path)?;
    open.map(|(file, metadata)| dated(&file, &metadata, path))
        .transpose()
}

/// As [`read_own`], with the time at which the file was written.
///
/// # Errors
/// As [`read_own`].
pub fn read_own_dated(path: &Path) -> Result<Option<(Vec<u8>, SystemTime)>, FileError> {
    let Some((file, metadata)) = open_regular(path)? else {
        return Ok(None);
    };
    check_safe(path, &metadata, own_user())?;
    dated(&file, &metadata, path).map(Some)
}

fn dated(
    file: &File,
    metadata: &fs::Metadata,
    path: &Path,
) -> Result<(Vec<u8>, SystemTime), FileError> {
    let written = metadata.modified().map_err(FileError::io("read", path))?;
    Ok((read_open(file, path)?, written))
}

/// Reads what the user names, a pipe too; `None` if there is none.
///
/// # Errors
/// [`FileError::Io`] when it cannot be read or is longer than 8 MiB.
pub fn read_named(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match File::open(path) {
        Ok(file) => read_open(&file, path).map(Some),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// Reads a file of portero's own, which nobody else can have written; `None` if there is none.
///
/// # Errors
/// [`FileError::Unsafe`] when it is somebody else's or can be written by others;
/// [`FileError::Io`].
pub fn read_own(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    Ok(read_own_dated(path)?.map(|(content, _)| content))
}

/// Reads a configuration file that only root can have written; `None` if there is none. All folders
/// down from `root`, which it is below, have to be safe even then: what was there may have been taken
/// away.
///
/// # Errors
/// [`FileError::Unsafe`] when the file, or a folder it is in, belongs to somebody else than
/// `owner` or can be written by others; [`FileError::Io`].
pub fn read_trusted(path: &Path, root: &Path, owner: u32) -> Result<Option<Vec<u8>>, FileError> {
    for folder in path.ancestors().skip(1) {
        if !folder.starts_with(root) {
            break;
        }
        match fs::metadata(folder) {
            Ok(metadata) => check_safe(folder, &metadata, owner)?,
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(FileError::io("read", folder)(error)),
        }
    }
    let Some((file, metadata)) = open_regular(path)? else {
        return Ok(None);
    };
    check_safe(path, &metadata, owner)?;
    read_open(&file, path).map(Some)
}

/// Refuses a folder of portero's own that others can write to, or that is a link to somewhere else.
///
/// # Errors
/// [`FileError::Unsafe`]; [`FileError::Io`] when there is none.
pub fn check_own_folder(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path).map_err(FileError::io("read", path))?;
    if !metadata.is_dir() {
        return Err(FileError::not_safe(path, "is not a folder"));
    }
    check_safe(path, &metadata, own_user())
}

/// Refuses what is not a regular file.
///
/// # Errors
/// [`FileError::Unsafe`].
pub fn check_regular(path: &Path, metadata: &fs::Metadata) -> Result<(), FileError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(FileError::not_safe(path, "is not a regular file"))
}

/// Opens a regular file, and waits for nothing; `None` if there is none.
fn open_regular(path: &Path) -> Result<Option<(File, fs::Metadata)>, FileError> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(FileError::io("read", path)(error)),
    };
    let metadata = file.metadata().map_err(FileError::io("read", path))?;
    check_regular(path, &metadata)?;
    Ok(Some((file, metadata)))
}

/// Who portero runs as: root.
fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn check_safe(path: &Path, metadata: &fs::Metadata, owner: u32) -> Result<(), FileError> {
    let reason = if metadata.uid() != owner {
        format!("belongs to user {}", metadata.uid())
    } else if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        format!(
            "can be written by others (mode {:04o})",
            metadata.mode() & 0o7777
        )
    } else {
        return Ok(());
    };
    Err(FileError::not_safe(path, reason))
}

fn read_open(file: &File, path: &Path) -> Result<Vec<u8>, FileError> {
    // With room for one byte more it is read at once, and its end is seen.
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let room = usize::try_from(size.min(FILE_LIMIT) + 1).unwrap_or(0);
    let mut content = Vec::with_capacity(room);
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut content)
        .map_err(FileError::io("read", path))?;
    if content.len() as u64 > FILE_LIMIT {
        return Err(FileError::io("read", path)(std::io::Error::new(
            ErrorKind::FileTooLarge,
            format!("longer than {FILE_LIMIT} bytes"),
        )));
    }
    Ok(content)
}

/// A name that is too long for a file is the name of no file.
fn is_absent(error: &std::io::Error) -> bool {
    let is_too_long = error.raw_os_error() == Some(nix::errno::Errno::ENAMETOOLONG as i32);
    is_too_long || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Writes a file (mode 0600) by way of a temporary name in the same folder, synced and renamed.
///
/// # Errors
/// [`FileError::Io`]; the old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_as(path, content, &Ownership::PRIVATE)
}

/// Whose a file is, and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// The permission bits, chmod(2).
    pub mode: u32,
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

impl Ownership {
    /// For portero alone.
    const PRIVATE: Self = Self::of_root(0o600);

    /// Of root and its group.
    pub const fn of_root(mode: u32) -> Self {
        Self {
            mode,
            user: 0,
            group: 0,
        }
    }

    /// That of a file that is there.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let metadata = fs::metadata(path).map_err(FileError::io("read", path))?;
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            user: metadata.uid(),
            group: metadata.gid(),
        })
    }
}

/// As [`write`], with an owner and permissions.
///
/// # Errors
/// [`FileError::Io`]; the old content is then still there.
pub fn write_as(path: &Path, content: &[u8], ownership: &Ownership) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = write_new(temporary, content, ownership)
        .and_then(|()| fs::rename(temporary, path).map_err(FileError::io("write", path)));
    if written.is_err() {
        let _ = fs::remove_file(temporary);
    }
    written
}

fn write_new(path: &Path, content: &[u8], ownership: &Ownership) -> Result<(), FileError> {
    // One of a killed process with the same number, or what somebody has put there instead: it is
    // never written to.
    let mut file = match create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            remove(path)?;
            create_new(path)
        }
        other => other,
    }
    .map_err(FileError::io("write", path))?;
    file.write_all(content)
        .and_then(|()| own(&file, ownership))
        .and_then(|()| file.sync_data())
        .map_err(FileError::io("write", path))
}

fn create_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Gives the file away where it is not ours to keep.
fn own(file: &File, ownership: &Ownership) -> std::io::Result<()> {
    if *ownership == Ownership::PRIVATE {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(ownership.user), Some(ownership.group))?;
    file.set_permissions(fs::Permissions::from_mode(ownership.mode))
}

/// Writes the names in a folder to the disk.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::io("write", path))
}

/// Makes a folder (mode 0700) with all above it, if it is not there.
///
/// # Errors
/// [`FileError::Io`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::io("make", path))
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(FileError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder with what is in it, if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if !is_absent(&error) => Err(FileError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder that end in `suffix`, in order; none if there is no folder.
///
/// # Errors
/// [`FileError::Io`].
pub fn names(folder: &Path, suffix: &str) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(FileError::io("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::io("read", folder))?;
        if let Ok(name) = entry.file_name().into_string() {
            if name.ends_with(suffix) {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
