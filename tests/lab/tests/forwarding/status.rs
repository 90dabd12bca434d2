//! What `portero status` says is so: who waits and why, who is there, and what has gone by.

use crate::world::World;
use portero_lab::{Backend, DomainXml, From, Program, Proto, Scenario, HOST_V4};
use serde_json::Value;
use std::time::{Duration, Instant};
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "status: what waits, and then does not, is seen as it changes",
        run: waits,
    },
    Scenario {
        name: "status: real connections are counted",
        run: counted,
    },
    Scenario {
        name: "status: --watch --json has a line for each change, and none without",
        run: lines,
    },
    Scenario {
        name: "status: --watch ends when it is told to, and when nobody reads",
        run: ends,
    },
];

/// Where the status that is watched is written.
const WATCHED: &str = "/run/lab/files/watched";

fn status(world: &World) -> Value {
    let json = world.lab.must("portero", &["status", "--json"]);
    serde_json::from_str(&json).expect("JSON")
}

/// The only forward of a domain.
fn forward<'a>(status: &'a Value, domain: &str) -> &'a Value {
    let forwards = status["forwards"].as_array().expect("forwards");
    let mut own = forwards.iter().filter(|forward| forward["name"] == domain);
    let found = own.next().expect("a forward");
    assert!(own.next().is_none(), "{forwards:?}");
    found
}

fn watched() -> Vec<String> {
    let text = std::fs::read_to_string(WATCHED).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    portero_lab::wait_until(Duration::from_secs(60), what, is_so);
}

fn waits(world: &mut World) {
    let lab = &world.lab;
    let script = format!("exec portero status --watch --json >{WATCHED}");
    let watch = Program::start("sh", &["-c", &script]);
    wait_until("nothing is watched", || watched().len() == 1);
    let before = status(world);
    assert_eq!(before["forwards"], serde_json::json!([]), "{before}");
    lab.define(&DomainXml {
        name: "late",
        nics: &[("far", "52:54:00:00:60:71")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8071' to='80'/></portero:portForward>",
    });
    lab.virsh(&["start", "late"]);
    let pending = status(world);
    let late = forward(&pending, "late");
    assert_eq!(late["state"], "pending", "{late}");
    let reason = late["reason"].as_str().expect("a reason");
    assert!(reason.contains("lease for 52:54:00:00:60:71"), "{reason}");
    for unknown in ["guest", "connections", "packets", "bytes"] {
        assert!(late[unknown].is_null(), "{unknown} of {late}");
    }
    let tables = lab.must("portero", &["status"]);
    let is_row = |line: &str| line.starts_with("domain late") && line.contains("  pending: ");
    assert!(tables.lines().any(is_row), "{tables}");
    wait_until("the guest has no lease", || {
        let leases = "/var/lib/libvirt/dnsmasq/br-far.status";
        std::fs::read_to_string(leases).is_ok_and(|leases| leases.contains("60:71"))
    });
    lab.must("portero", &["sync"]);
    let active = status(world);
    let late = forward(&active, "late");
    assert_eq!(late["state"], "active", "{late}");
    let guests = active["guests"].as_array().expect("guests");
    let guest = guests.iter().find(|guest| guest["name"] == "late");
    let interface = &guest.expect("the guest")["interfaces"][0];
    assert_eq!(interface["network"], "far");
    assert_eq!(interface["addresses"][0], late["guest"]);
    let networks = active["networks"].as_array().expect("networks");
    let of = |network: &Value| (network["name"].clone(), network["guests"].clone());
    let known: Vec<(Value, Value)> = networks.iter().map(of).collect();
    let expected = [("cell", 0), ("far", 2), ("lan", 1)];
    assert_eq!(
        known,
        expected.map(|(name, guests)| (name.into(), guests.into()))
    );
    // Whoever watches has seen all of it, once.
    let last = || watched().last().cloned().unwrap_or_default();
    let is_last = |seen: &Value| {
        let last: Value = serde_json::from_str(&last()).unwrap_or_default();
        last == *seen
    };
    wait_until("what is active is not seen", || is_last(&active));
    let lines = watched();
    assert!(lines.iter().any(|line| line.contains("\"pending\"")));
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(watched().len(), lines.len(), "nothing has changed");
    lab.virsh(&["destroy", "late"]);
    lab.virsh(&["undefine", "late"]);
    wait_until("that it is gone is not seen", || {
        !last().contains("\"late\"")
    });
    drop(watch);
    world.is_untouched();
}

fn lines(world: &mut World) {
    world.start_web("");
    let lab = &world.lab;
    let script = format!("exec portero status --watch --json >{WATCHED}");
    let watch = Program::start("sh", &["-c", &script]);
    wait_until("nothing is watched", || watched().len() == 1);
    let objects = || -> Vec<Value> {
        let lines = watched().into_iter();
        let object = |line: String| serde_json::from_str(&line).expect("an object in a line");
        lines.map(object).collect()
    };
    let wait_for = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        wait_until(what, || {
            objects()
                .last()
                .is_some_and(|last| is_so(&last["forwards"]))
        });
    };
    assert_eq!(objects()[0]["forwards"], serde_json::json!([]));
    lab.must("portero", &["forward", "add", "web", "8090:80"]);
    wait_for("the forward is not seen", &|forwards| {
        forwards[0]["state"] == "active" && forwards[0]["packets"] == 0
    });
    // The control: where nothing happens, no line is added.
    let calm = watched().len();
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(watched().len(), calm, "{:?}", watched());
    lab.answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    wait_for("what was sent is not seen", &|forwards| {
        forwards[0]["packets"]
            .as_u64()
            .is_some_and(|packets| packets >= 6)
    });
    lab.must("portero", &["forward", "remove", "web", "8090"]);
    wait_for("that it is gone is not seen", &|forwards| {
        forwards == &serde_json::json!([])
    });
    let all = objects();
    for pair in all.windows(2) {
        assert_ne!(pair[0], pair[1], "a line without news");
    }
    let last = all.last().expect("a line");
    assert_eq!(*last, status(world), "it is not what --json prints");
    drop(watch);
    world.stop_web();
    world.is_untouched();
}

