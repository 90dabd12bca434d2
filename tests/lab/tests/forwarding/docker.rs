//! Beside docker's firewall, which drops what it does not accept itself. Real docker runs in suite `machine`: here its chains
//! stand as it makes them.

use crate::live::start_watch;
use crate::shown::is_explained;
use crate::world::{World, FORWARDS, PEER};
use portero_lab::{
    limit_by_load, wait_until, Backend, From, Proto, Scenario, Settings, HOST_V4, OUTSIDE_V4,
};
use std::time::Duration;
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name:
            "docker: what is forwarded passes, comes back when docker restarts, and leaves nothing",
        run: forwards,
    },
    Scenario {
        name: "docker: a port that others have or stop is told at once",
        run: told,
    },
    Scenario {
        name: "docker: a port that others have is logged soon after a start, once, and others' many rules cost nothing then",
        run: logged,
    },
    Scenario {
        name: "docker: status says at once who stops what is forwarded and what guests need",
        run: status,
    },
    Scenario {
        name: "docker: guests go their ways where that is asked for",
        run: guests,
    },
];

/// What docker publishes a port by.
const PUBLISH: [&str; 3] = [
    "iptables -t nat -N DOCKER",
    "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8095 -j DNAT --to-destination 203.0.113.2:80",
];

/// And what takes that away.
const UNPUBLISH: &str = "iptables -t nat -F DOCKER; iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; iptables -t nat -X DOCKER";

fn told(world: &mut World) {
    world.running_web();
    let add = |world: &World| {
        let ran = world
            .lab
            .run("portero", &["forward", "add", "web", "8095:80", "--live"]);
        assert!(ran.ok, "{ran:?}");
        ran.stderr
    };
    let remove = |world: &World| {
        world.lab.must(
            "portero",
            &["forward", "remove", "web", "8095:80", "--live"],
        );
    };
    let doctor = |world: &World| world.lab.run("portero", &["doctor"]).stdout;
    // The control: nobody else has anything to do with it.
    assert_eq!(add(world), "");
    let expected = "tcp port 8095 of domain 'web' is published by docker too";
    assert!(!doctor(world).contains(expected));
    for line in PUBLISH {
        world.lab.must("sh", &["-c", line]);
    }
    let said = doctor(world);
    assert!(said.contains(expected), "{said}");
    remove(world);
    let said = add(world);
    assert!(said.contains(expected), "{said}");
    world.lab.must("sh", &["-c", UNPUBLISH]);
    if world.lab.backend() == Backend::Nftables {
        world.lab.must("nft", &["delete table ip nat"]);
    }
    remove(world);
    // Somebody's firewall drops what is forwarded.
    let rules = "table ip wall { chain forward { type filter hook forward priority 5; policy accept; tcp dport 80 drop; }; }";
    let file = world.lab.file("wall.nft", rules);
    world.lab.must("nft", &["-f", &file]);
    let said = add(world);
    assert!(
        said.contains("is stopped: drop by nftables table ip wall"),
        "{said}"
    );
    world.lab.must("nft", &["delete table ip wall"]);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8095, "web tcp 80");
    remove(world);
    world.stop_web();
    world.is_untouched();
}

const PUBLISHED: &str =
    "<portero:portForward proto='tcp'><portero:range start='8095' to='80'/></portero:portForward>";

