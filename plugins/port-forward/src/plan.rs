//! From forwards to rules: finds each guest's address and says what is still missing.

use crate::address::{address_of, holds, leads_by_the_host, network_of, reserved_for, stale_until};
use crate::{Forward, LastAddress, Lease, Missing, Result};
use ipnet::IpNet;
use portero_libvirt::{ForwardMode, InterfaceName, MacAddress, Network, Subnet};
use portero_model::{Ban, Dnat, Family, Origin, Owner, Pending, Rule, Ruleset};
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::rc::Rc;

/// A guest's interface and the virtual network it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment<'a> {
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// The name of the network.
    pub network_name: &'a str,
    /// The network, if it is known to be active.
    pub network: Option<&'a Network>,
}

/// What says which addresses a domain's interfaces have.
#[derive(Clone, Copy)]
pub struct AddressSources<'a> {
    /// The current leases of a bridge; asked only when that matters.
    pub leases: &'a dyn Fn(&InterfaceName) -> Rc<[Lease]>,
    /// Where the domain was found to be since it runs; empty for one that starts.
    pub last: &'a [LastAddress],
    /// The addresses that an interface was seen to have on a bridge; asked only when nothing else is known of it.
    pub seen: &'a dyn Fn(&InterfaceName, MacAddress) -> Vec<IpAddr>,
}

/// What an owner's forwards come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The rules that can be made now, and all claims.
    pub ruleset: Ruleset,
    /// The forwards that have to wait.
    pub pending: Vec<Pending>,
    /// Where the domain's interfaces were found to be, each once.
    pub addresses: Vec<LastAddress>,
    /// The guests whose answers leave by the uplink that a connection came by.
    pub symmetric: BTreeSet<IpAddr>,
    /// Those of the rules that one of is enough.
    once: HashSet<Rule>,
}

/// Where a forward leads.
struct Target<'a> {
    guest: IpAddr,
    network: &'a Network,
    bridge: &'a InterfaceName,
    /// Whose the address was found to be; nothing where the user has given it.
    found: Option<LastAddress>,
}

/// Either where a forward leads, or why that is not known yet.
enum Found<'a> {
    Targets(Vec<Target<'a>>),
    Nothing(Missing),
}

