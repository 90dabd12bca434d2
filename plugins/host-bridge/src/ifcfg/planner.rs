//! From the NICs' files and a bridge's name to the files of both.

use super::file::Ifcfg;
use super::port::{divide, fold_aliases, has_ip, unfit, Divided, Named};
use super::routes::{rewrite, zone, KINDS};
use crate::bridge::{is_backup, Bridge, HostFiles, Nic, Stp};
use crate::{BridgeError, Owner, Plan, Renderer};
use portero_libvirt::{InterfaceName, MacAddress};

/// Where the files are, below /etc.
const FOLDER: &str = "sysconfig/network-scripts";

/// What concerns all interfaces.
const GLOBAL: &str = "sysconfig/network";

/// What names of files that configure an interface start with.
const PREFIX: &str = "ifcfg-";

/// Plans a bridge.
///
/// # Errors
/// [`BridgeError`] when a NIC is not fit for it or a file cannot be understood; then nothing is to
/// be changed.
pub(crate) fn plan(bridge: &Bridge, files: &HostFiles, nics: &[&Nic]) -> Result<Plan, BridgeError> {
    let name = bridge.name.as_str();
    let mut planner = Planner {
        files,
        after: files.clone(),
        warnings: Vec::new(),
    };
    if let Some(file) = planner.configures(name)? {
        return Err(BridgeError::Exists {
            file: file.name,
            name: name.to_owned(),
        });
    }
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut mac = None;
    let mut used: Vec<String> = Vec::new();
    for (index, live) in nics.iter().enumerate() {
        let nic = &live.name;
        let named = planner.file_of(nic.as_str(), live.mac)?;
        if let Some(first) = used.iter().position(|name| *name == named.name) {
            return Err(BridgeError::Value {
                file: named.name,
                line: None,
                reason: bridge.is_for_two(first, index),
            });
        }
        used.push(named.name.clone());
        if index > 0 && has_ip(&named.file) {
            return Err(named.error("BOOTPROTO", bridge.has_ip_already(nic.as_str())));
        }
        let divided = planner.make_port(nic, bridge, named)?;
        if divided.port.is_false("ONBOOT") {
            planner.warnings.push(format!(
                "{nic} is not brought up at boot (ONBOOT=no), so {name} is without it then"
            ));
        }
        if index == 0 {
            let given = divided.port.get("MACADDR").or(divided.port.get("HWADDR"));
            mac = given
                .map(str::to_owned)
                .or_else(|| live.mac.map(|mac| mac.to_string()));
            settings = divided.bridge;
        }
    }
    if mac.is_none() {
        planner.warnings.push(bridge.is_not_pinned());
    }
    let file = bridge_file(bridge, mac.as_deref(), &settings, &mut planner.warnings);
    planner
        .after
        .insert(path(&format!("{PREFIX}{name}")), file.to_string());
    if let Some(before) = files.get(GLOBAL) {
        let after = global(before, bridge);
        if after != before {
            planner.after.insert(GLOBAL, after);
        }
    }
    Ok(Plan::between(
        Renderer::Ifcfg,
        files,
        &planner.after,
        planner.warnings,
    ))
}

