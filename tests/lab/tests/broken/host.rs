//! What is wrong on the host: its address, routing, bridge, route, network, rules and settings.

use crate::world::{World, WEB};
use portero_lab::{Backend, Scenario, HOST_V4, OUTSIDE_V4};
use std::fs;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "nobody wants the port, or for others only, or from the next start on",
        run: unwanted,
    },
    Scenario {
        name: "metadata that was changed live, without portero-watch",
        run: live,
    },
    Scenario {
        name: "an address that is not the host's",
        run: address,
    },
    Scenario {
        name: "the host is no router",
        run: no_router,
    },
    Scenario {
        name: "the bridge is down",
        run: bridge,
    },
    Scenario {
        name: "a route leads elsewhere",
        run: route,
    },
    Scenario {
        name: "the network is not active",
        run: network,
    },
    Scenario {
        name: "the rules were thrown away",
        run: flushed,
    },
    Scenario {
        name: "portero.toml names another firewall than libvirt's",
        run: backend,
    },
    Scenario {
        name: "network.conf names another firewall than libvirt's",
        run: told,
    },
    Scenario {
        name: "a policy rejects what is forwarded",
        run: policy,
    },
    Scenario {
        name: "portero.toml forbids the port, and the guest is shut off",
        run: limits,
    },
];

fn unwanted(world: &mut World) {
    world.not_reached(HOST_V4, 8099);
    let add = "portero forward add DOMAIN 8099:GUESTPORT/tcp --persistent";
    let said = world.explained("8099").fails("forward", add);
    let said = said.replace("DOMAIN", "web").replace("GUESTPORT", "80");
    world.mend(&said.replace("--persistent", "--config"));
    world.not_reached(HOST_V4, 8099);
    let said = world
        .explained("8099")
        .fails("forward", "portero forward add web 8099:80/tcp --live");
    world.mend(&said);
    world.reached(HOST_V4, 8099, "web tcp 80");
    world.explained("8099").holds();
    let remove = ["forward", "remove", "web", "8099:80", "--persistent"];
    world.lab.must("portero", &remove);
    world.not_reached(HOST_V4, 8084);
    let port = format!("{HOST_V4}:8084");
    let explained = world.explain_with(&[&port, "--from", OUTSIDE_V4]);
    explained.fails("forward", "virsh edit web");
    assert!(
        explained.hop("forward").1.contains("198.51.100.0/24"),
        "{explained:?}"
    );
    world.explained(&port).holds();
}

fn live(world: &mut World) {
    let metadata = ["metadata", "web", "--uri", "urn:portero:1", "--live"];
    let before = world.lab.virsh(&metadata);
    let more = "<portForward xmlns='urn:portero:1' proto='tcp'><range start='8098' to='80'/></portForward>\n</domain>";
    let after = before.replace("</domain>", more);
    let set = |text: &str| {
        let set = [&metadata[..], &["--key", "portero", "--set", text]].concat();
        world.lab.virsh(&set);
    };
    set(&after);
    world.not_reached(HOST_V4, 8098);
    let explained = world.explained("8098");
    let said = explained.fails("hooks", "portero sync");
    assert_eq!(explained.hop("forward").0, "ok");
    set(&before);
    world
        .explained("8098")
        .fails("forward", "portero forward add DOMAIN");
    set(&after);
    world.mend(&said);
    world.reached(HOST_V4, 8098, "web tcp 80");
    world.explained("8098").holds();
    let metadata = ["metadata", "web", "--uri", "urn:portero:1", "--live"];
    let set = [&metadata[..], &["--key", "portero", "--set", &before]].concat();
    world.lab.virsh(&set);
    world.lab.must("portero", &["sync"]);
    world.not_reached(HOST_V4, 8098);
}

fn address(world: &mut World) {
    let lab = &world.lab;
    lab.must("ip", &["neighbour", "flush", "dev", "eth0"]);
    world.not_reached("203.0.113.9", 8086);
    let add = "ip address add 203.0.113.9/32 dev eth0";
    let said = world.explained("203.0.113.9:8086").fails("address", add);
    world.mend(&said);
    world.reached("203.0.113.9", 8086, "web tcp 80");
    world.explained("203.0.113.9:8086").holds();
    world.lab.must(
        "ip",
        &["address", "delete", "203.0.113.9/32", "dev", "eth0"],
    );
}

