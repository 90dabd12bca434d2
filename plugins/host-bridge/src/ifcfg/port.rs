//! Divides one NIC's file into what stays with the NIC and what goes to the bridge.

use super::file::{Ifcfg, SyntaxError};
use super::table::TABLE;
use crate::format::Draft;
use crate::rename::{rename_in_line, rename_zone};
use crate::setting::Setting;
use crate::{BridgeError, Result};
use portero_libvirt::InterfaceName;

/// A file by its name in the folder.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) file: Ifcfg,
    /// Why the file cannot be read safely.
    error: Option<SyntaxError>,
}

impl Named {
    pub(crate) fn read(name: &str, text: &str) -> Self {
        let (file, error) = Ifcfg::read(text);
        let name = name.to_owned();
        Self { name, file, error }
    }

    /// What is wrong with a key.
    pub(crate) fn error(&self, key: &str, reason: impl Into<String>) -> BridgeError {
        let line = self.file.find(key).map(|found| found.line);
        BridgeError::value(&self.name, line, reason)
    }
}

/// Whether a file configures any address, or asks for one.
pub(crate) fn has_ip(file: &Ifcfg) -> bool {
    let has_address = file
        .assignments()
        .any(|assignment| assignment.key.starts_with("IPADDR") || assignment.key == "IPV6ADDR");
    has_address || file.get("BOOTPROTO").is_some_and(asks_for_address)
}

pub(crate) fn asks_for_address(protocol: &str) -> bool {
    !["", "none", "static"].contains(&protocol.to_ascii_lowercase().as_str())
}

/// Refuses a NIC that cannot be a bridge's port with this file.
pub(crate) fn check(nic: &Named) -> Result<()> {
    const MASTERS: &str = "MASTER TEAM_MASTER BONDING_MASTER_UUID MASTER_UUID";
    const WIRELESS: &str = "ESSID MODE KEY_MGMT_WPA WPA SSID";
    const OTHERS: &str = "DEVICETYPE OVS_BRIDGE VRF PHYSDEV_IPOIB";
    if let Some(source) = nic.error.clone() {
        let file = nic.name.clone();
        return Err(BridgeError::Syntax { file, source });
    }
    let file = &nic.file;
    let is_given = |key: &&str| file.get(key).is_some_and(|value| !value.is_empty());
    let first = |keys: &'static str| keys.split(' ').find(is_given);
    let kind = file.get("TYPE").unwrap_or("Ethernet").to_ascii_lowercase();
    let (key, reason) = if let Some(key) = first("BRIDGE") {
        let bridge = file.get(key).unwrap_or_default();
        (key, format!("the NIC is in bridge {bridge} already"))
    } else if let Some(key) = first(MASTERS) {
        let reason = "the NIC is part of a bond or team, expected that itself";
        (key, reason.to_owned())
    } else if file.is_true("SLAVE") {
        let reason = "the NIC is part of a bond, expected that itself";
        ("SLAVE", reason.to_owned())
    } else if let Some(key) = first(WIRELESS) {
        let reason = "the NIC is wireless; an access point takes no bridge";
        (key, reason.to_owned())
    } else if !["ethernet", "bond", "vlan", ""].contains(&kind.as_str()) {
        let reason = "cannot be in a bridge, expected Ethernet, Bond or Vlan";
        ("TYPE", format!("a NIC of type {kind} {reason}"))
    } else if let Some(key) = first(OTHERS) {
        (key, format!("{key} is for another kind of NIC"))
    } else {
        return Ok(());
    };
    Err(nic.error(key, reason))
}

/// Divides a NIC's file into that of a port, and the settings for the bridge in their order.
pub(crate) fn divide(
    draft: &mut Draft<'_>,
    nic: &Named,
    device: &InterfaceName,
) -> Result<(Ifcfg, Vec<(String, String)>)> {
    let bridge = &draft.bridge.name;
    let name = &nic.name;
    let mut moved = Vec::new();
    for Setting { key, value, line } in nic.file.assignments() {
        let disposition = TABLE.find(key);
        let remark = disposition.remark(key, device, bridge);
        if let Some(remark) = remark.map_err(|reason| nic.error(key, reason))? {
            draft.warn(format!("{name}, line {line}: {remark}"));
        }
        check_verbatim(nic, key, !disposition.moves())?;
        if disposition.moves() {
            let value = rename(key, value, device.as_str(), bridge.as_str());
            moved.push((key.clone(), value));
        }
    }
    let mut port = nic.file.clone();
    port.retain(|assignment| TABLE.find(&assignment.key).stays());
    let misleading = port.remove_misleading_comments();
    if misleading > 0 {
        draft.warn(format!(
            "{name}: {misleading} comment(s) that the network service would take for settings are left out"
        ));
    }
    port.set("BOOTPROTO", "none");
    port.set("BRIDGE", bridge.as_str());
    Ok((port, moved))
}

/// Refuses a value that is not understood, unless it stays with the NIC and nothing looks at it.
fn check_verbatim(nic: &Named, key: &str, is_kept: bool) -> Result<()> {
    const READ: [&str; 6] = ["DEVICE", "HWADDR", "MACADDR", "TYPE", "VLAN", "PHYSDEV"];
    let Some(verbatim) = nic.file.verbatim(key) else {
        return Ok(());
    };
    let mut names = verbatim.names.iter();
    let moved = names.find(|name| nic.file.get(name).is_some() && !TABLE.find(name).stays());
    if let Some(moved) = moved.filter(|_| is_kept) {
        let reason = format!("{key} is computed from {moved}, which goes to the bridge");
        return Err(nic.error(key, reason));
    }
    match is_kept && !READ.contains(&key) {
        true => Ok(()),
        false => Err(nic.error(key, verbatim.reason)),
    }
}

fn rename(key: &str, value: &str, device: &str, bridge: &str) -> String {
    if ["IPV6_DEFAULTDEV", "GATEWAYDEV"].contains(&key) && value == device {
        return bridge.to_owned();
    }
    if key.starts_with("ROUTING_RULE") {
        return rename_in_line(value, device, bridge);
    }
    rename_zone(value, device, bridge)
}
