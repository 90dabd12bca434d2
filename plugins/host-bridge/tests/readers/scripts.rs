//! The network service of RHEL: ifup-eth, ifup-ipv6, ifup-aliases, ifup-routes and ifup-post.

use super::shell::{
    class, interfaces, is_false, is_true, numbers, prefix_of, scripts, source, Values,
};
use super::{mac, Question, Reading};

/// What ifup-ipv6 and the scripts it calls read.
const IPV6: [&str; 15] = [
    "IPV6ADDR",
    "IPV6ADDR_SECONDARIES",
    "IPV6_AUTOCONF",
    "IPV6FORWARDING",
    "IPV6_ROUTER",
    "IPV6_DEFAULTGW",
    "IPV6_DEFAULTDEV",
    "IPV6_MTU",
    "IPV6_PRIVACY",
    "IPV6_SET_SYSCTLS",
    "IPV6TO4INIT",
    "IPV6_CONTROL_RADVD",
    "IPV6_RADVD_PIDFILE",
    "IPV6_FORCE_ACCEPT_RA",
    "DHCPV6C",
];

pub(crate) fn read(question: &Question<'_>) -> Reading {
    let name = question.name;
    let global = question.files.get("sysconfig/network").unwrap_or_default();
    let mut reading = Reading::default();
    for (nick, text) in interfaces(question.files) {
        let own = source(&[text]);
        let is_of = match (own.get("DEVICE"), own.get("HWADDR")) {
            (Some(device), _) => device == name,
            (None, Some(address)) => {
                address.parse().ok() == question.nic.mac
                    && !is_true(&own, "BRIDGE")
                    && name == question.nic.name.as_str()
            }
            (None, None) => nick == name,
        };
        if is_of {
            interface(question, &mut reading, nick, text, &source(&[global, text]));
        }
    }
    reading
}

fn interface(
    question: &Question<'_>,
    reading: &mut Reading,
    nick: &str,
    text: &str,
    values: &Values,
) {
    let name = question.name;
    let get = |key: &str| values.get(key).map(String::as_str);
    for key in [
        "ETHTOOL_OPTS",
        "HWADDR",
        "MACADDR",
        "BONDING_OPTS",
        "VID",
        "PHYSDEV",
        "VLAN",
        "OPTIONS",
        "SUBCHANNELS",
    ] {
        if let Some(value) = get(key) {
            reading.link.insert(format!("{key} {value}"));
        }
    }
    if let Some(bridge) = get("BRIDGE") {
        reading.master = Some(bridge.to_owned());
        return;
    }
    reading.add(name, format!("boot {}", !is_false(values, "ONBOOT")));
    reading.add(name, mac(question, get("MACADDR")));
    for key in [
        "MTU",
        "ZONE",
        "RES_OPTIONS",
        "DOMAIN",
        "SEARCH",
        "PEERDNS",
        "RESOLV_MODS",
        "DNS1",
        "DNS2",
        "DNS3",
    ] {
        if let Some(value) = get(key) {
            reading.add(name, format!("{key} {value}"));
        }
    }
    if get("NOZEROCONF").is_none() {
        reading.add(name, "route 169.254.0.0/16");
    }
    if ["dhcp", "bootp"]
        .iter()
        .any(|word| get("BOOTPROTO") == Some(word))
    {
        let keys = values.iter().filter(|(key, _)| {
            key.starts_with("DHCP") || key.contains("DHCLIENT") || *key == "PEERROUTES"
        });
        // These are NetworkManager's.
        for (key, value) in
            keys.filter(|(key, _)| !key.ends_with("IAID") && !key.starts_with("DHCPV6"))
        {
            reading.add(name, format!("dhcp {key} {value}"));
        }
        reading.add(name, "dhcp");
    } else {
        addresses(name, reading, values);
    }
    if !is_false(values, "IPV6INIT") {
        reading.add(name, "ipv6");
        for key in IPV6 {
            if let Some(value) = get(key) {
                reading.add(name, format!("ipv6 {key} {value}"));
            }
        }
        if is_true(values, "DHCPV6C") {
            reading
                .facts
                .insert(format!("identity: dhclient6--{name}.lease"));
        }
    }
    aliases(question, reading, values, text);
    if !is_true(values, "NOROUTESET") {
        routes(question, reading, name, nick);
    }
}

