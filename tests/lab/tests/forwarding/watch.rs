//! With portero-watch, forwards come back by themselves after whatever throws them away.

use crate::world::{Flush, World, FAR};
use portero_lab::{Backend, DomainXml, From, Lab, NetworkXml, Program, Proto, Scenario, HOST_V4};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "watch: flushes, restarts and reloads, again and again",
        run: all_of_them,
    },
    Scenario {
        name: "watch: a real firewalld that reloads",
        run: firewalld,
    },
    Scenario {
        name: "watch: a lease completes, moves and withdraws a forward",
        run: lease,
    },
    Scenario {
        name: "watch: what it cannot hear is said once, and ends nothing",
        run: unheard,
    },
    Scenario {
        name: "watch: what others do in their own tables and chains is no reason to compare",
        run: others,
    },
    Scenario {
        name: "watch: what it would undo is refused",
        run: withdraw,
    },
    Scenario {
        name: "watch: it comes to rest",
        run: rest,
    },
];

/// Where portero finds it first.
const SYSTEMCTL: &str = "/usr/sbin/systemctl";

/// How often each of them happens in a row: `PORTERO_WATCH_TIMES`, 10 without.
fn times() -> u32 {
    let times = std::env::var("PORTERO_WATCH_TIMES");
    times.map_or(10, |times| times.parse().expect("PORTERO_WATCH_TIMES"))
}

/// Within which time the forward has to be back.
const LIMIT: Duration = Duration::from_secs(2);

