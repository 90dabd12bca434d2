//! systemd-networkd: the first file by name whose `[Match]` fits counts.

use super::sections::Sections;
use super::{mac, Question, Reading};

const OF_LINKS: [&str; 12] = [
    "MTUBytes",
    "RequiredForOnline",
    "ActivationPolicy",
    "BindCarrier",
    "IgnoreCarrierLoss",
    "ConfigureWithoutCarrier",
    "Description",
    "LLDP",
    "EmitLLDP",
    "PrimarySlave",
    "ActiveSlave",
    "MACAddress",
];

pub(crate) fn read(question: &Question<'_>) -> Reading {
    let name = question.name;
    let is_nic = name == question.nic.name.as_str();
    let mut reading = Reading::default();
    let files = question.files.folder("systemd/network");
    let mut networks = files
        .filter(|(file, _)| file.ends_with(".network"))
        .map(|(_, text)| Sections::read(text));
    let Some(network) = networks.find(|network| fits(question, network)) else {
        return reading;
    };
    let mut devices = question
        .files
        .folder("systemd/network")
        .filter(|(file, _)| file.ends_with(".netdev"))
        .map(|(_, text)| Sections::read(text));
    let device = devices.find(|device| device.get("NetDev", "Name") == Some(name));
    for (key, value) in network.all("Link") {
        reading.link.insert(format!("{key} {value}"));
    }
    if let Some(bridge) = network.get("Network", "Bridge") {
        reading.master = Some(bridge.to_owned());
        for (section, key) in [
            ("Network", "DHCP"),
            ("Network", "Address"),
            ("Network", "Gateway"),
            ("Address", "Address"),
            ("Route", "Gateway"),
        ] {
            if let Some(value) = network.get(section, key) {
                reading
                    .facts
                    .insert(format!("{section}.{key} {value} on a port"));
            }
        }
        return reading;
    }
    let given = device
        .as_ref()
        .and_then(|device| device.get("NetDev", "MACAddress"))
        .filter(|_| !is_nic);
    reading.add(
        name,
        mac(question, given.or(network.get("Link", "MACAddress"))),
    );
    for key in ["MTUBytes", "RequiredForOnline", "ActivationPolicy"] {
        if let Some(value) = network.get("Link", key) {
            reading.add(name, format!("{key} {value}"));
        }
    }
    identity(question, &network, &mut reading);
    for section in network
        .0
        .iter()
        .filter(|section| !["Match", "Link"].contains(&section.name.as_str()))
    {
        let name_of = &section.name;
        let is_repeated = network
            .0
            .iter()
            .filter(|known| known.name == *name_of)
            .count()
            > 1;
        for (key, value) in &section.settings {
            let stays = OF_LINKS.contains(&key.as_str())
                || ["VLAN", "MACVLAN"].contains(&key.as_str())
                || name_of.starts_with("Bridge")
                || name_of == "SR-IOV"
                || name_of == "LLDP";
            // A rule's parts belong together.
            let group = if is_repeated && name_of != "Network" {
                section
                    .settings
                    .iter()
                    .map(|(_, value)| value.as_str())
                    .collect::<Vec<_>>()
                    .join(",")
            } else {
                String::new()
            };
            if !stays && key != "IAID" {
                reading.add(name, format!("{name_of}.{key} {value} {group}"));
            }
        }
    }
    reading
}

/// What a DHCP server gets, and the address by a name.
fn identity(question: &Question<'_>, network: &Sections, reading: &mut Reading) {
    let get = |section: &str, key: &str| network.get(section, key).or(network.get("DHCP", key));
    let own = question
        .nic
        .state
        .iaid
        .filter(|_| question.name == question.nic.name.as_str());
    let of_name = || {
        own.map_or_else(
            || format!("identity: IAID of {}", question.name),
            |iaid| iaid.to_string(),
        )
    };
    let is_asked = matches!(
        get("Network", "DHCP"),
        Some("yes" | "true" | "on" | "1" | "ipv4")
    );
    if is_asked && matches!(get("DHCPv4", "ClientIdentifier"), None | Some("duid")) {
        let iaid = get("DHCPv4", "IAID").map_or_else(of_name, str::to_owned);
        reading.facts.insert(iaid);
    }
    if let Some(iaid) = get("DHCPv6", "IAID")
        .map(str::to_owned)
        .or(own.map(|iaid| iaid.to_string()))
    {
        reading.facts.insert(format!("iaid6 {iaid}"));
    }
    let mut values = network.0.iter().flat_map(|section| &section.settings);
    if values.any(|(_, value)| value.starts_with("prefixstable") || value == "stable-privacy") {
        reading
            .facts
            .insert(format!("identity: address of {}", question.name));
    }
}

fn fits(question: &Question<'_>, network: &Sections) -> bool {
    let conditions = network.all("Match");
    let is_one = |key: &str, value: &str| {
        let mut words = value.split_whitespace();
        match key {
            "Name" => words.any(|word| {
                glob::Pattern::new(word).is_ok_and(|pattern| pattern.matches(question.name))
            }),
            // The bridge has the address of its NIC; only the NIC's is permanent.
            "MACAddress" => words.any(|word| word.parse().ok() == question.nic.mac),
            "PermanentMACAddress" => {
                question.name == question.nic.name.as_str()
                    && words.any(|word| word.parse().ok() == question.nic.mac)
            }
            "Type" => words.any(|word| {
                word == if question.name == question.nic.name.as_str() {
                    "ether"
                } else {
                    "bridge"
                }
            }),
            _ => true,
        }
    };
    !conditions.is_empty() && conditions.iter().all(|(key, value)| is_one(key, value))
}
