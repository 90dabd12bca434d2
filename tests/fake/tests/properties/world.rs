//! Guests and networks on a machine in memory, what can happen to them, and what then has to be.

use portero_apply::{Engine, Log, LogSink, Paths};
use portero_event::{DaemonOperation, Event, NetworkOperation, QemuOperation};
use portero_fake::Machine;
use portero_plan::Firewall;
use std::collections::BTreeMap;

/// How many guests there are.
pub(crate) const GUESTS: u8 = 5;

/// What a guest forwards; the last leads to the same guest address for all that have it. What is
/// beyond is nothing.
pub(crate) const KINDS: u8 = 5;

/// How many networks with policies there are, beside the one that guests are on.
pub(crate) const NETWORKS: u8 = 3;

/// What their policies are; the first is none. They name each other, the guests' network and nobody.
pub(crate) const POLICIES: [&str; 7] = [
    "",
    "<p:policy/>",
    "<p:policy><p:default in='reject'/><p:rule action='accept' direction='in'><p:peer network='p0'/>\
     <p:peer network='p1'/><p:peer network='lan'/></p:rule></p:policy>",
    "<p:policy mode='nat'><p:nat ipv6='yes'/><p:rule action='accept' direction='out'>\
     <p:peer network='p2' nat='no'/></p:rule></p:policy>",
    "<p:policy><p:antispoof ip='yes'/>\
     <p:rule action='drop' direction='in'><p:peer address='192.0.2.1'/></p:rule>\
     <p:rule action='drop' direction='in'><p:peer address='192.0.2.0' prefix='24'/></p:rule>\
     <p:rule action='drop' direction='in'><p:peer address='198.51.100.0' prefix='24'/></p:rule></p:policy>",
    "<p:policy mode='isolated'><p:default host='drop'/>\
     <p:rule action='accept' direction='inout'><p:peer host='yes'/><p:tcp/></p:rule></p:policy>\
     <p:portForward proto='tcp' guest='10.78.0.7'><p:range start='7'/></p:portForward>",
    "<p:policy><p:neighbor dev='eth0' arp='yes' ndp='yes'/></p:policy>",
];

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
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
    StartNetwork {
        network: u8,
        policy: usize,
    },
    StopNetwork {
        network: u8,
    },
    ChangePolicy {
        network: u8,
        policy: usize,
    },
    RestartNetwork,
    Flush,
    Killed,
    FailCommits {
        first: u8,
        count: u8,
    },
    UseIptables,
    UseNftables,
    RestartDaemon,
}

/// A machine with its state folder and what should be running.
pub(crate) struct World {
    root: tempfile::TempDir,
    pub(crate) machine: Machine,
    running: BTreeMap<u8, u8>,
    /// Networks that are active, each with its policy.
    active: BTreeMap<u8, usize>,
}

const NETWORK: &str = "<hookData><network><name>lan</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid><forward mode='nat'/><bridge name='br-lan'/>\
<ip address='10.77.0.1' prefix='16'/><ip family='ipv6' address='fd00:77::1' prefix='64'/>\
</network></hookData>";

