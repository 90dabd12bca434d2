//! What the operator is told of networks on a machine in memory, with both firewalls.

use portero_engine::{ApplyError, Engine};
use portero_fake::Machine;
use portero_firewall::Firewall;
use portero_inventory::{read_policy_file, ActiveNetwork, Checked, Snapshot};
use portero_libvirt::{Event, NetworkOperation, ObjectName};
use portero_model::{Counter, Family};
use portero_system::{Log, LogSink, Paths, RouteLookup};
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;

/// A machine with its folders.
struct World {
    root: tempfile::TempDir,
    machine: Machine,
}

const POLICY: &str = "<p:policy><p:default in='drop'/>\
    <p:rule action='accept' direction='in'><p:peer address='198.51.100.7'/><p:tcp dstportstart='22'/></p:rule>\
    <p:rule action='accept' direction='in'><p:peer address='198.51.100.8'/><p:tcp dstportstart='22'/></p:rule>\
    <p:rule action='reject' direction='out'><p:peer network='gone'/></p:rule></p:policy>";

fn network(name: &str, number: u8, policy: &str) -> String {
    let metadata = match policy {
        "" => String::new(),
        policy => format!(
            "<metadata><p:network xmlns:p='urn:portero:1'>\n{policy}</p:network></metadata>"
        ),
    };
    format!(
        "<network><name>{name}</name><uuid>aaaaaaaa-0000-4000-8000-0000000000{number:02x}</uuid>\n\
         {metadata}<forward mode='route'/><bridge name='br-{name}'/>\
         <ip address='10.{number}.0.1' prefix='24'/></network>"
    )
}

impl World {
    fn new(firewall: Firewall) -> Self {
        let mut world = Self {
            root: tempfile::tempdir().expect("a folder"),
            machine: Machine::default(),
        };
        match firewall {
            Firewall::Nftables => world.machine.use_nftables(),
            Firewall::Iptables => world.machine.libvirt = Some(Firewall::Iptables),
        }
        for folder in ["networks", "groups"] {
            fs::create_dir_all(world.paths().config.join(folder)).expect("a folder");
        }
        world
    }

    fn paths(&self) -> Paths {
        Paths::below(self.root.path())
    }

    fn engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let mut engine = Engine::new(self.paths(), &mut self.machine, &mut log);
        work(&mut engine)
    }

    fn start(&mut self, xml: &str) {
        let stdin = format!("<hookData>\n{xml}</hookData>").into_bytes();
        for operation in [NetworkOperation::Start, NetworkOperation::Started] {
            let event = Event::network(operation, &stdin).expect("an event");
            let handled = self.engine(|engine| engine.handle(&event, &stdin));
            handled.expect("handled");
        }
    }

    fn networks(&mut self) -> Vec<ActiveNetwork> {
        self.engine(|engine| snapshot(engine).networks())
    }

    fn write(&self, path: &str, text: &str) -> std::path::PathBuf {
        let path = self.paths().config.join(path);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
        path
    }

    fn check(&mut self, network: &ObjectName) -> Result<Checked, String> {
        let checked = self.engine(|engine| snapshot(engine).check_policy(network));
        let root = self.root.path().display().to_string();
        checked.map_err(|error| error.to_string().replace(&root, ""))
    }

    fn check_file(&mut self, path: &Path, network: Option<&ObjectName>) -> Result<Checked, String> {
        let read = read_policy_file(path);
        let checked = read.and_then(|read| {
            self.engine(|engine| snapshot(engine).check_file(path, &read, network))
        });
        let root = self.root.path().display().to_string();
        checked.map_err(|error| error.to_string().replace(&root, ""))
    }
}

fn snapshot<'s, 'a>(engine: &'s mut Engine<'a>) -> Snapshot<'s, 'a> {
    Snapshot::take(engine).expect("a snapshot")
}

fn name(text: &str) -> ObjectName {
    text.parse().expect("a name")
}

