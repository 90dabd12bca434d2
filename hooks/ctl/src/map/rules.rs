//! What the rules that are in the firewall do otherwise than a map says, which is drawn by policies and libvirt's modes.

use super::sources::MapSources;
use crate::doctor::{missing, restart_networks};
use crate::everybody::RULES;
use crate::stop::name_stop;
use crate::stopped::{uplink, Certainty, Host, Obstacle};
use portero_engine::{ApplyError, Engine};
use portero_inventory::{daemons, foreign_rules, OwnerStatus};
use portero_model::Family;
use portero_system::Deadline;
use std::collections::BTreeMap;

/// Notes what differs of each network.
pub(super) fn note(sources: &mut MapSources, engine: &mut Engine<'_>) -> Result<(), ApplyError> {
    let rules = foreign_rules(&Family::ALL, Deadline::after(RULES));
    let restart = restart_networks(&daemons());
    let uplink = uplink(engine)?;
    let outer: Vec<String> = uplink.iter().cloned().collect();
    for one in &sources.networks {
        let name = one.network.name.to_string();
        let mut notes = Vec::new();
        if rules.unread.is_empty() {
            let gone = missing(one, &rules);
            notes.extend(gone.map(|gone| format!("{gone}; run '{restart}'")));
        }
        let host = Host {
            networks: &sources.networks,
            facts: &sources.facts,
            outer: &outer,
            rules: &rules,
        };
        let way_out = uplink
            .as_deref()
            .and_then(|uplink| host.stopped_way_out(one, uplink));
        notes.extend(
            way_out
                .as_ref()
                .and_then(whoever_stops)
                .map(|by| format!("connections of its guests to others are stopped: {by}")),
        );
        // What is forwarded into this network alone.
        let into = Host {
            networks: std::slice::from_ref(one),
            ..host
        };
        notes.extend(stopped_forwards(&into, &sources.owners));
        if !notes.is_empty() {
            sources.contradictions.insert(name, notes);
        }
    }
    Ok(())
}

/// Who stops what is forwarded into a network from outside: of each rule the first forward alone is named, for many forwards
/// meet the same.
fn stopped_forwards(host: &Host<'_>, owners: &[OwnerStatus]) -> Vec<String> {
    let mut stopped = BTreeMap::new();
    let forwards = host.stopped_forwards(owners);
    let unknown = forwards.unknown();
    for found in forwards.stopped {
        if let Some(by) = whoever_stops(&found.obstacle) {
            let (protocol, port) = (found.dnat.protocol, found.dnat.ports.start());
            stopped.entry(by).or_insert((protocol, port));
        }
    }
    let notes = stopped.into_iter().map(|(by, (protocol, port))| {
        format!("what is forwarded from {protocol} port {port} is stopped: {by}")
    });
    notes.chain(unknown).collect()
}

/// The verdict and the rule, where it is sure.
fn whoever_stops(obstacle: &Obstacle) -> Option<String> {
    let stop = &obstacle.stop;
    (obstacle.certainty == Certainty::Sure)
        .then(|| format!("{} by {}", stop.verdict, name_stop(stop)))
}
