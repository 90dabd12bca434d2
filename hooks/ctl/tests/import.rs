//! `portero import`: what is refused, with its line, and that virsh takes the commands it prints.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs a command with something on its stdin.
fn run(command: &mut Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // Whoever refuses early does not read it all.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("it ends")
}

fn portero(arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portero"));
    run(command.args(arguments).env_clear(), stdin)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// Checks that each text is refused with one line that begins and ends so.
fn are_refused(cases: &[(&str, usize, &str)]) {
    for (input, line, expected) in cases {
        let output = portero(&["import", "-"], input);
        let said = text(output.stderr);
        assert_eq!(output.status.code(), Some(1), "{input}\n{said}");
        assert_eq!(text(output.stdout), "", "{input}");
        let start = format!("error: stdin, line {line}: ");
        assert!(said.starts_with(&start), "expected '{start}': {said}");
        assert!(said.contains(expected), "expected '{expected}': {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_hooks_json_cannot_say_is_refused() {
    are_refused(&[
        ("{\n", 1, "no JSON"),
        ("{\n \"a\": {},\n}", 2, "no JSON"),
        ("/* */", 1, "expected an object of domains"),
        ("{\"a\":\n 5}", 2, "expected an object with 'private_ip'"),
        ("{\"a\": {\n\"port_map\": {}}}", 1, "private_ip is missing"),
        ("{\"a/b\": {}}", 1, "not an object's name"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\"},\n\"a\": {}}", 2, "'a' is there twice"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\",\n\"private_port\": 5}}", 2, "'private_port' is not known"),
        ("{\"a\": {\"private_ip\":\n 5}}", 2, "private_ip: expected a string"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\":\n []}}", 2, "expected an object of protocols"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\":\n {\"gre\": [1]}}}", 2, "protocol 'gre' is not known"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\": {\"tcp\":\n 80}}}", 2, "expected a list of ports"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\": {\"tcp\": [80,\n\"http\"]}}}", 2, "expected a port"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\": {\"tcp\": [80,\n 0]}}}", 2, "'0' is not a port"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\": {\"tcp\": [80,\n 8.5]}}}", 2, "'8.5' is not a port"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\": {\"tcp\": [\n[1,2,3]]}}}", 2, "expected a pair"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_map\": {\"tcp\": [80,\n[80, 81]]}}}", 2, "domain 'a': a port of it is forwarded twice"),
        ("{\"a\": {\"private_ip\": \"192.0.2.300\", \"port_map\":\n {\"tcp\": [80]}}}", 2, "domain 'a': guest: '192.0.2.300' is not an IP address"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"source_ip\": \"any\", \"port_map\":\n {\"tcp\": [80]}}}", 2, "source: 'any' is not a network"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_range\":\n 5}}", 2, "port_range: expected a list"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_range\": [\n{\"init_port\": 5}]}}", 2, "ports_num is missing"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_range\": [\n{\"init_port\": 65530, \"ports_num\": 7, \"protocol\": \"tcp\"}]}}", 2, "pass 65535"),
        ("{\"a\": {\"private_ip\": \"192.0.2.1\", \"port_range\": [\n{\"init_port\": 5, \"count\": 7}]}}", 2, "'count' is not known"),
    ]);
}

#[test]
fn shell_that_is_not_understood_is_refused() {
    are_refused(&[
        ("#!/usr/bin/python3\nimport os\n", 1, "a program of /usr/bin/python3"),
        ("#!/bin/sh\n# nothing\n", 1, "no domain is named"),
        ("#!/bin/sh\n\necho `rm -rf /`\n", 3, "'`' is not understood"),
        ("A=$(cat /etc/passwd)\n", 1, "'$' is not understood"),
        ("A=${B:-c}\n", 1, "'${B' is not understood"),
        ("x\n\ny > /tmp/z\n", 3, "'>' is not understood"),
        ("x | y\n", 1, "'|' is not understood"),
        ("iptables -F &\n", 1, "'&' is not understood"),
        ("for i in 1 2; do\n", 1, "'for' is not understood"),
        ("case \"$1\" in\n", 1, "'case' is not understood"),
        ("f() {\n", 1, "'(' is not understood"),
        ("[ \"$1\" = web ] && iptables -F\n", 1, "'[' is not understood"),
        ("if [ \"$1\" = web ]; then\n", 1, "without its 'fi'"),
        ("if [ \"$1\" = web ]\necho\n", 2, "without its 'then'"),
        ("if [ \"$1\" = web -o \"$1\" = db ]; then\nfi\n", 1, "expected [ A = B ]"),
        ("if [ \"$1\" = web ]; then\nfi\nfi\n", 3, "'fi' is not understood"),
        ("if grep web x; then\nfi\n", 1, "'if' is not understood"),
        ("A='web\n", 1, "never closed"),
        ("A=5 iptables -F\n", 1, "a variable for one command"),
        ("if [ \"$1\" = web ]; then\n  sysctl -w net.ipv4.ip_forward=1\nfi\n", 2, "'sysctl' is not understood, expected iptables"),
        ("if [ \"$1\" = web ]; then\n  iptables -t nat -A PREROUTING -p tcp --dport $P -j DNAT --to 192.0.2.1\nfi\n", 2, "P is not set"),
        ("if [ \"$1\" = web ]; then\n  P=\n  iptables -t nat -A PREROUTING -p tcp --dport $P -j DNAT --to 192.0.2.1\nfi\n", 3, "P is empty"),
        ("iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to 192.0.2.1\n", 1, "for every domain"),
    ]);
    let rules = [
        (
            "-A PREROUTING -p tcp --dport 80 -j DNAT --to 192.0.2.1",
            "expected -t nat",
        ),
        (
            "-t nat -A MINE -p tcp --dport 80 -j DNAT --to 192.0.2.1",
            "expected DNAT in PREROUTING",
        ),
        (
            "-t nat -A PREROUTING --dport 80 -j DNAT --to 192.0.2.1",
            "expected -p tcp",
        ),
        (
            "-t nat -A PREROUTING -p gre -j DNAT --to 192.0.2.1",
            "protocol 'gre' is not known",
        ),
        (
            "-t nat -A PREROUTING -p tcp -j DNAT --to 192.0.2.1",
            "expected --dport",
        ),
        (
            "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT",
            "expected --to-destination",
        ),
        (
            "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to :80",
            "is no destination",
        ),
        (
            "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to host:80",
            "guest: 'host' is not an IP address",
        ),
        (
            "-t nat -A PREROUTING -p tcp --dport 80:90 -j DNAT --to 192.0.2.1:80",
            "expected each to lead to one",
        ),
        (
            "-t nat -A PREROUTING -p tcp --dport http -j DNAT --to 192.0.2.1",
            "'http' is not a port",
        ),
        (
            "-t nat -A PREROUTING ! -s 10.0.0.0/8 -p tcp --dport 80 -j DNAT --to 192.0.2.1",
            "'!' is not understood",
        ),
        (
            "-t nat -A PREROUTING -m limit --limit 5/s -p tcp --dport 80 -j DNAT --to 192.0.2.1",
            "'-m' is not understood",
        ),
        ("-P FORWARD ACCEPT", "expected -A, -I or -D"),
        ("-A FORWARD", "expected -j"),
    ];
    for (rule, expected) in rules {
        let script = format!("if [ \"$1\" = web ]; then\n\n  iptables {rule}\nfi\n");
        are_refused(&[(&script, 3, expected)]);
    }
}

#[test]
fn virsh_takes_the_command_and_portero_what_comes_of_it() {
    let hooks = r#"{"test": {"private_ip": "192.168.122.9", "public_ip": "203.0.113.1",
        "port_map": {"tcp": [[8080, 80], 443], "udp": [53]}}}"#;
    let output = portero(&["import", "-"], hooks);
    let printed = text(output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let command = printed.lines().find(|line| line.starts_with("virsh "));
    let command = command.expect("a command");
    // As a shell divides it, and then as virsh does.
    let mut shell = Command::new("sh");
    let divided = run(
        shell.args([
            "-c",
            &format!("virsh() {{ printf '%s\\n' \"$@\"; }}\n{command}"),
        ]),
        "",
    );
    let divided = text(divided.stdout);
    let quoted = shlex::try_join(divided.lines()).expect("no NUL");
    let virsh = Command::new("virsh")
        .args(["-q", "-c", "test:///default"])
        .arg(format!("{quoted}; dumpxml test --inactive"))
        .output()
        .expect("virsh of Debian's libvirt-clients, which tests/roots puts into its trees");
    let xml = text(virsh.stdout);
    let start = xml.find("<domain").expect("the domain's XML");
    let xml = &xml[start..];
    let element = printed.lines().skip(1).take_while(|line| !line.is_empty());
    for line in element {
        let line = line.trim().replace('\'', "\"");
        assert!(xml.contains(&line), "expected {line} in {xml}");
    }
    let output = portero(&["validate", "-"], xml);
    assert_eq!(text(output.stdout), "stdin: valid\n", "{xml}");
}
