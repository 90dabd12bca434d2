//! Whose NIC it is: the program that would be called is not the one that has it up, or it fails, or it
//! does not come back. Afterwards the host answers its neighbours as before.

use crate::host::{Host, Ping, ADDRESS, NIC};
use crate::manager::{self, Manager};
use portero_lab::{wait_until, Lab, Program, Scenario};
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<Host>] = &[
    Scenario {
        name: "ifupdown: each of its commands fails and hangs",
        run: |host| {
            each_fails(
                host,
                manager::ifupdown,
                &["ifup", "ifdown", "ifquery"],
                &[&["ifdown", "--force", NIC], &["ifup", "--force", NIC]],
            );
        },
    },
    Scenario {
        name: "networkd: each of its commands fails and hangs",
        run: |host| {
            each_fails(
                host,
                manager::networkd,
                &["networkctl"],
                &[
                    &["networkctl", "reload"],
                    &["networkctl", "reconfigure", NIC],
                ],
            );
        },
    },
    Scenario {
        name: "NetworkManager: each of its commands fails and hangs",
        run: |host| {
            each_fails(
                host,
                manager::network_manager,
                &["nmcli"],
                &[
                    &["nmcli", "connection", "reload"],
                    &["nmcli", "device", "connect", NIC],
                ],
            );
        },
    },
    Scenario {
        name: "netplan: each of its commands fails and hangs",
        run: |host| {
            each_fails(
                host,
                manager::netplan,
                &["netplan", "networkctl"],
                &[&["netplan", "apply"]],
            );
        },
    },
    Scenario {
        name: "networkd: it dies and hangs at each command",
        run: |host| daemon_ends(host, manager::networkd, &["networkctl"]),
    },
    Scenario {
        name: "NetworkManager: it dies and hangs at each command",
        run: |host| daemon_ends(host, manager::network_manager, &["nmcli"]),
    },
    Scenario {
        name: "DNS servers that a bridge lacks",
        run: dns,
    },
    Scenario {
        name: "another uplink is chosen no sooner than before",
        run: metrics,
    },
    Scenario {
        name: "a bridge that another program makes again keeps the host reached",
        run: made_again,
    },
    Scenario {
        name: "a NIC that another program has up is refused",
        run: refused,
    },
    Scenario {
        name: "a NIC that two programs have up is refused",
        run: two_owners,
    },
    Scenario {
        name: "addresses and routes of no file are back",
        run: of_no_file,
    },
];

const APPLY: &str = "bridge apply --bridge br0 --nic lan0";
const RECORD: &str = "/var/lib/portero/bridges/br0/record.json";

/// How long the host may be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// How long until everything is as it was, the manager's own idea of it too.
const BACK: Duration = Duration::from_secs(60);

/// How long it takes until rolling back is tried again, at first.
const AGAIN: Duration = Duration::from_secs(5);

/// Where a program is while a script stands in its place.
const ASIDE: &str = "/usr/lib/aside";

/// Counts the calls that portero makes, writes each down, and fails or hangs in those it is told.
const SCRIPT: &str =
    "#!/bin/sh\nread -r parent </proc/$PPID/comm\nif [ \"$parent\" = portero ]; then\n  \
    read -r calls </run/lab/calls\n  calls=$((calls + 1))\n  echo $calls >/run/lab/calls\n  \
    echo \"${0##*/} $*\" >>/run/lab/called\n  read -r from to how </run/lab/fails\n  \
    if [ $calls -ge $from ] && [ $calls -le $to ]; then\n    \
    [ $how = hangs ] && exec sleep 300\n    [ $how = dies ] && kill -9 $$\n    \
     case $how in KILL | STOP) kill -s $how $(cat /run/lab/daemon); exec /usr/lib/aside/${0##*/} \"$@\" ;; esac\n    echo not today >&2\n    exit 1\n  fi\nfi\n\
    exec /usr/lib/aside/${0##*/} \"$@\"\n";