fn logged(world: &mut World) {
    world.stop_web_if_it_runs();
    let watch = start_watch();
    let told = |world: &World| -> Vec<String> {
        let log = world.lab.log().into_iter();
        log.filter(|line| line.contains(" is published by "))
            .collect()
    };
    let _ = world.lab.log();
    // The control: nobody else has the port.
    world.start_web(PUBLISHED);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8095, "web tcp 80");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(told(world), [""; 0]);
    world.stop_web();
    for line in PUBLISH {
        world.lab.must("sh", &["-c", line]);
    }
    // Others have many rules.
    let many: String = (0..10_000)
        .map(|number| {
            let (high, low) = (number / 250, number % 250);
            format!(
                "add rule ip many chain1 ip saddr 10.9.{high}.{low} tcp dport 8095 counter drop\n"
            )
        })
        .collect();
    let many = format!("add table ip many\nadd chain ip many chain1\n{many}");
    let file = world.lab.file("many.nft", &many);
    world.lab.must("nft", &["-f", &file]);
    let mut lines = Vec::new();
    let looks_at = |world: &World, lines: &mut Vec<String>, number: usize| {
        let limit = limit_by_load(Duration::from_secs(20));
        wait_until(limit, "nothing is logged", || {
            lines.extend(told(world));
            lines.len() >= number
        });
    };
    world.start_web(PUBLISHED);
    // Who gets the connection is the one who is named.
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8095, "web tcp 80");
    looks_at(world, &mut lines, 1);
    let expected =
        "warning: tcp port 8095 of domain 'web' is published by docker too (iptables: -A DOCKER ";
    assert!(
        lines[0].contains(expected.trim_start_matches("warning: ")),
        "{lines:#?}"
    );
    assert!(
        lines[0].ends_with("): domain 'web' gets what comes for it"),
        "{lines:#?}"
    );
    // Nothing is looked for again.
    std::thread::sleep(Duration::from_secs(2));
    let before = watch.cpu();
    std::thread::sleep(Duration::from_secs(5));
    let used = watch.cpu() - before;
    println!(
        "  with 10,000 rules of others: {} ms of 5 s",
        used.as_millis()
    );
    assert!(used <= Duration::from_millis(50), "{used:?}");
    lines.extend(told(world));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    world.stop_web();
    drop(watch);
    world.lab.must("nft", &["delete table ip many"]);
    world.lab.must("sh", &["-c", UNPUBLISH]);
    if world.lab.backend() == Backend::Nftables {
        world.lab.must("nft", &["delete table ip nat"]);
    }
    world.is_untouched();
}

