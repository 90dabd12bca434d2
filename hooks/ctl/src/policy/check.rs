//! `portero policy check`: what a policy would become; nothing is changed.

use super::table::{Columns, PolicyListing};
use super::{words, Error};
use crate::args::CheckedSubject;
use crate::candidates::did_you_mean_object;
use crate::exit::{DONE, FAILED};
use crate::json::to_json;
use portero_engine::{ApplyError, Engine};
use portero_inventory::{read_policy_file, ActiveNetwork, Checked, Snapshot};
use portero_libvirt::Network;
use serde::Serialize;
use std::path::Path;

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct CheckReport {
    /// Whether nothing is wrong.
    valid: bool,
    /// What is wrong.
    error: Option<String>,
    /// The network that it is a policy of.
    network: Option<String>,
    /// Where it is written.
    origin: Option<String>,
    /// What it becomes.
    #[serde(flatten)]
    listing: PolicyListing,
    /// What else there is to say.
    notes: Vec<String>,
}

/// Checks a policy.
pub(super) fn run(asked: &CheckedSubject, engine: &mut Engine<'_>) -> Result<(String, u8), Error> {
    match (check(asked, engine), asked.json) {
        (Ok(found), true) => Ok((to_json(&found), DONE)),
        (Ok(found), false) => Ok((text(&found), DONE)),
        (Err(error), true) => {
            let found = CheckReport {
                error: Some(error.to_string()),
                ..CheckReport::default()
            };
            Ok((to_json(&found), FAILED))
        }
        (Err(error), false) => Err(error),
    }
}

fn check(asked: &CheckedSubject, engine: &mut Engine<'_>) -> Result<CheckReport, Error> {
    let networks = ActiveNetwork::networks(&Snapshot::take(engine)?.networks());
    // A file has a slash in its name, or is no network's name and is there.
    let name = asked.subject.parse().ok();
    let name = name.filter(|name| {
        let is_active = networks.iter().any(|network| network.name == *name);
        is_active || !Path::new(&asked.subject).exists()
    });
    let path = Path::new(&asked.subject);
    let checked = match &name {
        Some(name) => Snapshot::take(engine)?.check_policy(name),
        None => {
            let root = read_policy_file(path)?;
            Snapshot::take(engine)?.check_file(path, &root, asked.network.as_ref())
        }
    };
    let checked = checked.map_err(|error| match error {
        ApplyError::NoNetwork { name } if name.as_str() == asked.subject => {
            let tip = did_you_mean_object(&name);
            Error::NothingToCheck { name, tip }
        }
        error => error.into(),
    })?;
    Ok(found(checked, networks))
}

fn found(checked: Checked, mut networks: Vec<Network>) -> CheckReport {
    let mut found = CheckReport {
        valid: true,
        ..CheckReport::default()
    };
    let note = match checked {
        Checked::NoPolicy => "there is no policy in it".to_owned(),
        Checked::Group(group) => format!("a group of {} peers", group.targets().len()),
        Checked::Written(policy) => format!(
            "a policy of {} rules; --network NETWORK shows what it becomes there",
            policy.rules.len()
        ),
        Checked::Policy { network, policy } => {
            found.network = Some(network.name.to_string());
            found.origin = Some(policy.origin.to_string());
            networks.retain(|active| active.name != network.name);
            networks.push(*network);
            let (compiled, written) = (policy.compiled, Some(&policy.written));
            found.listing = PolicyListing::new(&compiled.policy, written, None, &networks);
            found.listing.warnings = compiled.warnings;
            return found;
        }
    };
    found.notes.push(note);
    found
}

fn text(found: &CheckReport) -> String {
    let mut text = String::new();
    if let (Some(network), Some(origin)) = (&found.network, &found.origin) {
        text += &format!("network {}, {origin}:\n", words::quoted(network));
        text += &found.listing.text(Columns::Plain, "  forbids nothing\n");
    }
    for note in &found.notes {
        text += &format!("{note}\n");
    }
    text + &found.listing.warnings()
}

#[cfg(test)]
mod tests {
    use super::{to_json, CheckReport};

    #[test]
    fn what_json_says_stands_in_its_order() {
        let json = to_json(&CheckReport::default());
        let keys: Vec<&str> = json.split('"').skip(1).step_by(2).collect();
        let before = ["valid", "error", "network", "origin"];
        let listing = ["clauses", "nat", "neighbors", "warnings"];
        assert_eq!(keys, [&before[..], &listing, &["notes"]].concat());
    }
}
