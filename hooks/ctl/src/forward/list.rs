//! `portero forward list`: what is written in a domain's metadata, one row for each range of ports.

use super::spec::Spec;
use crate::json::to_json;
use crate::table::{draw, Cell};
use crate::terminal::Colors;
use ipnet::IpNet;
use portero_model::Protocol;
use portero_port_forward::Forward;
use serde::Serialize;
use std::net::IpAddr;

/// One range of ports.
#[derive(Debug, Serialize)]
struct Row {
    /// As `add` and `remove` take it.
    forward: String,
    /// `tcp`, `udp` or `sctp`.
    protocol: Protocol,
    /// The host's address; any when absent.
    address: Option<IpAddr>,
    /// The host's ports, `80` or `2000-2020`.
    ports: String,
    /// The guest's ports.
    guest_ports: String,
    /// The guest's address; by DHCP when absent.
    guest: Option<IpAddr>,
    /// Who may use it; everybody when absent.
    source: Option<IpNet>,
    /// Who else, and who not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    /// The host's interface; any when absent.
    dev: Option<String>,
    /// MAC address of the domain's interface; the first on a virtual network when absent.
    interface: Option<String>,
}

fn rows(forwards: &[Forward]) -> Vec<Row> {
    let rows = forwards.iter().flat_map(|forward| {
        forward.mappings.iter().map(|mapping| Row {
            forward: Spec::of(forward, *mapping).to_string(),
            protocol: forward.protocol,
            address: forward.address,
            ports: mapping.host.to_string(),
            guest_ports: mapping.guest.to_string(),
            guest: forward.guest,
            source: forward.source,
            sources: forward.sources.iter().map(ToString::to_string).collect(),
            dev: forward.dev.as_ref().map(ToString::to_string),
            interface: forward.interface.map(|mac| mac.to_string()),
        })
    });
    rows.collect()
}

/// All sources on one line; nothing where everybody is meant.
fn joined(source: Option<IpNet>, others: Vec<String>) -> Option<String> {
    let all = source.map(|source| source.to_string()).into_iter();
    let all: Vec<String> = all.chain(others).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// The forwards as JSON.
pub(super) fn json(forwards: &[Forward]) -> String {
    to_json(&rows(forwards))
}

/// The forwards as a table.
pub(super) fn table(forwards: &[Forward]) -> String {
    let titles = ["FORWARD", "GUEST", "SOURCE", "DEV", "INTERFACE"];
    let rows = rows(forwards).into_iter().map(|row| {
        [
            Cell::plain(row.forward),
            Cell::optional(row.guest),
            Cell::optional(joined(row.source, row.sources)),
            Cell::optional(row.dev),
            Cell::optional(row.interface),
        ]
    });
    draw(titles, rows.collect(), Colors::None)
}
