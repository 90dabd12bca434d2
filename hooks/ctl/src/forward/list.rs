//! `portero forward list`: what is written in a domain's metadata, one row for each range of ports and each whole address.

use super::spec::Spec;
use crate::json::to_json;
use crate::table::{draw, Cell};
use crate::terminal::Colors;
use ipnet::IpNet;
use portero_model::{Claim, PortRange, Protocol};
use portero_port_forward::Forward;
use serde::Serialize;
use std::net::IpAddr;

/// One range of ports, or all of an address.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// As `add` and `remove` take it.
    pub(super) forward: String,
    /// `tcp`, `udp` or `sctp`; all when absent.
    protocol: Option<Protocol>,
    /// The host's address; any when absent.
    address: Option<IpAddr>,
    /// The host's ports, `80` or `2000-2020`; all when absent.
    ports: Option<String>,
    /// The guest's ports; the same when absent.
    guest_ports: Option<String>,
    /// Those of all an address's ports that do not lead to the guest, as `add` takes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<String>,
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
    /// Whether the guest sees the host's address instead of the client's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    masquerade: bool,
    /// Whether answers leave by the uplink that the connection came by; portero.toml decides when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    symmetric: Option<bool>,
    /// The host's ports that it holds.
    #[serde(skip)]
    pub(super) claims: Vec<Claim>,
}

impl Row {
    /// What a forward says but for its ports.
    fn of(forward: &Forward, written: String) -> Self {
        Self {
            forward: written,
            protocol: None,
            address: forward.address,
            ports: None,
            guest_ports: None,
            excluded: Vec::new(),
            guest: forward.guest,
            source: forward.source,
            sources: forward.sources.iter().map(ToString::to_string).collect(),
            dev: forward.dev.as_ref().map(ToString::to_string),
            interface: forward.interface.map(|mac| mac.to_string()),
            masquerade: forward.masquerade,
            symmetric: forward.symmetric,
            claims: Vec::new(),
        }
    }

    /// It with all that `add` takes, but for the domain.
    pub(super) fn words(&self) -> String {
        let excluded = self.excluded.iter();
        let excluded = excluded.map(|ports| format!(" --exclude {ports}"));
        let mut words = self.forward.clone() + &excluded.collect::<String>();
        let sources = self.source.map(|source| source.to_string());
        for source in sources.iter().chain(&self.sources) {
            words += &format!(" --source {source}");
        }
        if let Some(dev) = &self.dev {
            words += &format!(" --dev {dev}");
        }
        let options = [
            (self.masquerade, " --masquerade"),
            (self.symmetric == Some(true), " --symmetric"),
        ];
        let given = options.iter().filter(|(is_given, _)| *is_given);
        words + &given.map(|(_, option)| *option).collect::<String>()
    }
}

pub(super) fn rows(forwards: &[Forward]) -> Vec<Row> {
    let mut rows = Vec::new();
    // An address comes to a forward for each protocol.
    for of_element in
        forwards.chunk_by(|one, other| other.is_whole_address && one.line == other.line)
    {
        for forward in of_element {
            if let (true, Some(address)) = (forward.is_whole_address, forward.address) {
                rows.push(Row {
                    excluded: excluded(of_element),
                    claims: of_element.iter().flat_map(Forward::claims).collect(),
                    ..Row::of(forward, address.to_string())
                });
                break;
            }
            rows.extend(forward.mappings.iter().map(|mapping| {
                Row {
                    protocol: Some(forward.protocol),
                    ports: Some(mapping.host.to_string()),
                    guest_ports: Some(mapping.guest.to_string()),
                    claims: (forward.claims())
                        .filter(|claim| claim.ports == mapping.host)
                        .collect(),
                    ..Row::of(forward, Spec::of(forward, *mapping).to_string())
                }
            }));
        }
    }
    rows
}

/// The ports that the forwards of an address leave out.
fn excluded(of_address: &[Forward]) -> Vec<String> {
    let mut excluded = Vec::new();
    for protocol in Protocol::ALL {
        let own = of_address.iter().filter(|one| one.protocol == protocol);
        let mut left = vec![PortRange::ALL];
        for mapping in own.flat_map(|one| &one.mappings) {
            left = left
                .iter()
                .flat_map(|ports| ports.without(mapping.host))
                .collect();
        }
        excluded.extend(left.iter().map(|ports| format!("{ports}/{protocol}")));
    }
    excluded
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
        let excluded = row
            .excluded
            .iter()
            .map(|ports| format!(" --exclude {ports}"));
        [
            Cell::plain(row.forward + &excluded.collect::<String>()),
            Cell::optional(row.guest),
            Cell::optional(joined(row.source, row.sources)),
            Cell::optional(row.dev),
            Cell::optional(row.interface),
        ]
    });
    draw(titles, rows.collect(), Colors::None)
}
