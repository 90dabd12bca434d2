//! Runs the corpus in tests/bridge: a folder for each set of ifcfg files, with what is wanted in
//! `case` and what comes of it in `expected`. `PORTERO_CASES=accept` writes down what comes of it
//! now.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod readers;

use portero_host_bridge::{
    plan, Bridge, BridgeError, BridgePlan, FileChange, HostFiles, HostNic, Ifcfg, Manager, NicKind,
    NicState, OwnerError, Says, Stp,
};
use readers::{readers, Question};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bridge");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("tests/bridge")
        .map(|entry| entry.expect("a case").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 250, "only {} cases", cases.len());
    let accepts = std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept");
    let mut failed = Vec::new();
    for case in cases {
        let (transcript, faults) = run(&case);
        failed.extend(faults);
        let path = case.join("expected");
        if accepts {
            fs::write(&path, &transcript).expect("expected");
        } else if fs::read_to_string(&path).unwrap_or_default() != transcript {
            failed.push(format!("--- {}\n{transcript}", case.display()));
        }
    }
    assert!(failed.is_empty(), "not as expected:\n{}", failed.join("\n"));
}

/// What a case asks for.
struct Case {
    bridge: Bridge,
    nics: Vec<HostNic>,
    files: HostFiles,
    /// NICs, each with a program that has it up.
    has: Vec<(String, String)>,
}

impl Case {
    fn plan(&self) -> Result<BridgePlan, BridgeError> {
        plan(&self.bridge, None, &self.files, &self.nics)
    }

    fn compared<'a>(&'a self, plan: &'a BridgePlan) -> Compared<'a> {
        Compared {
            bridge: &self.bridge,
            nics: &self.nics,
            before: &self.files,
            plan,
        }
    }
}

/// `case` says what it is about in comments, then `bridge NAME [stp]`, and for each NIC of the host
/// `nic NAME MAC [in MASTER | wireless]`, with what its files do not say as `state`; `has NIC PROGRAM` asks which
/// program is called where these have it up. Those in the bridge are said as `port NAME`.
fn load(case: &Path) -> Case {
    let text = fs::read_to_string(case.join("case")).expect("case");
    assert!(text.starts_with("# "), "{} says nothing", case.display());
    let (mut nics, mut ports, mut name, mut stp) = (Vec::new(), Vec::new(), None, Stp::Off);
    let mut has = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["bridge", word, rest @ ..] => {
                name = Some(word.parse().expect("a bridge's name"));
                if rest == ["stp"] {
                    stp = Stp::On;
                }
            }
            ["port", word] => ports.push(word.parse().expect("a port's name")),
            ["nic", word, mac, rest @ ..] => nics.push(HostNic {
                name: word.parse().expect("a NIC's name"),
                mac: mac.parse().ok(),
                master: match rest {
                    ["in", master] => Some((*master).to_owned()),
                    _ => None,
                },
                kind: match rest {
                    ["wireless"] => NicKind::Wireless,
                    _ => NicKind::Wired,
                },
                state: NicState::default(),
            }),
            ["has", nic, program @ ..] => has.push(((*nic).to_owned(), program.join(" "))),
            ["state", word, rest @ ..] => {
                let known = nics.iter_mut().find(|nic| nic.name.as_str() == *word);
                known.expect("a NIC before its state").state = state(rest);
            }
            [] => {}
            other => panic!("{}: {other:?}", case.display()),
        }
    }
    let bridge = Bridge {
        name: name.expect("a bridge"),
        nics: ports,
        stp,
    };
    Case {
        bridge,
        nics,
        files: files(case),
        has,
    }
}

