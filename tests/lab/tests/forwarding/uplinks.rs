//! Guests' answers on a host with several uplinks: `symmetric='yes'`.

use crate::live::start_watch;
use crate::world::{Flush, World, NOTHING_TO_DO, WEB};
use portero_lab::{wait_until, From, Proto, Scenario, Settings, HOST_V4, OUTSIDE_V4, OUTSIDE_V6};
use std::time::Duration;
use Proto::{Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "uplinks: answers leave by the one that the connection came by",
    run: answers,
}];

/// The host's addresses on its second uplink.
const UPLINK: [&str; 2] = ["198.51.100.1", "2001:db8:51::1"];

/// A network beyond the second uplink, whose client the host would answer by the first.
const BEYOND: From<'_> = From::Namespace("beyond");
const CLIENT: [&str; 2] = ["10.99.0.1", "fd99::1"];

const PLAIN: &str = "
<portero:portForward proto='tcp' guest='192.168.50.10'><portero:range start='8090' to='80'/></portero:portForward>
<portero:portForward proto='udp' guest='192.168.50.10'><portero:range start='8090' to='80'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10'><portero:range start='8090' to='80'/></portero:portForward>
";
const SYMMETRIC: &str = "
<portero:portForward proto='tcp' guest='192.168.50.10' symmetric='yes'><portero:range start='8090' to='80'/></portero:portForward>
<portero:portForward proto='udp' guest='192.168.50.10' symmetric='yes'><portero:range start='8090' to='80'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10' symmetric='yes'><portero:range start='8090' to='80'/></portero:portForward>
";

/// How long a service may take that hears of a change.
const SOON: Duration = Duration::from_secs(20);

fn connect(world: &World) {
    for line in [
        "netns add beyond",
        "link add up1 type veth peer name eth0 netns beyond",
        "link set up1 up",
        "address add 198.51.100.1/24 dev up1",
        "address add 2001:db8:51::1/64 dev up1 nodad",
        "-n beyond link set lo up",
        "-n beyond link set eth0 up",
        "-n beyond address add 198.51.100.2/24 dev eth0",
        "-n beyond address add 2001:db8:51::2/64 dev eth0 nodad",
        "-n beyond address add 10.99.0.1/32 dev lo",
        "-n beyond address add fd99::1/128 dev lo",
        "-n beyond route add 198.51.100.1/32 dev eth0 src 10.99.0.1",
        "-n beyond -6 route add 2001:db8:51::1/128 dev eth0 src fd99::1",
    ] {
        world.lab.ip(line);
    }
    world.lab.ip(&format!("route add default via {OUTSIDE_V4}"));
    world
        .lab
        .ip(&format!("-6 route add default via {OUTSIDE_V6}"));
    // As the first answer to a stranger shows on any such host: strict filters and several uplinks do not go together.
    for name in ["all", "up1"] {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        std::fs::write(&path, if name == "all" { "0" } else { "2" }).expect("a sysctl");
    }
}

fn disconnect(world: &World) {
    world.lab.ip("netns delete beyond");
    world.lab.ip("route delete default");
    world.lab.ip("-6 route delete default");
}

/// The host's own answers from its second uplink leave by it.
const TABLES: [&str; 4] = [
    "route add default via 198.51.100.2 dev up1 table 101",
    "-6 route add default via 2001:db8:51::2 dev up1 table 101",
    "rule add from 198.51.100.1 lookup 101",
    "-6 rule add from 2001:db8:51::1 lookup 101",
];

fn served(world: &World) {
    for (address, client) in UPLINK.into_iter().zip(CLIENT) {
        let answer = format!("web tcp 80 from {client} ");
        world.lab.answers(BEYOND, Tcp, address, 8090, &answer);
    }
    world
        .lab
        .answers(BEYOND, Udp, UPLINK[0], 8090, "web udp 80");
    // The first uplink is as it was, and so is what the guest opens itself.
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    let from_host = format!("outside tcp 80 from {HOST_V4} ");
    world
        .lab
        .answers(From::Guest(WEB), Tcp, OUTSIDE_V4, 80, &from_host);
}

fn marked(world: &World) -> usize {
    let rules = |family: &str| world.lab.must("ip", &[family, "rule", "show"]);
    let both = rules("-4") + &rules("-6");
    both.matches("/0x7000000").count()
}

fn refused(world: &World) {
    for address in UPLINK {
        world.lab.refuses(BEYOND, Tcp, address, 8090);
    }
}

/// What `portero explain` says of the client beyond the second uplink is what its packets have met.
fn explained(world: &World, told: &str) {
    for (address, client) in UPLINK.into_iter().zip(CLIENT) {
        let asked = match address.contains(':') {
            true => format!("[{address}]:8090"),
            false => format!("{address}:8090"),
        };
        let explained = world
            .lab
            .run("portero", &["explain", &asked, "--from", client]);
        assert_eq!(explained.ok, !told.contains("fails"), "{explained:?}");
        assert!(explained.stdout.contains(told), "{explained:?}");
    }
}

/// Whether the map says so of the forward.
fn is_mapped(world: &World) -> bool {
    let map = world.lab.must("portero", &["map"]);
    map.contains("192.168.50.10:80 (symmetric)")
}

fn answers(world: &mut World) {
    world.stop_web_if_it_runs();
    connect(world);
    for line in TABLES {
        world.lab.ip(line);
    }
    // The control: the guest's answers leave by the default route.
    world.start_web(PLAIN);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    refused(world);
    explained(world, "back fails: the reply leaves by");
    assert!(!is_mapped(world));
    world.stop_web();
    world.start_web(SYMMETRIC);
    served(world);
    explained(
        world,
        "; its answers leave by up1, since the forward is symmetric",
    );
    assert!(is_mapped(world));
    assert_eq!(marked(world), 2);
    assert_eq!(world.lab.must("portero", &["sync"]), NOTHING_TO_DO);
    world.lab.is_in_order();
    // Somebody's flush is put right, of rules and of rules of routing.
    world.flush(Flush::Everything);
    // Where libvirt has its rules in nftables it deletes, by the handles of before, what may be another network's by now: a
    // second start has all of them again.
    world.lab.restart_libvirtd();
    world.lab.restart_libvirtd();
    world.lab.ip("rule flush protocol 112");
    world.lab.must("portero", &["sync"]);
    served(world);
    // Without a table for the address there is nothing to leave by, and it is told.
    world.lab.ip("rule delete from 198.51.100.1 lookup 101");
    world
        .lab
        .ip("-6 rule delete from 2001:db8:51::1 lookup 101");
    world.lab.must("portero", &["sync"]);
    refused(world);
    assert_eq!(marked(world), 0);
    let found = world.lab.run("portero", &["doctor"]).stdout;
    let told = "no rule of this host's names a routing table for any of its addresses";
    assert!(found.contains(told), "{found}");
    // The service hears of rules that come.
    let watch = start_watch();
    for line in &TABLES[2..] {
        world.lab.ip(line);
    }
    wait_until(SOON, "both rules of routing", || marked(world) == 2);
    served(world);
    drop(watch);
    world.stop_web();
    assert_eq!(marked(world), 0);
    // As portero.toml says of all.
    let settings = Settings::replace("[forwards]\nsymmetric = true\n");
    world.start_web(PLAIN);
    served(world);
    drop(settings);
    world.lab.must("portero", &["sync"]);
    refused(world);
    world.stop_web();
    for line in TABLES {
        world.lab.ip(&line.replace(" add ", " delete "));
    }
    disconnect(world);
    world.is_untouched_after_flushes();
}
