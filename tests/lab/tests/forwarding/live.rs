//! Forwards of running guests change at once: by `portero forward`, and by virsh alone.

use crate::world::{web, World, FORWARDS, WEB};
use portero_lab::{
    limit_by_load, wait_until, Backend, DomainXml, From, NetworkXml, Program, Proto, Ran, Scenario,
    Urgent, HOST_V4, HOST_V6,
};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use Proto::{Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "live: several at once, as docker and others spell them",
        run: several,
    },
    Scenario {
        name: "live: portero forward on a running guest, ten times",
        run: ten_times,
    },
    Scenario {
        name: "live: a forward survives guest, network and daemon",
        run: survives,
    },
    Scenario {
        name: "live: virsh metadata alone, ten times",
        run: virsh_alone,
    },
    Scenario {
        name: "live: what is wrong disturbs nothing and is said once",
        run: wrong,
    },
    Scenario {
        name: "live: flags mean what virsh means",
        run: flags,
    },
    Scenario {
        name: "live: what is refused changes nothing, and what fails is taken back",
        run: refused,
    },
    Scenario {
        name: "live: IPv6, a given guest's address, source and ranges",
        run: restrictions,
    },
    Scenario {
        name: "live: an interface without a reservation gets one",
        run: reservation,
    },
    Scenario {
        name: "live: libvirt by another way than its socket",
        run: elsewhere,
    },
    Scenario {
        name: "live: files of the administrator and metadata of networks",
        run: files,
    },
];

/// How often each of them happens in a row.
const TIMES: u32 = 10;

/// Within which time after its command's end a forward has to be there or gone.
const LIMIT: Duration = Duration::from_millis(100);

/// The host's port of the forwards that come and go.
const PORT: u16 = 8090;

/// What virsh is told, without the forward.
const METADATA: [&str; 6] = [
    "metadata",
    "web",
    "--uri",
    "urn:portero:1",
    "--key",
    "portero",
];

fn portero(world: &World, words: &[&str]) -> Ran {
    world.lab.run("portero", &[&["forward"], words].concat())
}

fn must(world: &World, words: &[&str]) -> String {
    let ran = portero(world, words);
    assert!(ran.ok, "portero forward {}: {ran:?}", words.join(" "));
    ran.stdout
}

fn fails(world: &World, words: &[&str], expected: &str) {
    let ran = portero(world, words);
    assert!(!ran.ok, "portero forward {}: {ran:?}", words.join(" "));
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(expected),
        "expected '{expected}' in: {}",
        ran.stderr
    );
}

/// What virsh says of portero's element; nothing when there is none.
fn metadata(world: &World, flag: &str) -> String {
    let ran = world.lab.try_virsh(&[&METADATA[..4], &[flag]].concat());
    ran.stdout.trim().to_owned()
}

fn set(world: &World, forwards: &str, flags: &[&str]) {
    let element = format!("<domain>{forwards}</domain>");
    let words = [&METADATA[..], &["--set", &element], flags].concat();
    world.lab.virsh(&words);
}

fn unset(world: &World, flags: &[&str]) {
    world
        .lab
        .virsh(&[&METADATA[..4], &["--remove"], flags].concat());
}

fn tcp(start: u16, to: u16) -> String {
    format!("<portForward proto='tcp'><range start='{start}' to='{to}'/></portForward>")
}

/// One attempt where a time is measured. A connection that nobody forwards is refused at once; how long an emulated guest takes
/// to answer beside other suites says nothing of the forward.
fn attempt(world: &World, port: u16) -> Result<String, String> {
    const ANSWER: Duration = Duration::from_secs(10);
    world
        .lab
        .probe_for(ANSWER, From::Outside, Tcp, HOST_V4, port)
}

/// The time until a connection is begun that is served.
fn until_served(world: &World, port: u16) -> Duration {
    let begin = Instant::now();
    loop {
        let begun = begin.elapsed();
        let answer = attempt(world, port);
        if answer
            .as_deref()
            .is_ok_and(|line| line.starts_with("web tcp 80"))
        {
            return begun;
        }
        assert!(begun < Duration::from_secs(5), "{port}: {answer:?}");
    }
}

