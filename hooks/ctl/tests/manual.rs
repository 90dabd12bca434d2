//! The manual pages: each subcommand has one, and groff has nothing to say of any.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn portero(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portero"));
    let output = command.args(arguments).output().expect("portero");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Formats a page, and gives it as it is read.
fn formatted(name: &str, page: &str) -> String {
    let mut groff = Command::new("groff")
        .args(["-man", "-ww", "-Tascii", "-P-cbou"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("groff of Debian's groff-base, which tests/roots puts into its trees");
    let mut stdin = groff.stdin.take().expect("a pipe");
    stdin.write_all(page.as_bytes()).expect("groff reads");
    drop(stdin);
    let output = groff.wait_with_output().expect("groff ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
    assert!(output.status.success(), "{name}");
    String::from_utf8(output.stdout).expect("ASCII")
}

#[test]
fn each_subcommand_has_a_page() {
    let names = portero(&["page"]);
    let pages: Vec<&str> = names.lines().collect();
    for expected in [
        "portero",
        "portero-validate",
        "portero-bridge",
        "portero-bridge-apply",
    ] {
        assert!(pages.contains(&expected), "{expected} in {names}");
    }
    assert!(
        !names.contains("guard") && !names.contains("help"),
        "{names}"
    );
    for name in pages {
        let text = formatted(name, &portero(&["page", name]));
        let sections = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "EXIT STATUS",
            "EXAMPLES",
            "SEE ALSO",
        ];
        for section in sections {
            let heading = |line: &str| line.trim_end() == section;
            assert!(text.lines().any(heading), "{section} in {name}:\n{text}");
        }
    }
    let plan = formatted("plan", &portero(&["page", "portero-plan"]));
    assert!(plan.contains("3      something to change."), "{plan}");
}

#[test]
fn pages_written_by_hand_are_in_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man");
    let pages = fs::read_dir(folder).expect("packaging/man");
    let mut count = 0;
    for page in pages {
        let path = page.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a page");
        assert!(!formatted(&path.display().to_string(), &text).is_empty());
        count += 1;
    }
    assert!(count >= 4, "pages are missing");
}

#[test]
fn pages_written_by_hand_have_examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man");
    for page in fs::read_dir(folder).expect("packaging/man") {
        let path = page.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a page");
        assert!(text.contains("\n.SH EXAMPLES\n"), "{}", path.display());
    }
}

#[test]
fn the_grammar_is_in_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = fs::read_to_string(root.join("docs/schema/portero.rng")).expect("the schema");
    let page = fs::read_to_string(root.join("packaging/man/portero-xml.5")).expect("its page");
    let (page, _) = page.split_once(".SH EXAMPLES").expect("examples");
    let page = formatted("portero-xml", page);
    let is_part = |letter: char| letter.is_alphanumeric();
    let words: Vec<&str> = page.split(|letter| !is_part(letter)).collect();
    let mut missing = Vec::new();
    let mut count = 0;
    for start in [
        "<attribute name=\"",
        "<element name=\"",
        "<value type=\"string\">",
    ] {
        for after in schema.split(start).skip(1) {
            let name = after.split(['"', '<']).next().unwrap_or_default();
            // The elements of libvirt's, the spellings of yes and no, and no addresses.
            let is_known = ["name", "metadata", "true", "1"].contains(&name);
            if !is_known && name.chars().all(is_part) {
                count += 1;
                if !words.contains(&name) {
                    missing.push(name);
                }
            }
        }
    }
    assert!(count > 60, "only {count} names were found");
    assert!(missing.is_empty(), "not in portero-xml(5): {missing:?}");
}

#[test]
fn settings_are_in_their_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let settings = fs::read_to_string(root.join("portero.toml")).expect("portero.toml");
    let page = fs::read_to_string(root.join("man/portero.toml.5")).expect("its page");
    let page = formatted("portero.toml", &page);
    let mut count = 0;
    for line in settings.lines() {
        let Some(setting) = line.strip_prefix('#').filter(|text| !text.starts_with(' ')) else {
            continue;
        };
        if setting.contains(" = ") {
            assert!(page.contains(setting), "{setting} in {page}");
            count += 1;
        }
    }
    assert!(count >= 6, "settings are missing");
}
