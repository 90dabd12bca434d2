//! Checks of what is written for portero, and of what portero made of it.

use super::leaks::quoted;
use super::mend::SYNC;
use super::value::{Facts, Finding};
use portero_bridge::{MadeBridge, Stage};
use portero_engine::BanSetState;
use portero_inventory::ConfigProblem;
use portero_model::OwnerKind;
use portero_trace::word;

/// What is written wrong, so that something else holds or nothing, now or at the next start.
pub(super) fn configuration(facts: &Facts) -> Vec<Finding> {
    let policies = facts.networks.iter().filter_map(|one| {
        let error = one.written.as_ref().err()?;
        let (quoted, name) = (quoted(one), word(one.network.name.as_str()));
        Some(Finding {
            finding: format!("the policy of network {quoted} is not in force as written: {error}"),
            mend: format!(
                "correct it until this is content: portero policy check {name}; then {SYNC}"
            ),
        })
    });
    let mut findings: Vec<Finding> = policies.collect();
    let is_said = |findings: &[Finding], error: &str| {
        let mut findings = findings.iter();
        findings.any(|known| known.finding.ends_with(error))
    };
    for problem in &facts.config_problems {
        match problem {
            ConfigProblem::File(error) | ConfigProblem::Object { error, .. }
                if is_said(&findings, error) => {}
            ConfigProblem::File(error) => findings.push(Finding {
                finding: error.clone(),
                mend: format!("correct what is named there, then: {SYNC}"),
            }),
            ConfigProblem::Object { owner, error } => findings.push(Finding {
                finding: format!("what is written for {owner} is not understood: {error}"),
                mend: format!("correct what is named there, then: {SYNC}"),
            }),
            ConfigProblem::NoObject { kind, name, path } => {
                let path = path.display().to_string();
                findings.push(Finding {
                    finding: format!(
                        "libvirt has no {} '{}', which {} is for",
                        kind.name(),
                        name.escape_debug(),
                        path.escape_debug()
                    ),
                    mend: format!(
                        "rename the file, or remove it if nobody defines that {} again: rm {}",
                        kind.name(),
                        word(&path)
                    ),
                });
            }
        }
    }
    findings
}

/// Forwards that are right and that nothing can come of on this host as it is.
pub(super) fn vain(facts: &Facts) -> Vec<Finding> {
    let findings = facts.vain.iter().map(|(owner, notice)| {
        let name = word(&owner.name);
        let edit = match owner.kind {
            OwnerKind::Domain => format!("virsh {}edit {name}", owner.connect_option()),
            OwnerKind::Network => format!("virsh net-edit {name}"),
        };
        Finding {
            finding: format!("{owner}, {notice}"),
            mend: format!("correct it: {edit} (or its file in /etc/portero)"),
        }
    });
    findings.collect()
}

/// Guests that have ended and of which something is left: no hook was told.
pub(super) fn ended_guests(facts: &Facts) -> Vec<Finding> {
    let ended = facts.ended_guests.iter().map(|uuid| {
        let mut owners = facts.owners.iter().map(|one| &one.record.ruleset.owner);
        let known = owners.find(|owner| owner.uuid == *uuid);
        let desired = || {
            facts
                .desired
                .iter()
                .map(|one| &one.owner)
                .find(|owner| owner.uuid == *uuid)
        };
        let name = known
            .or_else(desired)
            .map_or(format!("a guest ({uuid})"), ToString::to_string);
        Finding {
            finding: format!(
                "{name} does not run, and portero was not told that it ended: what it had is left"
            ),
            mend: SYNC.to_owned(),
        }
    });
    ended.collect()
}

