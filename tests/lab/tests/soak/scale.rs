//! Many guests with many forwards: what the last start costs beside the first, and what everything
//! costs that reads all of them.

use crate::act::{perform, save, watched, Act, Seen};
use crate::crowd::{network_event, network_status, Member, BRIDGE, FORWARDS};
use crate::flush::Own;
use crate::soak::number_of;
use crate::view::View;
use crate::world::{World, SAVE};
use portero_lab::{limit_by_load, Backend, Event, Scenario};
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "scale: many guests with ten forwards each",
    run: scale,
}];

/// How many starts, of the first and of the last, are compared.
const SAMPLE: usize = 5;

/// What a command took until it ended, and itself without its children.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    own: Seen,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} ms, of which itself {} ms of processors, {} KiB",
            self.time.as_millis(),
            self.own.cpu.as_millis(),
            self.own.peak
        )
    }
}

fn command(words: &[&str]) -> Cost {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    cost_of(&mut command)
}

fn cost_of(command: &mut Command) -> Cost {
    const SAID: &str = "/run/lab/files/said";
    let said = File::create(SAID).expect("a file");
    let begin = Instant::now();
    let child = command.stdout(Stdio::null()).stderr(said).spawn();
    let own = watched(&mut child.expect("a program"));
    let said = || fs::read_to_string(SAID).unwrap_or_default();
    assert!(own.ok, "{command:?}: {}", said());
    Cost {
        time: begin.elapsed(),
        own,
    }
}

/// The cheapest of three: others use the machine too.
fn cheapest(words: &[&str]) -> Cost {
    let costs = (0..3).map(|_| command(words));
    costs.min_by_key(|cost| cost.time).expect("a cost")
}

/// The cheapest of fifteen of each, in turn, to compare them.
fn cheapest_in_turn(all: [&[&str]; 2]) -> [Cost; 2] {
    let rounds: Vec<[Cost; 2]> = (0..15).map(|_| all.map(command)).collect();
    [0, 1].map(|which| {
        let costs = rounds.iter().map(|round| round[which]);
        costs.min_by_key(|cost| cost.time).expect("a cost")
    })
}

fn hook(event: &Event) -> Cost {
    cost_of(&mut event.command(&[]))
}

/// Others use the machine too.
fn least(times: &[Duration]) -> Duration {
    *times.iter().min().expect("some")
}

/// What the firewall's own program takes for one rule or element more, and less again.
fn bare(world: &World) -> Duration {
    let change = |text: &str| {
        let path = world.lab.file("bare", text);
        let words = match world.lab.backend() {
            Backend::Iptables => vec!["iptables-restore", "--noflush", &path],
            Backend::Nftables => vec!["nft", "-f", &path],
        };
        command(&words).time
    };
    let (add, delete) = match world.lab.backend() {
        Backend::Iptables => (
            "*filter\n:BARE - [0:0]\n-A BARE -j RETURN\nCOMMIT\n*nat\n:BARE - [0:0]\n-A BARE -j RETURN\nCOMMIT\n",
            "*filter\n-F BARE\n-X BARE\nCOMMIT\n*nat\n-F BARE\n-X BARE\nCOMMIT\n",
        ),
        Backend::Nftables => (
            "add element inet portero v4 { 6 . 9999 : 10.81.1.1 . 80 }\n",
            "delete element inet portero v4 { 6 . 9999 }\n",
        ),
    };
    let times: Vec<Duration> = (0..SAMPLE)
        .map(|_| {
            let time = change(add);
            change(delete);
            time
        })
        .collect();
    least(&times)
}

/// What the firewall's own program takes to print everything.
fn reading(world: &World) -> Duration {
    match world.lab.backend() {
        Backend::Iptables => SAVE.iter().map(|program| cheapest(&[program]).time).sum(),
        Backend::Nftables => cheapest(&["nft", "-j", "list", "ruleset"]).time,
    }
}

/// What the firewall's own program takes to put everything in anew.
fn writing(world: &World) -> Duration {
    match world.lab.backend() {
        Backend::Iptables => {
            let path = world.lab.file("all", &world.lab.must("iptables-save", &[]));
            command(&["iptables-restore", &path]).time
        }
        Backend::Nftables => {
            let rules = world.lab.must("nft", &["list", "ruleset"]);
            let path = world.lab.file("all", &format!("flush ruleset\n{rules}"));
            command(&["nft", "-f", &path]).time
        }
    }
}

fn start(member: Member, process: u32) -> Duration {
    let acts = [
        Act::Hook(member.event("prepare")),
        Act::Hook(member.port_event("port-created")),
        Act::Hook(member.event("start")),
        Act::Save(member.status(process)),
        Act::Hook(member.event("started")),
    ];
    let begin = Instant::now();
    let done = perform(&acts, None);
    assert_eq!(done.failed, None, "{acts:?}");
    begin.elapsed()
}