/// Plans a domain's forwards.
///
/// # Errors
/// [`crate::ForwardError`] at a forward that can never work: a guest address outside the domain's networks, or
/// a network whose guests the host does not route to.
pub fn plan_domain(
    owner: Owner,
    forwards: &[Forward],
    attachments: &[Attachment<'_>],
    sources: AddressSources<'_>,
) -> Result<Plan> {
    let mut plan = Plan::empty(owner);
    for forward in forwards {
        let found = find_domain_targets(forward, &Family::ALL, attachments, sources)?;
        plan.add(forward, found);
    }
    Ok(plan)
}

/// Where a domain's forward leads in a family, or in any: the guest's addresses, or what is missing.
///
/// # Errors
/// As [`plan_domain`].
pub fn find_guest(
    forward: &Forward,
    family: Option<Family>,
    attachments: &[Attachment<'_>],
    sources: AddressSources<'_>,
) -> Result<std::result::Result<Vec<IpAddr>, Missing>> {
    let families = family.map_or(Family::ALL.to_vec(), |family| vec![family]);
    Ok(
        match find_domain_targets(forward, &families, attachments, sources)? {
            Found::Targets(targets) => Ok(targets.iter().map(|target| target.guest).collect()),
            Found::Nothing(missing) => Err(missing),
        },
    )
}

/// Plans a network's forwards.
///
/// # Errors
/// [`crate::ForwardError`] at a forward that can never work: a guest address outside the network, or a network
/// whose guests the host does not route to.
pub fn plan_network(owner: Owner, forwards: &[Forward], network: &Network) -> Result<Plan> {
    let mut plan = Plan::empty(owner);
    for forward in forwards {
        let Some(guest) = forward.guest else {
            return Err(forward.invalid("guest is missing, expected the guest's address"));
        };
        let bridge = given_bridge(forward, network)?;
        if !holds(network, guest) && !leads_by_the_host(network, guest) {
            return Err(forward.invalid(outside(guest, &[network])));
        }
        let target = Target {
            guest,
            network,
            bridge,
            found: None,
        };
        plan.add(forward, Found::Targets(vec![target]));
    }
    Ok(plan)
}

impl Plan {
    fn empty(owner: Owner) -> Self {
        Self {
            ruleset: Ruleset::empty(owner),
            pending: Vec::new(),
            addresses: Vec::new(),
            symmetric: BTreeSet::new(),
            once: HashSet::new(),
        }
    }

    fn add(&mut self, forward: &Forward, found: Found<'_>) {
        self.ruleset.claims.extend(forward.claims());
        match found {
            Found::Nothing(reason) => self.pending.push(Pending {
                claims: forward.claims().collect(),
                reason: reason.to_string(),
            }),
            Found::Targets(targets) => {
                for target in &targets {
                    self.add_target(forward, target);
                }
            }
        }
    }

    fn add_target(&mut self, forward: &Forward, target: &Target<'_>) {
        if let Some(found) = target.found.filter(|found| !self.addresses.contains(found)) {
            self.addresses.push(found);
        }
        for mapping in &forward.mappings {
            self.ruleset.rules.push(Rule::Dnat(Dnat {
                protocol: forward.protocol,
                address: forward.address,
                dev: forward.dev.as_ref().map(|dev| dev.as_str().to_owned()),
                source: forward.source,
                ports: mapping.host,
                guest: target.guest,
                guest_ports: mapping.guest,
                is_whole_address: forward.is_whole_address,
            }));
        }
        for set in &forward.bans {
            for mapping in &forward.mappings {
                self.add_once(Rule::Ban(Ban {
                    set: set.clone(),
                    family: Family::from(target.guest),
                    protocol: forward.protocol,
                    address: forward.address,
                    dev: forward.dev.as_ref().map(|dev| dev.as_str().to_owned()),
                    source: forward.source,
                    ports: mapping.host,
                }));
            }
        }
        if forward.symmetric == Some(true) {
            self.symmetric.insert(target.guest);
        }
        for rule in masquerades(forward, target) {
            self.add_once(rule);
        }
        if let Some(address) = forward.address.filter(|_| forward.is_whole_address) {
            self.add_once(Rule::Address {
                address,
                guest: target.guest,
                bridge: target.bridge.as_str().to_owned(),
            });
        }
        if forward.address.is_some_and(|address| address.is_loopback()) {
            self.add_once(Rule::Localnet {
                bridge: target.bridge.as_str().to_owned(),
            });
        }
    }

    fn add_once(&mut self, rule: Rule) {
        if self.once.insert(rule.clone()) {
            self.ruleset.rules.push(rule);
        }
    }
}

/// Whose connections must get the host's address as their source, or the guest would answer past the host: neighbours on its
/// own bridge, loopback, and everybody where the guest has no gateway.
fn masquerades<'a>(
    forward: &'a Forward,
    target: &'a Target<'_>,
) -> impl Iterator<Item = Rule> + 'a {
    let of = |source, bridge| Rule::Masquerade {
        source,
        guest: target.guest,
        bridge,
    };
    let is_everybody = target.network.mode == ForwardMode::Isolated || forward.masquerade;
    let is_loopback = forward.address.is_some_and(|address| address.is_loopback());
    let loopback = IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8);
    let subnets = target.network.subnets.iter().filter_map(network_of);
    let subnets = subnets
        .chain(target.network.routes.iter().copied())
        .filter(|net| Family::from(net.addr()) == Family::from(target.guest));
    let neighbors =
        subnets.map(move |subnet| of(Some(subnet), Some(target.bridge.as_str().to_owned())));
    let everybody = is_everybody.then(|| of(None, None));
    let host = (is_loopback && !is_everybody).then(|| of(Some(loopback), None));
    everybody.into_iter().chain(neighbors).chain(host)
}

