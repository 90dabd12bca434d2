//! What forwards wait for, each with its own command, and what nobody told portero: guests that ended, files that are
//! wrong or for nobody, daemons that do not run.

use crate::world::World;
use portero_lab::{DomainXml, Scenario, HOST_V4, HOST_V6};
use serde_json::Value;
use std::fs;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a guest on a bridge of the host's, and one with user networking",
        run: off_networks,
    },
    Scenario {
        name: "a network without DHCP, and a question of another family",
        run: without_dhcp,
    },
    Scenario {
        name: "an interface that the guest does not have, and a network that is gone",
        run: gone,
    },
    Scenario {
        name: "a guest that ended while the hooks were absent",
        run: ended,
    },
    Scenario {
        name: "what is written wrong for a guest that is off, or for nobody",
        run: written_wrong,
    },
    Scenario {
        name: "a daemon of libvirt's does not run",
        run: no_daemon,
    },
    Scenario {
        name: "sync and plan fail when somebody keeps the rules of before",
        run: kept,
    },
];

const MAC: &str = "52:54:00:00:50:66";

/// A domain with one interface on `lan` that forwards a port, made other by a change of its text.
fn define(world: &World, name: &str, portero: &str, change: &dyn Fn(String) -> String) {
    let xml = world.lab.domain_xml(&DomainXml {
        name,
        nics: &[("lan", MAC)],
        v6: None,
        portero,
    });
    let file = world.lab.file("other.xml", &change(xml));
    world.lab.virsh(&["define", &file]);
}

fn forward(port: u16, attributes: &str) -> String {
    format!(
        "<portero:portForward proto='tcp' {attributes}><portero:range start='{port}' to='80'/></portero:portForward>"
    )
}

fn undefine(world: &World, name: &str) {
    let _ = world
        .lab
        .run("virsh", &["-c", "qemu:///system", "destroy", name]);
    world.lab.virsh(&["undefine", name]);
}

const ON_LAN: &str =
    "<interface type='network'><mac address='52:54:00:00:50:66'/><source network='lan'/>";

fn off_networks(world: &mut World) {
    world.lab.must(
        "sh",
        &[
            "-ec",
            "ip link add br-out type bridge; ip link set br-out up",
        ],
    );
    let bridge =
        "<interface type='bridge'><mac address='52:54:00:00:50:66'/><source bridge='br-out'/>";
    let user = "<interface type='user'><mac address='52:54:00:00:50:66'/>";
    for (kind, interface, mend) in [
        (
            "bridge",
            bridge,
            "connect to the guest's own address on the LAN",
        ),
        (
            "user",
            user,
            "give the domain an <interface type='network'>: virsh edit kind",
        ),
    ] {
        define(world, "kind", &forward(8066, ""), &|xml| {
            xml.replace(ON_LAN, interface)
        });
        world.lab.virsh(&["start", "kind"]);
        world.not_reached(HOST_V4, 8066);
        let explained = world.explained("8066");
        let said = explained.fails("forward", mend);
        assert!(!said.contains("DHCP") && !said.contains("sync"), "{said}");
        let (_, why) = explained.hop("forward");
        assert!(why.contains(&format!("<interface type='{kind}'>")), "{why}");
        undefine(world, "kind");
    }
    world.lab.must("ip", &["link", "delete", "br-out"]);
}

