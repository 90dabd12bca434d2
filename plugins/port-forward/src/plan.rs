//! From forwards to rules: finds each guest's address and says what is still missing.

use crate::address::{address_of, holds, network_of, reserved_for};
use crate::{Forward, Lease, Missing, Result};
use ipnet::IpNet;
use portero_libvirt::{ForwardMode, InterfaceName, MacAddress, Network, Subnet};
use portero_model::{Dnat, Family, Origin, Owner, Pending, Rule, Ruleset};
use std::collections::HashSet;
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

/// What an owner's forwards come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The rules that can be made now, and all claims.
    pub ruleset: Ruleset,
    /// The forwards that have to wait.
    pub pending: Vec<Pending>,
    /// Those of the rules that one of is enough.
    once: HashSet<Rule>,
}

/// Where a forward leads.
struct Target<'a> {
    guest: IpAddr,
    network: &'a Network,
    bridge: &'a InterfaceName,
}

/// Either where a forward leads, or why that is not known yet.
enum Found<'a> {
    Targets(Vec<Target<'a>>),
    Nothing(Missing),
}

/// Plans a domain's forwards.
///
/// `leases` gives the current leases of a bridge; it is asked only when no reservation answers.
///
/// # Errors
/// [`crate::ForwardError`] at a forward that can never work: a guest address outside the domain's networks, or
/// a network whose guests the host does not route to.
pub fn plan_domain(
    owner: Owner,
    forwards: &[Forward],
    attachments: &[Attachment<'_>],
    leases: &dyn Fn(&InterfaceName) -> Rc<[Lease]>,
) -> Result<Plan> {
    let mut plan = Plan::empty(owner);
    for forward in forwards {
        let found = find_domain_targets(forward, &Family::ALL, attachments, leases)?;
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
    leases: &dyn Fn(&InterfaceName) -> Rc<[Lease]>,
) -> Result<std::result::Result<Vec<IpAddr>, Missing>> {
    let families = family.map_or(Family::ALL.to_vec(), |family| vec![family]);
    Ok(
        match find_domain_targets(forward, &families, attachments, leases)? {
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
        let bridge = routed_bridge(forward, network)?;
        if !holds(network, guest) {
            return Err(forward.invalid(outside(guest, &[network])));
        }
        let target = Target {
            guest,
            network,
            bridge,
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
        for mapping in &forward.mappings {
            self.ruleset.rules.push(Rule::Dnat(Dnat {
                protocol: forward.protocol,
                address: forward.address,
                dev: forward.dev.as_ref().map(|dev| dev.as_str().to_owned()),
                source: forward.source,
                ports: mapping.host,
                guest: target.guest,
                guest_ports: mapping.guest,
            }));
        }
        for source in masqueraded_sources(forward, target) {
            self.add_once(Rule::Masquerade {
                source,
                guest: target.guest,
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

/// Whose connections must get the host's address as their source, or the guest would answer past
/// the host: neighbours on its own bridge, loopback, and everybody where the guest has no gateway.
fn masqueraded_sources(forward: &Forward, target: &Target<'_>) -> Vec<Option<IpNet>> {
    if target.network.mode == ForwardMode::Isolated {
        return vec![None];
    }
    let mut sources: Vec<Option<IpNet>> = target
        .network
        .subnets
        .iter()
        .filter(|subnet| Family::from(subnet.address) == Family::from(target.guest))
        .filter_map(network_of)
        .map(Some)
        .collect();
    if forward.address.is_some_and(|address| address.is_loopback()) {
        let loopback = IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8);
        sources.push(Some(loopback));
    }
    sources
}

fn find_domain_targets<'a>(
    forward: &Forward,
    families: &[Family],
    attachments: &[Attachment<'a>],
    leases: &dyn Fn(&InterfaceName) -> Rc<[Lease]>,
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
        None => find_by_mac(forward, families, candidates[0], leases),
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
    if let Some(network) = known.iter().find(|network| holds(network, guest)) {
        let bridge = routed_bridge(forward, network)?;
        return Ok(Found::Targets(vec![Target {
            guest,
            network,
            bridge,
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

/// The addresses that the network's reservations, or else its leases, give the interface.
fn find_by_mac<'a>(
    forward: &Forward,
    families: &[Family],
    attachment: &Attachment<'a>,
    leases: &dyn Fn(&InterfaceName) -> Rc<[Lease]>,
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
        let address = address_of(network, attachment.mac, *family, || {
            &*current.get_or_insert_with(|| leases(bridge))
        });
        targets.extend(address.map(|guest| Target {
            guest,
            network,
            bridge,
        }));
    }
    if targets.is_empty() {
        return Ok(Found::Nothing(missing(network, attachment.mac, &taken)));
    }
    Ok(Found::Targets(targets))
}

/// What a guest lacks that a network has given no address of these families.
fn missing(network: &Network, mac: MacAddress, families: &[Family]) -> Missing {
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
        Missing::NoLease { network: name, mac }
    } else {
        Missing::NoDhcp { network: name, mac }
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
