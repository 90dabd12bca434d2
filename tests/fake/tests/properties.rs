//! Whatever happens in whatever order, the firewall ends as if the guests that run now were the
//! only ones that ever ran; and when none runs, as it began.

use portero_apply::{Engine, Log, LogSink, Paths};
use portero_event::{DaemonOperation, Event, NetworkOperation, QemuOperation};
use portero_fake::Machine;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// How many guests there are.
const GUESTS: u8 = 5;

/// What a guest forwards; the last leads to the same guest address for all that have it. What is
/// beyond is nothing.
const KINDS: u8 = 5;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Start {
        guest: u8,
        kind: u8,
    },
    Stop {
        guest: u8,
    },
    /// Its metadata is changed while it runs.
    Edit {
        guest: u8,
        kind: u8,
    },
    RestartNetwork,
    Flush,
    Killed,
    FailCommit {
        number: u8,
    },
    UseNftables,
    RestartDaemon,
}

/// A machine with its state folder and what should be running.
struct World {
    root: tempfile::TempDir,
    machine: Machine,
    running: BTreeMap<u8, u8>,
}

const NETWORK: &str = "<hookData><network><name>lan</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid><forward mode='nat'/><bridge name='br-lan'/>\
<ip address='10.77.0.1' prefix='16'/><ip family='ipv6' address='fd00:77::1' prefix='64'/>\
</network></hookData>";

fn process(guest: u8) -> u32 {
    1000 + u32::from(guest)
}

fn domain(guest: u8, kind: u8) -> String {
    let (v4, v6) = (format!("10.77.1.{guest}"), format!("fd00:77::1:{guest}"));
    let port = 20_000 + u32::from(guest) * 100;
    let forward = |attributes: &str, range: &str| {
        format!("<p:portForward {attributes}>{range}</p:portForward>")
    };
    let one = format!("<p:range start='{port}' to='80'/>");
    let more = format!(
        "<p:range start='{}' end='{}' to='3000'/>",
        port + 10,
        port + 14
    );
    let forwards = match kind {
        0 => forward(&format!("proto='tcp' guest='{v4}'"), &one),
        1 => {
            forward(&format!("proto='udp' guest='{v4}'"), &one)
                + &forward(&format!("proto='udp' guest='{v6}'"), &one)
        }
        2 => forward(
            &format!("proto='tcp' guest='{v4}' source='198.51.100.0/24' dev='eth0'"),
            &(one + &more),
        ),
        3 => forward(
            &format!("proto='tcp' guest='{v4}' address='127.0.0.1'"),
            &one,
        ),
        4 => forward("proto='sctp' guest='10.77.1.99'", &more),
        _ => String::new(),
    };
    format!(
        "<domain><name>g{guest}</name><uuid>bbbbbbbb-0000-4000-8000-0000000000{guest:02x}</uuid>\
         <metadata><p:domain xmlns:p='urn:portero:1'>{forwards}</p:domain></metadata><devices>\
         <interface type='network'><mac address='52:54:00:77:00:{guest:02x}'/>\
         <source network='lan'/></interface></devices></domain>"
    )
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            root: tempfile::tempdir().expect("a folder"),
            machine: Machine::default(),
            running: BTreeMap::new(),
        };
        world.machine.bridges.insert("br-lan".to_owned(), false);
        world.network(NetworkOperation::Started).expect("a network");
        world
    }

    fn engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let paths = Paths::below(self.root.path());
        work(&mut Engine::new(paths, &mut self.machine, &mut log))
    }

    fn network(&mut self, operation: NetworkOperation) -> Result<(), String> {
        let event = Event::network(operation, NETWORK.as_bytes()).expect("an event");
        self.engine(|engine| engine.handle(&event, NETWORK.as_bytes()))
            .map_err(|error| error.to_string())
    }

    fn qemu(&mut self, guest: u8, kind: u8, operation: QemuOperation) -> Result<(), String> {
        let stdin = domain(guest, kind);
        let event = Event::domain(operation, stdin.as_bytes()).expect("an event");
        self.engine(|engine| engine.handle(&event, stdin.as_bytes()))
            .map_err(|error| error.to_string())
    }

    fn daemon(&mut self) {
        let operation = DaemonOperation::Start;
        let event = Event::Daemon { operation };
        let _ = self.engine(|engine| engine.handle(&event, &[]));
    }

    /// Lets libvirt keep a running guest in its own state.
    fn save(&self, guest: u8, kind: u8) {
        let folder = Paths::below(self.root.path()).libvirt_domains;
        std::fs::create_dir_all(&folder).expect("a folder");
        let status = format!(
            "<domstatus pid='{}'>{}</domstatus>",
            process(guest),
            domain(guest, kind)
        );
        std::fs::write(folder.join(format!("g{guest}.xml")), status).expect("libvirt's file");
    }

    /// Lets a guest start as libvirt does: whatever refuses it ends with `release`.
    fn start(&mut self, guest: u8, kind: u8) {
        if self.running.contains_key(&guest) {
            return;
        }
        let started = self
            .qemu(guest, kind, QemuOperation::Prepare)
            .and_then(|()| self.qemu(guest, kind, QemuOperation::Start));
        if started.is_ok() {
            self.running.insert(guest, kind);
            self.machine.ended.remove(&process(guest));
            self.save(guest, kind);
            let _ = self.qemu(guest, kind, QemuOperation::Started);
        } else {
            let _ = self.qemu(guest, kind, QemuOperation::Release);
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Start { guest, kind } => self.start(guest, kind),
            Happening::Stop { guest } => {
                if let Some(kind) = self.running.remove(&guest) {
                    self.machine.ended.insert(process(guest));
                    let _ = self.qemu(guest, kind, QemuOperation::Stopped);
                    // Whoever looks now still finds libvirt's file.
                    let name = format!("g{guest}").parse().expect("a name");
                    let settled = self.engine(|engine| engine.settle_domain(&name));
                    assert_eq!(settled.ok(), Some(None));
                    let folder = Paths::below(self.root.path()).libvirt_domains;
                    let _ = std::fs::remove_file(folder.join(format!("g{guest}.xml")));
                    let _ = self.qemu(guest, kind, QemuOperation::Release);
                }
            }
            Happening::Edit { guest, kind } => {
                if let Some(running) = self.running.get_mut(&guest) {
                    *running = kind;
                    self.save(guest, kind);
                    let name = format!("g{guest}").parse().expect("a name");
                    let _ = self.engine(|engine| engine.follow_domain(&name));
                }
            }
            Happening::RestartNetwork => {
                let _ = self.network(NetworkOperation::Stopped);
                let _ = self.network(NetworkOperation::Started);
            }
            Happening::Flush => self.machine.flush(),
            Happening::Killed => {
                let trusted = Paths::below(self.root.path()).state.join("trusted");
                let _ = std::fs::remove_file(trusted);
            }
            Happening::FailCommit { number } => {
                self.machine.commits_until_failure = Some(usize::from(number));
            }
            Happening::UseNftables => {
                if self.machine.libvirt.is_none() {
                    self.machine.use_nftables();
                }
                self.daemon();
            }
            Happening::RestartDaemon => self.daemon(),
        }
    }

    fn rules(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.machine.rules().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The rules and settings of a machine on which the guests that run here have just started.
    fn fresh(&self) -> (Vec<String>, bool) {
        let mut world = Self::new();
        if self.machine.libvirt.is_some() {
            world.machine.use_nftables();
        }
        for (guest, kind) in &self.running {
            world.start(*guest, *kind);
        }
        (world.rules(), world.machine.bridges["br-lan"])
    }

    fn check(&self) {
        let (rules, localnet) = self.fresh();
        assert_eq!(self.rules(), rules, "with {:?}", self.running);
        assert_eq!(self.machine.bridges["br-lan"], localnet);
    }
}

