//! What brings one owner from its old rules to its new ones, as long as everything else stands as it is known to.

use crate::antispoof::change_antispoof;
use crate::driver::BaseTables;
use crate::nftables::PolicyTable;
use crate::script::{append, Firewall, Script};
use crate::{iptables, nftables};
use portero_model::Ruleset;

/// How one owner's rules are changed.
#[derive(Debug)]
pub enum Change {
    /// By these scripts; by none when nothing differs.
    Scripts(Vec<Script>),
    /// By these, and then by a comparison.
    ScriptsFirst(Vec<Script>),
    /// By a comparison, since nothing else can tell how.
    Comparison,
}

/// How an owner's rules `old`, which are in the firewall, become `new`. `others` are the rules of everybody else, of which
/// no more are asked for than it takes to know.
#[must_use]
pub fn change_owner(
    base: &BaseTables,
    old: &Ruleset,
    new: &Ruleset,
    others: &mut dyn Iterator<Item = Ruleset>,
) -> Change {
    let change = match base.firewall {
        Firewall::Iptables => {
            Change::Scripts(iptables::change_owner(old, new, others, &base.libvirt))
        }
        Firewall::Nftables => of_nftables(base, old, new, others),
    };
    if old.antispoof == new.antispoof {
        return change;
    }
    // The table of antispoof may have to go.
    let (Change::Scripts(mut scripts), true) = (change, new.antispoof.is_some() && !base.shared)
    else {
        return Change::Comparison;
    };
    let script = change_antispoof(old, new, table(base.antispoof));
    append(&mut scripts, script);
    Change::Scripts(scripts)
}

fn table(stands: bool) -> PolicyTable {
    if stands {
        PolicyTable::Standing
    } else {
        PolicyTable::Missing
    }
}

fn of_nftables(
    base: &BaseTables,
    old: &Ruleset,
    new: &Ruleset,
    others: &mut dyn Iterator<Item = Ruleset>,
) -> Change {
    if old.has_rules_of(new) {
        return Change::Scripts(Vec::new());
    }
    if base.shared {
        return Change::Comparison;
    }
    let (mut has_others, mut others_forward) = (false, false);
    for other in others {
        has_others |= other.has_rules();
        others_forward |= !other.rules.is_empty();
        if others_forward {
            break;
        }
    }
    let change = || {
        let script = nftables::change_owner(old, new, &base.libvirt, table(base.policies));
        script.into_iter().collect()
    };
    let (forwarded, forwards) = (!old.rules.is_empty(), !new.rules.is_empty());
    match (old.has_rules(), new.has_rules()) {
        // With the first rules of anybody the tables come.
        (false, _) if !has_others => {
            let nothing = nftables::Observed::without_rules(&base.libvirt);
            let script = nftables::reconcile(&nothing, std::slice::from_ref(new));
            Change::Scripts(script.into_iter().collect())
        }
        // Others have nothing but policies: the table of forwards has to come.
        _ if !others_forward && !forwarded && forwards => Change::Comparison,
        // Or it has to go.
        _ if !others_forward && has_others && forwarded && !forwards => {
            Change::ScriptsFirst(change())
        }
        // The table of policies may have to go.
        _ if old.policy.is_some() && new.policy.is_none() => Change::Comparison,
        // With the last they go, and the jumps in libvirt's have to be looked for; what is forwarded no more shall not
        // wait for that.
        (_, false) if !has_others => Change::ScriptsFirst(change()),
        _ => Change::Scripts(change()),
    }
}
