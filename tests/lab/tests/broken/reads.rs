//! What is said is read of the kernel: rules of libvirt's that are gone, rules of others on the way of a guest's own packets, and what
//! keeps guests from the host's dnsmasq.

use crate::world::{Explained, World, WEB};
use portero_lab::{wait_until, Backend, DomainXml, From, Proto, Scenario, HOST_V4, OUTSIDE_V4};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "rules of libvirt's own are gone",
        run: flushed,
    },
    Scenario {
        name: "a rule of others before the host translates",
        run: early,
    },
    Scenario {
        name: "rules of the legacy iptables",
        run: legacy,
    },
    Scenario {
        name: "a guest's own packets are stopped by others",
        run: leaving,
    },
    Scenario {
        name: "containers of docker's reach guests past libvirt",
        run: past_libvirt,
    },
    Scenario {
        name: "answers beside ten thousand rules of others",
        run: crowded,
    },
    Scenario {
        name: "the host gives guests no address",
        run: no_address,
    },
    Scenario {
        name: "dnsmasq does not run",
        run: no_dnsmasq,
    },
];

/// How long a restarted daemon may take for its rules.
const LIMIT: Duration = Duration::from_secs(20);

fn crowded(world: &mut World) {
    world.serves();
    let to = format!("{OUTSIDE_V4}:80");
    // Whoever asks a guest waits for it, whatever rules there are.
    let begin = Instant::now();
    let _ = world.lab.run("portero", &["explain", "web", "--to", &to]);
    let alone = begin.elapsed();
    println!(
        "  portero explain web, without them: {} ms",
        alone.as_millis()
    );
    world.lab.begin_crowd();
    let address = format!("{HOST_V4}:8080");
    world.lab.answers_in_time(
        &[&["explain", &address], &["doctor"]],
        &[(&["explain", "web", "--to", &to], alone)],
    );
    // The control: they are read. One of them that concerns the forward is named.
    let said = world.breaks("firewalls", "nft insert rule inet crowd way ", |world| {
        world.lab.must(
            "nft",
            &["add rule inet crowd way tcp dport 80 counter drop"],
        );
    });
    assert!(said.ends_with(" accept"), "{said}");
    world.lab.end_crowd();
    world.serves();
}

/// Loads rules of somebody's.
fn load(world: &World, name: &str, rules: &str) {
    let file = world.lab.file(name, rules);
    world.lab.must("nft", &["-f", &file]);
}

/// What `portero explain` says of a guest that sends to the machine outside: the lab's host knows no way to others.
fn explained(world: &World, guest: &str) -> Explained {
    world.explain_with(&[guest, "--to", &format!("{OUTSIDE_V4}:80")])
}

/// What `portero policy explain` says of a packet.
fn verdict(world: &World, from: &str, to: &str) -> String {
    // A guest is named by its name as well.
    let name = |one: &str| {
        if one == WEB {
            "web".to_owned()
        } else {
            one.to_owned()
        }
    };
    let words = ["policy", "explain", &name(from), &name(to), "tcp", "80"];
    world.lab.must("portero", &words)
}

/// The machine outside sees this address of the guest.
fn leaves_as(world: &World, address: &str) {
    let answer = format!("outside tcp 80 from {address} ");
    world
        .lab
        .answers(From::Guest(WEB), Proto::Tcp, OUTSIDE_V4, 80, &answer);
}

fn flushed(world: &mut World) {
    world.serves();
    leaves_as(world, HOST_V4);
    // Control: libvirt keeps the outside from its guests, and that is said.
    world.not_reached(WEB, 80);
    let said = verdict(world, OUTSIDE_V4, WEB);
    assert!(
        said.starts_with("reject\n  reject by libvirt's rules"),
        "{said}"
    );
    assert_eq!(world.finding("libvirt-rules", ""), None);
    // The other's address is not the host's. Guests are emulated: one may be slower than the host waits.
    let end = Instant::now() + LIMIT;
    loop {
        let told = explained(world, "web");
        told.guest_holds();
        assert!(!told.forward_holds(8086), "{told:#?}");
        if told.forward_holds(8080) {
            break;
        }
        assert!(Instant::now() < end, "{told:#?}");
    }
    let gone = "rules of libvirt's own for network 'lan' are not in the firewall";
    assert!(!world.lab.must("portero", &["map"]).contains(gone));
    world.lab.must("nft", &["flush", "ruleset"]);
    world.lab.must("portero", &["sync"]);
    let map = world.lab.must("portero", &["map"]);
    assert!(map.contains(gone), "{map}");
    world.serves();
    world.reached(WEB, 80, "web tcp 80");
    let said = verdict(world, OUTSIDE_V4, WEB);
    assert!(said.starts_with("accept\n  accept by nobody"), "{said}");
    leaves_as(world, WEB);
    let told = explained(world, "web");
    let (of_guest, says) = (
        told.fails("rules", "systemctl restart "),
        "connections to its guests",
    );
    let command = world.finding("libvirt-rules", says).expect("found");
    assert_eq!(command, of_guest);
    // libvirt 11.3 may lose some of its own once more: it removes rules by handles that it remembers.
    let end = Instant::now() + 3 * LIMIT;
    while let Some(command) = world.finding("libvirt-rules", "") {
        assert!(Instant::now() < end, "libvirt's rules stay away");
        world.mend(&command);
        let is_back = || world.finding("libvirt-rules", "").is_none();
        let end = Instant::now() + Duration::from_secs(5);
        while !is_back() && Instant::now() < end {}
    }
    world.not_reached(WEB, 80);
    let said = verdict(world, OUTSIDE_V4, WEB);
    assert!(
        said.starts_with("reject\n  reject by libvirt's rules"),
        "{said}"
    );
    leaves_as(world, HOST_V4);
    explained(world, "web").guest_holds();
    world.serves();
}

