//! Reads what `nft -j list ruleset` prints. Nothing of portero's may be left over that is not
//! understood.

use crate::frames::{of_any_network, Frames};
use crate::view::{Family, View};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The tables of portero's own: of forwards and of policies.
const OWN: [&str; 2] = ["inet portero", "inet portero_policy"];

/// A table of somebody's that never stays as it is.
pub const CHURN: &str = "inet churn";

/// Everything in one table.
#[derive(Default)]
struct Table<'a> {
    sets: Vec<&'a Value>,
    chains: BTreeMap<&'a str, Vec<&'a Value>>,
}

/// Adds the rows to `view`, and what is somebody else's to `foreign`.
pub fn read(json: &str, frames: &mut Frames, view: &mut View, foreign: &mut Vec<String>) {
    let listing: Value = serde_json::from_str(json).expect("JSON of nft");
    let items = listing["nftables"].as_array().expect("a list of nft");
    let mut tables: BTreeMap<String, Table<'_>> = BTreeMap::new();
    for item in items {
        let Some((kind, item)) = item.as_object().and_then(|item| item.iter().next()) else {
            continue;
        };
        if kind == "metainfo" {
            continue;
        }
        let of = if kind == "table" { "name" } else { "table" };
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let table = format!("{} {}", text("family"), text(of));
        if table == CHURN {
            continue;
        }
        if !is_own(&table, kind, item) {
            foreign.push(format!("{kind} {}", without_handles(item)));
        }
        let table = tables.entry(table).or_default();
        match kind.as_str() {
            "set" | "map" => table.sets.push(item),
            "chain" => drop(table.chains.entry(text("name")).or_default()),
            "rule" => table.chains.entry(text("chain")).or_default().push(item),
            _ => {}
        }
    }
    let mut fixed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, table) in &tables {
        match name.as_str() {
            "inet portero" => {
                forwards(table, view);
                fixed.insert(name.clone(), frame(table, |_| true));
            }
            "inet portero_policy" => {
                let led_to = policies(table, frames, view);
                let is_fixed =
                    |chain: &str| ["forward", "input", "output", "postrouting"].contains(&chain);
                for chain in table.chains.keys().filter(|chain| !is_fixed(chain)) {
                    if !led_to.contains(*chain) {
                        view.wrong(format!("{name}: nothing leads to chain {chain}"));
                    }
                }
                fixed.insert(name.clone(), frame(table, is_fixed));
            }
            "ip libvirt_network" | "ip6 libvirt_network" => {
                let family = match name.starts_with("ip6") {
                    true => Family::Ipv6,
                    false => Family::Ipv4,
                };
                libvirt(family, table, view);
                let is_own = |chain: &str| chain.starts_with("portero");
                if table.chains.keys().any(|chain| is_own(chain)) {
                    fixed.insert(name.clone(), frame(table, is_own));
                }
            }
            other if other.contains("portero") => view.wrong(format!("table {other}")),
            _ => {}
        }
    }
    for (name, rules) in fixed {
        frames.compare(name, rules, view);
    }
}

fn is_own(table: &str, kind: &str, item: &Value) -> bool {
    let is_named = |key: &str| {
        item[key]
            .as_str()
            .is_some_and(|name| name.starts_with("portero"))
    };
    OWN.contains(&table)
        || match kind {
            "rule" => is_named("chain") || jumps_to_portero(item),
            "table" => false,
            _ => is_named("name"),
        }
}

fn jumps_to_portero(rule: &Value) -> bool {
    let words = rule["expr"].as_array().into_iter().flatten();
    words
        .into_iter()
        .any(|word| word["jump"]["target"] == "portero")
}

/// As text, without what the kernel counts.
fn without_handles(item: &Value) -> String {
    let mut item = item.clone();
    forget(&mut item);
    item.to_string()
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for key in ["handle", "packets", "bytes", "index"] {
                object.remove(key);
            }
            object.values_mut().for_each(forget);
        }
        Value::Array(array) => array.iter_mut().for_each(forget),
        _ => {}
    }
}

/// The rules of some chains, in their order.
fn frame(table: &Table<'_>, is_fixed: impl Fn(&str) -> bool) -> Vec<String> {
    let chains = table.chains.iter().filter(|(chain, _)| is_fixed(chain));
    let rules = chains.flat_map(|(_, rules)| rules.iter());
    rules.map(|rule| without_handles(rule)).collect()
}

