//! Which addresses are guests' on a network, and whose.

use crate::Lease;
use ipnet::IpNet;
use portero_libvirt::{MacAddress, Network, Subnet};
use portero_model::Family;
use std::net::IpAddr;

/// The address that a network gives an interface: its reservation, or else its lease. `leases` is
/// asked only when no reservation answers.
pub fn address_of<'a>(
    network: &Network,
    mac: MacAddress,
    family: Family,
    leases: impl FnOnce() -> &'a [Lease],
) -> Option<IpAddr> {
    let has_family = |subnet: &Subnet| Family::from(subnet.address) == family;
    if !network.subnets.iter().any(has_family) {
        return None;
    }
    reserved(network, mac, family).or_else(|| leased(leases(), network, mac, family))
}

fn reserved(network: &Network, mac: MacAddress, family: Family) -> Option<IpAddr> {
    network
        .reservations
        .iter()
        .filter(|reservation| Family::from(reservation.address) == family)
        .find(|reservation| {
            reservation.mac == Some(mac)
                || reservation
                    .duid
                    .as_ref()
                    .is_some_and(|duid| duid.is_of(mac))
        })
        .map(|reservation| reservation.address)
}

/// The lease that ends last; one of an address that cannot be the guest's (a hostile or stale file) is
/// passed over.
fn leased(leases: &[Lease], network: &Network, mac: MacAddress, family: Family) -> Option<IpAddr> {
    leases
        .iter()
        .filter(|lease| lease.mac == mac && Family::from(lease.address) == family)
        .filter(|lease| holds(network, lease.address) && !is_others(leases, network, lease))
        .max_by_key(|lease| end(lease))
        .map(|lease| lease.address)
}

/// Whether a leased address is reserved for another guest, or leased to it for no less long.
fn is_others(leases: &[Lease], network: &Network, lease: &Lease) -> bool {
    let reserved = reserved_for(network, lease.address);
    reserved.is_some_and(|holder| holder != lease.mac)
        || leases.iter().any(|other| {
            other.mac != lease.mac && other.address == lease.address && end(other) >= end(lease)
        })
}

fn end(lease: &Lease) -> u64 {
    if lease.expiry == 0 {
        u64::MAX
    } else {
        lease.expiry
    }
}

/// Whether an address can be a guest's on this network: inside a subnet and not one that the host
/// itself answers for.
pub(crate) fn holds(network: &Network, guest: IpAddr) -> bool {
    let subnets = || network.subnets.iter();
    let mut around = subnets()
        .filter_map(network_of)
        .filter(|net| net.contains(&guest))
        .peekable();
    around.peek().is_some()
        && subnets().all(|subnet| subnet.address != guest)
        && around.all(|net| !is_everybodys(&net, guest))
}

/// Whether an address of a network is its broadcast address, or its first one, which is any of its
/// routers' (RFC 4291, 2.6.1) or a broadcast address of old.
fn is_everybodys(net: &IpNet, address: IpAddr) -> bool {
    let broadcast = match net {
        IpNet::V4(net) => Some(IpAddr::V4(net.broadcast())),
        IpNet::V6(_) => None,
    };
    // Of two addresses, RFC 3021 and RFC 6164, both are machines'.
    let has_more = net.prefix_len() + 1 < net.max_prefix_len();
    has_more && (address == net.addr() || Some(address) == broadcast)
}

/// Whose an address is by the network's reservations.
pub(crate) fn reserved_for(network: &Network, address: IpAddr) -> Option<MacAddress> {
    let mut reservations = network.reservations.iter();
    reservations
        .find(|reservation| reservation.address == address)?
        .mac
}

pub(crate) fn network_of(subnet: &Subnet) -> Option<IpNet> {
    let network = IpNet::new(subnet.address, subnet.prefix).ok()?;
    Some(network.trunc())
}
