//! From the stanzas of a NIC to those of a bridge with the NIC in it.

use super::file::{stanzas, text, Stanza};
use super::table::{is_about_link, TABLE};
use crate::bridge::{HostFiles, HostNic, Stp};
use crate::disposition::Disposition;
use crate::format::{Draft, Format, MadePort, Port};
use crate::rename::{rename_in_line, rename_words};
use crate::{BridgeError, Result};

/// The file, below /etc; those in the folder count if it has a `source` line for them.
const MAIN: &str = "network/interfaces";

/// A file by its path below /etc, and its stanzas.
struct Parsed {
    path: String,
    stanzas: Vec<Stanza>,
}

/// The files that ifupdown reads.
pub(crate) struct Interfaces(Vec<Parsed>);

impl Format for Interfaces {
    /// The NIC's name: all of its stanzas count.
    type Entry = String;
    /// The lines that stay with the NIC.
    type Moved = Vec<String>;

    const FOLDER: &'static str = "network/interfaces.d";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let interfaces = Self::read(files).ok()?;
        let mut stanzas = interfaces.ifaces();
        let found = stanzas.find(|(_, name, _)| *name == nic.name.as_str());
        found.map(|(path, ..)| path.to_owned())
    }

    fn read(files: &HostFiles) -> Result<Self> {
        let Some(main) = files.get(MAIN) else {
            return Ok(Self(Vec::new()));
        };
        let parsed = |path, text| Parsed {
            path,
            stanzas: stanzas(text),
        };
        let main = parsed(MAIN.to_owned(), main);
        let is_source = |stanza: &Stanza| {
            let mut words = stanza.words.iter();
            let is_source = words.next().is_some_and(|word| word.starts_with("source"));
            is_source && words.any(|path| path.contains("interfaces.d"))
        };
        let has_more = main.stanzas.iter().any(is_source);
        let mut all = vec![main];
        if has_more {
            let files = files.folder(Self::FOLDER);
            all.extend(files.map(|(name, text)| parsed(Self::path(name), text)));
        }
        Ok(Self(all))
    }

    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        let mut stanzas = self.ifaces();
        let found = stanzas.find(|(_, interface, _)| is_of(interface, name));
        Ok(found.map(|(path, ..)| path.to_owned()))
    }

    fn find(&self, draft: &Draft<'_>, nic: &HostNic) -> Result<Vec<String>> {
        let name = nic.name.as_str();
        for (path, stanza) in self.stanzas() {
            check(draft, name, stanza)
                .map_err(|reason| BridgeError::value(path, Some(stanza.line), reason))?;
        }
        let mut stanzas = self.ifaces();
        let is_known = stanzas.any(|(_, interface, _)| interface == name);
        Ok(is_known.then(|| name.to_owned()).into_iter().collect())
    }

    /// It needs no stanza: that of the bridge names it.
    fn add(&self, _: &Draft<'_>, nic: &HostNic, _: &String) -> Result<String> {
        Ok(nic.name.to_string())
    }

    fn place(&self, name: &String) -> String {
        name.clone()
    }

    fn ip_error(&self, draft: &Draft<'_>, _: &HostNic, name: &String) -> Option<BridgeError> {
        let mut stanzas = self.ifaces();
        let found = stanzas.find(|(_, interface, stanza)| {
            *interface == name.as_str() && stanza.method() != "manual"
        });
        found.map(|(path, _, stanza)| {
            let reason = draft.bridge.has_ip_already(name);
            BridgeError::value(path, Some(stanza.line), reason)
        })
    }

    /// Renames the first NIC's stanzas; a further one's stay as they are.
    fn make_port(&mut self, draft: &mut Draft<'_>, nic: &HostNic, _: &String) -> MadePort<Self> {
        let mut stays = Vec::new();
        if is_first(draft, nic.name.as_str()) {
            for Parsed { path, stanzas } in &mut self.0 {
                for stanza in stanzas {
                    stays.extend(divide(draft, path, stanza)?);
                }
            }
        }
        let mut lines = stays.iter();
        let hardware = lines.find_map(|line| line.trim().strip_prefix("hwaddress"));
        let mac = hardware.and_then(|value| value.split_whitespace().last());
        let mac = mac.map(str::to_owned);
        Ok(Port { mac, moved: stays })
    }

    /// Puts a stanza for the NIC alone before the first of them.
    fn make_bridge(
        &mut self,
        draft: &mut Draft<'_>,
        names: &[String],
        first: Port<Vec<String>>,
    ) -> Result<()> {
        let nic = &names[0];
        let settings = settings(draft, first.mac);
        for Parsed { stanzas, .. } in &mut self.0 {
            let mut all = stanzas.iter();
            let is_nic = |stanza: &Stanza| stanza.iface().is_some_and(|(name, _)| name == nic);
            let Some(index) = all.position(is_nic) else {
                continue;
            };
            stanzas[index].lines.splice(1..1, settings);
            let lines = [first.moved, vec![String::new()]].concat();
            let line = stanzas[index].line;
            let header = format!("iface {nic} inet manual");
            stanzas.insert(index, Stanza::new(header, line, lines));
            break;
        }
        self.bring_up(draft);
        self.warn_of_vlans(draft);
        for Parsed { path, stanzas } in &self.0 {
            draft.after.insert(path, text(stanzas));
        }
        Ok(())
    }
}