/// Bridges of the host that nobody has confirmed, or that were left half done.
pub(super) fn bridges(facts: &Facts) -> Vec<Finding> {
    let findings = facts
        .bridges
        .iter()
        .filter_map(|MadeBridge { name, stage, .. }| {
            let option = word(name.as_str());
            Some(match stage {
                Stage::Confirmed | Stage::Changing => return None,
                Stage::Waiting(left) => Finding {
                    finding: format!(
                        "bridge {name} is not confirmed: portero rolls it back in {} s",
                        left.as_secs()
                    ),
                    mend: format!("portero bridge confirm --bridge {option}"),
                },
                Stage::HalfDone => Finding {
                    finding: format!("bridge {name} is half done, and nobody works at it"),
                    mend: format!("portero bridge rollback --bridge {option}"),
                },
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

/// Sets of others that refuse nobody, or no longer whom they hold.
pub(super) fn ban_lists(facts: &Facts) -> Vec<Finding> {
    let findings = facts.ban_sets.iter().filter_map(|(set, state)| {
        let (what, mend) = match state {
            BanSetState::Mirrored => return None,
            BanSetState::Differs => ("it has changed, and who was in it before is refused", SYNC),
            BanSetState::Unusable(problem) => (
                problem.as_str(),
                "have its owner, such as fail2ban, make it, or correct set= in the portForward",
            ),
        };
        Some(Finding {
            finding: format!("set '{set}', a ban list of forwards: {what}"),
            mend: mend.to_owned(),
        })
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
    use portero_model::{Owner, Ruleset};
    use std::collections::BTreeSet;

    #[test]
    fn an_interface_that_cannot_be_guarded_is_found() {
        let mut lan = with_policy(network("lan", 1, ""));
        lan.unguarded = vec!["eth7".to_owned(), "vnet7".to_owned()];
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
                addresses: Vec::new(),
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

    #[test]
    fn what_is_written_for_nobody_or_for_a_guest_that_is_off_is_found() {
        let mut facts = facts(Vec::new());
        let owner = Owner::from(&network("lan", 1, "").network);
        facts.config_problems = vec![
            ConfigProblem::File("/etc/portero/portero.toml: line 1: no".to_owned()),
            ConfigProblem::Object {
                owner,
                error: "line 3: no".to_owned(),
            },
            ConfigProblem::NoObject {
                kind: portero_model::OwnerKind::Domain,
                name: "my web".to_owned(),
                path: "/etc/portero/domains/my web.xml".into(),
            },
        ];
        let findings = configuration(&facts);
        let found: Vec<&str> = findings.iter().map(|one| one.finding.as_str()).collect();
        let expected = [
            "/etc/portero/portero.toml: line 1: no",
            "what is written for network 'lan' is not understood: line 3: no",
            "libvirt has no domain 'my web', which /etc/portero/domains/my web.xml is for",
        ];
        assert_eq!(found, expected);
        assert!(findings[2]
            .mend
            .ends_with("rm '/etc/portero/domains/my web.xml'"));
    }

    #[test]
    fn a_guest_that_has_ended_and_a_bridge_that_waits_are_found() {
        let mut facts = facts(Vec::new());
        assert_eq!((ended_guests(&facts), bridges(&facts)), (vec![], vec![]));
        facts.ended_guests = BTreeSet::from([uuid::Uuid::nil()]);
        let ended = ended_guests(&facts).remove(0);
        assert!(ended.finding.starts_with("a guest (00000000-"), "{ended:?}");
        assert_eq!(ended.mend, "portero sync");
        let name: portero_libvirt::InterfaceName = "br0".parse().expect("a name");
        let made = |stage| MadeBridge {
            name: name.clone(),
            nics: Vec::new(),
            stage,
        };
        let left = std::time::Duration::from_secs(57);
        facts.bridges = vec![
            made(Stage::Confirmed),
            made(Stage::Waiting(left)),
            made(Stage::HalfDone),
            made(Stage::Changing),
        ];
        let mends: Vec<String> = bridges(&facts).into_iter().map(|one| one.mend).collect();
        let expected = [
            "portero bridge confirm --bridge br0",
            "portero bridge rollback --bridge br0",
        ];
        assert_eq!(mends, expected);
    }
}