/// The time until a connection is begun that is not served any more.
fn until_refused(world: &World, port: u16) -> Duration {
    let begin = Instant::now();
    loop {
        let begun = begin.elapsed();
        if attempt(world, port).is_err() {
            return begun;
        }
        assert!(begun < Duration::from_secs(5), "{port} is still served");
    }
}

/// The longest of times, and a line about them.
fn within_limit(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    let (median, longest) = (ms[ms.len() / 2], times[times.len() - 1]);
    let limit = limit_by_load(LIMIT);
    println!(
        "  {what}: from {median} ms on, {} ms at most, of {} ms",
        longest.as_millis(),
        limit.as_millis()
    );
    assert!(longest < limit, "{what}: {ms:?}, limit {limit:?}");
}

/// Starts portero-watch, which has made its first comparison then.
pub fn start_watch() -> Program {
    let marker = Path::new("/run/portero/compared");
    let _ = fs::remove_file(marker);
    let watch = Program::start("portero-watch", &[]);
    let end = Instant::now() + Duration::from_secs(5);
    while !marker.exists() {
        assert!(Instant::now() < end, "portero-watch does not compare");
        std::thread::sleep(Duration::from_millis(5));
    }
    watch
}

fn ten_times(world: &mut World) {
    world.start_web("");
    // Controls: nobody forwards it, and what nobody forwards is refused as fast.
    world.lab.answers(From::Host, Tcp, WEB, 80, "web tcp 80");
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    let spec = format!("{PORT}:80");
    let urgent = Urgent::begin();
    for watch in [None, Some(start_watch())] {
        let (mut served, mut refused, mut commands) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let begin = Instant::now();
            let said = must(world, &["add", "web", &spec]);
            commands.push(begin.elapsed());
            assert_eq!(said, format!("domain 'web' forwards {spec}/tcp to {WEB}\n"));
            served.push(until_served(world, PORT));
            let listed = must(world, &["list", "web"]);
            let listed = listed
                .lines()
                .nth(1)
                .and_then(|line| line.split(' ').next());
            let listed = listed.expect("a forward").to_owned();
            must(world, &["remove", "web", &listed]);
            refused.push(until_refused(world, PORT));
            // The first that was tried, not one of some.
            world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
        }
        commands.sort();
        let service = if watch.is_some() {
            "with the service"
        } else {
            "without the service"
        };
        println!(
            "  the command takes {} ms {service}",
            commands[commands.len() / 2].as_millis()
        );
        within_limit(&format!("added, {service}"), served);
        within_limit(&format!("removed, {service}"), refused);
    }
    drop(urgent);
    must(world, &["add", "web", &format!("{spec}/udp")]);
    world
        .lab
        .answers(From::Outside, Udp, HOST_V4, PORT, "web udp 80");
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    must(world, &["remove", "web", &format!("{spec}/udp")]);
    world.lab.refuses(From::Outside, Udp, HOST_V4, PORT);
    world.is_untouched();
    world.stop_web();
    world.is_untouched();
}

