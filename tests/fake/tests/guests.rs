//! Which guests run, as libvirt's own state and recorded ports tell it.

use portero_engine::Engine;
use portero_fake::Machine;
use portero_inventory::Snapshot;
use portero_libvirt::{Event, NetworkOperation};
use portero_system::{Log, LogSink, Paths};
use std::fs;
use std::path::Path;

const NETWORK: &str = "<network><name>lan</name><uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid>\
<forward mode='nat'/><bridge name='br-lan'/><ip address='10.77.0.1' prefix='16'><dhcp>\
<host mac='52:54:00:77:00:01' ip='10.77.1.1'/></dhcp></ip></network>";

/// As libvirt writes it (`virDomainObjFormat` in src/conf/domain_conf.c).
fn status(name: &str, number: u8, pid: u32, interfaces: &str) -> String {
    format!(
        "<domstatus state='running' reason='booted' pid='{pid}'>\n  <taint flag='x'/>\n  \
         <domain type='kvm' id='{number}'><name>{name}</name>\
         <uuid>bbbbbbbb-0000-4000-8000-0000000000{number:02x}</uuid>\
         <devices>{interfaces}</devices></domain>\n</domstatus>\n"
    )
}

fn interface(number: u8) -> String {
    format!(
        "<interface type='network'><mac address='52:54:00:77:00:{number:02x}'/>\
         <source network='lan' portid='x' bridge='br-lan'/><target dev='vnet{number}'/></interface>"
    )
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// What is said of all guests: name, number of its UUID, and each interface.
fn guests(root: &Path, machine: &mut Machine) -> Vec<String> {
    let mut log = Log::new(LogSink::Memory(Vec::new()));
    let mut engine = Engine::new(Paths::below(root), machine, &mut log);
    let guests = Snapshot::take(&mut engine)
        .and_then(|mut snapshot| snapshot.guests())
        .expect("guests");
    let texts = guests.iter().map(|guest| {
        let name = guest.name.as_ref().map_or("-", |name| name.as_str());
        let mut text = format!("{name} {:02x}", guest.uuid.as_bytes()[15]);
        for nic in &guest.nics {
            let network = nic.network.as_deref().unwrap_or("-");
            let target = nic.target.as_ref().map_or("-", |target| target.as_str());
            text += &format!(", {network} {target} {:?}", nic.addresses);
        }
        text
    });
    texts.collect()
}

fn port_created(root: &Path, machine: &mut Machine, number: u8) {
    let port = format!(
        "<hookData>{NETWORK}<networkport><uuid>cccccccc-0000-4000-8000-0000000000{number:02x}</uuid>\
         <owner><name>x</name><uuid>bbbbbbbb-0000-4000-8000-0000000000{number:02x}</uuid></owner>\
         <mac address='52:54:00:77:00:{number:02x}'/></networkport></hookData>"
    );
    let event = Event::network(NetworkOperation::PortCreated, port.as_bytes()).expect("an event");
    let mut log = Log::new(LogSink::Memory(Vec::new()));
    let mut engine = Engine::new(Paths::below(root), machine, &mut log);
    engine.handle(&event, port.as_bytes()).expect("the event");
}

#[test]
fn guests_are_those_that_run() {
    let root = tempfile::tempdir().expect("a folder");
    let (root, mut machine) = (root.path(), Machine::default());
    assert_eq!(guests(root, &mut machine), [""; 0]);

    // Without a state of libvirt's there are ports, and their networks.
    port_created(root, &mut machine, 1);
    port_created(root, &mut machine, 9);
    let unknown = ["- 01, lan - [10.77.1.1]", "- 09, lan - []"];
    assert_eq!(guests(root, &mut machine), unknown);

    let lease = r#"[{"ip-address":"10.77.1.9","mac-address":"52:54:00:77:00:09","expiry-time":0}]"#;
    write(root, "var/lib/libvirt/dnsmasq/br-lan.status", lease);
    let bridged = "<interface type='bridge'><mac address='52:54:00:77:00:0a'/>\
                   <source bridge='br0'/><target dev='vnet7'/></interface>";
    let web = status("web", 1, 101, &(interface(1) + bridged));
    write(root, "run/libvirt/qemu/web.xml", &web);
    write(
        root,
        "run/libvirt/qemu/bare.xml",
        &status("bare", 2, 102, ""),
    );
    write(
        root,
        "run/libvirt/qemu/crashed.xml",
        &status("crashed", 3, 103, &interface(3)),
    );
    write(
        root,
        "run/libvirt/qemu/starting.xml",
        &status("starting", 4, 0, &interface(4)),
    );
    write(root, "run/libvirt/qemu/broken.xml", "<domstatus");
    machine.ended.insert(103);
    let known = [
        "bare 02",
        "web 01, lan vnet1 [10.77.1.1], - vnet7 []",
        "- 09, lan - [10.77.1.9]",
    ];
    assert_eq!(guests(root, &mut machine), known);
}
