//! What no hook lived to note, or what one notes beside a comparison, on a machine in memory.

use portero_engine::{Engine, State};
use portero_fake::Machine;
use portero_firewall::Firewall;
use portero_libvirt::{DomainOperation, Driver, Event, NetworkOperation};
use portero_model::{Neighbor, OwnerKind};
use portero_system::{Deadline, Log, LogSink, Paths};
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

const NETWORK: &str = "<network><name>lan</name><uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid>\
<forward mode='nat'/><bridge name='br-lan'/><ip address='10.77.0.1' prefix='16'><dhcp>\
<host mac='52:54:00:77:00:01' ip='10.77.1.1'/></dhcp></ip></network>";

const PORT: &str = "<networkport><uuid>cccccccc-0000-4000-8000-000000000001</uuid>\
<owner><name>web</name><uuid>bbbbbbbb-0000-4000-8000-000000000001</uuid></owner>\
<mac address='52:54:00:77:00:01'/></networkport>";

const INTERFACE: &str =
    "<interface type='network'><mac address='52:54:00:77:00:01'/><source network='lan'/></interface>";

/// Whether a domain has its interface.
#[derive(Clone, Copy)]
enum Interface {
    In,
    Out,
}

fn domain(interface: Interface) -> String {
    let interface = match interface {
        Interface::In => INTERFACE,
        Interface::Out => "",
    };
    format!(
        "<domain><name>web</name><uuid>bbbbbbbb-0000-4000-8000-000000000001</uuid><metadata>\
         <p:domain xmlns:p='urn:portero:1'><p:portForward proto='tcp'><p:range start='8080' to='80'/>\
         </p:portForward></p:domain></metadata><devices>{interface}</devices></domain>"
    )
}

/// A machine with its folders, and libvirt's.
struct World {
    root: tempfile::TempDir,
    machine: Machine,
}

impl World {
    fn new(firewall: Firewall) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let mut machine = Machine::default();
        match firewall {
            Firewall::Nftables => machine.use_nftables(),
            Firewall::Iptables => machine.use_iptables(),
        }
        for folder in ["run/libvirt/qemu", "run/libvirt/network"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        Self { root, machine }
    }

    fn paths(&self) -> Paths {
        Paths::below(self.root.path())
    }

    fn engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let mut engine = Engine::new(self.paths(), &mut self.machine, &mut log);
        work(&mut engine)
    }

    fn network(&mut self, operation: NetworkOperation, port: &str) {
        let stdin = format!("<hookData>{NETWORK}{port}</hookData>").into_bytes();
        let event = Event::network(operation, &stdin).expect("an event");
        let handled = self.engine(|engine| engine.handle(&event, &stdin));
        handled.expect("handled");
    }

    fn qemu(&mut self, operation: DomainOperation, interface: Interface) {
        let stdin = domain(interface).into_bytes();
        let event = Event::domain(operation, &stdin).expect("an event");
        let handled = self.engine(|engine| engine.handle(&event, &stdin));
        handled.expect("handled");
    }

    /// libvirt saves the domain: a moment later than whatever was written before.
    fn save(&self, interface: Interface) {
        thread::sleep(Duration::from_millis(20));
        let status = format!(
            "<domstatus state='running' pid='7'>{}</domstatus>",
            domain(interface)
        );
        let path = self.root.path().join("run/libvirt/qemu/web.xml");
        fs::write(path, status).expect("a file");
        thread::sleep(Duration::from_millis(20));
    }

    fn start(&mut self, interface: Interface) {
        self.network(NetworkOperation::Started, "");
        let network = format!("<networkstatus>{NETWORK}</networkstatus>");
        let path = self.root.path().join("run/libvirt/network/lan.xml");
        fs::write(path, network).expect("a file");
        if let Interface::In = interface {
            self.network(NetworkOperation::PortCreated, PORT);
        }
        self.qemu(DomainOperation::Prepare, interface);
        self.qemu(DomainOperation::Start, interface);
        self.save(interface);
        self.qemu(DomainOperation::Started, interface);
    }

    fn sync(&mut self) {
        self.engine(|engine| engine.sync()).expect("synced");
    }

    /// Whether the guest's port is forwarded.
    fn forwards(&self) -> bool {
        self.machine.rules().contains("10.77.1.1")
    }
}

#[test]
fn an_interface_is_unplugged_by_a_hook_that_is_killed() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(Interface::In);
        assert!(world.forwards(), "{}", world.machine.rules());
        // The hook `port-deleted` dies before it does anything; libvirt goes on.
        world.save(Interface::Out);
        world.sync();
        assert!(!world.forwards(), "{}", world.machine.rules());
    }
}

#[test]
fn an_interface_that_was_plugged_later_is_unplugged_by_a_hook_that_is_killed() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(Interface::Out);
        assert!(!world.forwards(), "{}", world.machine.rules());
        world.network(NetworkOperation::PortCreated, PORT);
        assert!(world.forwards(), "{}", world.machine.rules());
        // libvirt has not saved it yet: what the hook noted is news.
        world.sync();
        assert!(world.forwards(), "{}", world.machine.rules());
        // Nor is it plugged in in the end.
        world.save(Interface::Out);
        let name = "web".parse().expect("a name");
        let followed = world.engine(|engine| engine.follow_domain(Driver::Qemu, &name));
        followed.expect("followed");
        assert!(!world.forwards(), "{}", world.machine.rules());
    }
}

#[test]
fn a_daemon_that_starts_tells_of_an_interface_that_was_unplugged() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(Interface::In);
        world.save(Interface::Out);
        world.qemu(DomainOperation::Reconnect, Interface::Out);
        assert!(!world.forwards(), "{}", world.machine.rules());
    }
}

