//! What a host can be like: a full or read-only folder, programs that are missing or stop halfway, nobody
//! who reads the log, a clock that jumps.

use crate::kind::Kind;
use crate::program::{aside, put_aside, put_back, replace, writers};
use crate::trace::ran;
use crate::world::World;
use portero_lab::{Backend, Scenario};
use std::fs;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a full disk",
        run: full,
    },
    Scenario {
        name: "a read-only /run/portero",
        run: read_only,
    },
    Scenario {
        name: "the firewall's program is missing",
        run: missing,
    },
    Scenario {
        name: "the firewall's program stops halfway, or does all and says it failed",
        run: halfway,
    },
    Scenario {
        name: "nobody reads the log",
        run: silent,
    },
    Scenario {
        name: "the clock jumps",
        run: clock,
    },
];

const STATE: &str = "/run/portero";

/// What comes of a condition for those who may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Some have to.
    Refused,
    /// They do as they always do.
    Done,
}

/// Lets every kind of event come under a condition. Who refuses does so with one line and nothing done;
/// who may not is mended by the next event after the condition.
fn under(world: &World, condition: &str, outcome: Outcome, begin: &dyn Fn(), end: &dyn Fn()) {
    let (mut refused, mut done, mut all) = (0, 0, 0);
    for kind in Kind::all() {
        let rules = kind.rules(world);
        kind.prepare(world);
        let command = kind.act.command(&[]);
        begin();
        let ran = ran(command);
        end();
        let now = world.tables();
        let what = format!("{} under {condition}", kind.name);
        kind.expects(&rules, &now, &ran, &what);
        refused += usize::from(!ran.ok);
        done += usize::from(now == rules.new);
        all += 1;
        kind.is_mended(world, &rules, &what);
    }
    println!("  {condition}: {all} kinds of events, {refused} refused");
    match outcome {
        Outcome::Refused => assert!(refused > 0, "{condition} was not met"),
        Outcome::Done => assert_eq!((refused, done), (0, all), "{condition}"),
    }
    world.is_untouched();
}

/// Puts a small file system in the place of the state folder, for as long as `body` runs.
fn on_a_file_system_of_its_own(world: &World, body: impl FnOnce()) {
    let must = |program: &str, arguments: &[&str]| drop(world.lab.must(program, arguments));
    let aside = "/run/lab/files/state";
    must("cp", &["-a", STATE, aside]);
    must(
        "mount",
        &["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", STATE],
    );
    must("cp", &["-aT", aside, STATE]);
    body();
    must("umount", &[STATE]);
    must("rm", &["-r", aside]);
}

fn full(world: &mut World) {
    on_a_file_system_of_its_own(world, || {
        let filler = "/run/portero/filler";
        let fill = || {
            // Written until there is no room.
            assert!(fs::write(filler, vec![0; 2 << 20]).is_err(), "not full");
        };
        let empty = || fs::remove_file(filler).expect("the filler");
        under(world, "a full disk", Outcome::Refused, &fill, &empty);
    });
}

fn read_only(world: &mut World) {
    on_a_file_system_of_its_own(world, || {
        let remount = |way: &str| {
            let way = format!("remount,{way}");
            world.lab.must("mount", &["-o", &way, STATE]);
        };
        let (begin, end) = (|| remount("ro"), || remount("rw"));
        under(
            world,
            "a read-only /run/portero",
            Outcome::Refused,
            &begin,
            &end,
        );
    });
}

/// What comes of it where the firewall's program does not do what it should. nf_tables does it all without nft.
fn without_program(world: &World) -> Outcome {
    match world.lab.backend() {
        Backend::Iptables => Outcome::Refused,
        Backend::Nftables => Outcome::Done,
    }
}

fn missing(world: &mut World) {
    let writers = writers(world);
    let begin = || writers.iter().for_each(|program| put_aside(program));
    let end = || writers.iter().for_each(|program| put_back(program));
    let outcome = without_program(world);
    under(world, "a missing program", outcome, &begin, &end);
}

fn halfway(world: &mut World) {
    // The last is the one of IPv6, where there are two.
    let program = writers(world).last().expect("a writer");
    let ways = [
        (
            "a program that reads a part and fails",
            "head -c 80 >/dev/null; exit 1",
        ),
        (
            "a program that does all and fails",
            "\"$real\" \"$@\"; exit 1",
        ),
    ];
    let outcome = without_program(world);
    for (condition, instead) in ways {
        let script = format!(
            "#!/bin/sh\nreal={}\ncase \" $* \" in *' -f '*|*--noflush*) {instead};; esac\nexec \"$real\" \"$@\"\n",
            aside(program)
        );
        let begin = || replace(program, &script);
        under(world, condition, outcome, &begin, &|| put_back(program));
    }
}

fn silent(world: &mut World) {
    let (log, aside) = ("/dev/log", "/dev/log.aside");
    let begin = || fs::rename(log, aside).expect("the log");
    let end = || fs::rename(aside, log).expect("the log");
    under(world, "no log", Outcome::Done, &begin, &end);
}

fn clock(world: &mut World) {
    for (condition, time) in [
        ("a clock that jumped back", "2100-01-01"),
        ("a clock that jumped on", "1970-01-02"),
    ] {
        let jump = || {
            world
                .lab
                .must("find", &[STATE, "-exec", "touch", "-d", time, "{}", "+"]);
        };
        under(world, condition, Outcome::Done, &jump, &|| {});
    }
}