fn ordinary() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..GUESTS, 0..KINDS).prop_map(|(guest, kind)| Happening::Start { guest, kind }),
        2 => (0..GUESTS, 0..=KINDS).prop_map(|(guest, kind)| Happening::Edit { guest, kind }),
        3 => (0..GUESTS).prop_map(|guest| Happening::Stop { guest }),
        1 => Just(Happening::RestartNetwork),
        1 => Just(Happening::RestartDaemon),
    ]
}

fn any() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => ordinary(),
        1 => Just(Happening::Flush),
        1 => Just(Happening::Killed),
        1 => (0..4u8).prop_map(|number| Happening::FailCommit { number }),
        1 => Just(Happening::UseNftables),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_leaves_exactly_the_rules_of_what_runs(
        uses_nftables: bool,
        happenings in prop::collection::vec(ordinary(), 1..20),
    ) {
        let mut world = World::new();
        if uses_nftables {
            world.machine.use_nftables();
        }
        for happening in happenings {
            world.happens(happening);
            world.check();
        }
    }

    #[test]
    fn after_anything_a_comparison_leaves_exactly_the_rules_of_what_runs(
        happenings in prop::collection::vec(any(), 1..30),
    ) {
        let mut world = World::new();
        for happening in happenings {
            world.happens(happening);
        }
        world.machine.commits_until_failure = None;
        prop_assert!(world.engine(|engine| engine.sync()).is_ok());
        world.check();
        prop_assert!(world.engine(|engine| engine.plan()).is_ok_and(|scripts| scripts.is_empty()));
        for guest in 0..GUESTS {
            world.happens(Happening::Stop { guest });
        }
        prop_assert_eq!(world.machine.rules(), "");
    }
}