#[test]
fn settings_that_a_killed_event_has_changed_are_taken_back() {
    let neighbor = |address: &str| Neighbor {
        dev: "eth0".to_owned(),
        address: address.parse().expect("an address"),
    };
    let mut world = World::new(Firewall::Nftables);
    world.start(Interface::In);
    // What is noted before it is changed, and recorded after.
    let noted = [
        "localnet/br-gone",
        "neighbors/eth0,10.9.9.9",
        "neighbors/eth0,fd00:9::9",
        "proxy_ndp/eth0",
    ];
    for note in noted.map(|note| world.paths().state.join(note)) {
        fs::create_dir_all(note.parent().expect("a folder")).expect("a folder");
        fs::write(note, "").expect("a note");
    }
    // Others of somebody else's.
    for bridge in ["br-gone", "br-other"] {
        world.machine.bridges.insert(bridge.to_owned(), true);
    }
    let all = ["10.9.9.9", "fd00:9::9", "10.9.9.10"].map(neighbor);
    world.machine.neighbors.extend(all);
    world.machine.proxying = ["eth0", "eth1"].map(str::to_owned).into();
    world.sync();
    assert!(!world.machine.bridges["br-gone"] && world.machine.bridges["br-other"]);
    assert_eq!(world.machine.neighbors, [neighbor("10.9.9.10")].into());
    assert_eq!(world.machine.proxying, ["eth1".to_owned()].into());
    for note in noted.map(|note| world.paths().state.join(note)) {
        assert!(!note.exists(), "{}", note.display());
    }
}

#[test]
fn what_a_comparison_writes_of_a_network_does_not_outlive_its_end() {
    let mut world = World::new(Firewall::Nftables);
    world.start(Interface::In);
    let uuid = Uuid::from_u128(0xaaaa_aaaa_0000_4000_8000_0000_0000_0000);
    let state = State::new(&world.paths());
    // A comparison has the lock and has read libvirt's file.
    let lock = state.lock(Deadline::after(Duration::from_secs(5)));
    let lock = lock.expect("the lock");
    thread::scope(|scope| {
        let stopped = scope.spawn(|| world.network(NetworkOperation::Stopped, ""));
        thread::sleep(Duration::from_millis(200));
        let text = format!("<hookData>{NETWORK}</hookData>");
        let put = state.put_object(OwnerKind::Network, uuid, text.as_bytes());
        put.expect("written");
        drop(lock);
        stopped.join().expect("stopped");
    });
    assert!(!state.has_object(OwnerKind::Network, uuid));
    assert!(!world.forwards(), "{}", world.machine.rules());
}

impl World {
    /// Writes portero.toml.
    fn configure(&self, text: &str) {
        let folder = self.paths().config;
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("portero.toml"), text).expect("a file");
    }

    /// An event of a guest without forwards.
    fn other(&mut self, operation: DomainOperation) {
        let stdin =
            b"<domain><name>db</name><uuid>bbbbbbbb-0000-4000-8000-000000000002</uuid></domain>";
        let event = Event::domain(operation, stdin).expect("an event");
        let handled = self.engine(|engine| engine.handle(&event, stdin));
        handled.expect("handled");
    }

    /// Lets a file of the state be older.
    fn age(&self, file: &str, seconds: u64) {
        let path = self.paths().state.join(file);
        let file = fs::File::options().append(true).open(path).expect("a file");
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(then).expect("an older file");
    }
}

#[test]
fn a_guest_that_a_daemon_finds_has_everything_compared_unless_that_was_just_done() {
    for operation in [DomainOperation::Reconnect, DomainOperation::Attach] {
        for firewall in [Firewall::Iptables, Firewall::Nftables] {
            let mut world = World::new(firewall);
            world.start(Interface::In);
            // Whatever libvirt has done to the rules meanwhile.
            world.machine.flush();
            world.age("compared", 4);
            world.qemu(operation.clone(), Interface::In);
            assert!(!world.forwards(), "{}", world.machine.rules());
            world.age("compared", 6);
            world.qemu(operation.clone(), Interface::In);
            assert!(world.forwards(), "{operation:?}, {firewall}");
        }
    }
}

#[test]
fn a_guest_that_takes_longer_than_any_to_start_has_not_started() {
    const OBJECT: &str = "domains/bbbbbbbb-0000-4000-8000-000000000001.xml";
    let mut world = World::new(Firewall::Nftables);
    world.network(NetworkOperation::Started, "");
    world.network(NetworkOperation::PortCreated, PORT);
    world.qemu(DomainOperation::Prepare, Interface::In);
    world.qemu(DomainOperation::Start, Interface::In);
    // libvirt has not saved it yet.
    for age in [0, 290] {
        world.age(OBJECT, age);
        world.sync();
        assert!(world.forwards(), "after {age} s");
    }
    world.age(OBJECT, 310);
    world.sync();
    assert!(!world.forwards(), "{}", world.machine.rules());
}

#[test]
fn a_hook_that_dies_when_it_has_noted_an_unplugged_interface_leaves_the_rest_to_the_next_event() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(Interface::In);
        let state = State::new(&world.paths());
        // Somebody holds the lock for as long as the hook lives.
        let lock = state.lock(Deadline::after(Duration::from_secs(5)));
        let lock = lock.expect("the lock");
        world.configure("deadline = 1\n");
        let stdin = format!("<hookData>{NETWORK}{PORT}</hookData>").into_bytes();
        let event = Event::network(NetworkOperation::PortDeleted, &stdin).expect("an event");
        let handled = world.engine(|engine| engine.handle(&event, &stdin));
        assert!(handled.is_err() && world.forwards());
        drop(lock);
        // Of another guest, that has no forwards at all.
        world.other(DomainOperation::Started);
        assert!(!world.forwards(), "{}", world.machine.rules());
    }
}
