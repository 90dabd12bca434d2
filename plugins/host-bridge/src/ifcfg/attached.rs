//! The files that an interface has besides its own: routes, rules and aliases. The network service finds
//! them by the device's name, and NetworkManager by the name of the interface's file; routes and rules
//! the network service finds by either.

use super::file::Ifcfg;
use super::port::Named;
use super::routes::rewrite;
use crate::bridge::is_backup;
use crate::format::Draft;
use crate::{BridgeError, Result};

/// Files of routes and rules by what their names start with.
const ROUTES: [&str; 4] = ["route", "route6", "rule", "rule6"];

/// Longest label of an address, IFNAMSIZ without its end.
const LABEL: usize = 15;

/// Who finds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    Both,
    Scripts,
    NetworkManager,
}

/// Gives the files that go with a NIC's to the bridge. `folder` is where they are, and `is_kept` says that
/// NetworkManager leaves the NIC alone.
pub(crate) fn rename_attached(
    draft: &mut Draft<'_>,
    named: &Named,
    nic: &str,
    folder: &str,
    is_kept: bool,
) -> Result<()> {
    let (before, bridge) = (draft.before, &draft.bridge.name);
    for (file, text) in before.folder(folder).filter(|(file, _)| !is_backup(file)) {
        let Some((kind, end, readers)) = belongs(file, named, nic) else {
            let is_route = ROUTES.contains(&kind_of(file));
            if is_route && rewrite(text, nic, bridge.as_str()) != rewrite(text, nic, nic) {
                draft.warn(format!(
                    "{file} names {nic} and is another interface's: put {bridge} there"
                ));
            }
            continue;
        };
        match readers {
            Readers::NetworkManager if is_kept => continue,
            Readers::Scripts if !is_kept => {
                let reason = format!(
                    "the network service reads it for {nic} and NetworkManager does not, expected it under the name of {}",
                    named.name
                );
                return Err(BridgeError::value(file, None, reason));
            }
            Readers::NetworkManager => {
                let reason = format!(
                    "NetworkManager reads it for {nic} and the network service does not, expected {} to have the name of {nic}",
                    named.name
                );
                return Err(BridgeError::value(file, None, reason));
            }
            Readers::Both | Readers::Scripts => {}
        }
        let path = format!("{folder}/{kind}-{bridge}{end}");
        before.expect_none(&path, bridge)?;
        if draft.after.get(&path).is_some() {
            return Err(BridgeError::Ambiguous {
                nic: nic.to_owned(),
                first: format!("{kind}-{nic}{end}"),
                second: file.to_owned(),
            });
        }
        let text = match kind {
            "ifcfg" => alias(file, text, nic, bridge.as_str())?,
            _ => rewrite(text, nic, bridge.as_str()),
        };
        draft.after.remove(&format!("{folder}/{file}"));
        draft.after.insert(path, text);
    }
    Ok(())
}

fn kind_of(file: &str) -> &str {
    file.split_once('-').map_or("", |(kind, _)| kind)
}

/// The kind of a file that goes with a NIC, what follows the NIC's name in its own, and who finds it.
fn belongs<'a>(file: &'a str, named: &Named, nic: &str) -> Option<(&'a str, &'a str, Readers)> {
    let (kind, rest) = file.split_once('-')?;
    let is_route = ROUTES.contains(&kind);
    if !is_route && kind != "ifcfg" {
        return None;
    }
    let end_after = |name: &str| {
        let end = rest.strip_prefix(name)?;
        let is_range = kind == "ifcfg" && end.starts_with("-range");
        ((is_route && end.is_empty()) || end.starts_with(':') || is_range).then_some(end)
    };
    let own = named.name.split_once('-').map_or("", |(_, own)| own);
    let (of_device, of_file) = (end_after(nic), end_after(own));
    let readers = match (of_device, of_file) {
        (Some(_), Some(_)) => Readers::Both,
        (None, Some("")) => Readers::Both,
        (Some(_), None) => Readers::Scripts,
        (None, _) => Readers::NetworkManager,
    };
    let end = of_device.or(of_file)?;
    Some((kind, end, readers))
}

/// The text of an alias, or of a range of some, with the bridge's name.
fn alias(name: &str, text: &str, nic: &str, bridge: &str) -> Result<String> {
    let (mut file, error) = Ifcfg::read(text);
    if let Some(source) = error {
        let file = name.to_owned();
        return Err(BridgeError::Syntax { file, source });
    }
    let error = |reason: String| {
        let line = file.find("DEVICE").map(|found| found.line);
        Err(BridgeError::value(name, line, reason))
    };
    if let Some(device) = file.get("DEVICE") {
        let Some(label) = device.strip_prefix(nic).filter(|end| end.starts_with(':')) else {
            return error(format!(
                "DEVICE is '{device}', expected {nic}: and a number"
            ));
        };
        let label = format!("{bridge}{label}");
        if label.len() > LABEL {
            return error(format!("'{label}' is longer than {LABEL} characters, expected a shorter name of the bridge"));
        }
        file.set("DEVICE", &label);
    }
    Ok(file.to_string())
}
