//! Hosts as their experts make them: programs that decide about packets, rules before portero's own, tables of routes, hooks of
//! interfaces. What is said is what packets do, or a doubt.

use crate::world::{Explained, World, PEER, WEB};
use portero_lab::{Backend, From, Proto, Scenario, HOST_V4, OUTSIDE_V4};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "odd: a program decides about packets, and none listens",
        run: programs,
    },
    Scenario {
        name: "odd: others translate before portero, or keep packets from it",
        run: before,
    },
    Scenario {
        name: "odd: connection tracking is told to look away",
        run: untracked,
    },
    Scenario {
        name: "odd: rules of an interface and of tc",
        run: interfaces,
    },
    Scenario {
        name: "odd: a rate for each client, and a host that may not ask its guests",
        run: not_to_blame,
    },
    Scenario {
        name: "odd: tables of routes for others than the host",
        run: tables,
    },
    Scenario {
        name: "odd: br_netfilter, and a rule about what is routed that stops guests of one network",
        run: bridged,
    },
    Scenario {
        name: "odd: antispoof knows the guest by its interface",
        run: guarded,
    },
    Scenario {
        name: "odd: the jumps to libvirt's rules are gone",
        run: jumps,
    },
    Scenario {
        name: "odd: a guest's own packets are not masqueraded, or go to a proxy",
        run: way_out,
    },
    Scenario {
        name: "odd: the host's answers to guests are dropped",
        run: answers,
    },
];

const ADDRESS: &str = "203.0.113.1:8080";

fn sh(world: &World, script: &str) {
    world.lab.must("sh", &["-ec", script]);
}

/// Something stops port 8080, and it is said to fail there, or that it may; then it goes, and all is well.
fn stops(world: &World, begin: &str, end: &str, state: &str, says: &str) {
    println!("  {begin}");
    sh(world, begin);
    world.not_reached(HOST_V4, 8080);
    let explained = world.explain_with(&[ADDRESS, "--from", OUTSIDE_V4]);
    let (found, why) = explained.hop("firewalls");
    assert!(found == state && why.contains(says), "{found}: {why}");
    sh(world, end);
    world.serves();
}

/// What is said of a guest that sends to the machine outside.
fn leaving(world: &World) -> Explained {
    world.explain_with(&["web", "--to", &format!("{OUTSIDE_V4}:80")])
}

fn programs(world: &mut World) {
    world.serves();
    for (table, chain, port, target, says) in [
        ("filter", "FORWARD", 80, "NFQUEUE --queue-num 7", "queue"),
        (
            "mangle",
            "PREROUTING",
            8080,
            "TPROXY --on-port 3129 --tproxy-mark 1",
            "redirect",
        ),
    ] {
        let rule = format!("{chain} -p tcp --dport {port} -j {target}");
        stops(
            world,
            &format!("iptables -t {table} -I {rule}"),
            &format!("iptables -t {table} -D {rule}"),
            "unknown",
            says,
        );
    }
}

fn before(world: &mut World) {
    world.serves();
    let table = "table ip odd { chain way { type nat hook prerouting priority -150; tcp dport 8080 dnat to 203.0.113.77; }; }";
    let file = world.lab.file("odd.nft", table);
    stops(
        world,
        &format!("nft -f {file}"),
        "nft delete table ip odd",
        "fails",
        "dnat of the packet, by nftables table ip odd",
    );
    let rules = [
        ("DNAT --to-destination 203.0.113.77", "redirect"),
        ("ACCEPT", "no DNAT"),
    ];
    for (target, says) in rules {
        let rule = format!("PREROUTING -p tcp --dport 8080 -j {target}");
        let (begin, end) = (
            format!("iptables -t nat -I {rule}"),
            format!("iptables -t nat -D {rule}"),
        );
        if world.lab.backend() == Backend::Iptables {
            stops(world, &begin, &end, "fails", says);
        } else {
            // The control: portero's own come first.
            sh(world, &begin);
            world.serves();
            sh(world, &end);
        }
    }
}

