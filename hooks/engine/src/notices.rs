//! Forwards that are right as they are written, and that nothing can come of on this host now. They are told, never refused:
//! the host may get the address or the interface later.

use crate::engine::Engine;
use crate::state::Record;
use portero_libvirt::InterfaceName;
use portero_model::{Claim, Owner};
use portero_port_forward::Forward;
use portero_system::{Deadline, InterfaceState, RouteLookup, Severity};
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
        let (mut addresses, mut devs) = (HashSet::new(), HashSet::new());
        let mut notices = BTreeSet::new();
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
            let (element, line) = (forward.element(), forward.line);
            let found = found.into_iter().chain(by_dev);
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
        let told = |forward: &&Forward| forward.address.is_some() || forward.dev.is_some();
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
