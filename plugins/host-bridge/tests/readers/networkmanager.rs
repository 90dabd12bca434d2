//! NetworkManager's reader of ifcfg files (nms-ifcfg-rh-reader).

use super::shell::{class, interfaces, is_true, numbers, prefix_of, scripts, unescape, Values};
use super::{given_iaid, given_metric, mac, slaac, Question, Reading};

pub(crate) fn read(question: &Question<'_>) -> Reading {
    let name = question.name;
    let mut reading = Reading::default();
    for (nick, text) in interfaces(question.files) {
        let values = unescape(text);
        let is_nic = name == question.nic.name.as_str();
        let is_of = match (values.get("DEVICE"), values.get("HWADDR")) {
            (Some(device), _) => device == name,
            (None, Some(address)) => is_nic && address.parse().ok() == question.nic.mac,
            (None, None) => nick == name,
        };
        if is_of {
            interface(question, &mut reading, nick, &values);
        }
    }
    reading
}

/// svGetValueBoolean with what it is by default.
fn is(values: &Values, key: &str, default: bool) -> bool {
    let value = values.get(key).map(|value| value.to_lowercase());
    match value.as_deref() {
        Some("yes" | "y" | "true" | "t" | "1") => true,
        Some("no" | "n" | "false" | "f" | "0") => false,
        _ => default,
    }
}

fn interface(question: &Question<'_>, reading: &mut Reading, nick: &str, values: &Values) {
    let name = question.name;
    let get = |key: &str| values.get(key).map(String::as_str);
    for key in [
        "ETHTOOL_OPTS",
        "HWADDR",
        "MACADDR",
        "BONDING_OPTS",
        "NAME",
        "UUID",
        "VID",
        "PHYSDEV",
    ] {
        if let Some(value) = get(key) {
            reading.link.insert(format!("{key} {value}"));
        }
    }
    if let Some(key) = values.keys().find(|key| key.starts_with("IEEE_8021X")) {
        reading.link.insert(key.clone());
    }
    if !is(values, "NM_CONTROLLED", true) {
        reading.master = get("BRIDGE").map(str::to_owned);
        reading.add(name, "unmanaged");
        return;
    }
    if let Some(bridge) = get("BRIDGE") {
        reading.master = Some(bridge.to_owned());
        return;
    }
    let kind = kind(values);
    let delay = get("DELAY")
        .and_then(|delay| delay.parse().ok())
        .unwrap_or(15);
    if kind == "bridge" && is(values, "STP", false) && !(2..=30).contains(&delay) {
        reading.add(name, "no connection: the forward delay is out of range");
        return;
    }
    reading.add(name, format!("boot {}", is(values, "ONBOOT", true)));
    reading.add(name, mac(question, get("MACADDR")));
    let more = [
        "MTU",
        "ZONE",
        "DOMAIN",
        "PEERDNS",
        "PEERROUTES",
        "CONNECTION_METERED",
        "MDNS",
        "LLMNR",
        "GATEWAYDEV",
        "DEFROUTE",
        "ACD_TIMEOUT",
        "ARPING_WAIT",
        "AUTOCONNECT_PRIORITY",
        "RES_OPTIONS",
        "PROXY_METHOD",
    ];
    for key in more {
        if let Some(value) = get(key) {
            reading.add(name, format!("{key} {value}"));
        }
    }
    for number in 1..=10 {
        let Some(server) = get(&format!("DNS{number}")) else {
            break;
        };
        reading.add(name, format!("dns {number} {server}"));
    }
    for (key, value) in values
        .iter()
        .filter(|(key, _)| key.starts_with("ROUTING_RULE"))
    {
        reading.add(name, format!("{key} {value}"));
    }
    let global = unescape(question.files.get("sysconfig/network").unwrap_or_default());
    if let Some(device) = global.get("GATEWAYDEV") {
        reading.add(name, format!("global GATEWAYDEV {device}"));
    }
    ipv4(question, reading, values, &global, kind);
    aliases(question, reading, values, nick);
    ipv6(question, reading, values, kind);
    routes(question, reading, nick);
}

fn kind(values: &Values) -> &'static str {
    match values
        .get("TYPE")
        .map(|kind| kind.to_lowercase())
        .as_deref()
    {
        Some("bridge") => "bridge",
        Some("bond") => "bond",
        Some("vlan") => "vlan",
        _ if values.contains_key("BONDING_OPTS") || is_true(values, "BONDING_MASTER") => "bond",
        _ if is_true(values, "VLAN") => "vlan",
        _ if values.contains_key("TEAM_CONFIG") => "team",
        _ => "ethernet",
    }
}

/// The prefix of an address, by the first of an alias' parent or by class where none is given.
fn prefix(values: &Values, number: &str, address: &str, base: Option<u32>) -> u32 {
    let given = values
        .get(&format!("PREFIX{number}"))
        .and_then(|prefix| prefix.parse().ok());
    let mask = values
        .get(&format!("NETMASK{number}"))
        .map(|mask| prefix_of(mask));
    given.or(mask).or(base).unwrap_or_else(|| class(address))
}