/// Programs with a script in their place, put back in the end.
struct Wrapped(Vec<(String, String)>);

impl Wrapped {
    fn new(lab: &Lab, programs: &[&str]) -> Self {
        fs::create_dir_all(ASIDE).expect("a folder");
        let mut wrapped = Vec::new();
        for program in programs {
            let path = lab.must("which", &[program]).trim().to_owned();
            let aside = format!("{ASIDE}/{program}");
            match fs::canonicalize(&path) {
                // A name of another program, which goes by it.
                Ok(real) if real != Path::new(&path) && fs::read_link(&path).is_ok() => {
                    let of = real
                        .file_name()
                        .expect("a name")
                        .to_string_lossy()
                        .into_owned();
                    let moved = format!("{ASIDE}/{of}");
                    let to = if Path::new(&moved).exists() {
                        of
                    } else {
                        real.display().to_string()
                    };
                    symlink(to, &aside).expect("a link");
                    let link = fs::read_link(&path).expect("a link").display().to_string();
                    fs::remove_file(&path).expect("the link");
                    wrapped.push((path.clone(), link));
                }
                _ => {
                    fs::rename(&path, &aside).expect("the program");
                    wrapped.push((path.clone(), String::new()));
                }
            }
            fs::write(&path, SCRIPT).expect("the script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        Self(wrapped)
    }

    /// From now on these calls fail, from 1, or hang.
    fn set(from: u32, to: u32, how: &str) {
        fs::write("/run/lab/calls", "0\n").expect("calls");
        fs::write("/run/lab/called", "").expect("called");
        fs::write("/run/lab/fails", format!("{from} {to} {how}\n")).expect("fails");
    }

    /// The calls since then.
    fn calls() -> Vec<String> {
        let text = fs::read_to_string("/run/lab/called").expect("called");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        for (path, link) in self.0.iter().rev() {
            let aside = path
                .rsplit('/')
                .next()
                .map(|name| format!("{ASIDE}/{name}"));
            let aside = aside.unwrap_or_default();
            let _ = fs::remove_file(path);
            let _ = match link.is_empty() {
                true => fs::rename(&aside, path),
                false => fs::remove_file(&aside).and_then(|()| symlink(link, path)),
            };
        }
    }
}

/// Each call that portero makes of a manager's programs fails once, is killed once and hangs once, while the bridge is
/// made and while it is rolled back; then all from one on. The router reaches the host again, in less
/// than a minute, and addresses, routes and files are those of before.
fn each_fails(host: &mut Host, manager: fn(&Lab) -> Manager, programs: &[&str], again: &[&[&str]]) {
    host.configure(manager);
    let before = host.seen();
    let _wrapped = Wrapped::new(&host.lab, programs);
    // Without a failure it works, and says how many calls there are.
    Wrapped::set(0, 0, "fails");
    host.must(&format!("{APPLY} --timeout 600"));
    let made = Wrapped::calls().len();
    assert!(host.addresses("br0").contains(ADDRESS));
    assert_eq!(
        host.must("bridge rollback --bridge br0"),
        "br0 is rolled back\n"
    );
    host.is_back(&before, Duration::from_secs(5));
    let calls = Wrapped::calls();
    assert!(made >= 2 && calls.len() > made, "{calls:?}");
    println!("  {}", calls.join(", "));
    let count = u32::try_from(calls.len()).expect("a count");
    let last = u32::try_from(made).expect("a count");
    let once = (1..=count).flat_map(|at| [(at, at, "fails"), (at, at, "dies"), (at, at, "hangs")]);
    let all = (1..=count).map(|at| (at, 999, "fails"));
    let mut tried: Vec<(u32, u32, &str)> = once.chain(all).collect();
    // From the last call that makes it on, and from the first that rolls it back.
    tried.extend([(last, 999, "hangs"), (last + 1, 999, "hangs")]);
    let (mut longest, mut by_portero, mut kept) = (Duration::ZERO, 0, 0);
    for (from, to, how) in &tried {
        let what = format!("call {from} to {to} {how}");
        Wrapped::set(*from, *to, how);
        let ping = host.ping();
        let start = Instant::now();
        let mut ran = host.portero(&format!("{APPLY} --timeout 600"));
        if ran.ok {
            ran = host.portero("bridge rollback --bridge br0");
        }
        let text = format!("{}{}", ran.stdout, ran.stderr);
        let limit = SILENCE.saturating_sub(start.elapsed());
        let lost = format!("{what}: not reached: {text}");
        wait_until(limit, &lost, || is_reached(host, &before));
        // A bridge that its manager makes again is gone once that can be told so. Else the manager may
        // still be at work when the host is reached: DNS, a route of IPv6.
        let keeps = text.contains("is made again by another program") && !is_back(host, &before);
        if keeps {
            std::thread::sleep(Duration::from_secs(12));
            Wrapped::set(0, 0, "fails");
        }
        let left = format!("{what}: not back: {text}");
        wait_until(BACK, &left, || is_back(host, &before));
        kept += u32::from(keeps);
        let silence = ping.longest_silence();
        println!(
            "  {what}: silent for {:.1} s: {}",
            silence.as_secs_f64(),
            text.lines().last().unwrap_or_default()
        );
        assert!(silence < SILENCE, "{what}: silent for {silence:?}: {text}");
        longest = longest.max(silence);
        by_portero += u32::from(text.contains("portero itself put back"));
        // The manager has to know of it again.
        Wrapped::set(0, 0, "fails");
        for words in again {
            host.lab.must(words[0], &words[1..]);
        }
        host.is_back(&before, Duration::from_secs(20));
    }
    assert!(by_portero > 0, "the manager could do it all");
    println!(
        "  {} failures and hangs at {count} calls, {by_portero} put back by portero itself, {kept} when the manager could be told again; the host was silent for {:.1} s at most",
        tried.len(),
        longest.as_secs_f64()
    );
}

/// The manager's daemon is killed, or stopped, when portero calls its program, while the bridge is made and while it is rolled
/// back: the router reaches the host again within 15 s, and it is as it was.
fn daemon_ends(host: &mut Host, manager: fn(&Lab) -> Manager, programs: &[&str]) {
    let (mut longest, mut tried) = (Duration::ZERO, 0);
    for how in ["KILL", "STOP"] {
        for at in 1..=9 {
            host.configure(manager);
            fs::write("/run/lab/daemon", host.daemon().to_string()).expect("a process");
            let before = host.seen();
            let wrapped = Wrapped::new(&host.lab, programs);
            Wrapped::set(at, at, how);
            let ping = host.ping();
            let start = Instant::now();
            let mut ran = host.portero(&format!("{APPLY} --timeout 600"));
            if ran.ok {
                ran = host.portero("bridge rollback br0");
            }
            let text = format!("{}{}", ran.stdout, ran.stderr);
            let lost = format!("call {at} {how}: not reached: {text}");
            // What nobody lost nobody has to wait for.
            let took = start.elapsed();
            wait_until(SILENCE, &lost, || is_reached(host, &before));
            let silence = ping.longest_silence();
            println!(
                "  call {at}, {how}: silent for {:.1} s, {:.0} s in all: {}",
                silence.as_secs_f64(),
                took.as_secs_f64(),
                text.lines().last().unwrap_or_default()
            );
            assert!(silence < SILENCE, "silent for {silence:?}: {text}");
            wait_until(BACK, &format!("call {at} {how}: not back: {text}"), || {
                is_back(host, &before)
            });
            let calls = Wrapped::calls().len();
            drop(wrapped);
            longest = longest.max(silence);
            tried += 1;
            if calls < usize::try_from(at).expect("a count") {
                break;
            }
        }
    }
    println!(
        "  {tried} ends, the host was silent for {:.1} s at most",
        longest.as_secs_f64()
    );
    assert!(tried > 4, "too few calls");
}

/// A script of the host's empties resolv.conf when the bridge comes up: apply rolls back, and the servers are there again;
/// accepted, the bridge stays, and the servers are there again once it is rolled back.
fn dns(host: &mut Host) {
    const FILE: &str = "/etc/resolv.conf";
    const SCRIPT: &str = "/etc/network/if-up.d/lab-dns";
    host.configure(manager::ifupdown);
    let was = fs::read_to_string(FILE).ok();
    let text = "# ours\nnameserver 192.0.2.53\nsearch lab.example\n";
    fs::write(FILE, text).expect("resolv.conf");
    let before = host.seen();
    // The control: nobody touches it.
    host.must(&format!("{APPLY} --yes"));
    // What somebody has written since is not what was noted then.
    fs::write(FILE, "nameserver 192.0.2.54\n").expect("resolv.conf");
    host.must("bridge remove br0");
    host.is_back(&before, Duration::from_secs(5));
    assert_eq!(
        fs::read_to_string(FILE).expect("resolv.conf"),
        "nameserver 192.0.2.54\n"
    );
    fs::write(FILE, text).expect("resolv.conf");
    fs::write(
        SCRIPT,
        format!("#!/bin/sh\n[ $IFACE != br0 ] || echo '# empty' >{FILE}\n"),
    )
    .expect("a script");
    fs::set_permissions(SCRIPT, fs::Permissions::from_mode(0o755)).expect("chmod");
    let before = host.seen();
    let ran = host.portero(APPLY);
    println!("  {}", ran.stderr.trim());
    assert!(
        !ran.ok
            && ran
                .stderr
                .contains("the DNS server 192.0.2.53 is missing after")
            && ran
                .stderr
                .contains(" s with br0 (--accept dns makes it without); what was there"),
        "{ran:?}"
    );
    assert!(
        ran.stderr
            .contains("portero itself put back: DNS server 192.0.2.53"),
        "{ran:?}"
    );
    assert_eq!(fs::read_to_string(FILE).expect("resolv.conf"), text);
    host.is_back(&before, Duration::from_secs(5));
    host.must(&format!("{APPLY} --timeout 600 --accept dns"));
    assert_eq!(fs::read_to_string(FILE).expect("resolv.conf"), "# empty\n");
    let back = host.must("bridge rollback br0");
    assert!(
        back.contains("portero itself put back: DNS server 192.0.2.53"),
        "{back}"
    );
    assert_eq!(fs::read_to_string(FILE).expect("resolv.conf"), text);
    host.is_back(&before, Duration::from_secs(5));
    fs::remove_file(SCRIPT).expect("the script");
    match was {
        Some(was) => fs::write(FILE, was).expect("resolv.conf"),
        None => fs::remove_file(FILE).expect("resolv.conf"),
    }
}

/// A second uplink with a default route of its own: NetworkManager's route by the bridge keeps the metric of the one by the
/// NIC. A script that gives it another one has apply roll back, unless that is accepted.
fn metrics(host: &mut Host) {
    const SCRIPT: &str = "/etc/network/if-up.d/lab-metric";
    for words in [
        "link add up9 type veth peer name up9p",
        "link set up9 up",
        "address add 100.64.9.10/24 dev up9",
        "route add default via 100.64.9.1 dev up9 metric 200",
    ] {
        host.lab.ip(words);
    }
    let chosen = |host: &Host| host.lab.must("ip", &["route", "get", "100.65.0.1"]);
    host.configure(manager::network_manager);
    let before = host.seen();
    assert!(chosen(host).contains("dev lan0"), "{}", chosen(host));
    host.must(&format!("{APPLY} --yes"));
    assert!(chosen(host).contains("dev br0"), "{}", chosen(host));
    host.must("bridge remove br0");
    host.is_back(&before, Duration::from_secs(10));
    host.configure(manager::ifupdown);
    let script = "#!/bin/sh\n[ $IFACE != br0 ] || [ $ADDRFAM != inet ] || { ip route del default via 192.0.2.1; \
                  ip route add default via 192.0.2.1 dev br0 metric 500; }\n";
    fs::write(SCRIPT, script).expect("a script");
    fs::set_permissions(SCRIPT, fs::Permissions::from_mode(0o755)).expect("chmod");
    let before = host.seen();
    let ran = host.portero(APPLY);
    println!("  {}", ran.stderr.trim());
    let expected = "the route default via 192.0.2.1 with metric 0 is missing after";
    assert!(!ran.ok && ran.stderr.contains(expected), "{ran:?}");
    host.is_back(&before, Duration::from_secs(5));
    host.must(&format!("{APPLY} --yes --accept metrics"));
    assert!(chosen(host).contains("dev up9"), "{}", chosen(host));
    host.must("bridge remove br0");
    host.is_back(&before, Duration::from_secs(5));
    fs::remove_file(SCRIPT).expect("the script");
    host.lab.ip("link del up9");
}

/// The manager fails, and the bridge is made again whenever it is gone: the host is reached by it, also
/// while rolling it back is tried again, and is as it was once that ends.
fn made_again(host: &mut Host) {
    for nic in ["", " && ip link set lan0 master br0"] {
        host.configure(manager::ifupdown);
        let before = host.seen();
        host.must(&format!("{APPLY} --timeout 600"));
        let maker = format!(
            "while sleep 0.02; do ip link add br0 type bridge 2>/dev/null && ip link set br0 up{nic} \
             && ip address add 192.0.2.10/24 dev br0; done"
        );
        let maker = Program::start("sh", &["-c", &maker]);
        let wrapped = Wrapped::new(&host.lab, &["ifup", "ifdown", "ifquery"]);
        Wrapped::set(1, 999, "fails");
        let ping = host.ping();
        let ran = host.portero("bridge rollback --bridge br0");
        println!("  {}", ran.stderr.trim());
        let expected = "is made again by another program";
        assert!(!ran.ok && ran.stderr.contains(expected), "{ran:?}");
        std::thread::sleep(AGAIN * 3);
        wait_until(AGAIN, "not reached", || is_reached(host, &before));
        let by_bridge = host.addresses("br0").contains(ADDRESS);
        assert!(
            by_bridge && !host.addresses(NIC).contains(ADDRESS),
            "on one of both"
        );
        let silence = ping.longest_silence();
        assert!(silence < AGAIN, "silent for {silence:?}");
        println!("  silent for {:.1} s at most", silence.as_secs_f64());
        drop(maker);
        drop(wrapped);
        // Whoever watches over the change tries again by itself.
        host.is_back(&before, BACK);
    }
}

/// Whether the router reaches the host, and that has its addresses and default routes, by the bridge or
/// by the NIC.
fn is_reached(host: &Host, before: &crate::host::Seen) -> bool {
    let has = |name: &str| format!("{}{}", host.addresses(name), host.routes()) == before.nic;
    (has(NIC) || has("br0")) && host.router("ping", &["-c1", "-W1", ADDRESS]).ok
}

fn is_back(host: &Host, before: &crate::host::Seen) -> bool {
    let is_forgotten = !Path::new(RECORD).exists() && !Path::new("/sys/class/net/br0").exists();
    is_forgotten && host.seen() == *before && host.router("ping", &["-c1", "-W1", ADDRESS]).ok
}

/// What a NIC has that nobody brought up.
fn by_hand(lab: &Lab) {
    for words in [
        "link set lan0 up",
        "address add 192.0.2.10/24 dev lan0",
        "route add default via 192.0.2.1 dev lan0",
    ] {
        lab.ip(words);
    }
}

/// Refused before the first effect.
fn refused(host: &mut Host) {
    for (what, manager, expected) in [
        (
            "NetworkManager leaves it alone",
            manager::network_manager_elsewhere as fn(&Lab) -> Manager,
            "NetworkManager does not have lan0 up (10 (unmanaged)), although its files configure lan0",
        ),
        (
            "NetworkManager does not run",
            manager::network_manager_stopped,
            "NetworkManager does not run, although its files configure lan0",
        ),
        (
            "networkd leaves it alone",
            manager::networkd_elsewhere,
            "systemd-networkd does not have lan0 up (unmanaged), although its files configure lan0",
        ),
        (
            "networkd does not run",
            manager::networkd_stopped,
            "systemd-networkd does not run, although its files configure lan0",
        ),
        (
            "ifupdown has not brought it up",
            manager::ifupdown_elsewhere,
            "ifupdown does not have lan0 up (ifquery --state lan0 finds nothing), although its files configure lan0",
        ),
        (
            "NetworkManager runs, and somebody else has brought it up",
            manager::ifcfg_not_read,
            "NetworkManager does not have lan0 up (100 (connected (externally))), although its files configure lan0",
        ),
        (
            "the file keeps it from NetworkManager, and nobody else reads it",
            manager::ifcfg_kept,
            "the scripts of the network service are not installed, and lan0 is configured by an ifcfg file \
             that keeps it from NetworkManager (NM_CONTROLLED)",
        ),
    ] {
        host.forget();
        by_hand(&host.lab);
        host.adopt(manager);
        let before = host.seen();
        assert!(before.nic.contains(ADDRESS), "{}", before.nic);
        let mut connection = host.connect();
        let ran = host.portero(APPLY);
        assert!(!ran.ok, "{what}: {ran:?}");
        let said: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with("warning:")).collect();
        assert_eq!(said, [format!("error: {expected}")], "{what}");
        assert_eq!(host.seen(), before, "{what}");
        assert!(!Path::new(RECORD).exists(), "{what}: a record is left");
        connection.is_heard();
    }
}

/// networkd has the NIC up beside ifupdown: either would undo what the other one does.
fn two_owners(host: &mut Host) {
    host.configure(manager::networkd);
    let stanza =
        "auto lan0\niface lan0 inet static\n    address 192.0.2.10/24\n    gateway 192.0.2.1\n";
    fs::write("/etc/network/interfaces", stanza).expect("interfaces");
    fs::create_dir_all("/run/network").expect("/run/network");
    fs::write("/run/network/ifstate", "lan0=lan0\n").expect("ifstate");
    let before = host.seen();
    let ran = host.portero(&format!("{APPLY} --renderer ifupdown"));
    let expected = "error: ifupdown and systemd-networkd both have lan0 up; make systemd-networkd \
                    leave it alone first\n";
    assert_eq!((ran.ok, ran.stderr.as_str()), (false, expected));
    assert_eq!(host.seen(), before);
    fs::remove_dir_all("/run/network").expect("/run/network");
    // The control: it is ifupdown's no more.
    fs::remove_file("/etc/network/interfaces").expect("interfaces");
    host.must(&format!("{APPLY} --yes"));
    host.must("bridge remove br0");
}

/// What somebody has added by hand, an address, routes, a neighbor and rules: the bridge would not have it, which is told
/// first; and the NIC has it again.
fn of_no_file(host: &mut Host) {
    host.configure(manager::ifupdown);
    for words in [
        "address add 192.0.2.99/32 dev lan0",
        "route add 203.0.113.64/26 via 192.0.2.1 dev lan0 table 77",
        "-6 route add 2001:db8:77::/48 via 2001:db8:2::1 dev lan0 metric 77",
        "neighbour add 198.51.100.7 lladdr 52:54:00:00:00:07 dev lan0",
        "rule add from 192.0.2.99 lookup 77 priority 100",
        "rule add iif lan0 lookup 77 priority 101",
    ] {
        host.lab.ip(words);
    }
    let routes = |host: &Host| {
        let v4 = host
            .lab
            .must("ip", &["-4", "route", "show", "dev", NIC, "table", "all"]);
        let v6 = host
            .lab
            .must("ip", &["-6", "route", "show", "dev", NIC, "table", "all"]);
        let mut lines: Vec<String> = v4
            .lines()
            .chain(v6.lines())
            .map(|line| line.trim().to_owned())
            // It comes when nobody else was found to have the NIC's own address of IPv6.
            .filter(|line| !line.starts_with("local fe80::"))
            .collect();
        lines.sort();
        lines
    };
    let rules = |host: &Host| host.lab.must("ip", &["rule", "show"]);
    let (before, routes_before, rules_before) = (host.seen(), routes(host), rules(host));
    // Refused before anything happens, so that no packet is lost.
    let ping = host.ping();
    let ran = host.portero(APPLY);
    let line = ran.stderr.lines().last().unwrap_or_default();
    assert_eq!(
        line,
        "error: lan0 has 192.0.2.99/32, 203.0.113.64/26 via 192.0.2.1 table 77, 2001:db8:77::/48 via 2001:db8:2::1, \
         198.51.100.7 at 52:54:00:00:00:07, rule 100: from 192.0.2.99/32 lookup 77, rule 101: iif lan0 lookup 77, which \
         none of its files configures, so br0 would not have it; write it into the file first, or accept the loss with --accept \
         addresses,routes,neighbors,rules"
    );
    assert!(!ran.ok && !Path::new(RECORD).exists());
    assert_eq!(
        (host.seen(), routes(host), rules(host)),
        (before.clone(), routes_before.clone(), rules_before.clone())
    );
    let silence = ping.longest_silence();
    assert!(silence < Duration::from_secs(1), "silent for {silence:?}");
    // Accepted, the bridge lacks them, and the NIC has them again.
    host.must(&format!(
        "{APPLY} --timeout 600 --accept addresses,routes,neighbors,rules"
    ));
    assert!(
        host.addresses("br0").contains(ADDRESS) && !host.addresses("br0").contains("192.0.2.99")
    );
    host.lab.ip("rule del iif lan0 lookup 77");
    host.lab.ip("rule add iif br0 lookup 77 priority 101");
    let back = host.must("bridge rollback br0");
    println!("  {}", back.trim());
    for expected in [
        "br0 is rolled back; portero itself put back: 192.0.2.99/32, 203.0.113.64/26 via 192.0.2.1 table 77, \
         2001:db8:77::/48 via 2001:db8:2::1, 198.51.100.7 at 52:54:00:00:00:07",
        "rule 101: iif lan0 lookup 77",
    ] {
        assert!(back.contains(expected), "{back}");
    }
    host.is_back(&before, Duration::from_secs(1));
    assert_eq!((routes(host), rules(host)), (routes_before, rules_before));
    // Without them it works.
    for words in [
        "address delete 192.0.2.99/32 dev lan0",
        "rule del from 192.0.2.99 lookup 77",
        "rule del iif lan0 lookup 77",
        "route flush table 77",
        "-6 route del 2001:db8:77::/48",
        "neighbour del 198.51.100.7 dev lan0",
    ] {
        host.lab.ip(words);
    }
    host.must(&format!("{APPLY} --yes"));
    assert_eq!(
        host.must(&format!("{APPLY} --yes")),
        "br0 is there already, with lan0\n"
    );
    // What the bridge has been given since goes to the NIC.
    host.lab.ip("rule add iif br0 lookup 78 priority 102");
    host.must("bridge remove br0");
    let rules = rules(host);
    assert!(
        rules.contains("iif lan0 lookup 78") && !rules.contains("br0"),
        "{rules}"
    );
    host.lab.ip("rule del iif lan0 lookup 78");
}

impl Ping {
    /// Ends them; how long no answer came, at most.
    fn longest_silence(self) -> Duration {
        let text = self.answers();
        let stamp = |line: &str| {
            line.strip_prefix('[')?
                .split(']')
                .next()?
                .parse::<f64>()
                .ok()
        };
        let times: Vec<f64> = text
            .lines()
            .filter(|line| line.contains("time="))
            .filter_map(stamp)
            .collect();
        assert!(!times.is_empty(), "no answers: {text}");
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        Duration::from_secs_f64(gaps.fold(0.0, f64::max))
    }
}
