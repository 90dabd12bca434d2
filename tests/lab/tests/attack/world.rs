//! The victim, which is served all the time, and the attacker's guest.

use portero_lab::{DomainXml, From, Lab, NetworkXml, Proto, HOST_V4};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The victim's address on network `lan`.
pub const VICTIM: &str = "192.168.50.10";
/// The attacker's.
pub const MALLORY: &str = "192.168.50.66";

const VICTIM_MAC: &str = "52:54:00:00:50:10";
/// The attacker's interface.
pub const MALLORY_MAC: &str = "52:54:00:00:50:66";
/// The interface of a guest that is given no address by the network's definition.
pub const WAITING_MAC: &str = "52:54:00:00:50:77";

/// What a hook may have of memory.
pub const MEMORY: &str = "--as=536870912";

/// What the victim forwards.
const FORWARDS: &str = "
<portero:portForward proto='tcp' guest='192.168.50.10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='udp' guest='192.168.50.10'><portero:range start='8081' to='80'/></portero:portForward>
<portero:portForward proto='sctp' guest='192.168.50.10'><portero:range start='8083' to='80'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10'><portero:range start='8084' to='80'/></portero:portForward>
<portero:portForward proto='tcp'><portero:range start='9000' end='9010'/></portero:portForward>
";

/// What a program came to.
#[derive(Debug)]
pub struct Outcome {
    pub ok: bool,
    pub stderr: String,
    pub took: Duration,
}

impl Outcome {
    /// It succeeded, in a time that does not hold up anybody.
    pub fn works(&self) -> &Self {
        assert!(self.ok, "{self:?}");
        self.in_time()
    }

    /// It was refused, in one line with this in it.
    pub fn is_refused(&self, expected: &str) -> &Self {
        assert!(!self.ok, "it was not refused: {self:?}");
        is_one_line(&self.stderr, expected);
        self.in_time()
    }

    /// It took no longer than the deadline of an event, with some time for a machine that has other
    /// work.
    pub fn in_time(&self) -> &Self {
        assert!(self.took < Duration::from_secs(15), "{self:?}");
        self
    }
}

/// What is said to the user is one line with this in it, and not longer than one can read.
pub fn is_one_line(message: &str, expected: &str) {
    let ours: Vec<&str> = message
        .split('\n')
        .filter(|line| line.contains("portero:"))
        .collect();
    assert_eq!(ours.len(), 1, "{message}");
    let line = ours[0];
    assert!(line.contains(expected), "expected '{expected}' in: {line}");
    let said = line.split("portero: ").skip(1).collect::<String>();
    assert!(said.chars().count() < 1100, "{} characters", said.len());
    is_plain(line);
}

/// No character in it does anything to a terminal or a log.
pub fn is_plain(line: &str) {
    let strange = line.chars().find(|character| {
        let turns = ('\u{202a}'..='\u{202e}').contains(character);
        character.is_control() || turns
    });
    assert_eq!(strange, None, "in: {line:?}");
}

/// The element of one forward.
pub fn forward(attributes: &str, range: &str) -> String {
    format!("<portero:portForward {attributes}><portero:range {range}/></portero:portForward>")
}

/// The lab with both guests, and how many attacks have come to nothing.
pub struct World {
    pub lab: Lab,
    pub refused: u32,
    /// portero.toml as it is installed.
    pub settings: Vec<u8>,
}

/// Where it is.
pub const SETTINGS: &str = "/etc/portero/portero.toml";

impl World {
    /// Starts the networks and the victim.
    pub fn new(lab: Lab) -> Self {
        lab.start_network(&NetworkXml {
            name: "lan",
            mode: "nat",
            number: 50,
            reservations: &[(VICTIM_MAC, 10), (MALLORY_MAC, 66)],
            portero: "",
        });
        lab.start_network(&NetworkXml {
            name: "far",
            mode: "nat",
            number: 60,
            reservations: &[],
            portero: "",
        });
        lab.define(&DomainXml {
            name: "victim",
            nics: &[("lan", VICTIM_MAC)],
            v6: Some((50, 10)),
            portero: FORWARDS,
        });
        lab.virsh(&["start", "victim"]);
        lab.wait_guest(VICTIM);
        let settings = fs::read(SETTINGS).expect("the installed portero.toml");
        let world = Self {
            lab,
            refused: 0,
            settings,
        };
        world.served();
        world
    }

    /// One attack that was run and came to nothing.
    pub fn count(&mut self) {
        self.refused += 1;
    }

