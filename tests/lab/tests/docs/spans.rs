//! Commands in the text, outside of blocks: `portero` and virsh have to know them with their options.

use portero_lab::Lab;

/// What libvirt 9.7 brought, and older ones are not asked about.
const NEWER: &str = "net-metadata";

/// Adds to `failures` what is not known.
pub fn check(lab: &Lab, path: &str, code: &[String], failures: &mut Vec<String>) {
    for command in code {
        let words = words(command);
        let ran = match words.split_first() {
            Some((&"portero", rest)) if !rest.is_empty() => {
                lab.run("portero", &[rest, &["--help"]].concat())
            }
            Some((&"virsh", rest)) if !rest.is_empty() => {
                let ran = lab.run("virsh", &["help", rest[0]]);
                if !ran.ok && rest[0] == NEWER {
                    continue;
                }
                let mut options = rest.iter().filter(|word| word.starts_with("--"));
                if let Some(unknown) = options.find(|option| !ran.stdout.contains(**option)) {
                    failures.push(format!("{path}: `{command}`: virsh knows no {unknown}"));
                }
                ran
            }
            _ => continue,
        };
        if !ran.ok {
            failures.push(format!("{path}: `{command}` is not known:\n{}", ran.stderr));
        }
    }
}

/// The words of a command, up to where it is piped elsewhere.
fn words(command: &str) -> Vec<&str> {
    let words = command.split_whitespace();
    words
        .take_while(|word| !["|", ">", "..."].contains(word))
        .collect()
}