impl Interfaces {
    /// All stanzas, each with its file's path.
    fn stanzas(&self) -> impl Iterator<Item = (&str, &Stanza)> {
        let files = self.0.iter();
        files.flat_map(|file| {
            let stanzas = file.stanzas.iter();
            stanzas.map(|stanza| (file.path.as_str(), stanza))
        })
    }

    /// The `iface` stanzas, each with its file's path and its interface.
    fn ifaces(&self) -> impl Iterator<Item = (&str, &str, &Stanza)> {
        self.stanzas()
            .filter_map(|(path, stanza)| Some((path, stanza.iface()?.0, stanza)))
    }

    /// The bridge is brought up where the NIC was, after it; by hotplug only the NIC is.
    fn bring_up(&mut self, draft: &mut Draft<'_>) {
        let bridge = draft.bridge;
        let (nic, name) = (bridge.nics[0].to_string(), bridge.name.to_string());
        let is_port = |known: &String| bridge.nics.iter().any(|port| port.as_str() == known);
        let mut is_auto = false;
        let mut hotplug = None;
        for (file, Parsed { stanzas, .. }) in self.0.iter_mut().enumerate() {
            for (index, stanza) in stanzas.iter_mut().enumerate() {
                let Some(names) = stanza.brings_up() else {
                    continue;
                };
                if stanza.words[0] != "auto" {
                    if names.contains(&nic) {
                        hotplug = Some((file, index));
                    }
                    continue;
                }
                let renamed = names.iter().map(|known| match is_of(known, &nic) {
                    true if *known != nic => known.replacen(&nic, &name, 1),
                    _ => known.clone(),
                });
                let mut after: Vec<String> = renamed.collect();
                if names.contains(&nic) {
                    is_auto = true;
                    let last = after.iter().rposition(is_port).unwrap_or_default();
                    after.insert(last + 1, name.clone());
                }
                if after != names {
                    stanza.lines[0] = format!("auto {}", after.join(" "));
                }
            }
        }
        match hotplug {
            _ if is_auto => {}
            Some((file, index)) => {
                let stanzas = &mut self.0[file].stanzas;
                let line = stanzas[index].line;
                stanzas.insert(index, Stanza::new(format!("auto {name}"), line, Vec::new()));
                draft.warn(format!(
                    "{nic} is brought up when it is plugged in; {name} is brought up at boot"
                ));
            }
            None => draft.warn(format!(
                "{nic} is not brought up at boot, so {name} is not either"
            )),
        }
    }

    fn warn_of_vlans(&self, draft: &mut Draft<'_>) {
        let nic = draft.bridge.nics[0].as_str();
        for (path, interface, stanza) in self.ifaces() {
            let by_option = stanza.lines.iter().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                matches!(words.as_slice(), ["vlan-raw-device" | "vlan_raw_device", on] if *on == nic)
            });
            if interface.starts_with(&format!("{nic}.")) || (by_option && interface != nic) {
                draft.warn_of_vlan(&format!("{interface} in {path}"), nic);
            }
        }
    }
}

/// Whether a NIC is the one whose IP configuration moves.
fn is_first(draft: &Draft<'_>, nic: &str) -> bool {
    draft.bridge.nics[0].as_str() == nic
}

