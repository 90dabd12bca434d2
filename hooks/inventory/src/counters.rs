//! What the firewall has counted of forwards.

use crate::engine::{Engine, OwnerStatus};
use crate::ApplyError;
use portero_firewall::Firewall;
use portero_model::Carried;

impl Engine<'_> {
    /// What was counted of each forward of these owners that leads to a guest, in the order of their
    /// rules; nftables does not count forwards.
    ///
    /// # Errors
    /// [`ApplyError`] when the firewall cannot be read.
    pub fn carried(&mut self, owners: &[OwnerStatus]) -> Result<Vec<Vec<Carried>>, ApplyError> {
        let (config, deadline) = self.configure_or_default();
        let has_rules = |owner: &OwnerStatus| !owner.record.ruleset.rules.is_empty();
        let is_counted = owners.iter().any(has_rules)
            && self.choose(&config, deadline)?.firewall == Firewall::Iptables;
        if !is_counted {
            return Ok(vec![Vec::new(); owners.len()]);
        }
        let counts = self.system.count_forwards(deadline)?;
        let owners = owners.iter();
        Ok(owners
            .map(|owner| counts.carried(&owner.record.ruleset))
            .collect())
    }
}
