//! From a NIC's keyfile to those of a bridge and of the NIC in it.

use super::table::TABLE;
use crate::bridge::{is_backup, HostFiles, HostNic};
use crate::disposition::Disposition;
use crate::format::{Draft, Format, MadePort, Port};
use crate::networkmanager::{iaid, route_metric, Device, Ip};
use crate::rename::{rename_in_line, rename_zone};
use crate::setting::Setting;
use crate::unit::{Comments, Divide, Section, Unit};
use crate::{BridgeError, Result};

/// What names of files of our own end in; without, old versions read any name.
const SUFFIX: &str = ".nmconnection";

/// Types of profiles that a bridge can have for a port.
const TYPES: [&str; 5] = ["ethernet", "802-3-ethernet", "bond", "vlan", "team"];

/// The sections of a wired NIC, by its present and by its old name.
const WIRED: [&str; 2] = ["ethernet", "802-3-ethernet"];

/// All profiles.
pub(crate) struct Profiles(Vec<Profile>);

/// A profile by its file's name.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    file: String,
    unit: Unit,
}

impl Profile {
    fn read(file: &str, text: &str) -> Result<Self> {
        Ok(Self {
            file: file.to_owned(),
            unit: Unit::read(Profiles::path(file), text)?,
        })
    }

    fn error(&self, line: Option<usize>, reason: String) -> BridgeError {
        BridgeError::value(Profiles::path(&self.file), line, reason)
    }

    /// The interface that it is for by name.
    fn interface(&self) -> Option<&str> {
        self.unit.get("connection", "interface-name")
    }

    /// The last value of a key of a wired NIC.
    fn wired(&self, key: &str) -> Option<&str> {
        let mut sections = WIRED.iter();
        sections.find_map(|section| self.unit.get(section, key))
    }

    /// Whether the profile is for the NIC and no other.
    fn is_of(&self, nic: &HostNic) -> bool {
        match (self.interface(), self.wired("mac-address")) {
            (Some(name), _) => name == nic.name.as_str(),
            (None, Some(mac)) => nic.has_mac(mac),
            (None, None) => false,
        }
    }

    /// Whether the profile is brought up by itself.
    fn is_automatic(&self) -> bool {
        let value = self.unit.get("connection", "autoconnect");
        !value.is_some_and(|value| ["false", "no", "0"].contains(&value))
    }

    /// Refuses what is given twice and what is no NIC.
    fn check(&self) -> Result<()> {
        let sections = &self.unit.sections;
        for (index, section) in sections.iter().enumerate() {
            let name = &section.name;
            if sections[..index].iter().any(|known| known.name == *name) {
                let reason = format!("[{name}] is given a second time, expected it once");
                return Err(self.error(None, reason));
            }
            let settings: Vec<_> = section.settings().collect();
            for (at, Setting { key, line, .. }) in settings.iter().enumerate() {
                if settings[..at].iter().any(|known| known.key == *key) {
                    let reason = format!("{key} is given a second time, expected it once");
                    return Err(self.error(Some(*line), reason));
                }
            }
            if let Disposition::Refused(why) = TABLE.find(&format!("[{name}]")) {
                return Err(self.error(None, format!("[{name}]: {why}")));
            }
        }
        let kind = self.unit.get("connection", "type").unwrap_or_default();
        if !TYPES.contains(&kind) {
            let reason = format!(
                "a NIC of type '{}' cannot be in a bridge, expected ethernet, bond, vlan or team",
                kind.escape_debug()
            );
            return Err(self.error(None, reason));
        }
        Ok(())
    }

    /// Whether the profile gives its NIC any address; without a section it asks for one.
    fn has_ip(&self) -> bool {
        let is_off = |section: &str| {
            let method = self.unit.get(section, "method");
            method.is_some_and(|method| ["disabled", "ignore", "link-local"].contains(&method))
        };
        let mut sections = self.unit.sections.iter();
        sections.any(|section| ["ipv4", "ipv6"].contains(&&*section.name) && !is_off(&section.name))
    }
}

fn list(files: &HostFiles) -> impl Iterator<Item = (&str, &str)> {
    let files = files.folder(Profiles::FOLDER);
    files.filter(|(name, _)| !is_backup(name))
}

/// Whether a text that may not be understood has the NIC's name where a profile has it.
fn names(text: &str, nic: &HostNic) -> bool {
    let named = format!("interface-name={}", nic.name);
    text.lines().any(|line| line.trim() == named)
}

