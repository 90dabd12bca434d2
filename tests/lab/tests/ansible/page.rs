//! The playbook of the page: forwards, a policy and a group on both hosts.

use crate::world::{World, HOSTS};
use portero_lab::{From, Proto, Scenario};

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "the page's playbook serves both hosts, and a second run changes nothing",
    run: twice,
}];

const PLAYBOOK: &str = "/etc/ansible/portero.yml";

fn twice(world: &mut World) {
    // The control: without the playbook nobody serves the port, and everybody reaches the guests.
    world.refuses(8080);
    reaches(world, From::Outside);
    reaches(world, From::Namespace("office"));

    let before = world.seen();
    let checked = world.play_page(PLAYBOOK, &["--check", "--diff"]);
    checked.changes(3);
    for shown in ["+++ after: /etc/portero/groups/office.xml", "8080:80/tcp"] {
        assert!(checked.output.contains(shown), "{checked}");
    }
    assert_eq!(world.seen(), before, "check mode has changed something");
    world.refuses(8080);

    world.play_page(PLAYBOOK, &[]).changes(3);
    world.serves(8080);
    reaches(world, From::Namespace("office"));
    for host in HOSTS {
        world
            .first
            .refuses(From::Outside, Proto::Tcp, host.guest, 80);
    }

    let after = world.seen();
    assert_ne!(after, before);
    world.play_page(PLAYBOOK, &["--check"]).changes(0);
    world.play_page(PLAYBOOK, &[]).changes(0);
    assert_eq!(world.seen(), after, "the second run has changed something");
    world.clean();
    reaches(world, From::Outside);
    let again = world.task("forward", "domain: web, state: absent", &[]);
    again.changes(0);
}

fn reaches(world: &World, from: From<'_>) {
    for host in HOSTS {
        world
            .first
            .answers(from, Proto::Tcp, host.guest, 80, "web tcp 80");
    }
}