    /// The victim is reached by its forwards, as always.
    pub fn served(&self) {
        for (proto, port, answer) in [
            (Proto::Tcp, 8080, "victim tcp 80"),
            (Proto::Udp, 8081, "victim udp 80"),
        ] {
            self.lab
                .answers(From::Outside, proto, HOST_V4, port, answer);
        }
    }

    /// The XML of the attacker's guest with this in its metadata.
    pub fn mallory(&self, portero: &str) -> String {
        self.lab.domain_xml(&DomainXml {
            name: "mallory",
            nics: &[("lan", MALLORY_MAC)],
            v6: Some((50, 66)),
            portero,
        })
    }

    /// Defines the attacker's guest.
    pub fn define(&self, portero: &str) {
        let path = self.lab.file("mallory.xml", &self.mallory(portero));
        self.lab.virsh(&["define", &path]);
    }

    /// Starts it by libvirt.
    pub fn start(&self) -> Outcome {
        let begin = Instant::now();
        let ran = self.lab.try_virsh(&["start", "mallory", "--paused"]);
        Outcome {
            ok: ran.ok,
            stderr: ran.stderr,
            took: begin.elapsed(),
        }
    }

    /// Its end.
    pub fn stop(&self) {
        self.lab.virsh(&["destroy", "mallory"]);
    }

    /// The rules with everything that may come in another order in one.
    pub fn rules(&self) -> Vec<String> {
        let rules = self.lab.rules();
        let parts = rules.replace("elements = {", "\n").replace(',', "\n");
        let trim = |part: &str| part.trim().trim_end_matches('}').trim().to_owned();
        let mut lines: Vec<String> = parts.lines().map(trim).collect();
        lines.retain(|line| !line.is_empty());
        lines.sort();
        lines
    }

    /// Whether any rule leads to an address.
    pub fn leads_to(&self, address: &str) -> bool {
        let rules = self.lab.rules();
        let ends = [":", "\n"].map(|end| format!("--to-destination {address}{end}"));
        let element = format!(" : {address} . ");
        ends.iter().any(|end| rules.contains(end)) || rules.contains(&element)
    }

    /// Every rule is there once, and no other.
    pub fn is_in_order(&self) {
        let plan = self.lab.run("portero", &["plan"]);
        // Its status also tells of those who ask for what they cannot have.
        assert_eq!(plan.stdout, "", "portero plan would change: {plan:?}");
    }

    /// Starts and ends the attacker's guest with this in its metadata by the hooks alone, which have to
    /// give it what it asks for.
    pub fn control(&self, portero: &str) {
        let xml = self.mallory(portero);
        qemu(&[], &xml, "prepare").works();
        qemu(&[], &xml, "start").works();
        assert!(self.leads_to(MALLORY), "nothing leads to it: {portero}");
        qemu(&[], &xml, "stopped").works();
        assert!(!self.leads_to(MALLORY), "something is left: {portero}");
    }

    /// After a failure: shows what may explain it.
    pub fn explain(&self) {
        println!("--- rules\n{}", self.lab.rules());
        let log = self.lab.log();
        let tail = log.iter().rev().take(30).rev();
        for line in tail {
            println!("--- log {}", line.chars().take(400).collect::<String>());
        }
        fs::write(SETTINGS, &self.settings).expect("portero.toml");
        let _ = self.lab.try_virsh(&["destroy", "mallory"]);
        qemu(&[], &self.mallory(""), "stopped");
    }
}

/// Runs the qemu hook as libvirt does, below a wrapper if there is one.
pub fn qemu(wrapper: &[&str], xml: &str, operation: &str) -> Outcome {
    let words = ["mallory", operation, "begin", "-"];
    hook(wrapper, &words, xml.as_bytes())
}

/// Runs the qemu hook with these arguments and stdin, below a wrapper if there is one.
pub fn hook(wrapper: &[&str], arguments: &[&str], stdin: &[u8]) -> Outcome {
    let path = "/run/lab/files/event.xml";
    fs::write(path, stdin).expect("an event");
    let program = "/usr/bin/portero-qemu-hook";
    let words = [wrapper, &[program], arguments].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    run(command.stdin(fs::File::open(path).expect("an event")))
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Outcome {
    let begin = Instant::now();
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.stdout.is_empty(), "something on stdout: {output:?}");
    Outcome {
        ok: output.status.success(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: begin.elapsed(),
    }
}
