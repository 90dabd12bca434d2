//! What others need stays, and what others put in the way does not, on a machine in memory.

use portero_engine::Engine;
use portero_fake::Machine;
use portero_firewall::{Firewall, Script, Tool};
use portero_libvirt::{DomainOperation, Event, NetworkOperation};
use portero_model::{Family, Neighbor, ReplyRoute};
use portero_system::{Deadline, Log, LogSink, Paths, System, Uplink};
use std::collections::BTreeSet;
use std::time::Duration;

const NETWORK: &str = "<hookData><network><name>lan</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid><metadata><p:network xmlns:p='urn:portero:1'>\
<p:policy><p:neighbor dev='eth0' ndp='yes'/></p:policy></p:network></metadata><forward mode='open'/>\
<bridge name='br-lan'/><ip address='10.77.0.1' prefix='16'/>\
<ip family='ipv6' address='fd00:77::1' prefix='64'><dhcp><host id='0:1' ip='fd00:77::7'/></dhcp></ip>\
</network></hookData>";

/// A guest whose port of 127.0.0.1 is forwarded.
fn domain(guest: u8) -> String {
    format!(
        "<domain><name>g{guest}</name><uuid>bbbbbbbb-0000-4000-8000-0000000000{guest:02x}</uuid>\
         <metadata><p:domain xmlns:p='urn:portero:1'>\
         <p:portForward proto='tcp' address='127.0.0.1' guest='10.77.1.{guest}' symmetric='yes'>\
         <p:range start='{}' to='80'/></p:portForward></p:domain></metadata><devices>\
         <interface type='network'><mac address='52:54:00:77:00:{guest:02x}'/>\
         <source network='lan'/></interface></devices></domain>",
        8000 + u16::from(guest)
    )
}

struct World {
    root: tempfile::TempDir,
    machine: Machine,
}

impl World {
    /// A host with an active network.
    fn new(firewall: Firewall) -> Self {
        let mut world = Self {
            root: tempfile::tempdir().expect("a folder"),
            machine: Machine::default(),
        };
        match firewall {
            Firewall::Nftables => world.machine.use_nftables(),
            Firewall::Iptables => world.machine.use_iptables(),
        }
        world.machine.bridges.insert("br-lan".to_owned(), false);
        world.network(NetworkOperation::Start);
        world.network(NetworkOperation::Started);
        world
    }

    fn engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let paths = Paths::below(self.root.path());
        let mut engine = Engine::new(paths, &mut self.machine, &mut log);
        work(&mut engine)
    }

    fn handle(&mut self, event: &Event, stdin: &str) {
        let handled = self.engine(|engine| engine.handle(event, stdin.as_bytes()));
        handled.expect("handled");
    }

    fn network(&mut self, operation: NetworkOperation) {
        let event = Event::network(operation, NETWORK.as_bytes()).expect("an event");
        self.handle(&event, NETWORK);
    }

    fn qemu(&mut self, guest: u8, operations: &[DomainOperation]) {
        self.tell(&domain(guest), operations);
    }

    fn tell(&mut self, stdin: &str, operations: &[DomainOperation]) {
        for operation in operations {
            let event = Event::domain(operation.clone(), stdin.as_bytes()).expect("an event");
            self.handle(&event, stdin);
        }
    }

    fn start(&mut self, guest: u8) {
        use DomainOperation::{Prepare, Start, Started};
        self.qemu(guest, &[Prepare, Start, Started]);
    }

    fn stop(&mut self, guest: u8) {
        self.qemu(guest, &[DomainOperation::Stopped, DomainOperation::Release]);
    }

    fn sync(&mut self) {
        self.engine(|engine| engine.sync()).expect("synced");
    }

    fn routes_loopback(&self) -> bool {
        self.machine.bridges["br-lan"]
    }

    fn planned(&mut self) -> Vec<Script> {
        self.engine(|engine| engine.plan()).expect("a plan")
    }
}

#[test]
fn loopback_is_routed_as_long_as_any_guest_needs_it() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(1);
        world.start(2);
        assert!(world.routes_loopback());
        world.stop(1);
        assert!(world.routes_loopback(), "{firewall}: the other needs it");
        world.stop(2);
        assert!(!world.routes_loopback(), "{firewall}: nobody needs it");
    }
}