fn find_domain_targets<'a>(
    forward: &Forward,
    families: &[Family],
    attachments: &[Attachment<'a>],
    sources: AddressSources<'_>,
) -> Result<Found<'a>> {
    let candidates: Vec<&Attachment<'a>> = attachments
        .iter()
        .filter(|attachment| forward.interface.is_none_or(|mac| attachment.mac == mac))
        .collect();
    if candidates.is_empty() {
        return Ok(Found::Nothing(match forward.interface {
            Some(mac) => Missing::NoSuchInterface { mac },
            None => Missing::NoInterface,
        }));
    }
    match forward.guest {
        Some(guest) => {
            let found = find_given(forward, guest, &candidates)?;
            refuse_others(forward, guest, &found, attachments)?;
            Ok(found)
        }
        None => find_by_macs(forward, families, &candidates, sources),
    }
}

/// The network of an address that the user has given.
fn find_given<'a>(
    forward: &Forward,
    guest: IpAddr,
    candidates: &[&Attachment<'a>],
) -> Result<Found<'a>> {
    let known: Vec<&'a Network> = candidates
        .iter()
        .filter_map(|candidate| candidate.network)
        .collect();
    // Whoever may write a domain's metadata speaks for that domain alone, not for what is behind it.
    let is_administrators = matches!(forward.origin, Origin::File(_));
    let leads_to = |network: &&&Network| {
        holds(network, guest) || is_administrators && leads_by_the_host(network, guest)
    };
    if let Some(network) = known.iter().find(leads_to) {
        let bridge = given_bridge(forward, network)?;
        return Ok(Found::Targets(vec![Target {
            guest,
            network,
            bridge,
            found: None,
        }]));
    }
    match candidates
        .iter()
        .find(|candidate| candidate.network.is_none())
    {
        Some(unknown) => Ok(Found::Nothing(inactive(unknown))),
        None => Err(forward.invalid(outside(guest, &known))),
    }
}

/// Refuses another guest's address: whoever may write a domain's metadata speaks for that domain.
fn refuse_others(
    forward: &Forward,
    guest: IpAddr,
    found: &Found<'_>,
    attachments: &[Attachment<'_>],
) -> Result<()> {
    let Found::Targets(targets) = found else {
        return Ok(());
    };
    if matches!(forward.origin, Origin::File(_)) {
        return Ok(());
    }
    let holders = targets
        .iter()
        .map(|target| reserved_for(target.network, guest));
    let is_own = |mac: &MacAddress| attachments.iter().any(|own| own.mac == *mac);
    match holders.flatten().find(|holder| !is_own(holder)) {
        None => Ok(()),
        Some(holder) => Err(forward.invalid(format!(
            "guest address {guest} is reserved for {holder}, expected one of this domain's own \
             (metadata of its network, or a file in /etc/portero, may name any guest's)"
        ))),
    }
}

/// The addresses of the first interface that can be meant and has one.
fn find_by_macs<'a>(
    forward: &Forward,
    families: &[Family],
    candidates: &[&Attachment<'a>],
    sources: AddressSources<'_>,
) -> Result<Found<'a>> {
    let can_be_meant = |attachment: &&Attachment<'a>| {
        let network = attachment.network;
        network.is_none_or(|network| network.mode.is_routed_by_host())
    };
    let meant: Vec<&Attachment<'a>> = candidates.iter().copied().filter(can_be_meant).collect();
    let [_, _, ..] = meant[..] else {
        let only = meant.first().unwrap_or(&candidates[0]);
        return find_by_mac(forward, families, only, sources);
    };
    let mut seen = None;
    for attachment in &meant {
        match find_by_mac(forward, families, attachment, sources)? {
            Found::Nothing(
                Missing::NoLease { seen: one, mac, .. } | Missing::NoDhcp { seen: one, mac, .. },
            ) => seen = seen.or(one.map(|address| (mac, address))),
            Found::Nothing(_) => {}
            found @ Found::Targets(_) => return Ok(found),
        }
    }
    Ok(Found::Nothing(Missing::NoAddress {
        interfaces: meant.iter().map(|attachment| attachment.mac).collect(),
        seen,
    }))
}

