//! `portero doctor`: a list of checks, each of which looks at what was gathered of the host and says
//! what it finds, and the command that mends it.

mod host;
mod leaks;
mod mend;
mod rules;

use crate::{status, DONE};
use portero_apply::{ActiveNetwork, ApplyError, Engine, HostFacts, OwnerStatus};
use serde::Serialize;

/// Something was found.
const FOUND: u8 = 2;

/// What checks look at.
struct Facts {
    /// Active networks.
    networks: Vec<ActiveNetwork>,
    /// Everybody who has rules, or waits for them.
    owners: Vec<OwnerStatus>,
    /// The host itself.
    host: HostFacts,
}

/// What a check finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What is wrong, in one line.
    finding: String,
    /// The command that mends it, or what to do.
    mend: String,
}

/// A check: its name, and what it finds.
struct Check {
    name: &'static str,
    find: fn(&Facts) -> Vec<Finding>,
}

/// All checks, in the order of what they print; a new one is a line here.
const CHECKS: [Check; 7] = [
    Check {
        name: "hooks",
        find: host::hooks,
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
    let facts = Facts {
        networks: engine.networks()?,
        owners: engine.status()?,
        host: engine.host_facts(),
    };
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
