//! iptables as a driver: a chain for each owner and purpose.

use super::base::LibvirtChains;
use super::observed::Observed;
use super::transaction::reconcile;
use crate::driver::{Driver, Reconciled};
use portero_model::{Family, Ruleset};

/// Both families, as far as they could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Families(pub Vec<(Family, Observed)>);

impl Driver for Families {
    fn holds(&self, ruleset: &Ruleset) -> bool {
        let mut families = self.0.iter();
        families.all(|(family, observed)| observed.holds(*family, ruleset))
    }

    fn is_flushed(&self, desired: &[Ruleset]) -> bool {
        let mut families = self.0.iter();
        families.any(|(family, observed)| {
            let mut wanted = desired.iter();
            wanted.any(|ruleset| observed.is_flushed(*family, ruleset))
        })
    }

    fn reconcile(&self, desired: &[Ruleset]) -> Reconciled {
        let families = self.0.iter();
        let scripts =
            families.filter_map(|(family, observed)| reconcile(*family, observed, desired));
        Reconciled {
            scripts: scripts.collect(),
            // Each owner has chains of its own.
            shared: false,
        }
    }

    fn libvirt(&self) -> Vec<Family> {
        let standing = self.0.iter();
        standing
            .filter(|(_, observed)| observed.libvirt() == LibvirtChains::Standing)
            .map(|(family, _)| *family)
            .collect()
    }
}
