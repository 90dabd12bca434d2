//! `portero doctor`: a list of checks, each of which looks at what was gathered of the host and says
//! what it finds, and the command that mends it.

mod hooks;
mod host;
mod leaks;
mod mend;
mod others;
mod rules;

pub(crate) use hooks::troubles;
pub(crate) use mend::word;
pub(crate) use others::misplaced;

use crate::{status, DONE};
use portero_engine::{ActiveNetwork, ApplyError, Backends, Engine, HostFacts, OwnerStatus, Wish};
use portero_inventory::{Daemon, Denial, ForeignRules, HookLink, Settings};
use portero_system::{Deadline, Host, Paths};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// Something was found.
const FOUND: u8 = 2;

/// Longest time to read everybody's rules.
const RULES: Duration = Duration::from_secs(10);

/// What checks look at.
#[derive(Default)]
struct Facts {
    /// Active networks.
    networks: Vec<ActiveNetwork>,
    /// Everybody who has rules, or waits for them.
    owners: Vec<OwnerStatus>,
    /// The host itself.
    host: HostFacts,
    /// What everybody wants.
    wishes: Vec<Wish>,
    /// Which firewall is used by whom.
    backends: Backends,
    /// libvirt's daemons.
    daemons: Vec<Daemon>,
    /// Our hooks.
    hook_links: Vec<HookLink>,
    /// Everybody's rules.
    rules: ForeignRules,
    /// What other firewalls are told.
    settings: Settings,
    /// Interfaces by which others reach the host.
    outer: Vec<String>,
    /// What AppArmor has denied.
    denials: Vec<Denial>,
    /// When the administrator has changed AppArmor's profile of libvirtd last.
    profile_since: Option<SystemTime>,
}

impl Facts {
    fn gather(engine: &mut Engine<'_>) -> Result<Self, ApplyError> {
        let paths = Paths::default();
        let networks = engine.networks()?;
        let bridge = |name: &str| {
            let mut bridges = networks
                .iter()
                .filter_map(|one| one.network.bridge.as_ref());
            bridges.any(|bridge| bridge.as_str() == name)
        };
        let outer = Host::interfaces().into_iter().filter(|one| {
            let mut addresses = one.addresses.iter();
            addresses.any(|net| !net.addr().is_loopback()) && !bridge(&one.name)
        });
        let outer = outer.map(|one| one.name).collect();
        let profile = paths.etc.join("apparmor.d/local/usr.sbin.libvirtd");
        let profile = std::fs::metadata(profile).and_then(|file| file.modified());
        Ok(Self {
            owners: engine.status()?,
            host: engine.host_facts(),
            wishes: engine.wishes()?,
            backends: engine.backends()?,
            daemons: portero_inventory::daemons(),
            hook_links: portero_inventory::hook_links(&paths),
            rules: portero_inventory::foreign_rules(Deadline::after(RULES)),
            settings: portero_inventory::settings(&paths),
            denials: portero_inventory::denials(&paths),
            profile_since: profile.ok(),
            outer,
            networks,
        })
    }
}

/// What a check finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What is wrong, in one line.
    pub(crate) finding: String,
    /// The command that mends it, or what to do.
    pub(crate) mend: String,
}

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
        status::to_json(&report)
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
    use portero_engine::OwnFile;
    use portero_libvirt::Network;
    use portero_model::{Owner, OwnerKind, Policy, Ruleset};
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
        let owner = Owner::new(OwnerKind::Network, one.network.uuid, &one.network.name);
        one.given = Some(Ruleset {
            policy: Some(Policy {
                bridge: "br".to_owned(),
                ways: BTreeMap::new(),
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
