//! Forwards that are right as they are written, and that nothing can come of on this host now. They are told, never refused:
//! the host may get the address or the interface later.

use crate::engine::Engine;
use crate::state::Record;
use ipnet::IpNet;
use portero_libvirt::{InterfaceName, Network, Subnet};
use portero_model::{Claim, Origin, Owner, OwnerKind};
use portero_port_forward::Forward;
use portero_system::{Deadline, InterfaceState, RouteLookup, Severity};
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::time::Duration;

/// Longest time for what is asked of the kernel about them.
const LIMIT: Duration = Duration::from_secs(1);

impl Engine<'_> {
    /// Why nothing can come for these forwards now.
    pub fn notices<'f>(
        &mut self,
        forwards: impl IntoIterator<Item = &'f Forward>,
    ) -> BTreeSet<String> {
        let deadline = Deadline::after(LIMIT);
        let (mut addresses, mut devs, mut guests) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        let mut is_symmetric_told = false;
        let (mut notices, networks) = (BTreeSet::new(), OnceCell::new());
        for forward in forwards {
            let found = match forward.address {
                Some(address) if addresses.insert(address) => {
                    self.notice_address(address, deadline)
                }
                _ => None,
            };
            let by_dev = match &forward.dev {
                Some(dev) if devs.insert(dev) => self.notice_dev(dev),
                _ => None,
            };
            let networks = || networks.get_or_init(|| self.state.networks().unwrap_or_default());
            let to_guest = match administrators_guest(forward) {
                Some(guest) if guests.insert(guest) => {
                    self.notice_guest(guest, networks(), deadline)
                }
                _ => None,
            };
            let answers = match forward.symmetric {
                Some(true) if !is_symmetric_told => {
                    is_symmetric_told = true;
                    self.notice_symmetric(deadline)
                }
                _ => None,
            };
            let (element, line) = (forward.element(), forward.line);
            let found = found
                .into_iter()
                .chain(by_dev)
                .chain(to_guest)
                .chain(answers);
            notices.extend(found.map(|found| format!("the {element} in line {line}: {found}")));
        }
        notices
    }

    fn notice_address(&mut self, address: IpAddr, deadline: Deadline) -> Option<String> {
        match self.system.route_lookup(address, deadline) {
            // A kernel that does not answer has not said that the address is somebody else's.
            Ok(RouteLookup::Host) | Err(_) => None,
            Ok(_) => Some(format!(
                "{address} is none of this host's addresses now, so nothing comes for it"
            )),
        }
    }

    /// An administrator's guest of no subnet that libvirt knows is where the host's own routes say.
    fn notice_guest(
        &mut self,
        guest: IpAddr,
        networks: &[Network],
        deadline: Deadline,
    ) -> Option<String> {
        let mut subnets = networks.iter().flat_map(|network| &network.subnets);
        let holds = |subnet: &Subnet| {
            let net = IpNet::new(subnet.address, subnet.prefix);
            net.is_ok_and(|net| net.contains(&guest))
        };
        if subnets.any(holds) {
            return None;
        }
        match self.system.route_lookup(guest, deadline) {
            Ok(RouteLookup::Behind { interface, .. }) => {
                let is_bridge = |network: &Network| network.has_bridge(&interface);
                (!networks.iter().any(is_bridge)).then(|| {
                    format!(
                        "the host reaches {guest} by {interface}, which is no bridge of a network's, so nothing comes \
                         to a guest there"
                    )
                })
            }
            Ok(RouteLookup::Nowhere) => Some(format!(
                "no route of this host leads to {guest} now, so nothing comes there"
            )),
            // Its own address is refused where somebody forwards to it.
            Ok(RouteLookup::Host) | Err(_) => None,
        }
    }

    fn notice_symmetric(&mut self, deadline: Deadline) -> Option<String> {
        let uplinks = self.system.uplinks(deadline).ok()?;
        uplinks.is_empty().then(|| {
            "no rule of this host's names a routing table for any of its addresses (ip rule add from ADDRESS lookup TABLE), so \
             symmetric changes nothing"
                .to_owned()
        })
    }

    fn notice_dev(&mut self, dev: &InterfaceName) -> Option<String> {
        match self.system.interface_state(dev) {
            InterfaceState::Missing => Some(format!(
                "there is no interface {dev} now, so nothing comes by it"
            )),
            InterfaceState::InBridge(bridge) => Some(format!(
                "{dev} is in bridge {bridge}, so what comes by it arrives by {bridge} (dev='{bridge}')"
            )),
            InterfaceState::OnItsOwn => None,
        }
    }

    /// Logs that of forwards that the owner did not have before.
    pub(crate) fn log_notices<'f>(
        &mut self,
        owner: &Owner,
        forwards: impl Iterator<Item = &'f Forward> + Clone,
        old: Option<&Record>,
    ) {
        let told = |forward: &&Forward| {
            forward.address.is_some()
                || forward.dev.is_some()
                || forward.symmetric == Some(true)
                || administrators_guest(forward).is_some()
        };
        let mut told = forwards.filter(told).peekable();
        if told.peek().is_none() {
            return;
        }
        let had: HashSet<&Claim> = old.iter().flat_map(|old| &old.ruleset.claims).collect();
        let is_new = |forward: &Forward| forward.claims().any(|claim| !had.contains(&claim));
        if !told.clone().any(is_new) {
            return;
        }
        let notices = self.notices(told);
        self.log_each(Severity::Warning, &format!("{owner}:"), notices.iter());
    }
}

/// The guest's address where the administrator has given it, who may name one that no subnet of libvirt's has.
fn administrators_guest(forward: &Forward) -> Option<IpAddr> {
    let is_domains_own =
        matches!(&forward.origin, Origin::Metadata(owner) if owner.kind == OwnerKind::Domain);
    forward.guest.filter(|_| !is_domains_own)
}