/// The addresses, each with its number: `IPADDR` first, and none after the first gap from 2 on.
fn addresses(values: &Values) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for number in numbers() {
        match values.get(&format!("IPADDR{number}")) {
            Some(address) => all.push((number, address.clone())),
            None if number.parse().is_ok_and(|number: u32| number > 1) => break,
            None => {}
        }
    }
    all
}

fn ipv4(
    question: &Question<'_>,
    reading: &mut Reading,
    values: &Values,
    global: &Values,
    kind: &str,
) {
    let name = question.name;
    let asks = values.get("BOOTPROTO").is_some_and(|protocol| {
        ["dhcp", "bootp", "autoip", "shared"].contains(&protocol.to_lowercase().as_str())
    });
    let all = addresses(values);
    if !asks && all.is_empty() {
        return;
    }
    let mut gateway = None;
    for (number, address) in &all {
        let own = prefix(values, number, address, None);
        reading.add(name, format!("address {address}/{own}"));
        gateway = gateway.or(values.get(&format!("GATEWAY{number}")));
    }
    let gateway = gateway.or(global.get("GATEWAY").filter(|_| !all.is_empty()));
    reading.add(name, format!("ipv4 {asks} gateway {gateway:?}"));
    let given = values.get("IPV4_ROUTE_METRIC").map(String::as_str);
    let metric = given_metric(question, given, kind);
    reading.add(name, format!("ipv4 metric {metric}"));
    let more = values.iter().filter(|(key, _)| {
        (key.starts_with("IPV4_") && *key != "IPV4_ROUTE_METRIC")
            || (key.starts_with("DHCP_") && *key != "DHCP_IAID")
    });
    for (key, value) in more {
        reading.add(name, format!("{key} {value}"));
    }
    if asks && values.get("DHCP_CLIENT_ID").is_some_and(|id| id == "duid") {
        let given = values.get("DHCP_IAID").map(String::as_str);
        reading.add(name, format!("iaid {}", given_iaid(given, name)));
    }
}

fn aliases(question: &Question<'_>, reading: &mut Reading, parent: &Values, nick: &str) {
    let base = addresses(parent)
        .first()
        .map(|(number, address)| prefix(parent, number, address, None));
    for (file, text) in scripts(question.files) {
        let end = file
            .strip_prefix("ifcfg-")
            .and_then(|rest| rest.strip_prefix(nick));
        let Some(end) = end.filter(|end| end.starts_with(':')) else {
            continue;
        };
        let values = unescape(text);
        let label = values
            .get("DEVICE")
            .cloned()
            .unwrap_or_else(|| format!("{}{end}", question.name));
        if let Some(address) = values.get("IPADDR") {
            reading.add(
                question.name,
                format!(
                    "alias {label} {address}/{}",
                    prefix(&values, "", address, base)
                ),
            );
        }
    }
}

fn ipv6(question: &Question<'_>, reading: &mut Reading, values: &Values, kind: &str) {
    let name = question.name;
    if !is(values, "IPV6INIT", false) {
        reading.add(name, "ipv6 is ignored");
        return;
    }
    let asks = is(
        values,
        "IPV6_AUTOCONF",
        !is(values, "IPV6FORWARDING", false),
    ) || is(values, "DHCPV6C", false);
    let own = [
        "IPV6_ROUTE_METRIC",
        "IPV6_ADDR_GEN_MODE",
        "IPV6_TOKEN",
        "DHCPV6_IAID",
    ];
    let more = values.iter().filter(|(key, _)| {
        (key.starts_with("IPV6") || key.starts_with("DHCPV6")) && !own.contains(&key.as_str())
    });
    for (key, value) in more {
        reading.add(name, format!("{key} {value}"));
    }
    let given = values.get("IPV6_ROUTE_METRIC").map(String::as_str);
    let metric = given_metric(question, given, kind);
    reading.add(name, format!("ipv6 metric {metric}"));
    if !asks {
        return;
    }
    let given = values.get("DHCPV6_IAID").map(String::as_str);
    reading.add(name, format!("iaid6 {}", given_iaid(given, name)));
    let mode = values
        .get("IPV6_ADDR_GEN_MODE")
        .map_or("eui64", String::as_str);
    let token = values.get("IPV6_TOKEN").map(String::as_str);
    reading.facts.insert(slaac(question, token, mode));
}

/// Files by the name of the interface's file; where there is one of rules, a script reads them all instead.
fn routes(question: &Question<'_>, reading: &mut Reading, nick: &str) {
    for kind in ["route", "route6", "rule", "rule6"] {
        let text = question
            .files
            .get(&format!("sysconfig/network-scripts/{kind}-{nick}"))
            .unwrap_or_default();
        for line in text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
        {
            reading.add(question.name, format!("{kind} {line}"));
        }
    }
}
