//! Ban lists: a set of nftables that the administrator, or fail2ban, fills (`set='inet f2b banned'`).

use crate::live::start_watch;
use crate::refusals::is_one_line;
use crate::world::{web, World, FAR, NOTHING_TO_DO};
use portero_lab::{
    limit_by_load, wait_until, From, NetworkXml, Proto, Scenario, Talk, HOST_V4, HOST_V6,
    OUTSIDE_V4,
};
use std::fs;
use std::time::Duration;
use Proto::{Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "ban list: who is in a set of somebody else's is refused, and served when out of it",
        run: followed,
    },
    Scenario {
        name: "ban list: without the service a sync follows, and doctor tells",
        run: not_followed,
    },
    Scenario {
        name: "ban list: only the administrator and a network's metadata name one",
        run: named,
    },
];

const FILE: &str = "/etc/portero/domains/web.xml";
const BANNED: &str = "<domain xmlns='urn:portero:1'>
<portForward proto='tcp' guest='192.168.50.10'><source set='inet f2b banned' match='no'/><range start='8090' to='80'/><range start='7007'/></portForward>
<portForward proto='udp' guest='192.168.50.10'><source set='inet f2b banned' match='no'/><range start='8090' to='80'/></portForward>
<portForward proto='tcp' guest='fd00:50::10'><source set='inet f2b banned6' match='no'/><range start='8090' to='80'/></portForward>
<portForward proto='tcp' guest='192.168.50.10'><range start='8092' to='80'/></portForward>
</domain>";

/// Within which time a change of a set has to be followed.
const SOON: Duration = Duration::from_secs(1);

fn nft(world: &World, line: &str) {
    world.lab.must("nft", &[line]);
}

/// What the administrator has, as fail2ban makes it.
fn make_sets(world: &World) {
    nft(world, "add table inet f2b");
    nft(
        world,
        "add set inet f2b banned { type ipv4_addr; flags timeout; }",
    );
    nft(
        world,
        "add set inet f2b banned6 { type ipv6_addr; flags interval; }",
    );
}

fn is_served(world: &World, address: &str) -> bool {
    let wait = Duration::from_millis(300);
    let answer = world.lab.probe_for(wait, From::Outside, Tcp, address, 8090);
    answer.is_ok_and(|line| line.starts_with("web tcp 80"))
}

/// How soon a forward is, or is no longer, served after a change.
fn until(world: &World, what: &str, address: &str, is_wanted: bool) {
    let begin = std::time::Instant::now();
    wait_until(limit_by_load(SOON), what, || {
        is_served(world, address) == is_wanted
    });
    println!("  {what}: {} ms", begin.elapsed().as_millis());
}

fn followed(world: &mut World) {
    world.stop_web_if_it_runs();
    make_sets(world);
    fs::write(FILE, BANNED).expect("a file");
    let watch = start_watch();
    world.start_web("");
    // The control: the sets are empty.
    for address in [HOST_V4, HOST_V6] {
        world
            .lab
            .answers(From::Outside, Tcp, address, 8090, "web tcp 80");
    }
    let talk = Talk::start(&world.lab.agent(), HOST_V4, "/run/lab/files/talk");
    let ban = format!("add element inet f2b banned {{ {OUTSIDE_V4} }}");
    nft(world, &ban);
    until(world, "banned", HOST_V4, false);
    world.lab.refuses(From::Outside, Udp, HOST_V4, 8090);
    assert!(!talk.is_heard(SOON), "a connection that was there goes on");
    drop(talk);
    // Others, other forwards, the other family and the host's own ports are not concerned.
    let far = From::Guest(FAR);
    world.lab.answers(far, Tcp, HOST_V4, 8090, "web tcp 80");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8092, "web tcp 80");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V6, 8090, "web tcp 80");
    let host = world.lab.listen("0.0.0.0:8097");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8097, "host tcp 8097");
    drop(host);
    // What portero tells of it.
    let status = world.lab.must("portero", &["status"]);
    let of_port = |port: &str| {
        let mut lines = status.lines();
        let line = lines.find(|line| line.contains(port) && line.contains("192.168.50.10"));
        line.unwrap_or_else(|| panic!("{status}")).to_owned()
    };
    let map = world.lab.must("portero", &["map"]);
    let told = "192.168.50.10:80 (not set inet f2b banned)";
    assert!(map.contains(told), "{map}");
    assert!(of_port("tcp 8090").contains("active"), "{status}");
    assert!(!status.contains("warning: "), "{status}");
    let explain = |from: &str| {
        let words = ["explain", &format!("{HOST_V4}:8090"), "--from", from];
        world.lab.run("portero", &words)
    };
    let explained = explain(OUTSIDE_V4);
    assert!(!explained.ok, "{explained:?}");
    assert!(
        explained.stdout.contains("inet f2b banned"),
        "{explained:?}"
    );
    let explained = explain("203.0.113.77");
    assert!(!explained.stdout.contains("FAILS"), "{explained:?}");
    world.lab.is_in_order();
    assert_eq!(world.lab.must("portero", &["sync"]), NOTHING_TO_DO);
    nft(world, &ban.replace("add", "delete"));
    until(world, "no longer banned", HOST_V4, true);
    // IPv6, as a network.
    nft(world, "add element inet f2b banned6 { 2001:db8::/32 }");
    until(world, "an IPv6 network banned", HOST_V6, false);
    assert!(is_served(world, HOST_V4));
    nft(world, "flush set inet f2b banned6");
    until(world, "a set flushed", HOST_V6, true);
    // For a time.
    nft(world, &ban.replace(" }", " timeout 4s }"));
    until(world, "banned for a time", HOST_V4, false);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!is_served(world, HOST_V4), "the time is not over");
    wait_until(Duration::from_secs(6), "the time is over", || {
        is_served(world, HOST_V4)
    });
    // The whole table goes, as when fail2ban stops, and comes.
    nft(world, &ban);
    until(world, "banned again", HOST_V4, false);
    let _ = world.lab.log();
    nft(world, "delete table inet f2b");
    until(world, "a table deleted", HOST_V4, true);
    let log = world.lab.log();
    let told = "set 'inet f2b banned': it is not there, and refuses nobody";
    let of_set = log.iter().filter(|line| line.contains(told));
    assert_eq!(of_set.count(), 1, "{log:#?}");
    make_sets(world);
    nft(world, &ban);
    until(world, "a table made again", HOST_V4, false);
    // Somebody throws portero's away.
    nft(world, "delete table inet portero_bans");
    until(world, "portero's table put back", HOST_V4, false);
    drop(watch);
    world.stop_web();
    fs::remove_file(FILE).expect("no file");
    nft(world, "delete table inet f2b");
    let tables = world.lab.must("nft", &["list", "tables"]);
    assert!(!tables.contains("portero_bans"), "{tables}");
    world.is_untouched();
}

