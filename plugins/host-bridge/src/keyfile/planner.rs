//! From a NIC's keyfile to those of a bridge and of the NIC in it.

use super::table::TABLE;
use crate::bridge::{is_backup, Bridge, HostFiles, Nic, Stp};
use crate::disposition::Disposition;
use crate::unit::{Comments, Divide, Line, Section, Unit};
use crate::{BridgeError, Plan, Renderer};

/// Where the files are, below /etc.
const FOLDER: &str = "NetworkManager/system-connections";

/// What names of files of our own end in; without, old versions read any name.
const SUFFIX: &str = ".nmconnection";

/// Types of profiles that a bridge can have for a port.
const TYPES: [&str; 5] = ["ethernet", "802-3-ethernet", "bond", "vlan", "team"];

/// A profile by its file's name.
#[derive(Debug, Clone)]
struct Profile {
    file: String,
    unit: Unit,
}

impl Profile {
    /// The last value of a key.
    fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.unit.values(section, key).last().copied()
    }

    fn error(&self, line: Option<usize>, reason: String) -> BridgeError {
        BridgeError::Value {
            file: path(&self.file),
            line,
            reason,
        }
    }

    /// Whether the profile is for the NIC and no other.
    fn is_of(&self, nic: &Nic) -> bool {
        let given = self
            .get("ethernet", "mac-address")
            .or(self.get("802-3-ethernet", "mac-address"));
        match (self.get("connection", "interface-name"), given) {
            (Some(name), _) => name == nic.name.as_str(),
            (None, Some(mac)) => nic.mac.is_some() && mac.parse().ok() == nic.mac,
            (None, None) => false,
        }
    }

    /// Whether the profile is brought up by itself.
    fn is_automatic(&self) -> bool {
        let value = self.get("connection", "autoconnect");
        !value.is_some_and(|value| ["false", "no", "0"].contains(&value))
    }
}

fn path(file: &str) -> String {
    format!("{FOLDER}/{file}")
}

fn parse(file: &str, text: &str) -> Result<Profile, BridgeError> {
    Unit::parse(text)
        .map(|unit| Profile {
            file: file.to_owned(),
            unit,
        })
        .map_err(|source| BridgeError::Syntax {
            file: path(file),
            source,
        })
}

fn files_of(files: &HostFiles) -> impl Iterator<Item = (&str, &str)> {
    files.folder(FOLDER).filter(|(name, _)| !is_backup(name))
}

/// The path of the file that configures the NIC.
pub(crate) fn owner(files: &HostFiles, nic: &Nic) -> Option<String> {
    let named = format!("interface-name={}", nic.name);
    let is_owner = |file: &str, text: &str| match parse(file, text) {
        Ok(profile) => profile.is_of(nic),
        // It is there, and the plan says what is wrong with it.
        Err(_) => text.lines().any(|line| line.trim() == named),
    };
    files_of(files).find_map(|(file, text)| is_owner(file, text).then(|| path(file)))
}

/// Plans the bridge.
pub(crate) fn plan(bridge: &Bridge, files: &HostFiles, nics: &[&Nic]) -> Result<Plan, BridgeError> {
    let profiles: Vec<Profile> = files_of(files)
        .map(|(file, text)| parse(file, text))
        .collect::<Result<_, _>>()?;
    let mut planner = Planner {
        bridge,
        profiles,
        after: files.clone(),
        warnings: Vec::new(),
    };
    planner.check_bridge()?;
    let mut used: Vec<String> = Vec::new();
    for (index, nic) in nics.iter().enumerate() {
        let name = &nic.name;
        let profile = match planner.profile_of(nic)? {
            Some(profile) => profile,
            None if index == 0 => {
                return Err(BridgeError::NoFile {
                    nic: name.to_string(),
                });
            }
            None => planner.new_profile(nic)?,
        };
        if let Some(first) = used.iter().position(|file| *file == profile.file) {
            return Err(profile.error(None, bridge.is_for_two(first, index)));
        }
        used.push(profile.file.clone());
        planner.check(&profile)?;
        let own = planner.make_port(nic, &profile)?;
        if index == 0 {
            planner.add_bridge(nic, &profile, own);
        } else if asks_for_ip(&profile) {
            return Err(profile.error(
                None,
                format!(
                    "{name} has an IP configuration of its own, expected method=disabled and one on {} alone",
                    bridge.nics[0]
                ),
            ));
        }
    }
    planner.warn_of_children();
    Ok(Plan::between(
        Renderer::Keyfile,
        files,
        &planner.after,
        planner.warnings,
    ))
}

struct Planner<'a> {
    bridge: &'a Bridge,
    profiles: Vec<Profile>,
    after: HostFiles,
    warnings: Vec<String>,
}

