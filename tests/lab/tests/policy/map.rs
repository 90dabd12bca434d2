//! What `portero map` says of the lab: who is where, and what becomes of connections.

use crate::world::{named, World};
use portero_lab::{Proto, Scenario, HOST_V4};
use serde_json::Value;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "portero map: every guest at its network or bridge, while it runs",
    run: everybody,
}];

/// The map as it is now.
pub struct Map(Value);

impl Map {
    pub fn now(world: &World) -> Self {
        let json = world.lab.must("portero", &["map", "--format", "json"]);
        Self(serde_json::from_str(&json).expect("JSON"))
    }

    fn segment(&self, name: &str) -> Option<&Value> {
        let mut segments = self.0["segments"].as_array().expect("segments").iter();
        segments.find(|segment| segment["name"] == name)
    }

    /// Names of guests with their addresses in a segment.
    fn guests(&self, segment: &str) -> Vec<(&str, &Value)> {
        let guests = self
            .segment(segment)
            .map(|segment| &segment["guests"])
            .and_then(Value::as_array);
        let guests = guests.into_iter().flatten();
        guests
            .map(|guest| (guest["name"].as_str().expect("a name"), &guest["addresses"]))
            .collect()
    }

    /// Whether a connection passes by what the map says in words of all of its kind; nothing where
    /// that is a matter of addresses, or where the map does not speak of it.
    pub fn passes(&self, from: &str, to: &str, is_v6: bool, asked: (Proto, u16)) -> Option<bool> {
        let end = |name: &str| match name {
            "host" => Value::from("host"),
            "outside" | "lan" | "office" => Value::from("outside"),
            network => serde_json::json!({ "network": network }),
        };
        let (from, to) = (end(from), end(to));
        let mut passages = self.0["passages"].as_array().expect("passages").iter();
        let passage = passages.find(|one| one["from"] == from && one["to"] == to)?;
        let family = if is_v6 { "ipv6" } else { "ipv4" };
        passes(passage["families"][family]["words"].as_str()?, asked)
    }
}

/// Reads `accept`, `reject`, `tcp 80, 443, some udp 53`, `all but icmp`.
fn passes(words: &str, (proto, port): (Proto, u16)) -> Option<bool> {
    let (listed, services) = match words.strip_prefix("all but ") {
        Some(services) => (false, services),
        None => (true, words),
    };
    let (mut named, mut certain) = ("", true);
    for service in services.split(", ") {
        match service {
            "accept" => return Some(true),
            "reject" | "drop" => return Some(false),
            "some" | "most" => return None,
            _ => {}
        }
        let mut words: Vec<&str> = service.split(' ').collect();
        if words[0].starts_with(|first: char| first.is_ascii_alphabetic()) {
            certain = !["some", "most"].contains(&words[0]);
            if !certain {
                words.remove(0);
            }
            named = words.remove(0);
        }
        let ports = words.first().map(|range| {
            let (start, end) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u16>().expect("a port");
            number(start)..=number(end)
        });
        let is_it = match proto {
            // An echo request, of IPv4 or IPv6.
            Proto::Icmp => ports.is_none_or(|types| types.contains(&8) || types.contains(&128)),
            _ => ports.is_none_or(|ports| ports.contains(&port)),
        };
        if named == proto.to_string() && is_it {
            return certain.then_some(listed);
        }
    }
    Some(!listed)
}

fn everybody(world: &mut World) {
    let lab = &world.lab;
    let map = Map::now(world);
    for name in ["nat", "route", "far", "iso", "open"] {
        let addresses = Value::from(vec![named(name).v4]);
        assert_eq!(map.guests(name), [(name, &addresses)]);
    }
    // Nobody but its own DHCP server, which is not the host's, knows its address.
    let none = Value::Array(Vec::new());
    assert_eq!(map.guests("lanbr"), [("lan", &none)]);
    let bridge = map.segment("lanbr").expect("the bridge");
    assert_eq!(bridge["nics"], Value::from(vec!["lan0"]));
    assert_eq!(bridge["networks"], Value::from(vec!["lan"]));
    let nics = map.0["nics"].as_array().expect("NICs");
    let eth0 = nics.iter().find(|nic| nic["name"] == "eth0");
    let addresses = eth0.expect("eth0")["addresses"].to_string();
    assert!(addresses.contains(&format!("\"{HOST_V4}/")), "{addresses}");
    for format in ["tree", "svg", "dot"] {
        let drawn = lab.must("portero", &["map", "--format", format]);
        for name in ["br-route", "lanbr", "lan0", "192.168.53.10"] {
            assert!(drawn.contains(name), "{name} in\n{drawn}");
        }
    }
    // Control: who does not run is not there.
    lab.virsh(&["destroy", "far"]);
    lab.virsh(&["net-destroy", "iso"]);
    let map = Map::now(world);
    assert_eq!(map.guests("far"), []);
    assert!(map.segment("far").is_some(), "the network is still active");
    assert!(map.segment("iso").is_none(), "{}", map.0);
    assert_eq!(map.passes("nat", "iso", false, (Proto::Tcp, 80)), None);
    lab.virsh(&["net-start", "iso"]);
    lab.virsh(&["start", "far"]);
    lab.wait_guest(named("far").v4);
    lab.wait_guest(named("iso").v4);
    assert_eq!(Map::now(world).guests("far").len(), 1);
}
