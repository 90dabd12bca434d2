//! What commands exit with, as their pages have it, and that `--json` prints JSON whatever is found.

use crate::world::World;
use portero_lab::{Backend, Scenario, OUTSIDE_V4};
use serde_json::Value;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "statuses: each command exits as its page has it, and prints JSON where it is asked to",
    run: statuses,
}];

/// What a command prints, and its exit status.
fn exits(world: &World, words: &str) -> (String, i32) {
    let script = format!("portero {words} 2>/dev/null; echo \"; $?\"");
    let said = world.lab.must("sh", &["-c", &script]);
    let (said, status) = said.trim_end().rsplit_once("; ").expect("a status");
    (said.to_owned(), status.parse().expect("a number"))
}

fn expect(world: &World, commands: &[(&str, i32)]) {
    for (words, expected) in commands {
        let (said, status) = exits(world, words);
        assert_eq!(status, *expected, "portero {words}: {said}");
        if words.contains("json") && status != 2 {
            let json: Result<Value, _> = serde_json::from_str(&said);
            assert!(json.is_ok(), "portero {words}: {said}");
        }
    }
}

fn statuses(world: &mut World) {
    world.serves();
    let guest = format!("explain web --to {OUTSIDE_V4}:80");
    let packet = format!("policy explain web {OUTSIDE_V4} tcp 80");
    expect(
        world,
        &[
            ("status", 0),
            ("status --json", 0),
            ("status web --json", 0),
            ("status nobody", 1),
            ("map", 0),
            ("map --format json", 0),
            ("map lan --format json", 0),
            ("map nobody", 1),
            ("explain 8080", 0),
            ("explain 8080 --json", 0),
            ("explain 8099", 1),
            ("explain 8099 --json", 1),
            ("explain 8080 --json --format svg", 2),
            ("explain nobody", 1),
            ("explain", 2),
            // A forward of web's is for an address that the host lacks.
            (&guest, 1),
            (&format!("{guest} --json"), 1),
            (&packet, 0),
            (&format!("{packet} --json"), 0),
            ("policy explain web", 2),
            ("policy explain nobody web tcp 80", 1),
            ("policy show --json", 0),
            ("policy check lan --json", 0),
            ("policy check nobody --json", 1),
            ("plan", 0),
            ("plan --json", 0),
            ("sync", 0),
            ("sync --json", 2),
            ("forward list", 0),
            ("forward list --json", 0),
            ("forward add web 8080:80 --live", 0),
            ("forward remove web 1:2 --live", 1),
            ("bridge status", 0),
            ("bridge plan --bridge br9 --nic nobody", 1),
            ("validate /nobody", 1),
            ("nonsense", 2),
            ("--version", 0),
        ],
    );
    // What doctor finds is what it exits with.
    let (said, status) = exits(world, "doctor --json");
    let json: Value = serde_json::from_str(&said).expect("JSON");
    let findings = json["findings"].as_array().expect("findings");
    assert_eq!(status, i32::from(!findings.is_empty()), "{said}");
    match world.lab.backend() {
        Backend::Nftables => world.lab.must("nft", &["delete table inet portero"]),
        Backend::Iptables => world
            .lab
            .must("iptables", &["-t", "nat", "-F", "PORTERO-DNAT"]),
    };
    expect(
        world,
        &[
            ("plan", 3),
            ("plan --json", 3),
            ("explain 8080", 1),
            ("explain 8080 --json", 1),
            ("doctor", 1),
            ("doctor --json", 1),
            ("sync --dry-run", 3),
            ("sync", 0),
            ("plan", 0),
        ],
    );
    world.serves();
}
