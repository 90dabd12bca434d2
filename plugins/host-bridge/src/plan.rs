//! From the NICs' files and a bridge's name to the files of both.

use crate::ifcfg::Ifcfg;
use crate::port::{divide, fold_aliases, has_ip, unfit, Divided, Named};
use crate::routes::{rewrite, zone, KINDS};
use crate::BridgeError;
use portero_event::{InterfaceName, MacAddress};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What names of files that configure an interface start with.
const PREFIX: &str = "ifcfg-";

/// What backups that initscripts passes over end in (network-functions, `is_ignored_file`).
const IGNORED: [&str; 7] = [
    "~", ".bak", ".old", ".orig", ".rpmsave", ".rpmnew", ".rpmorig",
];

/// The bridge that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: InterfaceName,
    /// The NICs in it, at least one; the first one's IP configuration moves to the bridge.
    pub nics: Vec<InterfaceName>,
    /// Whether it takes part in the spanning tree.
    pub stp: Stp,
}

/// The spanning tree protocol, IEEE 802.1D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stp {
    /// Spoken.
    On,
    /// Not spoken; the default, since a switch may shut a port that speaks it.
    Off,
}

/// What the host says of a NIC that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: InterfaceName,
    /// Its present MAC address.
    pub mac: Option<MacAddress>,
    /// The bridge, bond or team it is in now.
    pub master: Option<String>,
    /// Whether it is wireless.
    pub kind: Kind,
}

/// Kinds of NICs, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A NIC that a bridge can have.
    Wired,
    /// One whose access point sends nothing for other addresses (802.11).
    Wireless,
}

/// The host's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFiles {
    /// Those of /etc/sysconfig/network-scripts by name.
    pub scripts: BTreeMap<String, String>,
    /// /etc/sysconfig/network.
    pub network: Option<String>,
}

/// One file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path below /etc/sysconfig.
    pub path: String,
    /// What is in it; nothing when it is not there.
    pub before: Option<String>,
    /// What is to be in it; nothing when it goes.
    pub after: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// All files that change, by path.
    pub changes: Vec<Change>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
}

/// Plans a bridge.
///
/// # Errors
/// [`BridgeError`] when a NIC is not fit for it or a file cannot be understood; then nothing is to
/// be changed.
pub fn plan(bridge: &Bridge, files: &HostFiles, nics: &[Nic]) -> Result<Plan, BridgeError> {
    let name = bridge.name.as_str();
    let mut planner = Planner {
        files,
        after: files.scripts.clone(),
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
    for (index, nic) in bridge.nics.iter().enumerate() {
        let live = fit(nic, nics)?;
        let named = planner.file_of(nic.as_str(), live.mac)?;
        if index > 0 && has_ip(&named.file) {
            return Err(named.error(
                "BOOTPROTO",
                format!(
                    "{nic} has an IP configuration of its own, expected one on {} alone",
                    bridge.nics[0]
                ),
            ));
        }
        let divided = planner.make_port(nic.as_str(), name, named)?;
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
        planner.warnings.push(format!(
            "the MAC address of {} is not known, so that of {name} is not pinned to it",
            bridge.nics[0]
        ));
    }
    let file = bridge_file(bridge, mac.as_deref(), &settings, &mut planner.warnings);
    planner
        .after
        .insert(format!("{PREFIX}{name}"), file.to_string());
    Ok(planner.finish(bridge))
}

/// The NIC as the host has it, if it can be in a bridge.
fn fit<'a>(nic: &InterfaceName, nics: &'a [Nic]) -> Result<&'a Nic, BridgeError> {
    let live = nics
        .iter()
        .find(|live| live.name == *nic)
        .ok_or_else(|| BridgeError::NoNic {
            nic: nic.to_string(),
        })?;
    let unfit = |reason: String| BridgeError::Unfit {
        nic: nic.to_string(),
        reason,
    };
    if let Some(master) = &live.master {
        return Err(unfit(format!("is in {master} already")));
    }
    if live.kind == Kind::Wireless {
        return Err(unfit(
            "is wireless; an access point takes no bridge, expected a wired NIC".to_owned(),
        ));
    }
    Ok(live)
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
    // The same bridge has the same UUID each time, and two hosts' differ.
    let seed = format!("portero bridge {name} {}", mac.unwrap_or_default());
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes());
    file.set("UUID", &uuid.to_string());
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

