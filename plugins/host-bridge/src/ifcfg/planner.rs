//! From the NICs' files and a bridge's name to the files of both.

use super::attached::rename_attached;
use super::file::Ifcfg;
use super::port::{asks_for_address, check, divide, has_ip, Named};
use crate::bridge::{is_backup, Bridge, HostFiles, HostNic, Stp};
use crate::format::{Draft, Format, MadePort, Port};
use crate::networkmanager::{iaid, route_metric, Device, Ip};
use crate::rename::rename_zone;
use crate::setting::Setting;
use crate::{BridgeError, NicOwner, Result};

/// What concerns all interfaces.
const GLOBAL: &str = "sysconfig/network";

/// What names of files that configure an interface start with.
const PREFIX: &str = "ifcfg-";

/// The files of interfaces, those of aliases left out.
pub(crate) struct Scripts(Vec<Named>);

impl Format for Scripts {
    type Entry = Named;
    /// Settings in the order in which they were written.
    type Moved = Vec<(String, String)>;

    const FOLDER: &'static str = "sysconfig/network-scripts";

    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String> {
        let scripts = Self::read(files).ok()?;
        match scripts.find_named(nic).as_slice() {
            [] => None,
            [one] => Some(Self::path(&one.name)),
            _ => Some(Self::FOLDER.to_owned()),
        }
    }

    fn read(files: &HostFiles) -> Result<Self> {
        let files = files.folder(Self::FOLDER);
        let is_interface = |name: &str| name.starts_with(PREFIX) && !name.contains(':');
        let files = files.filter(|(name, _)| is_interface(name) && !is_backup(name));
        Ok(Self(
            files.map(|(name, text)| Named::read(name, text)).collect(),
        ))
    }

    /// The file of the bridge's name, or the one that names it in DEVICE.
    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>> {
        let name = draft.bridge.name.as_str();
        let own = format!("{PREFIX}{name}");
        let is_of = |named: &&Named| named.name == own || named.file.get("DEVICE") == Some(name);
        Ok(self.0.iter().find(is_of).map(|named| named.name.clone()))
    }