fn untracked(world: &mut World) {
    world.serves();
    for (rule, state, says) in [
        (
            "-i eth0 -p tcp --dport 8080 -j CT --notrack",
            "fails",
            "notrack",
        ),
        (
            "-i br-lan -p tcp --sport 80 -j CT --notrack",
            "fails",
            "notrack",
        ),
        (
            "-i eth0 -p tcp --dport 8080 -j CT --zone 5",
            "unknown",
            "zone",
        ),
    ] {
        stops(
            world,
            &format!("iptables -t raw -I PREROUTING {rule}; conntrack -F || true"),
            &format!("iptables -t raw -D PREROUTING {rule}; conntrack -F || true"),
            state,
            says,
        );
    }
}

/// The host's end of `web`'s interface.
fn tap(world: &World) -> String {
    let list = world.lab.virsh(&["domiflist", "web"]);
    let mut words = list.split_whitespace();
    let tap = words.find(|word| word.starts_with("vnet"));
    tap.expect("the host's end").to_owned()
}

fn interfaces(world: &mut World) {
    world.serves();
    let tap = tap(world);
    // nft 1.0.6 does not tell in JSON which interface such a chain is of.
    sh(
        world,
        "nft 'table netdev odd { chain way { type filter hook ingress device \"lo\" priority 0; }; }'",
    );
    let listed = world.lab.must("nft", &["-j", "list", "chains", "netdev"]);
    let state = if listed.contains("\"dev\"") {
        "fails"
    } else {
        "unknown"
    };
    sh(world, "nft delete table netdev odd");
    for (hook, device, rule) in [
        ("egress", tap.as_str(), "tcp dport 80"),
        ("egress", "br-lan", "tcp dport 80"),
        ("egress", "eth0", "tcp sport 8080"),
        ("ingress", "eth0", "tcp dport 8080"),
        ("ingress", "br-lan", "tcp sport 80"),
        ("ingress", tap.as_str(), "tcp sport 80"),
    ] {
        let table = format!(
            "table netdev odd {{ chain way {{ type filter hook {hook} device \"{device}\" priority 0; {rule} drop; }}; }}"
        );
        let file = world.lab.file("odd.nft", &table);
        stops(
            world,
            &format!("nft -f {file}"),
            "nft delete table netdev odd",
            state,
            "by nftables table netdev odd",
        );
    }
    stops(
        world,
        "tc qdisc add dev eth0 ingress; tc filter add dev eth0 parent ffff: protocol ip u32 \
         match ip dport 8080 0xffff action mirred egress redirect dev lo",
        "tc qdisc del dev eth0 ingress",
        "unknown",
        "a filter of tc(8) on eth0 decides too",
    );
}

fn not_to_blame(world: &mut World) {
    world.serves();
    let table = "table inet odd {
        set flood { type ipv4_addr; size 100; flags dynamic; }
        chain way { type filter hook forward priority 5; tcp dport 80 add @flood { ip saddr limit rate over 100/second } drop; }
    }";
    let file = world.lab.file("odd.nft", table);
    sh(world, &format!("nft -f {file}"));
    world.reached(HOST_V4, 8080, "web tcp 80");
    let explained = world.explained(ADDRESS);
    explained.holds();
    assert_eq!(explained.hop("firewalls").0, "unknown", "{explained:?}");
    sh(world, "nft delete table inet odd");
    // What is asked by the host itself has a way of its own.
    for (hook, rule) in [
        ("output", "oifname \"br-lan\" tcp dport 80 drop"),
        ("input", "iifname \"br-lan\" tcp sport 80 drop"),
    ] {
        let table = format!(
            "table inet odd {{ chain way {{ type filter hook {hook} priority 5; {rule}; }}; }}"
        );
        let file = world.lab.file("odd.nft", &table);
        sh(world, &format!("nft -f {file}"));
        world.reached(HOST_V4, 8080, "web tcp 80");
        world.lab.refuses(From::Host, Proto::Tcp, WEB, 80);
        let explained = world.explained(ADDRESS);
        explained.holds();
        let (state, why) = explained.hop("service");
        assert!(
            state == "unknown" && why.contains("by nftables table inet odd"),
            "{state}: {why}"
        );
        sh(world, "nft delete table inet odd");
    }
    world.serves();
}