struct Planner<'a> {
    files: &'a HostFiles,
    after: BTreeMap<String, String>,
    warnings: Vec<String>,
}

impl Planner<'_> {
    fn parse(&self, name: &str) -> Result<Named, BridgeError> {
        let text = self.files.scripts.get(name).map_or("", String::as_str);
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
    fn ifcfg_names(&self) -> impl Iterator<Item = &String> {
        self.files.scripts.keys().filter(|name| {
            name.starts_with(PREFIX)
                && !name.contains(':')
                && !IGNORED.iter().any(|end| name.ends_with(end))
        })
    }

    /// The file of the interface's name, or the one that names it in DEVICE. Files of others that
    /// cannot be understood are none of our business.
    fn configures(&self, name: &str) -> Result<Option<Named>, BridgeError> {
        let own = format!("{PREFIX}{name}");
        if self.files.scripts.contains_key(&own) {
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
                        || (*name == own && named.file.get("DEVICE").is_none()) =>
                {
                    found.push(named);
                }
                Err(error) if *name == own => return Err(error),
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
        nic: &str,
        bridge: &str,
        mut named: Named,
    ) -> Result<Divided, BridgeError> {
        if let Some(error) = unfit(&named) {
            return Err(error);
        }
        let suffix = named.name.trim_start_matches(PREFIX).to_owned();
        let begin = format!("{PREFIX}{suffix}:");
        let names: Vec<String> = self
            .files
            .scripts
            .keys()
            .filter(|name| name.starts_with(&begin))
            .filter(|name| !IGNORED.iter().any(|end| name.ends_with(end)))
            .cloned()
            .collect();
        let range = format!("{PREFIX}{suffix}-range");
        if let Some(file) = self.ifcfg_names().find(|name| name.starts_with(&range)) {
            return Err(BridgeError::Value {
                file: file.clone(),
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
            self.after.remove(&name);
        }
        let mut divided = divide(&named, nic, bridge);
        self.warnings.append(&mut divided.warnings);
        if divided.port.get("DEVICE").is_none() {
            divided.port.set("DEVICE", nic);
        }
        self.after
            .insert(named.name.clone(), divided.port.to_string());
        for kind in KINDS {
            if let Some(text) = self.after.remove(&format!("{kind}-{suffix}")) {
                let text = rewrite(&text, nic, bridge);
                self.after.insert(format!("{kind}-{bridge}"), text);
            }
        }
        self.warn_of_children(nic, bridge);
        Ok(divided)
    }

    /// A VLAN on a NIC that is in a bridge gets no more packets.
    fn warn_of_children(&mut self, nic: &str, bridge: &str) {
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
            self.warnings.push(format!(
                "{child} is a VLAN on {nic}, whose packets {bridge} takes: put the VLAN on {bridge}"
            ));
        }
    }

    fn finish(mut self, bridge: &Bridge) -> Plan {
        let mut changes = Vec::new();
        let names: BTreeSet<&String> = self.files.scripts.keys().chain(self.after.keys()).collect();
        for name in names {
            let (before, after) = (self.files.scripts.get(name), self.after.get(name));
            if before != after {
                changes.push(Change {
                    path: format!("network-scripts/{name}"),
                    before: before.cloned(),
                    after: after.cloned(),
                });
            }
        }
        if let Some(before) = &self.files.network {
            let after = global(before, bridge);
            if after != *before {
                changes.push(Change {
                    path: "network".to_owned(),
                    before: Some(before.clone()),
                    after: Some(after),
                });
            }
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        self.warnings.dedup();
        Plan {
            changes,
            warnings: self.warnings,
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
