//! Guests on a bridge of the host, by way of libvirt's bridge network.

use crate::host::{Host, ADDRESS, GUEST, GUEST_MAC, NIC};
use crate::manager;
use portero_lab::{DomainXml, Program, Scenario};
use std::path::Path;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<Host>] = &[
    Scenario {
        name: "a network is refused until its bridge is made by hand",
        run: by_hand,
    },
    Scenario {
        name: "a network makes its bridge at its start, and a guest joins the LAN",
        run: at_start,
    },
];

const GUEST_ON_LAN: DomainXml<'_> = DomainXml {
    name: "joined",
    nics: &[("joined", GUEST_MAC)],
    v6: None,
    portero: "",
};

fn define(host: &Host, element: &str) {
    let network = format!(
        "<network><name>joined</name><uuid>00000000-0000-4000-8000-6a6f696e6564</uuid><metadata><portero:network xmlns:portero='urn:portero:1'>{element}\
         </portero:network></metadata><forward mode='bridge'/><bridge name='br0'/></network>"
    );
    let path = host.lab.file("joined.xml", &network);
    host.lab.virsh(&["net-define", &path]);
}

/// The guest gets an address of the LAN, and both sides reach each other.
fn guest_joins(host: &Host) {
    host.lab.define(&GUEST_ON_LAN);
    host.lab.virsh(&["start", "joined"]);
    host.lab.wait_guest(GUEST);
    let ping = |address: &str| host.router("ping", &["-c1", "-W2", address]).ok;
    assert!(ping(GUEST), "the neighbour does not reach the guest");
    assert!(ping(ADDRESS), "the neighbour does not reach the host");
    let ran = host.portero("bridge remove --bridge br0");
    assert!(
        !ran.ok && ran.stderr.contains("shut that guest down or move it first"),
        "{ran:?}"
    );
    assert!(ping(GUEST), "the guest has lost its network");
    host.lab.virsh(&["destroy", "joined"]);
    assert!(!ping(GUEST), "somebody else is the guest");
    host.lab.virsh(&["undefine", "joined"]);
}

fn by_hand(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    define(host, "<portero:hostBridge nic='lan0'/>");
    let ran = host.lab.try_virsh(&["net-start", "joined"]);
    assert!(!ran.ok, "started without its bridge");
    let expected = "bridge br0 is not there, expected it; it is made by 'portero bridge apply --bridge br0 --nic lan0'";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert_eq!(host.seen(), before);
    host.lab.virsh(&["net-undefine", "joined"]);
    host.must("bridge apply --bridge br0 --nic lan0 --yes");
    let xml = host.must("bridge network br0 --name joined");
    assert!(xml.contains("<portero:hostBridge nic='lan0'/>"), "{xml}");
    let said = host.must("bridge network br0 --name joined --define");
    assert_eq!(said, "network 'joined' is defined\n");
    host.lab.virsh(&["net-start", "joined"]);
    guest_joins(host);
    let ran = host.portero("bridge remove br0");
    let expected = "error: network 'joined' is active and uses br0; run \
                    'virsh net-destroy joined' first\n";
    assert_eq!((ran.ok, ran.stderr.as_str()), (false, expected));
    host.lab.virsh(&["net-destroy", "joined"]);
    starts_late(host);
    host.lab.virsh(&["net-undefine", "joined"]);
    host.must("bridge remove --bridge br0");
    host.is_back(&before, Duration::from_secs(10));
}

/// As at a boot: the bridge comes after libvirt has begun to start its network, which waits for it, and for ten seconds where it
/// does not come.
fn starts_late(host: &Host) {
    host.lab.must("ifdown", &["br0"]);
    let late = Program::start("sh", &["-c", "sleep 3; exec ifup br0"]);
    let begin = Instant::now();
    host.lab.virsh(&["net-start", "joined"]);
    assert!(begin.elapsed() > Duration::from_secs(2), "it was there");
    drop(late);
    host.lab.virsh(&["net-destroy", "joined"]);
    host.lab.must("ifdown", &["br0"]);
    let begin = Instant::now();
    let ran = host.lab.try_virsh(&["net-start", "joined"]);
    assert!(
        !ran.ok && ran.stderr.contains("bridge br0 is not there"),
        "{ran:?}"
    );
    let took = begin.elapsed();
    assert!((9..15).contains(&took.as_secs()), "{took:?}");
    host.lab.must("ifup", &["br0"]);
}

fn at_start(host: &mut Host) {
    host.configure(manager::ifupdown);
    let before = host.seen();
    let addresses = host.addresses(NIC);
    define(host, "<portero:hostBridge nic='nowhere0' activate='yes'/>");
    let ran = host.lab.try_virsh(&["net-start", "joined"]);
    assert!(
        !ran.ok && ran.stderr.contains("nowhere0 is not there"),
        "{ran:?}"
    );
    assert_eq!(host.seen(), before);
    define(host, "<portero:hostBridge nic='lan0' activate='yes'/>");
    let mut connection = host.connect();
    host.lab.virsh(&["net-start", "joined"]);
    connection.is_heard();
    assert_eq!(host.addresses("br0"), addresses);
    guest_joins(host);
    host.lab.virsh(&["net-destroy", "joined"]);
    assert!(
        Path::new("/sys/class/net/br0").exists(),
        "the host lost its bridge"
    );
    // The bridge is there: nothing to do.
    host.lab.virsh(&["net-start", "joined"]);
    host.lab.virsh(&["net-destroy", "joined"]);
    host.lab.virsh(&["net-undefine", "joined"]);
    host.must("bridge remove --bridge br0");
    host.is_back(&before, Duration::from_secs(10));
}