fn survives(world: &mut World) {
    world.start_web("");
    let spec = format!("{PORT}:80");
    must(world, &["add", "web", &spec, "--persistent"]);
    // Control: this one is of the running guest alone.
    must(world, &["add", "web", "8091:80"]);
    let both = |world: &World| {
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, PORT, "web tcp 80");
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, 8091, "web tcp 80");
        world.lab.is_in_order();
    };
    both(world);
    world.lab.virsh(&["net-destroy", "lan"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.lab.virsh(&["net-start", "lan"]);
    both(world);
    world.lab.restart_libvirtd();
    both(world);
    world.flush(crate::world::Flush::Rules);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.lab.restart_libvirtd();
    both(world);
    world.stop_web();
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.is_untouched();
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, PORT, "web tcp 80");
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8091);
    must(world, &["remove", "web", &spec, "--persistent"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.stop_web();
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    assert_eq!(metadata(world, "--config"), "");
    world.stop_web();
    world.is_untouched();
}

fn virsh_alone(world: &mut World) {
    world.start_web("");
    // Control: without the service nobody hears of it until everything is compared.
    set(world, &tcp(PORT, 80), &["--live"]);
    std::thread::sleep(Duration::from_millis(700));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.lab.must("portero", &["sync"]);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, PORT, "web tcp 80");
    unset(world, &["--live"]);
    std::thread::sleep(Duration::from_millis(700));
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, PORT, "web tcp 80");
    world.lab.must("portero", &["sync"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.is_untouched();
    let watch = start_watch();
    let urgent = Urgent::begin();
    for pause in [Duration::from_secs(1), Duration::ZERO] {
        let (mut served, mut refused) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            set(world, &tcp(PORT, 80), &["--live"]);
            served.push(until_served(world, PORT));
            std::thread::sleep(pause);
            unset(world, &["--live"]);
            refused.push(until_refused(world, PORT));
            world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
            std::thread::sleep(pause);
        }
        let each = format!("each after {} ms", pause.as_millis());
        within_limit(&format!("virsh metadata --set, {each}"), served);
        within_limit(&format!("virsh metadata --remove, {each}"), refused);
    }
    drop(urgent);
    // A guest that had forwards before gets more, and keeps them when libvirtd restarts.
    set(
        world,
        &(tcp(PORT, 80) + &tcp(8091, 80)),
        &["--live", "--config"],
    );
    world
        .lab
        .answers_within(LIMIT * 20, From::Outside, Tcp, HOST_V4, 8091, "web tcp 80");
    world.lab.restart_libvirtd();
    set(world, &tcp(8091, 80), &["--live", "--config"]);
    let end = Instant::now() + Duration::from_secs(2);
    while world.lab.probe(From::Outside, Tcp, HOST_V4, PORT).is_ok() {
        assert!(
            Instant::now() < end,
            "not heard after libvirtd has restarted"
        );
    }
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8091, "web tcp 80");
    drop(watch);
    world.stop_web();
    world.lab.define(&web(""));
    world.is_untouched();
}

fn wrong(world: &mut World) {
    world.start_web("");
    let program = world.lab.listen("0.0.0.0:9090");
    world.lab.define(&DomainXml {
        name: "rival",
        nics: &[("lan", "52:54:00:00:50:99")],
        v6: None,
        portero: "<portero:portForward proto='tcp' guest='192.168.50.99'><portero:range start='9191'/></portero:portForward>",
    });
    world.lab.virsh(&["start", "rival"]);
    let watch = start_watch();
    let right = tcp(PORT, 80);
    set(world, &right, &["--live"]);
    until_served(world, PORT);
    std::thread::sleep(Duration::from_millis(700));
    let _ = world.lab.log();
    for (forwards, expected) in [
        (tcp(0, 80), "'0' is not a port"),
        (tcp(9090, 80), "listens on 0.0.0.0 port 9090"),
        (tcp(9191, 80), "is held by domain 'rival'"),
        (tcp(PORT, 80) + &tcp(PORT, 81), "is already forwarded by"),
        ("<oops/>".to_owned(), "not known here"),
    ] {
        set(world, &forwards, &["--live"]);
        let until = Instant::now() + Duration::from_millis(600);
        while Instant::now() < until {
            world
                .lab
                .answers(From::Outside, Tcp, HOST_V4, PORT, "web tcp 80");
        }
        // Whatever else makes it compare does not say it again.
        world.lab.must(
            "nft",
            &["add table inet bystander; delete table inet bystander"],
        );
        std::thread::sleep(Duration::from_millis(700));
        let log = world.lab.log();
        let keeps: Vec<&String> = log.iter().filter(|line| line.contains("keeps")).collect();
        assert_eq!(keeps.len(), 1, "{log:?}");
        assert!(
            keeps[0].contains(expected),
            "expected '{expected}' in {log:?}"
        );
        assert!(keeps[0].contains("domain 'web' keeps the rules it has: metadata of"));
    }
    world
        .lab
        .answers(From::Host, Tcp, HOST_V4, 9090, "host tcp 9090");
    set(world, &tcp(8091, 80), &["--live"]);
    until_served(world, 8091);
    until_refused(world, PORT);
    drop(watch);
    drop(program);
    world.lab.virsh(&["destroy", "rival"]);
    world.lab.virsh(&["undefine", "rival"]);
    world.stop_web();
    world.is_untouched();
}