impl Planner<'_> {
    /// No profile may be for an interface of the bridge's name.
    fn check_bridge(&self) -> Result<(), BridgeError> {
        let name = self.bridge.name.as_str();
        let own = format!("{name}{SUFFIX}");
        let is_there = |profile: &&Profile| {
            profile.file == own || profile.get("connection", "interface-name") == Some(name)
        };
        match self.profiles.iter().find(is_there) {
            None => Ok(()),
            Some(profile) => Err(BridgeError::Exists {
                file: path(&profile.file),
                name: name.to_owned(),
            }),
        }
    }

    /// The one profile that is brought up on a NIC.
    fn profile_of(&self, nic: &Nic) -> Result<Option<Profile>, BridgeError> {
        let of: Vec<&Profile> = self
            .profiles
            .iter()
            .filter(|known| known.is_of(nic))
            .collect();
        let automatic: Vec<&Profile> = of
            .iter()
            .copied()
            .filter(|known| known.is_automatic())
            .collect();
        match (automatic.as_slice(), of.as_slice()) {
            ([one], _) | ([], [one]) => Ok(Some((*one).clone())),
            ([], []) => Ok(None),
            ([first, second, ..], _) | ([], [first, second, ..]) => Err(BridgeError::Ambiguous {
                nic: nic.name.to_string(),
                first: path(&first.file),
                second: path(&second.file),
            }),
        }
    }

    /// A profile for a NIC that has none.
    fn new_profile(&self, nic: &Nic) -> Result<Profile, BridgeError> {
        let name = nic.name.as_str();
        let file = format!("{name}{SUFFIX}");
        self.after.expect_none(&path(&file), &nic.name)?;
        let uuid = self.bridge.uuid(name);
        let settings = [
            ("id", name),
            ("uuid", &uuid),
            ("type", "ethernet"),
            ("interface-name", name),
        ];
        Ok(Profile {
            file,
            unit: Unit {
                head: Vec::new(),
                sections: vec![Section::new("connection", &settings)],
            },
        })
    }

    /// Refuses what is given twice and what is no NIC.
    fn check(&self, profile: &Profile) -> Result<(), BridgeError> {
        let sections = &profile.unit.sections;
        for (index, section) in sections.iter().enumerate() {
            if sections[..index]
                .iter()
                .any(|known| known.name == section.name)
            {
                return Err(profile.error(
                    None,
                    format!(
                        "[{}] is given a second time, expected it once",
                        section.name
                    ),
                ));
            }
            let settings: Vec<_> = section.settings().collect();
            for (at, (key, _, line)) in settings.iter().enumerate() {
                if settings[..at].iter().any(|(known, _, _)| known == key) {
                    return Err(profile.error(
                        Some(*line),
                        format!("{key} is given a second time, expected it once"),
                    ));
                }
            }
            if let Disposition::Refused(why) = TABLE.find(&format!("[{}]", section.name)) {
                return Err(profile.error(None, format!("[{}]: {why}", section.name)));
            }
        }
        let kind = profile.get("connection", "type").unwrap_or_default();
        if !TYPES.contains(&kind) {
            return Err(profile.error(
                None,
                format!(
                    "a NIC of type '{}' cannot be in a bridge, expected ethernet, bond, vlan or team",
                    kind.escape_debug()
                ),
            ));
        }
        Ok(())
    }

    /// Writes the NIC's profile as that of a port; gives what goes to the bridge.
    fn make_port(&mut self, nic: &Nic, profile: &Profile) -> Result<Vec<Section>, BridgeError> {
        let mut port = Unit {
            head: profile.unit.head.clone(),
            sections: Vec::new(),
        };
        let divide = Divide {
            table: &TABLE,
            comments: Comments::Stay,
            bridge: self.bridge,
            nic,
            folder: FOLDER,
            file: &profile.file,
        };
        let mut own = Vec::new();
        for section in &profile.unit.sections {
            match TABLE.find(&format!("[{}]", section.name)) {
                Disposition::Moves => own.push(self.renamed(section, nic)),
                Disposition::Both => {
                    own.push(section.clone());
                    port.sections.push(section.clone());
                }
                Disposition::Divided => {
                    let (stays, moves) = divide.section(section, &mut self.warnings)?;
                    port.sections.push(stays);
                    own.push(moves);
                }
                Disposition::Unknown => {
                    self.warnings.push(format!(
                        "{}: [{}] is not known; it stays with {}",
                        profile.file, section.name, nic.name
                    ));
                    port.sections.push(section.clone());
                }
                _ => port.sections.push(section.clone()),
            }
        }
        let section = port
            .sections
            .iter_mut()
            .find(|section| section.name == "connection");
        if let Some(section) = section {
            let mut settings = vec![
                ("master", self.bridge.name.as_str()),
                ("slave-type", "bridge"),
            ];
            if profile.get("connection", "interface-name").is_none() {
                settings.insert(0, ("interface-name", nic.name.as_str()));
            }
            let added = Section::new("", &settings).lines;
            // Before the empty lines that end the section.
            let end = section
                .lines
                .iter()
                .rposition(|line| matches!(line, Line::Setting { .. }))
                .map_or(0, |at| at + 1);
            section.lines.splice(end..end, added);
        }
        self.after.insert(path(&profile.file), port.to_string());
        Ok(own)
    }

    /// The section with the bridge wherever a link-local address names the NIC.
    fn renamed(&self, section: &Section, nic: &Nic) -> Section {
        let zone = format!("%{}", nic.name);
        let new = format!("%{}", self.bridge.name);
        let renamed = |word: &str| match word.strip_suffix(&zone) {
            Some(address) => format!("{address}{new}"),
            None => word.to_owned(),
        };
        let mut section = section.clone();
        for line in &mut section.lines {
            if let Line::Setting { value, .. } = line {
                let words: Vec<String> = value
                    .split(';')
                    .map(|part| part.split(',').map(renamed).collect::<Vec<_>>().join(","))
                    .collect();
                *value = words.join(";");
            }
        }
        section
    }

    /// Writes the bridge's own profile.
    fn add_bridge(&mut self, nic: &Nic, profile: &Profile, own: Vec<Section>) {
        let name = self.bridge.name.as_str();
        let cloned = ["ethernet", "802-3-ethernet"]
            .iter()
            .find_map(|section| profile.get(section, "cloned-mac-address"));
        // A word like `stable` is no address; what came of it is what the NIC has now.
        let cloned = cloned.filter(|mac| mac.contains(':')).map(str::to_owned);
        let mac = cloned.or_else(|| nic.mac.map(|mac| mac.to_string()));
        let uuid = self.bridge.uuid(mac.as_deref().unwrap_or_default());
        let settings = [
            ("id", name),
            ("uuid", &uuid),
            ("type", "bridge"),
            ("interface-name", name),
            // Bringing the bridge up brings its ports up.
            ("autoconnect-slaves", "1"),
        ];
        let mut connection = Section::new("connection", &settings);
        let stp = match self.bridge.stp {
            Stp::On => "true",
            Stp::Off => "false",
        };
        let mut settings = vec![("stp", stp)];
        match &mac {
            Some(mac) => settings.insert(0, ("mac-address", mac)),
            None => self.warnings.push(self.bridge.is_not_pinned()),
        }
        let mut unit = Unit::default();
        for mut section in own {
            if section.name == "connection" {
                connection.lines.append(&mut section.lines);
            } else if section.name == "802-3-ethernet" || section.name == "ethernet" {
                if !section.is_empty() {
                    unit.sections.push(section);
                }
            } else {
                unit.sections.push(section);
            }
        }
        unit.sections.insert(0, connection);
        unit.sections.insert(1, Section::new("bridge", &settings));
        let is_stable = profile.get("ipv6", "addr-gen-mode") != Some("eui64");
        let is_auto = matches!(profile.get("ipv6", "method"), None | Some("auto"));
        if is_auto && is_stable {
            self.warnings.push(format!(
                "{}: the IPv6 address that {name} gives itself has the interface's name in it \
                 (addr-gen-mode), so it is another than that of {}",
                profile.file, nic.name
            ));
        }
        self.after
            .insert(path(&format!("{name}{SUFFIX}")), unit.to_string());
    }

    /// A VLAN on a NIC that is in a bridge gets no more packets.
    fn warn_of_children(&mut self) {
        let nics: Vec<&str> = self.bridge.nics.iter().map(|nic| nic.as_str()).collect();
        for profile in &self.profiles {
            let parent = profile.get("vlan", "parent").unwrap_or_default();
            let nic = nics.iter().find(|nic| {
                let uuid = self.profiles.iter().find(|known| {
                    known.get("connection", "interface-name") == Some(**nic)
                        && known.get("connection", "uuid") == Some(parent)
                });
                parent == **nic || uuid.is_some()
            });
            if let Some(nic) = nic {
                self.warnings
                    .push(self.bridge.takes_packets_of(&profile.file, nic));
            }
        }
    }
}

/// Whether the profile gives its NIC any address; without a section it asks for one.
fn asks_for_ip(profile: &Profile) -> bool {
    let is_off = |section: &str| {
        let method = profile.get(section, "method");
        method.is_some_and(|method| ["disabled", "ignore", "link-local"].contains(&method))
    };
    let has_section = |name: &str| {
        let mut sections = profile.unit.sections.iter();
        sections.any(|section| section.name == name)
    };
    ["ipv4", "ipv6"]
        .iter()
        .any(|section| has_section(section) && !is_off(section))
}
