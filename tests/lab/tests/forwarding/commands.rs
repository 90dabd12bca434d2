//! What an administrator types: lists of everybody, one guest's status, dry runs, and what is meant by a slip of the keys.

use crate::world::{web, World, WEB};
use portero_lab::{DomainXml, From, Proto, Ran, Scenario, HOST_V4};
use serde_json::Value;
use std::fs;
use std::path::Path;
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "commands: the forwards of all, running and off, live and in the configuration",
        run: everybody,
    },
    Scenario {
        name: "commands: what is only planned changes nothing",
        run: dry_runs,
    },
    Scenario {
        name: "commands: programs read what changes",
        run: for_programs,
    },
    Scenario {
        name: "commands: status and map of one",
        run: one,
    },
    Scenario {
        name: "commands: what is meant by a slip of the keys",
        run: slips,
    },
    Scenario {
        name: "commands: settings that are wrong are told once",
        run: settings,
    },
    Scenario {
        name: "commands: a report has all, and by other names none of it",
        run: report,
    },
    Scenario {
        name: "commands: shells are offered domains and the ports that they forward",
        run: completion,
    },
];

/// A guest that is off, with a forward in its metadata, and another in a file.
fn off() -> DomainXml<'static> {
    DomainXml {
        name: "idle",
        nics: &[("lan", "52:54:00:00:50:77")],
        v6: None,
        portero: "<portero:portForward proto='udp'><portero:range start='5300' to='53'/></portero:portForward>",
    }
}

const FILE: &str = "/etc/portero/domains/idle.xml";

fn portero(world: &World, words: &[&str]) -> Ran {
    world.lab.run("portero", words)
}

fn must(world: &World, words: &[&str]) -> String {
    world.lab.must("portero", words)
}

fn listed(world: &World, flags: &[&str]) -> Vec<Value> {
    let json = must(world, &[&["forward", "list", "--json"], flags].concat());
    let json: Value = serde_json::from_str(&json).expect("JSON");
    json["forwards"].as_array().expect("forwards").clone()
}

/// Name, forward, place and state of each.
fn rows(world: &World, flags: &[&str]) -> Vec<String> {
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or("-").to_owned();
    let row = |one: &Value| {
        ["name", "forward", "in", "written", "state"]
            .map(|key| text(one, key))
            .join(" ")
    };
    listed(world, flags).iter().map(row).collect()
}