/// What comes of a case, and what is wrong with that.
fn run(path: &Path) -> (String, Vec<String>) {
    let case = load(path);
    match case.plan() {
        Ok(plan) => {
            for change in &plan.changes {
                is_read_alike_by_a_shell(path, change);
            }
            let compared = case.compared(&plan);
            let mut faults = compared.differences(&compared.after());
            if faults.is_empty() {
                faults = compared.control();
            }
            let place = path.file_name().expect("a name").to_string_lossy();
            let faults = faults.iter().map(|fault| format!("{place}: {fault}"));
            (
                show_manager(&plan, &case.has) + &show(&plan),
                faults.collect(),
            )
        }
        Err(error) => (format!("refused: {error}\n"), Vec::new()),
    }
}

/// Plans that were once made, or that somebody could make: each is wrong for a reader, which says why.
#[test]
fn wrong_plans_are_noticed() {
    const SCRIPTS: &str = "sysconfig/network-scripts";
    for (name, file, from, to, reason) in [
        ("221-dhcp-no-ipv6init-scripts", "ifcfg-br0", "NM_CONTROLLED=no", "NM_CONTROLLED=no\nIPV6INIT=no", "initscripts: ipv6 is lost"),
        ("222-static-no-ipv6init-both", "ifcfg-br0", "PREFIX=24", "PREFIX=24\nIPV6INIT=yes", "NetworkManager: ipv6 is ignored is lost"),
        ("201-alias-with-parents-mask", "ifcfg-br0", "PREFIX=25", "PREFIX=24", "initscripts: alias *:0 [\"192.0.2.21\"]/24"),
        ("211-other-file-name-routes-by-device", "route-br0", "10.0.0.0/8 via 192.0.2.254\n", "", "initscripts: route 10.0.0.0/8 via 192.0.2.254 is lost"),
        ("228-routing-rules-of-networkmanager", "ifcfg-br0", "iif br0", "iif eth0", "NetworkManager: ROUTING_RULE_1 priority 100 from 192.0.2.10/32 iif * table 100 is lost"),
        ("230-stp-static", "ifcfg-br0", "STP=yes", "STP=yes\nDELAY=0", "NetworkManager: no connection: the forward delay is out of range is new"),
        ("232-gateway0-of-networkmanager", "ifcfg-br0", "GATEWAY0", "GATEWAY", "NetworkManager: ipv4 false gateway Some(\"192.0.2.1\") is lost"),
        ("236-metric-of-the-second-nic", "ifcfg-br0", "IPV4_ROUTE_METRIC=101\n", "", "NetworkManager: ipv4 metric 425 is new"),
        ("244-nozeroconf", "ifcfg-br0", "NOZEROCONF=yes\n", "", "initscripts: route 169.254.0.0/16 is new"),
        ("03-static-prefix", "ifcfg-eth0", "BRIDGE=br0", "BRIDGE=br1", "initscripts: eth0 is in Some(\"br1\")"),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bridge");
        let case = load(&folder.join(name));
        let plan = case.plan().expect("a plan");
        let compared = case.compared(&plan);
        let mut after = compared.after();
        let path = format!("{SCRIPTS}/{file}");
        let text = after.get(&path).expect("the file").to_owned();
        assert!(text.contains(from), "{name}: {text}");
        after.insert(path, text.replace(from, to));
        let differences = compared.differences(&after).join("\n");
        assert!(differences.contains(reason), "{name}: {differences}");
    }
}

/// A plan, and what readers make of the files before and after it.
struct Compared<'a> {
    bridge: &'a Bridge,
    nics: &'a [HostNic],
    before: &'a HostFiles,
    plan: &'a BridgePlan,
}

