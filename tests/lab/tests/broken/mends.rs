//! What must not be done about it, and what is told instead: addresses of others, routes that come by advertisements,
//! two uplinks, a bridge that waits, a network that has to start first.

use crate::world::{World, PEER, WEB};
use portero_lab::{From, Program, Proto, Scenario, HOST_V4, HOST_V6};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "an address that somebody has, a guest's, and one far away",
        run: others_addresses,
    },
    Scenario {
        name: "the host is no router of IPv6, and its default route is advertised",
        run: advertised,
    },
    Scenario {
        name: "two uplinks with routes of their own",
        run: two_uplinks,
    },
    Scenario {
        name: "the bridge waits for STP",
        run: spanning_tree,
    },
    Scenario {
        name: "the guest is shut off, and its network is not active",
        run: off_on_inactive,
    },
    Scenario {
        name: "a guest answers by each of its interfaces on one network",
        run: several_nics,
    },
    Scenario {
        name:
            "a network with <forward mode='bridge'/>, and a firewall for what comes by its bridge",
        run: host_bridge,
    },
    Scenario {
        name: "docker publishes the port",
        run: docker_port,
    },
    Scenario {
        name: "the map says that forwards pass",
        run: map,
    },
    Scenario {
        name: "br_netfilter, and docker that needs it",
        run: bridge_netfilter,
    },
];

/// Expects that an address is not told to be added to the host; gives what is told instead.
fn not_added(world: &World, port: &str) -> (String, String) {
    let explained = world.explained(port);
    let said = explained.fails("address", "");
    assert!(!said.contains("ip address add"), "{said}");
    (explained.hop("address").1.to_owned(), said)
}

fn others_addresses(world: &mut World) {
    world.serves();
    let add = [
        "-n",
        "outside",
        "address",
        "add",
        "203.0.113.77/24",
        "dev",
        "eth0",
    ];
    world.lab.must("ip", &add);
    let link = world
        .lab
        .must("ip", &["-n", "outside", "-j", "link", "show", "eth0"]);
    let link: Value = serde_json::from_str(&link).expect("JSON");
    let mac = link[0]["address"].as_str().expect("a MAC address");
    let (why, said) = not_added(world, "203.0.113.77:8086");
    assert!(why.contains(mac), "{why}");
    assert!(said.contains(HOST_V4), "{said}");
    world.lab.must(
        "ip",
        &[&["-n", "outside", "address", "delete"], &add[4..]].concat(),
    );
    let (why, said) = not_added(world, &format!("{WEB}:80"));
    assert!(why.contains("in the subnet of network 'lan'"), "{why}");
    let command = said.split(": ").last().expect("a command").to_owned();
    assert_eq!(command, "portero explain 8080/tcp");
    world.mend(&command);
    not_added(world, &format!("{PEER}:80"));
    not_added(world, "198.18.200.1:80");
    // The control: what nobody has can be added.
    let said = world
        .explained("203.0.113.9:8086")
        .fails("address", "ip address add 203.0.113.9/32");
    assert!(said.ends_with("dev eth0"), "{said}");
    world.serves();
}

fn default_route(world: &World) -> String {
    world
        .lab
        .must("ip", &["-6", "route", "show", "default", "dev", "eth0"])
}

