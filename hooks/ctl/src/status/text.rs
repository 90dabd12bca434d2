//! A status as tables for people.

use super::obstacles::{Obstacles, Stopped};
use super::row::ForwardState;
use super::value::{CountedForward, HostStatus, NetworkStatus, PolicyStatus};
use crate::table::{draw as table, Cell};
use crate::terminal::Colors;
use crate::text::shown;
use anstyle::AnsiColor;
use portero_inventory::Guest;
use portero_libvirt::Driver;

/// Draws a status.
pub(super) fn draw(status: &HostStatus, colors: Colors) -> String {
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
    let mut text = parts.join("\n");
    text += &obstacles(&status.obstacles, colors);
    text
}

fn obstacles(obstacles: &Obstacles, colors: Colors) -> String {
    let unread = obstacles.unread.iter();
    let unread = unread.map(|why| format!("what rules of others stop is not known: {why}"));
    let lines = obstacles.stopped.iter().map(Stopped::line).chain(unread);
    lines.map(|line| warning(&line, colors)).collect()
}

/// A line on what is not as it should be.
fn warning(what: &str, colors: Colors) -> String {
    let word = colors.paint(AnsiColor::Yellow.on_default(), "warning:");
    format!("{word} {}\n", shown(what))
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
            network.policy.as_ref().map_or(Cell::plain("-"), policy),
        ]
    });
    let mut text = table(titles, rows.collect(), colors);
    let problems = networks.iter().flat_map(|network| &network.problems);
    problems.for_each(|problem| text += &warning(problem, colors));
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
    match policy.in_firewall {
        true => Cell::plain(text),
        false => Cell::colored(format!("{text}; missing"), AnsiColor::Red),
    }
}

fn guests(guests: &[Guest], colors: Colors) -> String {
    let titles = ["GUEST", "NETWORK", "INTERFACE", "MAC", "ADDRESSES"];
    let mut rows = Vec::new();
    for guest in guests {
        let name = shown(&guest.shown_name());
        let name = Cell::plain(match guest.driver {
            Some(Driver::Lxc) => format!("{name} (lxc)"),
            Some(Driver::Qemu) | None => name,
        });
        if guest.nics.is_empty() {
            let none = || Cell::plain("-");
            rows.push([name.clone(), none(), none(), none(), none()]);
        }
        for nic in &guest.nics {
            let target = nic.target.as_ref();
            rows.push([
                name.clone(),
                Cell::optional(nic.network.as_deref().map(shown)),
                Cell::optional(target.map(|target| shown(target.as_str()))),
                Cell::plain(nic.mac.to_string()),
                list(&nic.addresses),
            ]);
        }
    }
    table(titles, rows, colors)
}

fn forwards(forwards: &[CountedForward], colors: Colors) -> String {
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
            ForwardState::Active => AnsiColor::Green,
            ForwardState::Missing => AnsiColor::Red,
            ForwardState::Pending { .. } | ForwardState::Claimed => AnsiColor::Yellow,
        };
        let state = match row.state.reason() {
            Some(reason) => format!("{}: {}", row.state.name(), shown(reason)),
            None => row.state.name().to_owned(),
        };
        let owner = &row.owner;
        [
            Cell::plain(format!("{} {}", owner.word(), shown(&owner.name))),
            Cell::plain(row.host()),
            Cell::optional(row.guest()),
            Cell::optional(row.claim.source),
            Cell::optional(forward.connections),
            Cell::optional(forward.bytes),
            Cell::colored(state, color),
        ]
    });
    table(titles, rows.collect(), colors)
}

fn list(words: &[impl ToString]) -> Cell {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    Cell::optional((!words.is_empty()).then(|| words.join(", ")))
}
