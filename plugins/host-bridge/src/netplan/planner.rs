//! From a NIC's entry to those of a bridge and of the NIC in it.

use super::table::TABLE;
use super::tree::{fit_of, read, Fit, Tree, FOLDER, KINDS};
use crate::bridge::{Bridge, HostFiles, Nic, Stp};
use crate::disposition::Disposition;
use crate::{BridgeError, Owner, Plan, Renderer};
use serde_yaml_ng::{Mapping, Value};

/// The path of the file that configures the NIC.
pub(crate) fn owner(files: &HostFiles, nic: &Nic) -> Option<String> {
    let Ok(trees) = read(files) else {
        // Files are there, and the plan says what is wrong with them.
        return Some(FOLDER.to_owned());
    };
    trees
        .iter()
        .find(|tree| {
            let mut all = tree.all();
            all.any(|(_, id, entry)| fit_of(id, entry, nic) != Fit::No)
        })
        .map(|tree| tree.path.clone())
}

/// The program that the NIC is passed on to, where the files say it (`renderer`): of its entry, of
/// all of its kind, or of all; the last file counts.
///
/// # Errors
/// [`BridgeError`] when a file cannot be understood.
pub(crate) fn left_to(files: &HostFiles, nic: &Nic) -> Result<Option<Owner>, BridgeError> {
    let (mut of_all, mut of_kind, mut own) = (None, None, None);
    let trees = read(files)?;
    let kind_of = |tree: &Tree| {
        let found = tree
            .all()
            .find(|(_, id, entry)| fit_of(id, entry, nic) != Fit::No);
        found.map(|(kind, _, entry)| (kind.to_owned(), entry.get("renderer").cloned()))
    };
    let kind = trees.iter().find_map(kind_of).map(|(kind, _)| kind);
    for tree in &trees {
        let network = tree.root.get("network");
        let of = |value: Option<&Value>| value.and_then(|value| value.get("renderer")).cloned();
        of_all = of(network).or(of_all);
        let entries = kind.as_ref().and_then(|kind| network?.get(kind.as_str()));
        of_kind = of(entries).or(of_kind);
        own = kind_of(tree).and_then(|(_, renderer)| renderer).or(own);
    }
    let word = own.or(of_kind).or(of_all);
    Ok(match word.as_ref().and_then(Value::as_str) {
        Some("networkd") => Some(Owner::Networkd),
        Some("NetworkManager") => Some(Owner::NetworkManager),
        _ => None,
    })
}

/// Where a NIC's entry is.
struct Place {
    /// Which file.
    tree: usize,
    kind: &'static str,
    id: String,
}

/// Plans the bridge.
pub(crate) fn plan(bridge: &Bridge, files: &HostFiles, nics: &[&Nic]) -> Result<Plan, BridgeError> {
    let mut planner = Planner {
        bridge,
        trees: read(files)?,
        warnings: Vec::new(),
    };
    planner.check_bridge()?;
    let mut ids = Vec::new();
    let mut own = Mapping::new();
    let mut file = 0;
    let mut used: Vec<(usize, String)> = Vec::new();
    for (index, nic) in nics.iter().enumerate() {
        let name = &nic.name;
        let place = match planner.place_of(nic)? {
            Some(place) => place,
            None if index == 0 => {
                return Err(BridgeError::NoFile {
                    nic: name.to_string(),
                });
            }
            None => planner.add_nic(file, name.as_str())?,
        };
        let key = (place.tree, place.id.clone());
        if let Some(first) = used.iter().position(|known| *known == key) {
            return Err(planner.error(&place, bridge.is_for_two(first, index)));
        }
        used.push(key);
        planner.is_free(&place, nic)?;
        let (moved, mac) = planner.make_port(&place)?;
        if index == 0 {
            file = place.tree;
            own = moved;
            match mac.or_else(|| nic.mac.map(|mac| mac.to_string())) {
                Some(mac) => drop(own.insert("macaddress".into(), mac.into())),
                None => planner.warnings.push(bridge.is_not_pinned()),
            }
        } else if asks_for_ip(&moved) {
            return Err(planner.error(&place, bridge.has_ip_already(name.as_str())));
        }
        planner.warn_of_children(&place);
        ids.push(Value::from(place.id));
    }
    planner.add_bridge(file, own, ids)?;
    planner.finish(files)
}

