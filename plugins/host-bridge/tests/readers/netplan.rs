//! netplan, and what its two backends make of an interface's type.

use super::{given_iaid, given_token, mac, metric, stable, Question, Reading};
use serde_yaml_ng::{Mapping, Value};

/// What is about the link, or of the file alone.
const OF_LINKS: [&str; 22] = [
    "match",
    "set-name",
    "macaddress",
    "wakeonlan",
    "emit-lldp",
    "interfaces",
    "parameters",
    "auth",
    "id",
    "link",
    "renderer",
    "networkmanager",
    "dhcp4-overrides",
    "dhcp6-overrides",
    "ipv6-address-generation",
    "ipv6-address-token",
    "dhcp-identifier",
    "virtual-function-count",
    "embedded-switch-mode",
    "delay-virtual-functions-rebind",
    "dhcp4",
    "dhcp6",
];

pub(crate) fn read(question: &Question<'_>) -> Reading {
    let name = question.name;
    let mut reading = Reading::default();
    let files = question
        .files
        .folder("netplan")
        .filter(|(file, _)| file.ends_with(".yaml"));
    let roots: Result<Vec<Value>, _> = files
        .map(|(_, text)| serde_yaml_ng::from_str(text))
        .collect();
    let Ok(roots) = roots else {
        reading.add(name, "netplan reads nothing");
        return reading;
    };
    let mut all: Vec<(String, String, Mapping)> = Vec::new();
    let mut renderer = None;
    for root in &roots {
        let Some(network) = root.get("network").and_then(Value::as_mapping) else {
            continue;
        };
        renderer = network.get("renderer").and_then(Value::as_str).or(renderer);
        for (kind, entries) in network
            .iter()
            .filter_map(|(kind, entries)| Some((kind.as_str()?, entries.as_mapping()?)))
        {
            for (id, entry) in entries
                .iter()
                .filter_map(|(id, entry)| Some((id.as_str()?, entry.as_mapping()?)))
            {
                all.push((kind.to_owned(), id.to_owned(), entry.clone()));
            }
        }
    }
    let is_nic = name == question.nic.name.as_str();
    let is_of = |(kind, id, entry): &&(String, String, Mapping)| match entry
        .get("match")
        .and_then(Value::as_mapping)
    {
        None => id == name,
        Some(_) if !is_nic || kind == "bridges" => false,
        Some(conditions) => {
            entry.get("set-name").and_then(Value::as_str) == Some(name)
                || conditions
                    .get("macaddress")
                    .and_then(Value::as_str)
                    .is_some_and(|mac| mac.parse().ok() == question.nic.mac)
                || conditions.get("name").and_then(Value::as_str) == Some(name)
        }
    };
    for (kind, id, entry) in all.iter().filter(is_of) {
        let bridges = all.iter().filter(|(kind, ..)| kind == "bridges");
        for (_, bridge, settings) in bridges {
            let ports = settings.get("interfaces").and_then(Value::as_sequence);
            if ports
                .into_iter()
                .flatten()
                .any(|port| port.as_str() == Some(id))
            {
                reading.master = Some(bridge.clone());
            }
        }
        let renderer = entry.get("renderer").and_then(Value::as_str).or(renderer);
        one(
            question,
            kind,
            entry,
            renderer == Some("NetworkManager"),
            &mut reading,
        );
    }
    reading
}

fn one(
    question: &Question<'_>,
    kind: &str,
    entry: &Mapping,
    is_networkmanager: bool,
    reading: &mut Reading,
) {
    let name = question.name;
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let is_on =
        |key: &str| matches!(entry.get(key), Some(Value::Bool(true))) || text(key) == Some("yes");
    for (key, value) in entry
        .iter()
        .filter_map(|(key, value)| Some((key.as_str()?, value)))
    {
        if [
            "wakeonlan",
            "emit-lldp",
            "set-name",
            "match",
            "auth",
            "link",
            "id",
        ]
        .contains(&key)
        {
            reading.link.insert(format!("{key} {value:?}"));
        }
        if !OF_LINKS.contains(&key) && !key.ends_with("-offload") {
            // A port may keep what it needs as a link.
            let is_both = ["mtu", "optional", "ignore-carrier", "activation-mode"].contains(&key);
            if reading.master.is_none() || !is_both {
                reading.add(name, format!("{key} {value:?}"));
            }
        }
    }
    if reading.master.is_some() {
        return;
    }
    let kind = match kind {
        "bridges" => "bridge",
        "bonds" => "bond",
        "vlans" => "vlan",
        _ => "ethernet",
    };
    reading.add(name, mac(question, text("macaddress")));
    let passed = entry
        .get("networkmanager")
        .and_then(|settings| settings.get("passthrough"));
    let passed = |key: &str| {
        passed
            .and_then(|passed| passed.get(key))
            .and_then(Value::as_str)
    };
    let addresses: Vec<String> = entry
        .get("addresses")
        .and_then(Value::as_sequence)
        .into_iter()
        .flatten()
        .map(|address| format!("{address:?}"))
        .collect();
    for (family, is_mine) in [("4", false), ("6", true)] {
        let asks = is_on(&format!("dhcp{family}"));
        reading.add(name, format!("dhcp{family} {asks}"));
        let overrides = entry.get(format!("dhcp{family}-overrides"));
        reading.add(name, format!("dhcp{family}-overrides {overrides:?}"));
        let has = asks
            || addresses
                .iter()
                .any(|address| address.contains("::") == is_mine);
        if is_networkmanager && has {
            let given = overrides
                .and_then(|known| known.get("route-metric"))
                .and_then(Value::as_u64);
            let passed = passed(&format!("ipv{family}.route-metric"))
                .map(|text| text.parse().expect("a metric"));
            reading.add(
                name,
                format!(
                    "ipv{family} metric {}",
                    given
                        .or(passed)
                        .unwrap_or_else(|| metric(question, kind).into())
                ),
            );
        }
        if is_networkmanager && asks {
            let given = passed(&format!("ipv{family}.dhcp-iaid"));
            reading.add(name, format!("iaid{family} {}", given_iaid(given, name)));
        }
        if !is_networkmanager && asks && !is_mine {
            let identity = match text("dhcp-identifier") {
                Some("mac") => "client by the MAC address".to_owned(),
                _ => format!("identity: IAID of {name}"),
            };
            reading.facts.insert(identity);
        }
    }
    let address = match (text("ipv6-address-token"), text("ipv6-address-generation")) {
        (Some(token), _) => given_token(token),
        (None, Some("stable-privacy")) => stable(question),
        (None, _) => "slaac by the MAC address".to_owned(),
    };
    reading.facts.insert(address);
}
