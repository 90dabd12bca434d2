//! From the stanzas of a NIC to those of a bridge with the NIC in it.

use super::file::{stanzas, text, Stanza};
use super::table::{is_about_link, TABLE};
use crate::bridge::{Bridge, HostFiles, Nic, Stp};
use crate::disposition::Disposition;
use crate::{BridgeError, Plan, Renderer};

/// The file, below /etc.
const MAIN: &str = "network/interfaces";

/// The folder of further files, if the first one has a `source` line for it.
const FOLDER: &str = "network/interfaces.d";

/// A file by its path below /etc, and its stanzas.
struct Parsed {
    path: String,
    stanzas: Vec<Stanza>,
}

/// The path of the file that configures the NIC.
pub(crate) fn owner(files: &HostFiles, nic: &Nic) -> Option<String> {
    let is_nic = |stanza: &Stanza| {
        stanza
            .iface()
            .is_some_and(|(name, _)| name == nic.name.as_str())
    };
    let mut all = parsed(files).into_iter();
    all.find(|file| file.stanzas.iter().any(is_nic))
        .map(|file| file.path)
}

/// The files that ifupdown reads.
fn parsed(files: &HostFiles) -> Vec<Parsed> {
    let Some(main) = files.get(MAIN) else {
        return Vec::new();
    };
    let main = Parsed {
        path: MAIN.to_owned(),
        stanzas: stanzas(main),
    };
    let sources = main.stanzas.iter().any(|stanza| {
        let word = stanza.words.first().map_or("", String::as_str);
        word.starts_with("source")
            && stanza.words[1..]
                .iter()
                .any(|path| path.contains("interfaces.d"))
    });
    let mut all = vec![main];
    if sources {
        all.extend(files.folder(FOLDER).map(|(name, text)| Parsed {
            path: format!("{FOLDER}/{name}"),
            stanzas: stanzas(text),
        }));
    }
    all
}

/// Plans the bridge.
pub(crate) fn plan(bridge: &Bridge, files: &HostFiles, nics: &[&Nic]) -> Result<Plan, BridgeError> {
    let mut planner = Planner {
        bridge,
        mac: nics[0].mac.map(|mac| mac.to_string()),
        files: parsed(files),
        warnings: Vec::new(),
    };
    planner.check()?;
    planner.divide()?;
    planner.bring_up();
    planner.warn_of_children();
    let mut after = files.clone();
    for file in &planner.files {
        after.insert(file.path.clone(), text(&file.stanzas));
    }
    Ok(Plan::between(
        Renderer::Ifupdown,
        files,
        &after,
        planner.warnings,
    ))
}

struct Planner<'a> {
    bridge: &'a Bridge,
    mac: Option<String>,
    files: Vec<Parsed>,
    warnings: Vec<String>,
}

/// What one stanza comes to.
struct Divided {
    bridge: Vec<String>,
    port: Vec<String>,
}

