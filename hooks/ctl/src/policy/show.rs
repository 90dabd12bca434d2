//! `portero policy show`: what active networks were given, and what came of it.

use super::table::{Columns, PolicyListing};
use super::{words, Error};
use crate::candidates::did_you_mean_object;
use crate::exit::DONE;
use crate::json::to_json;
use portero_engine::Engine;
use portero_inventory::{ActiveNetwork, Snapshot};
use portero_libvirt::{Network, ObjectName};
use portero_model::{Counters, Ruleset};
use serde::Serialize;

/// A network with a policy.
#[derive(Debug, Serialize)]
struct Shown {
    /// Its name.
    network: String,
    uuid: String,
    bridge: Option<String>,
    /// Where the policy is written, as far as it is still what was given.
    origin: Option<String>,
    /// Its line there.
    line: Option<usize>,
    /// Whether all of it is in the firewall and can be reached.
    in_firewall: bool,
    /// What came of it.
    #[serde(flatten)]
    listing: PolicyListing,
}

/// Shows the policies of all active networks, or of one.
pub(super) fn run(
    wanted: Option<&ObjectName>,
    json: bool,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), Error> {
    let mut snapshot = Snapshot::take(engine)?;
    let active = snapshot.networks();
    let networks = ActiveNetwork::networks(&active);
    if let Some(name) = wanted.filter(|name| networks.iter().all(|one| one.name != **name)) {
        return Err(Error::NoNetwork {
            tip: did_you_mean_object(name),
            name: name.clone(),
        });
    }
    let concerned = |one: &&ActiveNetwork| {
        let is_wanted = wanted.is_none_or(|name| one.network.name == *name);
        is_wanted && (one.policy().is_some() || !matches!(one.written, Ok(None)))
    };
    let active: Vec<&ActiveNetwork> = active.iter().filter(concerned).collect();
    let given: Vec<&Ruleset> = active.iter().filter_map(|one| one.given.as_ref()).collect();
    let counters = snapshot.rule_counters(&given)?;
    let shown = active.iter().map(|one| {
        let mut counted = given.iter().zip(&counters);
        let own = counted.find(|(ruleset, _)| ruleset.owner.uuid == one.network.uuid);
        show(one, own.map(|(_, counters)| counters), &networks)
    });
    let shown: Vec<Shown> = shown.collect();
    let text = if json {
        to_json(&shown)
    } else if shown.is_empty() {
        "No active network has a policy.\n".to_owned()
    } else {
        let texts: Vec<String> = shown.iter().map(text).collect();
        texts.join("\n")
    };
    Ok((text, DONE))
}

fn show(one: &ActiveNetwork, counters: Option<&Counters>, networks: &[Network]) -> Shown {
    let policy = one.policy();
    let written = one.written_as_given();
    let mut listing = policy.map_or_else(PolicyListing::default, |policy| {
        let written = written.map(|policy| &policy.written);
        PolicyListing::new(policy, written, counters, networks)
    });
    let warnings = &mut listing.warnings;
    if !one.is_in_firewall {
        warnings.push("not all of it is in the firewall; run 'portero sync'".to_owned());
    }
    match (&one.written, written) {
        (Err(error), _) => warnings.push(format!("what was given last still holds: {error}")),
        (Ok(_), None) => warnings.push("another is written now; run 'portero sync'".to_owned()),
        (Ok(_), Some(policy)) => warnings.extend(policy.compiled.warnings.clone()),
    }
    Shown {
        network: one.network.name.to_string(),
        uuid: one.network.uuid.to_string(),
        bridge: policy.map(|policy| policy.bridge.clone()),
        origin: written.map(|policy| policy.origin.to_string()),
        line: written.map(|policy| policy.written.line),
        in_firewall: policy.is_some() && one.is_in_firewall,
        listing,
    }
}

fn text(shown: &Shown) -> String {
    let mut text = format!("network {}", words::quoted(&shown.network));
    if let (Some(origin), Some(line)) = (&shown.origin, shown.line) {
        text += &format!(", {origin}, line {line}");
    }
    text += match shown.in_firewall {
        true => ": in the firewall\n",
        false => ": NOT in the firewall\n",
    };
    text + &shown.listing.text(Columns::Counted, "") + &shown.listing.warnings()
}