impl Format for Profiles {
    type Entry = Profile;
    type Moved = Vec<Section>;

    const FOLDER: &'static str = "NetworkManager/system-connections";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let is_owner = |file: &str, text: &str| match Profile::read(file, text) {
            Ok(profile) => profile.is_of(nic),
            Err(_) => names(text, nic),
        };
        list(files).find_map(|(file, text)| is_owner(file, text).then(|| Self::path(file)))
    }

    /// NetworkManager passes over what it cannot read, too.
    fn read(files: &HostFiles) -> Result<Self> {
        let profiles = list(files).filter_map(|(file, text)| Profile::read(file, text).ok());
        Ok(Self(profiles.collect()))
    }

    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        let own = Self::path(&format!("{name}{SUFFIX}"));
        if draft.before.get(&own).is_some() {
            return Ok(Some(own));
        }
        let mut profiles = self.0.iter();
        let found = profiles.find(|profile| profile.interface() == Some(name));
        Ok(found.map(|profile| self.place(profile)))
    }

    /// Where any are brought up by themselves, these count.
    fn find(&self, draft: &Draft<'_>, nic: &HostNic) -> Result<Vec<Profile>> {
        for (file, text) in list(draft.before).filter(|(_, text)| names(text, nic)) {
            Profile::read(file, text)?;
        }
        let mut found: Vec<Profile> = self.0.clone();
        found.retain(|profile| profile.is_of(nic));
        if found.iter().any(Profile::is_automatic) {
            found.retain(Profile::is_automatic);
        }
        Ok(found)
    }

    fn add(&self, draft: &Draft<'_>, nic: &HostNic, _: &Profile) -> Result<Profile> {
        let name = nic.name.as_str();
        let file = format!("{name}{SUFFIX}");
        draft.after.expect_none(&Self::path(&file), &nic.name)?;
        let uuid = draft.bridge.uuid(name);
        let settings = [
            ("id", name),
            ("uuid", &uuid),
            ("type", "ethernet"),
            ("interface-name", name),
        ];
        let unit = Unit::new(vec![Section::new("connection", &settings)]);
        Ok(Profile { file, unit })
    }

    fn place(&self, profile: &Profile) -> String {
        Self::path(&profile.file)
    }

    fn ip_error(&self, draft: &Draft<'_>, nic: &HostNic, profile: &Profile) -> Option<BridgeError> {
        let reason = format!(
            "{} has an IP configuration of its own, expected method=disabled and one on {} alone",
            nic.name, draft.bridge.nics[0]
        );
        profile.has_ip().then(|| self.error(profile, reason))
    }

    fn make_port(
        &mut self,
        draft: &mut Draft<'_>,
        nic: &HostNic,
        profile: &Profile,
    ) -> MadePort<Self> {
        profile.check()?;
        let divide = Divide {
            table: &TABLE,
            comments: Comments::Stay,
            nic,
            file: &profile.file,
            path: self.place(profile),
        };
        let (mut port, mut moved) = divide.unit(&profile.unit, draft)?;
        let bridge = draft.bridge.name.as_str();
        if let Some(section) = port.section_mut("connection") {
            let mut settings = vec![("master", bridge), ("slave-type", "bridge")];
            if profile.interface().is_none() {
                settings.insert(0, ("interface-name", nic.name.as_str()));
            }
            section.add(&settings);
        }
        for section in &mut moved {
            if TABLE.find(&format!("[{}]", section.name)) == Disposition::Moves {
                rename_nic(section, nic.name.as_str(), bridge);
            }
        }
        draft.after.insert(self.place(profile), port.to_string());
        // A word like `stable` is no address; what came of it is what the NIC has now.
        let cloned = profile.wired("cloned-mac-address");
        Ok(Port::new(cloned.filter(|mac| mac.contains(':')), moved))
    }

    fn make_bridge(
        &mut self,
        draft: &mut Draft<'_>,
        profiles: &[Profile],
        first: Port<Vec<Section>>,
    ) -> Result<()> {
        let bridge = draft.bridge;
        let name = bridge.name.as_str();
        let uuid = bridge.uuid(first.mac.as_deref().unwrap_or_default());
        let settings = [
            ("id", name),
            ("uuid", &uuid),
            ("type", "bridge"),
            ("interface-name", name),
            // Bringing the bridge up brings its ports up.
            ("autoconnect-slaves", "1"),
        ];
        let mut connection = Section::new("connection", &settings);
        let mut settings = vec![("stp", bridge.stp.pick("true", "false"))];
        if let Some(mac) = &first.mac {
            settings.insert(0, ("mac-address", mac));
        }
        let mut unit = Unit::default();
        for mut section in first.moved {
            match section.name.as_str() {
                "connection" => connection.lines.append(&mut section.lines),
                _ => unit.sections.push(section),
            }
        }
        unit.sections.insert(0, connection);
        unit.sections.insert(1, Section::new("bridge", &settings));
        keep_defaults(draft, &profiles[0], &mut unit);
        let path = Self::path(&format!("{name}{SUFFIX}"));
        draft.after.insert(path, unit.to_string());
        self.warn_of_vlans(draft);
        Ok(())
    }
}