#[test]
fn answers_are_routed_by_marks_as_long_as_any_guest_needs_them() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        let uplink = |last: u8, table| Uplink {
            address: [198, 51, 100, last].into(),
            table,
        };
        world.start(1);
        // The control: no address of the host has a table.
        assert!(world.machine.reply_routes.is_empty());
        world.machine.uplinks = vec![uplink(1, 101), uplink(2, 102)];
        world.sync();
        let route = |mark, table| ReplyRoute {
            family: Family::Ipv4,
            mark,
            table,
        };
        let both = BTreeSet::from([route(1, 101), route(2, 102)]);
        assert_eq!(world.machine.reply_routes, both, "{firewall}");
        world.start(2);
        world.stop(1);
        assert_eq!(world.machine.reply_routes, both, "the other needs them");
        // Somebody's flush is put right, and a table keeps its mark when another goes.
        world.machine.reply_routes.remove(&route(1, 101));
        world.machine.uplinks.remove(0);
        world.sync();
        let second = BTreeSet::from([route(2, 102)]);
        assert_eq!(world.machine.reply_routes, second, "{firewall}");
        assert!(world.planned().is_empty(), "{firewall}");
        world.stop(2);
        assert!(world.machine.reply_routes.is_empty(), "{firewall}");
    }
}

#[test]
fn a_setting_that_was_there_before_stays() {
    let mut world = World::new(Firewall::Nftables);
    world.machine.bridges.insert("br-lan".to_owned(), true);
    world.start(1);
    world.stop(1);
    world.sync();
    assert!(world.routes_loopback());
}

#[test]
fn an_interface_answers_for_ipv6_addresses_as_long_as_others_have_some_there() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        let others = Neighbor {
            dev: "eth0".to_owned(),
            address: "2001:db8::9".parse().expect("an address"),
        };
        assert_eq!(world.machine.neighbors.len(), 1);
        world.machine.neighbors.insert(others.clone());
        world.network(NetworkOperation::Stopped);
        assert_eq!(world.machine.neighbors, [others].into());
        assert!(world.machine.proxying.contains("eth0"), "{firewall}");
        // Theirs are gone, and so nobody needs what portero has set.
        world.machine.neighbors.clear();
        world.sync();
        assert!(world.machine.proxying.is_empty(), "{firewall}");
    }
}

#[test]
fn a_rule_that_libvirt_puts_before_ours_is_behind_it_after_a_comparison() {
    let nftables = |family: &str| {
        Script::of_text(
            Tool::Nft,
            format!("insert rule {family} libvirt_network forward jump guest_output\n"),
        )
    };
    let iptables = |family| {
        Script::of_text(
            Tool::Restore(family),
            "*filter\n-I FORWARD -j LIBVIRT_FWI\nCOMMIT\n".to_owned(),
        )
    };
    let scripts = [
        (Firewall::Nftables, nftables("ip")),
        (Firewall::Nftables, nftables("ip6")),
        (Firewall::Iptables, iptables(Family::Ipv4)),
        (Firewall::Iptables, iptables(Family::Ipv6)),
    ];
    for (firewall, script) in scripts {
        let mut world = World::new(firewall);
        world.start(1);
        world.sync();
        assert_eq!(world.planned(), []);
        let deadline = Deadline::after(Duration::from_secs(5));
        world.machine.commit(&script, deadline).expect("a rule");
        assert!(!world.planned().is_empty(), "before {}", script.text());
        world.sync();
        assert_eq!(world.planned(), [], "after {}", script.text());
    }
}

#[test]
fn what_cannot_be_read_is_not_distrusted_and_keeps_nobody_waiting() {
    use DomainOperation::{Prepare, Release, Start, Started, Stopped};
    // Nothing that two of them have in common.
    let guest = |number| domain(number).replace("address='127.0.0.1' ", "");
    let [one, other] = [1, 2].map(guest);
    let (begin, end) = ([Prepare, Start, Started], [Stopped, Release]);
    for firewall in [Firewall::Nftables, Firewall::Iptables] {
        let mut world = World::new(firewall);
        world.tell(&one, &begin);
        world.sync();
        let before = world.machine.rules();
        world.machine.is_unreadable = true;
        let synced = world.engine(|engine| engine.sync());
        let error = synced.expect_err("nothing can be read").to_string();
        assert!(error.contains("did not end within"), "{error}");
        assert!(world.engine(|engine| engine.state.is_clean()), "{firewall}");
        assert_eq!(world.machine.rules(), before);
        // A guest that starts, and one that ends beside it, need nothing of what is there.
        world.tell(&other, &begin);
        let both = world.machine.rules();
        assert_ne!(both, before);
        world.tell(&other, &end);
        assert_eq!(world.machine.rules(), before);
        world.tell(&other, &begin);
        assert_eq!(world.machine.rules(), both);
        world.machine.is_unreadable = false;
        assert_eq!(world.planned(), []);
        // The control: what somebody has thrown away is found and mended as soon as it can be read.
        world.machine.flush();
        assert_ne!(world.machine.rules(), both);
        world.sync();
        assert_eq!(world.machine.rules(), both);
    }
}
