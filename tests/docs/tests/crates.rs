//! What holds for every crate of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Cargo.toml in a folder.
fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands at a place in a manifest.
fn at<'a>(manifest: &'a Table, place: &[&str]) -> Option<&'a Value> {
    let (first, rest) = place.split_first()?;
    let start = manifest.get(*first)?;
    rest.iter().try_fold(start, |value, key| value.get(key))
}

/// Whether unsafe code is forbidden for good: what is only denied can be allowed again further in.
fn forbids_unsafe(level: Option<&Value>) -> bool {
    let level = level.map(|level| level.get("level").unwrap_or(level));
    level.and_then(Value::as_str) == Some("forbid")
}

/// Whether a crate forbids it, itself or as the workspace does.
fn is_safe(member: &Table, workspace: &Table) -> bool {
    if at(member, &["lints", "workspace"]).and_then(Value::as_bool) == Some(true) {
        return forbids_unsafe(at(
            workspace,
            &["workspace", "lints", "rust", "unsafe_code"],
        ));
    }
    forbids_unsafe(at(member, &["lints", "rust", "unsafe_code"]))
}

/// The folders below one that are crates.
fn crates_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && !["target", "vendor"].contains(&&*name) {
            if path.join("Cargo.toml").exists() {
                found.push(path.clone());
            }
            crates_below(&path, found);
        }
    }
}

#[test]
fn no_crate_allows_unsafe_code() {
    let root = root();
    let workspace = manifest(&root);
    let members = at(&workspace, &["workspace", "members"]).and_then(Value::as_array);
    let members = members.expect("members").iter();
    let mut members: Vec<PathBuf> = members
        .map(|member| root.join(member.as_str().expect("a folder")))
        .collect();
    let mut crates = Vec::new();
    for folder in ["hooks", "plugins", "tests"] {
        crates_below(&root.join(folder), &mut crates);
    }
    members.sort();
    crates.sort();
    assert_eq!(
        members, crates,
        "a crate that is no member is not looked at"
    );
    assert!(crates.len() >= 17, "{} crates", crates.len());
    for folder in &crates {
        let forbids = is_safe(&manifest(folder), &workspace);
        assert!(forbids, "{} may have unsafe code", folder.display());
    }
}

#[test]
fn a_crate_that_could_have_unsafe_code_is_found() {
    let read = |text: &str| text.parse::<Table>().expect("TOML");
    let forbids = read("[workspace.lints.rust]\nunsafe_code = 'forbid'");
    let denies = read("[workspace.lints.rust]\nunsafe_code = 'deny'");
    for (member, workspace, safe) in [
        ("[lints]\nworkspace = true", &forbids, true),
        ("[lints]\nworkspace = true", &denies, false),
        ("[lints.rust]\nunsafe_code = 'forbid'", &denies, true),
        (
            "[lints.rust]\nunsafe_code = { level = 'forbid', priority = 1 }",
            &denies,
            true,
        ),
        ("[lints.rust]\nunsafe_code = 'deny'", &forbids, false),
        ("[lints.rust]\nmissing_docs = 'warn'", &forbids, false),
        ("[package]\nname = 'a'", &forbids, false),
    ] {
        assert_eq!(is_safe(&read(member), workspace), safe, "{member}");
    }
}
