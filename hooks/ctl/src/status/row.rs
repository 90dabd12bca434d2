//! Forwards as rows: one for each range of ports.

use portero_engine::{OwnerStatus, Phase};
use portero_model::Claim;
use serde::Serialize;

/// One range of ports of one owner.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// `domain` or `network`.
    pub(crate) owner: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) uuid: String,
    /// `tcp`, `udp` or `sctp`.
    protocol: String,
    /// The host's address; any when absent.
    address: Option<String>,
    /// The host's interface; any when absent.
    pub(crate) dev: Option<String>,
    /// Who may use it; everybody when absent.
    pub(crate) source: Option<String>,
    /// The host's ports, `80` or `2000-2020`.
    ports: String,
    /// The guest's address, once it is known.
    pub(crate) guest: Option<String>,
    /// The guest's ports, once the address is known.
    guest_ports: Option<String>,
    /// `active`, `missing`, `pending` or `claimed`.
    pub(crate) state: &'static str,
    /// Why it is not active.
    pub(crate) reason: Option<String>,
}

impl Row {
    /// The host's port in words: `tcp 192.0.2.1:8080`.
    pub(crate) fn port(&self) -> String {
        match &self.address {
            Some(address) => format!("{} {}", self.protocol, with_port(address, &self.ports)),
            None => format!("{} {}", self.protocol, self.ports),
        }
    }

    /// The same, and by which interface it is reached.
    pub(crate) fn host(&self) -> String {
        match &self.dev {
            Some(dev) => format!("{} on {dev}", self.port()),
            None => self.port(),
        }
    }

    /// The guest's side in words, once its address is known.
    pub(crate) fn guest(&self) -> Option<String> {
        match (&self.guest, &self.guest_ports) {
            (Some(guest), Some(ports)) => Some(with_port(guest, ports)),
            _ => None,
        }
    }
}

/// All forwards of owners, those that wait among them; what leads to a guest first, in the order of
/// the rules.
pub(crate) fn rows(owners: &[OwnerStatus]) -> Vec<Row> {
    let mut rows = Vec::new();
    for OwnerStatus {
        record,
        is_in_firewall,
    } in owners
    {
        let ruleset = &record.ruleset;
        let row = |claim: &Claim| Row {
            owner: ruleset.owner.kind.name(),
            name: ruleset.owner.name.clone(),
            uuid: ruleset.owner.uuid.to_string(),
            protocol: claim.protocol.to_string(),
            address: claim.address.map(|address| address.to_string()),
            dev: claim.dev.clone(),
            source: claim.source.map(|source| source.to_string()),
            ports: claim.ports.to_string(),
            guest: None,
            guest_ports: None,
            state: "pending",
            reason: None,
        };
        if record.phase == Phase::Prepared {
            rows.extend(ruleset.claims.iter().map(|claim| Row {
                state: "claimed",
                reason: Some("the domain has not started yet".to_owned()),
                ..row(claim)
            }));
            continue;
        }
        let (state, reason) = if *is_in_firewall {
            ("active", None)
        } else {
            ("missing", Some("not in the firewall; run 'portero sync'"))
        };
        rows.extend(ruleset.dnats().map(|dnat| Row {
            guest: Some(dnat.guest.to_string()),
            guest_ports: Some(dnat.guest_ports.to_string()),
            state,
            reason: reason.map(str::to_owned),
            ..row(&dnat.claim())
        }));
        for waiting in &record.pending {
            rows.extend(waiting.claims.iter().map(|claim| Row {
                reason: Some(waiting.reason.clone()),
                ..row(claim)
            }));
        }
    }
    rows
}

fn with_port(address: &str, ports: &str) -> String {
    if address.contains(':') {
        format!("[{address}]:{ports}")
    } else {
        format!("{address}:{ports}")
    }
}
