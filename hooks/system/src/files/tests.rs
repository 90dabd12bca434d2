//! What others may have put in the place of portero's files.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use super::{check_own_folder, read, read_own, read_trusted, write};
use crate::lock::Lock;
use crate::FileError;
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn is_unsafe<T: std::fmt::Debug>(result: Result<T, FileError>, expected: &str) {
    match result {
        Err(FileError::Unsafe { reason, .. }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("expected '{expected}', got {other:?}"),
    }
}

#[test]
fn nothing_that_makes_a_reader_wait_is_read() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("file");
    assert_eq!(read(&path).expect("none"), None);
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
    is_unsafe(read(&path), "not a regular file");
    is_unsafe(read_own(&path), "not a regular file");
    is_unsafe(
        read_trusted(&path, root.path(), super::own_user()),
        "not a regular file",
    );
    is_unsafe(read(root.path()), "not a regular file");
    is_unsafe(read(Path::new("/dev/zero")), "not a regular file");
    fs::remove_file(&path).expect("the FIFO");
    fs::write(&path, "text").expect("a file");
    assert_eq!(read(&path).expect("a file"), Some(b"text".to_vec()));
}

#[test]
fn what_others_can_write_is_not_portero_s_own() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("file");
    fs::write(&path, "text").expect("a file");
    set_mode(&path, 0o600);
    assert_eq!(read_own(&path).expect("a file"), Some(b"text".to_vec()));
    for mode in [0o620, 0o602] {
        set_mode(&path, mode);
        is_unsafe(read_own(&path), "can be written by others");
    }
    check_own_folder(root.path()).expect("a safe folder");
    set_mode(root.path(), 0o777);
    is_unsafe(check_own_folder(root.path()), "can be written by others");
    set_mode(root.path(), 0o700);
    let link = root.path().join("link");
    symlink(root.path(), &link).expect("a link");
    is_unsafe(check_own_folder(&link), "is not a folder");
}

#[test]
fn configuration_that_may_have_been_taken_away_is_not_absent() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("domains");
    let path = folder.join("web.xml");
    let me = super::own_user();
    let absent = || read_trusted(&path, root.path(), me);
    assert_eq!(absent().expect("no folder"), None);
    fs::create_dir(&folder).expect("a folder");
    set_mode(&folder, 0o755);
    assert_eq!(absent().expect("no file"), None);
    for unsafe_folder in [root.path(), &folder] {
        set_mode(unsafe_folder, 0o777);
        is_unsafe(absent(), "can be written by others (mode 0777)");
        set_mode(unsafe_folder, 0o755);
    }
    is_unsafe(read_trusted(&path, root.path(), me + 1), "belongs to user");
}

#[test]
fn what_stands_where_a_new_file_is_written_is_not_written_to() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("file");
    let temporary = root.path().join(format!("file.{}.new", std::process::id()));
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    let plant: [&dyn Fn(); 3] = [
        &|| symlink(&victim, &temporary).expect("a link"),
        &|| fs::hard_link(&victim, &temporary).expect("a hard link"),
        &|| nix::unistd::mkfifo(&temporary, Mode::S_IRWXU).expect("a FIFO"),
    ];
    for plant in plant {
        plant();
        symlink(&victim, &path).expect("a link");
        write(&path, b"new").expect("a write");
        assert!(!fs::symlink_metadata(&path).expect("a file").is_symlink());
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        assert_eq!(fs::read(&victim).expect("a file"), b"precious");
        assert!(!temporary.exists());
        fs::remove_file(&path).expect("the file");
    }
}

#[test]
fn a_lock_is_a_file_and_nothing_else() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("lock");
    let victim = root.path().join("victim");
    symlink(&victim, &path).expect("a link");
    Lock::try_take(&path).expect_err("a link");
    assert!(!victim.exists());
    fs::remove_file(&path).expect("the link");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
    Lock::try_take(&path).expect_err("a FIFO");
    fs::remove_file(&path).expect("the FIFO");
    assert!(Lock::try_take(&path).expect("a lock").is_some());
}
