//! From a NIC's entry to those of a bridge and of the NIC in it.

use super::table::TABLE;
use super::tree::{fit_of, Tree, KINDS};
use crate::bridge::{HostFiles, HostNic, Stp};
use crate::disposition::Disposition;
use crate::fit::NicFit;
use crate::format::{Draft, Format, MadePort, Port};
use crate::networkmanager::{iaid, route_metric, Device, Ip};
use crate::{BridgeError, NicOwner, Result};
use serde_yaml_ng::{Mapping, Value};

/// All files.
pub(crate) struct Trees(Vec<Tree>);

/// A NIC's entry.
pub(crate) struct Entry {
    /// Which file it is in.
    tree: usize,
    kind: String,
    id: String,
    settings: Mapping,
}

impl Format for Trees {
    type Entry = Entry;
    type Moved = Mapping;

    const FOLDER: &'static str = "netplan";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let Ok(Self(trees)) = Self::read(files) else {
            return Some(Self::FOLDER.to_owned());
        };
        let is_for = |tree: &Tree| {
            let mut all = tree.all();
            all.any(|(_, id, entry)| fit_of(id, entry, nic) != NicFit::No)
        };
        let mut trees = trees.into_iter();
        trees.find(is_for).map(|tree| tree.path)
    }

    fn read(files: &HostFiles) -> Result<Self> {
        let files = files.folder(Self::FOLDER);
        let files = files.filter(|(name, _)| name.ends_with(".yaml"));
        let trees = files.map(|(name, text)| Tree::read(Self::path(name), text));
        Ok(Self(trees.collect::<Result<_, _>>()?))
    }

    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        let mut trees = self.0.iter();
        let found = trees.find(|tree| tree.all().any(|(_, id, _)| id == name));
        Ok(found.map(|tree| tree.path.clone()))
    }

    fn find(&self, _: &Draft<'_>, nic: &HostNic) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        for (tree, kind, id, settings) in self.all() {
            let fit = fit_of(id, settings, nic);
            if fit == NicFit::No {
                continue;
            }
            let entry = Entry {
                tree,
                kind: kind.to_owned(),
                id: id.to_owned(),
                settings: settings.clone(),
            };
            if !KINDS.contains(&kind) {
                let reason = format!("one of {kind} cannot be in a bridge, expected one of ethernets, bonds or vlans");
                return Err(self.error(&entry, reason));
            }
            if fit == NicFit::Shared {
                let reason = format!(
                    "match can fit more NICs than {}, expected its name or macaddress",
                    nic.name
                );
                return Err(self.error(&entry, reason));
            }
            found.push(entry);
        }
        Ok(found)
    }

    /// netplan knows no NIC without an entry.
    fn add(&self, _: &Draft<'_>, nic: &HostNic, first: &Entry) -> Result<Entry> {
        Ok(Entry {
            tree: first.tree,
            kind: "ethernets".to_owned(),
            id: nic.name.to_string(),
            settings: Mapping::new(),
        })
    }

    fn place(&self, entry: &Entry) -> String {
        format!("{} in {}", entry.id, self.0[entry.tree].path)
    }

    fn error(&self, entry: &Entry, reason: String) -> BridgeError {
        let path = self.0[entry.tree].path.as_str();
        BridgeError::value(path, None, format!("{}: {reason}", entry.id))
    }

    fn ip_error(&self, draft: &Draft<'_>, nic: &HostNic, entry: &Entry) -> Option<BridgeError> {
        let reason = draft.bridge.has_ip_already(nic.name.as_str());
        asks_for_ip(&entry.settings).then(|| self.error(entry, reason))
    }

    fn make_port(&mut self, draft: &mut Draft<'_>, nic: &HostNic, entry: &Entry) -> MadePort<Self> {
        for (_, _, id, settings) in self.all() {
            let ports = settings.get("interfaces").and_then(Value::as_sequence);
            let mut ports = ports.into_iter().flatten();
            if ports.any(|port| port.as_str() == Some(&entry.id)) {
                let reason = format!("{} is in {id} already", nic.name);
                return Err(self.error(entry, reason));
            }
        }
        let (mut port, mut moved) = (Mapping::new(), Mapping::new());
        for (key, value) in &entry.settings {
            let name = key.as_str().unwrap_or_default();
            let disposition = TABLE.find(name);
            match disposition {
                Disposition::Refused(why) => {
                    return Err(self.error(entry, format!("{name}: {why}")));
                }
                Disposition::Unknown => {
                    let Tree { path, .. } = &self.0[entry.tree];
                    let id = &entry.id;
                    draft.warn(format!(
                        "{path}: {name} of {id} is not known; it stays there"
                    ));
                }
                _ => {}
            }
            if name == "networkmanager" {
                for (kept, is_moved) in [(&mut port, false), (&mut moved, true)] {
                    kept.extend(of_networkmanager(value, is_moved));
                }
                continue;
            }
            if disposition.moves() {
                moved.insert(key.clone(), value.clone());
            }
            if disposition.stays() {
                port.insert(key.clone(), value.clone());
            }
        }
        port.insert("dhcp4".into(), false.into());
        let entries = self.0[entry.tree].kind_mut(&entry.kind)?;
        entries.insert(entry.id.as_str().into(), port.into());
        let mac = entry.settings.get("macaddress").and_then(Value::as_str);
        Ok(Port::new(mac, moved))
    }

    fn make_bridge(
        &mut self,
        draft: &mut Draft<'_>,
        entries: &[Entry],
        first: Port<Mapping>,
    ) -> Result<()> {
        let bridge = draft.bridge;
        let mut own = first.moved;
        if let Some(mac) = first.mac {
            own.insert("macaddress".into(), mac.into());
        }
        let ids = entries.iter().map(|entry| Value::from(entry.id.as_str()));
        own.insert("interfaces".into(), ids.collect::<Vec<Value>>().into());
        let mut parameters = Mapping::new();
        parameters.insert("stp".into(), (bridge.stp == Stp::On).into());
        // The kernel takes no delay of 0 with the spanning tree.
        if bridge.stp == Stp::Off {
            parameters.insert("forward-delay".into(), 0.into());
        }
        own.insert("parameters".into(), parameters.into());
        let is_networkmanager = self.left_to(&entries[0])? == Some(NicOwner::NetworkManager);
        self.keep_defaults(draft, &entries[0], &mut own, is_networkmanager);
        let bridges = self.0[entries[0].tree].kind_mut("bridges")?;
        bridges.insert(bridge.name.as_str().into(), own.into());
        self.warn_of_vlans(draft, entries);
        for tree in &self.0 {
            write(tree, draft)?;
        }
        Ok(())
    }

    /// Where the files say it (`renderer`): of the entry, of all of its kind, or of all; the last file
    /// counts.
    fn left_to(&self, entry: &Entry) -> Result<Option<NicOwner>> {
        let trees = || self.0.iter().rev();
        let mut networks = trees().filter_map(|tree| tree.root.get("network"));
        let mut kinds = trees().filter_map(|tree| tree.root.get("network")?.get(&entry.kind));
        let own = entry.settings.get("renderer");
        let word = own
            .or_else(|| kinds.find_map(|kind| kind.get("renderer")))
            .or_else(|| networks.find_map(|network| network.get("renderer")));
        Ok(match word.and_then(Value::as_str) {
            Some("networkd") => Some(NicOwner::Networkd),
            Some("NetworkManager") => Some(NicOwner::NetworkManager),
            _ => None,
        })
    }
}

