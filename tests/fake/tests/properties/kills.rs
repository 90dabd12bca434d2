//! Whatever is killed at whatever point of its calls, the next comparison or the next event leaves what
//! an undisturbed machine has.

use crate::world::{is_same, Happening, World};
use portero_firewall::Firewall;

/// A guest that nothing else happens to, and what it forwards.
const ANOTHER: Happening = Happening::Start { guest: 4, kind: 2 };

/// What is there before: forwards, by way of loopback too, and policies that name each other, with
/// antispoof, forwards and addresses that the host answers for.
const BEFORE: [Happening; 5] = [
    Happening::StartNetwork {
        network: 0,
        policy: 6,
    },
    Happening::StartNetwork {
        network: 1,
        policy: 2,
    },
    Happening::Start { guest: 0, kind: 3 },
    Happening::Start { guest: 1, kind: 1 },
    Happening::Start { guest: 2, kind: 4 },
];

/// What is killed.
fn events() -> Vec<Happening> {
    let mut events = Vec::from([1, 3, 4].map(|kind| Happening::Start { guest: 3, kind }));
    events.extend((0..3).map(|guest| Happening::Stop { guest }));
    events.extend([3, 4, 5, 6].map(|policy| Happening::StartNetwork { network: 2, policy }));
    events.extend((0..2).map(|network| Happening::StopNetwork { network }));
    events.extend([0, 4].map(|policy| Happening::ChangePolicy { network: 0, policy }));
    events.extend([0, 5].map(|kind| Happening::Edit { guest: 1, kind }));
    events.extend([
        Happening::Reconnect { guest: 0 },
        Happening::RestartDaemon,
        Happening::RestartNetwork,
        Happening::Sync,
    ]);
    events
}

/// The machine before; somebody has thrown the rules away where something is there to put them back.
fn before(firewall: Firewall, event: Happening) -> World {
    let mut world = World::new();
    match firewall {
        Firewall::Iptables => world.machine.use_iptables(),
        Firewall::Nftables => world.machine.use_nftables(),
    }
    for happening in BEFORE {
        world.happens(happening);
    }
    world.wait();
    assert!(world.is_synced());
    world.check();
    let compares = [
        Happening::Reconnect { guest: 0 },
        Happening::RestartDaemon,
        Happening::Sync,
    ];
    if compares.contains(&event) {
        world.machine.flush();
    }
    world
}

/// What comes next of which libvirt tells; nothing when it tells of nothing that would do.
fn next(world: &World, event: Happening) -> Option<Happening> {
    match event {
        // It is tried again.
        Happening::StartNetwork { network, .. } if !world.is_active(network) => Some(event),
        // portero-watch compares when it comes up again.
        Happening::Edit { .. } => None,
        _ => Some(ANOTHER),
    }
}

/// A machine on which the same runs and nothing was killed, after a comparison.
fn undisturbed<'a>(known: &'a mut Vec<World>, world: &World) -> &'a World {
    let at = known.iter().position(|known| known.runs_as(world));
    let at = at.unwrap_or_else(|| {
        let mut fresh = world.fresh();
        assert!(fresh.is_synced());
        known.push(fresh);
        known.len() - 1
    });
    &known[at]
}

/// Kills an event at each of its points; gives how many there are.
fn killed_at_every_point(firewall: Firewall, event: Happening) -> usize {
    let before = before(firewall, event);
    let mut known = Vec::new();
    for left in 0.. {
        let mut world = before.copy();
        world.wait();
        world.left = Some(left);
        world.happens(event);
        if world.left.take().is_some() {
            return left;
        }
        let when = format!("{firewall}: {event:?} is killed after {left} points");
        if let Some(next) = next(&world, event) {
            let mut world = world.copy();
            world.happens(next);
            let expected = undisturbed(&mut known, &world).picture();
            is_same(&world.picture(), &expected, &format!("{when}, {next:?}"));
        }
        world.wait();
        assert!(world.is_synced());
        let expected = undisturbed(&mut known, &world);
        let when = format!("{when}, and everything is compared");
        is_same(&world.picture(), &expected.picture(), &when);
        is_same(&world.state(), &expected.state(), &when);
    }
    unreachable!("it ends")
}

fn events_are_killed(firewall: Firewall) {
    for event in events() {
        let points = killed_at_every_point(firewall, event);
        assert!(points >= 4, "{event:?} has {points} points");
    }
}

#[test]
fn what_a_killed_event_leaves_is_mended_in_iptables() {
    events_are_killed(Firewall::Iptables);
}

#[test]
fn what_a_killed_event_leaves_is_mended_in_nftables() {
    events_are_killed(Firewall::Nftables);
}