fn not_followed(world: &mut World) {
    world.stop_web_if_it_runs();
    make_sets(world);
    let ban = format!("add element inet f2b banned {{ {OUTSIDE_V4} }}");
    nft(world, &ban);
    fs::write(FILE, BANNED).expect("a file");
    // Who is banned is so from the start on.
    world.start_web("");
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8092, "web tcp 80");
    let finding = "set 'inet f2b banned', a ban list of forwards: ";
    let doctor = |world: &World| world.lab.run("portero", &["doctor"]).stdout;
    assert!(!doctor(world).contains(finding));
    nft(world, "flush set inet f2b banned");
    // Nobody follows it.
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    let said = doctor(world);
    let differs = format!("{finding}it has changed, and who was in it before is refused");
    assert!(said.contains(&differs), "{said}");
    let plan = world.lab.run("portero", &["plan"]).stdout;
    assert!(plan.contains("flush set inet portero_bans set1"), "{plan}");
    assert_ne!(world.lab.must("portero", &["sync"]), NOTHING_TO_DO);
    assert_eq!(world.lab.must("portero", &["plan"]), "");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    nft(world, &ban);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    world.lab.must("portero", &["sync"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    // A set of something else.
    nft(world, "delete set inet f2b banned");
    nft(world, "add set inet f2b banned { type inet_service; }");
    world.lab.must("portero", &["sync"]);
    let said = doctor(world);
    let other = format!("{finding}it holds inet_service, expected addresses");
    assert!(said.contains(&other), "{said}");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
    nft(world, "delete table inet f2b");
    let said = doctor(world);
    let missing = format!("{finding}it is not there, and refuses nobody");
    assert!(said.contains(&missing), "{said}");
    world.stop_web();
    fs::remove_file(FILE).expect("no file");
    world.is_untouched();
}

const OF_DOMAIN: &str = "<portero:portForward proto='tcp'>\
    <portero:source set='inet f2b banned' match='no'/><portero:range start='8090' to='80'/></portero:portForward>";
const OF_NETWORK: &str = "<portero:portForward proto='tcp' guest='192.168.90.10'>\
    <portero:source set='inet f2b banned' match='no'/><portero:range start='8090' to='80'/></portero:portForward>";

fn named(world: &mut World) {
    world.stop_web_if_it_runs();
    make_sets(world);
    world.lab.define(&web(OF_DOMAIN));
    is_one_line(
        &world.refused("web"),
        "metadata of a domain cannot name a set of the host's firewall",
    );
    // The control: the same in a network's metadata. Its guest is a machine at the end of a cable.
    world.lab.start_network(&NetworkXml {
        name: "own",
        mode: "nat",
        number: 90,
        reservations: &[],
        portero: OF_NETWORK,
    });
    for step in [
        "netns add box",
        "link add box0 type veth peer name eth0 netns box",
        "link set box0 master br-own up",
        "-n box address add 192.168.90.10/24 dev eth0",
        "-n box link set eth0 up",
        "-n box route add default via 192.168.90.1",
    ] {
        world.lab.ip(step);
    }
    let agent = world.lab.agent();
    let words = ["netns", "exec", "box", &agent, "serve", "box"];
    let serving = portero_lab::Program::start("ip", &words);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "box tcp 80");
    nft(
        world,
        &format!("add element inet f2b banned {{ {OUTSIDE_V4} }}"),
    );
    world.lab.must("portero", &["sync"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    drop(serving);
    world.lab.ip("netns delete box");
    world.lab.remove_network("own");
    nft(world, "delete table inet f2b");
    world.is_untouched();
}