    fn find(&self, _: &Draft<'_>, nic: &HostNic) -> Result<Vec<Named>> {
        Ok(self.find_named(nic))
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
        let is_kept = self.left_to(named)?.is_some();
        let (mut port, moved) = divide(draft, named, &nic.name)?;
        if port.get("DEVICE").is_none() {
            port.set("DEVICE", nic.name.as_str());
        }
        let path = Self::path(&named.name);
        draft.after.insert(path, port.to_string());
        let (nic, name) = (nic.name.as_str(), draft.bridge.name.as_str());
        rename_attached(draft, named, nic, Self::FOLDER, is_kept)?;
        let begin = format!("{PREFIX}{nic}.");
        for Named { name, file, .. } in &self.0 {
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
        entries: &[Named],
        first: Port<Self::Moved>,
    ) -> Result<()> {
        let bridge = draft.bridge;
        let path = Self::path(&format!("{PREFIX}{}", bridge.name));
        let mut file = bridge_file(bridge, &first);
        if self.left_to(&entries[0])?.is_none() {
            keep_defaults(draft, &entries[0], &mut file);
        }
        if file.is_true("DHCPV6C") {
            draft.warn(format!(
                "{}: the network service has the DHCPv6 identity of an interface in a file of the interface's name, so {} \
                 can get another IPv6 address than {} had",
                entries[0].name, bridge.name, bridge.nics[0]
            ));
        }
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
    /// The files that configure a NIC.
    fn find_named(&self, nic: &HostNic) -> Vec<Named> {
        let own = format!("{PREFIX}{}", nic.name);
        let is_of =
            |Named { name, file, .. }: &&Named| match (file.get("DEVICE"), file.get("HWADDR")) {
                (Some(_), _) if *name == own && file.verbatim("DEVICE").is_some() => true,
                (Some(device), _) => device == nic.name.as_str(),
                (None, _) if *name == own => true,
                (None, Some(address)) => nic.has_mac(address) && file.get("TYPE") != Some("Bridge"),
                (None, None) => false,
            };
        self.0.iter().filter(is_of).cloned().collect()
    }
}

/// The file of the bridge itself. Keys that the NIC does not have mean the same where the bridge does
/// not have them either.
fn bridge_file(bridge: &Bridge, first: &Port<Vec<(String, String)>>) -> Ifcfg {
    let name = bridge.name.as_str();
    let mac = first.mac.as_deref();
    let mut file = Ifcfg::default();
    file.set("DEVICE", name);
    file.set("TYPE", "Bridge");
    file.set("UUID", &bridge.uuid(mac.unwrap_or_default()));
    file.set("STP", bridge.stp.pick("yes", "no"));
    // NetworkManager takes no profile with a delay of 0 and the spanning tree.
    if bridge.stp == Stp::Off {
        file.set("DELAY", "0");
    }
    if let Some(mac) = mac {
        file.set("MACADDR", mac);
    }
    for (key, value) in &first.moved {
        file.set(key, value);
    }
    if file.get("BOOTPROTO").is_none() {
        file.set("BOOTPROTO", "none");
    }
    file
}

/// Says what NetworkManager would take for a bridge otherwise than for its NIC. The network service
/// does not read these keys.
fn keep_defaults(draft: &mut Draft<'_>, nic: &Named, file: &mut Ifcfg) {
    let asks_ipv4 = file.get("BOOTPROTO").is_some_and(asks_for_address);
    let is_address = |known: &Setting| known.key.starts_with("IPADDR");
    let has_ipv4 = asks_ipv4 || file.assignments().any(is_address);
    let has_ipv6 = file.is_true("IPV6INIT");
    let asks_ipv6 = has_ipv6 && (!file.is_false("IPV6_AUTOCONF") || file.is_true("DHCPV6C"));
    let is_duid = file.get("DHCP_CLIENT_ID") == Some("duid");
    let gen_mode = file.get("IPV6_ADDR_GEN_MODE").unwrap_or("eui64");
    let is_stable =
        !["eui64", "default-or-eui64"].contains(&gen_mode) && file.get("IPV6_TOKEN").is_none();
    let metric = |ip| route_metric(draft, device(&nic.file), ip);
    let (metric_v4, metric_v6) = (metric(Ip::V4), metric(Ip::V6));
    let iaid = iaid(draft.bridge.nics[0].as_str());
    for (is_meant, key, value) in [
        (has_ipv4, "IPV4_ROUTE_METRIC", &metric_v4),
        (has_ipv6, "IPV6_ROUTE_METRIC", &metric_v6),
        (asks_ipv4 && is_duid, "DHCP_IAID", &iaid),
        (asks_ipv6, "DHCPV6_IAID", &iaid),
    ] {
        if is_meant && file.get(key).is_none() {
            file.set(key, value);
        }
    }
    if asks_ipv6 && is_stable {
        match draft.nics[0].state.token() {
            Some(token) => {
                file.set("IPV6_ADDR_GEN_MODE", "eui64");
                file.set("IPV6_TOKEN", &token);
            }
            None => draft.warn_of_address(&nic.name),
        }
    }
}

/// The type that NetworkManager takes a NIC's file for.
fn device(file: &Ifcfg) -> Device {
    let kind = file.get("TYPE").unwrap_or_default().to_ascii_lowercase();
    if kind == "bond" || file.is_true("BONDING_MASTER") || file.get("BONDING_OPTS").is_some() {
        Device::Bond
    } else if kind == "vlan" || file.is_true("VLAN") {
        Device::Vlan
    } else if file.get("TEAM_CONFIG").is_some() {
        Device::Team
    } else {
        Device::Ethernet
    }
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
