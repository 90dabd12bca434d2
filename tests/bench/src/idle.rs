//! Measurement 1: events that concern no forward, against a process that does nothing.

use crate::hooks::Hooks;
use crate::median::{medians, Side};
use crate::process::Process;
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How many reservations the large network has.
const MANY: u32 = 1000;

/// What every event that concerns no forward is held to.
const LIMIT: Limit = Limit {
    ratio: Some(3.0),
    time: Some(Duration::from_millis(3)),
};

/// Measures on a state in which no hook has written anything yet, against the smallest static program there is: what a
/// process costs at the least. `make bench` compiles it.
///
/// # Errors
/// Those of the processes.
pub fn measure(hooks: &Hooks, programs: &Path, runs: u32) -> io::Result<Vec<Row>> {
    let noop = Process::new(programs.join("portero-noop"), [""; 0]);
    let guest = plain_guest(0);
    let others: Vec<Guest> = (0..MANY).map(plain_guest).collect();
    let few = hooks.life(&guest, std::slice::from_ref(&guest))?;
    // A guest of another name, since the events' files bear it.
    let many = hooks.life(&plain_guest(MANY), &others)?;
    let events = [
        ("daemon start", hooks.daemon_start(), None, LIMIT),
        ("qemu prepare", few.prepare, None, LIMIT),
        ("qemu start", few.start, None, LIMIT),
        ("qemu started", few.started, None, LIMIT),
        (
            "network port-created",
            few.port_created,
            Some(few.port_deleted),
            LIMIT,
        ),
        (
            "network port-created, 1,000 reservations",
            many.port_created,
            Some(many.port_deleted),
            Limit::default(),
        ),
    ];
    let mut rows = Vec::new();
    for (name, event, undo, limit) in &events {
        let with_undo = || {
            let time = event.run()?;
            undo.iter().try_for_each(|undo| undo.run().map(drop))?;
            Ok(time)
        };
        let sides: Vec<Side<'_>> = vec![Box::new(with_undo), Box::new(|| noop.run())];
        let times = medians(runs, sides)?;
        let what = format!("no forward: {name} / static no-op");
        rows.push(Row::costs(what, times[0], times[1], *limit));
    }
    Ok(rows)
}

fn plain_guest(number: u32) -> Guest {
    Guest {
        number,
        first_port: 0,
        forwards: 0,
    }
}
