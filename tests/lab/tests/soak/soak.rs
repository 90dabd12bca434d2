//! Random lives of guests and networks, with kills and flushes between them; the firewall is compared
//! with a model after each step.

use crate::nftables::CHURN;
use crate::world::{Counts, World, WEB_PORT};
use portero_lab::{Backend, Program, Scenario};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "soak: a rule that is gone is seen (control)",
        run: mutation,
    },
    Scenario {
        name: "soak: random lives of guests and networks, kills and flushes",
        run: |world| soak(world, number_of("PORTERO_SOAK_EVENTS", 200)),
    },
    Scenario {
        name: "soak: the same while somebody else changes a set all the time",
        run: beside_others,
    },
];

/// The number in an environment variable, or another one.
pub fn number_of(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is '{text}', expected a number")),
        Err(_) => otherwise,
    }
}

/// The comparison must fail while a rule is missing, and must not before and after.
fn mutation(world: &mut World) {
    world.rng.seed(1);
    for guest in 0..20 {
        let acts = world.starting(guest);
        world.does(&acts);
    }
    world.is_right("some starts");
    for _ in 0..5 {
        world.delete_one();
        let difference = world.difference();
        assert!(
            !difference.is_empty(),
            "a rule was deleted and nothing differs"
        );
        world.sync();
        world.is_right("the mutation");
    }
    let difference = |world: &mut World, change: &[&str]| {
        world.lab.must(change[0], &change[1..]);
        world.difference()
    };
    let added = match world.lab.backend() {
        Backend::Iptables => difference(
            world,
            &["iptables", "-A", "PORTERO-FORWARD", "-j", "ACCEPT"],
        ),
        Backend::Nftables => difference(
            world,
            &[
                "nft",
                "add element inet portero v4 { 6 . 9999 : 10.80.0.10 . 80 }",
            ],
        ),
    };
    assert!(!added.is_empty(), "a rule was added and nothing differs");
    world.sync();
    world.is_right("a rule that was added");
    stop_all(world);
}

/// How often somebody changes a set in a second, at least, where the machine lets him.
const CHANGES: f64 = 20.0;

/// Another program's set gets an element and loses it 50 times a second, each in a commit of its own.
fn beside_others(world: &mut World) {
    // The loop is bash itself, with which it ends; nft ends with what it reads.
    let script = format!(
        "exec > >(exec nft -i >/dev/null 2>&1); n=0; while n=$((n + 1)); do \
         echo \"add table {CHURN}; add set {CHURN} s {{ type ipv4_addr; }}\"; \
         echo \"add element {CHURN} s {{ 192.0.2.7 comment \\\"$n\\\" }}\"; sleep 0.02; \
         echo \"delete element {CHURN} s {{ 192.0.2.7 }}\"; done"
    );
    let churn = Program::start("bash", &["-c", &script]);
    let begin = Instant::now();
    soak(world, number_of("PORTERO_SOAK_EVENTS", 200));
    let rate = 2.0 * churned(world) / begin.elapsed().as_secs_f64();
    println!("  {rate:.0} changes a second");
    assert!(rate > CHANGES, "it had nobody beside it");
    drop(churn);
    let table: Vec<&str> = CHURN.split(' ').collect();
    // It may have made it once more after a flush.
    let _ = world
        .lab
        .run("nft", &[&["delete", "table"], &table[..]].concat());
    world.note_foreign();
}

/// How often the set has had its element, by the kernel's word.
fn churned(world: &World) -> f64 {
    let set: Vec<&str> = CHURN.split(' ').chain(["s"]).collect();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let listing = world.lab.run("nft", &[&["list", "set"], &set[..]].concat());
        let number = listing.stdout.split('"').nth(1);
        if let Some(number) = number {
            return number.parse().expect("a number");
        }
        assert!(Instant::now() < end, "nobody changes it: {listing:?}");
    }
}

fn soak(world: &mut World, events: u64) {
    let events = u32::try_from(events).expect("not so many");
    let seed = number_of("PORTERO_SOAK_SEED", 1);
    println!("  PORTERO_SOAK_SEED={seed}, {events} events");
    world.rng.seed(seed);
    world.counts = Counts::default();
    world.start_watch();
    world.calm.begin(world.lab.agent(), WEB_PORT);
    let begin = Instant::now();
    let half = events / 2;
    // It has more once it has looked at everybody's rules, which it does at times of its own.
    let early_looks = [10, 4, 2].map(|part| half + half / part);
    let (mut early, mut early_peak) = ((0, 0), 0);
    for event in 0..events {
        // In the second half it lives on, so that it can be seen whether it grows.
        match (event < half, &world.watch) {
            (true, Some(_)) if world.rng.u8(..50) == 0 => {
                world.watch = None;
                world.counts.watch_kills += 1;
            }
            (true, None) if world.rng.u8(..10) == 0 => world.start_watch(),
            (false, None) => world.start_watch(),
            _ => {}
        }
        let what = world.step();
        world.is_right(what);
        if early_looks.contains(&event) {
            let (memory, files) = world.watch_size();
            early = (early.0.max(memory), files);
        }
        if event == early_looks[0] {
            early_peak = world.counts.hooks.peak;
        }
        if event % 20 == 0 {
            world.keeps_no_more();
        }
        if event % 1000 == 999 {
            println!(
                "  event {} after {:.0} s",
                event + 1,
                begin.elapsed().as_secs_f64()
            );
        }
    }
    let took = begin.elapsed();
    let late = world.watch_size();
    let counts = std::mem::take(&mut world.counts);
    let (answers, failures) = world.calm.end();
    println!(
        "  {} events in {:.0} s: {} hooks, {} kills of them or their programs, {} of portero-watch, {} flushes",
        counts.events,
        took.as_secs_f64(),
        counts.hooks.hooks,
        counts.hooks.kills,
        counts.watch_kills,
        counts.flushes
    );
    println!(
        "  {} comparisons of {} rows on the average; longest hook {} ms, longest turn of portero-watch {} ms",
        counts.comparisons,
        counts.rows / counts.comparisons.max(1) as usize,
        counts.hooks.longest.as_millis(),
        counts.longest_turn.as_millis()
    );
    println!(
        "  portero-watch: {} KiB and {} open files early, {} KiB and {} at the end; hooks: {} KiB at most early, {} in all",
        early.0, early.1, late.0, late.1, early_peak, counts.hooks.peak
    );
    println!(
        "  the real guest answered {answers} times, and {} times not",
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:?}");
    assert!(answers > 0, "the real guest was not asked");
    assert!(
        late.0 <= early.0 * 5 / 4 + 1024,
        "portero-watch grows: {early:?}, {late:?}"
    );
    assert_eq!(late.1, early.1, "portero-watch has other open files");
    assert!(
        counts.hooks.peak <= early_peak * 5 / 4 + 1024,
        "hooks grow from {early_peak} to {} KiB",
        counts.hooks.peak
    );
    assert!(counts.hooks.kills > 0 && counts.flushes > 0);
    world.watch = None;
    stop_all(world);
}

/// Everything that is recorded stops, and nothing of it is left.
fn stop_all(world: &mut World) {
    for guest in 0..world.guests.len() {
        if world.guests[guest].is_running {
            let acts = world.stopping(guest);
            world.does(&acts);
        }
    }
    world.is_right("the stop of all guests");
    world.stop_networks();
    world.is_right("the stop of all networks");
    world.sync();
    world.keeps_no_more();
    world.has_stopped();
}