fn early(world: &mut World) {
    world.breaks(
        "firewalls",
        "nft insert rule inet early raw tcp dport 8080 accept",
        |world| {
            let rules = "table inet early { chain raw { type filter hook prerouting priority -300;
            iifname \"eth0\" tcp dport 8000-9000 drop; }; }\n";
            load(world, "early.nft", rules);
        },
    );
    world.lab.must("nft", &["delete table inet early"]);
}

fn legacy(world: &mut World) {
    world.breaks("firewalls", "iptables-legacy -I FORWARD -p tcp ", |world| {
        world
            .lab
            .must("iptables-legacy", &["-A", "FORWARD", "-j", "DROP"]);
    });
    world.lab.must("iptables-legacy", &["-F", "FORWARD"]);
    world.serves();
}

fn leaving(world: &mut World) {
    let reaches = |world: &World| {
        world.lab.answers(
            From::Guest(WEB),
            Proto::Tcp,
            OUTSIDE_V4,
            80,
            "outside tcp 80",
        );
        let said = verdict(world, WEB, OUTSIDE_V4);
        assert!(said.starts_with("accept\n"), "{said}");
        explained(world, "web").guest_holds();
    };
    let stopped = |world: &mut World, verdict_is: &str, by: &str, mend: &str| {
        world
            .lab
            .refuses(From::Guest(WEB), Proto::Tcp, OUTSIDE_V4, 80);
        let said = verdict(world, WEB, OUTSIDE_V4);
        assert!(
            said.starts_with(&format!("{verdict_is}\n")) && said.contains(by),
            "{said}"
        );
        let command = explained(world, "web").fails("firewalls", mend);
        world.mend(&command);
    };
    reaches(world);
    let rules = "table inet blocker { chain way { type filter hook forward priority 5;
        iifname \"br-lan\" oifname != \"br-lan\" tcp dport 80 reject; }; }\n";
    load(world, "blocker.nft", rules);
    stopped(
        world,
        "reject",
        "by nftables table inet blocker",
        "nft insert rule inet blocker way iifname",
    );
    reaches(world);
    world.lab.must("nft", &["delete table inet blocker"]);
    // What docker does to a host: all that nobody accepts is dropped.
    let is_iptables = world.lab.backend() == Backend::Iptables;
    if !is_iptables {
        for words in [
            "-N DOCKER-USER",
            "-A DOCKER-USER -j RETURN",
            "-I FORWARD -j DOCKER-USER",
            "-P FORWARD DROP",
        ] {
            world
                .lab
                .must("iptables", &words.split(' ').collect::<Vec<_>>());
        }
        stopped(
            world,
            "drop",
            "by docker's iptables",
            "iptables -I DOCKER-USER -i br-lan -j ACCEPT",
        );
        // The answers have a way of their own.
        let command =
            explained(world, "web").fails("firewalls", "iptables -I DOCKER-USER -o br-lan ");
        world.mend(&command);
        reaches(world);
        for words in [
            "-P FORWARD ACCEPT",
            "-D FORWARD -j DOCKER-USER",
            "-F DOCKER-USER",
            "-X DOCKER-USER",
        ] {
            world
                .lab
                .must("iptables", &words.split(' ').collect::<Vec<_>>());
        }
    }
    reaches(world);
}

