//! A status as tables for people.

use super::row::State;
use super::table::{draw as table, Cell};
use super::value::{Forward, GuestStatus, NetworkStatus, PolicyStatus, Status};
use crate::map::shown;
use crate::terminal::Colors;
use anstyle::AnsiColor;
use std::fmt::Write as _;

/// Draws a status.
pub(super) fn draw(status: &Status, colors: Colors) -> String {
    let mut parts = Vec::new();
    if !status.networks.is_empty() {
        parts.push(networks(&status.networks, colors));
    }
    if !status.guests.is_empty() {
        parts.push(guests(&status.guests, colors));
    }
    parts.push(if status.forwards.is_empty() {
        "No ports are forwarded.\n".to_owned()
    } else {
        forwards(&status.forwards, colors)
    });
    parts.join("\n")
}

fn networks(networks: &[NetworkStatus], colors: Colors) -> String {
    let titles = ["NETWORK", "MODE", "BRIDGE", "ADDRESSES", "GUESTS", "POLICY"];
    let rows = networks.iter().map(|network| {
        [
            Cell::plain(shown(&network.name)),
            Cell::plain(network.mode),
            Cell::optional(network.bridge.as_deref().map(shown)),
            list(&network.addresses),
            Cell::plain(network.guests.to_string()),
            network
                .policy
                .as_ref()
                .map_or_else(|| Cell::plain("-"), policy),
        ]
    });
    let mut text = table(titles, rows.collect(), colors);
    let problems = networks.iter().flat_map(|network| &network.problems);
    for problem in problems {
        let word = colors.paint(AnsiColor::Yellow.on_default(), "warning:");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{word} {}", shown(problem));
    }
    text
}

fn policy(policy: &PolicyStatus) -> Cell {
    let rules = match policy.rules {
        1 => "1 rule".to_owned(),
        count => format!("{count} rules"),
    };
    let mut words = vec![
        format!("in {}", policy.inward),
        format!("out {}", policy.outward),
        format!("host {}", policy.host),
        rules,
    ];
    if let Some(mode) = policy.mode {
        words.insert(0, format!("as {mode}"));
    }
    if !policy.antispoof.is_empty() {
        words.push("antispoof".to_owned());
    }
    let text = words.join(", ");
    if policy.in_firewall {
        Cell::plain(text)
    } else {
        Cell::colored(format!("{text}; missing"), AnsiColor::Red)
    }
}

fn guests(guests: &[GuestStatus], colors: Colors) -> String {
    let titles = ["GUEST", "NETWORK", "INTERFACE", "MAC", "ADDRESSES"];
    let mut rows = Vec::new();
    for guest in guests {
        let name = guest.name.as_ref().unwrap_or(&guest.uuid);
        let name = Cell::plain(shown(name));
        if guest.interfaces.is_empty() {
            let none = || Cell::plain("-");
            rows.push([name.clone(), none(), none(), none(), none()]);
        }
        for interface in &guest.interfaces {
            rows.push([
                name.clone(),
                Cell::optional(interface.network.as_deref().map(shown)),
                Cell::optional(interface.target.as_deref().map(shown)),
                Cell::plain(interface.mac.as_str()),
                list(&interface.addresses),
            ]);
        }
    }
    table(titles, rows, colors)
}

fn forwards(forwards: &[Forward], colors: Colors) -> String {
    let titles = [
        "OWNER",
        "HOST",
        "GUEST",
        "FROM",
        "CONNECTIONS",
        "BYTES",
        "STATE",
    ];
    let rows = forwards.iter().map(|forward| {
        let row = &forward.row;
        let color = match row.state {
            State::Active => AnsiColor::Green,
            State::Missing => AnsiColor::Red,
            State::Pending { .. } | State::Claimed => AnsiColor::Yellow,
        };
        let state = match row.state.reason() {
            Some(reason) => format!("{}: {}", row.state.name(), shown(reason)),
            None => row.state.name().to_owned(),
        };
        [
            Cell::plain(format!(
                "{} {}",
                row.owner.kind.name(),
                shown(&row.owner.name)
            )),
            Cell::plain(row.host()),
            Cell::optional(row.guest()),
            Cell::optional(row.claim.source.map(|source| source.to_string())),
            Cell::optional(forward.connections.map(|count| count.to_string())),
            Cell::optional(forward.bytes.map(|count| count.to_string())),
            Cell::colored(state, color),
        ]
    });
    table(titles, rows.collect(), colors)
}

fn list(words: &[String]) -> Cell {
    Cell::optional((!words.is_empty()).then(|| words.join(", ")))
}
