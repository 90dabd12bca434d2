//! What `portero explain` and `portero map` show of what restricts a forward, each beside a packet.

use crate::world::{web, World, WEB};
use portero_lab::{From, Proto, Scenario, Settings, HOST_V4, OUTSIDE_V4};
use std::fs;
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "shown: sources, groups and exceptions",
        run: sources,
    },
    Scenario {
        name: "shown: masquerade, where the guest has no way out by the host",
        run: masquerade,
    },
    Scenario {
        name: "shown: interfaces and addresses of portero.toml, and a whole address",
        run: places,
    },
];

/// Whether the map shows it: as text, drawn, and as JSON.
pub fn is_mapped(world: &World, text: &str, json: &[(&str, &str)]) {
    let map = world.lab.must("portero", &["map"]);
    assert!(map.contains(text), "{text}: {map}");
    let json_map = world.lab.must("portero", &["map", "--format", "json"]);
    let tree: serde_json::Value = serde_json::from_str(&json_map).expect("JSON");
    assert!(has(&tree, json), "{json:?}: {tree:#}");
    let svg = world.lab.must("portero", &["map", "--format", "svg"]);
    for (key, value) in json {
        let is_word = ["dev", "source", "address", "options"].contains(key);
        assert!(!is_word || svg.contains(value), "{key}: {svg}");
    }
}

/// Whether some object of it has all these.
fn has(tree: &serde_json::Value, wanted: &[(&str, &str)]) -> bool {
    use serde_json::Value;
    let is = |value: &Value, word: &str| match value {
        Value::Array(all) => all.iter().any(|one| one == word),
        other => other == word,
    };
    match tree {
        Value::Object(object) => {
            wanted
                .iter()
                .all(|(key, word)| object.get(*key).is_some_and(|value| is(value, word)))
                || object.values().any(|value| has(value, wanted))
        }
        Value::Array(all) => all.iter().any(|value| has(value, wanted)),
        _ => false,
    }
}

/// What `portero explain` tells of it, in words, drawn, and as JSON: the same verdict each time.
pub fn is_explained(world: &World, asked: &[&str], is_well: bool, told: &str) {
    let explain = |more: &[&str]| {
        let words = [&["explain"], asked, more].concat();
        let ran = world.lab.run("portero", &words);
        assert_eq!(ran.ok, is_well, "{asked:?}: {ran:?}");
        ran.stdout
    };
    let text = explain(&[]);
    assert!(text.contains(told), "{told}: {text}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["--json"])).expect("JSON");
    assert!(json.to_string().contains(told), "{told}: {json:#}");
    let svg = explain(&["--format", "svg"]);
    assert!(svg.starts_with("<svg") || svg.contains("<svg"), "{svg}");
}

const SOURCES: &str = "
<portero:portForward proto='tcp'><portero:source group='friends'/><portero:source address='203.0.113.2' match='no'/>
  <portero:range start='8091' to='80'/></portero:portForward>
<portero:portForward proto='tcp'><portero:source group='friends'/><portero:range start='8092' to='80'/></portero:portForward>";

fn sources(world: &mut World) {
    const GROUP: &str = "/etc/portero/groups/friends.xml";
    world.stop_web_if_it_runs();
    let group = "<portero:group xmlns:portero='urn:portero:1'><portero:peer address='203.0.113.0' prefix='30'/></portero:group>";
    fs::write(GROUP, group).expect("a group");
    world.start_web(SOURCES);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8091);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8092, "web tcp 80");
    is_explained(
        world,
        &["8091", "--from", OUTSIDE_V4],
        false,
        "domain 'web' wants it for ",
    );
    is_explained(world, &["8092", "--from", OUTSIDE_V4], true, "DNAT to");
    is_explained(
        world,
        &["8092", "--from", "203.0.113.77"],
        false,
        "wants it for clients in 203.0.113.0/30 only",
    );
    let of = |port, source| [("ports", port), ("source", source)];
    is_mapped(
        world,
        "tcp 8092 from 203.0.113.0/30",
        &of("8092", "203.0.113.0/30"),
    );
    is_mapped(
        world,
        "tcp 8091 from 203.0.113.0/31",
        &of("8091", "203.0.113.0/31"),
    );
    world.stop_web();
    fs::remove_file(GROUP).expect("no group");
    world.is_untouched();
}

const PLAIN: &str =
    "<portero:portForward proto='tcp'><portero:range start='8090' to='80'/></portero:portForward>";
const MASQUERADED: &str = "<portero:portForward proto='tcp' masquerade='yes'>\
    <portero:range start='8090' to='80'/></portero:portForward>";

fn masquerade(world: &mut World) {
    world.stop_web_if_it_runs();
    for portero in [PLAIN, MASQUERADED] {
        world.start_web(portero);
        let away = ["ask", WEB, "run ip route del default"];
        world.lab.must(&world.lab.agent(), &away);
        if portero == PLAIN {
            // The control.
            world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
            is_explained(world, &["8090"], false, "it has no default route by");
        } else {
            let answer = "web tcp 80 from 192.168.50.1 ";
            world.lab.answers(From::Outside, Tcp, HOST_V4, 8090, answer);
            is_explained(world, &["8090"], true, "the guest sees the host's address");
            is_mapped(
                world,
                "192.168.50.10:80 (masquerade)",
                &[("ports", "8090"), ("options", "masquerade")],
            );
        }
        world.stop_web();
    }
    world.is_untouched();
}

const ADDRESS: &str = "<portero:portForward proto='tcp'><portero:range start='8090' to='80'/></portero:portForward>\
    <portero:address host='203.0.113.5'><portero:exclude proto='tcp' start='22'/></portero:address>";

fn places(world: &mut World) {
    const SECOND: &str = "203.0.113.5";
    world.stop_web_if_it_runs();
    world.lab.ip(&format!("address add {SECOND}/24 dev eth0"));
    for (settings, text, json) in [
        ("dev = [\"eth0\"]", "tcp 8090 on eth0", ("dev", "eth0")),
        (
            "address = [\"203.0.113.1\"]",
            "tcp 203.0.113.1:8090",
            ("address", HOST_V4),
        ),
    ] {
        let settings =
            format!("[limits]\nwhole_addresses = [\"{SECOND}\"]\n[forwards]\n{settings}\n");
        let settings = Settings::replace(&settings);
        world.start_web(ADDRESS);
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
        is_explained(world, &[&format!("{HOST_V4}:8090")], true, "DNAT to");
        is_mapped(world, text, &[("ports", "8090"), json]);
        // All of the other one.
        world
            .lab
            .answers(From::Outside, Tcp, SECOND, 80, "web tcp 80");
        world.lab.refuses(From::Outside, Tcp, SECOND, 22);
        is_explained(world, &[&format!("{SECOND}:80")], true, "DNAT to");
        is_explained(
            world,
            &[&format!("{SECOND}:22")],
            false,
            "wants tcp port 22",
        );
        is_mapped(
            world,
            "tcp 203.0.113.5:1-21",
            &[("ports", "1-21"), ("address", SECOND)],
        );
        world.stop_web();
        drop(settings);
    }
    // The control: without either, it is for all.
    world.lab.define(&web(PLAIN));
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    is_mapped(world, "tcp 8090 → 192.168.50.10:80", &[("ports", "8090")]);
    world.stop_web();
    world
        .lab
        .ip(&format!("address delete {SECOND}/24 dev eth0"));
    world.is_untouched();
}
