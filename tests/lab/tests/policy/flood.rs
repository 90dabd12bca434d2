//! Not one packet gets into a network whose policy forbids it, whatever happens meanwhile.

use crate::counter::Counter;
use crate::world::{named, World};
use portero_lab::Scenario;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "a flood during starts, restarts, reloads and changes",
    run: flooded,
}];

/// The network that is flooded.
const NETWORK: &str = "route";

/// What nobody may send to it.
const POLICY: &str = "<portero:policy><portero:default in='drop'/></portero:policy>";

/// The same, with a rule about something else.
const OTHER_POLICY: &str = "<portero:policy><portero:default in='drop'/>
    <portero:rule action='accept' direction='in'><portero:tcp dstportstart='22'/></portero:rule>
    </portero:policy>";

/// Counts what is sent out by the network's bridge, where no firewall judges any more.
const SPY: &str = "table inet spy {
    counter got { }
    chain sent {
        type filter hook postrouting priority 0; policy accept;
        oifname \"br-route\" udp dport 5000 counter name got
    }
}";

static GOT: Counter = Counter::new(["inet", "spy", "got"]);

/// How many packets got through to the bridge since the last time.
fn got(world: &World) -> u64 {
    GOT.since(&world.lab)
}

/// Does something while packets keep coming from outside, in IPv4 and IPv6; how many were sent.
fn under_flood(world: &mut World, work: impl FnOnce(&mut World)) -> u64 {
    let place = named(NETWORK);
    let done = AtomicBool::new(false);
    let agent = world.lab.agent();
    let send = |address: &str| {
        let mut sent = 0;
        while !done.load(Ordering::Relaxed) {
            let words = [
                "netns", "exec", "outside", &agent, "flood", address, "5000", "300",
            ];
            let output = std::process::Command::new("ip").args(words).output();
            let line = output.map(|output| output.stdout).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            sent += line.trim().parse::<u64>().unwrap_or(0);
        }
        sent
    };
    thread::scope(|scope| {
        let senders = [place.v4, place.v6].map(|address| scope.spawn(|| send(address)));
        work(world);
        thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::Relaxed);
        senders
            .map(|sender| sender.join().expect("a sender"))
            .iter()
            .sum()
    })
}

/// What happens under a flood, and how many times.
type Step = (&'static str, u32, fn(&mut World));

fn flooded(world: &mut World) {
    let path = world.lab.file("spy.nft", SPY);
    world.lab.must("nft", &["-f", &path]);
    let restart = |world: &mut World| {
        world.lab.virsh(&["net-destroy", NETWORK]);
        world.lab.virsh(&["net-start", NETWORK]);
    };
    // Control: without a policy they come, also right after a start.
    under_flood(world, restart);
    assert!(got(world) > 0, "control");
    world.give(NETWORK, POLICY);
    got(world);
    let steps: [Step; 5] = [
        ("net-destroy and net-start", 8, |world| {
            world.lab.virsh(&["net-destroy", NETWORK]);
            world.lab.virsh(&["net-start", NETWORK]);
        }),
        ("SIGHUP", 6, |world| {
            world.lab.signal_libvirtd("HUP");
            thread::sleep(Duration::from_millis(400));
        }),
        ("libvirtd's restart", 3, |world| {
            world.lab.restart_libvirtd()
        }),
        ("another policy", 8, |world| {
            world.give(NETWORK, OTHER_POLICY);
            world.give(NETWORK, POLICY);
        }),
        ("another network's start", 3, |world| {
            world.lab.virsh(&["net-destroy", "far"]);
            world.lab.virsh(&["net-start", "far"]);
        }),
    ];
    for (name, times, step) in steps {
        let sent = under_flood(world, |world| {
            for _ in 0..times {
                step(world);
            }
        });
        let got = got(world);
        println!("   {name}, {times} times: {sent} sent, {got} got in");
        assert!(sent > 1000, "{sent} sent is no flood");
        assert_eq!(got, 0, "{name}");
    }
    world.is_in_order();
    let agent = world.lab.agent();
    let place = named(NETWORK);
    let count = || world.lab.must(&agent, &["ask", place.v4, "count 5000"]);
    world.lab.wait_guest(place.v4);
    let before = count();
    let _ = world
        .lab
        .outside(&agent, &["flood", place.v4, "5000", "300"]);
    assert_eq!(count(), before, "the guest got something");
    world.take(NETWORK);
    let _ = world
        .lab
        .outside(&agent, &["flood", place.v4, "5000", "300"]);
    assert_ne!(count(), before, "control");
    world.lab.must("nft", &["delete table inet spy"]);
    // So many reloads at once leave a rule of libvirt's own twice now and then, so its are not
    // compared.
    let rules = world.lab.rules().to_lowercase();
    assert!(!rules.contains("portero"), "{rules}");
}