fn stop(member: Member) {
    let acts = [
        Act::Hook(member.event("stopped")),
        Act::Hook(member.port_event("port-deleted")),
        Act::Forget(member.status(0).0),
        Act::Hook(member.event("release")),
    ];
    assert_eq!(perform(&acts, None).failed, None, "{acts:?}");
}

fn scale(world: &mut World) {
    let guests = u16::try_from(number_of("PORTERO_SCALE_GUESTS", 100)).expect("not so many");
    let crowd: Vec<Member> = (0..guests).map(Member).collect();
    println!("  {guests} guests with {FORWARDS} forwards each");
    world
        .lab
        .must("ip", &["link", "add", BRIDGE, "type", "bridge"]);
    let mut network = vec![
        Act::Hook(network_event("start", "")),
        Act::Save(network_status()),
        Act::Hook(network_event("started", "")),
    ];
    world.does(&network);
    let bare_before = bare(world);
    let process = std::process::id();
    let starts: Vec<Duration> = crowd.iter().map(|member| start(*member, process)).collect();
    let bare_after = bare(world);
    let (first, last) = (
        least(&starts[1..=SAMPLE]),
        least(&starts[starts.len() - SAMPLE..]),
    );
    println!(
        "  start of a guest, four hooks: {} ms at first, {} ms at last; one rule by the firewall's program: {} ms, {} ms",
        first.as_millis(),
        last.as_millis(),
        bare_before.as_millis(),
        bare_after.as_millis()
    );
    let rows = |crowd: &[Member]| {
        let mut view = View::default();
        crowd.iter().for_each(|member| member.rows(&mut view));
        view
    };
    world.extra = rows(&crowd);
    world.is_right("all starts");

    let (read, write) = (reading(world), writing(world));
    println!(
        "  the firewall's program reads everything in {} ms and writes it in {} ms",
        read.as_millis(),
        write.as_millis()
    );
    world.note_foreign();
    let sync = cheapest(&["portero", "sync"]);
    println!("  portero sync with nothing to mend: {sync}");
    world.is_right("a sync");
    world.flush_own(Own::All);
    let mended = command(&["portero", "sync"]);
    println!("  portero sync with everything to mend: {mended}");
    world.is_right("a sync after a flush");
    let status = cheapest(&["portero", "status"]);
    println!("  portero status: {status}");
    let [json, metrics] = cheapest_in_turn([
        &["portero", "status", "--json"],
        &["portero", "status", "--format", "prometheus"],
    ]);
    println!("  portero status --json: {json}; --format prometheus: {metrics}");
    let begin = Instant::now();
    // It finds that their processes are this one.
    let _ = world.lab.run("portero", &["doctor"]);
    println!("  portero doctor: {} ms", begin.elapsed().as_millis());

    network[0] = Act::Forget(network_status().0);
    world.does(&network[..1]);
    let stopped = hook(&network_event("stopped", ""));
    world.extra = View::default();
    world.is_right("the stop of the network");
    let (path, text) = network_status();
    save(&path, &text);
    let started = hook(&network_event("started", ""));
    world.extra = rows(&crowd);
    world.is_right("the start of the network");
    println!("  stop of their network: {stopped}; its start: {started}");

    let daemon = hook(&Event::daemon_start());
    let begin = Instant::now();
    for member in &crowd {
        hook(&member.event("reconnect"));
    }
    let reconnects = begin.elapsed();
    println!(
        "  start of a daemon: {daemon}; all {guests} guests reconnected: {} ms",
        reconnects.as_millis()
    );
    world.is_right("the start of a daemon");

    let begin = Instant::now();
    for member in &crowd {
        stop(*member);
    }
    println!("  stop of all guests: {} ms", begin.elapsed().as_millis());
    world.extra = View::default();
    world.does(&[
        Act::Forget(network_status().0),
        Act::Hook(network_event("stopped", "")),
    ]);
    world.is_right("all stops");
    world.keeps_no_more();
    world.lab.must("ip", &["link", "delete", BRIDGE]);

    let grown = last.saturating_sub(first);
    let of_program = bare_after.saturating_sub(bare_before);
    // A start makes few transactions; whatever each of them costs more is the firewall's own.
    let limit = of_program * 4 + first + Duration::from_millis(u64::from(guests) / 10);
    let limit = limit_by_load(limit);
    assert!(
        grown < limit,
        "a start grows by {grown:?}, the firewall's program by {of_program:?}, limit {limit:?}"
    );
    // Each forward may take 0.1 ms of portero itself; it took 0.9 where every owner copied a table.
    let limit = Duration::from_millis(100 + u64::from(guests * FORWARDS) / 10);
    for cost in [
        &sync, &mended, &status, &metrics, &stopped, &started, &daemon,
    ] {
        assert!(
            cost.own.cpu < limit,
            "{cost}, expected less than {limit:?} of processors"
        );
    }
    // They need nobody else's rules.
    assert!(
        metrics.time <= json.time,
        "{metrics}, expected no more than {json}"
    );
}
