//! What the package gives people at a terminal: completion in the shells that Debian has, and manual pages.

use crate::world::World;
use portero_lab::Scenario;
use std::collections::BTreeSet;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "shells: bash, zsh and fish complete portero",
        run: complete,
    },
    Scenario {
        name: "shells: man shows every page that one names",
        run: manual,
    },
];

/// Types into a shell on a terminal.
const KEYS: &str = include_str!("keys.py");

/// Where the shells have their settings.
const HOME: &str = "/run/lab.home";

/// Shells with the file that each reads first, and what is in it: what Debian gives users, or the manual of the shell.
const SHELLS: [(&str, &str, &str); 3] = [
    (
        "bash",
        ".bashrc",
        "$(cat /etc/skel/.bashrc)\nPS1='ready> '\nunset PROMPT_COMMAND",
    ),
    (
        "zsh",
        ".zshrc",
        "autoload -Uz compinit\ncompinit -D\nPS1='ready> '",
    ),
    (
        "fish",
        ".config/fish/config.fish",
        "function fish_prompt; echo -n 'ready> '; end\nset -g fish_greeting",
    ),
];

/// Where the package has what completes in each of them.
const SCRIPTS: [(&str, &str); 3] = [
    ("/usr/share/bash-completion/completions", "portero"),
    ("/usr/share/zsh/vendor-completions", "_portero"),
    ("/usr/share/fish/vendor_completions.d", "portero.fish"),
];

/// Lines and what they become.
const LINES: [(&str, &str); 6] = [
    ("portero im", "portero import"),
    ("portero bridge ro", "portero bridge rollback"),
    ("portero plan --j", "portero plan --json"),
    // Names of the machine's guests and networks, and its interfaces.
    ("portero explain w", "portero explain web"),
    ("portero policy show l", "portero policy show lan"),
    (
        "portero bridge plan --nic et",
        "portero bridge plan --nic eth0",
    ),
];

/// A line that becomes one of these.
const LIST: (&str, [&str; 2]) = ("portero bridge r", ["remove", "rollback"]);

fn complete(world: &mut World) {
    world.has_portero();
    world.vm.write("/run/lab.keys", KEYS);
    // fish makes completions of all manual pages where it finds none, which takes an emulated processor minutes. Where no
    // files are, no shell offers any.
    world.vm.must(&format!(
        "mkdir -p {HOME}/empty {HOME}/.cache/fish/generated_completions"
    ));
    for (_, file, settings) in SHELLS {
        world.vm.must(&format!(
            "mkdir -p \"$(dirname {HOME}/{file})\"; cat >{HOME}/{file} <<END\n{settings}\nEND"
        ));
    }
    for (shell, lines, list) in typed(world, &LINES) {
        for ((line, expected), got) in LINES.iter().zip(&lines) {
            assert_eq!(got, expected, "{shell}: {line}");
        }
        for expected in LIST.1 {
            assert!(list.contains(expected), "{shell}: no {expected} in {list}");
        }
        assert!(!list.contains("confirm "), "{shell}: {list}");
    }
    // The control: it is the package's files that complete, and not the shells. zsh reads whatever begins with `_` in their
    // folder.
    for (folder, file) in SCRIPTS {
        world.vm.must(&format!("mv {folder}/{file} {HOME}/"));
    }
    for (shell, lines, list) in typed(world, &LINES[..3]) {
        for ((line, _), got) in LINES.iter().zip(&lines) {
            assert_eq!(got, line, "{shell} without portero's file");
        }
        assert!(!list.contains(LIST.1[0]), "{shell}: {list}");
    }
    for (folder, file) in SCRIPTS {
        world.vm.must(&format!("mv {HOME}/{file} {folder}/"));
    }
    world
        .vm
        .must(&format!("rm -r {HOME} /run/lab.keys; dpkg -V portero"));
}