#[test]
fn networks_are_told_with_what_they_were_given() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(&network("web", 1, POLICY));
        world.start(&network("free", 2, ""));
        let networks = world.networks();
        let [free, web] = &networks[..] else {
            panic!("{networks:?}");
        };
        assert!(free.policy().is_none() && matches!(free.written, Ok(None)));
        assert!(free.is_in_firewall && web.is_in_firewall, "{firewall}");
        let written = web.written_as_given().expect("as given");
        assert_eq!(written.written.rules.len(), 3);
        assert_eq!(written.origin.to_string(), "metadata of network 'web'");
        let warning = "rule in line 3: network 'gone' is not active, so nobody is of it";
        assert_eq!(written.compiled.warnings, [warning]);
        let file = world.paths().config.join("networks/web.xml");
        assert_eq!((&web.file, web.has_file), (&file, false));
        // What is written now is not what was given.
        world.write(
            "networks/free.xml",
            "<network xmlns='urn:portero:1'><policy/></network>",
        );
        let networks = world.networks();
        assert!(networks[0].policy().is_none() && networks[0].written_as_given().is_none());
        assert!(matches!(networks[0].written, Ok(Some(_))));
        world.engine(|engine| engine.sync()).expect("synced");
        assert!(world.networks()[0].written_as_given().is_some());
        // Wrong now, and given before.
        world.write("networks/free.xml", "<network xmlns='urn:portero:1'>");
        let networks = world.networks();
        assert!(matches!(
            networks[0].written,
            Err(ApplyError::FileXml { .. })
        ));
        assert!(networks[0].policy().is_some() && networks[0].is_in_firewall);
        world.machine.flush();
        assert!(world.networks().iter().all(|one| !one.is_in_firewall));
    }
}

#[test]
fn rules_are_told_with_what_they_counted() {
    for firewall in [Firewall::Iptables, Firewall::Nftables] {
        let mut world = World::new(firewall);
        world.start(&network("web", 1, POLICY));
        let counter = |packets, bytes| Counter { packets, bytes };
        let counted = [
            ("in default", counter(5, 300)),
            ("in 1", counter(3, 180)),
            ("198.51.100.7", counter(3, 180)),
            ("in 1 to in 2", counter(3, 180)),
            ("replies", counter(99, 9900)),
        ];
        world.machine.counters = counted
            .iter()
            .map(|(name, counter)| ((*name).to_owned(), *counter))
            .collect();
        let networks = world.networks();
        let given = networks[0].given.as_ref().expect("what was given");
        let counters = world.engine(|engine| snapshot(engine).rule_counters(&[given]));
        let counters = counters.expect("counters").pop().expect("of one");
        let of = |rule: &str| counters.get(&rule.parse().expect("a name")).copied();
        // Both families' rules of iptables count the same here.
        let times = if firewall == Firewall::Iptables { 2 } else { 1 };
        assert_eq!(of("in default"), Some(counter(5 * times, 300 * times)));
        assert_eq!(of("in 1"), Some(counter(3, 180)), "{firewall}");
        assert_eq!(of("in 2"), Some(counter(0, 0)));
        let mut counted = counters.values();
        assert!(
            counted.all(|counter| counter.packets < 99),
            "replies are no rule's"
        );
        world.machine.flush();
        let counters = world.engine(|engine| snapshot(engine).rule_counters(&[given]));
        assert!(counters.expect("counters")[0].is_empty());
    }
}

