//! System calls that fail, one at a time, in every kind of event.

use crate::kind::Kind;
use crate::trace::{chosen, Trace};
use crate::world::World;
use portero_lab::Scenario;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name:
        "an event one of whose system calls fails leaves the old or the new, and the next mends it",
    run: failing,
}];

/// Calls with what they fail with, and how many of them are the dynamic loader's and the runtime's,
/// before the hook's own.
const CALLS: [(&str, &str, usize); 13] = [
    ("openat", "EIO", 4),
    ("read", "EIO", 2),
    ("write", "ENOSPC", 0),
    ("fdatasync", "EIO", 0),
    ("rename", "EROFS", 0),
    ("unlink", "EROFS", 0),
    ("mkdir", "ENOSPC", 0),
    ("flock", "ENOLCK", 0),
    ("pipe2", "EMFILE", 0),
    ("clone3", "EAGAIN", 0),
    ("sendto", "ENOBUFS", 0),
    ("socket", "EMFILE", 0),
    ("getdents64", "EIO", 0),
];

fn failing(world: &mut World) {
    let names = CALLS.map(|(call, _, _)| call);
    let (mut failures, mut refusals, mut kinds) = (0, 0, 0);
    for kind in Kind::all() {
        let rules = kind.rules(world);
        kind.prepare(world);
        let trace = Trace::of(&kind.act, &names);
        kind.undo();
        let each = CALLS.iter().flat_map(|(call, error, foreign)| {
            (foreign + 1..=trace.count(call)).map(move |at| (*call, *error, at))
        });
        for (call, error, at) in chosen(each, kinds) {
            kind.prepare(world);
            let how = format!("error={error}:when={at}");
            let Some(ran) = Trace::inject(&kind.act, call, &how) else {
                kind.undo();
                continue;
            };
            failures += 1;
            refusals += usize::from(!ran.ok);
            let what = format!("{call} {at} of {} fails with {error}", kind.name);
            kind.expects(&rules, &world.tables(), &ran, &what);
            kind.is_mended(world, &rules, &what);
        }
        kinds += 1;
    }
    println!("  survived {failures} failed calls in {kinds} kinds of events, {refusals} of which refused it");
    assert!(failures > 100, "only {failures}: strace did not inject");
    assert!(refusals > 5, "only {refusals} refusals");
    world.is_untouched();
}