fn flags(world: &mut World) {
    world.start_web("");
    let spec = format!("{PORT}:80");
    let there = |world: &World| {
        let is_there = |flag| metadata(world, flag).contains("portForward");
        (is_there("--live"), is_there("--config"))
    };
    for (flags, live, config) in [
        (&["--config"][..], false, true),
        (&["--live"], true, false),
        (&["--current"], true, false),
        (&[], true, false),
        (&["--persistent"], true, true),
        (&["--live", "--config"], true, true),
    ] {
        must(world, &[&["add", "web", &spec], flags].concat());
        assert_eq!(there(world), (live, config), "{flags:?}");
        let answer = world.lab.probe(From::Outside, Tcp, HOST_V4, PORT);
        assert_eq!(answer.is_ok(), live, "{flags:?}: {answer:?}");
        let again = must(world, &[&["add", "web", &spec], flags].concat());
        assert_eq!(again, "domain 'web' forwards 8090:80/tcp already\n");
        assert_eq!(there(world), (live, config), "{flags:?}");
        must(world, &[&["remove", "web", &spec], flags].concat());
        assert_eq!(there(world), (false, false), "{flags:?}");
        world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
        fails(
            world,
            &[&["remove", "web", &spec], flags].concat(),
            "does not forward 8090:80/tcp",
        );
    }
    // What one of both has already is left there.
    must(world, &["add", "web", &spec]);
    must(world, &["add", "web", &spec, "--persistent"]);
    assert_eq!(there(world), (true, true));
    must(world, &["remove", "web", &spec, "--live"]);
    must(world, &["remove", "web", &spec, "--persistent"]);
    assert_eq!(there(world), (false, false));
    // By UUID and ID, as virsh.
    let uuid = world.lab.virsh(&["domuuid", "web"]);
    let id = world.lab.virsh(&["domid", "web"]);
    must(world, &["add", uuid.trim(), &spec]);
    must(world, &["remove", id.trim(), &spec]);
    world.stop_web();
    must(world, &["add", "web", &spec]);
    assert_eq!(there(world), (false, true));
    must(world, &["remove", "web", &spec, "--persistent"]);
    assert_eq!(there(world), (false, false));
    fails(
        world,
        &["add", "web", &spec, "--live"],
        "domain is not running",
    );
    fails(
        world,
        &["list", "nobody"],
        "failed to get domain 'nobody': Domain not found",
    );
    fails(
        world,
        &["-c", "test:///default", "list", "test"],
        "is of another hypervisor",
    );
    world.is_untouched();
}

/// An element of somebody else's, and portero's with a comment.
const ANNOTATED: &str = "<metadata><app:note xmlns:app='urn:app'>theirs</app:note>\
<p:domain xmlns:p='urn:portero:1'><!-- of the shop --><p:portForward proto='tcp'>\
<p:range start='8095' end='8099' to='80'/></p:portForward></p:domain></metadata>";

/// What writes to iptables.
const RESTORE: [&str; 2] = ["iptables-restore", "ip6tables-restore"];

