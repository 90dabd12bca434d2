//! A forward leads to where its guest is, and is there with all that libvirt has given the guest's port.

use crate::shown::{is_explained, is_mapped};
use crate::world::{World, FORWARDS, NOTHING_TO_DO, PEER, WEB};
use portero_lab::{
    wait_until, DomainXml, From, NetworkXml, Proto, Scenario, Settings, HOST_V4, OUTSIDE_V4,
};
use std::fs;
use std::time::Duration;
use Proto::Tcp;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "guest: a running one stays where its lease says, reserved or not, and when the lease has ended",
        run: leases,
    },
    Scenario {
        name: "guest: of several interfaces the one that can be meant",
        run: interfaces,
    },
    Scenario {
        name: "guest: isolated ports stay isolated when their network is stopped and started",
        run: isolation,
    },
    Scenario {
        name: "guest: one with an address of its own is seen, and how that is pinned is told",
        run: seen,
    },
    Scenario {
        name: "guest: an interface with VLANs or libvirt's own table of MAC addresses stays out of a new bridge, and the log says so",
        run: settings,
    },
    Scenario {
        name: "guest: what is behind a guest is the network's to forward",
        run: behind,
    },
    Scenario {
        name: "guest: on a bridge that was made by hand, where the host's own routes lead",
        run: by_hand,
    },
    Scenario {
        name: "guest: one whose way out is elsewhere answers with masquerade",
        run: masquerade,
    },
    Scenario {
        name: "guest: forwards serve the interfaces that portero.toml names",
        run: defaults,
    },
    Scenario {
        name: "guest: forwards serve the addresses that portero.toml names",
        run: default_addresses,
    },
    Scenario {
        name: "guest: what nothing can come of is told",
        run: vain,
    },
];

/// How long a guest may take that nobody gives an address.
const BOOT: Duration = Duration::from_secs(240);
/// A guest without a reservation.
const ROAM_MAC: &str = "52:54:00:00:50:31";
const ROAM_FORWARDS: &str =
    "<portero:portForward proto='tcp'><portero:range start='8090' to='80'/></portero:portForward>";
const LEASES: &str = "/var/lib/libvirt/dnsmasq/br-lan.status";

/// The domain `roam`, whose interface is in the network's bridge without being on the network.
fn roam_in_bridge(world: &World) -> String {
    let xml = world.lab.domain_xml(&DomainXml {
        name: "roam",
        nics: &[("lan", ROAM_MAC)],
        v6: None,
        portero: ROAM_FORWARDS,
    });
    let on_network =
        format!("<interface type='network'><mac address='{ROAM_MAC}'/><source network='lan'/>");
    assert!(xml.contains(&on_network), "{xml}");
    let in_bridge =
        format!("<interface type='bridge'><mac address='{ROAM_MAC}'/><source bridge='br-lan'/>");
    xml.replace(&on_network, &in_bridge)
}

/// The address that the guest has leased.
fn leased(world: &World, mac: &str) -> String {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let leases = world.lab.virsh(&["net-dhcp-leases", "lan"]);
        let line = leases.lines().find(|line| line.contains(mac));
        let words = line.and_then(|line| {
            line.split_ascii_whitespace()
                .find(|word| word.contains("/24"))
        });
        if let Some(address) = words {
            return address.trim_end_matches("/24").to_owned();
        }
        assert!(std::time::Instant::now() < end, "no lease: {leases}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn leads_to(world: &World, address: &str) -> bool {
    world.lab.must("portero", &["sync"]);
    let status = world.lab.must("portero", &["status"]);
    let line = status.lines().find(|line| line.contains("8090"));
    line.is_some_and(|line| line.contains(address))
}

fn leases(world: &mut World) {
    let path = world.lab.file("roam.xml", &roam_in_bridge(world));
    world.lab.virsh(&["define", &path]);
    world.lab.virsh(&["start", "roam"]);
    let address = leased(world, ROAM_MAC);
    world.lab.wait_guest(&address);
    assert!(leads_to(world, &address));
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "roam tcp 80");
    // It is given another address from its next request on.
    let host = format!("<host mac='{ROAM_MAC}' ip='192.168.50.77'/>");
    let update = |verb: &str| {
        world
            .lab
            .virsh(&["net-update", "lan", verb, "ip-dhcp-host", &host, "--live"]);
    };
    update("add");
    assert!(leads_to(world, &address));
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "roam tcp 80");
    // Suspended for longer than it had its lease for.
    let lease = fs::read_to_string(LEASES).expect("leases");
    let ended = |lease: &str| {
        let line = lease.lines().find(|line| line.contains("expiry-time"));
        let line = line.expect("a lease that ends");
        lease.replace(line, "    \"expiry-time\": 1000,")
    };
    fs::write(LEASES, ended(&lease)).expect("leases");
    assert!(leads_to(world, &address));
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "roam tcp 80");
    // The control: somebody else has got the address meanwhile, and the guest what is reserved for it.
    fs::write(LEASES, lease.replace(ROAM_MAC, "52:54:00:00:50:99")).expect("leases");
    assert!(leads_to(world, "192.168.50.77"));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    fs::write(LEASES, &lease).expect("leases");
    world.lab.virsh(&["destroy", "roam"]);
    // At its next start it is to get what is reserved.
    world.lab.virsh(&["start", "roam"]);
    assert!(leads_to(world, "192.168.50.77"));
    world.lab.wait_guest("192.168.50.77");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "roam tcp 80");
    world.lab.virsh(&["destroy", "roam"]);
    world.lab.virsh(&["undefine", "roam"]);
    update("delete");
    world.is_untouched();
}