fn addresses(name: &str, reading: &mut Reading, values: &Values) {
    let get = |key: String| values.get(&key).cloned();
    let mut network = get("NETWORK".into());
    let mut first_prefix = None;
    let is_any = ["", "0", "1", "2"]
        .iter()
        .any(|number| get(format!("IPADDR{number}")).is_some());
    if !is_any {
        return;
    }
    for number in numbers() {
        let Some(address) = get(format!("IPADDR{number}")) else {
            if number.parse().is_ok_and(|number: u32| number >= 2) {
                break;
            }
            continue;
        };
        let given = get(format!("PREFIX{number}")).and_then(|prefix| prefix.parse().ok());
        let mask = get(format!("NETMASK{number}")).map(|mask| prefix_of(&mask));
        let prefix = given.or(mask).unwrap_or_else(|| class(&address));
        first_prefix.get_or_insert(prefix);
        network.get_or_insert_with(|| network_of(&address, prefix));
        let broadcast = get(format!("BROADCAST{number}")).unwrap_or_default();
        let scope = get("SCOPE".into()).unwrap_or_default();
        reading.add(
            name,
            format!("address {address}/{prefix} {broadcast} {scope}"),
        );
    }
    let device = get("GATEWAYDEV".into());
    if is_false(values, "DEFROUTE") || device.as_deref().is_some_and(|device| device != name) {
        return;
    }
    let [metric, source, window, extra] = ["METRIC", "SRCADDR", "WINDOW", "EXTRA_ROUTE_OPTS"]
        .map(|key| get(key.into()).unwrap_or_default());
    let options = format!("{metric} {source} {window} {extra}");
    match get("GATEWAY".into()) {
        Some(gateway) if Some(network_of(&gateway, first_prefix.unwrap_or(32))) == network => {
            reading.add(name, format!("route default via {gateway} {options}"));
        }
        _ if device.is_some() => reading.add(name, format!("route default {options}")),
        _ => {}
    }
}

fn network_of(address: &str, prefix: u32) -> String {
    let address: std::net::Ipv4Addr = address.parse().expect("an address");
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    std::net::Ipv4Addr::from_bits(address.to_bits() & mask).to_string()
}

fn aliases(question: &Question<'_>, reading: &mut Reading, parent: &Values, parent_text: &str) {
    let name = question.name;
    let keys = [
        "PREFIX",
        "NETMASK",
        "BROADCAST",
        "GATEWAY",
        "NO_ALIASROUTING",
        "ARPCHECK",
        "ARPUPDATE",
    ];
    let own = source(&[parent_text]);
    for (file, text) in scripts(question.files) {
        let end = file
            .strip_prefix("ifcfg-")
            .and_then(|rest| rest.strip_prefix(name));
        let Some(end) = end.filter(|end| end.starts_with(':') || end.starts_with("-range")) else {
            continue;
        };
        let mut values = source(&[text]);
        for key in keys {
            if let (false, Some(value)) = (values.contains_key(key), own.get(key)) {
                values.insert(key.to_owned(), value.clone());
            }
        }
        if values
            .get("ONPARENT")
            .is_some_and(|word| ["no", "NO"].contains(&word.as_str()))
        {
            reading.add(name, format!("by hand {end}"));
            continue;
        }
        let own = if end.starts_with(':') {
            format!("{name}{end}")
        } else {
            end.to_owned()
        };
        let label = values.get("DEVICE").cloned().unwrap_or(own);
        let said: Vec<String> = ["IPADDR", "IPADDR_START", "IPADDR_END", "CLONENUM_START"]
            .iter()
            .filter_map(|key| values.get(*key).cloned())
            .collect();
        let prefix = match (values.get("PREFIX"), values.get("NETMASK")) {
            (Some(prefix), _) => prefix.clone(),
            (None, Some(mask)) => prefix_of(mask).to_string(),
            (None, None) => "no".to_owned(),
        };
        let gateway = values
            .get("GATEWAY")
            .or(parent.get("GATEWAY"))
            .filter(|_| !is_true(&values, "NO_ALIASROUTING"));
        reading.add(name, format!("alias {label} {said:?}/{prefix} {gateway:?}"));
        if !is_true(&values, "NO_ALIASROUTING") {
            routes(
                question,
                reading,
                &label,
                values.get("NAME").unwrap_or(&label),
            );
        }
    }
}

/// Files by the device's name, then by the file's.
fn routes(question: &Question<'_>, reading: &mut Reading, device: &str, nick: &str) {
    let names = if device == nick {
        vec![device]
    } else {
        vec![device, nick]
    };
    for kind in ["route", "route6", "rule", "rule6"] {
        for name in &names {
            let text = question
                .files
                .get(&format!("sysconfig/network-scripts/{kind}-{name}"))
                .unwrap_or_default();
            if text.contains("ADDRESS0=") {
                let values = source(&[text]);
                for number in 0.. {
                    let get = |key: &str| {
                        values
                            .get(&format!("{key}{number}"))
                            .cloned()
                            .unwrap_or_default()
                    };
                    if get("ADDRESS").is_empty() {
                        break;
                    }
                    reading.add(
                        question.name,
                        format!(
                            "{kind} {}/{} via {}",
                            get("ADDRESS"),
                            get("NETMASK"),
                            get("GATEWAY")
                        ),
                    );
                }
                continue;
            }
            for line in text
                .lines()
                .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
            {
                reading.add(question.name, format!("{kind} {line}"));
            }
        }
    }
}
