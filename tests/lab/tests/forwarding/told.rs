//! The log: one tag, one line an event, and why.

use crate::live::start_watch;
use crate::world::{Flush, World, FORWARDS, NOTHING_TO_DO};
use portero_lab::{wait_until, Scenario};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "log: what happened and why, under one tag",
        run: events,
    },
    Scenario {
        name: "log: the journal gets fields",
        run: journal,
    },
];

/// Where journald listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The lines of portero's since the last call, without what syslog puts before them.
fn lines(world: &World) -> Vec<String> {
    let log = world.lab.log().into_iter();
    let ours = log.filter(|line| line.contains("portero"));
    ours.map(|line| {
        let (_, line) = line
            .split_once(" portero[")
            .unwrap_or_else(|| panic!("another tag: {line}"));
        line.split_once("]: ").expect("a line").1.to_owned()
    })
    .collect()
}

fn has(lines: &[String], begins: &str, ends: &str) -> usize {
    let fits = |line: &&String| line.starts_with(begins) && line.ends_with(ends);
    lines.iter().filter(fits).count()
}

/// The lines since the last call, once one of this kind is among them, which has to be the only one: whoever collects them may
/// be late.
fn once(world: &World, begins: &str, ends: &str) -> Vec<String> {
    let mut told = Vec::new();
    wait_until(
        Duration::from_secs(10),
        &format!("'{begins}{ends}' is not told"),
        || {
            told.extend(lines(world));
            has(&told, begins, ends) > 0
        },
    );
    assert_eq!(has(&told, begins, ends), 1, "{told:#?}");
    told
}

fn events(world: &mut World) {
    let _ = world.lab.log();
    world.start_web(FORWARDS);
    let line = "forward tcp 8080 -> web 192.168.50.10:80";
    let told = once(world, line, " (guest started)");
    let forwards = has(&told, "forward ", " (guest started)");
    assert!(forwards > 4, "{told:#?}");

    // What is as it should be leaves no line, and says so.
    let said = world.lab.must("portero", &["sync"]);
    assert_eq!(said, NOTHING_TO_DO);
    assert_eq!(lines(world), [""; 0]);

    let restored = |told: &[String]| {
        has(told, "firewall was flushed by somebody: ", " ms") == 1
            && told
                .iter()
                .any(|line| line.contains(" forwards restored in "))
    };
    world.flush(Flush::Everything);
    let ran = world.lab.run("portero", &["sync"]);
    assert!(ran.ok && ran.stderr.contains("restored in "), "{ran:?}");
    assert_eq!(ran.stdout, "");
    let told = once(world, "firewall was flushed by somebody: ", " ms");
    assert!(restored(&told), "{told:#?}");
    world.lab.restart_libvirtd();

    let watch = start_watch();
    let _ = world.lab.log();
    world.flush(Flush::Everything);
    let mut told = Vec::new();
    wait_until(Duration::from_secs(10), "nothing is told", || {
        told.extend(lines(world));
        restored(&told)
    });
    drop(watch);
    world.lab.restart_libvirtd();
    // It answers once it has its guest back, and the hook has ended that puts forwards back.
    world.lab.virsh(&["dominfo", "web"]);
    let _ = world.lab.log();

    world.lab.must("portero", &["withdraw"]);
    let told = once(world, line, " removed (withdrawn by command)");
    if has(&told, "", " forwards withdrawn by command") == 0 {
        once(world, "", " forwards withdrawn by command");
    }
    world.lab.must("portero", &["sync"]);
    once(world, line, " (portero sync)");

    // Debug tells each step with its time.
    let settings = "/etc/portero/portero.toml";
    fs::write(settings, "log_level = 'debug'\n").expect("settings");
    let _ = world.lab.log();
    world.lab.virsh(&["destroy", "web"]);
    let told = once(world, line, " removed (guest stopped)");
    assert!(has(&told, "rules committed: ", " ms") > 0, "{told:#?}");
    fs::remove_file(settings).expect("no settings");
    world.is_untouched_after_flushes();
}

fn journal(world: &mut World) {
    fs::create_dir_all("/run/systemd/journal").expect("a folder");
    let socket = UnixDatagram::bind(JOURNAL).expect("a socket");
    let timeout = Some(Duration::from_secs(60));
    socket.set_read_timeout(timeout).expect("a timeout");
    let _ = world.lab.log();
    // As journald does it, while others send: the kernel keeps ten.
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        let mut entries: Vec<String> = Vec::new();
        let end = |entries: &Vec<String>| entries.last().is_some_and(|last| last == "end");
        while !end(&entries) {
            let length = socket.recv(&mut buffer).expect("an entry");
            entries.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        entries
    });
    world.start_web(FORWARDS);
    world.stop_web();
    let ends = UnixDatagram::unbound().expect("a socket");
    ends.send_to(b"end", JOURNAL).expect("the end");
    let entries = reader.join().expect("entries");
    let wanted = [
        "MESSAGE=forward tcp 8080 -> web 192.168.50.10:80 (guest started)",
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=portero",
        "PORTERO_EVENT=forward-added",
        "PORTERO_OBJECT=domain web",
        "PORTERO_PORT=8080/tcp",
        "PORTERO_CAUSE=guest started",
    ];
    let fits = |entry: &&String| {
        let lines: Vec<&str> = entry.lines().collect();
        wanted.iter().all(|line| lines.contains(line))
    };
    assert_eq!(entries.iter().filter(fits).count(), 1, "{entries:#?}");
    let removed = entries
        .iter()
        .filter(|entry| entry.contains("PORTERO_EVENT=forward-removed"));
    assert!(removed.count() > 4, "{entries:#?}");
    // Once: syslog hears of it from journald.
    assert_eq!(lines(world), [""; 0]);
    // The control: without journald syslog is told.
    fs::remove_file(JOURNAL).expect("no socket");
    world.start_web(FORWARDS);
    assert!(has(&lines(world), "forward tcp 8080", " (guest started)") > 0);
    world.stop_web();
    world.is_untouched();
}
