//! What the firewall has counted.

use crate::{OwnerStatus, Snapshot};
use portero_engine::ApplyError;
use portero_model::{Counters, ForwardCounter, Ruleset};

impl Snapshot<'_, '_> {
    /// What was counted of each forward of these owners that leads to a guest, in the order of their
    /// rules.
    ///
    /// # Errors
    /// [`ApplyError`] when the firewall cannot be read.
    pub fn forward_counters(
        &mut self,
        owners: &[OwnerStatus],
    ) -> Result<Vec<Vec<ForwardCounter>>, ApplyError> {
        let has_rules = |owner: &OwnerStatus| !owner.record.ruleset.rules.is_empty();
        if !owners.iter().any(has_rules) {
            return Ok(vec![Vec::new(); owners.len()]);
        }
        let counts = self
            .engine
            .system
            .count_forwards(self.choice.firewall, self.deadline)?;
        let owners = owners.iter().map(|owner| &owner.record.ruleset);
        Ok(owners.map(|ruleset| counts.of_forwards(ruleset)).collect())
    }

    /// What the compiled rules of these policies have counted.
    ///
    /// # Errors
    /// [`ApplyError`] when the firewall cannot be read.
    pub fn rule_counters(&mut self, rulesets: &[&Ruleset]) -> Result<Vec<Counters>, ApplyError> {
        let system = &mut self.engine.system;
        let counted = system.count_rules(self.choice.firewall, self.deadline)?;
        let rulesets = rulesets.iter();
        Ok(rulesets.map(|ruleset| counted.counters(ruleset)).collect())
    }
}
