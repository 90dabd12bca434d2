//! A policy from its start to its end: changed under connections, restarted, refused, and what the
//! host answers for on a LAN.

use crate::world::{named, network, World};
use portero_lab::{wait_until, DomainXml, From, Program, Proto, Scenario, Talk, OUTSIDE_V4};
use serde_json::Value;
use std::fs;
use std::thread;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "metadata of a network: in force from its start, gone with its stop",
        run: metadata,
    },
    Scenario {
        name: "a wrong policy refuses the start in one line, and nothing changes",
        run: refused,
    },
    Scenario {
        name: "a bridge of the host's has no policy, one behind the host without <ip> has",
        run: bridges,
    },
    Scenario {
        name: "a change cuts what it forbids and nothing else",
        run: changed,
    },
    Scenario {
        name: "a policy outlives SIGHUP, the daemon's restart and its network's",
        run: restarted,
    },
    Scenario {
        name: "what a policy has counted is told for each clause",
        run: counted,
    },
    Scenario {
        name: "a peer's network comes and goes",
        run: peer_comes_and_goes,
    },
    Scenario {
        name: "neighbor: the host answers for guests on the LAN",
        run: neighbor,
    },
];

const CLOSED: &str = "<portero:policy><portero:default in='reject'/></portero:policy>";

fn restart(world: &World, name: &'static str, portero: &'static str) {
    world.lab.virsh(&["net-destroy", name]);
    world.lab.define_network(&network(name, portero));
    world.lab.virsh(&["net-start", name]);
}

fn metadata(world: &mut World) {
    let (route, tcp) = (named("route").v4, Proto::Tcp);
    world.lab.answers(From::Outside, tcp, route, 80, "route ");
    restart(world, "route", CLOSED);
    world.is_in_order();
    world.lab.wait_guest(route);
    world.lab.refuses(From::Outside, tcp, route, 80);
    // Metadata that is edited while the network runs waits for its next start, but for libvirt 9.7
    // and later, which can change it at once.
    let live = ["net-metadata", "route", "urn:portero:1", "--live"];
    let open = "<network><policy/></network>";
    let set = [&live[..], &["--key", "portero", "--set", open]].concat();
    if world.lab.try_virsh(&["help", "net-metadata"]).ok {
        world.lab.virsh(&set);
        world.lab.must("portero", &["sync"]);
        world.lab.answers(From::Outside, tcp, route, 80, "route ");
    }
    restart(world, "route", "");
    world.lab.answers(From::Outside, tcp, route, 80, "route ");
    world.is_untouched();
}

fn refused(world: &mut World) {
    let wrong = "<portero:policy><portero:rule action='allow' direction='in'/></portero:policy>";
    world.lab.virsh(&["net-destroy", "far"]);
    let before = world.lab.rules();
    let start = |portero| {
        world.lab.define_network(&network("far", portero));
        let ran = world.lab.try_virsh(&["net-start", "far"]);
        assert!(!ran.ok, "started");
        assert_eq!(world.lab.rules(), before);
        ran.stderr
    };
    let said = start(wrong);
    let expected = "<rule>: action: 'allow' is not known, expected accept, drop, reject";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("metadata of network 'far', line "), "{said}");
    world.write("networks", "far", "network", CLOSED);
    let said = start(CLOSED);
    assert!(
        said.contains("/etc/portero/networks/far.xml, line 1: <policy>: there is one in metadata"),
        "{said}"
    );
    fs::remove_file("/etc/portero/networks/far.xml").expect("the file");
    let group = "<portero:policy><portero:rule action='accept' direction='in'>\
                 <portero:peer group='nobody'/></portero:rule></portero:policy>";
    let said = start(group);
    assert!(said.contains("/etc/portero/groups/nobody.xml"), "{said}");
    let said = start("<portero:policy mode='nat'/>");
    assert!(said.contains("expected <forward mode='open'/>"), "{said}");
    world.lab.define_network(&network("far", ""));
    world.lab.virsh(&["net-start", "far"]);
    world.lab.wait_guest(named("far").v4);
    world.is_untouched();
}

/// What a machine at the end of a cable is, in place of a guest.
fn box_on(world: &World, bridge: &str) -> Program {
    for step in [
        "netns add box".to_owned(),
        "link add box0 type veth peer name eth0 netns box".to_owned(),
        format!("link set box0 master {bridge} up"),
        "-n box address add 192.168.91.10/24 dev eth0".to_owned(),
        "-n box link set eth0 up".to_owned(),
        "-n box route add default via 192.168.91.1".to_owned(),
    ] {
        world.lab.ip(&step);
    }
    let agent = world.lab.agent();
    Program::start("ip", &["netns", "exec", "box", &agent, "serve", "box"])
}