fn until_advertised(world: &World) {
    let end = Instant::now() + Duration::from_secs(60);
    while !default_route(world).contains("proto ra") {
        assert!(Instant::now() < end, "no default route is advertised");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn advertised(world: &mut World) {
    let forwarding = "net.ipv6.conf.all.forwarding";
    world.forward_ipv6();
    let port = format!("[{HOST_V6}]:8091");
    world.reached(HOST_V6, 8091, "web tcp 80");
    world.lab.must(
        "sysctl",
        &[
            "-w",
            &format!("{forwarding}=0"),
            "net.ipv6.conf.eth0.accept_ra=1",
        ],
    );
    let router = Program::start(
        "ip",
        &[
            "netns",
            "exec",
            "outside",
            "dnsmasq",
            "--no-daemon",
            "--conf-file=/dev/null",
            "--port=0",
            "--enable-ra",
            "--interface=eth0",
            "--ra-param=eth0,4,1800",
            "--dhcp-range=::,constructor:eth0,ra-only,64",
            "--dhcp-leasefile=/run/lab/files/ra.leases",
        ],
    );
    until_advertised(world);
    world.not_reached(HOST_V6, 8091);
    let said = world.explained(&port).fails("routing", forwarding);
    assert_eq!(
        said,
        format!("sysctl -w net.ipv6.conf.eth0.accept_ra=2 {forwarding}=1")
    );
    assert_eq!(
        world.finding("forwarding", forwarding).as_ref(),
        Some(&said)
    );
    // The control: with half of it the host loses its default route.
    world
        .lab
        .must("sysctl", &["-w", &format!("{forwarding}=1")]);
    assert!(!default_route(world).contains("proto ra"));
    world
        .lab
        .must("sysctl", &["-w", &format!("{forwarding}=0")]);
    until_advertised(world);
    world.mend(&said);
    assert!(default_route(world).contains("proto ra"));
    world.reached(HOST_V6, 8091, "web tcp 80");
    assert!(default_route(world).contains("proto ra"));
    assert_eq!(world.finding("forwarding", forwarding), None);
    drop(router);
    world
        .lab
        .must("sysctl", &["-w", "net.ipv6.conf.eth0.accept_ra=1"]);
    let _ = world
        .lab
        .run("ip", &["-6", "route", "delete", "default", "dev", "eth0"]);
    world.end_ipv6();
}

/// A machine far away behind a second uplink, whose address has a table of routes of its own.
fn two_uplinks(world: &mut World) {
    let far = "198.18.9.9";
    let script = "
        ip netns add far
        ip link add up1 type veth peer name up1 netns far
        ip address add 198.18.1.1/24 dev up1
        ip link set up1 up
        ip -n far link set lo up
        ip -n far address add 198.18.1.2/24 dev up1
        ip -n far address add 198.18.9.9/32 dev lo
        ip -n far link set up1 up
        ip -n far route add default via 198.18.1.1 src 198.18.9.9
        ip route add default via 203.0.113.2
        ip route add 198.18.1.0/24 dev up1 table 100
        ip route add default via 198.18.1.2 table 100
        ip rule add from 198.18.1.1 lookup 100
        for of in all up1; do sysctl -q -w net.ipv4.conf.$of.rp_filter=0; done";
    world.lab.must("sh", &["-ec", script]);
    let agent = world.lab.agent();
    let ask = |world: &World, address: &str| {
        world
            .lab
            .probe(From::Namespace("far"), Proto::Tcp, address, 8080)
    };
    // A near client is served, and nobody is blamed for what the host itself sends elsewhere.
    world.lab.must(
        "ip",
        &[
            "-n",
            "far",
            "route",
            "replace",
            "default",
            "via",
            "198.18.1.1",
        ],
    );
    world.lab.answers(
        From::Namespace("far"),
        Proto::Tcp,
        "198.18.1.1",
        8080,
        "web tcp 80",
    );
    world
        .explain_with(&["198.18.1.1:8080", "--from", "198.18.1.2"])
        .holds();
    let words = [
        "-n",
        "far",
        "route",
        "replace",
        "default",
        "via",
        "198.18.1.1",
        "src",
        far,
    ];
    world.lab.must("ip", &words);
    let script = format!("ip -n far route replace 198.18.1.0/24 dev up1 src {far}");
    world.lab.must("sh", &["-ec", &script]);
    assert!(ask(world, "198.18.1.1").is_err(), "it is reached");
    let explained = world.explain_with(&["198.18.1.1:8080", "--from", far]);
    let said = explained.fails(
        "back",
        "ip rule add from 192.168.50.10 to 198.18.9.9 lookup 100",
    );
    let (_, why) = explained.hop("back");
    assert!(
        why.starts_with("the reply leaves by eth0, it came by up1"),
        "{why}"
    );
    assert_eq!(world.explained("198.18.1.1:8080").hop("back").0, "unknown");
    world.mend(&said);
    world.lab.answers(
        From::Namespace("far"),
        Proto::Tcp,
        "198.18.1.1",
        8080,
        "web tcp 80",
    );
    world
        .explain_with(&["198.18.1.1:8080", "--from", far])
        .holds();
    let script = "
        ip rule delete from 192.168.50.10 to 198.18.9.9 lookup 100
        ip rule delete from 198.18.1.1 lookup 100
        ip route flush table 100
        ip route delete default via 203.0.113.2
        ip link delete up1
        ip netns delete far";
    world.lab.must("sh", &["-ec", script]);
    assert!(!agent.is_empty());
}

fn tap_of_web(world: &World) -> String {
    let list = world.lab.virsh(&["domiflist", "web"]);
    let mut words = list.split_whitespace();
    words
        .find(|word| word.starts_with("vnet"))
        .expect("the host's end")
        .to_owned()
}

fn spanning_tree(world: &mut World) {
    let tap = tap_of_web(world);
    let set = |world: &World, values: &[&str]| {
        let words = [&["link", "set", "br-lan", "type", "bridge"], values].concat();
        world.lab.must("ip", &words);
    };
    let said = world.breaks("tap", "wait ", |world| {
        set(world, &["stp_state", "1", "forward_delay", "1000"]);
        world.lab.must("ip", &["link", "set", &tap, "down"]);
        world.lab.must("ip", &["link", "set", &tap, "up"]);
    });
    assert!(
        said.starts_with("wait 20 s") || said.starts_with("wait 10 s"),
        "{said}"
    );
    set(world, &["stp_state", "0", "forward_delay", "200"]);
}

fn off_on_inactive(world: &mut World) {
    world.serves();
    world.stop_web();
    world.lab.virsh(&["net-destroy", "lan"]);
    let explained = world.explained("8080");
    let said = explained.fails("forward", "virsh net-start lan && virsh start web");
    let (_, why) = explained.hop("forward");
    assert!(why.contains("network 'lan' is not active"), "{why}");
    // The control: the second command alone fails.
    assert!(!world.lab.try_virsh(&["start", "web"]).ok);
    world.mend(&said);
    world.lab.wait_guest(WEB);
    world.serves();
}

fn several_nics(world: &mut World) {
    world.serves();
    let macs = ["52:54:00:00:50:a1", "52:54:00:00:50:a2"];
    for mac in macs {
        let attach = ["attach-interface", "web", "network", "lan", "--mac", mac];
        world
            .lab
            .virsh(&[&attach[..], &["--model", "virtio", "--live"]].concat());
    }
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        world.reached(HOST_V4, 8080, "web tcp 80");
        let explained = world.explained("8080");
        let (state, why) = explained.hop("guest");
        assert_eq!(state, "ok", "{why}");
        if macs.iter().all(|mac| why.contains(mac)) {
            break;
        }
        assert!(Instant::now() < end, "it answers by one interface: {why}");
    }
    for mac in macs {
        world
            .lab
            .virsh(&["detach-interface", "web", "network", "--mac", mac, "--live"]);
    }
    // The host may know the guest by an interface that is gone now.
    world
        .lab
        .must("ip", &["neighbour", "flush", "dev", "br-lan"]);
    world.serves();
}

fn host_bridge(world: &mut World) {
    let script = "
        ip link add br-up type bridge
        ip link add up2 type veth peer name up2 netns outside
        ip link set up2 master br-up
        ip link set up2 up
        ip link set br-up up
        ip address add 203.0.114.1/24 dev br-up
        ip -n outside address add 203.0.114.2/24 dev up2
        ip -n outside link set up2 up";
    world.lab.must("sh", &["-ec", script]);
    let xml = "<network><name>up</name><forward mode='bridge'/><bridge name='br-up'/></network>";
    let file = world.lab.file("up.xml", xml);
    world.lab.virsh(&["net-define", &file]);
    world.lab.virsh(&["net-start", "up"]);
    world.reached("203.0.114.1", 8080, "web tcp 80");
    assert_eq!(world.finding("firewalls", ""), None);
    let rules = "table inet gate { chain way { type filter hook forward priority 5; policy accept;
        iifname { \"br-up\", \"eth0\" } drop\n        }\n    }";
    let file = world.lab.file("gate.nft", rules);
    world.lab.must("nft", &["-f", &file]);
    world.not_reached("203.0.114.1", 8080);
    world.not_reached(HOST_V4, 8080);
    let findings = world.findings();
    let found = findings.iter().filter(|(check, _, _)| check == "firewalls");
    let said: Vec<_> = found.collect();
    let [(_, finding, mend)] = said.as_slice() else {
        panic!("{findings:?}");
    };
    for interface in ["br-up", "eth0"] {
        assert!(finding.contains(interface), "{finding}");
    }
    let mend = mend.clone();
    world.mend(&mend);
    world.reached("203.0.114.1", 8080, "web tcp 80");
    assert_eq!(world.finding("firewalls", ""), None);
    world.lab.must("nft", &["delete table inet gate"]);
    world.lab.virsh(&["net-destroy", "up"]);
    world.lab.virsh(&["net-undefine", "up"]);
    world
        .lab
        .must("sh", &["-ec", "ip link delete br-up; ip link delete up2"]);
    world.serves();
}

fn docker_port(world: &mut World) {
    let add = "portero forward add DOMAIN 8070:GUESTPORT/tcp --persistent";
    world.explained("8070").fails("forward", add);
    let script = "
        iptables -t nat -N DOCKER
        iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8070 -j DNAT --to-destination 203.0.113.2:80";
    world.lab.must("sh", &["-ec", script]);
    let explained = world.explained(&format!("{HOST_V4}:8070"));
    let said = explained.fails("forward", "docker ps --filter publish=8070/tcp");
    assert!(!said.contains("portero forward add"), "{said}");
    let (_, why) = explained.hop("forward");
    assert!(
        why.contains("docker publishes it (iptables: -A DOCKER"),
        "{why}"
    );
    world
        .explained("8071")
        .fails("forward", "portero forward add");
    let script = "
        iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        iptables -t nat -F DOCKER
        iptables -t nat -X DOCKER";
    world.lab.must("sh", &["-ec", script]);
}

fn map(world: &mut World) {
    let words = |world: &World, to: &str| {
        let map = world.lab.must("portero", &["map", "--format", "json"]);
        let map: Value = serde_json::from_str(&map).expect("JSON");
        let passages = map["passages"].as_array().expect("passages");
        let end = |value: &Value| match value {
            Value::String(name) => name.clone(),
            other => other["network"].as_str().expect("a network").to_owned(),
        };
        let mut found = passages.iter();
        let found = found.find(|one| end(&one["from"]) == "outside" && end(&one["to"]) == to);
        let family = &found.expect("a passage")["families"]["ipv4"];
        let text = |key: &str| family[key].as_str().expect("a word").to_owned();
        (text("passes"), text("words"))
    };
    world.serves();
    assert_eq!(
        words(world, "lan"),
        ("some".to_owned(), "forwards only".to_owned())
    );
    world.stop_web();
    world.not_reached(HOST_V4, 8080);
    let (passes, said) = words(world, "lan");
    assert_eq!(passes, "none", "{said}");
    world.start_web();
    world.serves();
}

fn bridge_netfilter(world: &mut World) {
    world.lab.set_bridge_netfilter("1");
    let setting = "net.bridge.bridge-nf-call-iptables";
    assert_eq!(
        world.finding("bridge-netfilter", setting),
        Some(format!("sysctl -w {setting}=0"))
    );
    fs::copy("/bin/sleep", "/run/lab/files/dockerd").expect("a program of docker's name");
    let docker = Program::start("/run/lab/files/dockerd", &["600"]);
    assert_eq!(world.finding("bridge-netfilter", ""), None);
    drop(docker);
    let said = world.finding("bridge-netfilter", setting).expect("found");
    world.mend(&said);
    assert_eq!(world.finding("bridge-netfilter", setting), None);
    world.lab.set_bridge_netfilter("0");
}