fn break_restore() {
    for name in RESTORE {
        let path = Path::new("/usr/sbin").join(name);
        fs::rename(&path, path.with_extension("away")).expect("the firewall's program");
        let script = "#!/bin/sh\necho 'it is broken' >&2\nexit 1\n";
        fs::write(&path, script).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
}

fn mend_restore() {
    for name in RESTORE {
        let path = Path::new("/usr/sbin").join(name);
        fs::rename(path.with_extension("away"), &path).expect("the firewall's program");
    }
}

/// A process to which portero's table belongs, as long as it lives: the kernel lets nobody else change it.
struct TableOwner(Child);

impl Drop for TableOwner {
    fn drop(&mut self) {
        // The end of its input is its own.
        drop(self.0.stdin.take());
        self.0.wait().expect("the end of nft");
    }
}

fn own_table() -> TableOwner {
    let mut nft = Command::new("nft")
        .arg("-i")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("nft");
    let mut stdin = nft.stdin.take().expect("its input");
    let table = "delete table inet portero\nadd table inet portero { flags owner; }\n";
    stdin.write_all(table.as_bytes()).expect("commands");
    nft.stdin = Some(stdin);
    let is_owned = || {
        let listed = Command::new("nft").args(["list", "ruleset"]).output();
        String::from_utf8_lossy(&listed.expect("nft").stdout).contains("flags owner")
    };
    wait_until(Duration::from_secs(10), "nobody owns the table", is_owned);
    TableOwner(nft)
}

fn refused(world: &mut World) {
    let xml = world.lab.domain_xml(&web(""));
    let path = world.lab.file(
        "annotated.xml",
        &xml.replace("<memory", &format!("{ANNOTATED}<memory")),
    );
    world.lab.virsh(&["define", &path]);
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8095, "web tcp 80");
    let program = world.lab.listen("0.0.0.0:9090");
    let (live, config) = (metadata(world, "--live"), metadata(world, "--config"));
    let rules = world.lab.rules();
    let is_same = |world: &World| {
        assert_eq!(metadata(world, "--live"), live);
        assert_eq!(metadata(world, "--config"), config);
        assert_eq!(world.lab.rules(), rules);
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, 8095, "web tcp 80");
    };
    for (words, expected) in [
        (&["9090:80"][..], "listens on 0.0.0.0 port 9090"),
        (
            &["8095:81"],
            "is already forwarded by the portForward in line",
        ),
        (
            &["8090:80", "--guest", "10.9.9.9"],
            "guest address 10.9.9.9 cannot be a guest's here",
        ),
        (
            &["8090:80", "--network", "far"],
            "has 0 interfaces on network 'far'",
        ),
        (
            &["0.0.0.0:8090:80"],
            "0.0.0.0 is not the address of one machine",
        ),
        (&["[::1]:8090:80"], "::1 cannot be forwarded"),
    ] {
        let words = [&["add", "web"], words, &["--persistent"]].concat();
        fails(world, &words, expected);
        is_same(world);
    }
    fails(
        world,
        &["remove", "web", "8094-8096:79"],
        "does not forward 8094-8096:79/tcp now",
    );
    fails(
        world,
        &["remove", "web", "8095-8099:81"],
        "does not forward",
    );
    is_same(world);
    // The firewall refuses once the metadata is written.
    let words = ["add", "web", "8090:80", "--persistent"];
    match world.lab.backend() {
        Backend::Iptables => {
            break_restore();
            fails(world, &words, "it is broken");
            mend_restore();
        }
        Backend::Nftables => {
            let owner = own_table();
            fails(world, &words, "Operation not permitted");
            drop(owner);
            world.lab.must("portero", &["sync"]);
        }
    }
    is_same(world);
    world.lab.is_in_order();
    // What is added and removed leaves everything else in its place.
    must(world, &["add", "web", "8090:80", "--persistent"]);
    must(world, &["remove", "web", "8090:80", "--persistent"]);
    is_same(world);
    must(world, &["remove", "web", "8096-8097:81"]);
    let left = metadata(world, "--live");
    assert!(
        left.contains("of the shop") && left.contains("exclude=\"yes\""),
        "{left}"
    );
    let xml = world.lab.virsh(&["dumpxml", "web"]);
    assert!(
        xml.contains("xmlns:app=") && xml.contains(">theirs<"),
        "{xml}"
    );
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8095, "web tcp 80");
    assert_eq!(must(world, &["list", "web"]).lines().count(), 3);
    drop(program);
    world.stop_web();
    world.lab.virsh(&["undefine", "web"]);
    world.is_untouched();
}

fn restrictions(world: &mut World) {
    world.start_web("");
    let lab = &world.lab;
    let v6 = format!("[{HOST_V6}]:8090:80");
    lab.refuses(From::Outside, Tcp, HOST_V6, 8090);
    must(world, &["add", "web", &v6, "--guest", "fd00:50::10"]);
    lab.answers(From::Outside, Tcp, HOST_V6, 8090, "web tcp 80");
    lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    must(
        world,
        &["add", "web", "2000-2020:3000", "--source", "203.0.113.2"],
    );
    lab.answers(From::Outside, Tcp, HOST_V4, 2009, "web tcp 3009");
    lab.refuses(From::Host, Tcp, HOST_V4, 2009);
    must(
        world,
        &["add", "web", &format!("{HOST_V4}:8091:80"), "--dev", "eth0"],
    );
    lab.answers(From::Outside, Tcp, HOST_V4, 8091, "web tcp 80");
    lab.refuses(From::Host, Tcp, HOST_V4, 8091);
    // One port out of a range.
    must(world, &["remove", "web", "2009:3009"]);
    lab.refuses(From::Outside, Tcp, HOST_V4, 2009);
    lab.answers(From::Outside, Tcp, HOST_V4, 2001, "web tcp 3001");
    let listed = must(world, &["list", "web", "--json"]);
    for part in [
        &format!("{v6}/tcp"),
        "2000-2008:3000/tcp",
        "2010-2020:3010/tcp",
        "203.0.113.2/32",
    ] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    // The same ports for two sources are two forwards.
    must(world, &["add", "web", "8092:80", "--source", "203.0.113.2"]);
    must(
        world,
        &["add", "web", "8092:80", "--source", "198.51.100.0/24"],
    );
    fails(
        world,
        &["remove", "web", "8092:80"],
        "has 2 forwards 8092:80/tcp",
    );
    must(
        world,
        &["remove", "web", "8092:80", "--source", "203.0.113.2"],
    );
    lab.refuses(From::Outside, Tcp, HOST_V4, 8092);
    world.stop_web();
    world.is_untouched();
}

