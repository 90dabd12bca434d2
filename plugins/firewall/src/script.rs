//! The two firewalls portero can write to, and the scripts that it gives their programs.

use crate::nftables::{Object, ObjectChange, Place};
use portero_model::Family;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// A firewall, by the name that libvirt has for it (`firewall_backend` in network.conf).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Firewall {
    /// iptables and ip6tables, whichever of their two variants is installed.
    Iptables,
    /// nftables.
    Nftables,
}

impl Firewall {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Iptables => Self::Nftables,
            Self::Nftables => Self::Iptables,
        }
    }
}

/// The program a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `iptables-restore --noflush` or `ip6tables-restore --noflush`: each table is changed as a
    /// whole or not at all.
    Restore(Family),
    /// `nft -f -`: everything or nothing.
    Nft,
}

impl Tool {
    /// Name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Restore(Family::Ipv4) => "iptables-restore",
            Self::Restore(Family::Ipv6) => "ip6tables-restore",
            Self::Nft => "nft",
        }
    }

    /// Its arguments; the script is its stdin.
    #[must_use]
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Restore(_) => &["--noflush"],
            Self::Nft => &["-f", "-"],
        }
    }
}

/// What one run of a firewall's program does. It can be printed, and one of nft's whose words are known can be given to the
/// kernel without the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The program.
    pub tool: Tool,
    /// Its commands in their order.
    pub commands: Vec<Command>,
}

/// Some of a script's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Whole lines, as the program reads them.
    Text(String),
    /// Elements of a set of nftables.
    Elements(ElementChange),
    /// Something of a table of nftables that comes or goes.
    Object(ObjectChange),
}

/// Elements of one set or map of nftables that come or go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementChange {
    /// Whether they come or go.
    pub verb: Verb,
    /// The table.
    pub place: Place,
    /// The set or map.
    pub set: String,
    /// Their keys, and what a map gives for each, in the words of nft(8).
    pub elements: Vec<(String, Option<String>)>,
}

/// What is done with elements, as nft(8) calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Verb {
    /// They come; those that are there stay.
    Add,
    /// They come; one that is there already fails everything.
    Create,
    /// They go; one that is not there fails everything.
    Delete,
}

impl Script {
    /// One that is nothing but text.
    #[must_use]
    pub fn of_text(tool: Tool, text: impl Into<String>) -> Self {
        let commands = vec![Command::Text(text.into())];
        Self { tool, commands }
    }

    /// The whole input of the program.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for command in &self.commands {
            match command {
                Command::Text(lines) => text += lines,
                Command::Elements(change) => change.write(&mut text),
                Command::Object(change) => change.write(&mut text),
            }
        }
        text
    }
}

impl ElementChange {
    fn write(&self, text: &mut String) {
        let (verb, place, set) = (self.verb, self.place, &self.set);
        // Writing to a String cannot fail.
        let _ = write!(text, "{verb} element {place} {set} {{ ");
        for (index, (key, data)) in self.elements.iter().enumerate() {
            if index > 0 {
                *text += ", ";
            }
            *text += key;
            if let Some(data) = data {
                *text += " : ";
                *text += data;
            }
        }
        *text += " }\n";
    }
}

/// Commands for nft that are being put together; what is written becomes their text.
#[derive(Debug, Default)]
pub(crate) struct Commands(Vec<Command>);

impl Commands {
    pub(crate) fn push(&mut self, change: ElementChange) {
        self.0.push(Command::Elements(change));
    }

    pub(crate) fn push_object(&mut self, change: ObjectChange) {
        self.0.push(Command::Object(change));
    }

    /// Something of a table comes or goes.
    pub(crate) fn change(&mut self, place: Place, object: Object) {
        self.push_object(ObjectChange { place, object });
    }

    /// The script for nft, if there is any command.
    pub(crate) fn finish(self) -> Option<Script> {
        let (tool, commands) = (Tool::Nft, self.0);
        (!commands.is_empty()).then_some(Script { tool, commands })
    }
}

impl fmt::Write for Commands {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.0.last_mut() {
            Some(Command::Text(last)) => *last += text,
            _ => self.0.push(Command::Text(text.to_owned())),
        }
        Ok(())
    }
}

/// Adds a script to others; what is for one program is one transaction.
pub fn append(scripts: &mut Vec<Script>, script: Option<Script>) {
    let Some(script) = script else {
        return;
    };
    match scripts.last_mut() {
        Some(last) if last.tool == script.tool => last.commands.extend(script.commands),
        _ => scripts.push(script),
    }
}
