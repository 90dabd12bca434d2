//! From a NIC's .network file to those of a bridge and of the NIC in it.

use super::find::{owner_unit, path, Fit, FOLDER};
use super::table::TABLE;
use crate::bridge::{Bridge, HostFiles, Kind, Nic, Stp};
use crate::disposition::Disposition;
use crate::unit::{Comments, Divide, Section, Unit};
use crate::{BridgeError, Plan, Renderer};
use portero_libvirt::InterfaceName;

/// What the names of files of our own begin with, so that they are found before those that match
/// more than one interface.
const FIRST: &str = "00-";

/// Plans the bridge.
pub(crate) fn plan(bridge: &Bridge, files: &HostFiles, nics: &[&Nic]) -> Result<Plan, BridgeError> {
    let mut planner = Planner {
        bridge,
        files,
        after: files.clone(),
        warnings: Vec::new(),
    };
    planner.check_bridge()?;
    let mut own = Unit::default();
    let mut mac = None;
    for (index, nic) in nics.iter().enumerate() {
        let name = &nic.name;
        let divided = match owner_unit(files, nic) {
            Some((file, unit, fit)) => planner.make_port(nic, &file, &unit, fit)?,
            None if index == 0 => {
                return Err(BridgeError::NoFile {
                    nic: name.to_string(),
                });
            }
            None => planner.make_new_port(nic)?,
        };
        if index > 0 && divided.has_ip {
            return Err(BridgeError::Unfit {
                nic: name.to_string(),
                reason: format!(
                    "has an IP configuration of its own, expected one on {} alone",
                    bridge.nics[0]
                ),
            });
        }
        if index == 0 {
            own = divided.bridge;
            mac = divided.mac.or_else(|| nic.mac.map(|mac| mac.to_string()));
        }
    }
    planner.add_bridge(own, mac)?;
    planner.check_found(nics)?;
    Ok(Plan::between(
        Renderer::Networkd,
        files,
        &planner.after,
        planner.warnings,
    ))
}

struct Planner<'a> {
    bridge: &'a Bridge,
    files: &'a HostFiles,
    after: HostFiles,
    warnings: Vec<String>,
}

/// What a NIC's file comes to.
#[derive(Default)]
struct Divided {
    bridge: Unit,
    mac: Option<String>,
    has_ip: bool,
}