fn interfaces(world: &mut World) {
    world
        .lab
        .must("ip", &["link", "add", "br-out", "type", "bridge"]);
    world.lab.must("ip", &["link", "set", "br-out", "up"]);
    let network =
        "<network><name>out</name><forward mode='bridge'/><bridge name='br-out'/></network>";
    let path = world.lab.file("out.xml", network);
    world.lab.virsh(&["net-define", &path]);
    world.lab.virsh(&["net-start", "out"]);
    let two = |first, second| DomainXml {
        name: "two",
        nics: first,
        v6: None,
        portero: second,
    };
    // The first of its interfaces is on the LAN of the host's bridge, where nothing can be forwarded to.
    let mac = "52:54:00:00:50:42";
    let nics = [("out", "52:54:00:00:50:41"), ("lan", mac)];
    world.lab.define(&two(&nics, ROAM_FORWARDS));
    world.lab.virsh(&["start", "two"]);
    let address = leased(world, mac);
    world.lab.wait_guest(&address);
    assert!(leads_to(world, &address));
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "two tcp 80");
    world.lab.virsh(&["destroy", "two"]);
    // The control: with that one alone it is refused.
    world.lab.define(&two(&nics[..1], ROAM_FORWARDS));
    let said = world.refused("two");
    assert!(
        said.contains("guests of network 'out' are not behind this host"),
        "{said}"
    );
    world.lab.virsh(&["undefine", "two"]);
    world.lab.remove_network("out");
    world.lab.must("ip", &["link", "delete", "br-out"]);
    world.is_untouched();
}

fn isolation(world: &mut World) {
    let mac = "52:54:00:00:50:43";
    world.stop_web_if_it_runs();
    let start = |name, nics, portero: &'static str| {
        let v6 = None;
        let xml = world.lab.domain_xml(&DomainXml {
            name,
            nics,
            v6,
            portero,
        });
        let xml = xml.replace("</interface>", "<port isolated='yes'/></interface>");
        let path = world.lab.file("domain.xml", &xml);
        world.lab.virsh(&["define", &path]);
        world.lab.virsh(&["start", name]);
    };
    start("web", &[("lan", "52:54:00:00:50:10")], FORWARDS);
    start("roam", &[("lan", mac)], "");
    let roam = leased(world, mac);
    world.lab.wait_guest(WEB);
    world.lab.wait_guest(&roam);
    let are_apart = || world.lab.refuses(From::Guest(WEB), Tcp, &roam, 80);
    are_apart();
    world.lab.virsh(&["net-destroy", "lan"]);
    world.lab.virsh(&["net-start", "lan"]);
    world.lab.wait_guest(WEB);
    world.lab.wait_guest(&roam);
    are_apart();
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8080, "web tcp 80");
    // The control: ports that are not isolated reach each other.
    let ports = world.lab.must(
        "sh",
        &["-c", "grep -l 1 /sys/class/net/br-lan/brif/*/isolated"],
    );
    assert_eq!(ports.lines().count(), 2, "{ports}");
    for port in ports.lines() {
        fs::write(port, "0").expect("a port");
    }
    world
        .lab
        .answers(From::Guest(WEB), Tcp, &roam, 80, "roam tcp 80");
    for name in ["roam", "web"] {
        world.lab.virsh(&["destroy", name]);
    }
    world.lab.virsh(&["undefine", "roam"]);
    world.is_untouched();
}