/// The lease that dnsmasq has given a guest on a network; waits for it.
fn leased(network: &str, mac: &str) -> String {
    let path = format!("/var/lib/libvirt/dnsmasq/br-{network}.status");
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let leases = fs::read_to_string(&path).unwrap_or_default();
        let entry = leases.split('}').find(|entry| entry.contains(mac));
        let address =
            entry.and_then(|entry| entry.split('"').find(|word| word.starts_with("192.168.")));
        if let Some(address) = address {
            return address.to_owned();
        }
        assert!(Instant::now() < end, "no lease for {mac}: {leases}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn reservation(world: &mut World) {
    let (near_mac, far_mac) = ("52:54:00:00:50:77", "52:54:00:00:60:77");
    world.lab.define(&DomainXml {
        name: "drift",
        nics: &[("lan", near_mac), ("far", far_mac)],
        v6: None,
        portero: "",
    });
    let reserved = |world: &World, network: &str| {
        let active = world.lab.virsh(&["net-dumpxml", network]);
        let inactive = world.lab.virsh(&["net-dumpxml", network, "--inactive"]);
        let line = |xml: &str| {
            let host = xml.lines().find(|line| line.contains(":77'"));
            host.map_or(String::new(), |line| line.trim().to_owned())
        };
        assert_eq!(line(&active), line(&inactive));
        line(&active)
    };
    // Of a guest that is off: an address that nobody has, kept when it starts.
    let said = must(world, &["add", "drift", "8078:80", "--reserve=yes"]);
    assert!(
        said.starts_with(&format!(
            "network 'lan' reserves 192.168.50.100 for {near_mac}\n"
        )),
        "{said}"
    );
    let near = format!("<host mac='{near_mac}' ip='192.168.50.100'/>");
    assert_eq!(reserved(world, "lan"), near);
    world.lab.virsh(&["start", "drift"]);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8078, "drift tcp 80");
    // Of one that runs: its lease; nobody is asked without a terminal, so first it is not.
    let far = leased("far", far_mac);
    let ran = portero(world, &["add", "drift", "8079:80", "--network", "far"]);
    assert!(ran.ok, "{ran:?}");
    let note = format!("{far_mac} of domain 'drift' has no DHCP reservation on network 'far'");
    assert!(
        ran.stderr.contains(&note)
            && ran
                .stderr
                .contains(&format!("--reserve=yes reserves {far}")),
        "{ran:?}"
    );
    assert_eq!(reserved(world, "far"), "");
    assert_eq!(
        ran.stdout,
        format!("domain 'drift' forwards 8079:80/tcp to {far}\n")
    );
    must(world, &["remove", "drift", "8079:80", "--network", "far"]);
    // A failure takes the reservation back too.
    let program = world.lab.listen("0.0.0.0:9090");
    fails(
        world,
        &[
            "add",
            "drift",
            "9090:80",
            "--network",
            "far",
            "--reserve=yes",
        ],
        "listens",
    );
    drop(program);
    assert_eq!(reserved(world, "far"), "");
    must(
        world,
        &[
            "add",
            "drift",
            "8079:80",
            "--network",
            "far",
            "--reserve=yes",
        ],
    );
    let far_entry = format!("<host mac='{far_mac}' ip='{far}'/>");
    assert_eq!(reserved(world, "far"), far_entry);
    // One that has a reservation is not offered another.
    let said = must(
        world,
        &[
            "add",
            "drift",
            "8080:80",
            "--network",
            "far",
            "--reserve=yes",
        ],
    );
    assert_eq!(
        said,
        format!("domain 'drift' forwards 8080:80/tcp to {far}\n")
    );
    world.lab.is_in_order();
    world.lab.virsh(&["destroy", "drift"]);
    world.lab.virsh(&["undefine", "drift"]);
    for (network, entry) in [("lan", near), ("far", far_entry)] {
        let update = [
            "net-update",
            network,
            "delete",
            "ip-dhcp-host",
            &entry,
            "--live",
            "--config",
        ];
        world.lab.virsh(&update);
    }
    world.is_untouched();
    // Where no address is given, nothing can be reserved or followed.
    world.lab.start_network(&NetworkXml {
        name: "mute",
        mode: "nat",
        number: 95,
        reservations: &[],
        portero: "",
    });
    let xml = world.lab.virsh(&["net-dumpxml", "mute"]);
    let (before, rest) = xml.split_once("<dhcp>").expect("DHCP");
    let (_, after) = rest.split_once("</dhcp>").expect("DHCP");
    world.lab.virsh(&["net-destroy", "mute"]);
    let path = world.lab.file("mute.xml", &format!("{before}{after}"));
    world.lab.virsh(&["net-define", &path]);
    world.lab.virsh(&["net-start", "mute"]);
    world.lab.define(&DomainXml {
        name: "drift",
        nics: &[("mute", near_mac)],
        v6: None,
        portero: "",
    });
    fails(
        world,
        &["add", "drift", "8078:80"],
        "network 'mute' gives no IPv4 addresses by DHCP, expected the guest's by --guest",
    );
    must(
        world,
        &["add", "drift", "8078:80", "--guest", "192.168.95.5"],
    );
    world.lab.virsh(&["undefine", "drift"]);
    world.lab.virsh(&["net-destroy", "mute"]);
    world.lab.virsh(&["net-undefine", "mute"]);
    world.is_untouched();
}

