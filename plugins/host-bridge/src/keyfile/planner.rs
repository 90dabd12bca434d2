//! From a NIC's keyfile to those of a bridge and of the NIC in it.

use super::table::TABLE;
use crate::bridge::{is_backup, HostFiles, HostNic};
use crate::disposition::Disposition;
use crate::format::{Draft, Format, MadePort, Port};
use crate::rename::rename_zone;
use crate::setting::{Line, Setting};
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

impl Format for Profiles {
    type Entry = Profile;
    type Moved = Vec<Section>;

    const FOLDER: &'static str = "NetworkManager/system-connections";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let named = format!("interface-name={}", nic.name);
        let is_owner = |file: &str, text: &str| match Profile::read(file, text) {
            Ok(profile) => profile.is_of(nic),
            Err(_) => text.lines().any(|line| line.trim() == named),
        };
        list(files).find_map(|(file, text)| is_owner(file, text).then(|| Self::path(file)))
    }

    fn read(files: &HostFiles) -> Result<Self> {
        let profiles = list(files).map(|(file, text)| Profile::read(file, text));
        Ok(Self(profiles.collect::<Result<_, _>>()?))
    }

    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        let own = format!("{name}{SUFFIX}");
        let mut profiles = self.0.iter();
        let found =
            profiles.find(|profile| profile.file == own || profile.interface() == Some(name));
        Ok(found.map(|profile| self.place(profile)))
    }

    /// Where any are brought up by themselves, these count.
    fn find(&self, _: &Draft<'_>, nic: &HostNic) -> Result<Vec<Profile>> {
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
            let added = Section::new("", &settings).lines;
            // Before the empty lines that end the section.
            let mut lines = section.lines.iter();
            let end = lines
                .rposition(|line| line.setting().is_some())
                .map_or(0, |at| at + 1);
            section.lines.splice(end..end, added);
        }
        for section in &mut moved {
            if TABLE.find(&format!("[{}]", section.name)) == Disposition::Moves {
                rename_zones(section, nic.name.as_str(), bridge);
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
        let profile = &profiles[0];
        let is_stable = profile.unit.get("ipv6", "addr-gen-mode") != Some("eui64");
        let is_auto = matches!(profile.unit.get("ipv6", "method"), None | Some("auto"));
        if is_auto && is_stable {
            draft.warn(format!(
                "{}: the IPv6 address that {name} gives itself has the interface's name in it \
                 (addr-gen-mode), so it is another than that of {}",
                profile.file, bridge.nics[0]
            ));
        }
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

/// Puts the bridge wherever a link-local address names the NIC.
fn rename_zones(section: &mut Section, nic: &str, bridge: &str) {
    for line in &mut section.lines {
        if let Line::Setting(Setting { value, .. }) = line {
            let words = value.split_inclusive([';', ',']).map(|piece| {
                let word = piece.trim_end_matches([';', ',']);
                rename_zone(word, nic, bridge) + &piece[word.len()..]
            });
            *value = words.collect();
        }
    }
}