/// The file of the bridge itself.
fn bridge_file(
    bridge: &Bridge,
    mac: Option<&str>,
    settings: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Ifcfg {
    let name = bridge.name.as_str();
    let mut file = Ifcfg::default();
    file.set("DEVICE", name);
    file.set("TYPE", "Bridge");
    file.set("UUID", &bridge.uuid(mac.unwrap_or_default()));
    let stp = match bridge.stp {
        Stp::On => "yes",
        Stp::Off => "no",
    };
    file.set("STP", stp);
    file.set("DELAY", "0");
    if let Some(mac) = mac {
        file.set("MACADDR", mac);
    }
    for (key, value) in settings {
        file.set(key, value);
    }
    if file.get("BOOTPROTO").is_none() {
        file.set("BOOTPROTO", "none");
    }
    if file.get("IPV6INIT").is_none() {
        // initscripts take it for yes, NetworkManager for no.
        let asks = settings.iter().any(|(key, _)| {
            key.starts_with("IPV6ADDR") || key == "DHCPV6C" || key == "IPV6_AUTOCONF"
        });
        let value = if asks || file.is_false("NM_CONTROLLED") {
            "yes"
        } else {
            "no"
        };
        warnings.push(format!(
            "IPV6INIT was not given; {name} gets {value}, as {} has it",
            if value == "yes" {
                "the network service"
            } else {
                "NetworkManager"
            }
        ));
        file.set("IPV6INIT", value);
    }
    file
}

/// The path of the file that configures the NIC.
pub(crate) fn owner(files: &HostFiles, nic: &Nic) -> Option<String> {
    let planner = Planner {
        files,
        after: HostFiles::default(),
        warnings: Vec::new(),
    };
    match planner.file_of(nic.name.as_str(), nic.mac) {
        Ok(named) => Some(path(&named.name)),
        Err(BridgeError::NoFile { .. }) => None,
        // It is there, and the plan says what is wrong with it.
        Err(_) => Some(FOLDER.to_owned()),
    }
}

/// The program that the NIC's file leaves it to, where it says one.
///
/// # Errors
/// [`BridgeError::Value`] when only one of its readers takes NM_CONTROLLED for no.
pub(crate) fn left_to(files: &HostFiles, nic: &Nic) -> Result<Option<Owner>, BridgeError> {
    const KEY: &str = "NM_CONTROLLED";
    let planner = Planner {
        files,
        after: HostFiles::default(),
        warnings: Vec::new(),
    };
    let named = planner.file_of(nic.name.as_str(), nic.mac)?;
    let value = named.file.get(KEY).unwrap_or_default();
    // svParseBoolean of src/core/settings/plugins/ifcfg-rh/shvar.c knows no on and off.
    if ["on", "off"].contains(&value.to_ascii_lowercase().as_str()) {
        let reason = format!(
            "the network service reads {KEY}={value} and NetworkManager does not, expected yes or no"
        );
        return Err(named.error(KEY, reason));
    }
    let is_kept = named.file.is_false(KEY);
    Ok(is_kept.then_some(Owner::NetworkScripts))
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

struct Planner<'a> {
    files: &'a HostFiles,
    after: HostFiles,
    warnings: Vec<String>,
}

impl Planner<'_> {
    fn parse(&self, name: &str) -> Result<Named, BridgeError> {
        let text = self.files.get(&path(name)).unwrap_or_default();
        let file = Ifcfg::parse(text).map_err(|source| BridgeError::Syntax {
            file: name.to_owned(),
            source,
        })?;
        Ok(Named {
            name: name.to_owned(),
            file,
        })
    }

    /// Names of files that configure interfaces, aliases left out.
    fn ifcfg_names(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| !name.contains(':'))
    }

    /// Names of files that configure interfaces and aliases.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.files
            .folder(FOLDER)
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(PREFIX) && !is_backup(name))
    }

    /// The file of the interface's name, or the one that names it in DEVICE. Files of others that
    /// cannot be understood are none of our business.
    fn configures(&self, name: &str) -> Result<Option<Named>, BridgeError> {
        let own = format!("{PREFIX}{name}");
        if self.files.get(&path(&own)).is_some() {
            return self.parse(&own).map(Some);
        }
        let others = self.ifcfg_names().filter_map(|file| self.parse(file).ok());
        let mut found = others.filter(|other| other.file.get("DEVICE") == Some(name));
        Ok(found.next())
    }

    /// The one file that configures a NIC.
    fn file_of(&self, nic: &str, mac: Option<MacAddress>) -> Result<Named, BridgeError> {
        let own = format!("{PREFIX}{nic}");
        let is_mac = |text: &str| mac.is_some() && text.parse::<MacAddress>().ok() == mac;
        let is_of = |file: &Ifcfg| match (file.get("DEVICE"), file.get("HWADDR")) {
            (Some(device), _) => device == nic,
            (None, Some(address)) => is_mac(address) && file.get("TYPE") != Some("Bridge"),
            (None, None) => false,
        };
        let mut found: Vec<Named> = Vec::new();
        for name in self.ifcfg_names() {
            match self.parse(name) {
                Ok(named)
                    if is_of(&named.file)
                        || (name == own && named.file.get("DEVICE").is_none()) =>
                {
                    found.push(named);
                }
                Err(error) if name == own => return Err(error),
                _ => {}
            }
        }
        match found.as_slice() {
            [] => Err(BridgeError::NoFile {
                nic: nic.to_owned(),
            }),
            [first, second, ..] => Err(BridgeError::Ambiguous {
                nic: nic.to_owned(),
                first: first.name.clone(),
                second: second.name.clone(),
            }),
            [one] => Ok(one.clone()),
        }
    }

    /// Makes a NIC the bridge's port, with all files that belong to it.
    fn make_port(
        &mut self,
        nic: &InterfaceName,
        bridge: &Bridge,
        mut named: Named,
    ) -> Result<Divided, BridgeError> {
        let name = bridge.name.as_str();
        if let Some(error) = unfit(&named) {
            return Err(error);
        }
        let suffix = named.name.trim_start_matches(PREFIX).to_owned();
        let begin = format!("{PREFIX}{suffix}:");
        let names: Vec<String> = self
            .names()
            .filter(|name| name.starts_with(&begin))
            .map(str::to_owned)
            .collect();
        let range = format!("{PREFIX}{suffix}-range");
        if let Some(file) = self.ifcfg_names().find(|name| name.starts_with(&range)) {
            return Err(BridgeError::Value {
                file: file.to_owned(),
                line: None,
                reason: "a range of aliases is not understood, expected ifcfg files of aliases"
                    .to_owned(),
            });
        }
        let aliases: Vec<Named> = names
            .iter()
            .map(|name| self.parse(name))
            .collect::<Result<_, _>>()?;
        fold_aliases(&mut named, &aliases, &mut self.warnings)?;
        for name in names {
            self.after.remove(&path(&name));
        }
        let mut divided = divide(&named, nic, &bridge.name)?;
        let nic = nic.as_str();
        self.warnings.append(&mut divided.warnings);
        if divided.port.get("DEVICE").is_none() {
            divided.port.set("DEVICE", nic);
        }
        self.after
            .insert(path(&named.name), divided.port.to_string());
        for kind in KINDS {
            if let Some(text) = self.after.remove(&path(&format!("{kind}-{suffix}"))) {
                let file = path(&format!("{kind}-{name}"));
                self.after.expect_none(&file, &bridge.name)?;
                self.after.insert(file, rewrite(&text, nic, name));
            }
        }
        self.warn_of_children(nic, bridge);
        Ok(divided)
    }

    /// A VLAN on a NIC that is in a bridge gets no more packets.
    fn warn_of_children(&mut self, nic: &str, bridge: &Bridge) {
        let children: Vec<String> = self
            .ifcfg_names()
            .filter_map(|name| self.parse(name).ok())
            .filter(|other| {
                let by_name = other.name.starts_with(&format!("{PREFIX}{nic}."));
                other.file.get("PHYSDEV") == Some(nic) || (by_name && other.file.is_true("VLAN"))
            })
            .map(|other| other.name)
            .collect();
        for child in children {
            self.warnings.push(bridge.takes_packets_of(&child, nic));
        }
    }
}

/// /etc/sysconfig/network with the first NIC's name replaced where the default route is meant.
fn global(text: &str, bridge: &Bridge) -> String {
    let (nic, name) = (bridge.nics[0].as_str(), bridge.name.as_str());
    text.lines()
        .map(|line| match line.split_once('=') {
            Some((key @ ("GATEWAYDEV" | "IPV6_DEFAULTDEV"), value))
                if value.trim_matches(['"', '\'']) == nic =>
            {
                format!("{key}={name}\n")
            }
            Some((key, value)) => {
                let bare = value.trim_matches(['"', '\'']);
                let zoned = zone(bare, nic, name);
                if zoned == bare {
                    format!("{line}\n")
                } else {
                    format!("{key}={zoned}\n")
                }
            }
            None => format!("{line}\n"),
        })
        .collect()
}
