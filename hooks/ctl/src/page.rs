//! The manual pages of `portero` and its subcommands, portero(1), portero-bridge(1) and so on: written
//! by what the command itself understands, when it is built.

mod examples;

use crate::args::Args;
use clap::{Command, CommandFactory};
use clap_mangen::roff::{bold, roman, Roff};
use clap_mangen::Man;
use std::io::{self, Write};

/// How each help with exit statuses begins them.
const EXIT_STATUS: &str = "Exit status: ";

/// The exit statuses of commands whose help has none.
const USUAL_STATUS: &str = "0 done; 1 failed; 2 usage.";

/// Files, and what is in them.
const FILES: [(&str, &str); 6] = [
    (
        "/etc/portero/portero.toml",
        "The settings, see portero.toml(5).",
    ),
    (
        "/etc/portero/domains/NAME.xml, /etc/portero/networks/NAME.xml",
        "The same elements as in the metadata of a domain or network, see portero-xml(5).",
    ),
    (
        "/etc/portero/groups/NAME.xml",
        "Groups of peers, for rules of policies and for forwards.",
    ),
    (
        "/run/portero",
        "What the hooks know and what they did; the next boot empties it.",
    ),
    (
        "/var/lib/portero/bridges",
        "Bridges that portero made, with the files from before.",
    ),
    ("/etc/libvirt/hooks/*.d/50-portero", "The hooks."),
];

/// What the command reads of its environment; nothing else has an effect.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("NO_COLOR", "If it is not empty, portero prints no colours. It never prints any if stderr is no terminal."),
    (
        "PORTERO_COMPLETE",
        "The shell (bash, zsh, fish) for which portero completes a command line, and does nothing else. Without a \
         command line it prints the script for the shell.",
    ),
];

/// The command with everything built and without `help`, whose page would be that of the others.
fn command() -> Command {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The command and those below it that have pages.
fn visible(command: &Command) -> Vec<Command> {
    let below = command.get_subcommands();
    let below = below.filter(|below| !below.is_hide_set());
    let all = [command.clone()].into_iter().chain(below.flat_map(visible));
    all.collect()
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

/// The names of all pages, one a line.
pub(crate) fn list() -> String {
    let commands = visible(&command());
    let names = commands
        .iter()
        .map(|command| format!("{}\n", name(command)));
    names.collect()
}

/// A page in the language of man(7); nothing when there is none of that name.
pub(crate) fn page(wanted: &str) -> Option<String> {
    let root = command();
    let commands = visible(&root);
    let command = commands.iter().find(|command| name(command) == wanted)?;
    let mut page = Vec::new();
    // Writing to a Vec cannot fail.
    write(command, &commands, &mut page).ok()?;
    String::from_utf8(page).ok()
}

fn write(command: &Command, all: &[Command], page: &mut dyn Write) -> io::Result<()> {
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    // The date would be another with each build; without one the roff crate leaves out its place too.
    let man = Man::new(command.clone())
        .date(" ")
        .source(format!("portero {version}"))
        .manual("portero");
    man.render_title(page)?;
    man.render_name_section(page)?;
    let usage = command.clone().render_usage().to_string();
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([bold(usage.trim_start_matches("Usage: "))]);
    synopsis.to_writer(page)?;
    man.render_description_section(page)?;
    let mut arguments = command.get_arguments();
    if arguments.any(|argument| !argument.is_hide_set()) {
        man.render_options_section(page)?;
    }
    if visible(command).len() > 1 {
        man.render_subcommands_section(page)?;
    }
    let mut rest = Roff::new();
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let status = help.strip_prefix(EXIT_STATUS).unwrap_or(USUAL_STATUS);
    rest.control("SH", ["EXIT STATUS"]);
    for part in status.trim_end_matches('.').split("; ") {
        let (number, meaning) = part.split_once(' ').unwrap_or((part, ""));
        entry(&mut rest, number, &format!("{meaning}."));
    }
    if name(command) == "portero" {
        for (heading, entries) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("FILES", &FILES)] {
            rest.control("SH", [heading]);
            for (term, meaning) in entries {
                entry(&mut rest, term, meaning);
            }
        }
    }
    rest.control("SH", ["EXAMPLES"]);
    for (example, purpose) in examples::of(name(command)) {
        entry(&mut rest, example, purpose);
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text([roman(see_also(command, all))]);
    rest.to_writer(page)
}

fn entry(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}

/// The page above, those beside it, and those of other sections.
fn see_also(command: &Command, all: &[Command]) -> String {
    let own = name(command);
    let above = own.rsplit_once('-').map(|(above, _)| above);
    let is_near = |other: &&str| {
        let beside = other.rsplit_once('-').map(|(above, _)| above);
        *other != own && (Some(*other) == above || (above.is_some() && beside == above))
    };
    let pages = all.iter().map(name).filter(is_near);
    let pages: String = pages.map(|page| format!("{page}(1), ")).collect();
    pages + "portero-xml(5), portero.toml(5), portero-hooks(7), portero-watch(8), virsh(1)"
}
