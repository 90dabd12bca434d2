//! `portero forward list`: what is written in a domain's metadata, one row for each range of ports.

use super::spec::Spec;
use crate::json::to_json;
use comfy_table::{presets, Table};
use portero_port_forward::Forward;
use serde::Serialize;

/// One range of ports.
#[derive(Debug, Serialize)]
struct Row {
    /// As `add` and `remove` take it.
    forward: String,
    /// `tcp`, `udp` or `sctp`.
    protocol: String,
    /// The host's address; any when absent.
    address: Option<String>,
    /// The host's ports, `80` or `2000-2020`.
    ports: String,
    /// The guest's ports.
    guest_ports: String,
    /// The guest's address; by DHCP when absent.
    guest: Option<String>,
    /// Who may use it; everybody when absent.
    source: Option<String>,
    /// The host's interface; any when absent.
    dev: Option<String>,
    /// MAC address of the domain's interface; the first on a virtual network when absent.
    interface: Option<String>,
}

fn rows(forwards: &[Forward]) -> Vec<Row> {
    let mut rows = Vec::new();
    for forward in forwards {
        rows.extend(forward.mappings.iter().map(|mapping| {
            Row {
                forward: Spec {
                    address: forward.address,
                    mapping: *mapping,
                    protocol: forward.protocol,
                }
                .to_string(),
                protocol: forward.protocol.to_string(),
                address: forward.address.map(|address| address.to_string()),
                ports: mapping.host.to_string(),
                guest_ports: mapping.guest.to_string(),
                guest: forward.guest.map(|guest| guest.to_string()),
                source: forward.source.map(|source| source.to_string()),
                dev: forward.dev.as_ref().map(ToString::to_string),
                interface: forward.interface.map(|mac| mac.to_string()),
            }
        }));
    }
    rows
}

/// The forwards as JSON.
pub(super) fn json(forwards: &[Forward]) -> String {
    to_json(&rows(forwards))
}

/// The forwards as a table.
pub(super) fn table(forwards: &[Forward]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["FORWARD", "GUEST", "SOURCE", "DEV", "INTERFACE"]);
    for row in rows(forwards) {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            row.forward,
            or_dash(row.guest),
            or_dash(row.source),
            or_dash(row.dev),
            or_dash(row.interface),
        ]);
    }
    let lines = table.to_string();
    lines
        .lines()
        .map(|line| line.trim().to_owned() + "\n")
        .collect()
}
