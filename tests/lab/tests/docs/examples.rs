//! The files of docs/examples: each folder is what /etc/portero holds, and is applied on the host of the pages. Files beside
//! the folders are libvirt's.

use crate::world::World;
use portero_docs::project;
use std::fs;
use std::path::{Path, PathBuf};

/// The second address of the host, of which an example gives all to a guest.
const SECOND: &str = "192.0.2.11/24";

/// An example: a folder, or a file of libvirt's. The suite `metrics` looks at those of Grafana and Prometheus.
pub fn examples() -> Vec<PathBuf> {
    let mut examples = entries(&project().join("docs/examples"));
    let is_xml = |path: &Path| path.extension().is_some_and(|end| end == "xml");
    examples.retain(|path| path.is_dir() || is_xml(path));
    examples
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of examples");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// Applies an example; gives what is not as it should be.
pub fn check(world: &World, example: &Path, failures: &mut Vec<String>) {
    if example.is_dir() {
        let add = ["address", "add", SECOND, "dev", "eth0"];
        world.lab.must("ip", &add);
        apply(world, example, failures);
        let delete = ["address", "delete", SECOND, "dev", "eth0"];
        world.lab.must("ip", &delete);
    } else {
        define(world, example, failures);
    }
}

fn run(world: &World, words: &[&str], failures: &mut Vec<String>) -> String {
    let ran = world.lab.run(words[0], &words[1..]);
    let warns = ["error:", "warning:"].iter();
    if !ran.ok || warns.clone().any(|word| ran.stderr.contains(word)) {
        failures.push(format!("{words:?}\n{}{}", ran.stdout, ran.stderr));
    }
    ran.stdout
}

/// Copies the files to /etc/portero, and looks whether everything that they ask for is in force.
fn apply(world: &World, example: &Path, failures: &mut Vec<String>) {
    let mut policies = Vec::new();
    let mut forwards = 0;
    for path in entries(example) {
        let files = match path.is_dir() {
            true => entries(&path),
            false => vec![path],
        };
        for file in files {
            let text = fs::read_to_string(&file).expect("an example");
            let below = file.strip_prefix(example).expect("a file of it");
            let to = Path::new("/etc/portero").join(below);
            fs::write(&to, &text).expect("a file of /etc/portero");
            run(
                world,
                &["portero", "validate", &to.to_string_lossy()],
                failures,
            );
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            if text.contains("<portero:policy") {
                policies.push(name.into_owned());
            }
            forwards += text.matches("<portero:portForward").count();
            forwards += text.matches("<portero:address host").count();
        }
    }
    run(world, &["portero", "sync"], failures);
    let status = run(world, &["portero", "status", "--json"], failures);
    let active = status.matches("\"state\": \"active\"").count();
    let all = status.matches("\"state\": ").count();
    if active < forwards || active < all {
        failures.push(format!(
            "{forwards} forwards are written, {active} of {all} are active:\n{status}"
        ));
    }
    // It finds what is right and nothing can come of, as an address that the host lacks.
    let found = run(world, &["portero", "doctor"], failures);
    if !found.starts_with("Nothing found by:") {
        failures.push(found);
    }
    for network in policies {
        let shown = run(world, &["portero", "policy", "show", &network], failures);
        if !shown.contains("in the firewall") {
            failures.push(shown);
        }
    }
}

/// Defines a network or guest, and starts a network that needs nothing else.
fn define(world: &World, example: &Path, failures: &mut Vec<String>) {
    let text = fs::read_to_string(example).expect("an example");
    // Nobody has KVM here.
    let text = text.replace("type='kvm'", "type='qemu'");
    let path = world.lab.file("example.xml", &text);
    let valid = run(world, &["portero", "validate", &path], failures);
    if valid != format!("{path}: valid\n") {
        failures.push(valid);
    }
    if text.contains("<domain ") {
        run(world, &["virsh", "define", &path], failures);
        return;
    }
    run(world, &["virsh", "net-define", &path], failures);
    let mut name = text.split(['<', '>']).skip_while(|word| *word != "name");
    let name = name.nth(1).unwrap_or_default().to_owned();
    let ran = world.lab.try_virsh(&["net-start", &name]);
    // The bridge that a network needs is the administrator's to make.
    let lacks_bridge = text.contains("hostBridge") && ran.stderr.contains("br0");
    if !ran.ok && !lacks_bridge {
        failures.push(format!("net-start {name}: {}", ran.stderr));
    }
}
