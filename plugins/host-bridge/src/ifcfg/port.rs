//! Divides one NIC's file into what stays with the NIC and what goes to the bridge.

use super::file::Ifcfg;
use super::number::{next, numbered, numbers, OF_AN_ADDRESS};
use super::table::TABLE;
use crate::format::Draft;
use crate::rename::rename_zone;
use crate::setting::Setting;
use crate::{BridgeError, Result};
use portero_libvirt::InterfaceName;

/// A file by its name in the folder.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) file: Ifcfg,
}

impl Named {
    pub(crate) fn read(name: &str, text: &str) -> Result<Self> {
        let name = name.to_owned();
        match Ifcfg::parse(text) {
            Ok(file) => Ok(Self { name, file }),
            Err(source) => Err(BridgeError::Syntax { file: name, source }),
        }
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

fn asks_for_address(protocol: &str) -> bool {
    !["", "none", "static"].contains(&protocol.to_ascii_lowercase().as_str())
}

/// Refuses a NIC that cannot be a bridge's port with this file.
pub(crate) fn check(nic: &Named) -> Result<()> {
    const MASTERS: &str = "MASTER TEAM_MASTER BONDING_MASTER_UUID MASTER_UUID";
    const WIRELESS: &str = "ESSID MODE KEY_MGMT_WPA WPA SSID";
    const OTHERS: &str = "DEVICETYPE OVS_BRIDGE VRF PHYSDEV_IPOIB";
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

/// Keys that an alias may have, numbers left out: those of its address, and those that go with the alias.
const OF_AN_ALIAS: &str = "DEVICE ONPARENT ONBOOT NAME BOOTPROTO TYPE USERCTL IPADDR PREFIX \
    NETMASK NETWORK BROADCAST";

/// Adds the addresses of `ifcfg-NIC:N` files to the NIC's own.
pub(crate) fn fold_aliases(
    draft: &mut Draft<'_>,
    nic: &mut Named,
    aliases: &[Named],
) -> Result<()> {
    if !aliases.is_empty() && nic.file.get("BOOTPROTO").is_some_and(asks_for_address) {
        draft.warn(format!(
            "{}: the network service gives no further addresses where BOOTPROTO asks for one; \
             NetworkManager does",
            nic.name
        ));
    }
    for alias in aliases {
        if alias.file.is_false("ONPARENT") {
            draft.warn(format!(
                "{}: the alias was not brought up with its NIC (ONPARENT=no); as an address of the \
                 bridge it is",
                alias.name
            ));
        }
        for assignment in alias.file.assignments() {
            let key = assignment
                .key
                .trim_end_matches(|digit: char| digit.is_ascii_digit());
            if !OF_AN_ALIAS.split(' ').any(|known| known == key) {
                draft.warn(format!(
                    "{}, line {}: {} is not part of an address and is lost with the alias",
                    alias.name, assignment.line, assignment.key
                ));
            }
        }
        let numbers = numbers(&alias.file);
        if numbers.is_empty() {
            return Err(alias.error("DEVICE", "the alias has no IPADDR, expected one"));
        }
        for from in numbers {
            let to = next(&nic.file);
            for key in ["IPADDR"].into_iter().chain(OF_AN_ADDRESS) {
                let value = alias.file.get(&numbered(key, from)).map(str::to_owned);
                if let Some(value) = value {
                    nic.file.set(&numbered(key, to), &value);
                }
            }
        }
    }
    Ok(())
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
        if disposition.moves() {
            let value = rename(key, value, device.as_str(), bridge.as_str());
            moved.extend(normalised(draft, nic, key, value));
        }
    }
    check_dns(draft, nic);
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

fn rename(key: &str, value: &str, device: &str, bridge: &str) -> String {
    if key == "IPV6_DEFAULTDEV" && value == device {
        return bridge.to_owned();
    }
    rename_zone(value, device, bridge)
}

/// The key and value that both readers understand alike; nothing when the other key says it.
fn normalised(
    draft: &mut Draft<'_>,
    nic: &Named,
    key: &str,
    value: String,
) -> Option<(String, String)> {
    let name = &nic.name;
    if key == "GATEWAY0" {
        return match nic.file.get("GATEWAY") {
            None => {
                draft.warn(format!(
                    "{name}: GATEWAY0 becomes GATEWAY: the network service does not read GATEWAY0"
                ));
                Some(("GATEWAY".to_owned(), value))
            }
            Some(gateway) => {
                if gateway != value {
                    draft.warn(format!(
                        "{name}: GATEWAY0 is {value} and GATEWAY is {gateway}; GATEWAY stands"
                    ));
                }
                None
            }
        };
    }
    if let Some(number) = key.strip_prefix("NETMASK") {
        if let Some(prefix) = nic.file.get(&format!("PREFIX{number}")) {
            draft.warn(format!(
                "{name}: {key} is left out, since PREFIX{number}={prefix} stands before it"
            ));
            return None;
        }
    }
    Some((key.to_owned(), value))
}

fn check_dns(draft: &mut Draft<'_>, nic: &Named) {
    let has = |number: u32| nic.file.get(&format!("DNS{number}")).is_some();
    let highest = (1..=9).filter(|number| has(*number)).max().unwrap_or(0);
    if highest > 3 {
        draft.warn(format!(
            "{}: the network service reads DNS1 to DNS3 alone",
            nic.name
        ));
    }
    if (1..highest).any(|number| !has(number)) {
        draft.warn(format!(
            "{}: NetworkManager reads no DNS after the first number that is missing",
            nic.name
        ));
    }
}
