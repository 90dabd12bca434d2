//! What is to be done: the files that change, in the format that the NIC is configured in. Each format
//! goes through the same steps.

use crate::bridge::{find_nic, Bridge, HostFiles, HostNic};
use crate::format::{Draft, Format};
use crate::ifcfg::Scripts;
use crate::ifupdown::Interfaces;
use crate::keyfile::Profiles;
use crate::netplan::Trees;
use crate::networkd::Units;
use crate::{BridgeError, NicOwner, Renderer, Result};
use portero_xml::Sanitised;
use std::collections::BTreeSet;

/// One file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its path below /etc.
    pub path: String,
    /// What is in it; nothing when it is not there.
    pub before: Option<String>,
    /// What is to be in it; nothing when it goes.
    pub after: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgePlan {
    /// The format of the files.
    pub renderer: Renderer,
    /// All files that change, by path.
    pub changes: Vec<FileChange>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
    /// The bridge's NICs, each with the program that its own file leaves it to, where that says one.
    pub owners: Vec<(String, Option<NicOwner>)>,
}

impl BridgePlan {
    /// The plan that a draft comes to.
    fn from_draft(
        renderer: Renderer,
        draft: &Draft<'_>,
        owners: Vec<(String, Option<NicOwner>)>,
    ) -> Result<Self> {
        let (before, after) = (draft.before, &draft.after);
        let paths = before.iter().chain(after.iter()).map(|(path, _)| path);
        let changes = BTreeSet::from_iter(paths)
            .into_iter()
            .map(|path| FileChange {
                path: path.to_owned(),
                before: before.get(path).map(str::to_owned),
                after: after.get(path).map(str::to_owned),
            });
        let changes: Vec<FileChange> = changes
            .filter(|change| change.before != change.after)
            .collect();
        let mut damaged = changes
            .iter()
            .filter(|change| before.is_damaged(&change.path));
        if let Some(FileChange { path, .. }) = damaged.next() {
            let reason = "has a byte that is no UTF-8, expected text";
            return Err(BridgeError::value(path, None, reason));
        }
        let warnings = draft
            .warnings
            .iter()
            .map(|warning| Sanitised(warning).to_string());
        let mut warnings: Vec<String> = warnings.collect();
        warnings.dedup();
        Ok(Self {
            renderer,
            changes,
            warnings,
            owners,
        })
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
    nics: &[HostNic],
) -> Result<BridgePlan> {
    let mut live = Vec::new();
    for (index, nic) in bridge.nics.iter().enumerate() {
        live.push(find_nic(nic, nics)?);
        if bridge.nics[..index].contains(nic) {
            let reason = "is given a second time, expected it once";
            return Err(BridgeError::unfit(nic, reason));
        }
    }
    let renderer = match renderer {
        Some(renderer) => renderer,
        None => detect(bridge, files, live[0])?,
    };
    let make = match renderer {
        Renderer::Ifcfg => make_plan::<Scripts>,
        Renderer::Keyfile => make_plan::<Profiles>,
        Renderer::Networkd => make_plan::<Units>,
        Renderer::Netplan => make_plan::<Trees>,
        Renderer::Ifupdown => make_plan::<Interfaces>,
    };
    make(renderer, bridge, files, &live)
}

/// The format that a NIC is configured in today.
fn detect(bridge: &Bridge, files: &HostFiles, nic: &HostNic) -> Result<Renderer> {
    let mut found = Renderer::ALL.iter().filter_map(|renderer| {
        let owner = match renderer {
            Renderer::Ifcfg => Scripts::owner,
            Renderer::Keyfile => Profiles::owner,
            Renderer::Networkd => Units::owner,
            Renderer::Netplan => Trees::owner,
            Renderer::Ifupdown => Interfaces::owner,
        };
        Some((*renderer, owner(files, nic)?))
    });
    match (found.next(), found.next()) {
        (None, _) => match find_wicked(files, nic) {
            Some(file) => Err(BridgeError::Wicked {
                file,
                nic: nic.name.to_string(),
                bridge: bridge.name.to_string(),
            }),
            None => Err(BridgeError::no_file(&nic.name)),
        },
        (Some((renderer, _)), None) => Ok(renderer),
        (Some((_, first)), Some((_, second))) => Err(BridgeError::Formats {
            nic: nic.name.to_string(),
            first,
            second,
        }),
    }
}

/// The file that SUSE's wicked configures a NIC by: a dialect of ifcfg in a folder of its own.
fn find_wicked(files: &HostFiles, nic: &HostNic) -> Option<String> {
    let file = format!("sysconfig/network/ifcfg-{}", nic.name);
    files.get(&file).is_some().then_some(file)
}

/// Plans a bridge in one format.
fn make_plan<F: Format>(
    renderer: Renderer,
    bridge: &Bridge,
    files: &HostFiles,
    nics: &[&HostNic],
) -> Result<BridgePlan> {
    let mut format = F::read(files)?;
    let mut draft = Draft::new(bridge, nics, files);
    if let Some(file) = format.find_bridge(&draft)? {
        let name = bridge.name.to_string();
        return Err(BridgeError::Exists { file, name });
    }
    let first = find_one(&format, &draft, nics[0])?;
    let first = first.ok_or_else(|| BridgeError::no_file(&nics[0].name))?;
    let mut port = format.make_port(&mut draft, nics[0], &first)?;
    let mut entries = vec![first];
    for (index, nic) in nics.iter().enumerate().skip(1) {
        let entry = match find_one(&format, &draft, nic)? {
            Some(entry) => entry,
            None => format.add(&draft, nic, &entries[0])?,
        };
        let place = format.place(&entry);
        let mut others = entries.iter();
        if let Some(other) = others.position(|other| format.place(other) == place) {
            let (other, nic) = (&bridge.nics[other], &bridge.nics[index]);
            let reason = format!("is for both {other} and {nic}, expected one for each");
            return Err(format.error(&entry, reason));
        }
        format.make_port(&mut draft, nic, &entry)?;
        if let Some(error) = format.ip_error(&draft, nic, &entry) {
            return Err(error);
        }
        entries.push(entry);
    }
    port.mac = port.mac.or(nics[0].mac.map(|mac| mac.to_string()));
    if port.mac.is_none() {
        let (nic, name) = (&bridge.nics[0], &bridge.name);
        draft.warn(format!(
            "the MAC address of {nic} is not known, so that of {name} is not pinned to it"
        ));
    }
    format.make_bridge(&mut draft, &entries, port)?;
    let owners = nics.iter().zip(&entries).map(|(nic, entry)| {
        let owner = format.left_to(entry)?;
        Ok((nic.name.to_string(), owner))
    });
    let owners = owners.collect::<Result<_>>()?;
    BridgePlan::from_draft(renderer, &draft, owners)
}

/// The one entry that configures a NIC, if there is any.
fn find_one<F: Format>(format: &F, draft: &Draft<'_>, nic: &HostNic) -> Result<Option<F::Entry>> {
    let mut found = format.find(draft, nic)?.into_iter();
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(BridgeError::Ambiguous {
            nic: nic.name.to_string(),
            first: format.place(&first),
            second: format.place(&second),
        }),
        (one, _) => Ok(one),
    }
}
