//! From a NIC's .network file to those of a bridge and of the NIC in it.

use super::find::{find_first, Found};
use super::table::TABLE;
use crate::bridge::{HostFiles, HostNic, Stp};
use crate::fit::NicFit;
use crate::format::{Draft, Format, MadePort, Port};
use crate::rename::{rename_words, rename_zone};
use crate::unit::{Comments, Divide, Section, Unit};
use crate::{BridgeError, Result};
use portero_libvirt::InterfaceName;

/// What the names of files of our own begin with, so that they are found before those that match
/// more than one interface.
const FIRST: &str = "00-";

/// networkd's files; whoever asks for one reads it.
pub(crate) struct Units;

/// What configures a NIC.
pub(crate) struct Entry {
    found: Found,
    /// The file that becomes the port's: where others may use its own one, that stays, and the NIC
    /// gets another.
    target: String,
}

impl Format for Units {
    type Entry = Entry;
    type Moved = Vec<Section>;

    const FOLDER: &'static str = "systemd/network";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let unread = || find_unread(files, nic).map(|(file, _)| file.to_owned());
        let found = find_first(files.folder(Self::FOLDER), nic).map(|found| found.file);
        found.or_else(unread).map(|file| Self::path(&file))
    }

    fn read(_: &HostFiles) -> Result<Self> {
        Ok(Self)
    }

    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        for (file, text) in draft.before.folder(Self::FOLDER) {
            // networkd passes over what it cannot read, too.
            let Ok(unit) = Unit::parse(text) else {
                continue;
            };
            let is_made = unit.values("NetDev", "Name") == [name];
            let is_matched = unit.values("Match", "Name") == [name];
            if is_made || is_matched {
                return Ok(Some(Self::path(file)));
            }
        }
        Ok(None)
    }

    fn find(&self, draft: &Draft<'_>, nic: &HostNic) -> Result<Vec<Entry>> {
        if let Some((file, text)) = find_unread(draft.before, nic) {
            Unit::read(Self::path(file), text)?;
        }
        let found = find_first(draft.before.folder(Self::FOLDER), nic);
        let entry = found.map(|found| Entry {
            target: match found.fit {
                NicFit::Alone => found.file.clone(),
                NicFit::Shared | NicFit::No => new_file(&nic.name, "network"),
            },
            found,
        });
        Ok(entry.into_iter().collect())
    }

    fn add(&self, draft: &Draft<'_>, nic: &HostNic, _: &Entry) -> Result<Entry> {
        let file = new_file(&nic.name, "network");
        draft.after.expect_none(&Self::path(&file), &nic.name)?;
        Ok(Entry {
            target: file.clone(),
            found: Found {
                file,
                unit: Unit::new(vec![Section::new("Match", &[])]),
                fit: NicFit::Alone,
            },
        })
    }

    fn place(&self, entry: &Entry) -> String {
        Self::path(&entry.target)
    }

    fn ip_error(&self, draft: &Draft<'_>, nic: &HostNic, entry: &Entry) -> Option<BridgeError> {
        let first = &draft.bridge.nics[0];
        let reason = format!("has an IP configuration of its own, expected one on {first} alone");
        asks_for_ip(&entry.found.unit).then(|| BridgeError::unfit(&nic.name, reason))
    }

    fn make_port(&mut self, draft: &mut Draft<'_>, nic: &HostNic, entry: &Entry) -> MadePort<Self> {
        let Found { file, unit, fit } = &entry.found;
        let divide = Divide {
            table: &TABLE,
            comments: Comments::Move,
            nic,
            file,
            path: Self::path(file),
        };
        let (mut port, mut moved) = divide.unit(unit, draft)?;
        let name = &nic.name;
        for section in &mut moved {
            rename_nic(section, name.as_str(), draft.bridge.name.as_str());
        }
        if *fit != NicFit::Alone {
            draft.warn(format!(
                "{file} is for more interfaces than {name}; it stays, and {name} gets a file of its own"
            ));
            port.head.clear();
            port.sections.retain(|section| section.name != "Match");
            port.sections.insert(0, Section::new("Match", &[]));
            draft.after.expect_none(&self.place(entry), name)?;
        }
        set_port(&mut port, name, &draft.bridge.name);
        draft.after.insert(self.place(entry), port.to_string());
        Ok(Port::new(unit.get("Link", "MACAddress"), moved))
    }

    fn make_bridge(
        &mut self,
        draft: &mut Draft<'_>,
        entries: &[Entry],
        first: Port<Vec<Section>>,
    ) -> Result<()> {
        let bridge = draft.bridge;
        let name = bridge.name.as_str();
        let mut device = vec![("Name", name), ("Kind", "bridge")];
        if let Some(mac) = &first.mac {
            device.push(("MACAddress", mac));
        }
        let mut settings = vec![("STP", bridge.stp.pick("yes", "no"))];
        // The kernel takes no delay of 0 with the spanning tree.
        if bridge.stp == Stp::Off {
            settings.push(("ForwardDelaySec", "0"));
        }
        let netdev = Unit::new(vec![
            Section::new("NetDev", &device),
            Section::new("Bridge", &settings),
        ]);
        let mut network = Unit::new(vec![Section::new("Match", &[("Name", name)])]);
        network.sections.extend(first.moved);
        keep_identity(draft, &entries[0].found, &mut network);
        for (kind, unit) in [("netdev", netdev), ("network", network)] {
            let path = Self::path(&new_file(&bridge.name, kind));
            draft.after.expect_none(&path, &bridge.name)?;
            draft.after.insert(path, unit.to_string());
        }
        check_found(draft)
    }
}