fn counted(world: &mut World) {
    world.start_web("<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>");
    let numbers = |world: &World| {
        let status = status(world);
        let web = forward(&status, "web");
        assert_eq!(web["state"], "active", "{web}");
        ["connections", "packets", "bytes"].map(|name| web[name].as_u64())
    };
    // nftables counts what goes through, and nobody who begins.
    let are_connections_counted = world.lab.backend() == Backend::Iptables;
    let none = are_connections_counted.then_some(0);
    // The guest has been reached at its own address only.
    assert_eq!(numbers(world), [none, Some(0), Some(0)]);
    for _ in 0..3 {
        let answer =
            world
                .lab
                .probe_for(Duration::from_secs(10), From::Outside, Tcp, HOST_V4, 8080);
        assert!(answer.is_ok_and(|line| line.starts_with("web tcp 80")));
    }
    // Whoever is refused is not counted.
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8081);
    let [connections, packets, bytes] = numbers(world);
    assert_eq!(connections, are_connections_counted.then_some(3));
    // At least what opens and closes a connection goes both ways, and an answer.
    assert!(packets >= Some(3 * 6), "{packets:?}");
    assert!(bytes >= packets.map(|packets| packets * 40), "{bytes:?}");
    world.stop_web();
    world.is_untouched();
}

fn ends(world: &mut World) {
    let lab = &world.lab;
    let ended = lab.run(
        "sh",
        &[
            "-c",
            "timeout --preserve-status -s INT 1 portero status --watch",
        ],
    );
    assert!(ended.ok, "{ended:?}");
    assert!(ended.stdout.starts_with("NETWORK  MODE"), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
    // One table, since nothing has changed.
    assert_eq!(ended.stdout.matches("NETWORK  MODE").count(), 1);
    let begin = Instant::now();
    let read = lab.run("sh", &["-c", "portero status --watch | head -n 1"]);
    assert!(read.ok, "{read:?}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{read:?}");
    let begin = Instant::now();
    let script = "(portero status --watch --json; echo \"exit $?\" >&2) | head -n 1";
    let read = lab.run("sh", &["-c", script]);
    assert_eq!(read.stderr.trim(), "exit 0", "{read:?}");
    assert!(read.stdout.starts_with("{\"networks\":"), "{read:?}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{read:?}");
    // Lines for programs are lines on a terminal too.
    let watch = "timeout --foreground --preserve-status -s TERM 5 portero status --watch --json";
    let lines = lab.run("sh", &["-c", &format!("script -qec '{watch}' /dev/null")]);
    assert!(!lines.stdout.contains('\u{1b}'), "{lines:?}");
    assert_eq!(lines.stdout.lines().count(), 1, "{lines:?}");
    // On a terminal it is drawn again in its place.
    let watch = "timeout --foreground --preserve-status -s TERM 5 portero status --watch";
    let script = format!("TERM=xterm script -qec '{watch}' /dev/null");
    let drawn = lab.run("sh", &["-c", &script]);
    assert!(drawn.ok, "{drawn:?}");
    assert!(drawn.stdout.matches("\u{1b}[H").count() >= 2, "{drawn:?}");
    assert!(drawn.stdout.contains("\u{1b}[1mNETWORK"), "{drawn:?}");
    let plain = lab.run("sh", &["-c", &format!("NO_COLOR=1 {script}")]);
    assert!(plain.stdout.contains("\u{1b}[HNETWORK"), "{plain:?}");
}