fn seen(world: &mut World) {
    const MAC: &str = "52:54:00:00:80:05";
    const V4: &str = "192.168.80.31";
    const V6: &str = "fd00:80::31";
    world.stop_web_if_it_runs();
    // Nobody gives addresses here.
    let xml = portero_lab::network(&NetworkXml {
        name: "own",
        mode: "nat",
        number: 80,
        reservations: &[],
        portero: "",
    });
    let dhcp = "<dhcp><range start='192.168.80.100' end='192.168.80.200'/></dhcp>";
    let path = world.lab.file("own.xml", &xml.replace(dhcp, ""));
    world.lab.virsh(&["net-define", &path]);
    world.lab.virsh(&["net-start", "own"]);
    world.lab.define(&DomainXml {
        name: "roam",
        nics: &[("own", MAC)],
        v6: Some((80, 31)),
        portero: "<portero:portForward proto='tcp' address='203.0.113.1'><portero:range start='8090' to='80'/></portero:portForward>
            <portero:portForward proto='tcp' address='2001:db8:113::1'><portero:range start='8090' to='80'/></portero:portForward>",
    });
    let _ = world.lab.log();
    world.lab.virsh(&["start", "roam"]);
    let told = |line: &str, address: &str| {
        line.contains("network 'own' gives 52:54:00:00:80:05 no address: ")
            && line.contains(&format!(
                "; it was seen at {address}, which guest='{address}' of the forward pins"
            ))
    };
    let status = |world: &World| world.lab.must("portero", &["status"]);
    // The control: nobody has seen it yet.
    let before = status(world);
    assert_eq!(
        before.matches("gives 52:54:00:00:80:05 no address").count(),
        2,
        "{before}"
    );
    assert!(!before.contains("seen"), "{before}");
    // It asks for an address for 20 s of its own time first.
    let asks = ["ask", V6, "ping"];
    wait_until(BOOT, "the guest answers", || {
        world.lab.run(&world.lab.agent(), &asks).ok
    });
    for words in [
        format!("ip addr add {V4}/24 dev eth0"),
        "ip route add default via 192.168.80.1".to_owned(),
    ] {
        let order = format!("run {words}");
        world.lab.must(&world.lab.agent(), &["ask", V6, &order]);
    }
    for address in [V4, V6] {
        world
            .lab
            .answers(From::Host, Tcp, address, 80, "roam tcp 80");
        let status = status(world);
        assert!(status.lines().any(|line| told(line, address)), "{status}");
    }
    let said = world
        .lab
        .run("portero", &["explain", "203.0.113.1:8090"])
        .stdout;
    assert!(said.contains(&format!("it was seen at {V4}")), "{said}");
    // The next comparison tells of it, once.
    let sync = || {
        let ran = world.lab.run("portero", &["sync"]);
        ran.stderr + &world.lab.log().join("\n")
    };
    let said = sync();
    for address in [V4, V6] {
        assert!(said.lines().any(|line| told(line, address)), "{said}");
    }
    let said = sync();
    assert!(!said.contains("it was seen"), "{said}");
    // What is seen is no reason to forward anything.
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
    let spec = "203.0.113.1:8090:80";
    world
        .lab
        .must("portero", &["forward", "remove", "roam", spec, "--live"]);
    let pin = ["forward", "add", "roam", spec, "--guest", V4, "--live"];
    world.lab.must("portero", &pin);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8090, "roam tcp 80");
    world.lab.virsh(&["destroy", "roam"]);
    world.lab.virsh(&["undefine", "roam"]);
    world.lab.remove_network("own");
    world.is_untouched();
}

