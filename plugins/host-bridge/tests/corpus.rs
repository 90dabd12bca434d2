//! Runs the corpus in tests/bridge: a folder for each set of ifcfg files, with what is wanted in
//! `case` and what comes of it in `expected`. `PORTERO_CASES=accept` writes down what comes of it
//! now.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use portero_host_bridge::{
    plan, Bridge, BridgePlan, FileChange, HostFiles, HostNic, Ifcfg, NicKind, NicState, Stp,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bridge");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("tests/bridge")
        .map(|entry| entry.expect("a case").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let accepts = std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept");
    let mut failed = Vec::new();
    for case in cases {
        let transcript = run(&case);
        let path = case.join("expected");
        if accepts {
            fs::write(&path, &transcript).expect("expected");
        } else if fs::read_to_string(&path).unwrap_or_default() != transcript {
            failed.push(format!("--- {}\n{transcript}", case.display()));
        }
    }
    assert!(failed.is_empty(), "not as expected:\n{}", failed.join("\n"));
}

/// `case` says what it is about in comments, then `bridge NAME [stp]`, and for each NIC of the host
/// `nic NAME MAC [in MASTER | wireless]`, with what its files do not say as `state`; those in the bridge are said as `port NAME`.
fn run(case: &Path) -> String {
    let text = fs::read_to_string(case.join("case")).expect("case");
    assert!(text.starts_with("# "), "{} says nothing", case.display());
    let (mut nics, mut ports, mut name, mut stp) = (Vec::new(), Vec::new(), None, Stp::Off);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["bridge", word, rest @ ..] => {
                name = Some(word.parse().expect("a bridge's name"));
                if rest == ["stp"] {
                    stp = Stp::On;
                }
            }
            ["port", word] => ports.push(word.parse().expect("a port's name")),
            ["nic", word, mac, rest @ ..] => nics.push(HostNic {
                name: word.parse().expect("a NIC's name"),
                mac: mac.parse().ok(),
                master: match rest {
                    ["in", master] => Some((*master).to_owned()),
                    _ => None,
                },
                kind: match rest {
                    ["wireless"] => NicKind::Wireless,
                    _ => NicKind::Wired,
                },
                state: NicState::default(),
            }),
            ["state", word, rest @ ..] => {
                let known = nics.iter_mut().find(|nic| nic.name.as_str() == *word);
                known.expect("a NIC before its state").state = state(rest);
            }
            [] => {}
            other => panic!("{}: {other:?}", case.display()),
        }
    }
    let bridge = Bridge {
        name: name.expect("a bridge"),
        nics: ports,
        stp,
    };
    match plan(&bridge, None, &files(case), &nics) {
        Ok(plan) => {
            for change in &plan.changes {
                is_read_alike_by_a_shell(case, change);
            }
            show(&plan)
        }
        Err(error) => format!("refused: {error}\n"),
    }
}

/// What follows `state NAME`: `metric NUMBER`, `iaid NUMBER` and `slaac ADDRESS`, in any order.
fn state(words: &[&str]) -> NicState {
    let mut state = NicState::default();
    for pair in words.chunks(2) {
        match pair {
            ["metric", number] => state.metric = Some(number.parse().expect("a number")),
            ["iaid", number] => state.iaid = Some(number.parse().expect("a number")),
            ["slaac", address] => state.slaac.push(address.parse().expect("an address")),
            other => panic!("{other:?}"),
        }
    }
    state
}

/// initscripts source the files: a real shell has to find the values that were meant.
fn is_read_alike_by_a_shell(case: &Path, change: &FileChange) {
    let Some(after) = &change.after else {
        return;
    };
    if !change.path.contains("/ifcfg-") {
        return;
    }
    let file = Ifcfg::parse(after).expect("what was written can be read");
    let place = format!("{} {}", case.display(), change.path);
    let keys: Vec<&str> = after
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('=').map(|(key, _)| key))
        .collect();
    let prints: String = keys
        .iter()
        .map(|key| format!("printf '%s\\n' \"${key}\"\n"))
        .collect();
    let output = Command::new("bash")
        .args(["-e", "-u", "-c", &format!("{after}{prints}")])
        .env_clear()
        .output()
        .expect("bash");
    assert!(output.status.success(), "{place}: {output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let values: Vec<&str> = said.lines().collect();
    for (key, value) in keys.iter().zip(values) {
        let written = after
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        // What is kept as it is written is nobody's to read.
        let is_verbatim =
            written == file.get(key) && written.is_some_and(|text| text.contains(['$', '\\', '"']));
        assert!(
            is_verbatim || file.get(key) == Some(value),
            "{place}: {key}"
        );
    }
}

/// The files below the case's `etc`.
fn files(case: &Path) -> HostFiles {
    let etc = case.join("etc");
    let mut files = HostFiles::default();
    let mut folders = vec![etc.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&etc).expect("below etc");
            files.insert_bytes(name.to_string_lossy(), &fs::read(&path).expect("a file"));
        }
    }
    files
}

fn show(plan: &BridgePlan) -> String {
    let mut text = String::new();
    for (nic, owner) in &plan.owners {
        if let Some(owner) = owner {
            text += &format!("{nic} is left to {owner}\n");
        }
    }
    for warning in &plan.warnings {
        text += &format!("warning: {warning}\n");
    }
    for change in &plan.changes {
        match &change.after {
            Some(after) => text += &format!("== {}\n{after}", change.path),
            None => text += &format!("== {} is removed\n", change.path),
        }
    }
    text
}
