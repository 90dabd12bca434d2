//! A migration that fails or is given up: the guest's ports stay where they were.

use crate::world::{wait_until, Place, World};
use portero_lab::{From, Program, Proto, Scenario, HOST_V4};
use Place::{First, Second};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a port that the destination has no more",
        run: taken,
    },
    Scenario {
        name: "a migration that is given up",
        run: given_up,
    },
];

fn taken(world: &mut World) {
    world.web_at(First);
    let second = world.at(Second);
    let agent = second.agent();
    let program = second.start(&agent, &["listen", "203.0.113.3:8080"]);
    wait_until("nothing listens at the second host", || {
        let asked = world
            .first
            .probe(From::Outside, Proto::Tcp, "203.0.113.3", 8080);
        asked.is_ok()
    });
    let refused = world.try_migrate(Second, &[]);
    assert!(!refused.ok, "{refused:?}");
    assert!(refused.stderr.contains("8080"), "{refused:?}");
    assert!(!world.runs_at(Second));
    drop(program);
    world.serves_only_at(First);
}

fn given_up(world: &mut World) {
    world.web_at(First);
    // So slow that it takes a minute.
    let words = World::migration(Second, &["--bandwidth", "1"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let migration = Program::start("virsh", &words);
    wait_until("the second host does not expect the guest", || {
        let status = world.at(Second).run("portero", &["status"]);
        status.stdout.contains("192.168.50.10:80")
    });
    // The guest still is where it was.
    let asked = &world.first;
    asked.answers(From::Outside, Proto::Tcp, HOST_V4, 8080, "web tcp 80");
    assert!(world.runs_at(First));
    world.first.virsh(&["domjobabort", "web"]);
    wait_until("the second host still expects the guest", || {
        let status = world.at(Second).run("portero", &["status"]);
        !status.stdout.contains("web")
    });
    drop(migration);
    world.serves_only_at(First);
}
