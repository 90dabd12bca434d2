//! Which addresses are guests' on a network, and whose.

use crate::Lease;
use ipnet::IpNet;
use portero_libvirt::{MacAddress, Network, Subnet};
use portero_model::Family;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// Where an interface of a running guest was found to be last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAddress {
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// The network.
    pub network: Uuid,
    /// The address.
    pub address: IpAddr,
    /// When the last of the leases ends that the guest had of its time before, in seconds since 1970: one that ends
    /// later says where it is now. 0 where there was none of another address.
    pub stale_until: u64,
}

impl LastAddress {
    /// That of an interface on a network.
    #[must_use]
    pub fn find<'a>(
        known: &'a [Self],
        network: &Network,
        mac: MacAddress,
        family: Family,
    ) -> Option<&'a Self> {
        known.iter().find(|last| {
            last.mac == mac && last.network == network.uuid && Family::from(last.address) == family
        })
    }
}

/// The address that an interface has on a network.
///
/// A guest that starts is to get its reservation, or else goes on with its lease. While it runs its lease says where it
/// is, whatever was reserved since; without one (a guest that was paused for long does not renew it) it is where it was
/// `last`, until somebody else has that address. `leases` is asked only when that matters.
pub fn address_of<'a>(
    network: &Network,
    mac: MacAddress,
    family: Family,
    last: Option<&LastAddress>,
    leases: impl FnOnce() -> &'a [Lease],
) -> Option<IpAddr> {
    let has_family = |subnet: &Subnet| Family::from(subnet.address) == family;
    if !network.subnets.iter().any(has_family) {
        return None;
    }
    let reservation = reserved(network, mac, family);
    let Some(last) = last else {
        return reservation.or_else(|| Some(leased(leases(), network, mac, family)?.address));
    };
    let leases = leases();
    let lease = leased(leases, network, mac, family);
    let is_now = |lease: &&Lease| lease.address == last.address || end(lease) > last.stale_until;
    let here = || is_free(leases, network, last).then_some(last.address);
    lease
        .filter(is_now)
        .map(|lease| lease.address)
        .or_else(here)
        .or(reservation)
        .or_else(|| lease.map(|lease| lease.address))
}

/// [`LastAddress::stale_until`] of an interface that has just been found at an address: with a lease of it every other is
/// news.
pub(crate) fn stale_until(leases: &[Lease], mac: MacAddress, address: IpAddr) -> u64 {
    let family = Family::from(address);
    let own = leases
        .iter()
        .filter(|lease| lease.mac == mac && Family::from(lease.address) == family);
    if own.clone().any(|lease| lease.address == address) {
        return 0;
    }
    own.map(end).max().unwrap_or_default()
}

/// Whether nobody else has the address that an interface had last.
fn is_free(leases: &[Lease], network: &Network, last: &LastAddress) -> bool {
    let mut leases = leases.iter();
    let reserved = reserved_for(network, last.address);
    holds(network, last.address)
        && reserved.is_none_or(|holder| holder == last.mac)
        && !leases.any(|lease| lease.address == last.address && lease.mac != last.mac)
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
fn leased<'a>(
    leases: &'a [Lease],
    network: &Network,
    mac: MacAddress,
    family: Family,
) -> Option<&'a Lease> {
    leases
        .iter()
        .filter(|lease| lease.mac == mac && Family::from(lease.address) == family)
        .filter(|lease| holds(network, lease.address) && !is_others(leases, network, lease))
        .max_by_key(|lease| end(lease))
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

/// Whether an administrator may say that an address is behind a network's bridge, although it is of none of its subnets: a
/// `<route>` of the network leads there, or the network has no subnet at all, so that the host's own addresses and routes
/// say where it is.
pub(crate) fn leads_by_the_host(network: &Network, address: IpAddr) -> bool {
    network.routes.iter().any(|route| route.contains(&address))
        || network.subnets.is_empty() && network.bridge.is_some()
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
