//! The objects of `nft -j list ruleset` (libnftables-json(5)), each found by its table and name.

use crate::kept::Kept;
use crate::libvirt::LibvirtRule;
use crate::verdict::{Acceptance, RuleOwner};
use portero_model::{Family, ToHost};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{json, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Family, table, and the name of a chain, set or map.
type Place = (String, String, String);

/// Statements that stop a packet, or may.
const STOPS: [&str; 7] = [
    "drop", "reject", "vmap", "queue", "tproxy", "fwd", "notrack",
];

/// Everything that nft lists.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By their priorities.
    pub(super) base_chains: Vec<Value>,
    rules: BTreeMap<Place, Vec<Value>>,
    /// Elements of sets and maps.
    elements: HashMap<Place, Value>,
}

pub(super) fn word<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn place(object: &Value, name: &str) -> Place {
    let [family, table] = ["family", "table"].map(|key| word(object, key).to_owned());
    (family, table, name.to_owned())
}

impl Listing {
    pub(crate) fn read(json: &str, kept: Kept) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Root<'a> {
            #[serde(borrow, default)]
            nftables: Vec<&'a RawValue>,
        }
        let root: Root<'_> = serde_json::from_str(json)?;
        let mut listing = Self::default();
        let mut dormant = HashSet::new();
        let objects = root.nftables.into_iter().map(RawValue::get);
        for object in objects.filter(|object| kept == Kept::All || object.contains("\"dnat\"")) {
            let mut object: Value = serde_json::from_str(object)?;
            let Some((kind, content)) =
                object.as_object_mut().and_then(|one| one.iter_mut().next())
            else {
                continue;
            };
            match kind.as_str() {
                "table" if is_dormant(content) => {
                    dormant.insert((
                        word(content, "family").to_owned(),
                        word(content, "name").to_owned(),
                    ));
                }
                "chain" if content.get("hook").is_some() => {
                    listing.base_chains.push(content.take());
                }
                "rule" => {
                    let place = place(content, word(content, "chain"));
                    listing.rules.entry(place).or_default().push(content.take());
                }
                "set" | "map" => {
                    let place = place(content, word(content, "name"));
                    listing.elements.insert(place, content["elem"].take());
                }
                _ => {}
            }
        }
        listing.base_chains.retain(|chain| {
            !dormant.contains(&(
                word(chain, "family").to_owned(),
                word(chain, "table").to_owned(),
            ))
        });
        listing.sort();
        Ok(listing)
    }

    fn sort(&mut self) {
        self.base_chains.sort_by_key(|chain| chain["prio"].as_i64());
    }

    /// Takes what was listed of other tables.
    pub(crate) fn append(&mut self, others: Self) {
        self.base_chains.extend(others.base_chains);
        self.sort();
        self.rules.extend(others.rules);
        self.elements.extend(others.elements);
    }

    /// The rule, not portero's, that sends a port of the host to somebody behind it.
    pub(crate) fn publishes(&self, packet: &ToHost<'_>) -> Option<Acceptance> {
        let of_others = self
            .rules
            .iter()
            .filter(|((_, table, _), _)| table != "portero");
        let mut rules =
            of_others.flat_map(|(place, rules)| rules.iter().map(move |rule| (place, rule)));
        let ((family, table, chain), rule) = rules.find(|(_, rule)| {
            let expressions = || rule["expr"].as_array().into_iter().flatten();
            // Few do this, and it is the sooner found.
            expressions().any(|one| one.get("dnat").is_some())
                && expressions().any(|one| is_port(&one["match"], packet))
        })?;
        Some(Acceptance {
            by: match table.starts_with("docker") {
                true => RuleOwner::Docker,
                false => RuleOwner::Other,
            },
            rule: format!(
                "nftables: table {family} {table}, chain {chain}, handle {}",
                rule["handle"]
            ),
        })
    }

    /// Whether anybody but libvirt and portero has a rule, or the policy of a chain, that stops packets.
    pub(crate) fn has_stops_of_others(&self) -> bool {
        let is_others = |table: &str| {
            ![
                "libvirt_network",
                "portero",
                "portero_policy",
                "portero_bans",
            ]
            .contains(&table)
        };
        // What a map has for a packet may be a verdict of any kind.
        let stops = |rule: &Value| {
            let mut expressions = rule["expr"].as_array().into_iter().flatten();
            expressions.any(|one| STOPS.iter().any(|kind| one.get(kind).is_some()))
        };
        let mut base_chains = self.base_chains.iter();
        let mut rules = self.rules.iter();
        base_chains.any(|chain| chain["policy"] == "drop" && is_others(word(chain, "table")))
            || rules.any(|((_, table, _), rules)| is_others(table) && rules.iter().any(stops))
    }

    /// Whether libvirt has this rule there (src/network/network_nftables.c).
    pub(crate) fn has_of_libvirt(&self, family: Family, rule: LibvirtRule<'_>) -> bool {
        let family = match family {
            Family::Ipv4 => "ip",
            Family::Ipv6 => "ip6",
        };
        let interface = |key: &'static str, name: &'static str| {
            move |left: &Value| {
                let of = left.pointer("/meta/key").and_then(Value::as_str);
                of == Some(key) || of == Some(name)
            }
        };
        let in_chain = |chain: &str,
                        is_left: &dyn Fn(&Value) -> bool,
                        right: &Value,
                        verdicts: [&str; 2]| {
            let place = (
                family.to_owned(),
                "libvirt_network".to_owned(),
                chain.to_owned(),
            );
            let rules = self.rules.get(&place).filter(|_| self.is_asked(&place));
            rules.into_iter().flatten().any(|rule| {
                let expressions = || rule["expr"].as_array().into_iter().flatten();
                let is_of = expressions().any(|one| {
                    let content = &one["match"];
                    content["op"] == "==" && is_left(&content["left"]) && content["right"] == *right
                });
                is_of
                    && expressions()
                        .any(|one| verdicts.iter().any(|verdict| one.get(verdict).is_some()))
            })
        };
        let name = |bridge: &str| Value::String(bridge.to_owned());
        let rejects = ["reject"; 2];
        match rule {
            LibvirtRule::RejectTo(bridge) => in_chain(
                "guest_input",
                &interface("oif", "oifname"),
                &name(bridge),
                rejects,
            ),
            LibvirtRule::RejectFrom(bridge) => in_chain(
                "guest_output",
                &interface("iif", "iifname"),
                &name(bridge),
                rejects,
            ),
            LibvirtRule::Masquerade(net) => {
                let is_source = |left: &Value| {
                    left.pointer("/payload/field")
                        .is_some_and(|field| field == "saddr")
                };
                let prefix =
                    json!({"prefix": {"addr": net.network().to_string(), "len": net.prefix_len()}});
                in_chain("guest_nat", &is_source, &prefix, ["masquerade", "snat"])
            }
        }
    }

    /// Whether the kernel asks a chain, or one that it asks jumps there.
    fn is_asked(&self, (family, table, chain): &Place) -> bool {
        let mut bases = self
            .base_chains
            .iter()
            .filter(|base| word(base, "family") == family && word(base, "table") == table);
        bases.any(|base| {
            let name = word(base, "name");
            let mut rules = self.rules(base, name).iter();
            name == chain
                || rules.any(|rule| {
                    let mut expressions = rule["expr"].as_array().into_iter().flatten();
                    expressions.any(|one| one.pointer("/jump/target").is_some_and(|to| to == chain))
                })
        })
    }

    /// The rules of a chain, by any object of its table.
    pub(super) fn rules(&self, of: &Value, chain: &str) -> &[Value] {
        self.rules.get(&place(of, chain)).map_or(&[], Vec::as_slice)
    }

    /// The elements of a set or map, by any object of its table.
    pub(super) fn elements(&self, of: &Value, name: &str) -> Option<&[Value]> {
        let elements = self.elements.get(&place(of, name))?;
        Some(elements.as_array().map_or(&[], Vec::as_slice))
    }
}

/// Whether a `match` is of the port.
fn is_port(content: &Value, packet: &ToHost<'_>) -> bool {
    let payload = &content["left"]["payload"];
    let of = word(payload, "protocol");
    (of == packet.protocol.name() || of == "th")
        && payload["field"] == "dport"
        && content["op"] == "=="
        && holds(&content["right"], packet.port)
}

/// Whether the right side of a match has the port: itself, a range or a set of both.
fn holds(right: &Value, port: u16) -> bool {
    if let Some(range) = right["range"].as_array() {
        let end = |index: usize| range.get(index).and_then(Value::as_u64);
        return end(0) <= Some(port.into()) && Some(port.into()) <= end(1);
    }
    let set = right["set"].as_array();
    set.map_or(*right == port, |set| set.iter().any(|one| holds(one, port)))
}

/// Whether a table is there and asked nothing.
fn is_dormant(table: &Value) -> bool {
    let flags = &table["flags"];
    let in_list = |list: &Vec<Value>| list.iter().any(|flag| flag == "dormant");
    flags == "dormant" || flags.as_array().is_some_and(in_list)
}
