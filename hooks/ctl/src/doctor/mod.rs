//! `portero doctor`: a list of checks, each of which looks at what was gathered of the host and says
//! what it finds, and the command that mends it.

mod hooks;
mod host;
mod leaks;
mod libvirt;
mod mend;
mod others;
mod rules;
mod selinux;
mod service;
mod value;

pub(crate) use hooks::{restart_networks, troubles};
pub(crate) use libvirt::missing;
pub(crate) use others::misplaced;
pub(crate) use value::Finding;

use crate::exit::{DONE, FAILED};
use crate::json::to_json;
use crate::lasting;
use portero_engine::{ApplyError, Engine};
use portero_model::Owner;
use serde::Serialize;
use value::Facts;

/// A check: its name, and what it finds.
type Check = (&'static str, fn(&Facts) -> Vec<Finding>);

/// All checks, in the order of what they print; a new one is a line here.
const CHECKS: [Check; 22] = [
    ("hooks", hooks::hooks),
    ("daemons", hooks::daemons),
    ("service", service::service),
    ("apparmor", others::apparmor),
    ("selinux", selinux::selinux),
    ("backend", others::backend),
    ("forwarding", host::forwarding),
    ("bridge-netfilter", host::bridge_netfilter),
    ("configuration", rules::configuration),
    ("vain-forwards", rules::vain),
    ("ended-guests", rules::ended_guests),
    ("bridges", rules::bridges),
    ("firewall", rules::firewall),
    ("ban-lists", rules::ban_lists),
    ("antispoof", rules::antispoof),
    ("libvirt-rules", libvirt::rules),
    ("guest-services", libvirt::services),
    ("past-libvirt", libvirt::past),
    ("firewalls", others::firewalls),
    ("published", others::published),
    ("isolated-to-routed", leaks::isolated_to_routed),
    ("ipv6-into-nat", leaks::ipv6_into_nat),
];

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// The names of all checks.
    checked: [&'static str; CHECKS.len()],
    /// What they have found.
    findings: Vec<NamedFinding>,
}

/// A finding and the check that it is of.
#[derive(Serialize)]
struct NamedFinding {
    check: &'static str,
    #[serde(flatten)]
    what: Finding,
    /// Where to write what the command changes, if the next boot undoes it.
    until_boot: Option<&'static str>,
}

/// Checks everything; gives what to print and the exit status.
pub(crate) fn run(json: bool, engine: &mut Engine<'_>) -> Result<(String, u8), ApplyError> {
    let facts = Facts::gather(engine)?;
    let findings = CHECKS.into_iter().flat_map(|(check, find)| {
        let found = find(&facts).into_iter();
        found.map(|what| NamedFinding {
            check,
            until_boot: lasting::place_to_last(&what.mend),
            what,
        })
    });
    let report = Report {
        findings: findings.collect(),
        checked: CHECKS.map(|(check, _)| check),
    };
    let is_well = report.findings.is_empty();
    let text = if json {
        to_json(&report)
    } else {
        text(&report)
    };
    Ok((text, if is_well { DONE } else { FAILED }))
}

/// What others do to the forwards of one owner: who stops them, or has their ports, too.
///
/// # Errors
/// [`ApplyError`] when the host cannot be looked at.
pub(crate) fn forwards_of(
    engine: &mut Engine<'_>,
    owner: &Owner,
) -> Result<Vec<Finding>, ApplyError> {
    let mut facts = Facts::gather(engine)?;
    let owners = &mut facts.owners;
    owners.retain(|one| one.record.ruleset.owner.key() == owner.key());
    let mut findings = others::firewalls(&facts);
    findings.extend(others::published(&facts));
    Ok(findings)
}

fn text(report: &Report) -> String {
    if report.findings.is_empty() {
        return format!("Nothing found by: {}.\n", report.checked.join(", "));
    }
    let findings = report.findings.iter().map(|found| {
        let Finding { finding, mend } = &found.what;
        let note = lasting::note(mend);
        format!("{}: {finding}\n  repair: {mend}\n{note}", found.check)
    });
    findings.collect()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
pub(crate) mod tests {
    use super::*;
    use portero_inventory::ActiveNetwork;
    use portero_libvirt::Network;
    use portero_model::{Owner, Policy, Ruleset};
    use portero_xml::Element;
    use std::collections::BTreeMap;

    /// A network of the number, with a subnet of each family unless it is told otherwise.
    pub(crate) fn network(name: &str, number: u8, inside: &str) -> ActiveNetwork {
        let subnets = if inside.contains("<ip") {
            String::new()
        } else {
            format!(
                "<ip address='10.{number}.0.1' prefix='24'/>\
                 <ip family='ipv6' address='fd00:{number}::1' prefix='64'/>"
            )
        };
        let xml = format!(
            "<network><name>{name}</name><uuid>00000000-0000-4000-8000-0000000000{number:02}</uuid>\
             {inside}<bridge name='br{number}'/>{subnets}</network>"
        );
        let root = Element::parse(xml.as_bytes()).expect("XML");
        ActiveNetwork {
            network: Network::from_element(&root).expect("a network"),
            given: None,
            is_in_firewall: true,
            written: Ok(None),
            file: format!("/etc/portero/networks/{name}.xml").into(),
            has_file: false,
            dnsmasq: None,
            unguarded: Vec::new(),
        }
    }

    /// The same network with a policy that says nothing.
    pub(in crate::doctor) fn with_policy(mut one: ActiveNetwork) -> ActiveNetwork {
        let owner = Owner::from(&one.network);
        one.given = Some(Ruleset {
            policy: Some(Policy {
                bridge: "br".to_owned(),
                rules: BTreeMap::new(),
                nat: Vec::new(),
                neighbors: Vec::new(),
            }),
            ..Ruleset::empty(owner)
        });
        one
    }

    pub(in crate::doctor) fn facts(networks: Vec<ActiveNetwork>) -> Facts {
        Facts {
            networks,
            ..Facts::default()
        }
    }

    #[test]
    fn a_host_without_networks_and_with_all_hooks_is_well() {
        let facts = facts(Vec::new());
        for (check, find) in CHECKS {
            assert_eq!(find(&facts), [], "{check}");
        }
    }

    #[test]
    fn checks_are_told_apart_by_name() {
        let mut names: Vec<&str> = CHECKS.map(|(check, _)| check).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