/// By a program instead of the socket, as ssh would be one: portero cannot tell that it is its own
/// host's libvirt in the end.
fn elsewhere(world: &mut World) {
    world.start_web("");
    let script = "#!/bin/sh\nexec virt-ssh-helper qemu:///system\n";
    let helper = world.lab.file("helper", script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("its mode");
    let uri = format!("qemu+ext:///system?command={helper}");
    let spec = format!("{PORT}:80");
    let add = world
        .lab
        .run("portero", &["-c", &uri, "forward", "add", "web", &spec]);
    assert!(add.ok, "{add:?}");
    assert_eq!(add.stdout, "the metadata of domain 'web' is written\n");
    assert_eq!(add.stderr.lines().count(), 2, "{}", add.stderr);
    for expected in [
        "this host's firewall is not concerned",
        "note: this ends when domain 'web' stops",
    ] {
        assert!(add.stderr.contains(expected), "{}", add.stderr);
    }
    // Control: without the service there, nothing happens there.
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    let listed = must(world, &["-c", &uri, "list", "web"]);
    assert!(listed.contains(&format!("{spec}/tcp")), "{listed}");
    let watch = start_watch();
    until_served(world, PORT);
    let removed = world.lab.run(
        "env",
        &[
            &format!("LIBVIRT_DEFAULT_URI={uri}"),
            "portero",
            "forward",
            "remove",
            "web",
            &spec,
        ],
    );
    assert!(removed.ok && removed.stderr.contains(&uri), "{removed:?}");
    within_limit("removed from elsewhere", vec![until_refused(world, PORT)]);
    fails(
        world,
        &["-c", &uri, "add", "web", "8090:80", "--guest", "::1"],
        "is a loopback address",
    );
    drop(watch);
    world.stop_web();
    world.is_untouched();
}

fn files(world: &mut World) {
    world.start_web("");
    let file = "/etc/portero/domains/web.xml";
    let written = |port: u16| {
        let element = format!("<domain xmlns='urn:portero:1'>{}</domain>", tcp(port, 80));
        fs::write(file, element).expect("a file");
    };
    // Without the service it takes a comparison.
    written(PORT);
    std::thread::sleep(Duration::from_millis(700));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    world.lab.must("portero", &["sync"]);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, PORT, "web tcp 80");
    fs::remove_file(file).expect("the file");
    world.lab.must("portero", &["sync"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    let watch = start_watch();
    written(PORT);
    println!(
        "  a file is applied after {} ms",
        until_served(world, PORT).as_millis()
    );
    written(8091);
    until_served(world, 8091);
    until_refused(world, PORT);
    let settings = "/etc/portero/portero.toml";
    let shipped = fs::read(settings).expect("the installed portero.toml");
    fs::write(settings, "[limits]\nports = [9000]\n").expect("portero.toml");
    set(world, &tcp(PORT, 80), &["--live"]);
    std::thread::sleep(Duration::from_millis(700));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, PORT);
    fs::write(settings, shipped).expect("portero.toml");
    until_served(world, PORT);
    unset(world, &["--live"]);
    fs::remove_file(file).expect("the file");
    until_refused(world, 8091);
    // Both families and the record.
    std::thread::sleep(Duration::from_millis(700));
    world.is_untouched();
    // libvirt 9.7 and later set metadata of networks.
    let network = format!(
        "<network>{}</network>",
        tcp(PORT, 80).replace("'tcp'", &format!("'tcp' guest='{WEB}'"))
    );
    let words = ["net-metadata", "lan", "--uri", "urn:portero:1"];
    let set = [
        &words[..],
        &["--key", "portero", "--live", "--set", &network],
    ]
    .concat();
    let ran = world.lab.try_virsh(&set);
    if ran.ok {
        println!(
            "  a network's is applied after {} ms",
            until_served(world, PORT).as_millis()
        );
        world
            .lab
            .virsh(&[&words[..], &["--live", "--remove"]].concat());
        println!(
            "  and taken back after {} ms",
            until_refused(world, PORT).as_millis()
        );
    } else {
        assert!(ran.stderr.contains("unknown command"), "{}", ran.stderr);
    }
    drop(watch);
    world.stop_web();
    world.is_untouched();
    world.start_web(FORWARDS);
    world.serves();
    world.stop_web();
}

/// One command adds and removes several, and none where one of them cannot be.
fn several(world: &mut World) {
    world.start_web("");
    let said = must(
        world,
        &[
            "add",
            "web",
            "8090:80/tcp,udp",
            "3000-3003",
            "8091-8093:3000-3002",
        ],
    );
    assert_eq!(said.lines().count(), 4, "{said}");
    for (proto, name, port, to) in [
        (Tcp, "tcp", PORT, 80),
        (Udp, "udp", PORT, 80),
        (Tcp, "tcp", 3001, 3001),
        (Tcp, "tcp", 8092, 3001),
    ] {
        let answer = format!("web {name} {to}");
        (world.lab).answers(From::Outside, proto, HOST_V4, port, &answer);
    }
    let before = metadata(world, "--live");
    for (words, expected) in [
        (
            &["add", "web", "3010", "3003"][..],
            "is already forwarded by",
        ),
        (
            &["remove", "web", "8092", "8099"],
            "does not forward 8099/tcp",
        ),
        (
            &["add", "web", "8080-8081:80-90"],
            "8080-8081 are 2 ports and 80-90 are 11 ports",
        ),
    ] {
        let ran = portero(world, words);
        assert!(
            !ran.ok && ran.stderr.contains(expected),
            "{words:?}: {ran:?}"
        );
        assert_eq!(metadata(world, "--live"), before, "{words:?}");
    }
    // Whoever removes need not know where it leads.
    must(world, &["rm", "web", "8090", "8092", "3000-3003"]);
    for (proto, port) in [(Tcp, PORT), (Tcp, 8092), (Tcp, 3001)] {
        world.lab.refuses(From::Outside, proto, HOST_V4, port);
    }
    for (proto, name, port, to) in [(Udp, "udp", PORT, 80), (Tcp, "tcp", 8091, 3000)] {
        let answer = format!("web {name} {to}");
        (world.lab).answers(From::Outside, proto, HOST_V4, port, &answer);
    }
    let listed = must(world, &["ls", "web"]);
    assert!(
        listed.contains("8090:80/udp") && listed.contains("8093:3002/tcp"),
        "{listed}"
    );
    must(world, &["rm", "web", "8090/udp", "8091", "8093"]);
    assert_eq!(metadata(world, "--live"), "");
    world.stop_web();
    world.is_untouched();
}