impl Compared<'_> {
    fn after(&self) -> HostFiles {
        let mut after = HostFiles::default();
        let is_changed = |path: &str| self.plan.changes.iter().any(|change| change.path == path);
        for (path, text) in self.before.iter().filter(|(path, _)| !is_changed(path)) {
            after.insert(path, text);
        }
        for FileChange {
            path, after: text, ..
        } in &self.plan.changes
        {
            if let Some(text) = text {
                after.insert(path, text);
            }
        }
        after
    }

    fn nic(&self, index: usize) -> &HostNic {
        let mut nics = self.nics.iter();
        nics.find(|nic| nic.name == self.bridge.nics[index])
            .expect("the NIC")
    }

    /// Where a reader makes something else of the files after than of those before. What the plan warns of
    /// is an identity, and only that may differ.
    fn differences(&self, after: &HostFiles) -> Vec<String> {
        let mut differences = Vec::new();
        let bridge = self.bridge.name.as_str();
        let is_warned = self.plan.warnings.iter().any(|warning| {
            warning.contains("is another than that of") || warning.contains("can get another")
        });
        let mut is_true = !is_warned;
        for reader in readers(self.plan.renderer) {
            let read = |files, name, index| {
                (reader.read)(&Question {
                    files,
                    name,
                    nic: self.nic(index),
                })
            };
            let is = read(after, bridge, 0).facts;
            let was = read(self.before, self.bridge.nics[0].as_str(), 0).facts;
            let mut changed: Vec<&String> = was.symmetric_difference(&is).collect();
            // A command that names the NIC in words of its own is told, and goes as it is.
            let has_command = self
                .plan
                .warnings
                .iter()
                .any(|warning| warning.contains("the command names"));
            changed.retain(|fact| !has_command || !fact.contains(" logger "));
            if is_warned {
                is_true |= changed.iter().any(|fact| fact.starts_with("identity: "));
                changed.retain(|fact| !fact.starts_with("identity: "));
            }
            let said = |fact: &&String| {
                if is.contains(*fact) {
                    "is new"
                } else {
                    "is lost"
                }
            };
            differences.extend(
                changed
                    .iter()
                    .map(|fact| format!("{}: {fact} {}", reader.name, said(fact))),
            );
            for (index, nic) in self.bridge.nics.iter().enumerate() {
                let (port, own) = (
                    read(after, nic.as_str(), index),
                    read(self.before, nic.as_str(), index),
                );
                if port.master.as_deref() != Some(bridge) {
                    differences.push(format!("{}: {nic} is in {:?}", reader.name, port.master));
                }
                let with_ip = port.facts.iter().filter(|fact| *fact != "unmanaged");
                differences
                    .extend(with_ip.map(|fact| format!("{}: {nic} has {fact}", reader.name)));
                let lost = own.link.difference(&port.link);
                differences
                    .extend(lost.map(|fact| format!("{}: {nic} has lost {fact}", reader.name)));
            }
        }
        if !is_true {
            differences.push(format!("stays the same: {:?}", self.plan.warnings));
        }
        differences
    }

    /// Whether readers noticed a line among those before; one of the plan's own they have to.
    fn was_read(&self, line: &str) -> bool {
        let has = |text: &str| text.lines().any(|known| known == line);
        let Some((path, text)) = self.before.iter().find(|(_, text)| has(text)) else {
            return true;
        };
        let mut without = self.before.clone();
        let lines = text.lines().filter(|known| *known != line);
        without.insert(
            path,
            lines.map(|line| format!("{line}\n")).collect::<String>(),
        );
        readers(self.plan.renderer).iter().any(|reader| {
            let read = |files| {
                (reader.read)(&Question {
                    files,
                    name: self.bridge.nics[0].as_str(),
                    nic: self.nic(0),
                })
                .facts
            };
            read(self.before) != read(&without)
        })
    }

    /// Readers notice it when a line is not there that any of them reads: what they made of the files is no
    /// accident.
    fn control(&self) -> Vec<String> {
        let mut unread = Vec::new();
        for FileChange {
            path, after: text, ..
        } in &self.plan.changes
        {
            let lines: Vec<&str> = text.as_deref().unwrap_or_default().lines().collect();
            for (index, line) in lines.iter().enumerate().filter(|(_, line)| matters(line)) {
                let mut without = lines.clone();
                without.remove(index);
                let mut after = self.after();
                after.insert(path, without.join("\n") + "\n");
                if self.differences(&after).is_empty() && self.was_read(line) {
                    unread.push(format!("nobody reads '{line}' of {path}"));
                }
            }
        }
        unread
    }
}

