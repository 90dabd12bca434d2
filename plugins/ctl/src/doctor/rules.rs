//! Checks of what portero wrote into the firewall.

use super::mend::{word, SYNC};
use super::{Facts, Finding};

/// Policies that are written wrong, so that others hold or none.
pub(super) fn configuration(facts: &Facts) -> Vec<Finding> {
    let networks = facts.networks.iter();
    networks
        .filter_map(|one| {
            let error = one.written.as_ref().err()?;
            let name = one.network.name.as_str();
            Some(Finding {
                finding: format!(
                    "the policy of network '{}' is not in force as written: {error}",
                    name.escape_debug()
                ),
                mend: format!(
                    "correct it until 'portero policy check {}' is content, then {SYNC}",
                    word(name)
                ),
            })
        })
        .collect()
}

/// Rules that are gone.
pub(super) fn firewall(facts: &Facts) -> Vec<Finding> {
    let owners = facts.owners.iter().filter(|owner| !owner.is_in_firewall);
    owners
        .map(|owner| Finding {
            finding: format!(
                "not all rules of {} are in the firewall",
                owner.record.ruleset.owner
            ),
            mend: SYNC.to_owned(),
        })
        .collect()
}