fn without_dhcp(world: &mut World) {
    let xml = "<network><name>still</name><forward mode='nat'/><bridge name='br-still'/>
        <ip address='192.168.66.1' netmask='255.255.255.0'/></network>";
    let file = world.lab.file("still.xml", xml);
    world.lab.virsh(&["net-define", &file]);
    world.lab.virsh(&["net-start", "still"]);
    define(world, "still", &forward(8066, ""), &|xml| {
        xml.replace("<source network='lan'/>", "<source network='still'/>")
    });
    world.lab.virsh(&["start", "still"]);
    let explained = world.explained("8066");
    let said = explained.fails("forward", "--guest ADDRESS --persistent");
    let (_, why) = explained.hop("forward");
    assert!(why.contains("gives 52:54:00:00:50:66 no address"), "{why}");
    let said = said.replace("ADDRESS", "192.168.66.5");
    world.mend(
        said.strip_suffix(", with the guest's address")
            .expect("a command"),
    );
    let explained = world.explained("8066");
    assert_eq!(explained.hop("forward").0, "ok", "{explained:?}");
    assert_eq!(explained.hop("rule").0, "ok", "{explained:?}");
    undefine(world, "still");
    world.lab.virsh(&["net-destroy", "still"]);
    world.lab.virsh(&["net-undefine", "still"]);
    // IPv6: the network has a subnet and gives no addresses, and web has one of its own.
    world.lab.must(
        "portero",
        &["forward", "add", "web", "8095:80", "--persistent"],
    );
    world.reached(HOST_V4, 8095, "web tcp 80");
    world.not_reached(HOST_V6, 8095);
    let said = world
        .explained(&format!("[{HOST_V6}]:8095"))
        .fails("forward", "--guest ADDRESS --persistent");
    let said = said.replace("ADDRESS", "fd00:50::10");
    world.mend(
        said.strip_suffix(", with the guest's address")
            .expect("a command"),
    );
    world.reached(HOST_V6, 8095, "web tcp 80");
    world.lab.must(
        "portero",
        &["forward", "remove", "web", "8095:80", "--persistent"],
    );
}

fn gone(world: &mut World) {
    let other = forward(8066, "interface='52:54:00:00:50:99'");
    define(world, "gone", &other, &|xml| xml);
    world.lab.virsh(&["start", "gone"]);
    let explained = world.explained("8066");
    let said = explained.fails("forward", "correct interface= of the forward");
    assert!(said.ends_with("virsh edit gone"), "{said}");
    assert!(
        explained
            .hop("forward")
            .1
            .ends_with(&format!("it has {MAC}")),
        "{explained:?}"
    );
    undefine(world, "gone");
    define(world, "gone", &forward(8066, ""), &|xml| {
        xml.replace("<source network='lan'/>", "<source network='renamed'/>")
    });
    assert!(!world.lab.try_virsh(&["start", "gone"]).ok, "it starts");
    let said = world
        .explained("8066")
        .fails("forward", "give the interface a network that there is");
    assert!(
        said.contains("virsh edit gone; then: virsh start gone"),
        "{said}"
    );
    world.lab.virsh(&["undefine", "gone"]);
}