fn bridges(world: &mut World) {
    const BOX: &str = "192.168.91.10";
    const POLICY: &str = "<portero:policy><portero:default in='reject'/>\
        <portero:rule action='accept' direction='in'><portero:tcp dstportstart='80'/></portero:rule></portero:policy>";
    let xml = |mode: &str, portero: &str| {
        let xml = format!(
            "<network><name>hand</name><metadata><portero:network xmlns:portero='urn:portero:1'>{portero}\
             </portero:network></metadata><forward mode='{mode}'/><bridge name='hand0'/></network>"
        );
        world.lab.file("hand.xml", &xml)
    };
    let define = |path: &str| {
        let _ = world.lab.try_virsh(&["net-undefine", "hand"]);
        world.lab.virsh(&["net-define", path]);
    };
    let expected = "<policy>: guests of network 'hand' are not behind this host: their packets pass bridge hand0 and are \
                    not routed here";
    // A bridge that the host only switches.
    world.lab.ip("link add hand0 type bridge");
    world.lab.ip("link set hand0 up");
    let path = xml("bridge", POLICY);
    let ran = world.lab.run("portero", &["validate", &path]);
    let said = ran.stdout + &ran.stderr;
    assert!(!ran.ok && said.contains(expected), "{said}");
    define(&path);
    let ran = world.lab.try_virsh(&["net-start", "hand"]);
    assert!(!ran.ok && ran.stderr.contains(expected), "{ran:?}");
    // The control; and while it is active it gets none.
    define(&xml("bridge", ""));
    world.lab.virsh(&["net-start", "hand"]);
    world.write("networks", "hand", "network", POLICY);
    let ran = world.lab.run("portero", &["sync"]);
    let said = ran.stdout + &ran.stderr;
    assert!(!ran.ok && said.contains(expected), "{said}");
    world.lab.virsh(&["net-destroy", "hand"]);
    fs::remove_file("/etc/portero/networks/hand.xml").expect("the file");
    world.lab.ip("link delete hand0");
    // One that the host routes, whose addresses libvirt does not know. libvirt 9.0 refuses to define it, 11.3 does not.
    world.lab.virsh(&["net-undefine", "hand"]);
    let defined = world.lab.try_virsh(&["net-define", &xml("open", "")]);
    if !defined.ok {
        let expected = "open forwarding requested, but no IP address provided";
        assert!(defined.stderr.contains(expected), "{defined:?}");
        println!("  libvirt refuses a network of mode open without <ip>");
        world.is_untouched();
        return;
    }
    let tcp = Proto::Tcp;
    for portero in ["", POLICY] {
        define(&xml("open", portero));
        world.lab.virsh(&["net-start", "hand"]);
        world.lab.ip("address add 192.168.91.1/24 dev hand0");
        let serving = box_on(world, "hand0");
        world.lab.answers(From::Outside, tcp, BOX, 80, "box tcp 80");
        match portero {
            "" => drop(world.lab.answers(From::Outside, tcp, BOX, 53, "box tcp 53")),
            _ => world.lab.refuses(From::Outside, tcp, BOX, 53),
        }
        drop(serving);
        world.lab.ip("netns delete box");
        world.lab.virsh(&["net-destroy", "hand"]);
    }
    world.lab.virsh(&["net-undefine", "hand"]);
    world.is_untouched();
}

/// How long a connection is listened to.
const A_MOMENT: Duration = Duration::from_millis(1500);

fn changed(world: &mut World) {
    let rules = |ports: &str| {
        format!(
            "<portero:policy><portero:default in='reject'/>\
             <portero:rule action='accept' direction='in'>{ports}</portero:rule></portero:policy>"
        )
    };
    let (both, one, none) = (
        rules("<portero:tcp dstportstart='7007'/><portero:tcp dstportstart='80'/>"),
        rules("<portero:tcp dstportstart='7007'/>"),
        rules("<portero:tcp dstportstart='80'/>"),
    );
    let (route, tcp) = (named("route").v4, Proto::Tcp);
    world.give("route", &both);
    let talk = Talk::start(&world.lab.agent(), route, "/run/lab/files/talk");
    world.lab.answers(From::Outside, tcp, route, 80, "route ");
    for _ in 0..5 {
        world.give("route", &one);
        world.lab.refuses(From::Outside, tcp, route, 80);
        assert!(
            talk.is_heard(A_MOMENT),
            "cut by a change that still allows it"
        );
        world.give("route", &both);
        world.lab.answers(From::Outside, tcp, route, 80, "route ");
    }
    world.give("route", &none);
    // An answer that was on its way may still be noted.
    thread::sleep(Duration::from_secs(1));
    assert!(!talk.is_heard(A_MOMENT), "goes on though it is forbidden");
    world.lab.answers(From::Outside, tcp, route, 80, "route ");
    drop(talk);
    world.take("route");
    world.is_untouched();
}