/// A network of the guests' own, apart from the one above. Only one of them may claim a port.
fn network(number: u8, policy: usize) -> String {
    let net = 78 + number;
    let policy = POLICIES[policy].replace("10.78.0.7", &format!("10.{net}.0.7"));
    let policy = policy.replace("start='7'", &format!("start='{net}'"));
    format!(
        "<hookData><network><name>p{number}</name><uuid>aaaaaaaa-0000-4000-8000-0000000000{net}</uuid>\
         <metadata><p:network xmlns:p='urn:portero:1'>{policy}</p:network></metadata>\
         <forward mode='open'/><bridge name='br-p{number}'/><ip address='10.{net}.0.1' prefix='24'>\
         <dhcp><host mac='52:54:00:00:00:07' ip='10.{net}.0.7'/></dhcp></ip>\
         <ip family='ipv6' address='fd00:{net}::1' prefix='64'><dhcp><host id='0:1' ip='fd00:{net}::7'/>\
         </dhcp></ip></network></hookData>"
    )
}

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
    pub(crate) fn new() -> Self {
        let mut world = Self {
            root: tempfile::tempdir().expect("a folder"),
            machine: Machine::default(),
            running: BTreeMap::new(),
            active: BTreeMap::new(),
        };
        world.machine.bridges.insert("br-lan".to_owned(), false);
        world
            .network(NetworkOperation::Started, NETWORK)
            .expect("a network");
        world
    }

    pub(crate) fn engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let paths = Paths::below(self.root.path());
        work(&mut Engine::new(paths, &mut self.machine, &mut log))
    }

    fn network(&mut self, operation: NetworkOperation, stdin: &str) -> Result<(), String> {
        let event = Event::network(operation, stdin.as_bytes()).expect("an event");
        self.engine(|engine| engine.handle(&event, stdin.as_bytes()))
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

    /// Lets a network start as libvirt does: of one that is refused nothing more is heard.
    fn start_network(&mut self, number: u8, policy: usize) {
        if self.active.contains_key(&number) {
            return;
        }
        let stdin = network(number, policy);
        if self.network(NetworkOperation::Start, &stdin).is_ok() {
            self.active.insert(number, policy);
            let _ = self.network(NetworkOperation::Started, &stdin);
        }
    }

    pub(crate) fn happens(&mut self, happening: Happening) {
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
            Happening::StartNetwork { network, policy } => self.start_network(network, policy),
            Happening::StopNetwork { network: number } => {
                if let Some(policy) = self.active.remove(&number) {
                    let _ = self.network(NetworkOperation::Stopped, &network(number, policy));
                }
            }
            Happening::ChangePolicy {
                network: number,
                policy,
            } => {
                if let Some(present) = self.active.get_mut(&number) {
                    *present = policy;
                    let _ = self.network(NetworkOperation::Updated, &network(number, policy));
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
                let _ = self.network(NetworkOperation::Stopped, NETWORK);
                let _ = self.network(NetworkOperation::Started, NETWORK);
            }
            Happening::Flush => self.machine.flush(),
            Happening::Killed => {
                let trusted = Paths::below(self.root.path()).state.join("trusted");
                let _ = std::fs::remove_file(trusted);
            }
            Happening::FailCommits { first, count } => {
                self.machine.failing = usize::from(first)..usize::from(first + count);
            }
            Happening::UseIptables => {
                self.machine.use_iptables();
                self.daemon();
            }
            Happening::UseNftables => {
                if self.machine.libvirt != Some(Firewall::Nftables) {
                    self.machine.use_nftables();
                }
                self.daemon();
            }
            Happening::RestartDaemon => self.daemon(),
        }
    }

    /// All that is not libvirt's own.
    pub(crate) fn rules(&self) -> Vec<String> {
        let rules = self.machine.rules();
        let is_libvirts = |line: &&str| {
            line.contains(" filter -N LIBVIRT") || line.contains(" filter -A FORWARD -j LIBVIRT")
        };
        let lines = rules.lines().filter(|line| !is_libvirts(line));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// A machine on which what runs here has just started.
    pub(crate) fn fresh(&self) -> Self {
        let mut world = Self::new();
        match self.machine.libvirt {
            Some(Firewall::Iptables) => world.machine.use_iptables(),
            Some(Firewall::Nftables) => world.machine.use_nftables(),
            None => {}
        }
        for (number, policy) in &self.active {
            world.start_network(*number, *policy);
        }
        for (guest, kind) in &self.running {
            world.start(*guest, *kind);
        }
        world
    }

    pub(crate) fn check(&self) {
        let fresh = self.fresh();
        let running = (&self.running, &self.active);
        assert_eq!(running, (&fresh.running, &fresh.active));
        assert_eq!(self.rules(), fresh.rules(), "with {running:?}");
        assert_eq!(self.machine.bridges, fresh.machine.bridges);
        assert_eq!(self.machine.neighbors, fresh.machine.neighbors);
        assert_eq!(self.machine.proxying, fresh.machine.proxying);
    }
}