fn settings(world: &mut World) {
    const MAC: &str = "52:54:00:00:80:05";
    const ADDRESS: &str = "192.168.80.5";
    world.stop_web_if_it_runs();
    let define = |world: &World, bridge: &str| {
        let xml = portero_lab::network(&NetworkXml {
            name: "own",
            mode: "nat",
            number: 80,
            reservations: &[(MAC, 5)],
            portero: "",
        });
        let xml = xml.replace("delay='0'/>", &format!("delay='0'{bridge}/>"));
        let path = world.lab.file("own.xml", &xml);
        world.lab.virsh(&["net-define", &path]);
    };
    let xml = world.lab.domain_xml(&DomainXml {
        name: "roam",
        nics: &[("own", MAC)],
        v6: None,
        portero: ROAM_FORWARDS,
    });
    let define_guest = |world: &World, inside: &str| {
        let xml = xml.replace("</interface>", &format!("{inside}</interface>"));
        let path = world.lab.file("roam.xml", &xml);
        world.lab.virsh(&["define", &path]);
    };
    let anew = |world: &World| {
        let _ = world.lab.log();
        world.lab.virsh(&["net-destroy", "own"]);
        world.lab.virsh(&["net-start", "own"]);
        world.lab.log().join("\n")
    };
    let serves = |world: &World| {
        world.lab.wait_guest(ADDRESS);
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, 8090, "roam tcp 80");
    };
    define(world, "");
    world.lab.virsh(&["net-start", "own"]);
    // libvirt gives none to interfaces on networks whose bridge it makes, whichever version.
    define_guest(world, "<vlan><tag id='42'/></vlan>");
    let said = world.refused("roam");
    assert!(
        said.contains("vlan tag not supported for this connection type"),
        "{said}"
    );
    define_guest(world, "");
    let filters = [
        "link",
        "add",
        "filters",
        "type",
        "bridge",
        "vlan_filtering",
        "1",
    ];
    let can_filter = world.lab.run("ip", &filters).ok;
    if can_filter {
        world.lab.must("ip", &["link", "delete", "filters"]);
    } else {
        println!(
            "  not tried: macTableManager='libvirt' as libvirt sets it; bridges of this kernel filter no VLANs, which libvirt \
             needs for it. What portero records of it is written by the test."
        );
    }
    for (setting, what) in [
        ("has_vlan", "VLANs"),
        (
            "has_own_mac_table",
            "entries of libvirt's in the bridge's table of MAC addresses",
        ),
    ] {
        let is_libvirts = can_filter && setting == "has_own_mac_table";
        if is_libvirts {
            world.lab.virsh(&["net-destroy", "own"]);
            define(world, " macTableManager='libvirt'");
            world.lab.virsh(&["net-start", "own"]);
        }
        world.lab.virsh(&["start", "roam"]);
        serves(world);
        if !is_libvirts {
            // The control: one without is put back.
            let log = anew(world);
            assert!(log.contains(" is back in br-own"), "{log}");
            serves(world);
            let uuid = world.lab.virsh(&["domuuid", "roam"]);
            let script = format!(
                "cd /run/portero/ports/{} && sed -i 's/\"{setting}\": *false/\"{setting}\": true/' *.json && \
                 grep -l '\"{setting}\": *true' *.json",
                uuid.trim()
            );
            world.lab.must("sh", &["-c", &script]);
        }
        let log = anew(world);
        let expected = format!(
            "network 'own': interface {MAC} is not put back into br-own: it had {what}, which went with the bridge; \
             detach it and attach it again, or start its guest again"
        );
        assert!(log.contains(&expected), "{log}");
        assert!(!log.contains(" is back in br-own"), "{log}");
        world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090);
        let ports = world.lab.must("ls", &["/sys/class/net/br-own/brif"]);
        assert!(!ports.contains("vnet"), "{ports}");
        // As the log says.
        world.lab.virsh(&["destroy", "roam"]);
        world.lab.virsh(&["start", "roam"]);
        serves(world);
        world.lab.virsh(&["destroy", "roam"]);
    }
    world.lab.virsh(&["undefine", "roam"]);
    world.lab.remove_network("own");
    world.is_untouched();
}