fn status(world: &mut World) {
    world.stop_web_if_it_runs();
    world.start_web(FORWARDS);
    // The way to everybody.
    let route = ["route", "add", "default", "via", OUTSIDE_V4];
    world.lab.must("ip", &route);
    let warned = |world: &World| -> Vec<String> {
        let status = world.lab.must("portero", &["status"]);
        let lines = status.lines().filter(|line| line.starts_with("warning: "));
        lines.map(str::to_owned).collect()
    };
    // The control: nobody else has any rule.
    world.serves();
    assert_eq!(warned(world), [""; 0]);
    let rules = "table inet wall {
        chain forward { type filter hook forward priority 5; ip saddr 198.51.100.66 drop; iifname \"eth0\" tcp dport 80 drop; }
        chain input { type filter hook input priority 5; iifname \"br-lan\" udp dport 53 reject; }
    }";
    let file = world.lab.file("wall.nft", rules);
    world.lab.must("nft", &["-f", &file]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    let said = warned(world);
    let expected = [
        (
            "warning: what domain 'web' forwards from tcp 8080, and ",
            " forwards more, is stopped on eth0: drop by nftables table inet wall: chain forward, handle ",
            "(see 'portero explain 8080')",
        ),
        (
            "warning: guests of network 'lan' get no names (DNS) from the host: reject by nftables table inet wall",
            ": chain input, handle ",
            "(see 'portero explain peer')",
        ),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (line, (start, part, end)) in said.iter().zip(expected) {
        let is_it = line.starts_with(start) && line.contains(part) && line.ends_with(end);
        assert!(is_it, "{line}");
    }
    let json = world.lab.must("portero", &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let first = &json["stopped"][0];
    assert_eq!(
        (&first["name"], &first["what"], &first["certainty"]),
        (&"web".into(), &"tcp 8080".into(), &"sure".into()),
        "{json:#}"
    );
    world.lab.must("nft", &["delete table inet wall"]);
    world.serves();
    assert_eq!(warned(world), [""; 0]);
    // docker has portero accept what is forwarded, and stops what guests send where libvirt's rules are not asked with its own.
    docker(world, &START);
    world.lab.must("portero", &["sync"]);
    world.serves();
    let said = warned(world);
    if world.lab.backend() == Backend::Nftables {
        world.lab.refuses(From::Guest(PEER), Tcp, OUTSIDE_V4, 80);
        let expected = "connections of guests of network 'lan' to others are stopped: drop by docker's iptables";
        assert!(said.iter().any(|line| line.contains(expected)), "{said:#?}");
        let is_way_out =
            |line: &String| line.contains("' to others are stopped: drop by docker's ");
        assert!(said.iter().all(is_way_out), "{said:#?}");
    } else {
        world
            .lab
            .answers(From::Guest(PEER), Tcp, OUTSIDE_V4, 80, "outside tcp 80");
        assert_eq!(said, [""; 0]);
    }
    world.stop_web();
    end(world);
    world.lab.must("ip", &["route", "delete", "default"]);
    world.is_untouched();
}

/// What docker makes of a host when it starts: `FORWARD` with a policy of drop, and its chain for administrators.
const START: [&str; 4] = [
    "-N DOCKER-USER",
    "-A DOCKER-USER -j RETURN",
    "-I FORWARD -j DOCKER-USER",
    "-P FORWARD DROP",
];
const END: [&str; 4] = [
    "-P FORWARD ACCEPT",
    "-D FORWARD -j DOCKER-USER",
    "-F DOCKER-USER",
    "-X DOCKER-USER",
];

fn docker(world: &World, lines: &[&str]) {
    for line in lines {
        for program in ["iptables", "ip6tables"] {
            let words: Vec<&str> = line.split(' ').collect();
            world.lab.must(program, &words);
        }
    }
}

/// docker goes, and what iptables made for its chains with it.
fn end(world: &World) {
    docker(world, &END);
    if world.lab.backend() == Backend::Nftables {
        world
            .lab
            .must("nft", &["delete table ip filter; delete table ip6 filter"]);
    }
}

fn chains(world: &World) -> String {
    let of = |program| world.lab.must(program, &["-t", "filter", "-S"]);
    let all = of("iptables") + &of("ip6tables");
    all.lines()
        .filter(|line| line.contains("PORTERO_DOCKER"))
        .collect()
}

fn forwards(world: &mut World) {
    world.stop_web_if_it_runs();
    docker(world, &START);
    world.start_web(FORWARDS);
    world.serves();
    world.lab.is_in_order();
    if world.lab.backend() == Backend::Iptables {
        assert_eq!(
            chains(world),
            "",
            "in iptables portero's own jumps are enough"
        );
    } else {
        // The control: without its rules nothing passes docker.
        docker(world, &["-F PORTERO_DOCKER"]);
        world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
        is_explained(world, &["8080"], false, "docker's");
        assert!(
            !world.lab.run("portero", &["plan"]).ok,
            "plan tells nothing"
        );
        world.lab.must("portero", &["sync"]);
        world.serves();
        is_explained(world, &["8080"], true, "DNAT to");
        // docker restarts after a flush of its chains.
        docker(
            world,
            &[
                "-F FORWARD",
                "-F DOCKER-USER",
                "-A DOCKER-USER -j RETURN",
                "-I FORWARD -j DOCKER-USER",
            ],
        );
        world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
        let watch = portero_lab::Program::start("portero-watch", &[]);
        let limit = Duration::from_secs(5);
        world
            .lab
            .answers_within(limit, From::Outside, Tcp, HOST_V4, 8080, "web tcp 80");
        docker(world, &["-F DOCKER-USER", "-A DOCKER-USER -j RETURN"]);
        world
            .lab
            .answers_within(limit, From::Outside, Tcp, HOST_V4, 8080, "web tcp 80");
        drop(watch);
        world.lab.is_in_order();
        // What is not forwarded does not pass.
        world.lab.refuses(From::Guest(PEER), Tcp, OUTSIDE_V4, 80);
    }
    world.stop_web();
    assert_eq!(chains(world), "", "something is left in docker's chains");
    end(world);
    world.is_untouched();
}

fn guests(world: &mut World) {
    world.stop_web_if_it_runs();
    let settings = Settings::replace("[docker]\nguests = true\n");
    docker(world, &START);
    // One forward, so that portero has something to keep.
    world.start_web(FORWARDS);
    if world.lab.backend() == Backend::Nftables {
        world
            .lab
            .answers(From::Guest(PEER), Tcp, OUTSIDE_V4, 80, "outside tcp 80");
        // Libvirt's own rules go on to judge.
        world.lab.refuses(From::Outside, Tcp, PEER, 80);
        drop(settings);
        world.lab.must("portero", &["sync"]);
        // The control.
        world.lab.refuses(From::Guest(PEER), Tcp, OUTSIDE_V4, 80);
    }
    world.stop_web();
    end(world);
    world
        .lab
        .answers(From::Guest(PEER), Tcp, OUTSIDE_V4, 80, "outside tcp 80");
    world.is_untouched();
}