fn no_router(world: &mut World) {
    let said = world.breaks("routing", "sysctl -w net.ipv4.ip_forward=1", |world| {
        world.lab.must("sysctl", &["-w", "net.ipv4.ip_forward=0"]);
        assert!(world
            .finding("forwarding", "net.ipv4.ip_forward is 0")
            .is_some());
    });
    assert_eq!(said, "sysctl -w net.ipv4.ip_forward=1");
    assert_eq!(world.finding("forwarding", "net.ipv4.ip_forward"), None);
}

fn bridge(world: &mut World) {
    world.breaks("bridge", "ip link set br-lan up", |world| {
        world.lab.must("ip", &["link", "set", "br-lan", "down"]);
    });
}

fn route(world: &mut World) {
    let said = world.breaks(
        "route",
        "ip route replace 192.168.50.10/32 dev br-lan",
        |world| {
            let to = format!("{WEB}/32");
            world.lab.must("ip", &["route", "add", &to, "dev", "eth0"]);
        },
    );
    assert!(said.ends_with("br-lan"), "{said}");
    world
        .lab
        .must("ip", &["route", "delete", "192.168.50.10/32"]);
}

fn network(world: &mut World) {
    world.breaks("forward", "virsh net-start lan", |world| {
        world.lab.virsh(&["net-destroy", "lan"]);
    });
}

fn flushed(world: &mut World) {
    world.breaks("rule", "portero sync", |world| match world.lab.backend() {
        Backend::Nftables => {
            world.lab.must("nft", &["delete table inet portero"]);
        }
        Backend::Iptables => {
            world
                .lab
                .must("iptables", &["-t", "nat", "-F", "PORTERO-DNAT"]);
        }
    });
}

fn backend(world: &mut World) {
    let settings = "/etc/portero/portero.toml";
    let shipped = fs::read_to_string(settings).expect("the installed portero.toml");
    let other = world.lab.backend().other().name();
    let said = world.breaks("rule", "portero.toml && portero sync", |world| {
        let text = format!("firewall = \"{other}\"\n{shipped}");
        fs::write(settings, text).expect("portero.toml");
        world.lab.must("portero", &["sync"]);
        assert!(world.finding("backend", "portero.toml").is_some());
    });
    assert!(said.starts_with("sed -i"), "{said}");
    assert_eq!(world.finding("backend", "portero.toml"), None);
    fs::write(settings, shipped).expect("portero.toml");
}

fn told(world: &mut World) {
    let (own, other) = (world.lab.backend(), world.lab.backend().other());
    assert_eq!(world.finding("backend", "network.conf"), None);
    world.lab.configure_backend(other);
    let said = world.finding("backend", "network.conf");
    assert!(said.is_some_and(|said| said.starts_with(crate::world::RESTART)));
    world.lab.configure_backend(own);
    assert_eq!(world.finding("backend", "network.conf"), None);
}

fn policy(world: &mut World) {
    let file = "/etc/portero/networks/lan.xml";
    world.serves();
    let policy = "<network xmlns='urn:portero:1'>\n<policy>\n\
        <rule action='reject' direction='in' statematch='false'><tcp dstportstart='80'/></rule>\n\
        </policy></network>";
    fs::write(file, policy).expect("a policy");
    world.lab.must("portero", &["sync"]);
    world.not_reached(HOST_V4, 8080);
    let said = world.explained("8080").fails("policy", "portero sync");
    assert!(said.contains(&format!("{file}, line 3")), "{said}");
    fs::write(file, policy.replace("'reject'", "'accept'")).expect("a policy");
    world.lab.must("portero", &["sync"]);
    world.serves();
    fs::remove_file(file).expect("the policy");
    world.lab.must("portero", &["sync"]);
    world.serves();
}

fn limits(world: &mut World) {
    let settings = "/etc/portero/portero.toml";
    let shipped = fs::read(settings).expect("the installed portero.toml");
    world.serves();
    world.stop_web();
    fs::write(settings, "[limits]\nports = [\"9000-9999\"]\n").expect("portero.toml");
    assert!(!world.lab.try_virsh(&["start", "web"]).ok, "started");
    world.not_reached(HOST_V4, 8080);
    let explained = world.explained("8080");
    explained.fails(
        "forward",
        "permit it in [limits] of /etc/portero/portero.toml, then: virsh start web",
    );
    let (_, why) = explained.hop("forward");
    assert!(
        why.contains("host port 8080 is not among the ports"),
        "{why}"
    );
    fs::write(settings, shipped).expect("portero.toml");
    let said = world.explained("8080").fails("forward", "virsh start web");
    assert_eq!(said, "virsh start web");
    world.mend(&said);
    world.lab.wait_guest(WEB);
    world.serves();
}