/// What the clauses of a network's policy on the way in have counted, in their order.
fn counters(world: &World, network: &str) -> Vec<(String, u64)> {
    let shown = (world.lab).must("portero", &["policy", "show", network, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let clauses = shown[0]["clauses"].as_array().expect("clauses");
    let of_way = clauses.iter().filter(|clause| clause["way"] == "in");
    let told = of_way.map(|clause| {
        let packets = clause["packets"].as_u64().expect("a counter");
        (clause["clause"].to_string(), packets)
    });
    told.collect()
}

/// Three connections that a rule with a range and subnets accepts, and three datagrams that nobody does.
fn counted(world: &mut World) {
    let policy = "<portero:policy><portero:default in='reject'/>\
                  <portero:rule action='accept' direction='in'><portero:peer network='nat'/><portero:peer address='203.0.113.0' prefix='24'/>\
                  <portero:tcp dstportstart='80' dstportend='90'/></portero:rule></portero:policy>";
    let (route, tcp) = (named("route").v4, Proto::Tcp);
    world.give("route", policy);
    let before = counters(world, "route");
    assert!(
        before.len() > 1 && before.iter().all(|(_, packets)| *packets == 0),
        "{before:?}"
    );
    for _ in 0..3 {
        world.lab.answers(From::Outside, tcp, route, 80, "route ");
    }
    let accepted = counters(world, "route");
    let sum = |counters: &[(String, u64)]| counters.iter().map(|(_, packets)| packets).sum::<u64>();
    let (default, rules) = accepted.split_last().expect("clauses");
    // Each packet of a connection is counted.
    assert!(sum(rules) >= 3 && default.1 == 0, "{accepted:?}");
    for _ in 0..3 {
        world.lab.refuses(From::Outside, Proto::Udp, route, 81);
    }
    let rejected = counters(world, "route");
    let (default, rules) = rejected.split_last().expect("clauses");
    assert_eq!(sum(rules), sum(&accepted), "{rejected:?}");
    assert!(default.1 >= 3, "{rejected:?}");
    println!("  {rejected:?}");
    world.take("route");
    world.is_untouched();
}

fn restarted(world: &mut World) {
    let (route, tcp) = (named("route").v4, Proto::Tcp);
    world.lab.answers(From::Outside, tcp, route, 80, "route ");
    world.give("route", CLOSED);
    // libvirt answers before it has told its hooks of every guest that runs.
    let closed = |world: &World| {
        world.lab.wait_guest(route);
        wait_until(
            Duration::from_secs(5),
            "portero plan would change something",
            || world.lab.run("portero", &["plan"]).ok,
        );
        world.lab.refuses(From::Outside, tcp, route, 80);
    };
    closed(world);
    world.lab.signal_libvirtd("HUP");
    thread::sleep(Duration::from_millis(500));
    closed(world);
    world.lab.restart_libvirtd();
    closed(world);
    world.lab.virsh(&["net-destroy", "route"]);
    world.lab.virsh(&["net-start", "route"]);
    closed(world);
    // Everybody's rules are thrown away: the daemon's restart brings back libvirt's, and ours.
    match world.lab.backend() {
        portero_lab::Backend::Nftables => drop(world.lab.must("nft", &["flush ruleset"])),
        portero_lab::Backend::Iptables => {
            for program in ["iptables", "ip6tables"] {
                for table in ["filter", "nat", "mangle"] {
                    world.lab.must(program, &["-t", table, "-F"]);
                    world.lab.must(program, &["-t", table, "-X"]);
                }
            }
        }
    }
    world.lab.restart_libvirtd();
    closed(world);
    world.take("route");
    world.lab.answers(From::Outside, tcp, route, 80, "route ");
    world.is_untouched();
}

fn peer_comes_and_goes(world: &mut World) {
    let (route, tcp, far) = (named("route").v4, Proto::Tcp, named("far").from);
    world.give(
        "route",
        "<portero:policy><portero:default in='reject'/><portero:rule action='accept' \
         direction='in'><portero:peer network='far'/></portero:rule></portero:policy>",
    );
    world.lab.answers(far, tcp, route, 80, "route ");
    world.lab.virsh(&["net-destroy", "far"]);
    world.is_in_order();
    world.lab.virsh(&["net-start", "far"]);
    world.is_in_order();
    world.lab.wait_guest(named("far").v4);
    world.lab.answers(far, tcp, route, 80, "route ");
    world.lab.refuses(From::Outside, tcp, route, 80);
    world.take("route");
    world.is_untouched();
}

const CARVED: &str = "203.0.113.130";
const CARVED_V6: &str = "2001:db8:113::82";
const CARVED_MAC: &str = "52:54:00:00:56:10";

/// A routed network out of the subnet of the host's LAN: no router there knows of it.
fn carved(neighbor: &str) -> String {
    format!(
        "<network><name>carved</name><uuid>00000000-0000-4000-8000-636172766564</uuid>\
         <metadata><portero:network xmlns:portero='urn:portero:1'>{neighbor}</portero:network></metadata>\
         <forward mode='route'/><bridge name='br-carved' stp='off' delay='0'/>\
         <ip address='203.0.113.129' prefix='28'><dhcp><range start='203.0.113.131' end='203.0.113.140'/>\
         <host mac='{CARVED_MAC}' ip='{CARVED}'/></dhcp></ip>\
         <ip family='ipv6' address='2001:db8:113::81' prefix='124'/></network>"
    )
}

fn neighbor(world: &mut World) {
    let (lab, tcp) = (&world.lab, Proto::Tcp);
    let define = |neighbor: &str| {
        let path = lab.file("carved.xml", &carved(neighbor));
        lab.virsh(&["net-define", &path]);
    };
    let proxies = || lab.must("ip", &["neighbour", "show", "proxy"]);
    let ndp = || lab.must("sysctl", &["-n", "net.ipv6.conf.eth0.proxy_ndp"]);
    define("");
    lab.virsh(&["net-start", "carved"]);
    lab.define(&DomainXml {
        name: "carved",
        nics: &[("carved", CARVED_MAC)],
        v6: None,
        portero: "",
    });
    lab.virsh(&["start", "carved"]);
    lab.wait_guest(CARVED);
    let ask = |words: &str| lab.must(&lab.agent(), &["ask", CARVED, words]);
    ask(&format!("run ip -6 addr add {CARVED_V6}/124 dev eth0"));
    ask("run ip -6 route add default via 2001:db8:113::81");
    // Control: nobody on the LAN finds it.
    lab.refuses(From::Outside, tcp, CARVED, 80);
    lab.refuses(From::Outside, tcp, CARVED_V6, 80);
    lab.virsh(&["net-destroy", "carved"]);
    let both = format!(
        "<portero:policy><portero:neighbor dev='eth0' arp='yes' ndp='yes'>\
         <portero:address>{CARVED}</portero:address><portero:address>{CARVED_V6}</portero:address>\
         </portero:neighbor></portero:policy>"
    );
    // Somebody else has the address: refused, and nothing is left.
    define(&both);
    let theirs = format!("{CARVED}/24");
    for verb in ["add", "del"] {
        let command = ["address", verb, &theirs, "dev", "eth0"];
        let ran = lab.outside("ip", &command);
        assert!(ran.ok, "{ran:?}");
        if verb == "add" {
            let ran = lab.try_virsh(&["net-start", "carved"]);
            assert!(!ran.ok, "started");
            let expected = format!("{CARVED} is in use on eth0 already");
            assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
            assert_eq!(proxies(), "");
        }
    }
    assert_eq!(ndp().trim(), "0");
    lab.virsh(&["net-start", "carved"]);
    world.is_in_order();
    lab.wait_guest(CARVED);
    lab.answers(From::Outside, tcp, CARVED, 80, "carved ");
    lab.answers(From::Outside, tcp, CARVED_V6, 80, "carved ");
    lab.answers(From::Guest(CARVED), tcp, OUTSIDE_V4, 80, "outside ");
    assert_eq!(proxies().lines().count(), 2);
    // Nobody else is answered for.
    lab.refuses(From::Outside, tcp, "203.0.113.131", 80);
    lab.virsh(&["net-destroy", "carved"]);
    assert_eq!(proxies(), "");
    assert_eq!(ndp().trim(), "0");
    lab.virsh(&["destroy", "carved"]);
    lab.virsh(&["undefine", "carved"]);
    lab.virsh(&["net-undefine", "carved"]);
    world.is_untouched();
}
