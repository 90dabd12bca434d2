//! What may be meant by a command that there is none of: the nearest one, or the one that does what a word of another tool's
//! asks for.

use crate::candidates::nearest;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory};

/// Words of virsh, docker, podman, firewall-cmd, nmcli and others, and the command that does that here.
const HABITS: [(&[&str], &str); 14] = [
    (
        &["list", "ls", "ps", "port", "ports", "forwards"],
        "portero forward list",
    ),
    (
        &["add", "expose", "publish", "open", "allow"],
        "portero forward add",
    ),
    (
        &["remove", "rm", "delete", "del", "unpublish", "close"],
        "portero forward remove",
    ),
    (
        &["inspect", "show", "info", "get", "dominfo", "stats"],
        "portero status NAME",
    ),
    (&["top", "watch", "monitor"], "portero status --watch"),
    (
        &[
            "reload", "restart", "refresh", "apply", "up", "restore", "start",
        ],
        "portero sync",
    ),
    (
        &["flush", "down", "stop", "clear", "reset", "disable"],
        "portero withdraw",
    ),
    (&["diff", "preview"], "portero plan"),
    (&["check", "diagnose", "health", "verify"], "portero doctor"),
    (&["logs", "log", "journal"], "journalctl -t portero"),
    (&["trace", "why", "test", "debug"], "portero explain"),
    (
        &["net-list", "networks", "network", "topology", "graph"],
        "portero map",
    ),
    (
        &["support", "sosreport", "bugreport", "dump"],
        "portero report",
    ),
    (&["version", "ver"], "portero --version"),
];

/// The same within `portero forward` and its siblings.
const HABITS_WITHIN: [(&[&str], &str); 5] = [
    (&["show", "get", "status", "query", "ps"], "list"),
    (&["list", "ls", "get", "ps"], "show"),
    (&["create", "new", "set", "publish", "modify"], "add"),
    (&["delete", "del", "drop", "unset"], "remove"),
    (&["try", "up"], "apply"),
];

/// An error with what may be meant in the place of clap's own guess, which is by the letters that two words share.
pub(crate) fn improve(mut error: Error) -> Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let word = word.clone();
    error.remove(ContextKind::SuggestedSubcommand);
    error.remove(ContextKind::Suggested);
    let root = crate::args::Args::command();
    let within = within(&root);
    let (meant, is_command) = match within {
        Some(parent) => (meant_within(&word, parent), true),
        None => meant(&word, &root),
    };
    if let Some(meant) = meant {
        match is_command {
            true => {
                let value = ContextValue::Strings(vec![meant]);
                error.insert(ContextKind::SuggestedSubcommand, value);
            }
            false => {
                let line = format!("run '{meant}'").into();
                let value = ContextValue::StyledStrs(vec![line]);
                error.insert(ContextKind::Suggested, value);
            }
        }
    }
    error
}

/// The command of the line whose subcommand is wrong; none at the top.
fn within(root: &Command) -> Option<&Command> {
    let mut words = std::env::args().skip(1);
    let first = words.find(|word| !word.starts_with('-'))?;
    let parent = root.find_subcommand(&first)?;
    parent.has_subcommands().then_some(parent)
}

fn names(of: &Command) -> impl Iterator<Item = String> + '_ {
    let shown = of.get_subcommands().filter(|one| !one.is_hide_set());
    shown.map(|one| one.get_name().to_owned())
}

fn habit(word: &str, known: &[(&[&str], &'static str)]) -> Option<&'static str> {
    let mut known = known.iter();
    let (_, meant) = known.find(|(words, _)| words.contains(&word))?;
    Some(meant)
}

/// What a word means at the top, and whether that is a command by itself.
fn meant(word: &str, root: &Command) -> (Option<String>, bool) {
    match habit(word, &HABITS) {
        Some(line) => (Some(line.to_owned()), false),
        None => (nearest(word, names(root)), true),
    }
}

fn meant_within(word: &str, parent: &Command) -> Option<String> {
    let mut habits = HABITS_WITHIN.iter();
    let habit = habits
        .find(|(words, name)| words.contains(&word) && parent.find_subcommand(name).is_some());
    habit.map_or_else(
        || nearest(word, names(parent)),
        |(_, name)| Some((*name).to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::{meant, meant_within, HABITS};
    use clap::CommandFactory;

    #[test]
    fn what_is_meant_is_there() {
        let root = crate::args::Args::command();
        let of = |word: &str| meant(word, &root).0;
        assert_eq!(of("stauts").as_deref(), Some("status"));
        assert_eq!(of("list").as_deref(), Some("portero forward list"));
        assert_eq!(of("frobnicate"), None);
        for (_, line) in HABITS {
            let mut words = line.split(' ').filter(|word| !word.starts_with('-'));
            if words.next() != Some("portero") {
                continue;
            }
            let command = words.next();
            let found = command.is_none_or(|name| root.find_subcommand(name).is_some());
            assert!(found, "{line}");
        }
        for (words, _) in HABITS {
            let known = words
                .iter()
                .find(|word| root.find_subcommand(word).is_some());
            assert_eq!(known, None, "a command is no habit");
        }
    }

    #[test]
    fn within_a_command_its_own_are_meant() {
        let root = crate::args::Args::command();
        let of = |parent: &str, word: &str| {
            let parent = root.find_subcommand(parent);
            parent.and_then(|parent| meant_within(word, parent))
        };
        assert_eq!(of("forward", "delete").as_deref(), Some("remove"));
        assert_eq!(of("forward", "lsit").as_deref(), Some("list"));
        assert_eq!(of("forward", "ps").as_deref(), Some("list"));
        assert_eq!(of("policy", "ls").as_deref(), Some("show"));
        assert_eq!(of("policy", "delete"), None);
        assert_eq!(of("bridge", "aply").as_deref(), Some("apply"));
    }
}
