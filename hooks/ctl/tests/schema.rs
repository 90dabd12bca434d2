//! docs/schema/portero.rng and `portero validate` judge the files of tests/schema alike: those in
//! `valid` and `invalid`. Those in `beyond` are what a schema cannot say. What `portero validate` says
//! is in `expected`; `PORTERO_CASES=accept` writes down what it says now.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder of tests/schema, by their paths below it.
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join("tests/schema").join(folder)).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a file").file_name())
        .map(|name| format!("{folder}/{}", name.to_string_lossy()))
        .collect();
    names.sort();
    names
}

fn xmllint(file: &str) -> Output {
    Command::new("xmllint")
        .args([
            "--noout",
            "--relaxng",
            "../../docs/schema/portero.rng",
            file,
        ])
        .current_dir(root().join("tests/schema"))
        .output()
        .expect("xmllint of Debian's libxml2-utils, which tests/roots puts into its trees")
}

fn validate(files: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portero"))
        .arg("validate")
        .args(files)
        .current_dir(root().join("tests/schema"))
        .output()
        .expect("portero")
}

fn is_accepted(output: &Output) -> bool {
    output.status.success()
}

#[test]
fn schema_and_planners_judge_alike() {
    // What each of the two says of a folder's files; 3 is xmllint's word for what the schema
    // refuses, 1 for what is no XML.
    let folders = [
        ("valid", true, true, 20),
        ("invalid", false, false, 140),
        ("beyond", true, false, 15),
    ];
    let mut wrong = Vec::new();
    for (folder, schema_accepts, portero_accepts, least) in folders {
        let files = files(folder);
        assert!(files.len() >= least, "files of {folder} are missing");
        for file in files {
            let schema = xmllint(&file);
            let code = schema.status.code();
            assert!(
                matches!(code, Some(0 | 1 | 3)),
                "xmllint {file}: {}",
                String::from_utf8_lossy(&schema.stderr)
            );
            if is_accepted(&schema) != schema_accepts {
                wrong.push(format!("{file}: xmllint exits {code:?}"));
            }
            let portero = validate(std::slice::from_ref(&file));
            if is_accepted(&portero) != portero_accepts {
                let code = portero.status.code();
                wrong.push(format!("{file}: portero validate exits {code:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files of docs/examples, but for its page.
fn examples() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs/examples")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of examples") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("README.md") => {}
                false => files.push(path),
            }
        }
    }
    files
}

#[test]
fn examples_are_valid_and_on_their_page() {
    let files = examples();
    assert!(files.len() > 10, "examples are missing: {files:?}");
    let page = fs::read_to_string(root().join("docs/examples/README.md")).expect("its page");
    for path in files {
        let name = path.display().to_string();
        // The suite `metrics` looks at those of Grafana and Prometheus.
        if path
            .extension()
            .is_some_and(|end| end == "xml" || end == "toml")
        {
            let output = validate(std::slice::from_ref(&name));
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said == format!("{name}: valid\n"), "{said}{output:?}");
        }
        if path.extension().is_some_and(|end| end == "xml") {
            let output = xmllint(&name);
            assert!(is_accepted(&output), "{name}: {output:?}");
        }
        let link = path.strip_prefix(root().join("docs/examples"));
        let link = format!("]({})", link.expect("an example").display());
        assert!(page.contains(&link), "{link} is not in the page");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let path = root().join("tests/schema/expected");
    let mut said = String::new();
    for folder in ["valid", "invalid", "beyond"] {
        let files = files(folder);
        let output = validate(&files);
        let lines = [output.stdout, output.stderr].concat();
        let lines = String::from_utf8(lines).expect("UTF-8");
        assert_eq!(lines.lines().count(), files.len(), "one line each: {lines}");
        said += &lines;
    }
    if std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept") {
        fs::write(&path, &said).expect("the file");
    }
    let expected = fs::read_to_string(&path).expect("tests/schema/expected");
    assert!(said == expected, "not as expected:\n{said}");
}
