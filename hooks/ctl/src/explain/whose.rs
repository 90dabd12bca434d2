//! Whose an address is that the host does not have.

use super::value::{AddressOf, Asked};
use super::view::HostView;
use ipnet::IpNet;
use portero_inventory::{ask_udp, who_has, Object};
use portero_libvirt::Network;
use portero_system::{Interface, Linux};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The port of the service that throws away whatever it is sent (RFC 863).
const DISCARD: u16 = 9;

/// How long the kernel may take to find a neighbour of IPv6: three questions, a second apart.
const DISCOVERY: Duration = Duration::from_secs(4);

/// Nothing when the host has it.
pub(super) fn lacking(address: IpAddr, asked: &Asked, known: &HostView) -> Option<AddressOf> {
    let is_own = address.is_loopback() || known.own.iter().any(|(_, own)| *own == address);
    if is_own {
        return None;
    }
    if let Some(network) = network_of(address, known) {
        return Some(AddressOf::Network {
            name: network.name.to_string(),
            leads: leading(address, asked, known),
        });
    }
    let interfaces = Linux::interfaces();
    let Some((interface, net)) = interface_of(address, &interfaces) else {
        return Some(AddressOf::Unknown);
    };
    Some(answering(address, interface, net, known))
}

/// The network, active or not, with a subnet that the address is in.
fn network_of(address: IpAddr, known: &HostView) -> Option<&Network> {
    let networks = known.desired.iter().filter_map(|one| match &one.object {
        Object::Network(network) => Some(network),
        Object::Domain(_) => None,
    });
    let holds = |network: &&Network| {
        let nets = network.subnets.iter();
        let mut nets = nets.flat_map(|subnet| IpNet::new(subnet.address, subnet.prefix));
        network.mode.is_routed_by_host() && nets.any(|net| net.contains(&address))
    };
    networks.into_iter().find(holds)
}

/// A port of the host that leads to the port that is asked about at a guest: best one that anybody reaches by any
/// address of the host's.
fn leading(address: IpAddr, asked: &Asked, known: &HostView) -> Option<String> {
    let owners = known.owners.iter();
    let dnats = owners.flat_map(|owner| owner.record.ruleset.dnats());
    let is_own = |host: IpAddr| known.own.iter().any(|(_, own)| *own == host);
    let leading = dnats.filter(|dnat| {
        dnat.guest == address
            && dnat.protocol == asked.protocol
            && (dnat.guest_ports.start()..=dnat.guest_ports.end()).contains(&asked.port)
            && dnat.address.is_none_or(is_own)
    });
    let best = leading.min_by_key(|dnat| (dnat.source.is_some(), dnat.address.is_some()))?;
    let port = best.ports.start() + (asked.port - best.guest_ports.start());
    let host = match best.address {
        Some(host) if host.is_ipv6() => format!("[{host}]:"),
        Some(host) => format!("{host}:"),
        None => String::new(),
    };
    Some(format!("{host}{port}/{}", asked.protocol))
}

fn interface_of(address: IpAddr, interfaces: &[Interface]) -> Option<(&Interface, IpAddr)> {
    interfaces.iter().find_map(|interface| {
        let mut nets = interface.addresses.iter();
        let net = nets.find(|net| net.contains(&address))?;
        Some((interface, net.addr()))
    })
}

/// Asks those behind an interface.
fn answering(address: IpAddr, interface: &Interface, own: IpAddr, known: &HostView) -> AddressOf {
    let dev = interface.name.clone();
    if !interface.is_up {
        return AddressOf::Unknown;
    }
    if address.is_ipv6() {
        // The kernel asks when there is something to send; the answer is read where it keeps it.
        let _ = ask_udp(SocketAddr::new(address, DISCARD), DISCOVERY);
    }
    match who_has(address, own, &dev) {
        None => AddressOf::Unknown,
        Some(macs) if macs.is_empty() => AddressOf::Nobody { dev },
        Some(macs) => AddressOf::Somebody {
            dev,
            who: macs
                .iter()
                .map(|mac| name(mac, known))
                .collect::<Vec<_>>()
                .join(" and "),
        },
    }
}

/// Whose a MAC address is.
fn name(mac: &str, known: &HostView) -> String {
    let mut guests = known.guests.iter();
    let guest = guests.find(|guest| guest.nics.iter().any(|nic| nic.mac.to_string() == mac));
    match guest {
        Some(guest) => format!("domain '{}' ({mac})", guest.shown_name().escape_debug()),
        None => mac.to_owned(),
    }
}