fn names(world: &World) -> Vec<Value> {
    let status = world.lab.must("portero", &["status", "--json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["guests"].as_array().expect("guests").clone()
}

fn ended(world: &mut World) {
    assert_eq!(world.finding("ended-guests", ""), None);
    let named = |guests: &[Value]| guests.iter().all(|guest| guest["name"].is_string());
    let before = names(world);
    assert!(named(&before), "{before:?}");
    let (hooks, aside) = ("/etc/libvirt/hooks", "/etc/libvirt/hooks.aside");
    fs::rename(hooks, aside).expect("the hooks");
    world.lab.virsh(&["managedsave", "peer"]);
    fs::rename(aside, hooks).expect("the hooks");
    let after = names(world);
    assert!(named(&after), "{after:?}");
    assert_eq!(after.len() + 1, before.len());
    // What was recorded a moment ago may be of a guest that is just starting.
    world
        .lab
        .must("sh", &["-c", "touch /run/portero/ports/*/*.json"]);
    assert_eq!(world.finding("ended-guests", ""), None);
    let script =
        "touch -d '10 minutes ago' /run/portero/ports/*/*.json; ls /run/portero/ports | wc -l";
    let count = |world: &World| {
        let words = world
            .lab
            .must("sh", &["-c", "ls /run/portero/ports | wc -l"]);
        words.trim().parse::<usize>().expect("a number")
    };
    world.lab.must("sh", &["-c", script]);
    let recorded = count(world);
    let said = world
        .finding("ended-guests", "does not run")
        .expect("found");
    assert_eq!(said, "portero sync");
    world.mend(&said);
    assert_eq!(world.finding("ended-guests", ""), None);
    assert_eq!(count(world) + 1, recorded);
    world.lab.virsh(&["start", "peer"]);
    world.lab.wait_guest(crate::world::PEER);
    world.serves();
}

fn written_wrong(world: &mut World) {
    assert_eq!(world.finding("configuration", ""), None);
    define(world, "idle", &forward(0, ""), &|xml| xml);
    let said = world.finding(
        "configuration",
        "what is written for domain 'idle' is not understood",
    );
    assert!(said.is_some(), "{:?}", world.findings());
    world.lab.virsh(&["undefine", "idle"]);
    let ghost = "/etc/portero/domains/my ghost.xml";
    fs::write(ghost, "<domain xmlns='urn:portero:1'/>").expect("a file");
    let said = world
        .finding("configuration", "libvirt has no domain 'my ghost'")
        .expect("found");
    let command = said.split(": ").last().expect("a command").to_owned();
    world.mend(&command);
    assert!(!fs::exists(ghost).expect("a folder"));
    let network = "<network><name>later</name><forward mode='route'/><bridge name='br-later'/>
        <ip address='192.168.67.1' netmask='255.255.255.0'/></network>";
    let file = world.lab.file("later.xml", network);
    world.lab.virsh(&["net-define", &file]);
    let policy = "/etc/portero/networks/later.xml";
    fs::write(
        policy,
        "<network xmlns='urn:portero:1'><policy><rul/></policy></network>",
    )
    .expect("a file");
    let said = world.finding("configuration", "what is written for network 'later'");
    assert!(said.is_some(), "{:?}", world.findings());
    fs::remove_file(policy).expect("the file");
    world.lab.virsh(&["net-undefine", "later"]);
    let group = "/etc/portero/groups/us.xml";
    fs::create_dir_all("/etc/portero/groups").expect("a folder");
    fs::write(group, "<group").expect("a file");
    assert!(world.finding("configuration", group).is_some());
    fs::remove_file(group).expect("the file");
    assert_eq!(world.finding("configuration", ""), None);
}

fn no_daemon(world: &mut World) {
    assert_eq!(world.finding("daemons", ""), None);
    for name in world.lab.daemons() {
        if !["libvirtd", "virtnetworkd", "virtqemud"].contains(name) {
            continue;
        }
        world.lab.end_daemon(name, "TERM");
        let said = world
            .finding("daemons", &format!("{name} does not run"))
            .expect("found");
        assert_eq!(said, format!("systemctl start {name}"));
        world.lab.start_daemon(name);
        assert_eq!(world.finding("daemons", ""), None);
    }
    world.serves();
}

fn kept(world: &mut World) {
    let metadata = ["metadata", "web", "--uri", "urn:portero:1", "--live"];
    let before = world.lab.virsh(&metadata);
    let set = |text: &str| {
        let set = [&metadata[..], &["--key", "portero", "--set", text]].concat();
        world.lab.virsh(&set);
    };
    let status = |command: &str| {
        let script = format!("portero {command} >/dev/null 2>/run/lab/files/said; echo $?");
        world.lab.must("sh", &["-c", &script]).trim().to_owned()
    };
    assert_eq!(
        (status("sync"), status("plan")),
        ("0".to_owned(), "0".to_owned())
    );
    let wrong = "<portForward xmlns='urn:portero:1' proto='tcp'><range start='0'/></portForward>\n</domain>";
    set(&before.replace("</domain>", wrong));
    for command in ["sync", "plan"] {
        assert_eq!(status(command), "1", "{command}");
        let said = fs::read_to_string("/run/lab/files/said").expect("what it said");
        assert!(
            said.contains("domain 'web' keeps the rules it has"),
            "{said}"
        );
        // It keeps them.
        world.reached(HOST_V4, 8080, "web tcp 80");
    }
    set(&before);
    assert_eq!(
        (status("sync"), status("plan")),
        ("0".to_owned(), "0".to_owned())
    );
}
