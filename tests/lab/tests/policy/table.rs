//! A table of packets: who asks whom for what, and what becomes of it.

use crate::map::Map;
use crate::world::{named, Place, World, PLACES};
use portero_lab::{Proto, Ran};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What each line of a table has a letter for, in this order; first in IPv4, then in IPv6.
const SERVICES: [(Proto, u16); 4] = [
    (Proto::Tcp, 80),
    (Proto::Udp, 80),
    (Proto::Tcp, 5000),
    (Proto::Icmp, 0),
];

/// How many connections are tried at once.
const AT_ONCE: usize = 8;

/// How long an answer may take that has to come, and a refusal.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one attempt waits. Over IPv6 a refusal that comes back within the very call that asked is
/// lost (`TcpExtLockDroppedIcmps`), so there the second try has to be waited for.
const ATTEMPT: Duration = Duration::from_millis(900);
/// See [`ATTEMPT`].
const SECOND_TRY: Duration = Duration::from_millis(3000);

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `A`: it is answered.
    Answer,
    /// `R`: whoever asks is told that it is refused.
    Refusal,
    /// `D`: nothing comes back.
    Silence,
    /// `L`: nothing comes back, since only the answer is stopped on its way.
    Leak,
}

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    from: Place,
    to: Place,
    proto: Proto,
    port: u16,
    is_v6: bool,
    expected: Outcome,
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to, proto) = (self.from.name, self.to.name, self.proto);
        let family = if self.is_v6 { "IPv6" } else { "IPv4" };
        write!(formatter, "{from} to {to}, {proto}")?;
        if proto != Proto::Icmp {
            write!(formatter, " {}", self.port)?;
        }
        write!(formatter, ", {family}: expected {:?}", self.expected)
    }
}

fn outcomes(letters: &str) -> Vec<Outcome> {
    let outcomes = letters.chars().map(|letter| match letter {
        'A' => Outcome::Answer,
        'R' => Outcome::Refusal,
        'D' => Outcome::Silence,
        'L' => Outcome::Leak,
        other => panic!("'{other}' is no outcome"),
    });
    outcomes.collect()
}

fn rows_between(from: Place, to: Place, outcomes: &[Outcome]) -> Vec<Row> {
    let families = [false, true].into_iter();
    let cells = families.flat_map(|is_v6| SERVICES.map(|service| (is_v6, service)));
    assert_eq!(outcomes.len(), cells.clone().count());
    let rows = cells.zip(outcomes);
    rows.map(|((is_v6, (proto, port)), expected)| Row {
        from,
        to,
        proto,
        port,
        is_v6,
        expected: *expected,
    })
    .collect()
}

/// Reads a matrix with a line for whoever asks and a column for each of [`PLACES`]: one letter for
/// IPv4 and one for IPv6, or `.` where there is nothing to ask.
pub fn matrix(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let from = named(words.next().expect("a name"));
        let cells: Vec<&str> = words.collect();
        assert_eq!(cells.len(), PLACES.len(), "{line}");
        for (to, cell) in PLACES.into_iter().zip(cells) {
            if cell == "." {
                continue;
            }
            let [v4, v6] = outcomes(cell)[..] else {
                panic!("{cell}");
            };
            let each = [[v4; SERVICES.len()], [v6; SERVICES.len()]].concat();
            rows.extend(rows_between(from, to, &each));
        }
    }
    rows
}

/// Reads lines of `FROM TO`, four letters for IPv4 and four for IPv6.
pub fn lines(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [from, to, v4, v6] = words[..] else {
            panic!("{line}");
        };
        let letters = outcomes(&format!("{v4}{v6}"));
        rows.extend(rows_between(named(from), named(to), &letters));
    }
    rows
}

/// Sends the packets of all rows.
///
/// # Panics
/// When something else than expected becomes of any.
pub fn holds(world: &World, rows: &[Row]) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (map, drawn) = (Map::now(world), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let told = row.drawn(&map);
                    drawn.fetch_add(usize::from(told.is_some()), Ordering::Relaxed);
                    let told = told.unwrap_or(Ok(()));
                    let checks = [row.packet(world), row.explained(world), told];
                    let failed = checks.into_iter().filter_map(Result::err);
                    let failed = failed.map(|got| format!("{row}, got {got}"));
                    wrong.lock().expect("what is wrong").extend(failed);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("what is wrong");
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    println!(
        "   {} rows, {} of them drawn",
        rows.len(),
        drawn.into_inner()
    );
}

impl Row {
    fn addresses(&self) -> (&'static str, &'static str) {
        let of = |(v4, v6)| if self.is_v6 { v6 } else { v4 };
        let to = if self.to.name == "host" {
            // The address from which an answer comes too.
            self.from.host
        } else {
            (self.to.v4, self.to.v6)
        };
        (of((self.from.v4, self.from.v6)), of(to))
    }

    /// Sends the packet, until what has to come has come.
    fn packet(&self, world: &World) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let (_, address) = self.addresses();
        loop {
            let wait = match (self.is_v6, self.proto, self.expected) {
                (true, Proto::Tcp, Outcome::Refusal) => SECOND_TRY,
                _ => ATTEMPT,
            };
            let (lab, from) = (&world.lab, self.from.from);
            let got = lab.probe_for(wait, from, self.proto, address, self.port);
            let is_refusal = matches!(&got, Err(error) if error.contains("refused") || error.contains("prohibited"));
            let is_silence = matches!(&got, Err(error) if ["timed out", "temporarily", "EAGAIN", "no echo"]
                .iter()
                .any(|word| error.contains(word)));
            let is_right = match self.expected {
                Outcome::Answer => got.is_ok(),
                Outcome::Refusal => is_refusal,
                Outcome::Silence | Outcome::Leak => is_silence,
            };
            // What should have been stopped was not: waiting does not make that better.
            let is_final = got.is_ok() || Instant::now() > end;
            if is_right {
                return Ok(());
            }
            if is_final {
                return Err(format!("{got:?}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `portero map` says the same, where it says anything of all such connections.
    fn drawn(&self, map: &Map) -> Option<Result<(), String>> {
        let asked = (self.proto, self.port);
        let passes = map.passes(self.from.name, self.to.name, self.is_v6, asked)?;
        let arrives = matches!(self.expected, Outcome::Answer | Outcome::Leak);
        Some(if passes == arrives {
            Ok(())
        } else {
            Err(format!("drawn as one that passes: {passes}"))
        })
    }

    /// `portero policy explain` says the same.
    fn explained(&self, world: &World) -> Result<(), String> {
        let (from, to) = self.addresses();
        let (proto, port) = (self.proto.to_string(), self.port.to_string());
        let mut words = vec!["policy", "explain", from, to, &proto];
        if self.proto != Proto::Icmp {
            words.push(&port);
        }
        words.push("--json");
        let ran: Ran = world.lab.run("portero", &words);
        let json: serde_json::Value =
            serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}"))?;
        let expected = match self.expected {
            Outcome::Answer | Outcome::Leak => "accept",
            Outcome::Refusal => "reject",
            Outcome::Silence => "drop",
        };
        if json["verdict"] == expected {
            Ok(())
        } else {
            Err(format!("explained as {json}"))
        }
    }
}
