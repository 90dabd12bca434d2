//! What forwards let through beside what is said of a guest's own address: whoever sends to the host's port reaches the
//! guest, though the guest itself is closed to them.

use super::reachability::{ConnectionEnd, Connections, Passes};
use super::sources::MapSources;
use crate::everybody::anybody;
use portero_inventory::ActiveNetwork;
use portero_libvirt::Network;
use portero_model::{Dnat, Family, Verdict};
use portero_routed_policy::{explain, At, End, Packet, PacketPath, Protocol, Routing};
use portero_system::InterfaceKind;

/// Says of connections from outside that forwards are among those that pass. Guests of other networks open theirs to the
/// host, which is told apart.
pub(super) fn note_forwards(connections: &mut [Connections], sources: &MapSources) {
    let given = sources.owners.iter().filter(|owner| owner.is_in_firewall);
    let dnats: Vec<&Dnat> = given
        .flat_map(|owner| owner.record.ruleset.dnats())
        .collect();
    for one in connections {
        let (ConnectionEnd::Outside, ConnectionEnd::Network(to)) = (&one.from, &one.to) else {
            continue;
        };
        let Some(to) = network(to, sources) else {
            continue;
        };
        for (family, told) in &mut one.families {
            let mut leading = dnats.iter().filter(|dnat| {
                Family::from(dnat.guest) == *family && to.subnet_of(dnat.guest).is_some()
            });
            if told.passes != Passes::All && leading.any(|dnat| passes(dnat, to, sources)) {
                told.add_forwards();
            }
        }
        let all = one.families.values().map(|told| told.passes);
        if let Some(passes) = all.reduce(Passes::with) {
            one.passes = passes;
        }
    }
}

fn network<'a>(name: &str, sources: &'a MapSources) -> Option<&'a ActiveNetwork> {
    let mut networks = sources.networks.iter();
    networks.find(|one| one.network.name.as_str() == name)
}

/// Whether a forward lets anybody outside in.
fn passes(dnat: &Dnat, to: &ActiveNetwork, sources: &MapSources) -> bool {
    if dnat.address.is_some_and(|address| address.is_loopback()) {
        return false;
    }
    let networks = ActiveNetwork::networks(&sources.networks);
    let policy_of = |network: &Network| ActiveNetwork::find_policy(&sources.networks, network);
    let routing = match sources.facts.passes_on.contains(&Family::from(dnat.guest)) {
        true => Routing::On,
        false => Routing::Off,
    };
    let bridge = to.network.bridge.as_ref().map(ToString::to_string);
    let packet = |from: End| Packet {
        from,
        to: End {
            address: dnat.guest,
            at: At::Behind(bridge.clone().unwrap_or_default()),
            mac: None,
        },
        protocol: Protocol::Port(dnat.protocol, dnat.guest_ports.start()),
        path: PacketPath::Forwarded,
        routing,
    };
    let mut clients = clients(dnat, sources).into_iter();
    clients.any(|client| explain(&packet(client), &networks, &policy_of).verdict == Verdict::Accept)
}

/// Somebody outside whose packets the forward takes, by each interface.
fn clients(dnat: &Dnat, sources: &MapSources) -> Vec<End> {
    let address = dnat
        .source
        .map_or(anybody(Family::from(dnat.guest)), |source| source.addr());
    let is_outer = |name: &str| {
        let mut networks = sources.networks.iter();
        !networks.any(|one| one.has_inner_bridge(name))
            && dnat.dev.as_deref().is_none_or(|wanted| wanted == name)
    };
    let interfaces = sources.interfaces.iter().filter(|one| {
        one.kind != InterfaceKind::Loopback && !one.addresses.is_empty() && is_outer(&one.name)
    });
    let client = |name: &str| End {
        address,
        at: At::Behind(name.to_owned()),
        mac: None,
    };
    interfaces.map(|one| client(&one.name)).collect()
}