#[test]
fn a_policy_is_checked_without_being_given() {
    let mut world = World::new(Firewall::Nftables);
    world.start(&network("web", 1, ""));
    let before = world.machine.clone();
    let web = name("web");
    assert!(matches!(world.check(&web), Ok(Checked::NoPolicy)));
    let gone = world.check(&name("gone"));
    assert_eq!(gone.unwrap_err(), "network 'gone' is not active");
    let policy = |rules: &str| {
        format!("<network xmlns='urn:portero:1'>\n<policy>\n{rules}</policy></network>")
    };
    let file = world.write(
        "other.xml",
        &policy("<rule action='accept' direction='in'/>\n"),
    );
    let Ok(Checked::Written(written)) = world.check_file(&file, None) else {
        panic!("not checked");
    };
    assert_eq!(written.rules.len(), 1);
    let Ok(Checked::Policy {
        network: of,
        policy: checked,
    }) = world.check_file(&file, Some(&web))
    else {
        panic!("not checked");
    };
    assert_eq!(of.name, web);
    assert_eq!(checked.compiled.policy.bridge, "br-web");
    // The file of a network is that network's, and is read where it stands.
    let file = world.write(
        "networks/web.xml",
        &policy("<rule action='allow' direction='in'/>"),
    );
    let expected = "/etc/portero/networks/web.xml, line 3: <rule>: action: 'allow' is not known, \
                    expected accept, drop, reject";
    assert_eq!(world.check_file(&file, None).unwrap_err(), expected);
    assert_eq!(world.check(&web).unwrap_err(), expected);
    world.write("networks/web.xml", &policy("<default in='reject'/>"));
    let checked = world.check_file(&file, None);
    assert!(matches!(checked, Ok(Checked::Policy { .. })));
    // A definition has neither UUID nor bridge yet, and may name itself.
    let definition = "<network><name>new</name><metadata><p:network xmlns:p='urn:portero:1'>\
        <p:policy><p:rule action='accept' direction='in'><p:peer network='new'/></p:rule></p:policy>\
        </p:network></metadata><forward mode='nat'/><ip address='10.9.0.1' prefix='24'/></network>";
    let file = world.write("new.xml", definition);
    let Ok(Checked::Policy { network, policy }) = world.check_file(&file, None) else {
        panic!("not checked");
    };
    assert_eq!(network.name.as_str(), "new");
    assert_eq!(policy.compiled.warnings, [""; 0]);
    let file = world.write(
        "groups/us.xml",
        "<group xmlns='urn:portero:1'><peer host='yes'/></group>",
    );
    assert!(matches!(
        world.check_file(&file, None),
        Ok(Checked::Group(_))
    ));
    let wrong = [
        (
            "<group xmlns='urn:portero:1'><peer/></group>",
            "line 1: <peer>: expected one of the attributes",
        ),
        (
            "<domain/>",
            "line 1: <domain>: expected <network>, or <network> or <group>",
        ),
        (
            "<network xmlns='urn:portero:1'>",
            "line 1: the XML is not well-formed",
        ),
        (
            "<network>\n<name>a/b</name></network>",
            "line 2: <name>: 'a/b' is not an object's name",
        ),
    ];
    for (text, expected) in wrong {
        let file = world.write("wrong.xml", text);
        let error = world.check_file(&file, None).unwrap_err();
        assert!(error.starts_with("/etc/portero/wrong.xml"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let missing = world.check_file(Path::new("/nowhere.xml"), None);
    assert!(missing.unwrap_err().starts_with("cannot read /nowhere.xml"));
    assert_eq!(world.machine, before, "the machine was changed");
}

#[test]
fn the_host_is_told_as_it_is() {
    let mut world = World::new(Firewall::Nftables);
    let facts = world.engine(|engine| snapshot(engine).host_facts());
    let missing: Vec<&str> = facts
        .missing_hooks
        .iter()
        .map(|hook| hook.program)
        .collect();
    let all = [
        "portero-network-hook",
        "portero-qemu-hook",
        "portero-lxc-hook",
        "portero-daemon-hook",
    ];
    assert_eq!(missing, all);
    assert_eq!((facts.passes_on, facts.judges_bridged), (vec![], vec![]));
    let hooks = world.paths().libvirt.join("hooks");
    let program = world.root.path().join("portero-network-hook");
    fs::write(&program, "").expect("a program");
    let set_mode = |mode| {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("its mode");
    };
    fs::create_dir_all(hooks.join("network.d")).expect("a folder");
    fs::create_dir_all(hooks.join("qemu.d")).expect("a folder");
    symlink(&program, hooks.join("network.d/50-portero")).expect("a link");
    // Somebody else's hook, and a link to nothing.
    symlink("/bin/true", hooks.join("qemu.d/10-other")).expect("a link");
    symlink("/gone/portero-qemu-hook", hooks.join("qemu.d/50-portero")).expect("a link");
    set_mode(0o644);
    assert_eq!(
        world
            .engine(|engine| snapshot(engine).host_facts())
            .missing_hooks
            .len(),
        4
    );
    set_mode(0o755);
    world.machine.passes_on = true;
    world.machine.judges_bridged = true;
    let facts = world.engine(|engine| snapshot(engine).host_facts());
    let missing: Vec<&str> = facts
        .missing_hooks
        .iter()
        .map(|hook| hook.program)
        .collect();
    assert_eq!(missing, all[1..]);
    assert_eq!(facts.missing_hooks[0].folder, hooks.join("qemu.d"));
    assert_eq!(facts.passes_on, Family::ALL);
    assert_eq!(facts.judges_bridged, Family::ALL);
}

#[test]
fn addresses_are_where_the_kernel_says() {
    let mut world = World::new(Firewall::Nftables);
    let address = "10.1.0.5".parse().expect("an address");
    let behind = RouteLookup::Behind {
        interface: "br-web".to_owned(),
        mac: Some("52:54:00:00:00:05".to_owned()),
    };
    let nowhere = world.engine(|engine| engine.route_lookup(address));
    assert_eq!(nowhere.expect("an answer"), RouteLookup::Nowhere);
    world.machine.route_lookup.insert(address, behind.clone());
    let found = world.engine(|engine| engine.route_lookup(address));
    assert_eq!(found.expect("an answer"), behind);
}
