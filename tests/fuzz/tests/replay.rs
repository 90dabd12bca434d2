//! Replays the inputs in corpus: each target has some, and each of them passes. What they reach is asked
//! for too, or a target whose inputs are all refused early would look as good.

use portero_fuzz::{Reached, Target, TARGETS};
use std::fs;
use std::path::{Path, PathBuf};

/// Most that a target's inputs may take, in bytes and files.
const MOST_BYTES: usize = 300_000;
const MOST_FILES: usize = 150;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn replay(target: &Target) -> Vec<Reached> {
    let folder = folder("corpus").join(target.name);
    let mut reached = Vec::new();
    let mut bytes = 0;
    for name in names(&folder) {
        let input = fs::read(folder.join(&name)).expect("an input");
        bytes += input.len();
        println!("{}/{name}", target.name);
        reached.push((target.run)(&input));
    }
    assert!(
        reached.len() <= MOST_FILES,
        "{}: {} inputs",
        target.name,
        reached.len()
    );
    assert!(bytes <= MOST_BYTES, "{}: {bytes} bytes", target.name);
    reached
}

#[test]
fn every_input_passes_and_each_target_is_reached() {
    // On as many threads as there are targets: each has a machine of its own.
    std::thread::scope(|scope| {
        let targets = TARGETS
            .iter()
            .map(|target| (target, scope.spawn(move || replay(target))));
        let targets: Vec<_> = targets.collect();
        for (target, replayed) in targets {
            let reached = replayed
                .join()
                .unwrap_or_else(|_| panic!("{}: see above", target.name));
            for wanted in [Reached::Taken, Reached::Refused] {
                let count = reached.iter().filter(|one| **one == wanted).count();
                assert!(
                    count >= 3,
                    "{}: {count} of {} are {wanted:?}",
                    target.name,
                    reached.len()
                );
            }
        }
    });
}

#[test]
fn folders_and_programs_are_those_of_the_targets() {
    let mut targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort_unstable();
    assert_eq!(names(&folder("corpus")), targets);
    let programs: Vec<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&folder("targets")), programs);
}
