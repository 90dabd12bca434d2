//! A machine in memory with networks and a guest that run, what happens on it, and what has to hold then.

use crate::one_line::one_line;
use crate::{script, Reached};
use portero_engine::{ApplyError, Engine};
use portero_fake::Machine;
use portero_firewall::Firewall;
use portero_inventory::Snapshot;
use portero_libvirt::{Driver, Event, Hook, OnFailure};
use portero_system::{Log, LogSink, Message, Paths, Severity};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A network with reservations, that the guest below is on.
const LAN: &str = "<hookData><network><name>lan</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid><forward mode='nat'/><bridge name='br-lan'/>\
<ip address='192.168.50.1' prefix='24'><dhcp><host mac='52:54:00:00:50:10' ip='192.168.50.10'/>\
<host mac='52:54:00:00:50:11' ip='192.168.50.11'/></dhcp></ip>\
<ip family='ipv6' address='fd00:50::1' prefix='64'/></network></hookData>";

/// A network whose policy names others, so that it changes when they come and go.
const DMZ: &str = "<hookData><network><name>dmz</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000060</uuid><metadata><p:network xmlns:p='urn:portero:1'><p:policy>\
<p:default in='reject'/><p:rule action='accept' direction='in'><p:peer network='lab'/><p:peer group='some'/>\
</p:rule></p:policy></p:network></metadata><forward mode='route'/><bridge name='br-dmz'/>\
<ip address='192.168.60.1' prefix='24'/><ip family='ipv6' address='fd00:60::1' prefix='64'/>\
</network></hookData>";

/// A guest that runs, with a forward.
const WEB: &str = "<domain><name>web</name><uuid>bbbbbbbb-0000-4000-8000-000000000010</uuid>\
<metadata><p:domain xmlns:p='urn:portero:1'><p:portForward proto='tcp'><p:range start='8080' to='80'/>\
</p:portForward></p:domain></metadata><devices><interface type='network'>\
<mac address='52:54:00:00:50:10'/><source network='lan'/></interface></devices></domain>";

/// What rules may name.
const GROUP: &str = "<group xmlns='urn:portero:1'><peer network='lab'/><peer network='dmz'/>\
<peer address='198.51.100.0' prefix='24'/><peer mac='52:54:00:00:50:10'/></group>";

/// Thousands of ports in one forward are tested elsewhere; here they would only take time.
const SETTINGS: &str = "[limits]\nports = [\"1-1200\", 8080]\n";

/// What the machine's own objects are called and known by.
const STANDING: [&str; 8] = [
    "br-lan",
    "br-dmz",
    "lan",
    "dmz",
    "web",
    "aaaaaaaa-0000-4000-8000-000000000001",
    "aaaaaaaa-0000-4000-8000-000000000060",
    "bbbbbbbb-0000-4000-8000-000000000010",
];

/// The machine with its folders.
pub(crate) struct World {
    root: TempDir,
    machine: Machine,
}

/// One as it is before anything happens.
struct Made {
    machine: Machine,
    /// By their paths below the root.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// What shows what portero has done.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    rules: String,
    neighbors: String,
}

impl Picture {
    /// Panics with the lines that are in one of both.
    fn is_still(&self, before: &Self, what: &str) {
        let only = |one: &Self, other: &Self| -> String {
            let known: HashSet<&str> = other.rules.lines().collect();
            let lines = one.rules.lines().filter(|line| !known.contains(line));
            lines.map(|line| format!("\n  {line}")).collect()
        };
        assert!(
            self == before,
            "{what}\nnow: {}{}\nbefore: {}{}",
            self.neighbors,
            only(self, before),
            before.neighbors,
            only(before, self)
        );
    }
}

impl World {
    /// One whose libvirt uses this firewall.
    pub(crate) fn new(firewall: Firewall) -> Self {
        thread_local! {
            static MADE: RefCell<HashMap<Firewall, Made>> = RefCell::default();
        }
        MADE.with_borrow_mut(|made| {
            let made = made.entry(firewall).or_insert_with(|| {
                let world = Self::made(firewall);
                Made {
                    files: world.files(),
                    machine: world.machine,
                }
            });
            let root = folder();
            for (path, content) in &made.files {
                write(&root.path().join(path), content);
            }
            Self {
                root,
                machine: made.machine.clone(),
            }
        })
    }

    /// The same, by the events that lead to it.
    fn made(firewall: Firewall) -> Self {
        let mut world = Self {
            root: folder(),
            machine: Machine::default(),
        };
        let config = world.paths().config;
        write(&config.join("portero.toml"), SETTINGS.as_bytes());
        write(&config.join("groups/some.xml"), GROUP.as_bytes());
        match firewall {
            Firewall::Iptables => world.machine.use_iptables(),
            Firewall::Nftables => world.machine.use_nftables(),
        }
        for bridge in ["br-lan", "br-dmz"] {
            world.machine.bridges.insert(bridge.to_owned(), false);
        }
        let standing = [
            (Hook::Network, "start", LAN),
            (Hook::Network, "started", LAN),
            (Hook::Network, "start", DMZ),
            (Hook::Network, "started", DMZ),
            (Hook::Domain(Driver::Qemu), "prepare", WEB),
            (Hook::Domain(Driver::Qemu), "start", WEB),
            (Hook::Domain(Driver::Qemu), "started", WEB),
        ];
        for (hook, operation, xml) in standing {
            let event = hook.event(operation, xml.as_bytes());
            let event = event.expect("an event").expect("a known one");
            let handled = world.handle(&event, xml.as_bytes());
            handled.expect("its own objects");
        }
        world
    }

