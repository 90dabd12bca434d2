//! What both firewalls can do with what is in them. A driver is what was observed of one firewall: nothing of it is asked
//! again, so that an answer and the scripts that follow from it are of one moment.

use crate::script::{Firewall, Script};
use portero_model::{Family, Ruleset};
use serde::{Deserialize, Serialize};

/// portero's part of a firewall, as it was observed.
pub trait Driver {
    /// Whether all of an owner's rules are there and can be reached.
    fn holds(&self, ruleset: &Ruleset) -> bool;

    /// Whether a part of it in which these owners have rules has none of portero's at all, as after a flush.
    fn is_flushed(&self, desired: &[Ruleset]) -> bool;

    /// What turns it into exactly the desired rules. Nothing of anybody else's is touched.
    fn reconcile(&self, desired: &[Ruleset]) -> Reconciled;

    /// The families whose part of libvirt's portero's rules stand in.
    fn libvirt(&self) -> Vec<Family>;
}

/// What a comparison with the desired rules gives: both from one reading of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The scripts that make the difference; none when nothing differs.
    pub scripts: Vec<Script>,
    /// Whether something of what is desired is of two owners, neither of whom may then take it away alone.
    pub shared: bool,
}

/// Where the rules of all owners stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseTables {
    /// The firewall.
    pub firewall: Firewall,
    /// Families whose part of libvirt's portero is in: of nftables the table that has portero's sets,
    /// of iptables the chains that portero jumps to.
    pub libvirt: Vec<Family>,
    /// Whether an element of nftables belongs to more than one owner.
    pub shared: bool,
    /// Whether any network has a policy.
    #[serde(default)]
    pub policies: bool,
    /// Whether any network has antispoof.
    #[serde(default, alias = "guards")]
    pub antispoof: bool,
}