impl Trees {
    /// Says what a program would take for a bridge otherwise than for its NIC, or that it does not stay the same.
    fn keep_defaults(
        &self,
        draft: &mut Draft<'_>,
        entry: &Entry,
        own: &mut Mapping,
        is_networkmanager: bool,
    ) {
        let path = &self.0[entry.tree].path;
        let (name, nic) = (&draft.bridge.name, draft.nics[0]);
        let has_address = |of: fn(&str) -> bool| {
            let all = own.get("addresses").and_then(Value::as_sequence);
            let mut texts = all
                .into_iter()
                .flatten()
                .filter_map(|address| match address {
                    Value::Mapping(labelled) => labelled.keys().next()?.as_str(),
                    other => other.as_str(),
                });
            texts.any(of)
        };
        let asks = [
            is_on(own, "dhcp4"),
            is_on(own, "dhcp6") || is_on(own, "accept-ra"),
        ];
        let has = [
            asks[0] || has_address(|text| !text.contains(':')),
            asks[1] || has_address(|text| text.contains(':')),
        ];
        let (mut settings, mut warning) = (Vec::new(), None);
        if is_networkmanager {
            let device = match entry.kind.as_str() {
                "bonds" => Device::Bond,
                "vlans" => Device::Vlan,
                _ => Device::Ethernet,
            };
            let families = [("4", Ip::V4), ("6", Ip::V6)];
            for ((family, ip), (asks, has)) in families.into_iter().zip(asks.into_iter().zip(has)) {
                let overrides = own.get(format!("dhcp{family}-overrides"));
                let is_given = overrides.is_some_and(|known| known.get("route-metric").is_some());
                if has && !is_given {
                    settings.push((
                        format!("ipv{family}.route-metric"),
                        route_metric(draft, device, ip),
                    ));
                }
                if asks {
                    settings.push((format!("ipv{family}.dhcp-iaid"), iaid(nic.name.as_str())));
                }
            }
        } else if asks[0] && own.get("dhcp-identifier").and_then(Value::as_str) != Some("mac") {
            warning = Some(format!(
                "{path}: networkd tells a DHCP server the name of the interface too, so {name} can get another address \
                 than {} had; 'dhcp-identifier: mac' is the same for both",
                nic.name
            ));
        }
        if own.get("ipv6-address-generation").and_then(Value::as_str) == Some("stable-privacy") {
            match nic.state.token() {
                Some(token) => {
                    own.shift_remove("ipv6-address-generation");
                    own.insert("ipv6-address-token".into(), token.into());
                }
                None => draft.warn_of_address(path),
            }
        }
        draft.warnings.extend(warning);
        if settings.is_empty() {
            return;
        }
        let of_networkmanager = own
            .entry("networkmanager".into())
            .or_insert(Mapping::new().into());
        let Some(keys) = of_networkmanager.as_mapping_mut() else {
            return;
        };
        let passed = keys
            .entry("passthrough".into())
            .or_insert(Mapping::new().into());
        for (key, value) in settings {
            if let Some(passed) = passed.as_mapping_mut() {
                passed.entry(key.into()).or_insert(value.into());
            }
        }
    }

