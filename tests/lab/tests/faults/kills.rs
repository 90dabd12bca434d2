//! Kills, at every step of every kind of event, of the program and of those that it runs.

use crate::act::Act;
use crate::kind::Kind;
use crate::program::{aside, put_back, replace, writers};
use crate::rules::Rules;
use crate::trace::{chosen, ran, Trace, LOG};
use crate::world::World;
use portero_lab::{Backend, Scenario};
use std::fs;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a program killed at any of its steps leaves the old or the new, and the next event mends it",
        run: killed,
    },
    Scenario {
        name: "the firewall's program killed at any of its steps",
        run: firewall_killed,
    },
];

/// Where portero, or a program that it runs, can be killed: all that changes or starts something.
const CALLS: &str = "rename,renameat,renameat2,unlink,unlinkat,openat,mkdir,fdatasync,vfork,clone,clone3,execve,sendto,sendmsg,flock,setsockopt";

fn killed(world: &mut World) {
    let (mut kills, mut kinds) = (0, 0);
    for kind in Kind::all() {
        let rules = kind.rules(world);
        kind.prepare(world);
        let longest = Trace::longest(&kind.act, CALLS);
        kind.undo();
        for at in chosen(1..=longest, kinds) {
            kind.prepare(world);
            // Not before its programs have ended is everything as it stays.
            let command = kind
                .act
                .command(&["strace", "-f", "-o", LOG, "-e", &kill(at)]);
            let ran = ran(command);
            kills += usize::from(was_killed());
            let what = format!("{} killed at call {at}: {ran:?}", kind.name);
            is_healed(world, &kind, &rules, at, &what);
        }
        kinds += 1;
    }
    println!("  survived {kills} kills of portero's programs in {kinds} kinds of events");
    assert!(kills > 30, "strace did not inject");
    world.is_untouched();
}

fn firewall_killed(world: &mut World) {
    let (mut kills, mut kinds) = (0, 0);
    let programs = writers(world);
    for kind in Kind::all() {
        let rules = kind.rules(world);
        // A step of such a program is a message to the kernel, before, in and after the transaction.
        for at in chosen(1..=60, kinds) {
            kind.prepare(world);
            for program in programs {
                let script = format!(
                    "#!/bin/sh\nexec strace -A -o {LOG} -e '{}' {} \"$@\"\n",
                    kill(at),
                    aside(program)
                );
                replace(program, &script);
            }
            let command = kind.act.command(&[]);
            let _ = fs::remove_file(LOG);
            let ran = ran(command);
            programs.iter().for_each(|program| put_back(program));
            kills += usize::from(was_killed());
            let what = format!(
                "the firewall's program killed at call {at} of {}",
                kind.name
            );
            assert!(ran.ok || kind.act.may_fail(), "{what}: {ran:?}");
            is_healed(world, &kind, &rules, at, &what);
        }
        kinds += 1;
    }
    println!("  survived {kills} kills of the firewall's programs in {kinds} kinds of events");
    match world.lab.backend() {
        Backend::Iptables => assert!(kills > 5, "strace did not inject"),
        Backend::Nftables => assert_eq!(kills, 0, "nft was run"),
    }
    world.is_untouched();
}

fn kill(at: usize) -> String {
    format!("inject={CALLS}:signal=KILL:when={at}")
}

/// Whether strace has seen a kill.
fn was_killed() -> bool {
    let log = fs::read_to_string(LOG);
    log.is_ok_and(|log| log.contains("+++ killed by SIGKILL"))
}

/// Expects that each transaction was made or not, and that what comes next makes all well: in every
/// second case a comparison comes first.
fn is_healed(world: &World, kind: &Kind, rules: &Rules, at: usize, what: &str) {
    rules.are_made_or_not(&world.tables(), what);
    if at % 2 == 0 {
        assert!(Act::Sync.run(), "{what}, then sync");
        rules.are_whole(&world.tables(), &format!("{what}, then sync"));
    }
    kind.is_mended(world, rules, what);
}
