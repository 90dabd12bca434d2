//! Divides one NIC's file into what stays with the NIC and what goes to the bridge.

use super::file::{Assignment, Ifcfg};
use super::number::{next, numbered, numbers, OF_AN_ADDRESS};
use super::routes::zone;
use super::table::TABLE;
use crate::BridgeError;
use portero_libvirt::InterfaceName;

/// A file by its name in the folder.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) file: Ifcfg,
}

impl Named {
    pub(crate) fn error(&self, key: &str, reason: impl Into<String>) -> BridgeError {
        BridgeError::Value {
            file: self.name.clone(),
            line: self.file.find(key).map(|found| found.line),
            reason: reason.into(),
        }
    }
}

/// What a NIC's file comes to.
#[derive(Debug, Default)]
pub(crate) struct Divided {
    pub(crate) port: Ifcfg,
    /// Settings for the bridge, in the order in which they were written.
    pub(crate) bridge: Vec<(String, String)>,
    pub(crate) warnings: Vec<String>,
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

/// Why a NIC with this file cannot be a bridge's port.
pub(crate) fn unfit(nic: &Named) -> Option<BridgeError> {
    let file = &nic.file;
    let given = |key: &str| file.get(key).is_some_and(|value| !value.is_empty());
    if given("BRIDGE") {
        let bridge = file.get("BRIDGE").unwrap_or_default();
        return Some(nic.error("BRIDGE", format!("the NIC is in bridge {bridge} already")));
    }
    for key in [
        "MASTER",
        "TEAM_MASTER",
        "BONDING_MASTER_UUID",
        "MASTER_UUID",
    ] {
        if given(key) {
            return Some(nic.error(
                key,
                "the NIC is part of a bond or team, expected that itself",
            ));
        }
    }
    if file.is_true("SLAVE") {
        return Some(nic.error("SLAVE", "the NIC is part of a bond, expected that itself"));
    }
    for key in ["ESSID", "MODE", "KEY_MGMT_WPA", "WPA", "SSID"] {
        if given(key) {
            return Some(nic.error(key, "the NIC is wireless; an access point takes no bridge"));
        }
    }
    let kind = file.get("TYPE").unwrap_or("Ethernet").to_ascii_lowercase();
    if !["ethernet", "bond", "vlan", ""].contains(&kind.as_str()) {
        return Some(nic.error(
            "TYPE",
            format!("a NIC of type {kind} cannot be in a bridge, expected Ethernet, Bond or Vlan"),
        ));
    }
    for key in ["DEVICETYPE", "OVS_BRIDGE", "VRF", "PHYSDEV_IPOIB"] {
        if given(key) {
            return Some(nic.error(key, format!("{key} is for another kind of NIC")));
        }
    }
    None
}

/// Adds the addresses of `ifcfg-NIC:N` files to the NIC's own.
pub(crate) fn fold_aliases(
    nic: &mut Named,
    aliases: &[Named],
    warnings: &mut Vec<String>,
) -> Result<(), BridgeError> {
    if !aliases.is_empty() && nic.file.get("BOOTPROTO").is_some_and(asks_for_address) {
        warnings.push(format!(
            "{}: the network service gives no further addresses where BOOTPROTO asks for one; \
             NetworkManager does",
            nic.name
        ));
    }
    for alias in aliases {
        if alias.file.is_false("ONPARENT") {
            warnings.push(format!(
                "{}: the alias was not brought up with its NIC (ONPARENT=no); as an address of the \
                 bridge it is",
                alias.name
            ));
        }
        for assignment in alias.file.assignments() {
            let known = [
                "DEVICE",
                "ONPARENT",
                "ONBOOT",
                "NAME",
                "BOOTPROTO",
                "TYPE",
                "USERCTL",
            ];
            let is_address = ["IPADDR", "PREFIX", "NETMASK", "NETWORK", "BROADCAST"];
            let key = assignment
                .key
                .trim_end_matches(|digit: char| digit.is_ascii_digit());
            if !known.contains(&key) && !is_address.contains(&key) {
                warnings.push(format!(
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

/// Divides a NIC's file; `bridge` is the name that takes the NIC's place.
pub(crate) fn divide(
    nic: &Named,
    device: &InterfaceName,
    bridge: &InterfaceName,
) -> Result<Divided, BridgeError> {
    let mut divided = Divided::default();
    let name = &nic.name;
    for assignment in nic.file.assignments() {
        let Assignment { key, value, line } = assignment;
        let disposition = TABLE.find(key);
        let remark = disposition.remark(key, device, bridge);
        if let Some(remark) = remark.map_err(|reason| nic.error(key, reason))? {
            divided
                .warnings
                .push(format!("{name}, line {line}: {remark}"));
        }
        if disposition.moves() {
            let value = zone_or_name(key, value, device.as_str(), bridge.as_str());
            let moved = normalised(nic, (key.clone(), value), &mut divided.warnings);
            divided.bridge.extend(moved);
        }
    }
    check_dns(nic, &mut divided.warnings);
    divided.port = nic.file.clone();
    divided
        .port
        .retain(|assignment| TABLE.find(&assignment.key).stays());
    let misleading = divided.port.remove_misleading_comments();
    if misleading > 0 {
        divided.warnings.push(format!(
            "{name}: {misleading} comment(s) that the network service would take for settings are left out"
        ));
    }
    divided.port.set("BOOTPROTO", "none");
    divided.port.set("BRIDGE", bridge.as_str());
    Ok(divided)
}

fn zone_or_name(key: &str, value: &str, device: &str, bridge: &str) -> String {
    if key == "IPV6_DEFAULTDEV" && value == device {
        return bridge.to_owned();
    }
    zone(value, device, bridge)
}

/// The key and value that both readers understand alike; nothing when the other key says it.
fn normalised(
    nic: &Named,
    (key, value): (String, String),
    warnings: &mut Vec<String>,
) -> Option<(String, String)> {
    let name = &nic.name;
    if key == "GATEWAY0" {
        return match nic.file.get("GATEWAY") {
            None => {
                warnings.push(format!(
                    "{name}: GATEWAY0 becomes GATEWAY: the network service does not read GATEWAY0"
                ));
                Some(("GATEWAY".to_owned(), value))
            }
            Some(gateway) => {
                if gateway != value {
                    warnings.push(format!(
                        "{name}: GATEWAY0 is {value} and GATEWAY is {gateway}; GATEWAY stands"
                    ));
                }
                None
            }
        };
    }
    if let Some(number) = key.strip_prefix("NETMASK") {
        if let Some(prefix) = nic.file.get(&format!("PREFIX{number}")) {
            warnings.push(format!(
                "{name}: {key} is left out, since PREFIX{number}={prefix} stands before it"
            ));
            return None;
        }
    }
    Some((key, value))
}

fn check_dns(nic: &Named, warnings: &mut Vec<String>) {
    let has = |number: u32| nic.file.get(&format!("DNS{number}")).is_some();
    let highest = (1..=9).filter(|number| has(*number)).max().unwrap_or(0);
    if highest > 3 {
        warnings.push(format!(
            "{}: the network service reads DNS1 to DNS3 alone",
            nic.name
        ));
    }
    if (1..highest).any(|number| !has(number)) {
        warnings.push(format!(
            "{}: NetworkManager reads no DNS after the first number that is missing",
            nic.name
        ));
    }
}
