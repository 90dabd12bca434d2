//! From the NICs' files and a bridge's name to the files of both.

use super::file::Ifcfg;
use super::port::{check, divide, fold_aliases, has_ip, Named};
use super::routes::{rewrite, KINDS};
use crate::bridge::{is_backup, Bridge, HostFiles, HostNic};
use crate::format::{Draft, Format, MadePort, Port};
use crate::rename::rename_zone;
use crate::{BridgeError, NicOwner, Result};

/// What concerns all interfaces.
const GLOBAL: &str = "sysconfig/network";

/// What names of files that configure an interface start with.
const PREFIX: &str = "ifcfg-";

/// The files of interfaces and aliases by their names, as far as they can be read.
pub(crate) struct Scripts(Vec<(String, Result<Named>)>);

impl Format for Scripts {
    type Entry = Named;
    /// Settings in the order in which they were written.
    type Moved = Vec<(String, String)>;

    const FOLDER: &'static str = "sysconfig/network-scripts";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let scripts = Self::read(files).ok()?;
        match scripts.find_named(nic).as_deref() {
            Ok([]) => None,
            Ok([one]) => Some(Self::path(&one.name)),
            _ => Some(Self::FOLDER.to_owned()),
        }
    }

    fn read(files: &HostFiles) -> Result<Self> {
        let files = files.folder(Self::FOLDER);
        let files = files.filter(|(name, _)| name.starts_with(PREFIX) && !is_backup(name));
        let read = files.map(|(name, text)| (name.to_owned(), Named::read(name, text)));
        Ok(Self(read.collect()))
    }

    /// The file of the bridge's name, or the one that names it in DEVICE. Files of others that cannot
    /// be understood are none of our business.
    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        let own = format!("{PREFIX}{name}");
        if let Some(text) = draft.before.get(&Self::path(&own)) {
            return Named::read(&own, text).map(|named| Some(named.name));
        }
        let mut interfaces = self.readable();
        let found = interfaces.find(|named| named.file.get("DEVICE") == Some(name));
        Ok(found.map(|named| named.name.clone()))
    }

    fn find(&self, _: &Draft<'_>, nic: &HostNic) -> Result<Vec<Named>> {
        self.find_named(nic)
    }

    /// The network service knows no NIC without a file.
    fn add(&self, _: &Draft<'_>, nic: &HostNic, _: &Named) -> Result<Named> {
        Err(BridgeError::no_file(&nic.name))
    }

    fn place(&self, named: &Named) -> String {
        named.name.clone()
    }

    fn ip_error(&self, draft: &Draft<'_>, nic: &HostNic, named: &Named) -> Option<BridgeError> {
        let reason = draft.bridge.has_ip_already(nic.name.as_str());
        has_ip(&named.file).then(|| named.error("BOOTPROTO", reason))
    }

    /// Makes a NIC the bridge's port, with all files that belong to it.
    fn make_port(&mut self, draft: &mut Draft<'_>, nic: &HostNic, named: &Named) -> MadePort<Self> {
        check(named)?;
        let mut named = named.clone();
        let suffix = named.name.trim_start_matches(PREFIX).to_owned();
        let range = format!("{PREFIX}{suffix}-range");
        let mut interfaces = self.interfaces();
        if let Some((file, _)) = interfaces.find(|(name, _)| name.starts_with(&range)) {
            let reason = "a range of aliases is not understood, expected ifcfg files of aliases";
            return Err(BridgeError::value(file, None, reason));
        }
        let begin = format!("{PREFIX}{suffix}:");
        let aliases = self.0.iter().filter(|(name, _)| name.starts_with(&begin));
        let aliases = aliases.map(|(_, read)| read.clone());
        let aliases = aliases.collect::<Result<Vec<Named>, _>>()?;
        fold_aliases(draft, &mut named, &aliases)?;
        for alias in aliases {
            draft.after.remove(&Self::path(&alias.name));
        }
        let (mut port, moved) = divide(draft, &named, &nic.name)?;
        if port.get("DEVICE").is_none() {
            port.set("DEVICE", nic.name.as_str());
        }
        let path = Self::path(&named.name);
        draft.after.insert(path, port.to_string());
        let bridge = &draft.bridge.name;
        let (nic, name) = (nic.name.as_str(), bridge.as_str());
        for kind in KINDS {
            if let Some(text) = draft.after.remove(&Self::path(&format!("{kind}-{suffix}"))) {
                let file = Self::path(&format!("{kind}-{name}"));
                draft.after.expect_none(&file, bridge)?;
                draft.after.insert(file, rewrite(&text, nic, name));
            }
        }
        let begin = format!("{PREFIX}{nic}.");
        for Named { name, file } in self.readable() {
            let by_name = name.starts_with(&begin) && file.is_true("VLAN");
            if by_name || file.get("PHYSDEV") == Some(nic) {
                draft.warn_of_vlan(name, nic);
            }
        }
        if port.is_false("ONBOOT") {
            draft.warn(format!(
                "{nic} is not brought up at boot (ONBOOT=no), so {name} is without it then"
            ));
        }
        let mac = port.get("MACADDR").or(port.get("HWADDR"));
        Ok(Port::new(mac, moved))
    }

    fn make_bridge(
        &mut self,
        draft: &mut Draft<'_>,
        _: &[Named],
        first: Port<Self::Moved>,
    ) -> Result<()> {
        let bridge = draft.bridge;
        let path = Self::path(&format!("{PREFIX}{}", bridge.name));
        let file = bridge_file(draft, &first);
        draft.after.insert(path, file.to_string());
        if let Some(before) = draft.before.get(GLOBAL) {
            let after = global(before, bridge);
            if after != before {
                draft.after.insert(GLOBAL, after);
            }
        }
        Ok(())
    }

    fn left_to(&self, named: &Named) -> Result<Option<NicOwner>> {
        const KEY: &str = "NM_CONTROLLED";
        let value = named.file.get(KEY).unwrap_or_default();
        // svParseBoolean of src/core/settings/plugins/ifcfg-rh/shvar.c knows no on and off.
        if ["on", "off"].contains(&value.to_ascii_lowercase().as_str()) {
            let reason = format!(
                "the network service reads {KEY}={value} and NetworkManager does not, expected yes or no"
            );
            return Err(named.error(KEY, reason));
        }
        let is_kept = named.file.is_false(KEY);
        Ok(is_kept.then_some(NicOwner::NetworkScripts))
    }
}