/// The addresses that the interface has on its network.
fn find_by_mac<'a>(
    forward: &Forward,
    families: &[Family],
    attachment: &Attachment<'a>,
    sources: AddressSources<'_>,
) -> Result<Found<'a>> {
    let Some(network) = attachment.network else {
        return Ok(Found::Nothing(inactive(attachment)));
    };
    let bridge = routed_bridge(forward, network)?;
    let mut current: Option<Rc<[Lease]>> = None;
    let mut targets = Vec::new();
    let taken = families.iter().filter(|family| forward.takes(**family));
    let taken: Vec<Family> = taken.copied().collect();
    for family in &taken {
        let mac = attachment.mac;
        let last = LastAddress::find(sources.last, network, mac, *family);
        let address = address_of(network, mac, *family, last, || {
            &*current.get_or_insert_with(|| (sources.leases)(bridge))
        });
        let Some(guest) = address else { continue };
        let stale_until = last.map_or_else(
            || {
                let leases = current.get_or_insert_with(|| (sources.leases)(bridge));
                stale_until(leases, mac, guest)
            },
            |last| last.stale_until,
        );
        let found = Some(LastAddress {
            mac,
            network: network.uuid,
            address: guest,
            stale_until,
        });
        targets.push(Target {
            guest,
            network,
            bridge,
            found,
        });
    }
    if targets.is_empty() {
        let mac = attachment.mac;
        let seen = || seen_at(network, mac, &taken, (sources.seen)(bridge, mac));
        return Ok(Found::Nothing(missing(network, mac, &taken, seen)));
    }
    Ok(Found::Targets(targets))
}

/// What a guest lacks that a network has given no address of these families.
fn missing(
    network: &Network,
    mac: MacAddress,
    families: &[Family],
    seen: impl FnOnce() -> Option<IpAddr>,
) -> Missing {
    let name = network.name.to_string();
    let is_taken = |subnet: &&Subnet| families.contains(&Family::from(subnet.address));
    let mut subnets = network.subnets.iter().filter(is_taken).peekable();
    if let (None, Some(family)) = (subnets.peek(), families.first()) {
        return Missing::NoSubnet {
            network: name,
            family: *family,
        };
    }
    if subnets.any(|subnet| subnet.has_dhcp_range) {
        Missing::NoLease {
            network: name,
            mac,
            seen: seen(),
        }
    } else {
        Missing::NoDhcp {
            network: name,
            mac,
            seen: seen(),
        }
    }
}

/// The first of the addresses that an interface was seen at which a forward of its guest's may lead to.
fn seen_at(
    network: &Network,
    mac: MacAddress,
    families: &[Family],
    seen: Vec<IpAddr>,
) -> Option<IpAddr> {
    seen.into_iter().find(|address| {
        families.contains(&Family::from(*address))
            && holds(network, *address)
            && reserved_for(network, *address).is_none_or(|holder| holder == mac)
    })
}

/// The bridge of a network where the administrator has said which address is behind it: one that was made by hand will do.
fn given_bridge<'a>(forward: &Forward, network: &'a Network) -> Result<&'a InterfaceName> {
    match (network.mode, &network.bridge) {
        (ForwardMode::Bridge, Some(bridge)) => Ok(bridge),
        _ => routed_bridge(forward, network),
    }
}

fn routed_bridge<'a>(forward: &Forward, network: &'a Network) -> Result<&'a InterfaceName> {
    if !network.mode.is_routed_by_host() {
        return Err(forward.invalid(format!(
            "guests of network '{}' are not behind this host, expected a network with forward mode \
             nat, route or open, or an isolated one",
            network.name.as_str().escape_debug()
        )));
    }
    network.bridge.as_ref().ok_or_else(|| {
        let name = network.name.as_str().escape_debug();
        forward.invalid(format!("network '{name}' has no bridge"))
    })
}

fn outside(guest: IpAddr, networks: &[&Network]) -> String {
    let mut expected: Vec<String> = Vec::new();
    for network in networks {
        for subnet in network.subnets.iter().filter_map(network_of) {
            expected.push(format!(
                "{subnet} ('{}')",
                network.name.as_str().escape_debug()
            ));
        }
    }
    format!(
        "guest address {guest} cannot be a guest's here, expected one in {}",
        expected.join(", ")
    )
}

fn inactive(attachment: &Attachment<'_>) -> Missing {
    Missing::Inactive {
        network: attachment.network_name.to_owned(),
    }
}