/// A file that names the NIC and that we cannot read.
fn find_unread<'a>(files: &'a HostFiles, nic: &HostNic) -> Option<(&'a str, &'a str)> {
    let line = format!("Name={}", nic.name);
    let is_for = |text: &str| Unit::parse(text).is_err() && text.lines().any(|known| known == line);
    let mut files = files.folder(Units::FOLDER);
    files.find(|(_, text)| is_for(text))
}

/// Puts the bridge wherever a rule or a link-local address names the NIC.
fn rename_nic(section: &mut Section, nic: &str, bridge: &str) {
    const INTERFACES: [&str; 2] = ["IncomingInterface", "OutgoingInterface"];
    section.rename(
        |key, value| match INTERFACES.contains(&key) && value == nic {
            true => bridge.to_owned(),
            false => rename_words(value, |_, word| rename_zone(word, nic, bridge)),
        },
    );
}

/// Keeps what networkd makes of the interface's name, or says that it does not stay the same.
fn keep_identity(draft: &mut Draft<'_>, found: &Found, network: &mut Unit) {
    let Found { file, .. } = found;
    let (name, nic) = (&draft.bridge.name, draft.nics[0]);
    let of_dhcp = |section: &str, key: &str| {
        let own = network.get(section, key);
        own.or_else(|| network.get("DHCP", key)).map(str::to_owned)
    };
    let mut dhcp = network.values("Network", "DHCP").into_iter();
    let asks = dhcp.any(|value| ["yes", "true", "on", "1", "ipv4"].contains(&value));
    let identifier = of_dhcp("DHCPv4", "ClientIdentifier");
    let is_named =
        asks && identifier.is_none_or(|word| word == "duid") && of_dhcp("DHCPv4", "IAID").is_none();
    let is_named_too = of_dhcp("DHCPv6", "IAID").is_none();
    match nic.state.iaid {
        Some(iaid) => {
            for (_, section) in [(is_named, "DHCPv4"), (is_named_too, "DHCPv6")].iter().filter(|(is, _)| *is) {
                network.set(section, "IAID", &iaid.to_string());
            }
        }
        None if is_named => draft.warn(format!(
            "{file}: networkd tells a DHCP server the name of the interface too, so {name} can get another \
             address than {} had; [DHCPv4] ClientIdentifier=mac is the same for both",
            nic.name
        )),
        None => {}
    }
    let mut lines = network.sections.iter().flat_map(Section::settings);
    if lines.any(|known| known.value.starts_with("prefixstable") || known.value == "stable-privacy")
    {
        draft.warn_of_address(file);
    }
}

/// The name of a file of our own.
fn new_file(interface: &InterfaceName, kind: &str) -> String {
    format!("{FIRST}{interface}.{kind}")
}

/// Makes a unit that of a port: matched by name, since the bridge has its MAC address, with nothing
/// of IP on it.
fn set_port(unit: &mut Unit, nic: &InterfaceName, bridge: &InterfaceName) {
    if unit.values("Match", "Name").is_empty() {
        if let Some(section) = unit.section_mut("Match") {
            let setting = Section::new("Match", &[("Name", nic.as_str())]);
            section.lines.splice(0..0, setting.lines);
        }
    }
    let settings = [
        ("Bridge", bridge.as_str()),
        ("LinkLocalAddressing", "no"),
        ("IPv6AcceptRA", "no"),
    ];
    let network = Section::new("Network", &settings);
    if let Some(section) = unit.section_mut("Network") {
        section.lines.splice(0..0, network.lines);
        return;
    }
    let mut sections = unit.sections.iter();
    let is_before = |section: &Section| ["Match", "Link"].contains(&section.name.as_str());
    let end = sections.rposition(is_before).map_or(0, |index| index + 1);
    unit.sections.insert(end, network);
}

/// networkd has to find the files that are written, and no other that fits before them.
fn check_found(draft: &Draft<'_>) -> Result<()> {
    let name = &draft.bridge.name;
    let bridge = HostNic {
        name: name.clone(),
        ..draft.nics[0].clone()
    };
    for nic in draft.nics.iter().copied().chain([&bridge]) {
        let Some(found) = find_first(draft.after.folder(Units::FOLDER), nic) else {
            continue;
        };
        let is_written = match nic.name == *name {
            true => found.file == new_file(name, "network"),
            false => found.unit.values("Network", "Bridge") == [name.as_str()],
        };
        if !is_written {
            let reason = format!(
                "networkd finds it for {} before {}, expected a name that comes after that",
                nic.name,
                new_file(&nic.name, "network")
            );
            let path = Units::path(&found.file);
            return Err(BridgeError::value(path, None, reason));
        }
    }
    Ok(())
}

/// Whether any address is configured or asked for.
fn asks_for_ip(unit: &Unit) -> bool {
    let mut dhcp = unit.values("Network", "DHCP").into_iter();
    unit.get("Network", "Address").is_some()
        || unit.get("Address", "Address").is_some()
        || dhcp.any(|value| !["no", "false", "off", "0"].contains(&value))
}
