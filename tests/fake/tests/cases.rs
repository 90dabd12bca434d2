//! Runs the cases in tests/cases: a folder for each, with events, their input, and what comes of
//! them. `PORTERO_CASES=accept` writes down what comes of them now.

use portero_engine::Engine;
use portero_fake::Machine;
use portero_firewall::Firewall;
use portero_libvirt::{DaemonOperation, Driver, Hook, OnFailure};
use portero_model::{Neighbor, Tap};
use portero_port_forward::Listener;
use portero_system::{Log, LogSink, Paths, Severity};
use portero_xml::Element;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The process of whatever guest libvirt has saved.
const PROCESS: u32 = 4242;

/// A case while it runs.
struct Case {
    folder: PathBuf,
    common: PathBuf,
    root: tempfile::TempDir,
    machine: Machine,
    transcript: String,
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let mut names: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("tests/cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.join("steps").exists())
        .collect();
    names.sort();
    assert!(names.len() >= 10, "cases are missing: {names:?}");
    let accepts = std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept");
    let mut failed = Vec::new();
    for case in &names {
        let transcript = run(case, &folder.join("common"));
        let path = case.join("expected");
        if accepts {
            fs::write(&path, &transcript).expect("expected");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if transcript != expected {
            println!("--- {}\n{transcript}", case.display());
            failed.push(case.file_name().expect("a name"));
        }
    }
    assert!(failed.is_empty(), "not as expected: {failed:?}");
}

fn run(folder: &Path, common: &Path) -> String {
    let mut case = Case {
        folder: folder.to_owned(),
        common: common.to_owned(),
        root: tempfile::tempdir().expect("a folder"),
        machine: Machine::default(),
        transcript: String::new(),
    };
    case.machine.bridges.insert("br-lan".to_owned(), false);
    case.configure();
    let steps = fs::read_to_string(folder.join("steps")).expect("steps");
    for step in steps.lines() {
        match step.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            words => {
                let _ = writeln!(case.transcript, "> {step}");
                case.step(words);
            }
        }
    }
    let _ = write!(case.transcript, "= rules\n{}", case.machine.rules());
    for Neighbor { dev, address } in &case.machine.neighbors {
        let _ = writeln!(case.transcript, "= answers for {address} on {dev}");
    }
    for dev in &case.machine.proxying {
        let _ = writeln!(case.transcript, "= proxy_ndp of {dev} is on");
    }
    let root = case.root.path().display().to_string();
    case.transcript.replace(&root, "")
}

impl Case {
    fn paths(&self) -> Paths {
        Paths::below(self.root.path())
    }

    /// Copies the case's `etc` to where the engine looks for it.
    fn configure(&self) {
        for folder in ["", "domains", "networks", "groups"] {
            let from = self.folder.join("etc").join(folder);
            fs::create_dir_all(self.paths().config.join(folder)).expect("a folder");
            for entry in fs::read_dir(from).into_iter().flatten() {
                let path = entry.expect("a file").path();
                if path.is_file() {
                    let name = path.file_name().expect("a name");
                    self.put(&Path::new(folder).join(name), &path);
                }
            }
        }
    }

    /// Copies a file to a place below /etc/portero.
    fn put(&self, place: &Path, from: &Path) {
        let to = self.paths().config.join(place);
        fs::copy(from, &to).expect("a copy");
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&to, mode).expect("its mode");
    }

    /// Writes what libvirt keeps of an active network.
    fn tell_status(&self, name: &str, file: &str) {
        let input = String::from_utf8(self.input(file)).expect("text");
        let status = input.replace("hookData>", "networkstatus>");
        let folder = self.paths().libvirt_networks;
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{name}.xml")), status).expect("a status file");
    }