/// Whether an interface is the NIC or an alias of it.
fn is_of(interface: &str, nic: &str) -> bool {
    let rest = interface.strip_prefix(nic);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Refuses what cannot be understood safely of a NIC; gives the reason.
fn check(draft: &Draft<'_>, nic: &str, stanza: &Stanza) -> Result<(), String> {
    let names = |wanted: &str| stanza.words.iter().skip(1).any(|word| word == wanted);
    let first = stanza.words.first().map_or("", String::as_str);
    if let Some((interface, _)) = stanza.iface() {
        if ports_of(stanza).any(|port| port == nic) {
            return Err(format!("{nic} is in {interface} already"));
        }
        if is_first(draft, nic) && is_of(interface, nic) && names("inherits") {
            return Err("inherits is not understood, expected options".to_owned());
        }
    }
    if is_first(draft, nic) && matches!(first, "mapping" | "rename") && names(nic) {
        return Err(format!(
            "a {first} of {nic} is not understood, expected an iface alone"
        ));
    }
    Ok(())
}

/// The interfaces that a stanza takes for its ports.
fn ports_of(stanza: &Stanza) -> impl Iterator<Item = &str> {
    let lists = stanza.lines.iter().filter_map(|line| {
        let (option, value) = line.trim().split_once(char::is_whitespace)?;
        let option = option.replace('_', "-");
        let is_list = ["bridge-ports", "bond-slaves", "slaves"].contains(&option.as_str());
        is_list.then_some(value)
    });
    lists.flat_map(str::split_whitespace)
}

/// Makes a stanza of the first NIC one of the bridge, and gives the lines that stay with the NIC.
fn divide(draft: &mut Draft<'_>, path: &str, stanza: &mut Stanza) -> Result<Vec<String>> {
    let (nic, bridge) = (&draft.bridge.nics[0], &draft.bridge.name);
    let (nic_name, name) = (nic.as_str(), bridge.as_str());
    let mut stays = Vec::new();
    let Some((interface, _)) = stanza.iface().filter(|(name, _)| is_of(name, nic_name)) else {
        return Ok(stays);
    };
    let renamed = interface.replacen(nic_name, name, 1);
    let mut moves = vec![stanza.lines[0].replacen(interface, &renamed, 1)];
    for (offset, line) in stanza.lines.iter().enumerate() {
        let number = stanza.line + offset;
        let error = |reason: String| BridgeError::value(path, Some(number), reason);
        if line.ends_with('\\') {
            return Err(error(
                "a line that goes on in the next is not understood, expected one line".into(),
            ));
        }
        let trimmed = line.trim();
        if offset == 0 {
            continue;
        }
        if trimmed.is_empty() || trimmed.starts_with('#') {
            moves.push(line.clone());
            continue;
        }
        let words = trimmed.split_once(char::is_whitespace);
        let (option, value) = words.unwrap_or((trimmed, ""));
        let mut line = line.clone();
        let disposition = match TABLE.find(&option.replace('_', "-")) {
            Disposition::Command if is_about_link(value) => Disposition::Stays,
            Disposition::Command => {
                line = rename_command(&line, nic_name, name);
                if line.split_whitespace().any(|word| word == nic_name) {
                    draft.warn(format!(
                        "{path}, line {number}: the command names {nic} and goes to {name} as it is"
                    ));
                }
                Disposition::Moves
            }
            other => other,
        };
        if let Some(remark) = disposition.remark(option, nic, bridge).map_err(error)? {
            draft.warn(format!("{path}, line {number}: {remark}"));
        }
        if disposition.stays() {
            stays.push(line.clone());
        }
        if disposition.moves() {
            moves.push(line);
        }
    }
    stanza.lines = moves;
    Ok(stays)
}

/// A command with the bridge wherever it names the NIC as what has addresses.
fn rename_command(line: &str, nic: &str, bridge: &str) -> String {
    const BEFORE: [&str; 6] = [
        "-i",
        "-o",
        "--in-interface",
        "--out-interface",
        "iif",
        "oif",
    ];
    let mut words = line.split_whitespace().skip(1);
    let program = words.next().and_then(|word| word.rsplit('/').next());
    let is_route = program == Some("route");
    let renamed = rename_words(line, |before, word| {
        match word == nic && (is_route || BEFORE.contains(&before)) {
            true => bridge.to_owned(),
            false => word.to_owned(),
        }
    });
    let renamed = rename_in_line(&renamed, nic, bridge);
    let of_kernel = |text: String, dot: &str| {
        text.replace(&format!("{dot}{nic}{dot}"), &format!("{dot}{bridge}{dot}"))
    };
    ["/", "."].into_iter().fold(renamed, of_kernel)
}

/// The options that make an interface a bridge, bridge-utils-interfaces(5).
fn settings(draft: &Draft<'_>, mac: Option<String>) -> Vec<String> {
    let bridge = draft.bridge;
    let nics: Vec<&str> = bridge.nics.iter().map(|nic| nic.as_str()).collect();
    let mut settings = vec![
        format!("    bridge_ports {}", nics.join(" ")),
        format!("    bridge_stp {}", bridge.stp.pick("on", "off")),
    ];
    // The kernel takes no delay of 0 with the spanning tree.
    if bridge.stp == Stp::Off {
        settings.push("    bridge_fd 0".to_owned());
    }
    settings.extend(mac.map(|mac| format!("    bridge_hw {mac}")));
    settings
}
