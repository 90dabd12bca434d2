//! A migration that succeeds: the guest's ports are served where it is now, and only there.

use crate::world::{wait_until, Place, World};
use portero_lab::Scenario;
use Place::{First, Second};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a guest moves, its definition stays",
        run: definition_stays,
    },
    Scenario {
        name: "a guest moves with its definition, from daemon to daemon",
        run: definition_moves,
    },
    Scenario {
        name: "a guest moves while portero-watch runs",
        run: watched,
    },
];

fn definition_stays(world: &mut World) {
    world.web_at(First);
    world.migrate(Second, &[]);
    assert_eq!(world.first.virsh(&["domstate", "web"]).trim(), "shut off");
    world.serves_only_at(Second);
    // libvirt hands on what it was given, with nothing of a hook in it.
    let xml = world.at(Second).virsh(&["dumpxml", "web"]);
    assert_eq!(xml.matches("portForward").count(), 6, "{xml}");
    // It ends there as any other guest.
    world.migrate(First, &["--persistent"]);
    world.serves_only_at(First);
}

fn definition_moves(world: &mut World) {
    world.web_at(First);
    world.migrate(Second, &["--p2p", "--persistent", "--undefinesource"]);
    let left = world.first.virsh(&["list", "--all", "--name"]);
    assert!(!left.contains("web"), "{left}");
    world.serves_only_at(Second);
    world.at(Second).virsh(&["destroy", "web"]);
    world.at(Second).virsh(&["start", "web"]);
    world.at(Second).wait_guest(crate::world::WEB);
    world.serves_only_at(Second);
    world.migrate(First, &["--persistent", "--undefinesource"]);
    let left = world.at(Second).virsh(&["list", "--all", "--name"]);
    assert!(!left.contains("web"), "{left}");
    world.serves_only_at(First);
}

fn watched(world: &mut World) {
    world.web_at(First);
    let _watches = [First, Second].map(|place| {
        let machine = world.at(place);
        let marker = machine.path("/run/portero/compared");
        let _ = std::fs::remove_file(&marker);
        let watch = machine.start("portero-watch", &[]);
        wait_until("portero-watch does not compare", || marker.exists());
        watch
    });
    for to in [Second, First] {
        world.migrate(to, &["--persistent"]);
        world.serves_only_at(to);
        // Whatever it does a little later must not change anything.
        std::thread::sleep(std::time::Duration::from_millis(700));
        world.serves_only_at(to);
    }
}