    fn input(&self, name: &str) -> Vec<u8> {
        let own = self.folder.join(name);
        let path = if own.exists() {
            own
        } else {
            self.common.join(name)
        };
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn step(&mut self, words: &[&str]) {
        match words {
            ["firewall", "nftables"] => self.machine.use_nftables(),
            ["firewall", "iptables"] => self.machine.use_iptables(),
            ["put", place, file] => self.put(Path::new(place), &self.folder.join(file)),
            ["remove", place] => {
                fs::remove_file(self.paths().config.join(place)).expect("a file");
            }
            ["status", name, file] => self.tell_status(name, file),
            ["stranger", address] => {
                let address = address.parse().expect("an address");
                self.machine.strangers.push(address);
            }
            ["libvirt", "without", "networks"] => self.machine.forget_libvirt(),
            ["libvirt", "has", "nftables"] => self.machine.start_libvirt(Firewall::Nftables),
            ["libvirt", "has", "iptables"] => self.machine.start_libvirt(Firewall::Iptables),
            ["flush"] => self.machine.flush(),
            ["tap", name, mac, "in", bridge] => self.tap(name, mac, Some(bridge)),
            ["tap", name, mac, "in", "no", "bridge"] => self.tap(name, mac, None),
            ["tap", name, "gone"] => self.machine.taps.retain(|tap, _| tap.name != *name),
            ["fail", "commit", number] => {
                let number: usize = number.parse().expect("a number");
                self.machine.failing = number - 1..number;
            }
            ["listening", protocol, address, port] => self.machine.listeners.push(Listener {
                protocol: protocol.parse().expect("a protocol"),
                address: address.parse().expect("an address"),
                port: port.parse().expect("a port"),
                program: None,
            }),
            ["lease", bridge, file] => {
                let folder = self.paths().leases;
                fs::create_dir_all(&folder).expect("a folder");
                let path = folder.join(format!("{bridge}.status"));
                fs::write(path, self.input(file)).expect("a lease");
            }
            // libvirt's own file of a running guest.
            ["saved", file] => self.save(file),
            // The end of a container's pair, which nothing but its name tells.
            ["pair", name, mac, "in", bridge] => {
                self.machine.pairs.insert((*name).to_owned());
                self.tap(name, mac, Some(bridge));
            }
            ["follow", name] => self.follow(Driver::Qemu, name),
            ["follow", "lxc", name] => self.follow(Driver::Lxc, name),
            ["ended"] => {
                self.machine.ended.insert(PROCESS);
            }
            ["administrator", name, file @ ..] => {
                let path = self.paths().config.join(format!("domains/{name}.xml"));
                match file {
                    [file] => fs::write(path, self.input(file)).expect("a file"),
                    _ => fs::remove_file(path).expect("a file"),
                }
            }
            ["killed"] => {
                let _ = fs::remove_file(self.paths().state.join("clean"));
            }
            ["portero", command] => self.command(command),
            ["daemon", "is", "ready"] => {
                let ready = self.with_engine(|engine| engine.daemon_is_ready());
                ready.expect("compared");
            }
            ["daemon", operation] => self.event(Hook::Daemon, operation, &[]),
            [hook, operation, file] => {
                let stdin = self.input(file);
                let hook = match *hook {
                    "qemu" => Hook::Domain(Driver::Qemu),
                    "lxc" => Hook::Domain(Driver::Lxc),
                    "network" => Hook::Network,
                    other => panic!("{other} is no hook"),
                };
                self.event(hook, operation, &stdin);
            }
            other => panic!("{other:?} is no step"),
        }
    }

    fn tap(&mut self, name: &str, mac: &str, bridge: Option<&str>) {
        let tap = Tap {
            name: name.to_owned(),
            mac: mac.to_owned(),
        };
        self.machine.taps.insert(tap, bridge.map(str::to_owned));
    }

    fn event(&mut self, hook: Hook, operation: &str, stdin: &[u8]) {
        assert!(
            hook != Hook::Daemon
                || !matches!(
                    DaemonOperation::from(operation),
                    DaemonOperation::Unknown(_)
                )
        );
        let result = match hook.event(operation, stdin) {
            Ok(None) => Ok(()),
            Ok(Some(event)) => self.with_engine(|engine| {
                engine
                    .handle(&event, stdin)
                    .map_err(|error| error.to_string())
            }),
            Err(error) => Err(error.to_string()),
        };
        let line = match (result, hook.on_failure(operation)) {
            (Ok(()), _) => "exit 0".to_owned(),
            (Err(error), OnFailure::Refuse) => format!("exit 1: {error}"),
            (Err(error), OnFailure::Log) => format!("exit 0, logged: {error}"),
        };
        self.transcript += &format!("{line}\n");
    }

    fn save(&self, file: &str) {
        let domain = String::from_utf8(self.input(file)).expect("a text");
        let name = domain
            .split("<name>")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        let root = Element::parse(domain.as_bytes()).expect("XML");
        let driver = Driver::of_type(root.attribute("type"));
        let folder = self.paths().running_domains(driver);
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{}.xml", name.expect("a name")));
        let status = format!("<domstatus state='running' pid='{PROCESS}'>\n{domain}</domstatus>\n");
        fs::write(path, status).expect("libvirt's file");
    }

    fn follow(&mut self, driver: Driver, name: &str) {
        let name = name.parse().expect("a name");
        let followed = self.with_engine(|engine| {
            engine.follow_domain(driver, &name)?;
            engine.reconcile_domain(driver, &name)
        });
        self.transcript += &match followed {
            Ok(None) => "has nothing\n".to_owned(),
            Ok(Some(record)) => format!("has {} claims\n", record.ruleset.claims.len()),
            Err(error) => format!("error: {error}\n"),
        };
    }

    fn command(&mut self, command: &str) {
        let text = self.with_engine(|engine| match command {
            "sync" => engine.sync().map(|()| String::new()),
            "plan" => engine.plan().map(|scripts| {
                let texts = scripts.iter().map(|script| script.text());
                texts.collect()
            }),
            other => panic!("{other} is no command"),
        });
        match text {
            Ok(text) => self.transcript += &text,
            Err(error) => self.transcript += &format!("error: {error}\n"),
        }
    }

    /// Lets the engine work, and writes down what it logs and commits.
    fn with_engine<T>(&mut self, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
        let paths = self.paths();
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        self.machine.committed.clear();
        let result = work(&mut Engine::new(paths, &mut self.machine, &mut log));
        for message in log.messages() {
            let severity = match message.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
                Severity::Debug => "debug",
            };
            // How long it took is another time each time.
            let text = match message.text.split_once(" restored in ") {
                Some((before, _)) => format!("{before} restored"),
                None => message.text.clone(),
            };
            let _ = writeln!(self.transcript, "{severity}: {text}");
        }
        for script in &self.machine.committed {
            let tool = script.tool;
            let arguments = tool.arguments().join(" ");
            let _ = write!(
                self.transcript,
                "$ {} {arguments}\n{}",
                tool.program(),
                script.text()
            );
        }
        for flow in self.machine.forgotten.drain(..) {
            let _ = writeln!(
                self.transcript,
                "forgets {} port {} to {}",
                flow.protocol, flow.ports, flow.guest
            );
        }
        result
    }
}