impl Planner<'_> {
    fn nic(&self) -> &str {
        self.bridge.nics[0].as_str()
    }

    /// Refuses what cannot be understood safely, before anything is changed.
    fn check(&mut self) -> Result<(), BridgeError> {
        let name = self.bridge.name.as_str();
        let mut is_known = false;
        for file in &self.files {
            for stanza in &file.stanzas {
                let error = |reason: String| BridgeError::Value {
                    file: file.path.clone(),
                    line: Some(stanza.line),
                    reason,
                };
                let names = |wanted: &str| stanza.words.iter().skip(1).any(|word| word == wanted);
                let first = stanza.words.first().map_or("", String::as_str);
                if let Some((interface, _)) = stanza.iface() {
                    let ports = ports_of(stanza);
                    if interface == name || interface.starts_with(&format!("{name}:")) {
                        return Err(BridgeError::Exists {
                            file: file.path.clone(),
                            name: name.to_owned(),
                        });
                    }
                    for nic in &self.bridge.nics {
                        if ports.iter().any(|port| port == nic.as_str()) {
                            return Err(error(format!("{nic} is in {interface} already")));
                        }
                    }
                    is_known |= interface == self.nic();
                    let other = self.bridge.nics[1..]
                        .iter()
                        .find(|nic| nic.as_str() == interface);
                    if let (Some(nic), false) = (other, stanza.method() == "manual") {
                        return Err(error(self.bridge.has_ip_already(nic.as_str())));
                    }
                    if is_of(interface, self.nic()) && names("inherits") {
                        return Err(error("inherits is not understood, expected options".into()));
                    }
                }
                if matches!(first, "mapping" | "rename") && names(self.nic()) {
                    return Err(error(format!(
                        "a {first} of {} is not understood, expected an iface alone",
                        self.nic()
                    )));
                }
            }
        }
        if is_known {
            Ok(())
        } else {
            Err(BridgeError::NoFile {
                nic: self.nic().to_owned(),
            })
        }
    }

    /// Renames the NIC's stanzas and puts one for the NIC alone before the first of them.
    fn divide(&mut self) -> Result<(), BridgeError> {
        let (nic, name) = (self.nic().to_owned(), self.bridge.name.as_str().to_owned());
        let mut port: Vec<String> = Vec::new();
        let mut first = None;
        for file_index in 0..self.files.len() {
            for index in 0..self.files[file_index].stanzas.len() {
                let stanza = self.files[file_index].stanzas[index].clone();
                let Some((interface, _)) = stanza.iface() else {
                    continue;
                };
                if !is_of(interface, &nic) {
                    continue;
                }
                let path = self.files[file_index].path.clone();
                let mut divided = self.divided(&path, &stanza)?;
                let renamed = interface.replacen(&nic, &name, 1);
                divided.bridge[0] = divided.bridge[0].replacen(interface, &renamed, 1);
                port.append(&mut divided.port);
                if first.is_none() && interface == nic {
                    first = Some((file_index, index));
                }
                self.files[file_index].stanzas[index].lines = divided.bridge;
            }
        }
        let Some((file, index)) = first else {
            return Ok(());
        };
        let hardware = port
            .iter()
            .find_map(|line| line.trim().strip_prefix("hwaddress"))
            .and_then(|value| value.split_whitespace().last())
            .map(str::to_owned);
        let settings = self.settings(hardware.or(self.mac.clone()));
        let header = format!("iface {nic} inet manual");
        let words = header.split_whitespace().map(str::to_owned).collect();
        let lines = [vec![header], port, vec![String::new()]].concat();
        let stanzas = &mut self.files[file].stanzas;
        stanzas[index].lines.splice(1..1, settings);
        let line = stanzas[index].line;
        stanzas.insert(index, Stanza { words, line, lines });
        Ok(())
    }

    /// The options that make an interface a bridge, bridge-utils-interfaces(5).
    fn settings(&mut self, mac: Option<String>) -> Vec<String> {
        let nics: Vec<&str> = self.bridge.nics.iter().map(|nic| nic.as_str()).collect();
        let stp = match self.bridge.stp {
            Stp::On => "on",
            Stp::Off => "off",
        };
        let mut settings = vec![
            format!("    bridge_ports {}", nics.join(" ")),
            format!("    bridge_stp {stp}"),
        ];
        // The kernel takes no delay of 0 with the spanning tree.
        if self.bridge.stp == Stp::Off {
            settings.push("    bridge_fd 0".to_owned());
        }
        match mac {
            Some(mac) => settings.push(format!("    bridge_hw {mac}")),
            None => self.warnings.push(self.bridge.is_not_pinned()),
        }
        settings
    }

    fn divided(&mut self, path: &str, stanza: &Stanza) -> Result<Divided, BridgeError> {
        let mut divided = Divided {
            bridge: vec![stanza.lines[0].clone()],
            port: Vec::new(),
        };
        let (nic, name) = (self.nic().to_owned(), self.bridge.name.to_string());
        for (offset, line) in stanza.lines.iter().enumerate() {
            let number = stanza.line + offset;
            let error = |reason: String| BridgeError::Value {
                file: path.to_owned(),
                line: Some(number),
                reason,
            };
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
                divided.bridge.push(line.clone());
                continue;
            }
            let (option, value) = trimmed
                .split_once(char::is_whitespace)
                .unwrap_or((trimmed, ""));
            let mut line = line.clone();
            let disposition = match TABLE.find(&option.replace('_', "-")) {
                Disposition::Command if is_about_link(value) => Disposition::Stays,
                Disposition::Command => {
                    line = with_device(&line, &nic, &name);
                    if line.split_whitespace().any(|word| word == nic) {
                        self.warnings.push(format!(
                            "{path}, line {number}: the command names {nic} and goes to {name} as it is"
                        ));
                    }
                    Disposition::Moves
                }
                other => other,
            };
            let bridge = self.bridge;
            let remark = disposition.remark(option, &bridge.nics[0], &bridge.name);
            if let Some(remark) = remark.map_err(error)? {
                self.warnings
                    .push(format!("{path}, line {number}: {remark}"));
            }
            if disposition.stays() {
                divided.port.push(line.clone());
            }
            if disposition.moves() {
                divided.bridge.push(line);
            }
        }
        Ok(divided)
    }

    /// The bridge is brought up where the NIC was, after it; by hotplug only the NIC is.
    fn bring_up(&mut self) {
        let (nic, name) = (self.nic().to_owned(), self.bridge.name.to_string());
        let ports: Vec<&str> = self.bridge.nics.iter().map(|nic| nic.as_str()).collect();
        let mut is_auto = false;
        let mut hotplug = None;
        for (file_index, file) in self.files.iter_mut().enumerate() {
            for (index, stanza) in file.stanzas.iter_mut().enumerate() {
                let Some(names) = stanza.brings_up().map(<[String]>::to_vec) else {
                    continue;
                };
                let word = stanza.words[0].clone();
                if word != "auto" {
                    if names.contains(&nic) {
                        hotplug = Some((file_index, index));
                    }
                    continue;
                }
                let mut after: Vec<String> = names
                    .iter()
                    .map(|known| match is_of(known, &nic) && *known != nic {
                        true => known.replacen(&nic, &name, 1),
                        false => known.clone(),
                    })
                    .collect();
                if names.contains(&nic) {
                    is_auto = true;
                    let is_port = |known: &String| ports.contains(&known.as_str());
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
                let header = format!("auto {name}");
                let words = vec!["auto".to_owned(), name.clone()];
                let line = self.files[file].stanzas[index].line;
                let lines = vec![header];
                self.files[file]
                    .stanzas
                    .insert(index, Stanza { words, line, lines });
                self.warnings.push(format!(
                    "{nic} is brought up when it is plugged in; {name} is brought up at boot"
                ));
            }
            None => self.warnings.push(format!(
                "{nic} is not brought up at boot, so {name} is not either"
            )),
        }
    }

    /// A VLAN on a NIC that is in a bridge gets no more packets.
    fn warn_of_children(&mut self) {
        let nic = self.nic().to_owned();
        for file in &self.files {
            for stanza in &file.stanzas {
                let Some((interface, _)) = stanza.iface() else {
                    continue;
                };
                let by_option = stanza.lines.iter().any(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    matches!(words.as_slice(), ["vlan-raw-device" | "vlan_raw_device", on] if *on == nic)
                });
                if interface.starts_with(&format!("{nic}.")) || (by_option && interface != nic) {
                    let vlan = format!("{interface} in {}", file.path);
                    self.warnings
                        .push(self.bridge.takes_packets_of(&vlan, &nic));
                }
            }
        }
    }
}

/// Whether an interface is the NIC or an alias of it.
fn is_of(interface: &str, nic: &str) -> bool {
    let rest = interface.strip_prefix(nic);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The interfaces that a stanza takes for its ports.
fn ports_of(stanza: &Stanza) -> Vec<String> {
    let lists = stanza.lines.iter().filter_map(|line| {
        let (option, value) = line.trim().split_once(char::is_whitespace)?;
        let option = option.replace('_', "-");
        ["bridge-ports", "bond-slaves", "slaves"]
            .contains(&option.as_str())
            .then_some(value)
    });
    lists
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The line with the bridge where `dev NIC` is said.
fn with_device(line: &str, nic: &str, bridge: &str) -> String {
    let mut rewritten = String::new();
    let mut is_device = false;
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        if is_device && word == nic {
            rewritten += bridge;
            rewritten += &piece[word.len()..];
        } else {
            rewritten += piece;
        }
        if !word.is_empty() {
            is_device = word == "dev";
        }
    }
    rewritten
}