fn behind(world: &mut World) {
    const MAC: &str = "52:54:00:00:80:05";
    world.stop_web_if_it_runs();
    let forward = "<portero:portForward proto='tcp' guest='10.77.0.9'><portero:range start='8097' to='80'/></portero:portForward>";
    let xml = portero_lab::network(&NetworkXml {
        name: "own",
        mode: "nat",
        number: 80,
        reservations: &[(MAC, 5)],
        portero: forward,
    });
    let route = "<route address='10.77.0.0' prefix='24' gateway='192.168.80.5'/></network>";
    let path = world.lab.file("own.xml", &xml.replace("</network>", route));
    world.lab.virsh(&["net-define", &path]);
    world.lab.virsh(&["net-start", "own"]);
    let in_metadata = |portero| DomainXml {
        name: "roam",
        nics: &[("own", MAC)],
        v6: None,
        portero,
    };
    // A domain's metadata speaks for the domain alone.
    let own = forward.replace("8097", "8098");
    world.lab.define(&in_metadata(&own));
    let said = world.refused("roam");
    assert!(
        said.contains("guest address 10.77.0.9 cannot be a guest's here"),
        "{said}"
    );
    world.lab.define(&in_metadata(""));
    world.lab.virsh(&["start", "roam"]);
    world.lab.wait_guest("192.168.80.5");
    // The control: nobody has the address yet.
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8097);
    let has = ["ask", "192.168.80.5", "run ip addr add 10.77.0.9/32 dev lo"];
    world.lab.must(&world.lab.agent(), &has);
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8097, "roam tcp 80");
    is_explained(world, &["8097"], true, "DNAT to 10.77.0.9 port 80");
    let of = [("ports", "8097"), ("guest", "10.77.0.9")];
    is_mapped(world, "tcp 8097 → 10.77.0.9:80", &of);
    world.lab.virsh(&["destroy", "roam"]);
    world.lab.virsh(&["undefine", "roam"]);
    world.lab.remove_network("own");
    world.is_untouched();
}

fn by_hand(world: &mut World) {
    const MAC: &str = "52:54:00:00:90:05";
    const V4: &str = "192.168.90.31";
    const V6: &str = "fd00:90::31";
    world.stop_web_if_it_runs();
    let forward = |port: u16| {
        format!(
            "<portero:portForward proto='tcp' guest='{V4}'>\
             <portero:range start='{port}' to='80'/></portero:portForward>"
        )
    };
    let portero = forward(8097);
    // libvirt makes no bridge here, and knows no address.
    world.lab.ip("link add hand0 type bridge");
    world.lab.ip("link set hand0 up");
    let xml = format!(
        "<network><name>hand</name><metadata><portero:network xmlns:portero='urn:portero:1'>{portero}\
         </portero:network></metadata><forward mode='bridge'/><bridge name='hand0'/></network>"
    );
    let path = world.lab.file("hand.xml", &xml);
    world.lab.virsh(&["net-define", &path]);
    let _ = world.lab.log();
    world.lab.virsh(&["net-start", "hand"]);
    // The control: the host has no way there yet, or another, and that is told.
    let told = |text: &str| text.contains(&format!("no route of this host leads to {V4}"));
    let log = world.lab.log();
    assert!(log.iter().any(|line| told(line)), "{log:?}");
    assert!(told(&world.lab.run("portero", &["doctor"]).stdout));
    let elsewhere = format!("192.168.90.0/24 via {OUTSIDE_V4}");
    world.lab.ip(&format!("route add {elsewhere}"));
    let told = |text: &str| text.contains(&format!("the host reaches {V4} by eth0"));
    assert!(told(&world.lab.run("portero", &["doctor"]).stdout));
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8097);
    world.lab.ip(&format!("route delete {elsewhere}"));
    world.lab.ip("address add 192.168.90.1/24 dev hand0");
    world.lab.ip("address add fd00:90::1/64 dev hand0 nodad");
    assert!(!told(&world.lab.run("portero", &["doctor"]).stdout));
    let own = forward(8099);
    let domain = |portero| DomainXml {
        name: "roam",
        nics: &[("hand", MAC)],
        v6: Some((90, 31)),
        portero,
    };
    // A domain's metadata speaks for the domain alone.
    world.lab.define(&domain(&own));
    let said = world.refused("roam");
    assert!(
        said.contains(&format!("guest address {V4} cannot be a guest's here")),
        "{said}"
    );
    world.lab.define(&domain(""));
    world.lab.virsh(&["start", "roam"]);
    wait_until(BOOT, "the guest answers", || {
        world.lab.run(&world.lab.agent(), &["ask", V6, "ping"]).ok
    });
    let run = |words: &str| {
        let order = format!("run {words}");
        world.lab.must(&world.lab.agent(), &["ask", V6, &order]);
    };
    run(&format!("ip addr add {V4}/24 dev eth0"));
    // It has no way out by this host.
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8097);
    run("ip route add default via 192.168.90.1");
    world
        .lab
        .answers(From::Outside, Tcp, HOST_V4, 8097, "roam tcp 80");
    let explained = world.lab.run("portero", &["explain", "8097"]);
    assert!(explained.ok, "{explained:?}");
    assert_eq!(world.lab.must("portero", &["sync"]), NOTHING_TO_DO);
    // From its own bridge nobody is served without masquerade, and that is told.
    let itself = || {
        let probe = format!("probe tcp {HOST_V4} 8097 900");
        world.lab.run(&world.lab.agent(), &["ask", V6, &probe])
    };
    assert!(!itself().ok);
    let told = "the client is on the guest's own bridge";
    is_explained(world, &["8097", "--from", "192.168.90.77"], false, told);
    let file = "/etc/portero/domains/roam.xml";
    let masqueraded = format!(
        "<domain xmlns='urn:portero:1'><portForward proto='tcp' guest='{V4}' masquerade='yes'><range start='8098' to='80'/></portForward></domain>"
    );
    std::fs::write(file, masqueraded).expect("a file");
    world.lab.must("portero", &["sync"]);
    let ran = itself();
    assert!(ran.ok && ran.stdout.contains("roam tcp 80"), "{ran:?}");
    let told = "the guest sees the host's address";
    is_explained(world, &["8097", "--from", "192.168.90.77"], true, told);
    std::fs::remove_file(file).expect("no file");
    world.lab.must("portero", &["sync"]);
    world.lab.virsh(&["net-destroy", "hand"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8097);
    world.lab.virsh(&["destroy", "roam"]);
    world.lab.virsh(&["undefine", "roam"]);
    world.lab.virsh(&["net-undefine", "hand"]);
    world.lab.ip("link delete hand0");
    world.is_untouched();
}

