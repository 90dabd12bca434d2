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

/// Interfaces in the bridge of a network with antispoof that nobody can guard.
pub(super) fn antispoof(facts: &Facts) -> Vec<Finding> {
    let networks = facts.networks.iter();
    let unguarded = networks.flat_map(|one| {
        let name = word(one.network.name.as_str());
        one.unguarded().map(move |(interface, finding)| Finding {
            finding,
            mend: format!(
                "give its guest <interface type='network'> with <source network={name}/> in place of it, or take it \
                 out: ip link set {} nomaster",
                word(interface)
            ),
        })
    });
    unguarded.collect()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::doctor::tests::{facts, network, with_policy};
    use portero_engine::{ApplyError, Phase, Record};
    use portero_inventory::OwnerStatus;
    use portero_model::{Antispoof, Owner, Ruleset, Spoof};
    use std::collections::BTreeSet;

    #[test]
    fn an_interface_that_cannot_be_guarded_is_found() {
        let mut lan = with_policy(network("lan", 1, ""));
        let given = lan.given.as_mut().expect("what it was given");
        given.antispoof = Some(Antispoof {
            against: BTreeSet::from([Spoof::Mac]),
            nets: Vec::new(),
            taps: BTreeSet::new(),
            unguarded: BTreeSet::from(["eth7".to_owned(), "vnet7".to_owned()]),
        });
        let findings = antispoof(&facts(vec![lan, network("other", 2, "")]));
        let found: Vec<&str> = findings.iter().map(|one| one.finding.as_str()).collect();
        let what =
            "is in br1 and is no guest's interface on the network: it cannot be guarded, and";
        let expected = [
            format!("network 'lan': antispoof: eth7 {what} what it sends is not looked at"),
            format!("network 'lan': antispoof: vnet7 {what} it reaches no guarded guest"),
        ];
        assert_eq!(found, expected);
        assert!(findings[1].mend.ends_with("ip link set vnet7 nomaster"));
    }

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