impl Planner<'_> {
    /// Nothing may make or configure an interface of the bridge's name.
    fn check_bridge(&self) -> Result<(), BridgeError> {
        let name = self.bridge.name.as_str();
        for (file, text) in self.files.folder(FOLDER) {
            let unit = Unit::parse(text).map_err(|source| BridgeError::Syntax {
                file: path(file),
                source,
            })?;
            let is_made = unit.values("NetDev", "Name") == [name];
            let is_matched = unit.values("Match", "Name") == [name];
            if is_made || is_matched {
                return Err(BridgeError::Exists {
                    file: path(file),
                    name: name.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// networkd has to find the files that are written, and no other that fits before them.
    fn check_found(&self, nics: &[&Nic]) -> Result<(), BridgeError> {
        let name = &self.bridge.name;
        let bridge = Nic {
            name: name.clone(),
            mac: nics[0].mac,
            master: None,
            kind: Kind::Wired,
        };
        for nic in nics.iter().copied().chain([&bridge]) {
            let Some((file, unit, _)) = owner_unit(&self.after, nic) else {
                continue;
            };
            let is_written = match nic.name == *name {
                true => file == format!("{FIRST}{name}.network"),
                false => unit.values("Network", "Bridge") == [name.as_str()],
            };
            if !is_written {
                return Err(BridgeError::Value {
                    file: path(&file),
                    line: None,
                    reason: format!(
                        "networkd finds it for {} before {FIRST}{}.network, expected a name that comes after that",
                        nic.name, nic.name
                    ),
                });
            }
        }
        Ok(())
    }

    /// Divides the NIC's file. One that others may use as well stays, and the NIC gets its own.
    fn make_port(
        &mut self,
        nic: &Nic,
        file: &str,
        unit: &Unit,
        fit: Fit,
    ) -> Result<Divided, BridgeError> {
        let mut port = Unit {
            head: unit.head.clone(),
            sections: Vec::new(),
        };
        let mut divided = Divided {
            mac: unit
                .values("Link", "MACAddress")
                .last()
                .map(|mac| (*mac).to_owned()),
            ..Divided::default()
        };
        let divide = Divide {
            table: &TABLE,
            comments: Comments::Move,
            bridge: self.bridge,
            nic,
            folder: FOLDER,
            file,
        };
        for section in &unit.sections {
            match TABLE.find(&format!("[{}]", section.name)) {
                Disposition::Moves => divided.bridge.sections.push(section.clone()),
                Disposition::Divided => {
                    let (stays, moves) = divide.section(section, &mut self.warnings)?;
                    if !stays.is_empty() {
                        port.sections.push(stays);
                    }
                    if !moves.is_empty() {
                        divided.bridge.sections.push(moves);
                    }
                }
                Disposition::Unknown => {
                    self.warnings.push(format!(
                        "{file}: [{}] is not known; it stays with {}",
                        section.name, nic.name
                    ));
                    port.sections.push(section.clone());
                }
                _ => port.sections.push(section.clone()),
            }
        }
        divided.has_ip = asks_for_ip(&divided.bridge);
        if divided
            .bridge
            .values("Network", "DHCP")
            .iter()
            .any(|value| is_dhcp4(value))
            && divided
                .bridge
                .values("DHCPv4", "ClientIdentifier")
                .is_empty()
        {
            self.warnings.push(format!(
                "{file}: networkd tells a DHCP server the name of the interface too, so {} can get another \
                 address than {} had; [DHCPv4] ClientIdentifier=mac is the same for both",
                self.bridge.name, nic.name
            ));
        }
        let name = match fit {
            Fit::Alone => file.to_owned(),
            Fit::Shared | Fit::No => {
                self.warnings.push(format!(
                    "{file} is for more interfaces than {}; it stays, and {} gets a file of its own",
                    nic.name, nic.name
                ));
                port.head.clear();
                port.sections.retain(|section| section.name != "Match");
                port.sections.insert(0, Section::new("Match", &[]));
                self.new_file(&nic.name, "network")?
            }
        };
        self.put_port(nic, &name, port);
        Ok(divided)
    }

    /// A NIC without a file.
    fn make_new_port(&mut self, nic: &Nic) -> Result<Divided, BridgeError> {
        let name = self.new_file(&nic.name, "network")?;
        let unit = Unit {
            head: Vec::new(),
            sections: vec![Section::new("Match", &[])],
        };
        self.put_port(nic, &name, unit);
        Ok(Divided::default())
    }

    /// The name of a file of an interface that gets one.
    fn new_file(&self, of: &InterfaceName, kind: &str) -> Result<String, BridgeError> {
        let name = format!("{FIRST}{of}.{kind}");
        self.after.expect_none(&path(&name), of)?;
        Ok(name)
    }

    /// Writes the file of a port: matched by name, since the bridge has its MAC address, with
    /// nothing of IP on it.
    fn put_port(&mut self, nic: &Nic, name: &str, mut unit: Unit) {
        if unit.values("Match", "Name").is_empty() {
            if let Some(section) = unit
                .sections
                .iter_mut()
                .find(|section| section.name == "Match")
            {
                let setting = Section::new("Match", &[("Name", nic.name.as_str())]);
                section.lines.splice(0..0, setting.lines);
            }
        }
        let settings = [
            ("Bridge", self.bridge.name.as_str()),
            ("LinkLocalAddressing", "no"),
            ("IPv6AcceptRA", "no"),
        ];
        let network = Section::new("Network", &settings);
        match unit
            .sections
            .iter_mut()
            .find(|section| section.name == "Network")
        {
            Some(section) => section.lines.splice(0..0, network.lines).for_each(drop),
            None => {
                let after_match = unit
                    .sections
                    .iter()
                    .rposition(|section| section.name == "Match" || section.name == "Link")
                    .map_or(0, |index| index + 1);
                unit.sections.insert(after_match, network);
            }
        }
        self.after.insert(path(name), unit.to_string());
    }

    /// Writes the bridge's own files.
    fn add_bridge(&mut self, own: Unit, mac: Option<String>) -> Result<(), BridgeError> {
        let device_file = self.new_file(&self.bridge.name, "netdev")?;
        let network_file = self.new_file(&self.bridge.name, "network")?;
        let name = self.bridge.name.as_str();
        let mut device = vec![("Name", name), ("Kind", "bridge")];
        match &mac {
            Some(mac) => device.push(("MACAddress", mac)),
            None => self.warnings.push(self.bridge.is_not_pinned()),
        }
        let stp = match self.bridge.stp {
            Stp::On => "yes",
            Stp::Off => "no",
        };
        let settings = [("STP", stp), ("ForwardDelaySec", "0")];
        // The kernel takes no delay of 0 with the spanning tree.
        let settings = match self.bridge.stp {
            Stp::On => &settings[..1],
            Stp::Off => &settings[..],
        };
        let netdev = Unit {
            head: Vec::new(),
            sections: vec![
                Section::new("NetDev", &device),
                Section::new("Bridge", settings),
            ],
        };
        let mut network = Unit {
            head: Vec::new(),
            sections: vec![Section::new("Match", &[("Name", name)])],
        };
        network.sections.extend(own.sections);
        self.after.insert(path(&device_file), netdev.to_string());
        self.after.insert(path(&network_file), network.to_string());
        Ok(())
    }
}

/// Whether any address is configured or asked for.
fn asks_for_ip(unit: &Unit) -> bool {
    let dhcp = unit.values("Network", "DHCP");
    !unit.values("Network", "Address").is_empty()
        || !unit.values("Address", "Address").is_empty()
        || dhcp
            .iter()
            .any(|value| !["no", "false", "off", "0"].contains(value))
}

fn is_dhcp4(value: &str) -> bool {
    ["yes", "true", "on", "1", "ipv4"].contains(&value)
}
