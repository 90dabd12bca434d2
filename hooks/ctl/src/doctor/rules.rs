//! Checks of what portero wrote into the firewall.

use super::leaks::quoted;
use super::mend::SYNC;
use super::value::{Facts, Finding};
use portero_trace::word;

/// Policies that are written wrong, so that others hold or none.
pub(super) fn configuration(facts: &Facts) -> Vec<Finding> {
    let findings = facts.networks.iter().filter_map(|one| {
        let error = one.written.as_ref().err()?;
        let (quoted, name) = (quoted(one), word(one.network.name.as_str()));
        Some(Finding {
            finding: format!("the policy of network {quoted} is not in force as written: {error}"),
            mend: format!(
                "correct it until this is content: portero policy check {name}; then {SYNC}"
            ),
        })
    });
    findings.collect()
}

/// Rules that are gone.
pub(super) fn firewall(facts: &Facts) -> Vec<Finding> {
    let owners = facts.owners.iter().filter(|owner| !owner.is_in_firewall);
    let owners = owners.map(|owner| &owner.record.ruleset.owner);
    let findings = owners.map(|owner| Finding {
        finding: format!("not all rules of {owner} are in the firewall"),
        mend: SYNC.to_owned(),
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::{facts, network};
    use portero_engine::{ApplyError, Phase, Record};
    use portero_inventory::OwnerStatus;
    use portero_model::{Owner, Ruleset};

    #[test]
    fn what_is_written_wrong_and_what_is_gone_is_found() {
        let mut lan = network("my lan", 1, "");
        let owner = Owner::from(&lan.network);
        lan.written = Err(ApplyError::NoGroup {
            path: "/etc/portero/groups/us.xml".into(),
        });
        let mut facts = facts(vec![lan, network("other", 2, "")]);
        let findings = configuration(&facts);
        assert_eq!(findings.len(), 1);
        assert!(findings[0]
            .finding
            .ends_with("there is no group /etc/portero/groups/us.xml"));
        assert!(findings[0].mend.contains("portero policy check 'my lan';"));
        let mut status = OwnerStatus {
            record: Record {
                phase: Phase::Active,
                ruleset: Ruleset::empty(owner),
                pending: Vec::new(),
            },
            is_in_firewall: true,
        };
        facts.owners.push(status.clone());
        assert_eq!(firewall(&facts), []);
        status.is_in_firewall = false;
        facts.owners.push(status);
        let findings = firewall(&facts);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].finding,
            "not all rules of network 'my lan' are in the firewall"
        );
        assert_eq!(findings[0].mend, "portero sync");
    }
}