impl Scripts {
    /// The files of interfaces, aliases left out.
    fn interfaces(&self) -> impl Iterator<Item = &(String, Result<Named>)> {
        self.0.iter().filter(|(name, _)| !name.contains(':'))
    }

    /// Those that can be read.
    fn readable(&self) -> impl Iterator<Item = &Named> {
        self.interfaces().filter_map(|(_, read)| read.as_ref().ok())
    }

    /// The files that configure a NIC.
    fn find_named(&self, nic: &HostNic) -> Result<Vec<Named>> {
        let own = format!("{PREFIX}{}", nic.name);
        let is_of = |file: &Ifcfg| match (file.get("DEVICE"), file.get("HWADDR")) {
            (Some(device), _) => device == nic.name.as_str(),
            (None, Some(address)) => nic.has_mac(address) && file.get("TYPE") != Some("Bridge"),
            (None, None) => false,
        };
        let mut found = Vec::new();
        for (name, read) in self.interfaces() {
            let is_own = *name == own;
            match read {
                Ok(named)
                    if is_of(&named.file) || (is_own && named.file.get("DEVICE").is_none()) =>
                {
                    found.push(named.clone());
                }
                Err(error) if is_own => return Err(error.clone()),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The file of the bridge itself.
fn bridge_file(draft: &mut Draft<'_>, first: &Port<Vec<(String, String)>>) -> Ifcfg {
    let bridge = draft.bridge;
    let name = bridge.name.as_str();
    let mac = first.mac.as_deref();
    let mut file = Ifcfg::default();
    file.set("DEVICE", name);
    file.set("TYPE", "Bridge");
    file.set("UUID", &bridge.uuid(mac.unwrap_or_default()));
    file.set("STP", bridge.stp.pick("yes", "no"));
    file.set("DELAY", "0");
    if let Some(mac) = mac {
        file.set("MACADDR", mac);
    }
    for (key, value) in &first.moved {
        file.set(key, value);
    }
    if file.get("BOOTPROTO").is_none() {
        file.set("BOOTPROTO", "none");
    }
    if file.get("IPV6INIT").is_none() {
        // initscripts take it for yes, NetworkManager for no.
        let asks = first.moved.iter().any(|(key, _)| {
            key.starts_with("IPV6ADDR") || key == "DHCPV6C" || key == "IPV6_AUTOCONF"
        });
        let (value, reader) = match asks || file.is_false("NM_CONTROLLED") {
            true => ("yes", "the network service"),
            false => ("no", "NetworkManager"),
        };
        draft.warn(format!(
            "IPV6INIT was not given; {name} gets {value}, as {reader} has it"
        ));
        file.set("IPV6INIT", value);
    }
    file
}

/// /etc/sysconfig/network with the first NIC's name replaced where the default route is meant.
fn global(text: &str, bridge: &Bridge) -> String {
    let (nic, name) = (bridge.nics[0].as_str(), bridge.name.as_str());
    let renamed = text.lines().map(|line| {
        let Some((key, value)) = line.split_once('=') else {
            return format!("{line}\n");
        };
        let bare = value.trim_matches(['"', '\'']);
        let zoned = rename_zone(bare, nic, name);
        if bare == nic && ["GATEWAYDEV", "IPV6_DEFAULTDEV"].contains(&key) {
            format!("{key}={name}\n")
        } else if zoned != bare {
            format!("{key}={zoned}\n")
        } else {
            format!("{line}\n")
        }
    });
    renamed.collect()
}
