//! What is to be done: the files that change, in the format that the NIC is configured in.

use crate::bridge::{fit, Bridge, HostFiles, Nic};
use crate::{ifcfg, ifupdown, keyfile, netplan, networkd, BridgeError, Owner, Renderer};
use portero_xml::Sanitised;
use std::collections::BTreeSet;

/// One file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path below /etc.
    pub path: String,
    /// What is in it; nothing when it is not there.
    pub before: Option<String>,
    /// What is to be in it; nothing when it goes.
    pub after: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The format of the files.
    pub renderer: Renderer,
    /// All files that change, by path.
    pub changes: Vec<Change>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
    /// The bridge's NICs, each with the program that its own file leaves it to, where that says one.
    pub owners: Vec<(String, Option<Owner>)>,
}

impl Plan {
    /// The plan that makes `after` of the files.
    pub(crate) fn between(
        renderer: Renderer,
        before: &HostFiles,
        after: &HostFiles,
        warnings: Vec<String>,
    ) -> Self {
        let paths: BTreeSet<&str> = before
            .iter()
            .chain(after.iter())
            .map(|(path, _)| path)
            .collect();
        let changes = paths
            .into_iter()
            .map(|path| Change {
                path: path.to_owned(),
                before: before.get(path).map(str::to_owned),
                after: after.get(path).map(str::to_owned),
            })
            .filter(|change| change.before != change.after)
            .collect();
        let warnings = warnings.iter();
        let mut warnings: Vec<String> = warnings
            .map(|warning| Sanitised(warning).to_string())
            .collect();
        warnings.dedup();
        Self {
            renderer,
            changes,
            warnings,
            owners: Vec::new(),
        }
    }
}

/// Plans a bridge, in the format given or in that of the first NIC's file.
///
/// # Errors
/// [`BridgeError`] when a NIC is not fit for it or a file cannot be understood; then nothing is to
/// be changed.
pub fn plan(
    bridge: &Bridge,
    renderer: Option<Renderer>,
    files: &HostFiles,
    nics: &[Nic],
) -> Result<Plan, BridgeError> {
    let mut live = Vec::new();
    for (index, nic) in bridge.nics.iter().enumerate() {
        live.push(fit(nic, nics)?);
        if bridge.nics[..index].contains(nic) {
            return Err(BridgeError::Unfit {
                nic: nic.to_string(),
                reason: "is given a second time, expected it once".to_owned(),
            });
        }
    }
    let renderer = match renderer {
        Some(renderer) => renderer,
        None => Renderer::detect(files, live[0])?,
    };
    let mut plan = match renderer {
        Renderer::Ifcfg => ifcfg::plan(bridge, files, &live),
        Renderer::Keyfile => keyfile::plan(bridge, files, &live),
        Renderer::Networkd => networkd::plan(bridge, files, &live),
        Renderer::Netplan => netplan::plan(bridge, files, &live),
        Renderer::Ifupdown => ifupdown::plan(bridge, files, &live),
    }?;
    for nic in live {
        let owner = match renderer {
            Renderer::Ifcfg => ifcfg::left_to(files, nic)?,
            Renderer::Netplan => netplan::left_to(files, nic)?,
            Renderer::Keyfile | Renderer::Networkd | Renderer::Ifupdown => None,
        };
        plan.owners.push((nic.name.to_string(), owner));
    }
    Ok(plan)
}
