//! Guests and networks on a machine in memory, what can happen to them, and what then has to be.

use portero_engine::Engine;
use portero_fake::{process, Killed, Machine, Points};
use portero_firewall::Firewall;
use portero_libvirt::{DaemonOperation, DomainOperation, Driver, Event, NetworkOperation};
use portero_system::{Log, LogSink, Paths};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// One of the next hooks, or what else works then, is killed.
    Kill {
        left: Points,
    },
    FailCommits {
        first: u8,
        count: u8,
    },
    UseIptables,
    UseNftables,
    RestartDaemon,
    /// A daemon that has just started finds a guest.
    Reconnect {
        guest: u8,
    },
    Sync,
}

/// A machine with its state folder and what should be running.
pub(crate) struct World {
    root: tempfile::TempDir,
    pub(crate) machine: Machine,
    /// How much the processes to come survive.
    pub(crate) left: Option<Points>,
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

fn qemu_process(guest: u8) -> u32 {
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
            left: None,
            running: BTreeMap::new(),
            active: BTreeMap::new(),
        };
        for folder in [
            world.paths().running_domains(Driver::Qemu),
            world.paths().libvirt_networks,
        ] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        world.machine.bridges.insert("br-lan".to_owned(), false);
        world.save_network("lan", NETWORK);
        world
            .network(NetworkOperation::Started, NETWORK)
            .expect("a network");
        world
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths::below(self.root.path())
    }

    pub(crate) fn engine<T>(
        &mut self,
        work: impl FnOnce(&mut Engine<'_>) -> T,
    ) -> Result<T, Killed> {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let paths = self.paths();
        process(&mut self.machine, &mut self.left, |kernel| {
            let mut engine = Engine::new(paths, kernel, &mut log);
            work(&mut engine)
        })
    }

    /// A hook's event: what libvirt gets to know of it.
    fn event(&mut self, event: &Event, stdin: &str) -> Result<(), String> {
        match self.engine(|engine| engine.handle(event, stdin.as_bytes())) {
            Ok(handled) => handled.map_err(|error| error.to_string()),
            Err(Killed) => Err("killed".to_owned()),
        }
    }

    fn network(&mut self, operation: NetworkOperation, stdin: &str) -> Result<(), String> {
        let event = Event::network(operation, stdin.as_bytes()).expect("an event");
        self.event(&event, stdin)
    }

    fn qemu(&mut self, guest: u8, kind: u8, operation: DomainOperation) -> Result<(), String> {
        let stdin = domain(guest, kind);
        let event = Event::domain(operation, stdin.as_bytes()).expect("an event");
        self.event(&event, &stdin)
    }

    fn daemon(&mut self) {
        let operation = DaemonOperation::Start;
        let _ = self.event(&Event::Daemon { operation }, "");
    }

    /// Whether everything could be compared, whatever was told to fail before.
    pub(crate) fn is_synced(&mut self) -> bool {
        self.machine.failing = 0..0;
        self.left = None;
        matches!(self.engine(|engine| engine.sync()), Ok(Ok(())))
    }

    /// Lets libvirt keep a running guest in its own state.
    fn save(&self, guest: u8, kind: u8) {
        let status = format!(
            "<domstatus pid='{}'>{}</domstatus>",
            qemu_process(guest),
            domain(guest, kind)
        );
        let path = self
            .paths()
            .running_domains(Driver::Qemu)
            .join(format!("g{guest}.xml"));
        std::fs::write(path, status).expect("libvirt's file");
    }

    /// Lets libvirt keep an active network in its own state.
    fn save_network(&self, name: &str, stdin: &str) {
        let status = stdin.replace("hookData>", "networkstatus>");
        let path = self.paths().libvirt_networks.join(format!("{name}.xml"));
        std::fs::write(path, status).expect("libvirt's file");
    }

    fn forget_network(&self, name: &str) {
        let path = self.paths().libvirt_networks.join(format!("{name}.xml"));
        std::fs::remove_file(path).expect("libvirt's file");
    }

    /// Lets time go by until nothing counts as just starting or compared.
    pub(crate) fn wait(&self) {
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        for (path, _) in files(&self.paths().state) {
            let file = std::fs::File::options().append(true).open(path);
            let aged = file.and_then(|file| file.set_modified(long_ago));
            aged.expect("an old file");
        }
    }

    /// Lets a guest start as libvirt does: whatever refuses it ends with `release`.
    fn start(&mut self, guest: u8, kind: u8) {
        if self.running.contains_key(&guest) {
            return;
        }
        let started = self
            .qemu(guest, kind, DomainOperation::Prepare)
            .and_then(|()| self.qemu(guest, kind, DomainOperation::Start));
        if started.is_ok() {
            self.running.insert(guest, kind);
            self.machine.ended.remove(&qemu_process(guest));
            self.save(guest, kind);
            let _ = self.qemu(guest, kind, DomainOperation::Started);
        } else {
            let _ = self.qemu(guest, kind, DomainOperation::Release);
        }
    }

    fn stop(&mut self, guest: u8) {
        let Some(kind) = self.running.remove(&guest) else {
            return;
        };
        self.machine.ended.insert(qemu_process(guest));
        let _ = self.qemu(guest, kind, DomainOperation::Stopped);
        // Whoever looks now still finds libvirt's file.
        let name = format!("g{guest}").parse().expect("a name");
        if let Ok(settled) = self.engine(|engine| engine.reconcile_domain(Driver::Qemu, &name)) {
            assert_eq!(settled.ok(), Some(None));
        }
        let path = self
            .paths()
            .running_domains(Driver::Qemu)
            .join(format!("g{guest}.xml"));
        std::fs::remove_file(path).expect("libvirt's file");
        let _ = self.qemu(guest, kind, DomainOperation::Release);
    }

    /// Lets a network start as libvirt does: of one that is refused nothing more is heard.
    fn start_network(&mut self, number: u8, policy: usize) {
        if self.active.contains_key(&number) {
            return;
        }
        let stdin = network(number, policy);
        if self.network(NetworkOperation::Start, &stdin).is_ok() {
            self.active.insert(number, policy);
            self.save_network(&format!("p{number}"), &stdin);
            let _ = self.network(NetworkOperation::Started, &stdin);
        }
    }

    pub(crate) fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Start { guest, kind } => self.start(guest, kind),
            Happening::Stop { guest } => self.stop(guest),
            Happening::StartNetwork { network, policy } => self.start_network(network, policy),
            Happening::StopNetwork { network: number } => {
                if let Some(policy) = self.active.remove(&number) {
                    self.forget_network(&format!("p{number}"));
                    let _ = self.network(NetworkOperation::Stopped, &network(number, policy));
                }
            }
            Happening::ChangePolicy {
                network: number,
                policy,
            } => {
                if let Some(present) = self.active.get_mut(&number) {
                    *present = policy;
                    let stdin = network(number, policy);
                    self.save_network(&format!("p{number}"), &stdin);
                    let _ = self.network(NetworkOperation::Updated, &stdin);
                }
            }
            Happening::Edit { guest, kind } => {
                if let Some(running) = self.running.get_mut(&guest) {
                    *running = kind;
                    self.save(guest, kind);
                    let name = format!("g{guest}").parse().expect("a name");
                    let _ = self.engine(|engine| engine.follow_domain(Driver::Qemu, &name));
                }
            }
            Happening::RestartNetwork => {
                self.forget_network("lan");
                let _ = self.network(NetworkOperation::Stopped, NETWORK);
                self.save_network("lan", NETWORK);
                let _ = self.network(NetworkOperation::Started, NETWORK);
            }
            Happening::Flush => self.machine.flush(),
            Happening::Kill { left } => self.left = Some(left),
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
            Happening::RestartDaemon => {
                self.daemon();
                let _ = self.engine(|engine| engine.daemon_is_ready());
            }
            Happening::Reconnect { guest } => {
                if let Some(kind) = self.running.get(&guest) {
                    let _ = self.qemu(guest, *kind, DomainOperation::Reconnect);
                }
            }
            Happening::Sync => {
                let _ = self.engine(|engine| engine.sync());
            }
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

    /// What runs, and all rules and settings of the machine.
    pub(crate) fn picture(&self) -> Vec<String> {
        let machine = &self.machine;
        let mut picture = vec![
            format!("guests {:?}", self.running),
            format!("networks {:?}", self.active),
            format!("loopback {:?}", machine.bridges),
            format!("neighbors {:?}", machine.neighbors),
            format!("proxy_ndp {:?}", machine.proxying),
        ];
        picture.extend(self.rules());
        picture
    }

    pub(crate) fn check(&self) {
        is_same(&self.picture(), &self.fresh().picture(), "");
    }

    /// What is noted of all this; of what libvirt wrote only that it is there.
    pub(crate) fn state(&self) -> Vec<String> {
        let root = self.paths().state;
        let files = files(&root).into_iter();
        // What is read of records already says nothing that they do not.
        let noted = files.filter(|(path, _)| !path.ends_with("claims"));
        let mut state: Vec<String> = noted
            .map(|(path, content)| {
                let name = path.strip_prefix(&root).expect("a path").display();
                let is_noted = content.starts_with(b"{");
                let content = String::from_utf8(content).expect("a text");
                format!("{name} {}", if is_noted { &content } else { "" })
            })
            .collect();
        state.sort();
        state
    }

    /// The same machine once more, to go another way.
    pub(crate) fn copy(&self) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for (path, content) in files(self.root.path()) {
            let to = root
                .path()
                .join(path.strip_prefix(&self.root).expect("a path"));
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            std::fs::write(to, content).expect("a file");
        }
        Self {
            root,
            machine: self.machine.clone(),
            left: self.left,
            running: self.running.clone(),
            active: self.active.clone(),
        }
    }

    /// Whether the same runs on another machine with the same firewall.
    pub(crate) fn runs_as(&self, other: &Self) -> bool {
        let runs = |world: &Self| (world.running.clone(), world.active.clone());
        runs(self) == runs(other) && self.machine.libvirt == other.machine.libvirt
    }

    pub(crate) fn is_active(&self, network: u8) -> bool {
        self.active.contains_key(&network)
    }
}

/// Says what differs, when it does.
pub(crate) fn is_same(is: &[String], expected: &[String], when: &str) {
    let without = |all: &[String], others: &[String]| -> Vec<String> {
        let all = all.iter().filter(|line| !others.contains(line));
        all.cloned().collect()
    };
    let (too_many, missing) = (without(is, expected), without(expected, is));
    assert!(
        is == expected,
        "{when}: too many are {too_many:#?}, missing are {missing:#?}"
    );
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a file").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), std::fs::read(path).expect("a file"))),
        }
    }
    found
}
