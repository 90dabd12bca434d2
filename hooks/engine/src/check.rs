//! Whether an owner can have the forwards it asks for.

use crate::config::Config;
use crate::engine::Engine;
use crate::error::ApplyError;
use crate::state::Record;
use portero_model::{Claim, Owner};
use portero_port_forward::{check_listeners, check_others, check_own, Forward};
use std::collections::HashSet;

impl Engine<'_> {
    /// Checks an owner's forwards against limits, each other, other owners and the host's programs.
    /// What the owner already holds is not checked against others again.
    pub(crate) fn check(
        &mut self,
        config: &Config,
        owner: &Owner,
        forwards: &[Forward],
        old: Option<&Record>,
    ) -> Result<(), ApplyError> {
        check_alone(config, forwards)?;
        let held: HashSet<&Claim> = old.iter().flat_map(|old| &old.ruleset.claims).collect();
        let new = new_claims(forwards, &held);
        if new.is_empty() {
            return Ok(());
        }
        for other in self.state.claims()? {
            check_others(owner, forwards, [&other?])?;
        }
        let listeners = self.system.listeners(&new)?;
        check_listeners(forwards, &held, &listeners, &config.limits)?;
        Ok(())
    }
}

/// Checks forwards against limits and each other.
pub(crate) fn check_alone(config: &Config, forwards: &[Forward]) -> Result<(), ApplyError> {
    config.limits.check_all(forwards)?;
    Ok(check_own(forwards)?)
}

/// What forwards claim and did not hold before.
pub(crate) fn new_claims(forwards: &[Forward], held: &HashSet<&Claim>) -> Vec<Claim> {
    forwards
        .iter()
        .flat_map(|forward| forward.claims())
        .filter(|claim| !held.contains(claim))
        .collect()
}
