//! nftables as a driver: elements of sets and maps that all owners share.

use super::observed::Observed;
use super::transaction::Wanted;
use crate::driver::{Driver, Reconciled};
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

    fn reconcile(&self, desired: &[Ruleset]) -> Reconciled {
        let wanted = Wanted::of(desired);
        Reconciled {
            scripts: wanted.reconcile(self).into_iter().collect(),
            shared: wanted.is_shared(),
        }
    }

    fn libvirt(&self) -> Vec<Family> {
        self.libvirt_families().collect()
    }
}
