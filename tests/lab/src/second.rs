//! A second host on the LAN of the first, with a libvirt of its own: guests can migrate to it.

use crate::daemons::{self, Clients, Daemons};
use crate::host;
use crate::lab::{furnish, install, AGENT};
use crate::machine::Machine;
use crate::{guest, Lab, Options};
use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The second host's IPv4 address towards the outside.
pub const SECOND_V4: &str = "203.0.113.3";
/// The second host's IPv6 address towards the outside.
pub const SECOND_V6: &str = "2001:db8:113::3";

/// Set for the process that the second host lives in.
const SECOND: &str = "PORTERO_LAB_SECOND";

/// What that process says when it has namespaces of its own.
const ENTERED: &str = "entered";

/// What it says when libvirtd has been started.
const READY: &str = "ready";

/// What a daemon says that others connect to, and that is not on the same machine as they are.
const REACHABLE: &str = r#"listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
host_uuid = "5ec0d000-0000-4000-8000-000000000002"
"#;

/// The second host.
#[derive(Debug)]
pub struct Second {
    machine: Machine,
    process: Child,
}

impl Deref for Second {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

/// A second host that is still being made.
#[derive(Debug)]
pub struct Coming {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Second {
    /// Begins to make it, before the first host takes the root for itself. In the second host's own
    /// process, which is the present program anew, this does not return.
    ///
    /// # Panics
    /// When there is no process for it.
    #[must_use]
    pub fn begin(options: &Options) -> Coming {
        if std::env::var_os(SECOND).is_some() {
            live(options);
        }
        let program = std::env::current_exe().expect("the path of this program");
        let mut process = Command::new("unshare")
            .args(["--mount", "--net", "--uts", "--"])
            .arg(program)
            .env(SECOND, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process for the second host");
        let output = process.stdout.take().expect("what it says");
        let mut coming = Coming {
            process,
            says: BufReader::new(output),
        };
        // By then it has a root of its own.
        coming.hear(ENTERED);
        coming
    }
}

impl Second {
    /// The process whose namespaces it is.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Coming {
    fn hear(&mut self, word: &str) {
        let mut said = String::new();
        let read = self.says.read_line(&mut said);
        assert!(
            read.is_ok() && said.trim() == word,
            "the second host says '{said}', expected '{word}'"
        );
    }

    /// Waits until it is there, and joins it to the LAN of the first.
    ///
    /// # Panics
    /// When it is not made.
    #[must_use]
    pub fn join(mut self, lab: &Lab) -> Second {
        self.hear(READY);
        let Self { process, .. } = self;
        let pid = process.id();
        let image = guest::image(Path::new("/run/lab/files"));
        let machine = Machine::new(Some(pid), AGENT.into(), image, lab.backend());
        connect(lab, &machine, pid);
        machine.wait_for_libvirtd();
        Second { machine, process }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What was a line from the first host to the machine outside becomes a LAN of the three.
fn connect(lab: &Lab, second: &Machine, process: u32) {
    let process = process.to_string();
    let (outside_v4, outside_v6) = (
        format!("{}/24", crate::OUTSIDE_V4),
        format!("{}/64", crate::OUTSIDE_V6),
    );
    let outside: [&[&str]; 10] = [
        &["link", "add", "lan", "type", "bridge"],
        &["address", "flush", "dev", "eth0"],
        &["link", "set", "eth0", "master", "lan"],
        &["address", "add", &outside_v4, "dev", "lan"],
        &["address", "add", &outside_v6, "dev", "lan", "nodad"],
        &["link", "set", "lan", "up"],
        &[
            "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", &process,
        ],
        &["link", "set", "eth1", "master", "lan", "up"],
        &["route", "replace", "default", "via", crate::HOST_V4],
        &["route", "replace", "default", "via", crate::HOST_V6],
    ];
    for step in outside {
        let _ = lab.must("ip", &[&["-n", "outside"], step].concat());
    }
    let (v4, v6) = (format!("{SECOND_V4}/24"), format!("{SECOND_V6}/64"));
    let there: [&[&str]; 3] = [
        &["address", "add", &v4, "dev", "eth0"],
        &["address", "add", &v6, "dev", "eth0", "nodad"],
        &["link", "set", "eth0", "up"],
    ];
    for step in there {
        let _ = second.must("ip", step);
    }
}

/// The second host's process: makes it, says so, and ends it when nobody needs it any more.
fn live(options: &Options) -> ! {
    println!("{ENTERED}");
    host::must("hostname", &["second"]);
    furnish(options, host::make_second);
    daemons::configure(REACHABLE);
    install();
    let daemons = Daemons::start(Clients::Remote);
    println!("{READY}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(daemons);
    std::process::exit(0);
}
