//! nftables as a driver: elements of sets and maps that all owners share.

use super::observed::Observed;
use super::transaction::{reconcile, shares_elements};
use crate::driver::Driver;
use crate::script::Script;
use portero_model::{Family, Ruleset};

impl Driver for Observed {
    fn holds(&self, ruleset: &Ruleset) -> bool {
        self.holds(ruleset)
    }

    fn is_flushed(&self, desired: &[Ruleset]) -> bool {
        desired.iter().any(|ruleset| {
            !ruleset.rules.is_empty() && self.own.is_none()
                || ruleset.policy.is_some() && self.policy.is_none()
        })
    }

    fn reconcile(&self, desired: &[Ruleset]) -> Vec<Script> {
        reconcile(self, desired).into_iter().collect()
    }

    fn libvirt(&self) -> Vec<Family> {
        self.libvirt_families().collect()
    }

    fn shares(&self, desired: &[Ruleset]) -> bool {
        shares_elements(desired)
    }
}