    /// All entries, with the number of their file and their kind.
    fn all(&self) -> impl Iterator<Item = (usize, &str, &str, &Mapping)> {
        let trees = self.0.iter().enumerate();
        trees.flat_map(|(index, tree)| {
            let all = tree.all();
            all.map(move |(kind, id, settings)| (index, kind, id, settings))
        })
    }

    fn warn_of_vlans(&self, draft: &mut Draft<'_>, entries: &[Entry]) {
        for Entry { id: nic, .. } in entries {
            for tree in &self.0 {
                for (id, vlan) in tree.entries("vlans") {
                    if vlan.get("link").and_then(Value::as_str) == Some(nic) {
                        draft.warn_of_vlan(&format!("{id} in {}", tree.path), nic);
                    }
                }
            }
        }
    }
}

/// Writes a file, if it differs.
fn write(tree: &Tree, draft: &mut Draft<'_>) -> Result<()> {
    let Tree { path, root } = tree;
    let before = draft.before.get(path).unwrap_or_default();
    if serde_yaml_ng::from_str(before).ok().as_ref() == Some(root) {
        return Ok(());
    }
    let text = serde_yaml_ng::to_string(root)
        .map_err(|error| BridgeError::value(path, None, format!("cannot be written: {error}")))?;
    let mut lines = before.lines();
    if lines.any(|line| line.trim_start().starts_with('#')) {
        draft.warn(format!(
            "{path}: comments are lost; the file as it was is kept"
        ));
    }
    if path.ends_with("cloud-init.yaml") {
        draft.warn(format!(
            "{path}: cloud-init writes this file anew at boot unless a file in /etc/cloud/cloud.cfg.d \
             says 'network: {{config: disabled}}'"
        ));
    }
    draft.after.insert(path, text);
    Ok(())
}

/// The part of what is passed on to NetworkManager (`networkmanager`) that moves, or that stays: settings of IP move.
fn of_networkmanager(settings: &Value, is_moved: bool) -> Option<(Value, Value)> {
    let is_ip = |key: &Value| {
        let key = key.as_str().unwrap_or_default();
        key.starts_with("ipv4.") || key.starts_with("ipv6.")
    };
    let mut settings = settings.as_mapping()?.clone();
    if is_moved {
        settings.retain(|key, _| key.as_str() == Some("passthrough"));
    }
    if let Some(passed) = settings
        .get_mut("passthrough")
        .and_then(Value::as_mapping_mut)
    {
        passed.retain(|key, _| is_ip(key) == is_moved);
        if passed.is_empty() {
            settings.remove("passthrough");
        }
    }
    (!settings.is_empty()).then(|| ("networkmanager".into(), settings.into()))
}

/// Whether an entry says yes to a key.
fn is_on(entry: &Mapping, key: &str) -> bool {
    match entry.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(word)) => ["yes", "on", "y", "true"].contains(&word.as_str()),
        _ => false,
    }
}

/// Whether any address is configured or asked for.
fn asks_for_ip(entry: &Mapping) -> bool {
    entry.get("addresses").is_some() || is_on(entry, "dhcp4") || is_on(entry, "dhcp6")
}
