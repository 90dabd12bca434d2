//! Forwards that are right as they are written, and that nothing can come of on this host now. They are told, never refused:
//! the host may get the address or the interface later.

use crate::engine::Engine;
use crate::state::Record;
use portero_model::{Claim, Owner};
use portero_port_forward::Forward;
use portero_system::{Deadline, InterfaceState, RouteLookup, Severity};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest time for what is asked of the kernel about them.
const LIMIT: Duration = Duration::from_secs(1);

impl Engine<'_> {
    /// Why nothing can come for these forwards now.
    pub fn notices(&mut self, forwards: &[Forward]) -> BTreeSet<String> {
        let deadline = Deadline::after(LIMIT);
        let mut notices = BTreeSet::new();
        for forward in forwards {
            let line = forward.line;
            if let Some(address) = forward.address {
                // A kernel that does not answer has not said that the address is somebody else's.
                let lookup = self.system.route_lookup(address, deadline);
                if !matches!(lookup, Ok(RouteLookup::Host) | Err(_)) {
                    notices.insert(format!(
                        "the portForward in line {line}: {address} is none of this host's addresses now, so nothing comes for it"
                    ));
                }
            }
            let Some(dev) = &forward.dev else { continue };
            match self.system.interface_state(dev) {
                InterfaceState::Missing => {
                    notices.insert(format!(
                        "the portForward in line {line}: there is no interface {dev} now, so nothing comes by it"
                    ));
                }
                InterfaceState::InBridge(bridge) => {
                    notices.insert(format!(
                        "the portForward in line {line}: {dev} is in bridge {bridge}, so what comes by it arrives by {bridge} (dev='{bridge}')"
                    ));
                }
                InterfaceState::OnItsOwn => {}
            }
        }
        notices
    }

    /// Logs that of forwards that the owner did not have before.
    pub(crate) fn log_notices(
        &mut self,
        owner: &Owner,
        forwards: &[Forward],
        old: Option<&Record>,
    ) {
        let had = |claim: &Claim| old.is_some_and(|old| old.ruleset.claims.contains(claim));
        if forwards
            .iter()
            .all(|forward| forward.claims().all(|claim| had(&claim)))
        {
            return;
        }
        let notices = self.notices(forwards);
        self.log_each(Severity::Warning, &format!("{owner}:"), notices.iter());
    }
}