struct Planner<'a> {
    bridge: &'a Bridge,
    trees: Vec<Tree>,
    warnings: Vec<String>,
}

impl Planner<'_> {
    fn error(&self, place: &Place, reason: String) -> BridgeError {
        BridgeError::Value {
            file: self.trees[place.tree].path.clone(),
            line: None,
            reason: format!("{}: {reason}", place.id),
        }
    }

    /// No entry may have the bridge's name.
    fn check_bridge(&self) -> Result<(), BridgeError> {
        let name = self.bridge.name.as_str();
        let is_there = |tree: &&Tree| tree.all().any(|(_, id, _)| id == name);
        match self.trees.iter().find(is_there) {
            None => Ok(()),
            Some(tree) => Err(BridgeError::Exists {
                file: tree.path.clone(),
                name: name.to_owned(),
            }),
        }
    }

    /// The one entry of a NIC.
    fn place_of(&self, nic: &Nic) -> Result<Option<Place>, BridgeError> {
        let mut found: Option<Place> = None;
        for (index, tree) in self.trees.iter().enumerate() {
            for (kind, id, entry) in tree.all() {
                let fit = fit_of(id, entry, nic);
                if fit == Fit::No {
                    continue;
                }
                let known = KINDS.into_iter().find(|known| *known == kind);
                let place = Place {
                    tree: index,
                    kind: known.unwrap_or_default(),
                    id: id.to_owned(),
                };
                if known.is_none() {
                    let reason = format!("one of {kind} cannot be in a bridge, expected one of ethernets, bonds or vlans");
                    return Err(self.error(&place, reason));
                }
                if fit == Fit::Shared {
                    let reason = format!(
                        "match can fit more NICs than {}, expected its name or macaddress",
                        nic.name
                    );
                    return Err(self.error(&place, reason));
                }
                if let Some(first) = found {
                    return Err(BridgeError::Ambiguous {
                        nic: nic.name.to_string(),
                        first: format!("{} in {}", first.id, self.trees[first.tree].path),
                        second: format!("{id} in {}", tree.path),
                    });
                }
                found = Some(place);
            }
        }
        Ok(found)
    }

    /// Adds an entry for a NIC that has none: netplan knows no others.
    fn add_nic(&mut self, tree: usize, nic: &str) -> Result<Place, BridgeError> {
        let entries = self.trees[tree].kind_mut("ethernets")?;
        entries.insert(nic.into(), Mapping::new().into());
        Ok(Place {
            tree,
            kind: "ethernets",
            id: nic.to_owned(),
        })
    }

    /// Refuses a NIC that another interface has.
    fn is_free(&self, place: &Place, nic: &Nic) -> Result<(), BridgeError> {
        for tree in &self.trees {
            for (_, id, entry) in tree.all() {
                let ports = entry.get("interfaces").and_then(Value::as_sequence);
                let mut ports = ports.into_iter().flatten();
                if ports.any(|port| port.as_str() == Some(&place.id)) {
                    let reason = format!("{} is in {id} already", nic.name);
                    return Err(self.error(place, reason));
                }
            }
        }
        Ok(())
    }

    /// Leaves in a NIC's entry what a port needs; gives the rest and the MAC address it sets.
    fn make_port(&mut self, place: &Place) -> Result<(Mapping, Option<String>), BridgeError> {
        let tree = &self.trees[place.tree];
        let entry = tree.entries(place.kind).find(|(id, _)| *id == place.id);
        let entry = entry.map(|(_, entry)| entry.clone()).unwrap_or_default();
        let (mut port, mut moved) = (Mapping::new(), Mapping::new());
        for (key, value) in &entry {
            let name = key.as_str().unwrap_or_default();
            let disposition = TABLE.find(name);
            match disposition {
                Disposition::Refused(why) => {
                    return Err(self.error(place, format!("{name}: {why}")));
                }
                Disposition::Unknown => self.warnings.push(format!(
                    "{}: {name} of {} is not known; it stays there",
                    self.trees[place.tree].path, place.id
                )),
                _ => {}
            }
            if disposition.moves() {
                moved.insert(key.clone(), value.clone());
            }
            if disposition.stays() {
                port.insert(key.clone(), value.clone());
            }
        }
        let mac = entry.get("macaddress").and_then(Value::as_str);
        let mac = mac.map(str::to_owned);
        port.insert("dhcp4".into(), false.into());
        let entries = self.trees[place.tree].kind_mut(place.kind)?;
        entries.insert(place.id.as_str().into(), port.into());
        Ok((moved, mac))
    }

    /// A VLAN on a NIC that is in a bridge gets no more packets.
    fn warn_of_children(&mut self, place: &Place) {
        for tree in &self.trees {
            for (id, entry) in tree.entries("vlans") {
                if entry.get("link").and_then(Value::as_str) == Some(&place.id) {
                    let vlan = format!("{id} in {}", tree.path);
                    self.warnings
                        .push(self.bridge.takes_packets_of(&vlan, &place.id));
                }
            }
        }
    }

    fn add_bridge(
        &mut self,
        tree: usize,
        mut own: Mapping,
        ids: Vec<Value>,
    ) -> Result<(), BridgeError> {
        own.insert("interfaces".into(), ids.into());
        let mut parameters = Mapping::new();
        parameters.insert("stp".into(), (self.bridge.stp == Stp::On).into());
        // The kernel takes no delay of 0 with the spanning tree.
        if self.bridge.stp == Stp::Off {
            parameters.insert("forward-delay".into(), 0.into());
        }
        own.insert("parameters".into(), parameters.into());
        let entries = self.trees[tree].kind_mut("bridges")?;
        entries.insert(self.bridge.name.as_str().into(), own.into());
        Ok(())
    }

    /// Writes the files that differ.
    fn finish(mut self, files: &HostFiles) -> Result<Plan, BridgeError> {
        let mut after = files.clone();
        for tree in &self.trees {
            let before = files.get(&tree.path).unwrap_or_default();
            if serde_yaml_ng::from_str(before).ok().as_ref() == Some(&tree.root) {
                continue;
            }
            let text =
                serde_yaml_ng::to_string(&tree.root).map_err(|error| BridgeError::Value {
                    file: tree.path.clone(),
                    line: None,
                    reason: format!("cannot be written: {error}"),
                })?;
            if before
                .lines()
                .any(|line| line.trim_start().starts_with('#'))
            {
                self.warnings.push(format!(
                    "{}: comments are lost; the file as it was is kept",
                    tree.path
                ));
            }
            if tree.path.ends_with("cloud-init.yaml") {
                self.warnings.push(format!(
                    "{}: cloud-init writes this file anew at boot unless a file in /etc/cloud/cloud.cfg.d \
                     says 'network: {{config: disabled}}'",
                    tree.path
                ));
            }
            after.insert(tree.path.clone(), text);
        }
        Ok(Plan::between(
            Renderer::Netplan,
            files,
            &after,
            self.warnings,
        ))
    }
}

/// Whether any address is configured or asked for.
fn asks_for_ip(entry: &Mapping) -> bool {
    let is_on = |key: &str| match entry.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(word)) => ["yes", "on", "y", "true"].contains(&word.as_str()),
        _ => false,
    };
    entry.get("addresses").is_some() || is_on("dhcp4") || is_on("dhcp6")
}