fn past_libvirt(world: &mut World) {
    const BOX: &str = "172.17.0.2";
    let ip = |words: &str| {
        world.lab.ip(words);
    };
    for words in [
        "netns add box",
        "link add docker0 type bridge",
        "link add box0 type veth peer name eth0 netns box",
        "link set box0 master docker0",
        "address add 172.17.0.1/16 dev docker0",
        "link set docker0 up",
        "link set box0 up",
        "-n box address add 172.17.0.2/16 dev eth0",
        "-n box link set eth0 up",
        "-n box route add default via 172.17.0.1",
    ] {
        ip(words);
    }
    let iptables = |words: &str| {
        world
            .lab
            .must("iptables", &words.split(' ').collect::<Vec<_>>());
    };
    // Control: libvirt keeps them out.
    world
        .lab
        .refuses(From::Namespace("box"), Proto::Tcp, WEB, 80);
    let said = verdict(world, BOX, WEB);
    assert!(
        said.starts_with("reject\n  reject by libvirt's rules"),
        "{said}"
    );
    for words in [
        "-N DOCKER-USER",
        "-A DOCKER-USER -j RETURN",
        "-I FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-I FORWARD -j DOCKER-USER",
    ] {
        iptables(words);
    }
    let found = || world.finding("past-libvirt", "from docker0 reach guests of network 'lan'");
    if world.lab.backend() == Backend::Iptables {
        world
            .lab
            .answers(From::Namespace("box"), Proto::Tcp, WEB, 80, "web tcp 80");
        let said = verdict(world, BOX, WEB);
        assert!(
            said.starts_with("accept\n  accept by iptables: -A FORWARD -i docker0"),
            "{said}"
        );
        let command = found().expect("found");
        assert!(
            command.starts_with("iptables -I DOCKER-USER -i docker0 -o br-lan "),
            "{command}"
        );
        world.lab.must("sh", &["-c", &command]);
    }
    assert_eq!(found(), None);
    world
        .lab
        .refuses(From::Namespace("box"), Proto::Tcp, WEB, 80);
    for words in [
        "-D FORWARD -j DOCKER-USER",
        "-D FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-D FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-F DOCKER-USER",
        "-X DOCKER-USER",
    ] {
        iptables(words);
    }
    ip("link del docker0");
    ip("netns del box");
    world.serves();
}

fn no_address(world: &mut World) {
    const ASKER: &str = "192.168.50.12";
    assert_eq!(world.finding("guest-services", ""), None);
    let reservation = "<host mac='52:54:00:00:50:12' ip='192.168.50.12'/>";
    world.lab.virsh(&[
        "net-update",
        "lan",
        "add",
        "ip-dhcp-host",
        reservation,
        "--live",
    ]);
    world.lab.define(&DomainXml {
        name: "asker",
        nics: &[("lan", "52:54:00:00:50:12")],
        v6: None,
        portero: "",
    });
    let rules = "table inet host { chain input { type filter hook input priority 5; policy drop;
        iifname { \"lo\", \"eth0\" } accept; ct state established,related accept;
        meta l4proto { icmp, ipv6-icmp } accept; }; }\n";
    load(world, "host.nft", rules);
    let found = world.finding("guest-services", "addresses").expect("found");
    assert!(world.finding("guest-services", "names").is_some());
    world.lab.virsh(&["start", "asker"]);
    let said =
        explained(world, "asker").fails("address", "nft insert rule inet host input iifname");
    assert_eq!(said, found);
    // Control: it boots in 5 s where it gets an address.
    std::thread::sleep(LIMIT);
    world.lab.refuses(From::Host, Proto::Tcp, ASKER, 80);
    world.mend(&found);
    let said = explained(world, "asker").fails("names", "udp dport 53 accept");
    world.mend(&said);
    assert_eq!(world.finding("guest-services", ""), None);
    world.lab.wait_guest(ASKER);
    explained(world, "asker").guest_holds();
    world.lab.virsh(&["destroy", "asker"]);
    explained(world, "asker").fails("guest", "virsh start asker");
    world.lab.virsh(&["undefine", "asker"]);
    world.lab.virsh(&[
        "net-update",
        "lan",
        "delete",
        "ip-dhcp-host",
        reservation,
        "--live",
    ]);
    world.lab.must("nft", &["delete table inet host"]);
}

fn no_dnsmasq(world: &mut World) {
    let process = || std::fs::read_to_string("/run/libvirt/network/lan.pid").expect("its process");
    let before = process();
    world.lab.must("kill", &["-KILL", before.trim()]);
    let says =
        |world: &World| world.finding("guest-services", "dnsmasq of network 'lan' does not run");
    wait_until(LIMIT, "dnsmasq's end is found", || says(world).is_some());
    let command = says(world).expect("found");
    explained(world, "web").fails("address", &command);
    world.mend(&command);
    wait_until(LIMIT, "dnsmasq runs", || says(world).is_none());
    assert_ne!(process(), before);
    explained(world, "web").guest_holds();
    world.reached(HOST_V4, 8080, "web tcp 80");
}
