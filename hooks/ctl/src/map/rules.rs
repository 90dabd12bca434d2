//! What the rules that are in the firewall do otherwise than a map says, which is drawn by policies and libvirt's modes.

use super::sources::MapSources;
use crate::doctor::{forward_flow, missing, restart_networks};
use crate::policy::rulings;
use crate::stop::name_stop;
use portero_engine::{ApplyError, Engine};
use portero_inventory::{daemons, foreign_rules, link_of, ActiveNetwork};
use portero_model::{Family, Protocol, Verdict};
use portero_routed_policy::{At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_system::{Deadline, RouteLookup};
use portero_trace::{Flow, Judgement, Leg, Link, Rules, Side, Traffic};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Longest time to read everybody's rules.
const RULES: Duration = Duration::from_secs(10);

/// Somebody outside: an address that nobody has (RFC 5737).
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Notes what differs of each network.
pub(super) fn note(sources: &mut MapSources, engine: &mut Engine<'_>) -> Result<(), ApplyError> {
    let rules = foreign_rules(&Family::ALL, Deadline::after(RULES));
    let restart = restart_networks(&daemons());
    let uplink = match engine.route_lookup(OUTSIDE.into())? {
        RouteLookup::Behind { interface, .. } => Some(interface),
        RouteLookup::Host | RouteLookup::Nowhere => None,
    };
    for one in &sources.networks {
        let name = one.network.name.to_string();
        let mut notes = Vec::new();
        if rules.unread.is_empty() {
            let gone = missing(one, &rules);
            notes.extend(gone.map(|gone| format!("{gone}; run '{restart}'")));
        }
        if let Some(uplink) = &uplink {
            notes.extend(stopped(one, sources, &rules, uplink));
            notes.extend(stopped_forwards(one, sources, &rules, uplink));
        }
        if !notes.is_empty() {
            sources.contradictions.insert(name, notes);
        }
    }
    Ok(())
}

/// Who stops what a network's guests send out, where policies and libvirt let it pass.
fn stopped(
    one: &ActiveNetwork,
    sources: &MapSources,
    rules: &Rules,
    uplink: &str,
) -> Option<String> {
    let bridge = one.network.bridge.as_ref()?.to_string();
    let mut subnets = one.network.subnets.iter();
    let subnet = subnets.find(|subnet| subnet.address.is_ipv4())?;
    let end = |address, dev: &str| End {
        address,
        at: At::Behind(dev.to_owned()),
        mac: None,
    };
    let packet = Packet {
        from: end(subnet.address, &bridge),
        to: end(OUTSIDE.into(), uplink),
        protocol: Service::Port(Protocol::Tcp, 443),
        path: PacketPath::Direct,
        routing: match sources.facts.passes_on.contains(&Family::Ipv4) {
            true => Routing::On,
            false => Routing::Off,
        },
    };
    if rulings(&packet, &sources.networks).0.verdict != Verdict::Accept {
        return None;
    }
    let flow = Flow {
        traffic: Traffic::Port {
            protocol: Protocol::Tcp,
            port: 443,
            from: None,
        },
        client: Side::Behind(Link::bridge(bridge)),
        client_address: Some(subnet.address),
        server: Side::Behind(link_of(Some(uplink.to_owned()))),
        server_address: OUTSIDE.into(),
        translated: None,
        is_masqueraded: true,
        judges_bridged: sources.facts.judges_bridged.contains(&Family::Ipv4),
    };
    let stopped = whoever_stops(&flow, rules)?;
    Some(format!(
        "connections of its guests to others are stopped: {stopped}"
    ))
}

/// Who stops what is forwarded into a network from outside: of each rule the first forward alone is named, for many forwards
/// meet the same.
fn stopped_forwards(
    one: &ActiveNetwork,
    sources: &MapSources,
    rules: &Rules,
    uplink: &str,
) -> Vec<String> {
    let given = sources.owners.iter().filter(|owner| owner.is_in_firewall);
    let dnats = given.flat_map(|owner| owner.record.ruleset.dnats());
    let mut stopped = BTreeMap::new();
    for dnat in dnats {
        if dnat.dev.as_ref().is_some_and(|dev| dev != uplink) {
            continue;
        }
        let network = std::slice::from_ref(one);
        let Some(mut flow) = forward_flow(dnat, network, &sources.facts) else {
            continue;
        };
        flow.client = Side::Behind(link_of(Some(uplink.to_owned())));
        if let Some(by) = whoever_stops(&flow, rules) {
            let (protocol, port) = (dnat.protocol, dnat.ports.start());
            stopped.entry(by).or_insert((protocol, port));
        }
    }
    let notes = stopped.into_iter().map(|(by, (protocol, port))| {
        format!("what is forwarded from {protocol} port {port} is stopped: {by}")
    });
    notes.collect()
}

/// The verdict and the rule that stop a flow, on its way there or back.
fn whoever_stops(flow: &Flow, rules: &Rules) -> Option<String> {
    [Leg::There, Leg::Back]
        .into_iter()
        .find_map(|leg| match rules.judge(flow, leg) {
            Judgement::Stopped(stop) => Some(format!("{} by {}", stop.verdict, name_stop(&stop))),
            Judgement::Doubtful(_) | Judgement::Passes => None,
        })
}
