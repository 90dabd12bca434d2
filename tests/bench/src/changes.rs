//! The start of a guest while somebody else changes nftables all the time, beside the same without.

use crate::hooks::{Hooks, Life};
use crate::process::Process;
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use crate::worker::{answer, answer_each_request, medians_of, Activity, Role, Worker};
use crate::world::{self, FOLDER};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many elements somebody else's set has.
const FOREIGN: u32 = 220_000;

/// How long between two changes of others.
const PAUSE: Duration = Duration::from_millis(10);

/// Measures.
///
/// # Errors
/// Those of the workers and their processes.
pub fn measure(programs: &Path, runs: u32) -> io::Result<Row> {
    let worker = |activity| Worker::spawn(programs, Role::Changes { activity });
    let workers = vec![worker(Activity::Quiet)?, worker(Activity::Busy)?];
    let times = medians_of(runs, workers)?;
    let what = format!(
        "nftables: start, {FOREIGN} elements and {} changes/s of others / neither",
        1000 / PAUSE.as_millis()
    );
    let limit = Limit {
        ratio: Some(1.3),
        time: None,
    };
    Ok(Row::costs(what, times[1], times[0], limit))
}

/// The worker: a world with another guest, portero-watch, and what others do.
///
/// # Errors
/// Those of the processes.
pub fn work(hooks: &Hooks, activity: Activity) -> io::Result<()> {
    world::set_up()?;
    world::make_libvirt_nftables()?;
    hooks.daemon_start().run()?;
    let guests = [1, 2].map(|number| Guest {
        number,
        first_port: 20_000 + 100 * number,
        forwards: 10,
    });
    hooks.network_started(&guests)?.run()?;
    let lives: Vec<Life> = guests
        .iter()
        .map(|guest| hooks.life(guest, &guests))
        .collect::<io::Result<_>>()?;
    lives[1].begin()?;
    lives[0].gain_trust()?;
    let mut watch = Command::new(hooks.watch());
    let watch = Ends(watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let changes = AtomicU32::new(0);
    let (acts, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let begin = Instant::now();
    if activity == Activity::Busy {
        make_foreign()?;
    }
    thread::scope(|scope| {
        let changer =
            (activity == Activity::Busy).then(|| scope.spawn(|| change(&acts, &is_over, &changes)));
        answer(begin.elapsed())?;
        let measured = answer_each_request(|| {
            acts.store(true, Ordering::Relaxed);
            // They are at it before the guest comes.
            thread::sleep(Duration::from_millis(300));
            let before = changes.load(Ordering::Relaxed);
            let cost = lives[0].begin()?;
            acts.store(false, Ordering::Relaxed);
            if activity == Activity::Busy
                && changes.load(Ordering::Relaxed) == before
                && cost.time > PAUSE * 3
            {
                return Err(io::Error::other("others changed nothing meanwhile"));
            }
            lives[0].end()?;
            Ok(cost)
        });
        is_over.store(true, Ordering::Relaxed);
        if let Some(changer) = changer {
            changer
                .join()
                .map_err(|_| io::Error::other("others' changes failed"))??;
        }
        drop(watch);
        measured
    })
}

/// A process that ends with the value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A table of somebody else's with much in it.
fn make_foreign() -> io::Result<()> {
    let mut text = "table inet others {\n set few { type ipv4_addr; }\n set many { type ipv4_addr; elements = {".to_owned();
    for number in 0..FOREIGN {
        let [_, high, middle, low] = number.to_be_bytes();
        // Writing to a String cannot fail.
        let _ = write!(text, " 100.{high}.{middle}.{low},");
    }
    text += " } }\n}\n";
    let file = Path::new(FOLDER).join("others");
    std::fs::write(&file, text)?;
    Process::new("nft", ["-f", "-"]).reading(&file).run()?;
    Ok(())
}

/// Adds and deletes one element after the other, as a ban list does.
fn change(acts: &AtomicBool, is_over: &AtomicBool, changes: &AtomicU32) -> io::Result<()> {
    let mut nft = Command::new("nft");
    let nft = nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut nft = Ends(nft.spawn()?);
    let gone = || io::Error::other("nft has no input");
    let mut commands = nft.0.stdin.take().ok_or_else(gone)?;
    while !is_over.load(Ordering::Relaxed) {
        if acts.load(Ordering::Relaxed) {
            let verb = match changes.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => "add",
                _ => "delete",
            };
            writeln!(
                commands,
                "{verb} element inet others few {{ 198.51.100.1 }}"
            )?;
            commands.flush()?;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