/// Two forwards, of which one is masqueraded; and one of them alone.
const PLAIN: &str =
    "<portero:portForward proto='tcp'><portero:range start='8090' to='80'/></portero:portForward>";
const PLAIN_AND_BY_ETH0: &str =
    "<portero:portForward proto='tcp'><portero:range start='8090' to='80'/></portero:portForward>\
    <portero:portForward proto='tcp' dev='eth0'><portero:range start='8091' to='80'/></portero:portForward>";
const MASQUERADED: &str = "<portero:portForward proto='tcp' masquerade='yes'>\
    <portero:range start='8090' to='80'/></portero:portForward>";

fn masquerade(world: &mut World) {
    world.stop_web_if_it_runs();
    for (portero, source) in [(PLAIN, None), (MASQUERADED, Some("192.168.50.1"))] {
        world.start_web(portero);
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, 8090, "web tcp 80");
        let away = ["ask", WEB, "run ip route del default"];
        world.lab.must(&world.lab.agent(), &away);
        match source {
            // The control: it has no way back to whoever connects.
            None => world.lab.refuses(From::Outside, Tcp, HOST_V4, 8090),
            Some(source) => {
                let answer = format!("web tcp 80 from {source} ");
                world
                    .lab
                    .answers(From::Outside, Tcp, HOST_V4, 8090, &answer);
            }
        }
        world.stop_web();
    }
    world.is_untouched();
}

fn defaults(world: &mut World) {
    world.stop_web_if_it_runs();
    let settings = Settings::replace("[forwards]\ndev = [\"eth0\", \"eth9\"]\n");
    world.start_web(FORWARDS);
    world.serves();
    let elsewhere = [From::Host, From::Guest(PEER)];
    for from in elsewhere {
        world.lab.refuses(from, Tcp, HOST_V4, 8080);
    }
    // What is added now serves the same.
    for verb in ["add", "remove"] {
        let words = ["forward", verb, "web", "8096:80", "--live"];
        world.lab.must("portero", &words);
        if verb == "add" {
            world
                .lab
                .answers(From::Outside, Tcp, HOST_V4, 8096, "web tcp 80");
            world.lab.refuses(From::Host, Tcp, HOST_V4, 8096);
        }
    }
    // What is for loopback comes by no interface.
    world
        .lab
        .answers(From::Host, Tcp, "127.0.0.1", 8081, "web tcp 80");
    drop(settings);
    world.lab.must("portero", &["sync"]);
    // The control.
    for from in elsewhere {
        world.lab.answers(from, Tcp, HOST_V4, 8080, "web tcp 80");
    }
    world.stop_web();
    world.is_untouched();
}