/// What each shell makes of the lines, and shows for the list. They run at once: most of the time goes by until nothing
/// more comes.
fn typed(world: &World, lines: &[(&str, &str)]) -> Vec<(String, Vec<String>, String)> {
    let shells: Vec<&str> = SHELLS.iter().map(|(shell, ..)| *shell).collect();
    let words: String = lines.iter().map(|(line, _)| format!(" '{line}'")).collect();
    let said = world.vm.must(&format!(
        "cd {HOME}/empty
         for shell in {}; do
             env -i HOME={HOME} TERM=xterm LANG=C.UTF-8 PATH=\"$PATH\" \
                 python3 /run/lab.keys $shell '{}'{words} >{HOME}/$shell &
             all=\"$all $!\"
         done
         for one in $all; do wait $one || exit; done
         cd {HOME} && cat {}",
        shells.join(" "),
        LIST.0,
        shells.join(" "),
    ));
    let of_shell = |(shell, text): (&&str, &str)| {
        let mut said: Vec<String> =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{shell}: {error}: {text}"));
        let list = said.pop().expect("what is shown for the list");
        ((*shell).to_owned(), said, list)
    };
    let said: Vec<_> = shells.iter().zip(said.lines()).map(of_shell).collect();
    assert_eq!(said.len(), SHELLS.len());
    for (_, got, _) in &said {
        assert_eq!(got.len(), lines.len());
    }
    said
}

/// How a page is asked for: as wide as no line is, so that no name is divided, and with what groff complains of.
const MAN: &str = "env -i LC_ALL=C PATH=\"$PATH\" MANWIDTH=2000 man --warnings=w --pager=cat";

fn manual(world: &mut World) {
    world.has_portero();
    let mut asked = BTreeSet::new();
    let mut named = vec!["portero(1)".to_owned()];
    while let Some(page) = named.pop() {
        if !asked.insert(page.clone()) {
            continue;
        }
        let (name, section) = page.trim_end_matches(')').split_once('(').expect("a page");
        let ran = world.vm.run(&format!("{MAN} {section} {name}"));
        assert!(ran.ok && ran.stderr.is_empty(), "{page}: {ran:?}");
        for heading in ["NAME", "DESCRIPTION", "SEE ALSO"] {
            let is_there = ran.stdout.lines().any(|line| line.trim_end() == heading);
            assert!(is_there, "{heading} in {page}: {}", ran.stdout);
        }
        let head = ran.stdout.lines().next().unwrap_or_default();
        assert!(
            head.starts_with(&page.to_uppercase()) || head.starts_with(&page),
            "{head}"
        );
        named.extend(names(&ran.stdout));
    }
    println!("  {} pages", asked.len());
    // Each page of the package is named by one.
    let installed = world.vm.must("dpkg -L portero | grep '/share/man/.*gz$'");
    let installed: BTreeSet<String> = installed.lines().filter_map(of_file).collect();
    assert!(installed.len() > 10, "{installed:?}");
    assert_eq!(asked, installed);
    // Controls: a page that is not there, and one that groff complains of.
    let ran = world.vm.run(&format!("{MAN} 1 portero-frob"));
    assert!(!ran.ok && !ran.stderr.is_empty(), "{ran:?}");
    world
        .vm
        .write("/run/lab.1", ".TH LAB 1\n.SH NAME\nlab\n.frob nicate");
    let ran = world.vm.run(&format!("{MAN} /run/lab.1; rm /run/lab.1"));
    assert!(ran.stderr.contains("frob"), "{ran:?}");
}

/// The pages of portero's that a text names: `portero-bridge(1)`.
fn names(text: &str) -> impl Iterator<Item = String> + '_ {
    let is_other = |letter: char| !letter.is_ascii_alphanumeric() && !"-.()".contains(letter);
    text.split(is_other).filter_map(|word| {
        let at = word.find("portero")?;
        let (name, rest) = word[at..].split_once('(')?;
        let section = rest.chars().next().filter(char::is_ascii_digit)?;
        rest[1..]
            .starts_with(')')
            .then(|| format!("{name}({section})"))
    })
}

/// The page that a file is: `portero(1)` of /usr/share/man/man1/portero.1.gz.
fn of_file(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?.strip_suffix(".gz")?;
    let (name, section) = file.rsplit_once('.')?;
    Some(format!("{name}({section})"))
}
