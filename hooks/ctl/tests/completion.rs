//! The scripts in packaging/completions, in the shells they are for.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a shell prints that runs a script; `$scripts` is the folder of the completions.
fn said(shell: &str, arguments: &[&str], script: &str) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completions");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_portero"));
    let folder = program.parent().expect("a folder").display();
    let output = Command::new(shell)
        .args(arguments)
        .args(["-c", script])
        .env("PATH", format!("{folder}:/usr/bin:/bin"))
        .env("HOME", "/nonexistent")
        .env("scripts", scripts)
        .output()
        .unwrap_or_else(|error| panic!("{shell}, which tests/roots puts into its trees: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "{shell}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Checks that each of these words is offered for the last one of a line, and nothing else.
fn are_offered(complete: impl Fn(&[&str]) -> String) {
    let cases: [(&[&str], &[&str]); 8] = [
        (&["portero", "im"], &["import"]),
        (&["portero", "bridge", "r"], &["remove", "rollback"]),
        (&["portero", "plan", "--j"], &["--json"]),
        (&["portero", "bridge", "plan", "--nic", "lo"], &["lo"]),
        (
            &["portero", "forward", "add", "web", "80", "--dev", "lo"],
            &["lo"],
        ),
        (&["portero", "forward", "remove", "web", "--a"], &["--all"]),
        (&["portero", "report", "--a"], &["--anonymous"]),
        (&["portero", "status", "--format", "p"], &["prometheus"]),
    ];
    for (words, expected) in cases {
        let offered = complete(words);
        let mut offered: Vec<&str> = offered
            .lines()
            .map(|line| line.split(['\t', ':']).next().unwrap_or_default())
            .collect();
        offered.sort_unstable();
        assert_eq!(offered, expected, "{words:?}");
    }
    assert_eq!(complete(&["portero", "frob", "x"]), "");
}

#[test]
fn bash() {
    are_offered(|words| {
        // As bash itself calls whatever `complete` has registered.
        let script = format!(
            ". \"$scripts/portero.bash\"
             function=$(complete -p portero | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
             COMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9
             \"$function\" portero '{}' '{}' 2>&1
             [ ${{#COMPREPLY[@]}} = 0 ] || printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        // `compopt` has nothing to say outside of a completion, and says that.
        said(
            "bash",
            &["--norc"],
            &format!("compopt() {{ :; }}\n{script}"),
        )
    });
}

#[test]
fn zsh() {
    are_offered(|words| {
        // The file is the function's body, as compinit makes it, and is asked at once.
        let script = format!(
            "typeset -gA _comps; _comps[portero]=_portero
             compdef() {{ _comps[$2]=$1; }}
             _describe() {{ print -l -- \"${{(@P)3}}\"; }}
             fpath=($scripts $fpath); autoload -U _portero
             words=({}); CURRENT={}; _portero",
            words.join(" "),
            words.len(),
        );
        said("zsh", &["-f"], &script)
    });
}

#[test]
fn fish() {
    are_offered(|words| {
        let script = format!(
            "source $scripts/portero.fish; complete -C '{}'",
            words.join(" ")
        );
        said("fish", &["--no-config"], &script)
    });
}

#[test]
fn no_portero_is_no_error() {
    let script = "PATH=/nonexistent; source \"$scripts/portero.bash\"; echo done";
    assert_eq!(said("bash", &["--norc"], script), "done\n");
}
