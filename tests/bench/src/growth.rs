//! Measurement 3: start and stop of one guest beside many others.
//!
//! Each number of others is a world of its own, a worker process in namespaces of its own, so that
//! all of them stand at once and take turns.

use crate::hooks::{Hooks, Life};
use crate::process::Process;
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use crate::worker::{answer, answer_each_request, medians_of, Command, Firewall, Role, Worker};
use crate::world;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How many forwards each guest has.
const FORWARDS: u32 = 10;

/// At most this many times what it takes beside the fewest others.
const LIMIT: Limit = Limit {
    ratio: Some(2.0),
    time: None,
};

/// Measures beside each of these numbers of others; all but the last are only told.
///
/// # Errors
/// Those of the workers and their processes.
pub fn measure(
    programs: &Path,
    firewall: Firewall,
    others: &[u32],
    runs: u32,
) -> io::Result<Vec<Row>> {
    let workers: Vec<Worker> = others
        .iter()
        .map(|others| {
            let worker = Worker::spawn(
                programs,
                Role::Others {
                    firewall,
                    number: *others,
                },
            )?;
            eprintln!("{others} other guests installed in {:.1?}", worker.took());
            Ok(worker)
        })
        .collect::<io::Result<_>>()?;
    let times = medians_of(runs, workers)?;
    let rows = others.iter().zip(&times).enumerate();
    Ok(rows
        .map(|(index, (number, time))| {
            let limit = if index > 0 && index + 1 == others.len() {
                LIMIT
            } else {
                Limit::default()
            };
            let what = format!(
                "{firewall}: start + stop beside {number} guests / beside {}",
                others[0]
            );
            Row::costs(what, *time, times[0], limit)
        })
        .collect())
}

/// The worker: installs the others, then measures once for each line it reads. Every answer is a
/// line with nanoseconds, the first what the others took.
///
/// # Errors
/// Those of the processes.
pub fn work(hooks: &Hooks, firewall: Firewall, others: u32) -> io::Result<()> {
    world::set_up()?;
    if firewall == Firewall::Nftables {
        world::make_libvirt_nftables()?;
    }
    let guests: Vec<Guest> = (0..=others).map(numbered).collect();
    let begin = std::time::Instant::now();
    install(hooks, &guests, &guests[1..])?;
    answer(begin.elapsed())?;
    let life = hooks.life(&guests[0], &guests)?;
    life.gain_trust()?;
    check_installed(firewall, others + 1, &life)?;
    answer_each_request(|| Ok(life.begin()? + life.end()?))
}

/// Starts guests on a network with reservations for all.
fn install(hooks: &Hooks, reserved: &[Guest], guests: &[Guest]) -> io::Result<()> {
    hooks.network_started(reserved)?.run()?;
    for guest in guests {
        // Their port-created tells nothing that the network's own event has not.
        let life = hooks.life(guest, &[])?;
        life.prepare.run()?;
        life.start.run()?;
    }
    Ok(())
}

/// How many guests run while a command is measured.
const GUESTS: u32 = 1000;

/// Measures a comparison that finds nothing to do, and what `portero status` tells, of one guest and of many.
///
/// # Errors
/// Those of the workers and their processes.
pub fn measure_commands(programs: &Path, runs: u32) -> io::Result<Vec<Row>> {
    let rows = [
        (Command::Sync, ", nothing to repair", 150),
        (Command::Status, "", 300),
    ];
    let rows = rows.into_iter().map(|(command, finds, limit)| {
        let worker = |guests| Worker::spawn(programs, Role::Command { command, guests });
        let times = medians_of(runs, vec![worker(1)?, worker(GUESTS)?])?;
        let word = command.word();
        let what = format!("nftables: portero {word}{finds}, {GUESTS} guests x {FORWARDS} / 1");
        let limit = Limit {
            ratio: None,
            time: Some(Duration::from_millis(limit)),
        };
        Ok(Row::costs(what, times[1], times[0], limit))
    });
    rows.collect()
}

/// The worker of that.
///
/// # Errors
/// Those of the processes.
pub fn command(hooks: &Hooks, command: Command, guests: u32) -> io::Result<()> {
    world::set_up()?;
    world::make_libvirt_nftables()?;
    let guests: Vec<Guest> = (0..guests).map(numbered).collect();
    let begin = std::time::Instant::now();
    install(hooks, &guests, &guests)?;
    answer(begin.elapsed())?;
    let operator = hooks.operator_command();
    Process::new(&operator, ["sync"]).run()?;
    let measured = Process::new(&operator, [command.word()]);
    answer_each_request(|| measured.run())
}

fn numbered(number: u32) -> Guest {
    Guest {
        number,
        first_port: 10_000 + number * FORWARDS,
        forwards: FORWARDS,
    }
}

/// The measurement means something only when all the others' rules are there.
fn check_installed(firewall: Firewall, guests: u32, life: &Life) -> io::Result<()> {
    life.begin()?;
    let found = match firewall {
        Firewall::Iptables => {
            let saved = Process::new("iptables-save", ["-t", "nat"]).output()?;
            saved.matches("-j DNAT").count()
        }
        Firewall::Nftables => {
            let listed = Process::new("nft", ["list", "map", "inet", "portero", "v4"]).output()?;
            listed.matches(" : ").count().saturating_sub(1)
        }
    };
    life.end()?;
    if found == (guests * FORWARDS) as usize {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{found} forwards are in the firewall, expected {FORWARDS} for each of {guests} guests"
    )))
}