fn tables(world: &mut World) {
    world.serves();
    sh(
        world,
        "ip route add unreachable default table 200; ip rule add iif eth0 priority 50 lookup 200",
    );
    world.not_reached(HOST_V4, 8080);
    let address = [ADDRESS, "--from", OUTSIDE_V4];
    let said = world
        .explain_with(&address)
        .fails("route", "ip rule add to 192.168.50.10/32 lookup main");
    world.mend(&said);
    world.reached(HOST_V4, 8080, "web tcp 80");
    world.explain_with(&address).holds();
    sh(
        world,
        "ip rule delete to 192.168.50.10/32 lookup main; ip rule delete iif eth0 lookup 200",
    );
    world.serves();
    // What guests send, their answers among it.
    leaving(world).guest_holds();
    sh(world, "ip rule add iif br-lan priority 50 lookup 200");
    world
        .lab
        .refuses(From::Guest(WEB), Proto::Tcp, OUTSIDE_V4, 80);
    leaving(world).fails("route", "ip rule");
    world.not_reached(HOST_V4, 8080);
    world.explain_with(&address).fails("back", "ip rule");
    sh(
        world,
        "ip rule delete iif br-lan lookup 200; ip route flush table 200",
    );
    leaving(world).guest_holds();
    world.serves();
}

fn bridged(world: &mut World) {
    let verdict = |world: &World| {
        let words = ["policy", "explain", "web", "peer", "tcp", "80"];
        world.lab.must("portero", &words)
    };
    let reaches = |world: &World| {
        (world.lab).answers(From::Guest(WEB), Proto::Tcp, PEER, 80, "peer tcp 80");
        let said = verdict(world);
        assert!(said.starts_with("accept\n"), "{said}");
    };
    reaches(world);
    let rules = "table inet odd { chain way { type filter hook forward priority 5; iifname \"br-lan\" drop; }; }";
    let file = world.lab.file("odd.nft", rules);
    sh(world, &format!("nft -f {file}"));
    // The control: without br_netfilter nobody asks the rule.
    reaches(world);
    world.lab.set_bridge_netfilter("1");
    world.lab.refuses(From::Guest(WEB), Proto::Tcp, PEER, 80);
    let said = verdict(world);
    assert!(
        said.starts_with("drop\n") && said.contains("nftables table inet odd"),
        "{said}"
    );
    let said = world
        .finding("bridge-netfilter", "bridge-nf-call-iptables")
        .expect("found");
    world.mend(&said);
    reaches(world);
    world.lab.set_bridge_netfilter("0");
    sh(world, "nft delete table inet odd");
}

fn guarded(world: &mut World) {
    world.serves();
    let file = "/etc/portero/networks/lan.xml";
    let policy = "<network xmlns='urn:portero:1'><policy><default in='accept'/>\
        <antispoof mac='yes' ip='yes'/></policy></network>";
    std::fs::write(file, policy).expect("a policy");
    world.lab.must("portero", &["sync"]);
    // What is guarded passes, and nothing is in doubt.
    world.serves();
    let explained = world.explained(ADDRESS);
    assert_eq!(explained.hop("firewalls").0, "ok", "{explained:?}");
    leaving(world).guest_holds();
    std::fs::remove_file(file).expect("the policy");
    world.lab.must("portero", &["sync"]);
    world.serves();
}

