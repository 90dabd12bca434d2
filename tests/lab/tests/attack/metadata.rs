//! What the owner of a guest writes into its metadata to get what is not his.

use crate::world::{forward, qemu, World, MALLORY, MEMORY, SETTINGS, VICTIM};
use portero_lab::{From, Proto, Scenario, HOST_V4, OUTSIDE_V4};
use std::fs;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "metadata: ports of the host's programs",
        run: ports_of_the_host,
    },
    Scenario {
        name: "metadata: ports and addresses that [limits] keeps",
        run: limited,
    },
    Scenario {
        name: "metadata: ports of another guest",
        run: ports_of_others,
    },
    Scenario {
        name: "metadata: addresses of others as the guest's",
        run: addresses_of_others,
    },
    Scenario {
        name: "metadata: all of an address of the host",
        run: whole_addresses,
    },
    Scenario {
        name: "metadata: packets to others are not taken",
        run: transit,
    },
];

/// The attributes and range that are refused, with what is said; and those that are not.
type Row<'a> = (&'a str, &'a str, &'a str, (&'a str, &'a str));

/// Each attack is refused by libvirt with one line and nothing changed, and its control is served.
fn refused(world: &mut World, rows: &[Row<'_>]) {
    let before = world.rules();
    for (attributes, range, says, (harmless, free)) in rows {
        world.define(&forward(attributes, range));
        world.start().is_refused(says);
        assert_eq!(world.rules(), before, "{attributes} {range}");
        world.control(&forward(harmless, free));
        world.count();
    }
    assert_eq!(world.rules(), before);
    world.served();
    world.is_in_order();
}

fn ports_of_the_host(world: &mut World) {
    let _ssh = world.lab.listen("0.0.0.0:22");
    let _libvirt = world.lab.listen("203.0.113.1:16509");
    let listens = "listens on";
    let tcp = "proto='tcp'";
    refused(
        world,
        &[
            (tcp, "start='22'", listens, (tcp, "start='2222' to='22'")),
            (
                tcp,
                "start='20' end='30'",
                listens,
                (tcp, "start='23' end='30'"),
            ),
            (tcp, "start='16509'", listens, (tcp, "start='16510'")),
            (
                "proto='tcp' address='203.0.113.1'",
                "start='16509'",
                listens,
                // Nobody listens there.
                ("proto='tcp' address='192.168.50.1'", "start='16509'"),
            ),
            (
                "proto='tcp' dev='eth0'",
                "start='22'",
                listens,
                ("proto='tcp' dev='eth0'", "start='2222'"),
            ),
            (
                "proto='tcp' source='203.0.113.2'",
                "start='22'",
                listens,
                ("proto='tcp' source='203.0.113.2'", "start='2222'"),
            ),
            (
                "proto='tcp' address='127.0.0.1'",
                "start='22'",
                listens,
                ("proto='tcp' address='127.0.0.1'", "start='2222'"),
            ),
            // dnsmasq.
            (
                "proto='udp'",
                "start='53'",
                listens,
                ("proto='udp'", "start='5353'"),
            ),
            (
                "proto='udp'",
                "start='60' end='70'",
                listens,
                ("proto='udp'", "start='70'"),
            ),
        ],
    );
    world
        .lab
        .answers(From::Outside, Proto::Tcp, HOST_V4, 22, "host tcp 22");
}

fn limited(world: &mut World) {
    // Nobody listens on either.
    let limits =
        "[limits]\nports = [\"1024-16508\", \"16510-65535\"]\naddresses = [\"203.0.113.1\"]\n";
    fs::write(SETTINGS, limits).expect("portero.toml");
    let permitted = "proto='tcp' address='203.0.113.1'";
    let port = "is not among the ports";
    refused(
        world,
        &[
            (permitted, "start='22'", port, (permitted, "start='1024'")),
            (
                permitted,
                "start='16509'",
                port,
                (permitted, "start='16510'"),
            ),
            (
                permitted,
                "start='16500' end='16600'",
                port,
                (permitted, "start='16510' end='16600'"),
            ),
            (
                "proto='tcp'",
                "start='2222'",
                "address is missing",
                (permitted, "start='2222'"),
            ),
            (
                "proto='tcp' address='127.0.0.1'",
                "start='2222'",
                "host address 127.0.0.1 is not among",
                (permitted, "start='2222'"),
            ),
            (
                "proto='tcp' address='::ffff:203.0.113.1'",
                "start='2222'",
                "is not among the addresses",
                (permitted, "start='2222'"),
            ),
        ],
    );
    fs::write(SETTINGS, &world.settings).expect("portero.toml");
}

fn whole_addresses(world: &mut World) {
    const OWN: &str = "203.0.113.5";
    const OTHER: &str = "203.0.113.6";
    const BYSTANDER: &str = "/etc/portero/domains/victim.xml";
    fs::write(
        SETTINGS,
        format!("[limits]\nwhole_addresses = [\"{OWN}\", \"{HOST_V4}\"]\n"),
    )
    .expect("portero.toml");
    for address in [OWN, OTHER] {
        world.lab.ip(&format!("address add {address}/24 dev eth0"));
    }
    let all = |attributes: &str, content: &str| {
        format!("<portero:address {attributes}>{content}</portero:address>")
    };
    let own = |attributes: &str| all(&format!("host='{OWN}' {attributes}"), "");
    let exclude = |port: u32| format!("<portero:exclude proto='tcp' start='{port}'/>");
    let holes: String = (1..30_000).step_by(2).map(exclude).collect();
    let many: String = (0..250)
        .map(|last| all(&format!("host='10.9.0.{last}'"), ""))
        .collect();
    let before = world.rules();
    for (portero, says) in [
        (
            all(&format!("host='{OTHER}'"), ""),
            "expected one of 'whole_addresses'",
        ),
        (many, "expected one of 'whole_addresses'"),
        (
            all(&format!("host='{HOST_V4}'"), ""),
            "is the first address of interface eth0",
        ),
        (own(&format!("guest='{VICTIM}'")), "is reserved for"),
        (own("guest='192.168.50.1'"), "cannot be a guest's here"),
        (own("guest='203.0.113.9'"), "cannot be a guest's here"),
        (own("dev='eth0'"), "attribute 'dev' is not known"),
        (
            all(&format!("host='{OWN}'"), &holes),
            "expected at most 10000",
        ),
        (
            own("") + &own(""),
            "is already forwarded by the address in line",
        ),
    ] {
        let xml = world.mallory(&portero);
        qemu(&["prlimit", MEMORY], &xml, "prepare").is_refused(says);
        assert_eq!(world.rules(), before, "{says}");
        world.count();
    }
    let leads = |world: &World| world.rules().iter().any(|line| line.contains(MALLORY));
    let control = |world: &World| {
        let xml = world.mallory(&own(""));
        for (operation, expected) in [("prepare", false), ("start", true), ("stopped", false)] {
            qemu(&[], &xml, operation).works();
            assert_eq!(leads(world), expected, "{operation}");
        }
    };
    control(world);
    // What another guest has of it cannot be taken, neither all of it nor one port.
    let of_victim = "<domain xmlns='urn:portero:1'><portForward proto='tcp' address='203.0.113.5'>\
        <range start='8443' to='80'/></portForward></domain>";
    fs::write(BYSTANDER, of_victim).expect("a file");
    world.lab.must("portero", &["sync"]);
    let taken = world.rules();
    for portero in [
        own(""),
        forward(&format!("proto='tcp' address='{OWN}'"), "start='8443'"),
    ] {
        qemu(&[], &world.mallory(&portero), "prepare").is_refused("is held by domain 'victim'");
        assert_eq!(world.rules(), taken);
        world.count();
    }
    fs::remove_file(BYSTANDER).expect("a file");
    world.lab.must("portero", &["sync"]);
    control(world);
    for address in [OWN, OTHER] {
        world
            .lab
            .ip(&format!("address delete {address}/24 dev eth0"));
    }
    fs::write(SETTINGS, &world.settings).expect("portero.toml");
    assert_eq!(world.rules(), before);
    world.served();
    world.is_in_order();
}

fn ports_of_others(world: &mut World) {
    let held = "is held by domain 'victim'";
    let tcp = "proto='tcp'";
    let v6 = "proto='tcp' guest='fd00:50::66'";
    refused(
        world,
        &[
            (tcp, "start='8080'", held, (tcp, "start='8082'")),
            (
                tcp,
                "start='8000' end='8100'",
                held,
                (tcp, "start='8000' end='8079'"),
            ),
            (
                tcp,
                "start='1' end='65535'",
                held,
                (tcp, "start='40000' end='40099'"),
            ),
            (tcp, "start='9010'", held, (tcp, "start='9011'")),
            ("proto='udp'", "start='8081'", held, (tcp, "start='8081'")),
            (
                "proto='sctp'",
                "start='8083'",
                held,
                ("proto='udp'", "start='8083'"),
            ),
            // The victim's is of IPv6 alone.
            (
                v6,
                "start='8084'",
                held,
                ("proto='tcp' guest='192.168.50.66'", "start='8084'"),
            ),
            (
                tcp,
                "start='8084'",
                held,
                ("proto='tcp' guest='192.168.50.66'", "start='8084'"),
            ),
            // The victim's is of both families.
            (v6, "start='9000'", held, (tcp, "start='8999'")),
            // Narrower than the victim's.
            (
                "proto='tcp' dev='eth0'",
                "start='8080'",
                held,
                ("proto='tcp' dev='eth0'", "start='8082'"),
            ),
            (
                "proto='tcp' source='203.0.113.2/32'",
                "start='8080'",
                held,
                ("proto='tcp' source='203.0.113.2/32'", "start='8082'"),
            ),
            (
                "proto='tcp' address='203.0.113.1'",
                "start='8080'",
                held,
                ("proto='tcp' address='203.0.113.1'", "start='8082'"),
            ),
            (
                "proto='tcp' address='127.0.0.1'",
                "start='8080'",
                held,
                ("proto='tcp' address='127.0.0.1'", "start='8082'"),
            ),
        ],
    );
}

fn addresses_of_others(world: &mut World) {
    let cannot = "cannot be a guest's here";
    let one = "is not the address of one machine";
    let guests = [
        // Another guest's; one of another network; the host's; the LAN's.
        (VICTIM, "is reserved for 52:54:00:00:50:10"),
        ("192.168.60.12", cannot),
        (HOST_V4, cannot),
        (OUTSIDE_V4, cannot),
        // The host's on this network, and addresses of everybody.
        ("192.168.50.1", cannot),
        ("192.168.50.0", cannot),
        ("192.168.50.255", cannot),
        ("fd00:50::", cannot),
        ("fd00:50::1", cannot),
        ("127.0.0.1", "is a loopback address"),
        ("::1", "is a loopback address"),
        ("169.254.169.254", cannot),
        ("fe80::1", cannot),
        ("224.0.0.251", one),
        ("ff02::1", one),
        ("255.255.255.255", one),
        ("0.0.0.0", one),
        ("::", one),
    ];
    let before = world.rules();
    let own = forward("proto='udp' guest='192.168.50.66'", "start='8090'");
    world.control(&own);
    for (guest, says) in guests {
        world.define(&forward(
            &format!("proto='udp' guest='{guest}'"),
            "start='8090'",
        ));
        world.start().is_refused(says);
        world.count();
    }
    // Another's interface: no guest is stopped for what may be plugged in later, and nothing leads there.
    let others = forward("proto='udp' interface='52:54:00:00:50:10'", "start='8090'");
    let xml = world.mallory(&others);
    qemu(&[], &xml, "prepare").works();
    qemu(&[], &xml, "start").works();
    assert_eq!(world.rules(), before);
    qemu(&[], &xml, "stopped").works();
    world.control(&forward(
        "proto='udp' interface='52:54:00:00:50:66'",
        "start='8090'",
    ));
    world.count();
    // What the administrator may: a file in /etc/portero names any guest.
    let file = "/etc/portero/domains/mallory.xml";
    let xml = "<domain xmlns='urn:portero:1'><portForward proto='udp' guest='192.168.50.10'>\
               <range start='8090'/></portForward></domain>";
    fs::write(file, xml).expect("mallory.xml");
    qemu(&[], &world.mallory(""), "prepare").works();
    fs::remove_file(file).expect("mallory.xml");
    qemu(&[], &world.mallory(""), "stopped").works();
    assert_eq!(world.rules(), before);
    world.served();
}

/// An address that is not the host's can be written, and takes nothing that passes by.
fn transit(world: &mut World) {
    world.define(&forward(
        &format!("proto='tcp' address='{OUTSIDE_V4}'"),
        "start='80'",
    ));
    world.lab.virsh(&["start", "mallory"]);
    world.lab.wait_guest(MALLORY);
    for from in [From::Guest(VICTIM), From::Host] {
        world
            .lab
            .answers(from, Proto::Tcp, OUTSIDE_V4, 80, "outside tcp 80");
        world.count();
    }
    // The control: where it is the host's own address, the guest does get what is sent there.
    let own = format!(
        "<domain><portForward proto='tcp' address='{HOST_V4}'><range start='80'/></portForward></domain>"
    );
    world.lab.virsh(&[
        "metadata",
        "mallory",
        "--uri",
        "urn:portero:1",
        "--key",
        "portero",
        "--live",
        "--set",
        &own,
    ]);
    world.lab.must("portero", &["sync"]);
    world.lab.answers(
        From::Guest(VICTIM),
        Proto::Tcp,
        HOST_V4,
        80,
        "mallory tcp 80",
    );
    world.stop();
    world.served();
}