fn default_addresses(world: &mut World) {
    world.stop_web_if_it_runs();
    let settings = Settings::replace("[forwards]\naddress = [\"203.0.113.1\"]\n");
    let other = "192.168.50.1";
    world.start_web(PLAIN_AND_BY_ETH0);
    let serves = |port| {
        world
            .lab
            .answers(From::Outside, Tcp, HOST_V4, port, "web tcp 80");
    };
    serves(8090);
    world.lab.refuses(From::Host, Tcp, other, 8090);
    // What names an interface is for all addresses there.
    serves(8091);
    drop(settings);
    world.lab.must("portero", &["sync"]);
    // The control.
    serves(8090);
    world
        .lab
        .answers(From::Host, Tcp, other, 8090, "web tcp 80");
    world.stop_web();
    // A forward of a family that none of the addresses has would come to nothing.
    let settings = Settings::replace("[forwards]\naddress = [\"203.0.113.1\"]\n");
    let words = [
        "forward",
        "add",
        "web",
        "8092:80",
        "--source",
        "2001:db8::/32",
    ];
    let said = world.lab.run("portero", &words);
    let expected = "another family than each address under [forwards] in portero.toml";
    assert!(!said.ok && said.stderr.contains(expected), "{said:?}");
    drop(settings);
    world.is_untouched();
}

/// A forward of TCP port 8090 with these attributes.
fn with(attributes: &str) -> String {
    format!(
        "<portero:portForward proto='tcp' {attributes}><portero:range start='8090' to='80'/></portero:portForward>"
    )
}

fn vain(world: &mut World) {
    world.stop_web_if_it_runs();
    world.lab.start_network(&NetworkXml {
        name: "own",
        mode: "nat",
        number: 80,
        reservations: &[],
        portero: "",
    });
    world.lab.must(
        "ip",
        &["link", "add", "slave0", "master", "br-own", "type", "veth"],
    );
    let rows = [
        (
            "address='203.0.113.99'",
            "203.0.113.99 is none of this host's addresses",
        ),
        ("dev='nope0'", "there is no interface nope0"),
        ("dev='slave0'", "slave0 is in bridge br-own"),
    ];
    let _ = world.lab.log();
    for (attributes, expected) in rows {
        world.lab.define(&DomainXml {
            name: "roam",
            nics: &[("lan", ROAM_MAC)],
            v6: None,
            portero: &with(attributes),
        });
        world.lab.virsh(&["start", "roam"]);
        let log = world.lab.log();
        assert!(log.iter().any(|line| line.contains(expected)), "{log:?}");
        let found = world.lab.run("portero", &["doctor"]).stdout;
        assert!(found.contains(expected), "{found}");
        world.lab.virsh(&["destroy", "roam"]);
    }
    // The control: what the host has is not told.
    world.lab.define(&DomainXml {
        name: "roam",
        nics: &[("lan", ROAM_MAC)],
        v6: None,
        portero: &with("address='203.0.113.1' dev='eth0'"),
    });
    world.lab.virsh(&["start", "roam"]);
    let log = world.lab.log().join("\n");
    assert!(!log.contains("nothing comes"), "{log}");
    let found = world.lab.run("portero", &["doctor"]).stdout;
    assert!(!found.contains("vain-forwards:"), "{found}");
    world.lab.virsh(&["destroy", "roam"]);
    world.lab.virsh(&["undefine", "roam"]);
    // libvirt drops the second of two elements of portero's; whoever has a file looked at is told.
    let xml = world.lab.domain_xml(&DomainXml {
        name: "roam",
        nics: &[("lan", ROAM_MAC)],
        v6: None,
        portero: ROAM_FORWARDS,
    });
    let second = "<portero:domain xmlns:portero='urn:portero:1'/></metadata>";
    let path = world
        .lab
        .file("roam.xml", &xml.replace("</metadata>", second));
    let ran = world.lab.run("portero", &["validate", &path]);
    let said = ran.stdout + &ran.stderr;
    assert!(
        !ran.ok && said.contains("a second <domain> of portero's"),
        "{said}"
    );
    world.lab.must("ip", &["link", "delete", "slave0"]);
    world.lab.remove_network("own");
    world.is_untouched();
}