impl Profiles {
    fn warn_of_vlans(&self, draft: &mut Draft<'_>) {
        for profile in &self.0 {
            let parent = profile.unit.get("vlan", "parent").unwrap_or_default();
            let is_parent = |nic: &str| {
                let mut profiles = self.0.iter();
                parent == nic
                    || profiles.any(|known| {
                        known.interface() == Some(nic)
                            && known.unit.get("connection", "uuid") == Some(parent)
                    })
            };
            let mut nics = draft.bridge.nics.iter();
            if let Some(nic) = nics.find(|nic| is_parent(nic.as_str())) {
                draft.warn_of_vlan(&profile.file, nic.as_str());
            }
        }
    }
}

/// Puts the bridge wherever a link-local address or a rule names the NIC.
fn rename_nic(section: &mut Section, nic: &str, bridge: &str) {
    section.rename(|key, value| {
        if key.starts_with("routing-rule") {
            return rename_in_line(value, nic, bridge);
        }
        let words = value.split_inclusive([';', ',']).map(|piece| {
            let word = piece.trim_end_matches([';', ',']);
            rename_zone(word, nic, bridge) + &piece[word.len()..]
        });
        words.collect()
    });
}

/// Says what NetworkManager would take for a bridge otherwise than for its NIC.
fn keep_defaults(draft: &mut Draft<'_>, profile: &Profile, unit: &mut Unit) {
    let device = match profile.unit.get("connection", "type") {
        Some("bond") => Device::Bond,
        Some("team") => Device::Team,
        Some("vlan") => Device::Vlan,
        _ => Device::Ethernet,
    };
    let iaid = iaid(draft.bridge.nics[0].as_str());
    // A section that is not there is one with all defaults; the mode of a key that is not there is eui64.
    let is_there = |unit: &Unit, name: &str| unit.sections.iter().any(|known| known.name == name);
    for (section, defaults) in [
        ("ipv4", &[("method", "auto")][..]),
        (
            "ipv6",
            &[("addr-gen-mode", "stable-privacy"), ("method", "auto")][..],
        ),
    ] {
        let method = unit.get(section, "method").unwrap_or("auto");
        let asks = ["auto", "dhcp"].contains(&method);
        if !asks && method != "manual" {
            continue;
        }
        if !is_there(unit, section) {
            defaults
                .iter()
                .for_each(|(key, value)| unit.set(section, key, value));
        }
        if matches!(unit.get(section, "route-metric"), None | Some("-1")) {
            let ip = if section == "ipv4" { Ip::V4 } else { Ip::V6 };
            unit.set(section, "route-metric", &route_metric(draft, device, ip));
        }
        if asks && unit.get(section, "dhcp-iaid").is_none() {
            unit.set(section, "dhcp-iaid", &iaid);
        }
        let given =
            ["dhcp-client-id", "dhcp-duid"].map(|key| unit.get(section, key).unwrap_or_default());
        if asks && given.iter().any(|given| given.starts_with("stable")) {
            draft.warn(format!(
                "{}: the identity that a DHCP server gets is made of the profile, so {} can get another address \
                 than {} had",
                profile.file, draft.bridge.name, draft.bridge.nics[0]
            ));
        }
        let mode = unit.get(section, "addr-gen-mode").unwrap_or("eui64");
        let is_stable = !["eui64", "0", "default-or-eui64", "2"].contains(&mode);
        if section == "ipv6" && asks && is_stable && unit.get(section, "token").is_none() {
            match draft.nics[0].state.token() {
                Some(token) => {
                    unit.set(section, "addr-gen-mode", "eui64");
                    unit.set(section, "token", &token);
                }
                None => draft.warn_of_address(&profile.file),
            }
        }
    }
}