fn everybody(world: &mut World) {
    world.start_web("");
    world.lab.define(&off());
    fs::create_dir_all("/etc/portero/domains").expect("a folder");
    let element = "<portero:domain xmlns:portero='urn:portero:1'><portero:portForward proto='tcp'>\
                   <portero:range start='8022' to='22'/></portero:portForward></portero:domain>";
    fs::write(FILE, element).expect("a file");
    let added = portero(world, &["forward", "add", "web", "8090:80", "--reserve=no"]);
    assert!(
        added.ok && added.stderr.contains("this ends when domain 'web' stops"),
        "{added:?}"
    );
    must(
        world,
        &[
            "forward",
            "add",
            "web",
            "8091:80",
            "--config",
            "--reserve=no",
        ],
    );
    let kept = portero(
        world,
        &[
            "forward",
            "add",
            "web",
            "8092:80",
            "--persistent",
            "--reserve=no",
        ],
    );
    assert!(kept.ok && !kept.stderr.contains("this ends"), "{kept:?}");
    // What is in the configuration already does not end.
    must(
        world,
        &[
            "forward",
            "add",
            "web",
            "8093:80",
            "--config",
            "--reserve=no",
        ],
    );
    let also = portero(world, &["forward", "add", "web", "8093:80", "--reserve=no"]);
    assert!(also.ok && !also.stderr.contains("this ends"), "{also:?}");
    let all = [
        "idle 5300:53/udp config metadata off",
        "idle 8022:22/tcp config /etc/portero/domains/idle.xml off",
        "web 8090:80/tcp live metadata active",
        "web 8091:80/tcp config metadata off",
        "web 8092:80/tcp both metadata active",
        "web 8093:80/tcp both metadata active",
    ];
    let mut found = rows(world, &[]);
    found.sort();
    assert_eq!(found, all);
    let count = |flag: &str, place: &str| {
        let rows = rows(world, &[flag]);
        assert!(rows.iter().all(|row| !row.contains(place)), "{rows:#?}");
        rows.len()
    };
    assert_eq!(
        (count("--live", " config "), count("--config", " live ")),
        (3, 5)
    );
    let table = must(world, &["forward", "ls"]);
    let row = table
        .lines()
        .find(|line| line.contains("8090:80/tcp"))
        .expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    let address = format!("{WEB}:80");
    assert_eq!(
        words,
        [
            "web",
            "8090:80/tcp",
            address.as_str(),
            "live",
            "metadata",
            "active"
        ]
    );
    // Who waits, and why.
    world.lab.define(&DomainXml {
        name: "late",
        nics: &[("far", "52:54:00:00:60:79")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8071' to='80'/></portero:portForward>",
    });
    world.lab.virsh(&["start", "late"]);
    let waits = listed(world, &[]);
    let late = waits
        .iter()
        .find(|one| one["name"] == "late")
        .expect("late");
    let reason = late["reason"].as_str().unwrap_or_default();
    let is_known =
        late["state"] == "active" || late["state"] == "pending" && reason.contains("lease");
    assert!(is_known, "{late}");
    world.lab.virsh(&["destroy", "late"]);
    world.lab.virsh(&["undefine", "late"]);
    // All of one, at once.
    must(
        world,
        &["forward", "remove", "web", "--all", "--persistent"],
    );
    assert!(rows(world, &[]).iter().all(|row| row.starts_with("idle ")));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    let again = must(world, &["forward", "rm", "web", "--all", "--persistent"]);
    assert_eq!(again, "domain 'web' forwards nothing\n");
    let both = portero(world, &["forward", "rm", "web", "80", "--all"]);
    assert!(
        !both.ok && both.stderr.contains("cannot be used with"),
        "{both:?}"
    );
    fs::remove_file(FILE).expect("no file");
    world.lab.virsh(&["undefine", "idle"]);
    world.stop_web();
    world.is_untouched();
}

fn dry_runs(world: &mut World) {
    world.start_web("");
    must(world, &["forward", "add", "web", "8090:80", "--reserve=no"]);
    let (rules, before) = (world.lab.rules(), rows(world, &[]));
    let would = must(
        world,
        &[
            "forward",
            "add",
            "web",
            "8091:80",
            "--persistent",
            "--dry-run",
        ],
    );
    assert_eq!(
        would,
        "domain 'web' would forward 8091:80/tcp, from its next start on\n\
         domain 'web' would forward 8091:80/tcp, now\n"
    );
    let would = must(world, &["forward", "rm", "web", "8090", "--dry-run"]);
    assert_eq!(
        would,
        "domain 'web' would no longer forward 8090/tcp, now\n"
    );
    let would = must(world, &["forward", "rm", "web", "--all", "--dry-run"]);
    assert_eq!(
        would,
        "domain 'web' would no longer forward 8090:80/tcp, now\n"
    );
    // What cannot be had is refused all the same.
    let taken = portero(world, &["forward", "add", "web", "8090:81", "--dry-run"]);
    assert!(
        !taken.ok && taken.stderr.contains("is already forwarded by"),
        "{taken:?}"
    );
    let same = must(world, &["forward", "add", "web", "8090:80", "--dry-run"]);
    assert_eq!(same, "domain 'web' forwards 8090:80/tcp already\n");
    assert_eq!(must(world, &["sync", "--dry-run"]), "");
    let ran = portero(world, &["withdraw", "--dry-run"]);
    assert!(
        !ran.ok && ran.stdout.starts_with("# ") && ran.stdout.contains("portero"),
        "{ran:?}"
    );
    assert_eq!((world.lab.rules(), rows(world, &[])), (rules, before));
    // The control: without it they do it.
    must(world, &["forward", "rm", "web", "8090"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    world.stop_web();
    world.is_untouched();
}

fn for_programs(world: &mut World) {
    world.start_web("");
    let said = |words: &[&str]| -> Value {
        let words = [&["forward"], words, &["--json"]].concat();
        serde_json::from_str(&must(world, &words)).expect("JSON")
    };
    let forwards = |said: &Value, state: &str, when: &str| -> Vec<String> {
        let rows = said[state][when].as_array().expect("forwards");
        let text = |row: &Value| row["forward"].as_str().expect("a forward").to_owned();
        rows.iter().map(text).collect()
    };
    let add = [
        "add",
        "web",
        "8090:80",
        "--persistent",
        "--masquerade",
        "--reserve=no",
    ];
    let would = said(&[&add[..], &["--dry-run"]].concat());
    assert_eq!(would["changed"], true);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    let added = said(&add);
    for state in ["live", "config"] {
        assert_eq!(would[state], added[state], "the plan is not what was done");
        assert_eq!(forwards(&added, state, "before"), [""; 0]);
        assert_eq!(forwards(&added, state, "after"), ["8090:80/tcp"]);
        assert_eq!(added[state]["after"][0]["masquerade"], true);
    }
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    let again = said(&add);
    assert_eq!(
        (&again["changed"], &again["live"]["before"]),
        (&false.into(), &again["live"]["after"])
    );

    // Without the option a forward that is not there is an error, and nothing is removed.
    let both = ["remove", "web", "8090", "8091"];
    let refused = portero(world, &[&["forward"], &both[..]].concat());
    assert!(
        !refused.ok && refused.stderr.contains("does not forward 8091/tcp"),
        "{refused:?}"
    );
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    let removed = said(&[&both[..], &["--ignore-missing"]].concat());
    assert_eq!(removed["changed"], true);
    assert_eq!(removed["config"], Value::Null);
    assert_eq!(forwards(&removed, "live", "after"), [""; 0]);
    assert_eq!(
        removed["messages"],
        serde_json::json!([
            "domain 'web' does not forward 8091/tcp now",
            "domain 'web' no longer forwards 8090/tcp"
        ])
    );
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    let again = said(&[&both[..], &["--ignore-missing"]].concat());
    assert_eq!(again["changed"], false);
    // The configuration has it still.
    let all = said(&["remove", "web", "--all", "--persistent"]);
    assert_eq!(forwards(&all, "config", "before"), ["8090:80/tcp"]);
    assert_eq!(forwards(&all, "config", "after"), [""; 0]);
    world.stop_web();
    world.is_untouched();
}

fn one(world: &mut World) {
    world.start_web("");
    world.lab.define(&off());
    must(world, &["forward", "add", "web", "8090:80", "--reserve=no"]);
    let status = must(world, &["status", "web", "--json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let names = |key: &str| -> Vec<&str> {
        let list = status[key].as_array().expect("a list").iter();
        list.map(|one| one["name"].as_str().unwrap_or_default())
            .collect()
    };
    assert_eq!(
        (names("guests"), names("forwards")),
        (vec!["web"], vec!["web"])
    );
    assert!(names("networks").contains(&"lan"), "{status}");
    let of_all = must(world, &["status"]);
    let of_web = must(world, &["status", "web"]);
    assert!(
        of_all.contains("peer") && !of_web.contains("peer"),
        "{of_web}"
    );
    let of_lan = must(world, &["status", "lan"]);
    assert!(
        of_lan.contains("peer") && of_lan.contains("web"),
        "{of_lan}"
    );
    let of_idle = must(world, &["status", "idle"]);
    assert!(
        of_idle.starts_with("domain 'idle' is off.\n") && of_idle.contains("5300:53/udp"),
        "{of_idle}"
    );
    let map = must(world, &["map", "web"]);
    assert!(map.contains("web") && !map.contains("peer"), "{map}");
    let all = must(world, &["map"]);
    assert!(all.contains("peer"), "{all}");
    world.lab.virsh(&["undefine", "idle"]);
    world.stop_web();
    world.is_untouched();
}

fn slips(world: &mut World) {
    world.lab.define(&web(""));
    for (words, tip) in [
        (&["forward", "add", "wbe", "80"][..], "did you mean 'web'?"),
        (&["forward", "ls", "Web"], "did you mean 'web'?"),
        (&["status", "wbe"], "did you mean 'web'?"),
        (&["map", "lna"], "did you mean 'lan'?"),
        (&["explain", "wbe"], "did you mean 'web'?"),
        (&["policy", "show", "lna"], "did you mean 'lan'?"),
        (&["policy", "check", "lna"], "did you mean 'lan'?"),
        (
            &["policy", "explain", "lna", "192.168.50.10", "tcp", "80"],
            "did you mean 'lan'?",
        ),
    ] {
        let ran = portero(world, words);
        assert!(!ran.ok && ran.stderr.contains(tip), "{words:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    // The control: what is near nothing is no slip.
    let ran = portero(world, &["status", "frobnicate"]);
    assert!(!ran.ok && !ran.stderr.contains("did you mean"), "{ran:?}");
    world.is_untouched();
}

fn settings(world: &mut World) {
    let path = "/etc/portero/portero.toml";
    fs::create_dir_all("/etc/portero").expect("a folder");
    fs::write(path, "# \n[limits]\nmost_ports = 'many'\n").expect("settings");
    let expected =
        "portero.toml: line 3: limits.most_ports is the text \"many\", expected a whole number";
    for words in [
        &["sync"][..],
        &["plan"],
        &["status"],
        &["map"],
        &["withdraw"],
        &["forward", "list"],
    ] {
        let ran = portero(world, words);
        let told = ran.stderr.matches(expected).count();
        assert_eq!(told, 1, "{words:?}: {ran:?}");
    }
    fs::remove_file(path).expect("no settings");
    assert_eq!(portero(world, &["status"]).stderr, "");
    world.is_untouched();
}

fn report(world: &mut World) {
    world.start_web("");
    must(world, &["forward", "add", "web", "8090:80", "--reserve=no"]);
    let path = "/run/lab/files/report.txt";
    let _ = fs::remove_file(path);
    let said = portero(world, &["report", "-o", path]);
    assert!(said.ok && said.stderr.contains("--anonymous"), "{said:?}");
    let report = fs::read_to_string(path).expect("a report");
    for part in [
        "==== Versions ====",
        "---- portero doctor",
        "---- portero status",
        "---- portero forward list",
        "---- ip address",
        "==== What this report lacks ====",
        "8090:80/tcp",
        WEB,
        "web",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let rules = match world.lab.backend() {
        portero_lab::Backend::Nftables => "---- nft list ruleset",
        portero_lab::Backend::Iptables => "---- iptables-save -c",
    };
    assert!(report.contains(rules), "{report}");
    // What the tree does not have is said, and ends nothing.
    assert!(report.contains("portero.toml: is not there"), "{report}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("it").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !portero(world, &["report", "-o", path]).ok,
        "it is overwritten"
    );
    let other = must(world, &["report", "--anonymous", "-o", "-"]);
    assert!(other.contains("8090:80/tcp") && other.contains("guest-1"));
    for own in [
        WEB,
        HOST_V4,
        "52:54:00",
        "192.168.50.",
        "peer",
        "domain web",
    ] {
        assert!(!other.contains(own), "{own}: {other}");
    }
    assert!(Path::new(path).exists());
    fs::remove_file(path).expect("no report");
    world.stop_web();
    world.is_untouched();
}

fn completion(world: &mut World) {
    world.start_web("");
    must(
        world,
        &["forward", "add", "web", "8090:80/tcp,udp", "--reserve=no"],
    );
    let offered = |words: &[&str]| -> Vec<String> {
        // As the scripts of the shells ask.
        let index = format!("_CLAP_COMPLETE_INDEX={}", words.len());
        let line = [
            "-c",
            "exec \"$@\"",
            "sh",
            "env",
            "PORTERO_COMPLETE=fish",
            &index,
            "portero",
            "--",
            "portero",
        ];
        let said = world.lab.must("sh", &[&line[..], words].concat());
        said.lines()
            .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
            .collect()
    };
    for words in [
        &["forward", "add", "we"][..],
        &["forward", "remove", "we"],
        &["forward", "list", "we"],
        &["status", "we"],
    ] {
        assert_eq!(offered(words), ["web"], "{words:?}");
    }
    assert_eq!(
        offered(&["forward", "remove", "web", "80"]),
        ["8090/tcp", "8090/udp"]
    );
    assert_eq!(offered(&["forward", "add", "web", "80"]), [""; 0]);
    assert_eq!(
        offered(&["forward", "add", "web", "80", "--network", "la"]),
        ["lan"]
    );
    assert_eq!(
        offered(&["forward", "add", "web", "80", "--dev", "br-l"]),
        ["br-lan"]
    );
    must(world, &["forward", "rm", "web", "--all"]);
    assert_eq!(offered(&["forward", "remove", "web", "80"]), [""; 0]);
    world.stop_web();
    world.is_untouched();
}
