//! Who runs a hook: its environment, arguments, descriptors, limits and signals.

use crate::world::{forward, hook, qemu, run, Outcome, World, MALLORY};
use portero_lab::{Backend, Scenario};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "caller: PATH and environment",
        run: environment,
    },
    Scenario {
        name: "caller: arguments",
        run: arguments,
    },
    Scenario {
        name: "caller: descriptors, limits and signals",
        run: process,
    },
];

/// Where an attacker's programs are, and what they leave.
const EVIL: &str = "/run/lab/files/evil";
const RAN: &str = "/run/lab/files/evil-ran";

fn guest(world: &World) -> String {
    world.mallory(&forward("proto='tcp'", "start='8090' to='80'"))
}

fn write_program(path: &str, script: &str) {
    fs::write(path, script).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// The guest starts and ends below a wrapper, and all is done.
fn served(world: &World, wrapper: &[&str]) {
    let xml = guest(world);
    qemu(wrapper, &xml, "prepare").works();
    qemu(wrapper, &xml, "start").works();
    assert!(world.leads_to(MALLORY), "{wrapper:?}");
    qemu(wrapper, &xml, "stopped").works();
    assert!(!world.leads_to(MALLORY), "{wrapper:?}");
}

/// Either the guest is served, or it is refused, in a line where there is something to write it to; then
/// the next event does all of it.
fn served_or_refused(world: &World, wrapper: &[&str]) -> Outcome {
    let before = world.rules();
    let xml = guest(world);
    let mut outcome = qemu(wrapper, &xml, "prepare");
    if outcome.ok {
        outcome = qemu(wrapper, &xml, "start");
    }
    outcome.in_time();
    if outcome.ok {
        assert!(world.leads_to(MALLORY), "{wrapper:?}: {outcome:?}");
    }
    qemu(&[], &xml, "stopped").works();
    assert_eq!(world.rules(), before, "{wrapper:?}: {outcome:?}");
    served(world, &[]);
    outcome
}

fn environment(world: &mut World) {
    fs::create_dir_all(EVIL).expect("a folder");
    let programs = [
        "nft",
        "iptables",
        "ip6tables",
        "iptables-restore",
        "ip6tables-restore",
        "iptables-save",
        "ip6tables-save",
        "sh",
        "logger",
        "ip",
        "virsh",
    ];
    for program in programs {
        write_program(
            &format!("{EVIL}/{program}"),
            &format!("#!/bin/sh\necho $0 >>{RAN}\n"),
        );
    }
    // The control: they would be found.
    world
        .lab
        .must("/usr/bin/env", &[&format!("PATH={EVIL}"), "nft"]);
    fs::remove_file(RAN).expect("what they leave");
    let path = format!("PATH={EVIL}:/usr/sbin:/usr/bin");
    let variables = [
        "IFS=/",
        "LC_ALL=tr_TR.UTF-8",
        "LANG=tr_TR.UTF-8",
        "TMPDIR=/run/lab/files/evil",
        "HOME=/run/lab/files/evil",
        "RUST_LOG=trace",
        "RUST_BACKTRACE=full",
        "NOTIFY_SOCKET=/dev/log",
        "XTABLES_LOCKFILE=/run/lab/files/evil/lock",
        "XTABLES_LIBDIR=/run/lab/files/evil",
        "IPTABLES_LIB_DIR=/run/lab/files/evil",
        "NFT_CONFIG=/run/lab/files/evil",
        "BASH_ENV=/run/lab/files/evil/sh",
        "ENV=/run/lab/files/evil/sh",
        "PORTERO_ROOT=/run/lab/files/evil",
        "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab/files/evil/bus",
    ];
    for variable in variables {
        served(world, &["/usr/bin/env", &path, variable]);
        world.count();
    }
    served(world, &["/usr/bin/env", "-i"]);
    assert!(!Path::new(RAN).exists(), "{:?}", fs::read_to_string(RAN));
    // What the firewall's program gets.
    let program = match world.lab.backend() {
        Backend::Iptables => "/usr/sbin/iptables-restore",
        Backend::Nftables => "/usr/sbin/nft",
    };
    let name = Path::new(program)
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let aside = "/run/lab/files/real";
    fs::create_dir_all(aside).expect("a folder");
    let kept = format!("{program}.kept");
    fs::rename(program, &kept).expect("the program");
    // iptables' program looks at the name that it is run by.
    std::os::unix::fs::symlink(&kept, format!("{aside}/{name}")).expect("a link");
    let seen = "/run/lab/files/seen";
    // The lab itself runs it too.
    write_program(
        program,
        &format!(
            "#!/bin/sh\ncase $(/bin/cat /proc/$PPID/comm) in portero-*)\n\
             {{ /usr/bin/tr '\\0' '\\n' </proc/$$/environ; pwd; }} >{seen} ;;\nesac\n\
             exec {aside}/{name} \"$@\"\n"
        ),
    );
    let all = [&["/usr/bin/env", path.as_str()], &variables[..]].concat();
    served(world, &all);
    fs::rename(&kept, program).expect("the program");
    let seen = fs::read_to_string(seen).ok();
    let mut seen: Vec<&str> = seen.iter().flat_map(|seen| seen.lines()).collect();
    seen.sort_unstable();
    match world.lab.backend() {
        Backend::Iptables => assert_eq!(
            seen,
            ["/", "LC_ALL=C", "PATH=/usr/sbin:/sbin:/usr/bin:/bin"]
        ),
        // nft is not run.
        Backend::Nftables => assert_eq!(seen, [""; 0]),
    }
    world.count();
    world.served();
}

fn arguments(world: &mut World) {
    let before = world.rules();
    let xml = guest(world);
    let stdin = xml.as_bytes();
    for words in [&[][..], &["--help"], &["-x"], &["mallory"], &["--version"]] {
        hook(&[], words, stdin).is_refused("expected OBJECT OPERATION");
        world.count();
    }
    let long = "x".repeat(100_000);
    let many = ["x"; 5000];
    // The name on the command line is nobody's: the one in the XML is. An operation that is not known
    // is none.
    for words in [
        &["--help", "prepare"][..],
        &["-x", "--version"],
        &["mallory", "--help", "begin", "-"],
        &["mallory", "PREPARE", "begin", "-"],
        &["mallory", "start;flush", "begin", "-"],
        &["../../etc/shadow", "prepare", "begin", "-"],
        &["victim", "prepare", "begin", "-"],
        &[long.as_str(), "prepare", long.as_str(), "-"],
        &["mallory", long.as_str()],
        &[&["mallory", "prepare"], &many[..]].concat(),
    ] {
        hook(&[], words, stdin).works();
        assert_eq!(world.rules(), before);
        qemu(&[], &xml, "stopped").works();
        world.count();
    }
    // 1 MB of them, and one that is no text.
    let line = "exec /usr/bin/portero-qemu-hook mallory prepare \
                $(head -c 1000000 /dev/zero | tr '\\0' 'x' | fold -w 1000)";
    run(Command::new("sh").args(["-c", line]).stdin(Stdio::null())).is_refused("the XML is empty");
    let line = "exec /usr/bin/portero-qemu-hook $(printf '\\377') prepare begin -";
    run(Command::new("sh").args(["-c", line]).stdin(Stdio::null())).is_refused("not valid UTF-8");
    world.refused += 2;
    served(world, &[]);
    world.served();
    world.is_in_order();
}

fn process(world: &mut World) {
    let sh = |line: &'static str| ["sh", "-c", line, "sh"];
    // Nothing of it keeps a guest from being served.
    for line in [
        "exec \"$@\" >&-",
        "exec \"$@\" 2>&-",
        "exec \"$@\" >&- 2>&-",
        "exec \"$@\" >/dev/full 2>/dev/full",
        "umask 0; exec \"$@\"",
        "umask 0777; exec \"$@\"",
        "mkdir /run/lab/files/gone; cd /run/lab/files/gone; rmdir /run/lab/files/gone; exec \"$@\"",
        "for fd in 3 4 5 6 7 8 9; do eval \"exec $fd</etc/shadow\"; done; exec \"$@\"",
        "trap '' PIPE HUP INT TERM; exec \"$@\"",
        "ulimit -n 64; exec \"$@\"",
        "ulimit -c unlimited; exec \"$@\"",
    ] {
        served(world, &sh(line));
        world.count();
    }
    for signals in ["--block-signal=TERM,CHLD,PIPE,ALRM", "--ignore-signal=PIPE"] {
        served(world, &["/usr/bin/env", signals]);
        world.count();
    }
    // What is written is portero's alone, whatever the umask.
    let open = "find /run/portero -perm /077";
    served(world, &sh("umask 0; exec \"$@\""));
    assert_eq!(world.lab.must("sh", &["-c", open]), "");
    // No room: served or refused, and nothing half done stays.
    let mut refusals = 0;
    for (limit, value) in [
        ("--nofile", "3"),
        ("--nofile", "5"),
        ("--nofile", "8"),
        ("--fsize", "0"),
        ("--fsize", "100"),
        ("--as", "3000000"),
        ("--as", "8000000"),
        ("--as", "30000000"),
        ("--nproc", "1"),
        ("--stack", "65536"),
        ("--data", "1000000"),
        ("--cpu", "1"),
    ] {
        let limit = format!("{limit}={value}");
        let outcome = served_or_refused(world, &["prlimit", &limit]);
        refusals += u32::from(!outcome.ok);
        world.count();
    }
    assert!(refusals > 3, "only {refusals} of the limits were felt");
    let outcome = served_or_refused(world, &["/usr/bin/env", "--ignore-signal=CHLD"]);
    match world.lab.backend() {
        Backend::Iptables => outcome.is_refused("No child process"),
        // There is no child.
        Backend::Nftables => outcome.works(),
    };
    // No stdin is no XML.
    let xml = guest(world);
    qemu(&sh("exec \"$@\" <&-"), &xml, "prepare").is_refused("the XML is empty");
    world.refused += 2;
    world.served();
    world.is_in_order();
}
