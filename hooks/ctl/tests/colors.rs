//! Colours: on a terminal, and nowhere else.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::process::Command;

/// What is seen on a terminal of `portero validate`, which has something to complain of.
fn on_a_terminal(environment: &[(&str, &str)]) -> String {
    let command = concat!(env!("CARGO_BIN_EXE_portero"), " validate /nonexistent");
    let output = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied())
        .output()
        .expect("script of Debian's util-linux");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn errors_are_red_where_they_may_be() {
    let red = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m cannot read";
    let plain = "error: cannot read";
    let terminal = ("TERM", "xterm");
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[terminal], red),
        (&[terminal, ("NO_COLOR", "1")], plain),
        (&[terminal, ("NO_COLOR", "")], red),
        (&[("TERM", "dumb")], plain),
    ];
    for (environment, expected) in cases {
        let seen = on_a_terminal(environment);
        assert!(seen.starts_with(expected), "{environment:?}: {seen:?}");
    }
}