fn start_watch(world: &World) -> Program {
    let watch = Program::start("portero-watch", &[]);
    // Its first comparison has been made, so it listens.
    let end = Instant::now() + Duration::from_secs(5);
    let marker = Path::new("/run/portero/compared");
    let _ = std::fs::remove_file(marker);
    while !marker.exists() {
        assert!(Instant::now() < end, "portero-watch does not compare");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.serves();
    watch
}

/// When the whole firewall was compared last.
fn compared() -> SystemTime {
    let marker = std::fs::metadata("/run/portero/compared");
    let time = marker.and_then(|file| file.modified());
    time.expect("a comparison")
}

/// The time until a forward is served again.
fn until_served(world: &World) -> Duration {
    let begin = Instant::now();
    world
        .lab
        .answers_within(LIMIT, From::Outside, Tcp, HOST_V4, 8080, "web tcp 80");
    begin.elapsed()
}

fn again_and_again(world: &mut World, what: &str, mut happens: impl FnMut(&mut World)) {
    let mut longest = Duration::ZERO;
    for _ in 0..times() {
        happens(world);
        longest = longest.max(until_served(world));
    }
    // Whatever is still under way must not double anything.
    std::thread::sleep(Duration::from_millis(700));
    world.serves();
    // libvirt goes on with one reload after another when the last call has long come back.
    world.lab.comes_in_order(Duration::from_secs(10));
    println!("  {what}: back within {} ms", longest.as_millis());
}

fn all_of_them(world: &mut World) {
    world.running_web();
    let watch = start_watch(world);
    again_and_again(world, "nft flush ruleset", |world| {
        world.lab.must("nft", &["flush", "ruleset"]);
    });
    world.lab.restart_libvirtd();
    again_and_again(world, "a flush of all rules", |world| {
        world.flush(Flush::Rules);
    });
    world.lab.restart_libvirtd();
    again_and_again(world, "SIGHUP", |world| {
        world.lab.signal_libvirtd("HUP");
        std::thread::sleep(Duration::from_millis(300));
    });
    again_and_again(world, "a restart of libvirtd", |world| {
        world.lab.restart_libvirtd();
    });
    again_and_again(world, "a flush and a restart of libvirtd", |world| {
        world.lab.must("nft", &["flush", "ruleset"]);
        world.lab.restart_libvirtd();
    });
    again_and_again(world, "net-destroy and net-start", |world| {
        world.lab.virsh(&["net-destroy", "lan"]);
        world.lab.virsh(&["net-start", "lan"]);
    });
    again_and_again(world, "a second network", |world| {
        world.lab.start_network(&NetworkXml {
            name: "late",
            mode: "nat",
            number: 90,
            reservations: &[],
            portero: "",
        });
        world.lab.virsh(&["net-destroy", "late"]);
        world.lab.virsh(&["net-undefine", "late"]);
    });
    drop(watch);
    // Control: without the service a flush is not mended.
    world.lab.must("nft", &["flush", "ruleset"]);
    std::thread::sleep(Duration::from_millis(700));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    world.lab.restart_libvirtd();
    // libvirt takes up its guests while virsh is answered already; to destroy one then would race.
    world.serves();
    world.stop_web();
    world.is_untouched_after_flushes();
}

fn others(world: &mut World) {
    world.running_web();
    let lab = &world.lab;
    let has_iptables = lab.backend() == Backend::Iptables;
    if has_iptables {
        lab.must("iptables", &["-N", "OTHERS"]);
    }
    lab.must("nft", &["add table inet others"]);
    lab.must("nft", &["add set inet others banned { type ipv4_addr; }"]);
    let watch = start_watch(world);
    // It looks once more at what it has done itself.
    std::thread::sleep(Duration::from_secs(2));
    let before = (compared(), watch.cpu());
    for number in 1..=100 {
        let element = format!("element inet others banned {{ 198.51.100.{number} }}");
        lab.must("nft", &[&format!("add {element}")]);
        lab.must("nft", &[&format!("delete {element}")]);
    }
    for verb in ["-A", "-D"].repeat(20) {
        if has_iptables {
            let rule = [verb, "OTHERS", "-s", "198.51.100.1", "-j", "DROP"];
            lab.must("iptables", &rule);
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(compared(), before.0, "it compares for others");
    let cpu = watch.cpu() - before.1;
    println!("  {} ms of a processor", cpu.as_millis());
    assert!(cpu < Duration::from_millis(100), "{cpu:?}");
    // The control: portero's own rules, and where they stand.
    match lab.backend() {
        Backend::Nftables => lab.must("nft", &["flush chain inet portero to_guests"]),
        Backend::Iptables => lab.must("iptables", &["-t", "nat", "-F", "PORTERO-DNAT"]),
    };
    until_served(world);
    assert!(compared() > before.0);
    drop(watch);
    lab.must("nft", &["delete table inet others"]);
    if has_iptables {
        lab.must("iptables", &["-X", "OTHERS"]);
    }
    world.stop_web();
    world.is_untouched_after_flushes();
}

fn withdraw(world: &mut World) {
    world.running_web();
    let watch = start_watch(world);
    let refused = world.lab.run("portero", &["withdraw"]);
    assert!(!refused.ok && refused.stdout.is_empty(), "{refused:?}");
    let expected = "error: portero-watch runs and would restore all rules at once: 'portero withdraw --yes' stops and \
                    disables it first; so does 'systemctl disable --now portero-watch'\n";
    assert_eq!(refused.stderr, expected);
    world.serves();
    // What is not systemd's is not stopped by it, and then nothing is withdrawn either.
    let systemctl = |line: &str| {
        let script = format!("#!/bin/sh\necho \"$@\" >/run/lab/files/systemctl\n{line}\n");
        std::fs::write(SYSTEMCTL, script).expect("a program");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(SYSTEMCTL, mode).expect("its mode");
    };
    let own = std::fs::read(SYSTEMCTL).ok();
    for (line, says) in [
        ("true", "still runs"),
        (
            "echo no >&2; false",
            "cannot stop portero-watch: systemctl failed: no",
        ),
    ] {
        systemctl(line);
        let ran = world.lab.run("portero", &["withdraw", "--yes"]);
        assert!(!ran.ok && ran.stderr.contains(says), "{ran:?}");
        world.serves();
    }
    // systemd waits until it has ended.
    systemctl(&format!("kill -9 {}; sleep 0.5", watch.id()));
    let _ = world.lab.log();
    world.lab.must("portero", &["withdraw", "--yes"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    let asked = std::fs::read_to_string("/run/lab/files/systemctl").expect("what it was asked");
    assert_eq!(asked, "disable --now portero-watch.service\n");
    let log = world.lab.log();
    let told = |line: &String| line.ends_with(" forwards withdrawn by command");
    assert_eq!(log.iter().filter(|line| told(line)).count(), 1, "{log:#?}");
    match own {
        Some(own) => std::fs::write(SYSTEMCTL, own).expect("systemctl"),
        None => std::fs::remove_file(SYSTEMCTL).expect("no systemctl"),
    }
    drop(watch);
    world.lab.must("portero", &["sync"]);
    world.serves();
    // The control: nobody undoes it, and nobody is asked for.
    world.lab.must("portero", &["withdraw"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    world.lab.must("portero", &["sync"]);
    world.serves();
    world.stop_web();
    world.is_untouched();
}

fn firewalld(world: &mut World) {
    world.running_web();
    let bus = world.lab.system_bus();
    let firewalld = Program::start("firewalld", &["--nofork", "--nopid"]);
    let end = Instant::now() + Duration::from_secs(30);
    while !world.lab.run("firewall-cmd", &["--state"]).ok {
        assert!(Instant::now() < end, "firewalld does not run");
        std::thread::sleep(Duration::from_millis(100));
    }
    // libvirt looks for firewalld when it starts.
    world.lab.restart_libvirtd();
    let zone = ["--get-zone-of-interface=br-lan"];
    assert_eq!(world.lab.must("firewall-cmd", &zone).trim(), "libvirt");
    let watch = start_watch(world);
    again_and_again(world, "firewall-cmd --reload", |world| {
        world.lab.must("firewall-cmd", &["--reload"]);
    });
    std::thread::sleep(LIMIT);
    let before = compared();
    // Killed it leaves its tables as they are: where no change of those tells of it, the bus does.
    drop(firewalld);
    let end = Instant::now() + LIMIT;
    while compared() == before {
        assert!(Instant::now() < end, "the bus is not heard");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(watch);
    drop(bus);
    let tables = world.lab.must("nft", &["list", "tables"]);
    for table in tables.lines().filter(|line| line.ends_with(" firewalld")) {
        world.lab.must("nft", &[&format!("delete {table}")]);
    }
    world.lab.restart_libvirtd();
    world.serves();
    world.stop_web();
    world.is_untouched();
}

fn drift() -> DomainXml<'static> {
    DomainXml {
        name: "drift",
        nics: &[("far", "52:54:00:00:60:78")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8078' to='80'/></portero:portForward>",
    }
}

/// What libvirt knows of the guest's lease, with its address replaced.
fn rewrite_lease(from: &str, to: &str) {
    let path = "/var/lib/libvirt/dnsmasq/br-far.status";
    let leases = std::fs::read_to_string(path).expect("the leases");
    assert!(leases.contains(from), "{from} is not in {leases}");
    let new = format!("{path}.new");
    std::fs::write(&new, leases.replace(from, to)).expect("new leases");
    std::fs::rename(&new, path).expect("new leases");
}

fn lease(world: &mut World) {
    let _watch = start_watch_alone(world);
    let lab = &world.lab;
    lab.define(&drift());
    lab.virsh(&["start", "drift"]);
    lab.refuses(From::Outside, Tcp, HOST_V4, 8078);
    let leases = "/var/lib/libvirt/dnsmasq/br-far.status";
    let end = Instant::now() + Duration::from_secs(60);
    let leased = || {
        let leases = std::fs::read_to_string(leases).unwrap_or_default();
        leases.contains("52:54:00:00:60:78").then_some(leases)
    };
    while leased().is_none() {
        assert!(Instant::now() < end, "no lease");
        std::thread::sleep(Duration::from_millis(2));
    }
    let begin = Instant::now();
    while !lab.must("portero", &["status"]).contains("active") {
        assert!(
            begin.elapsed() < Duration::from_secs(1),
            "not forwarded 1 s after the lease"
        );
    }
    println!(
        "  forwarded {} ms after the lease",
        begin.elapsed().as_millis()
    );
    let status: String = lab.must("portero", &["status", "--json"]);
    let (_, forwards) = status.split_once("\"forwards\"").expect("forwards");
    let address = forwards
        .split('"')
        .find(|word| word.starts_with("192.168.60."))
        .expect("the guest's address")
        .to_owned();
    // Its server may come later than its address.
    lab.wait_guest(&address);
    let begin = Instant::now();
    lab.answers(From::Outside, Tcp, HOST_V4, 8078, "drift tcp 80");
    let served = begin.elapsed();
    println!("  served {} ms after its server", served.as_millis());
    assert!(served < Duration::from_secs(1), "served after {served:?}");
    // The lease names an address that another guest has: nobody is led there, and the guest is where it was.
    let to = |from: &str, to: &str| rewrite_lease(&format!("\"{from}\""), &format!("\"{to}\""));
    to(&address, FAR);
    std::thread::sleep(Duration::from_millis(700));
    lab.answers_within(LIMIT, From::Outside, Tcp, HOST_V4, 8078, "drift tcp 80");
    // One that nobody has, and that of the guest again.
    to(FAR, "192.168.60.99");
    let end = Instant::now() + LIMIT;
    while !lab.rules().contains("192.168.60.99") {
        assert!(Instant::now() < end, "the forward stays behind its lease");
    }
    to("192.168.60.99", &address);
    lab.answers_within(LIMIT, From::Outside, Tcp, HOST_V4, 8078, "drift tcp 80");
    // Somebody else has got the address.
    rewrite_lease("52:54:00:00:60:78", "52:54:00:00:60:79");
    waits_again(lab);
    rewrite_lease("52:54:00:00:60:79", "52:54:00:00:60:78");
    lab.answers_within(LIMIT, From::Outside, Tcp, HOST_V4, 8078, "drift tcp 80");
    lab.virsh(&["destroy", "drift"]);
    lab.virsh(&["undefine", "drift"]);
    world.is_untouched();
}

/// Expects the forward to wait for a lease, and to lead nowhere.
fn waits_again(lab: &Lab) {
    let end = Instant::now() + LIMIT;
    while !lab.must("portero", &["status"]).contains("pending") {
        assert!(Instant::now() < end, "the forward outlives its lease");
    }
    lab.refuses(From::Outside, Tcp, HOST_V4, 8078);
}

/// The service where no forward is there to be served.
fn start_watch_alone(world: &World) -> Program {
    world.running_web();
    let watch = start_watch(world);
    world.stop_web();
    watch
}

/// Lines of the log that say so.
fn said(lab: &Lab) -> Vec<String> {
    let lines = lab.log().into_iter();
    lines
        .filter(|line| line.contains("until that works"))
        .collect()
}

/// inotify has no room, and a bus refuses whoever connects.
fn unheard(world: &mut World) {
    world.running_web();
    // Control: what is heard is not said.
    drop(start_watch(world));
    assert_eq!(said(&world.lab), [""; 0]);
    let inject = "inject=inotify_add_watch:error=ENOSPC";
    let trace = [
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=inotify_add_watch",
    ];
    let watch = Program::start(
        "strace",
        &[&trace[..], &["-e", inject, "portero-watch"]].concat(),
    );
    until_said(
        world,
        "cannot watch ",
        ": No space left on device (os error 28), and 8 more: ",
    );
    for _ in 0..3 {
        world.lab.must("nft", &["flush", "ruleset"]);
        until_served(world);
        world.lab.restart_libvirtd();
    }
    assert_eq!(said(&world.lab), [""; 0], "it is said again");
    drop(watch);
    let bus = Path::new("/run/dbus/system_bus_socket");
    std::fs::create_dir_all(bus.parent().expect("a folder")).expect("a folder");
    let refuses = std::os::unix::net::UnixListener::bind(bus).expect("a socket");
    std::thread::spawn(move || refuses.incoming().for_each(drop));
    let watch = start_watch(world);
    until_said(
        world,
        "cannot hear firewalld on the system bus: ",
        ": everything is compared ",
    );
    world.lab.must("nft", &["flush", "ruleset"]);
    until_served(world);
    std::thread::sleep(LIMIT);
    assert_eq!(said(&world.lab), [""; 0], "it is said again");
    drop(watch);
    std::fs::remove_file(bus).expect("no socket");
    world.lab.restart_libvirtd();
    world.serves();
    world.stop_web();
    world.is_untouched_after_flushes();
}

/// Waits for the one line that says what is not heard.
fn until_said(world: &World, begin: &str, end: &str) {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let said = said(&world.lab);
        if let [line] = &said[..] {
            assert!(line.contains(begin) && line.contains(end), "{line}");
            return;
        }
        assert_eq!(said, [""; 0], "more than one line");
        assert!(Instant::now() < limit, "{begin}... is not said");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Its own changes are events too; a comparison that finds nothing to do must not be answered by
/// another one.
fn rest(world: &mut World) {
    world.running_web();
    let _watch = start_watch(world);
    world.lab.must("nft", &["flush", "ruleset"]);
    world.serves();
    std::thread::sleep(Duration::from_millis(1500));
    let before = compared();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(compared(), before, "it never rests");
    if world.lab.backend() == Backend::Iptables {
        // Whoever is not asked for anything changes nothing in libvirt's other firewall.
        let tables = world.lab.must("nft", &["list", "tables"]);
        assert!(!tables.contains("inet portero"), "{tables}");
    }
    world.lab.restart_libvirtd();
    world.serves();
    world.stop_web();
    world.is_untouched_after_flushes();
}