    /// All files by their paths below the root.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let root = self.root.path();
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path).expect("a file");
                    let path = path.strip_prefix(root).expect("below it");
                    files.push((path.to_owned(), content));
                }
            }
        }
        files
    }

    /// Its folders.
    pub(crate) fn paths(&self) -> Paths {
        Paths::below(self.root.path())
    }

    /// Runs a hook as libvirt does, and then the one that undoes it.
    pub(crate) fn hook(&mut self, hook: Hook, operation: &str, stdin: &[u8]) -> Reached {
        let event = match hook.event(operation, stdin) {
            Ok(Some(event)) => event,
            Ok(None) => return Reached::Nothing,
            Err(error) => {
                one_line(&error);
                return Reached::Refused;
            }
        };
        self.is_settled();
        let before = self.picture();
        if let Err(error) = self.handle(&event, stdin) {
            one_line(&error);
            if hook.on_failure(operation) == OnFailure::Refuse {
                let what = format!("what was refused has changed something: {error}");
                self.picture().is_still(&before, &what);
            }
            self.settle();
            if is_new(&event) {
                self.ends(hook, stdin);
                let what = format!("something is left of what had failed: {error}");
                self.picture().is_still(&before, &what);
            }
            return Reached::Refused;
        }
        let after = self.picture();
        self.settle();
        if is_new(&event) {
            self.picture()
                .is_still(&after, "a comparison found something to do");
            self.ends(hook, stdin);
            self.picture()
                .is_still(&before, "something is left of what has ended");
        }
        if after == before {
            Reached::Nothing
        } else {
            Reached::Taken
        }
    }

    /// Everything is compared, after which nothing is left to do.
    pub(crate) fn settle(&mut self) {
        let compared = self.engine(|engine| engine.sync());
        compared.expect("a comparison");
        self.is_settled();
    }

    /// Lets the engine work; what it logs has to be lines, what it commits its own words.
    pub(crate) fn engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let paths = self.paths();
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        self.machine.committed.clear();
        let result = work(&mut Engine::new(paths, &mut self.machine, &mut log));
        for Message {
            severity,
            text: message,
            ..
        } in log.messages()
        {
            one_line(message);
            let is_refusal = ["tables-restore failed: ", "nft failed: "];
            let is_refusal = is_refusal.iter().any(|words| message.contains(words));
            assert!(*severity != Severity::Error || !is_refusal, "{message}");
        }
        for committed in &self.machine.committed {
            script::check(committed);
        }
        result
    }

    fn handle(&mut self, event: &Event, stdin: &[u8]) -> Result<(), ApplyError> {
        let handled = self.engine(|engine| engine.handle(event, stdin));
        if let Err(ApplyError::System(error)) = &handled {
            panic!("the firewall did not take it: {error}");
        }
        handled
    }

    fn ends(&mut self, hook: Hook, stdin: &[u8]) {
        let operations: &[&str] = match hook {
            Hook::Network => &["stopped"],
            Hook::Domain(_) => &["stopped", "release"],
            Hook::Daemon => &[],
        };
        for operation in operations {
            let event = hook.event(operation, stdin).expect("as before");
            let event = event.expect("a known one");
            self.handle(&event, stdin).expect("an end");
        }
        self.settle();
    }

    /// A comparison would change nothing, and what is shown of the state are lines.
    fn is_settled(&mut self) {
        let owners = self
            .engine(|engine| Snapshot::take(engine)?.owners())
            .expect("a status");
        for waiting in owners.iter().flat_map(|owner| &owner.record.pending) {
            one_line(&waiting.reason);
        }
        let scripts = self.engine(|engine| engine.plan()).expect("a plan");
        assert!(scripts.is_empty(), "left to do: {scripts:?}");
    }

    fn picture(&self) -> Picture {
        Picture {
            rules: self.machine.rules(),
            neighbors: format!("{:?} {:?}", self.machine.neighbors, self.machine.proxying),
        }
    }
}

/// A folder in memory, where there is one.
fn folder() -> TempDir {
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() {
        tempfile::tempdir_in(shared)
    } else {
        tempfile::tempdir()
    };
    folder.expect("a folder")
}

/// Writes a file, and makes the folders it is in.
pub(crate) fn write(path: &Path, content: &[u8]) {
    let folder = path.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// Whether an event is of an object that has nothing in common with the machine's own: libvirt starts none of
/// their names, UUIDs and bridges, and no guest twice.
fn is_new(event: &Event) -> bool {
    let (name, uuid, bridge) = match event {
        Event::Domain { domain, .. } => (&domain.name, domain.uuid, None),
        Event::Network { network, .. } => (&network.name, network.uuid, network.bridge.as_ref()),
        Event::Daemon { .. } => return false,
    };
    let bridge = bridge.map_or("", |bridge| bridge.as_str());
    let words = [name.as_str(), &uuid.to_string(), bridge].map(str::to_owned);
    !STANDING
        .iter()
        .any(|own| words.iter().any(|word| word == own))
}

/// A firewall and an operation: `@` and `A` are the first operation with both firewalls, `B` and `C`
/// the second, and so on.
pub(crate) fn choose(choice: u8, operations: &[&'static str]) -> (Firewall, &'static str) {
    let firewall = if choice & 1 == 0 {
        Firewall::Iptables
    } else {
        Firewall::Nftables
    };
    let operation = usize::from(choice & 0x1f) / 2 % operations.len();
    (firewall, operations[operation])
}
