//! Forwards as rows: one for each range of ports, typed until it is printed.

use portero_engine::Phase;
use portero_inventory::OwnerStatus;
use portero_libvirt::Driver;
use portero_model::{Claim, Owner, PortRange, Rule, Ruleset};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One range of ports of one owner.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "Printed")]
pub(crate) struct Row {
    /// Who wants it.
    pub(crate) owner: Owner,
    /// The host's side.
    pub(crate) claim: Claim,
    /// The guest's address and ports, once the address is known.
    pub(crate) guest: Option<(IpAddr, PortRange)>,
    /// What else is done with its connections, by the attributes of a portForward: `masquerade`, `symmetric`, and which sets
    /// are its ban lists.
    pub(crate) options: BTreeSet<String>,
    /// What has come of it.
    pub(crate) state: ForwardState,
}

/// What has come of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForwardState {
    /// It is in the firewall and can be reached.
    Active,
    /// It was given, and is not in the firewall.
    Missing,
    /// Something is missing yet.
    Pending {
        /// What.
        reason: String,
    },
    /// Its ports are held for a domain that has not started yet.
    Claimed,
}

impl ForwardState {
    /// The names of all states.
    pub(super) const NAMES: [&'static str; 4] = ["active", "missing", "pending", "claimed"];

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Missing => "missing",
            Self::Pending { .. } => "pending",
            Self::Claimed => "claimed",
        }
    }

    /// Why it is not active.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Active => None,
            Self::Missing => Some("not in the firewall; run 'portero sync'"),
            Self::Pending { reason } => Some(reason),
            Self::Claimed => Some("the domain has not started yet"),
        }
    }
}

impl Row {
    /// The host's port in words.
    pub(crate) fn port(&self) -> String {
        port(&self.claim)
    }

    /// The same, and by which interface it is reached.
    pub(crate) fn host(&self) -> String {
        match &self.claim.dev {
            Some(dev) => format!("{} on {dev}", self.port()),
            None => self.port(),
        }
    }

    /// Its options in words, if it has any.
    pub(crate) fn options(&self) -> Option<String> {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        (!options.is_empty()).then(|| options.join(", "))
    }

    /// The guest's side in words, once its address is known.
    pub(crate) fn guest(&self) -> Option<String> {
        self.guest.map(|(guest, ports)| with_port(guest, ports))
    }
}

/// What `--json` prints of an owner.
#[derive(Serialize)]
pub(super) struct PrintedOwner {
    /// `domain` or `network`.
    owner: &'static str,
    /// `qemu` or `lxc`, of a domain.
    driver: Option<&'static str>,
    name: String,
    uuid: String,
}

impl From<Owner> for PrintedOwner {
    fn from(owner: Owner) -> Self {
        Self {
            owner: owner.kind.name(),
            driver: owner.driver.map(Driver::name),
            name: owner.name,
            uuid: owner.uuid.to_string(),
        }
    }
}

/// What `--json` prints of a row.
#[derive(Serialize)]
struct Printed {
    #[serde(flatten)]
    owner: PrintedOwner,
    /// `tcp`, `udp` or `sctp`.
    protocol: String,
    /// The host's address; any when absent.
    address: Option<String>,
    /// The host's interface; any when absent.
    dev: Option<String>,
    /// Who may use it; everybody when absent.
    source: Option<String>,
    /// The host's ports, `80` or `2000-2020`.
    ports: String,
    /// The guest's address, once it is known.
    guest: Option<String>,
    /// The guest's ports, once the address is known.
    guest_ports: Option<String>,
    /// What else is done with its connections: `masquerade`, `symmetric`, `not set inet f2b banned`.
    options: BTreeSet<String>,
    /// `active`, `missing`, `pending` or `claimed`.
    state: &'static str,
    /// Why it is not active.
    reason: Option<String>,
}

impl From<Row> for Printed {
    fn from(row: Row) -> Self {
        Self {
            owner: row.owner.into(),
            protocol: row.claim.protocol.to_string(),
            address: row.claim.address.map(|address| address.to_string()),
            dev: row.claim.dev,
            source: row.claim.source.map(|source| source.to_string()),
            ports: row.claim.ports.to_string(),
            guest: row.guest.map(|(guest, _)| guest.to_string()),
            guest_ports: row.guest.map(|(_, ports)| ports.to_string()),
            options: row.options,
            state: row.state.name(),
            reason: row.state.reason().map(str::to_owned),
        }
    }
}

/// All forwards of owners, those that wait among them; what leads to a guest first, in the order of
/// the rules.
pub(crate) fn rows(owners: &[OwnerStatus]) -> Vec<Row> {
    let mut rows = Vec::new();
    for owner in owners {
        let (record, ruleset) = (&owner.record, &owner.record.ruleset);
        let options = options(ruleset);
        let row = |claim: Claim, guest: Option<(IpAddr, PortRange)>, state| Row {
            owner: ruleset.owner.clone(),
            options: guest
                .and_then(|(guest, _)| options.get(&guest).cloned())
                .unwrap_or_default(),
            claim,
            guest,
            state,
        };
        if record.phase == Phase::Prepared {
            let claims = ruleset.claims.iter().cloned();
            rows.extend(claims.map(|claim| row(claim, None, ForwardState::Claimed)));
            continue;
        }
        rows.extend(ruleset.dnats().map(|dnat| {
            let state = match owner.is_in_firewall {
                true => ForwardState::Active,
                false => ForwardState::Missing,
            };
            let mut row = row(dnat.claim(), Some((dnat.guest, dnat.guest_ports)), state);
            let bans = ruleset.ban_sets(dnat).map(|set| format!("not set {set}"));
            row.options.extend(bans);
            row
        }));
        for pending in &record.pending {
            let reason = &pending.reason;
            rows.extend(pending.claims.iter().cloned().map(|claim| {
                let reason = reason.clone();
                row(claim, None, ForwardState::Pending { reason })
            }));
        }
    }
    rows
}

/// What an owner's rules do with all connections that are sent to a guest.
fn options(ruleset: &Ruleset) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut options: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for rule in &ruleset.rules {
        let (guest, option) = match rule {
            Rule::Masquerade {
                source: None,
                guest,
                ..
            } => (guest, "masquerade"),
            Rule::Symmetric { guest, .. } => (guest, "symmetric"),
            _ => continue,
        };
        options.entry(*guest).or_default().insert(option.to_owned());
    }
    options
}

/// A port of the host in words: `tcp 192.0.2.1:8080`.
pub(super) fn port(claim: &Claim) -> String {
    let Claim {
        protocol, ports, ..
    } = claim;
    match claim.address {
        Some(address) => format!("{protocol} {}", with_port(address, *ports)),
        None => format!("{protocol} {ports}"),
    }
}

fn with_port(address: IpAddr, ports: PortRange) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{ports}"),
        IpAddr::V6(address) => format!("[{address}]:{ports}"),
    }
}
