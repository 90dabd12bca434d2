//! `portero doctor`: a list of checks, each of which looks at what was gathered of the host and says
//! what it finds, and the command that mends it.

mod hooks;
mod host;
mod leaks;
mod mend;
mod others;
mod rules;
mod value;

pub(crate) use hooks::troubles;
pub(crate) use others::misplaced;
pub(crate) use value::Finding;

use crate::exit::DONE;
use crate::json::to_json;
use portero_engine::{ApplyError, Engine};
use serde::Serialize;
use value::Facts;

/// Something was found.
const FOUND: u8 = 2;

/// A check: its name, and what it finds.
struct Check {
    name: &'static str,
    find: fn(&Facts) -> Vec<Finding>,
}

/// All checks, in the order of what they print; a new one is a line here.
const CHECKS: [Check; 11] = [
    Check {
        name: "hooks",
        find: hooks::hooks,
    },
    Check {
        name: "daemons",
        find: hooks::daemons,
    },
    Check {
        name: "apparmor",
        find: others::apparmor,
    },
    Check {
        name: "backend",
        find: others::backend,
    },
    Check {
        name: "forwarding",
        find: host::forwarding,
    },
    Check {
        name: "bridge-netfilter",
        find: host::bridge_netfilter,
    },
    Check {
        name: "configuration",
        find: rules::configuration,
    },
    Check {
        name: "firewall",
        find: rules::firewall,
    },
    Check {
        name: "firewalls",
        find: others::firewalls,
    },
    Check {
        name: "isolated-to-routed",
        find: leaks::isolated_to_routed,
    },
    Check {
        name: "ipv6-into-nat",
        find: leaks::ipv6_into_nat,
    },
];

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// The names of all checks.
    checked: Vec<&'static str>,
    /// What they have found.
    findings: Vec<Found>,
}

/// A finding and the check that it is of.
#[derive(Serialize)]
struct Found {
    check: &'static str,
    #[serde(flatten)]
    what: Finding,
}

/// Checks everything; gives what to print and the exit status.
pub(crate) fn run(json: bool, engine: &mut Engine<'_>) -> Result<(String, u8), ApplyError> {
    let facts = Facts::gather(engine)?;
    let findings = CHECKS.iter().flat_map(|check| {
        let found = (check.find)(&facts).into_iter();
        found.map(|what| Found {
            check: check.name,
            what,
        })
    });
    let report = Report {
        findings: findings.collect(),
        checked: CHECKS.iter().map(|check| check.name).collect(),
    };
    let code = if report.findings.is_empty() {
        DONE
    } else {
        FOUND
    };
    let text = if json {
        to_json(&report)
    } else {
        text(&report)
    };
    Ok((text, code))
}

fn text(report: &Report) -> String {
    if report.findings.is_empty() {
        return format!("Nothing found by: {}.\n", report.checked.join(", "));
    }
    let findings = report.findings.iter().map(|found| {
        let Finding { finding, mend } = &found.what;
        format!("{}: {finding}\n  mend it: {mend}\n", found.check)
    });
    findings.collect()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
pub(super) mod tests {
    use super::*;
    use portero_inventory::{ActiveNetwork, OwnFile};
    use portero_libvirt::Network;
    use portero_model::{Owner, Policy, Ruleset};
    use portero_xml::Element;
    use std::collections::BTreeMap;

    /// A network of the number, with a subnet of each family unless it is told otherwise.
    pub(in crate::doctor) fn network(name: &str, number: u8, inside: &str) -> ActiveNetwork {
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
            file: OwnFile::Missing(format!("/etc/portero/networks/{name}.xml").into()),
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
        for check in CHECKS {
            assert_eq!((check.find)(&facts), [], "{}", check.name);
        }
    }

    #[test]
    fn checks_are_told_apart_by_name() {
        let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