fn jumps(world: &mut World) {
    world.serves();
    world.not_reached(WEB, 80);
    assert_eq!(world.finding("libvirt-rules", ""), None);
    match world.lab.backend() {
        Backend::Iptables => sh(world, "iptables -F FORWARD"),
        Backend::Nftables => sh(world, "nft flush chain ip libvirt_network forward"),
    }
    world.lab.must("portero", &["sync"]);
    world.reached(WEB, 80, "web tcp 80");
    let words = ["policy", "explain", OUTSIDE_V4, WEB, "tcp", "80"];
    let said = world.lab.must("portero", &words);
    assert!(said.starts_with("accept\n"), "{said}");
    let said = world
        .finding("libvirt-rules", "connections to its guests")
        .expect("found");
    world.mend(&said);
    assert_eq!(world.finding("libvirt-rules", ""), None);
    world.not_reached(WEB, 80);
    world.serves();
}

fn way_out(world: &mut World) {
    let leaves_as = |world: &World, address: &str| {
        let answer = format!("outside tcp 80 from {address} ");
        world
            .lab
            .answers(From::Guest(WEB), Proto::Tcp, OUTSIDE_V4, 80, &answer);
    };
    leaves_as(world, HOST_V4);
    leaving(world).guest_holds();
    let rule = "POSTROUTING -s 192.168.50.0/24 -d 203.0.113.0/24 -j ACCEPT";
    sh(world, &format!("iptables -t nat -I {rule}"));
    if world.lab.backend() == Backend::Iptables {
        leaves_as(world, WEB);
        leaving(world).fails("firewalls", "ask the author of that rule");
    } else {
        // The control: libvirt's chain is another, which is asked all the same.
        leaves_as(world, HOST_V4);
    }
    sh(world, &format!("iptables -t nat -D {rule}"));
    leaves_as(world, HOST_V4);
    let rule = "PREROUTING -i br-lan -p tcp --dport 80 -j REDIRECT --to-ports 3128";
    sh(world, &format!("iptables -t nat -I {rule}"));
    world
        .lab
        .refuses(From::Guest(WEB), Proto::Tcp, OUTSIDE_V4, 80);
    let explained = leaving(world);
    explained.guest_holds();
    assert!(
        format!("{explained:?}").contains("perhaps redirect of the packet"),
        "{explained:?}"
    );
    sh(world, &format!("iptables -t nat -D {rule}"));
    leaves_as(world, HOST_V4);
    leaving(world).guest_holds();
}

/// Whether the guest gets an address when it asks for one.
fn is_leased(world: &World) -> bool {
    let order = "run udhcpc -i eth0 -n -q -t 3 -T 2 -s /bin/true";
    world.lab.run(&world.lab.agent(), &["ask", WEB, order]).ok
}

/// Whether the host's dnsmasq answers it.
fn is_named(world: &World) -> bool {
    let order = "run nslookup -type=a known.example 192.168.50.1";
    world.lab.run(&world.lab.agent(), &["ask", WEB, order]).ok
}

fn answers(world: &mut World) {
    world.serves();
    let known = "<host ip='192.168.50.99'><hostname>known.example</hostname></host>";
    let update = |world: &World, verb: &str| {
        let words = ["net-update", "lan", verb, "dns-host", known, "--live"];
        world.lab.virsh(&words);
    };
    update(world, "add");
    assert!(is_leased(world) && is_named(world), "nobody answers");
    assert_eq!(world.finding("guest-services", ""), None);
    let table = "table inet odd { chain way { type filter hook output priority 5; policy drop;
        oifname != \"br-lan\" accept; tcp sport != 53 accept; meta l4proto { icmp, ipv6-icmp } accept; }; }";
    let file = world.lab.file("odd.nft", table);
    sh(world, &format!("nft -f {file}"));
    assert!(!is_leased(world), "a lease");
    let found = world.finding("guest-services", "addresses").expect("found");
    let said = leaving(world).fails("address", "nft insert rule inet odd way oifname");
    assert_eq!(said, found);
    world.mend(&said);
    assert!(is_leased(world), "no lease");
    assert!(!is_named(world), "an answer");
    let said = leaving(world).fails("names", "udp sport 53 accept");
    world.mend(&said);
    assert!(is_named(world), "no answer");
    assert_eq!(world.finding("guest-services", ""), None);
    update(world, "delete");
    sh(world, "nft delete table inet odd");
    world.serves();
}