/// Whether a line says an address, a route, a rule or a master, in any format.
fn matters(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let starts = [
        "ipaddr",
        "gateway",
        "bridge=",
        "ipv6addr",
        "macaddr=",
        "master=",
        "address",
        "gateway",
        "bridge_ports",
        "dns",
        "route",
        "default via",
        "from ",
        "routing_rule",
        "iif ",
        "ipv4_route_metric",
        "dhcpv6_iaid",
        "dhcp=",
    ];
    starts.iter().any(|start| line.starts_with(start))
}

/// What follows `state NAME`: `metric NUMBER`, `iaid NUMBER` and `slaac ADDRESS`, in any order.
fn state(words: &[&str]) -> NicState {
    let mut state = NicState::default();
    for pair in words.chunks(2) {
        match pair {
            ["metric", number] => {
                state.metric = Some(number.parse().expect("a number"));
                state.metric_v6 = state.metric;
            }
            ["iaid", number] => state.iaid = Some(number.parse().expect("a number")),
            ["slaac", address] => state.slaac.push(address.parse().expect("an address")),
            other => panic!("{other:?}"),
        }
    }
    state
}

/// initscripts source the files: a real shell has to find the values that were meant.
fn is_read_alike_by_a_shell(case: &Path, change: &FileChange) {
    let Some(after) = &change.after else {
        return;
    };
    if !change.path.contains("/ifcfg-") {
        return;
    }
    let file = Ifcfg::parse(after).expect("what was written can be read");
    let place = format!("{} {}", case.display(), change.path);
    let keys: Vec<&str> = after
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('=').map(|(key, _)| key))
        .collect();
    let prints: String = keys
        .iter()
        .map(|key| format!("printf '%s\\n' \"${key}\"\n"))
        .collect();
    let output = Command::new("bash")
        .args(["-e", "-u", "-c", &format!("{after}{prints}")])
        .env_clear()
        .output()
        .expect("bash");
    assert!(output.status.success(), "{place}: {output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let values: Vec<&str> = said.lines().collect();
    for (key, value) in keys.iter().zip(values) {
        let written = after
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        // What is kept as it is written is nobody's to read.
        let is_verbatim =
            written == file.get(key) && written.is_some_and(|text| text.contains(['$', '\\', '"']));
        assert!(
            is_verbatim || file.get(key) == Some(value),
            "{place}: {key}"
        );
    }
}

/// The files below the case's `etc`.
fn files(case: &Path) -> HostFiles {
    let etc = case.join("etc");
    let mut files = HostFiles::default();
    let mut folders = vec![etc.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&etc).expect("below etc");
            files.insert_bytes(name.to_string_lossy(), &fs::read(&path).expect("a file"));
        }
    }
    files
}

/// The program that is called, where the case says which have the NICs up.
fn show_manager(plan: &BridgePlan, has: &[(String, String)]) -> String {
    if has.is_empty() {
        return String::new();
    }
    let manager = Manager::choose(plan, |owner, nic| -> Result<Says, OwnerError> {
        let mut has = has.iter();
        let is_up = has.any(|(known, program)| known == nic && *program == owner.to_string());
        Ok(if is_up { Says::Has } else { Says::IsAbsent })
    });
    match manager {
        Ok(manager) => format!("{manager:?} brings it up\n"),
        Err(error) => format!("refused: {error}\n"),
    }
}

fn show(plan: &BridgePlan) -> String {
    let mut text = String::new();
    for (nic, owner) in &plan.owners {
        if let Some(owner) = owner {
            text += &format!("{nic} is left to {owner}\n");
        }
    }
    for warning in &plan.warnings {
        text += &format!("warning: {warning}\n");
    }
    for change in &plan.changes {
        match &change.after {
            Some(after) => text += &format!("== {}\n{after}", change.path),
            None => text += &format!("== {} is removed\n", change.path),
        }
    }
    text
}
