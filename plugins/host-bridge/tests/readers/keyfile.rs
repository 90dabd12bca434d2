//! NetworkManager's reader of keyfiles, and what a profile's interface gets where it says nothing.

use super::sections::Sections;
use super::{given_iaid, given_metric, mac, slaac, Question, Reading};

const WIRED: [&str; 2] = ["ethernet", "802-3-ethernet"];

pub(crate) fn read(question: &Question<'_>) -> Reading {
    let is_nic = question.name == question.nic.name.as_str();
    let profiles: Vec<Sections> = question
        .files
        .folder("NetworkManager/system-connections")
        .filter(|(name, _)| !name.ends_with('~'))
        .map(|(_, text)| Sections::read(text))
        .collect();
    let is_of = |profile: &&Sections| match profile.get("connection", "interface-name") {
        Some(name) => name == question.name,
        None => {
            is_nic
                && WIRED.iter().any(|wired| {
                    profile
                        .get(wired, "mac-address")
                        .is_some_and(|mac| mac.parse().ok() == question.nic.mac)
                })
        }
    };
    let is_automatic = |profile: &Sections| {
        !matches!(
            profile.get("connection", "autoconnect"),
            Some("false" | "no" | "0")
        )
    };
    let mut mine: Vec<&Sections> = profiles.iter().filter(is_of).collect();
    if mine.iter().any(|profile| is_automatic(profile)) {
        mine.retain(|profile| is_automatic(profile));
    }
    let mut reading = Reading::default();
    for profile in mine {
        one(question, profile, is_automatic(profile), &mut reading);
    }
    reading
}

fn one(question: &Question<'_>, profile: &Sections, is_automatic: bool, reading: &mut Reading) {
    let name = question.name;
    for section in [
        "802-1x", "ethtool", "bond", "vlan", "team", "sriov", "dcb", "match",
    ] {
        for (key, value) in profile.all(section) {
            reading.link.insert(format!("{section}.{key} {value}"));
        }
    }
    for section in WIRED {
        for (key, value) in profile.all(section) {
            reading.link.insert(format!("ethernet.{key} {value}"));
        }
    }
    let get = |key: &str| profile.get("connection", key);
    if let Some(master) = get("master").or(get("controller")) {
        reading.master = Some(master.to_owned());
        return;
    }
    let kind = get("type").unwrap_or_default();
    let delay = profile
        .get("bridge", "forward-delay")
        .map_or(15, |delay| delay.parse().expect("a delay"));
    if kind == "bridge"
        && profile.get("bridge", "stp") != Some("false")
        && !(2..=30).contains(&delay)
    {
        reading.add(name, "no connection: the forward delay is out of range");
        return;
    }
    reading.add(name, format!("boot {is_automatic}"));
    let cloned = WIRED
        .iter()
        .find_map(|wired| profile.get(wired, "cloned-mac-address"));
    reading.add(
        name,
        mac(
            question,
            profile
                .get("bridge", "mac-address")
                .or(cloned.filter(|mac| mac.contains(':'))),
        ),
    );
    if let Some(mtu) = WIRED.iter().find_map(|wired| profile.get(wired, "mtu")) {
        reading.add(name, format!("mtu {mtu}"));
    }
    const KNOWN: &str = "zone metered mdns llmnr dns-over-tls mptcp-flags stable-id secondaries gateway-ping-timeout permissions \
        autoconnect-priority autoconnect-retries wait-device-timeout auth-retries";
    for (key, value) in profile.all("connection") {
        if KNOWN.split_whitespace().any(|known| known == key) {
            reading.add(name, format!("{key} {value}"));
        }
    }
    for section in ["proxy", "user", "hostname"] {
        for (key, value) in profile.all(section) {
            reading.add(name, format!("{section}.{key} {value}"));
        }
    }
    for (section, defaulted) in [("ipv4", "none"), ("ipv6", "stable-privacy")] {
        ip(question, profile, section, defaulted, kind, reading);
    }
}

/// `defaulted` is the mode of addresses where the section is not there at all.
fn ip(
    question: &Question<'_>,
    profile: &Sections,
    section: &str,
    defaulted: &str,
    kind: &str,
    reading: &mut Reading,
) {
    let name = question.name;
    let get = |key: &str| profile.get(section, key);
    let method = get("method").unwrap_or("auto");
    reading.add(name, format!("{section} {method}"));
    let own = [
        "method",
        "route-metric",
        "dhcp-iaid",
        "addr-gen-mode",
        "token",
    ];
    for (key, value) in profile.all(section) {
        if !own.contains(&key) {
            reading.add(name, format!("{section}.{key} {value}"));
        }
    }
    let asks = ["auto", "dhcp"].contains(&method);
    if asks || method == "manual" {
        let given = get("route-metric").filter(|given| *given != "-1");
        let metric = given_metric(question, given, kind);
        reading.add(name, format!("{section} metric {metric}"));
    }
    if !asks {
        return;
    }
    let given = get("dhcp-iaid").filter(|word| *word != "ifname");
    let iaid = given_iaid(given, name);
    reading.add(name, format!("{section} iaid {iaid}"));
    for key in ["dhcp-client-id", "dhcp-duid"] {
        if get(key).is_some_and(|word| word.starts_with("stable")) {
            let uuid = profile
                .get("connection", "stable-id")
                .or(profile.get("connection", "uuid"));
            reading.facts.insert(format!("identity: {key} of {uuid:?}"));
        }
    }
    if section == "ipv4" {
        return;
    }
    let mode = match profile.has(section) {
        true => get("addr-gen-mode").unwrap_or("default-or-eui64"),
        false => defaulted,
    };
    reading.facts.insert(slaac(question, get("token"), mode));
}
