//! What is wrong behind the host: the guest, its service, its address, its interface, its way back.

use crate::world::{World, PEER, WEB};
use portero_lab::{DomainXml, From, Proto, Scenario, HOST_V4};
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "nothing listens in the guest",
        run: not_listening,
    },
    Scenario {
        name: "UDP: what nobody listens on is told, and the rest is silent",
        run: udp,
    },
    Scenario {
        name: "a guest address that nobody has",
        run: nobody,
    },
    Scenario {
        name: "a guest address that another guest has",
        run: another,
    },
    Scenario {
        name: "the guest is paused",
        run: paused,
    },
    Scenario {
        name: "the guest has no way back",
        run: no_way_back,
    },
    Scenario {
        name: "the guest's interface is out of the bridge, and then down",
        run: tap,
    },
    Scenario {
        name: "no lease yet",
        run: pending,
    },
];

fn not_listening(world: &mut World) {
    world.not_reached(HOST_V4, 8088);
    world.explained(&format!("{HOST_V4}:8088")).fails(
        "service",
        "in the guest: start the service that listens on tcp port 8088",
    );
    world
        .in_guest("start-stop-daemon -S -b -m -p /tmp/listen.pid -x /agent -- listen 0.0.0.0:8088");
    world.reached(HOST_V4, 8088, "host tcp 8088");
    world.explained("8088").holds();
}

fn udp(world: &mut World) {
    world.explained("8080/udp").holds();
    world
        .explained("8089/udp")
        .fails("service", "udp port 8089");
}

fn readdressed(world: &mut World, address: &str) {
    let remove = ["forward", "remove", "web", "8080:80", "--persistent"];
    world.lab.must("portero", &remove);
    let add = [
        "forward",
        "add",
        "web",
        "8080:80",
        "--guest",
        address,
        "--persistent",
    ];
    world.lab.must("portero", &add);
}

fn nobody(world: &mut World) {
    let said = world.breaks("guest", "portero forward remove web", |world| {
        readdressed(world, "192.168.50.77");
    });
    assert!(said.contains("--guest 192.168.50.77"), "{said}");
}

fn another(world: &mut World) {
    world.serves();
    // Nobody has reserved it, so nothing but the answer on the wire says whose it is.
    let order = "run ip address add 192.168.50.88/24 dev eth0";
    let agent = world.lab.agent();
    world.lab.must(&agent, &["ask", PEER, order]);
    readdressed(world, "192.168.50.88");
    world.reached(HOST_V4, 8080, "peer tcp 80");
    let explained = world.explained(&format!("{HOST_V4}:8080"));
    let said = explained.fails("guest", "portero forward remove web");
    let (_, why) = explained.hop("guest");
    assert!(
        why.contains("by domain 'peer' (52:54:00:00:50:11)"),
        "{why}"
    );
    world.mend(&said);
    world.serves();
}

fn paused(world: &mut World) {
    let said = world.breaks("guest", "virsh resume web", |world| {
        world.lab.virsh(&["suspend", "web"]);
    });
    assert_eq!(said, "virsh resume web");
}

fn no_way_back(world: &mut World) {
    let said = world.breaks("back", "in the guest: ", |world| {
        world.in_guest("ip route del default");
    });
    assert_eq!(said, "in the guest: ip route add default via 192.168.50.1");
}

fn tap(world: &mut World) {
    let list = world.lab.virsh(&["domiflist", "web"]);
    let tap = list
        .split_whitespace()
        .find(|word| word.starts_with("vnet"));
    let tap = tap.expect("the host's end").to_owned();
    world.breaks(
        "tap",
        &format!("ip link set {tap} master br-lan"),
        |world| {
            world.lab.must("ip", &["link", "set", &tap, "nomaster"]);
        },
    );
    world.breaks("tap", &format!("ip link set {tap} up"), |world| {
        world.lab.must("ip", &["link", "set", &tap, "down"]);
    });
}

fn pending(world: &mut World) {
    world.lab.define(&DomainXml {
        name: "drift",
        nics: &[("lan", "52:54:00:00:50:78")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8078' to='80'/></portero:portForward>",
    });
    world
        .explained("8078")
        .fails("forward", "virsh start drift");
    world.lab.virsh(&["start", "drift"]);
    world.not_reached(HOST_V4, 8078);
    let explained = world.explained("8078");
    explained.fails("forward", "let the guest ask for an address by DHCP");
    assert!(
        explained.hop("forward").1.contains("nor a lease"),
        "{explained:?}"
    );
    let end = Instant::now() + Duration::from_secs(90);
    let leases = "/var/lib/libvirt/dnsmasq/br-lan.status";
    while !std::fs::read_to_string(leases).is_ok_and(|text| text.contains("00:50:78")) {
        assert!(Instant::now() < end, "no lease");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.not_reached(HOST_V4, 8078);
    let said = world.explained("8078").fails("forward", "portero sync");
    world.mend(&said);
    world.reached(HOST_V4, 8078, "drift tcp 80");
    world.explained("8078").holds();
    world.lab.virsh(&["destroy", "drift"]);
    world.lab.virsh(&["undefine", "drift"]);
    world.lab.refuses(From::Host, Proto::Tcp, WEB, 8078);
}