/// The types of a key, as many as it has parts.
fn types(set: &Value) -> Vec<&str> {
    match &set["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn elements(set: &Value) -> impl Iterator<Item = (Vec<String>, &Value)> {
    let elements = set["elem"].as_array().into_iter().flatten();
    elements.map(|element| {
        let element = match &element["elem"]["val"] {
            Value::Null => element,
            counted => counted,
        };
        match element {
            Value::Array(pair) => (parts(&pair[0]), &pair[1]),
            key => (parts(key), &Value::Null),
        }
    })
}

/// The parts of a key, or of what a map gives.
fn parts(value: &Value) -> Vec<String> {
    match &value["concat"] {
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => vec![part(value)],
    }
}

fn part(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let prefix = &value["prefix"];
    match (prefix["addr"].as_str(), prefix["len"].as_u64()) {
        (Some(address), Some(length)) => format!("{address}/{length}"),
        _ => value.to_string(),
    }
}

/// The range that nft prints for all addresses of a family.
fn or_any(network: &str) -> String {
    match network.ends_with("/0") || network.contains("range") {
        true => "any".to_owned(),
        false => network.to_owned(),
    }
}

/// The rows of portero's own table.
fn forwards(table: &Table<'_>, view: &mut View) {
    for set in &table.sets {
        let types = types(set);
        let family = |at: usize| match types.get(at) {
            Some(&"ipv6_addr") => Family::Ipv6,
            _ => Family::Ipv4,
        };
        let has_source = set["flags"].to_string().contains("interval");
        for (key, data) in elements(set) {
            match types.as_slice() {
                ["ifname"] => {
                    view.add_once(format!("loopback {}", key[0]));
                    view.add_once(format!("from loopback {}", key[0]));
                }
                ["ipv4_addr" | "ipv6_addr"] => {
                    let (family, guest) = (family(0), &key[0]);
                    view.add_once(format!("masquerade {family} from any to {guest}"));
                }
                ["ipv4_addr" | "ipv6_addr", "ipv4_addr" | "ipv6_addr"] => {
                    let (family, source) = (family(0), or_any(&key[0]));
                    let guest = &key[1];
                    view.add_once(format!("masquerade {family} from {source} to {guest}"));
                    // The rules that drop are in the frame.
                    if source != "127.0.0.0/8" {
                        view.add_once(format!("neighbours {family} {source} to {guest}"));
                        view.add_once(format!("local {family} {guest}"));
                    }
                }
                [.., "inet_proto", "inet_service"] => {
                    let to = parts(data);
                    let family = match to[0].contains(':') {
                        true => Family::Ipv6,
                        false => Family::Ipv4,
                    };
                    let mut rest = key.iter().zip(&types);
                    let mut next = |kind: &str, is_there: bool| match is_there {
                        true => {
                            let (value, of) = rest.next().expect("a part of a key");
                            assert!(of.ends_with(kind), "{set}");
                            value.clone()
                        }
                        false => "any".to_owned(),
                    };
                    let dev = next("ifname", types[0] == "ifname");
                    let addresses = types.iter().filter(|kind| kind.ends_with("_addr")).count();
                    let source = next("_addr", has_source);
                    let address = next("_addr", addresses > usize::from(has_source));
                    let (protocol, port) = (next("inet_proto", true), next("inet_service", true));
                    view.add_once(format!(
                        "forward {family} {protocol} {port} of {address} on {dev} from {source} to {} {}",
                        to[0], to[1]
                    ));
                }
                _ => view.wrong(format!("set {set}")),
            }
        }
    }
}

/// The rows of the table of policies; gives the chains that something leads to.
fn policies(table: &Table<'_>, frames: &mut Frames, view: &mut View) -> BTreeSet<String> {
    let mut led_to = BTreeSet::new();
    for set in &table.sets {
        let name = set["name"].as_str().unwrap_or_default();
        for (key, data) in elements(set) {
            let Some(chain) = data["jump"]["target"].as_str() else {
                if name == "same_bridge" {
                    view.add_once(format!("same bridge {} {}", key[0], key[1]));
                }
                continue;
            };
            led_to.insert(chain.to_owned());
            let Some(way) = name.strip_suffix("_chains") else {
                continue;
            };
            let rules = table.chains.get(chain);
            if rules.is_none() {
                view.wrong(format!("{name}: no chain {chain}"));
            }
            for family in Family::ALL {
                view.add_once(format!("policy {family} {} {way}", key[0]));
            }
            let texts = rules.into_iter().flatten().map(|rule| {
                let text = without_handles(rule);
                text.replace(chain, "CHAIN")
            });
            let texts: Vec<String> = texts.collect();
            let (mode, general) = of_any_network(&key[0], &texts);
            frames.compare(format!("{way} of mode {mode}"), general, view);
            for port in rules.into_iter().flatten().filter_map(|rule| port_of(rule)) {
                view.add_once(format!("policy ip {} {way} tcp {port}", key[0]));
            }
        }
    }
    led_to
}

/// The port that a rule asks for.
fn port_of(rule: &Value) -> Option<u64> {
    let mut words = rule["expr"].as_array()?.iter();
    words.find_map(|word| {
        let is_port = word["match"]["left"]["payload"]["field"] == "dport";
        is_port.then(|| word["match"]["right"].as_u64()).flatten()
    })
}

/// The rows of portero's part of a table of libvirt's.
fn libvirt(family: Family, table: &Table<'_>, view: &mut View) {
    for set in &table.sets {
        let name = set["name"].as_str().unwrap_or_default();
        for (key, _) in elements(set) {
            match name {
                "portero" => view.add_once(format!(
                    "accept {family} {} {} to {} {}",
                    key[1], key[3], key[0], key[2]
                )),
                "portero_guests" => view.add_once(format!("errors {family} {}", key[0])),
                "portero_policy" => view.add_once(format!("pass {family} {}", key[0])),
                "portero_same_bridge" => {
                    view.add_once(format!("pass {family} same {} {}", key[0], key[1]));
                }
                _ => {}
            }
        }
    }
    if !table.chains.contains_key("portero") {
        return;
    }
    let forward = table.chains.get("forward").into_iter().flatten();
    let jumps: Vec<bool> = forward.map(|rule| jumps_to_portero(rule)).collect();
    let count = jumps.iter().filter(|is_jump| **is_jump).count();
    if jumps.first() != Some(&true) || count != 1 {
        view.wrong(format!(
            "{family}: {count} jumps, the first rule is one: {:?}",
            jumps.first()
        ));
    }
}
