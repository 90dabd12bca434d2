//! Two hosts, each with a routed network `lab` and a guest `web`; a machine outside that routes to the office; and Ansible.

use portero_docs::{project, read, Page, Place, Task};
use portero_lab::{
    DomainXml, From, Lab, Machine, NetworkXml, Proto, Second, HOST_V4, OUTSIDE_V4, SECOND_V4,
};
use std::fmt;
use std::fs;
use std::process::Command;

/// The page with the playbooks.
const PAGE: &str = "docs/guide/many-hosts.md";

/// How long a playbook may take, in seconds, beside other suites.
const LIMIT: &str = "400";

const WEB_MAC: &str = "52:54:00:00:50:10";

/// One of the two hosts: as the page calls it, its address and its guest's.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Its name in the inventory.
    pub name: &'static str,
    /// Its address towards the outside.
    pub address: &'static str,
    /// Its guest's address.
    pub guest: &'static str,
    network: u8,
}

/// The host that the playbooks are run on, too.
pub const FIRST: Host = Host {
    name: "kvm1.example.net",
    address: HOST_V4,
    guest: "192.168.50.10",
    network: 50,
};

/// The other.
pub const SECOND: Host = Host {
    name: "kvm2.example.net",
    address: SECOND_V4,
    guest: "192.168.60.10",
    network: 60,
};

/// Both.
pub const HOSTS: [Host; 2] = [FIRST, SECOND];

/// The two hosts, the outside and the office.
pub struct World {
    /// The first host.
    pub first: Lab,
    second: Second,
}

/// What a playbook came to.
pub struct Played {
    /// Whether no task failed.
    pub ok: bool,
    /// What Ansible has printed.
    pub output: String,
}

impl World {
    /// Starts networks and guests, and lets Ansible find the hosts.
    pub fn new(first: Lab, second: Second) -> Self {
        let world = Self { first, second };
        let process = world.second.process();
        for step in [
            "netns add office",
            "-n outside link add office0 type veth peer name eth0 netns office",
            "-n outside address add 198.51.100.1/24 dev office0",
            "-n outside link set office0 up",
            "-n office link set lo up",
            "-n office address add 198.51.100.7/24 dev eth0",
            "-n office link set eth0 up",
            "-n office route add default via 198.51.100.1",
            "-n outside route add 192.168.60.0/24 via 203.0.113.3",
            "netns exec outside sysctl -qw net.ipv4.ip_forward=1",
        ] {
            world.first.ip(step);
        }
        for host in HOSTS {
            let machine = world.at(host);
            machine.ip(&format!("route add 198.51.100.0/24 via {OUTSIDE_V4}"));
            machine.start_network(&NetworkXml {
                name: "lab",
                mode: "route",
                number: host.network,
                reservations: &[(WEB_MAC, 10)],
                portero: "",
            });
            machine.define(&DomainXml {
                name: "web",
                nics: &[("lab", WEB_MAC)],
                v6: None,
                portero: "",
            });
            machine.virsh(&["start", "web"]);
        }
        for host in HOSTS {
            world.at(host).wait_guest(host.guest);
        }
        install_collection();
        let connections = format!(
            "all:\n  hosts:\n    {}:\n      ansible_connection: local\n    {}:\n      ansible_connection: second_host\n      \
             lab_process: {process}\n",
            FIRST.name, SECOND.name
        );
        fs::write("/run/lab/files/connections.yml", connections).expect("an inventory");
        world
    }

    /// A host.
    pub fn at(&self, host: Host) -> &Machine {
        if host.name == FIRST.name {
            &self.first
        } else {
            &self.second
        }
    }

    /// Runs a playbook of the page.
    pub fn play_page(&self, path: &str, options: &[&str]) -> Played {
        let inventory = page_file("/etc/ansible/hosts.yml");
        fs::write("/run/lab/files/hosts.yml", inventory).expect("an inventory");
        self.play(&page_file(path), options)
    }

    /// Runs one task of `portero.libvirt.portero_NAME` on both hosts, with its arguments in YAML's short form.
    pub fn task(&self, name: &str, arguments: &str, options: &[&str]) -> Played {
        let inventory = page_file("/etc/ansible/hosts.yml");
        fs::write("/run/lab/files/hosts.yml", inventory).expect("an inventory");
        let text = format!(
            "- hosts: kvm_hosts\n  tasks:\n    - portero.libvirt.portero_{name}: {{{arguments}}}\n"
        );
        self.play(&text, options)
    }

    fn play(&self, playbook: &str, options: &[&str]) -> Played {
        let core = project().join("target/ansible/core");
        assert!(
            core.join("ansible").is_dir(),
            "{} is missing: run tests/ansible/run core target/ansible",
            core.display()
        );
        fs::write("/run/lab/files/playbook.yml", playbook).expect("a playbook");
        let ran = Command::new("timeout")
            .args([LIMIT, "python3", "-m", "ansible", "playbook"])
            .args(["-i", "/run/lab/files/hosts.yml"])
            .args(["-i", "/run/lab/files/connections.yml"])
            // The lab has no sudo, and is root.
            .args(["--extra-vars", "ansible_become=false"])
            .args(options)
            .arg("/run/lab/files/playbook.yml")
            .env("PYTHONPATH", core)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .env("ANSIBLE_COLLECTIONS_PATH", "/run/lab/files/collections")
            .env(
                "ANSIBLE_CONNECTION_PLUGINS",
                project().join("tests/lab/tests/ansible"),
            )
            .env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3")
            .env("ANSIBLE_GATHERING", "explicit")
            .env("ANSIBLE_NOCOLOR", "1")
            .output()
            .expect("python3");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Played {
            ok: ran.status.success(),
            output: text(&ran.stdout) + &text(&ran.stderr),
        }
    }

    /// Expects a guest's web server at an address and port of each host, for the machine outside.
    pub fn serves(&self, port: u16) {
        for host in HOSTS {
            self.first
                .answers(From::Outside, Proto::Tcp, host.address, port, "web tcp 80");
        }
    }

    /// Expects nobody there.
    pub fn refuses(&self, port: u16) {
        for host in HOSTS {
            self.first
                .refuses(From::Outside, Proto::Tcp, host.address, port);
        }
    }

    /// Rules, files and metadata of both hosts.
    pub fn seen(&self) -> Vec<String> {
        let of = |host: Host| {
            let machine = self.at(host);
            let files = ["-c", "cd /etc/portero && grep -r . domains networks groups"];
            [
                portero_lab::sorted(&machine.rules()).join("\n"),
                machine.run("sh", &files).stdout,
                machine.virsh(&["dumpxml", "web"]),
                machine.virsh(&["dumpxml", "web", "--inactive"]),
                machine.must("ip", &["-brief", "address"]),
            ]
        };
        HOSTS.map(of).concat()
    }

    /// Removes what a scenario has left.
    pub fn clean(&self) {
        let forwards = self.task("forward", "domain: web, state: absent", &[]);
        let network = self.task("policy", "network: lab, state: absent", &[]);
        let group = self.task("policy", "group: office, state: absent", &[]);
        for played in [forwards, network, group] {
            assert!(played.ok, "{played}");
        }
        self.refuses(8080);
    }

    /// After a failure: shows what may explain it.
    pub fn explain(&self) {
        for host in HOSTS {
            let machine = self.at(host);
            println!("--- rules of {}\n{}", host.name, machine.rules());
            println!("--- log of {}\n{}", host.name, machine.log().join("\n"));
            let status = machine.run("portero", &["status"]);
            println!("--- status of {}\n{}", host.name, status.stdout);
        }
    }
}

impl Played {
    /// What the recap counts for a host, `changed` for example.
    pub fn count(&self, host: Host, what: &str) -> u32 {
        let (_, recap) = self.output.split_once("PLAY RECAP").unwrap_or_default();
        let mut lines = recap.lines();
        let line = lines.find(|line| line.starts_with(host.name));
        let mut words = line.unwrap_or_default().split_whitespace();
        let count = words.find_map(|word| word.strip_prefix(what)?.strip_prefix('='));
        let count = count.and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("no {what} of {} in the recap: {self}", host.name))
    }

    /// Expects success, and this many changed tasks on each host.
    pub fn changes(&self, count: u32) {
        assert!(self.ok, "{self}");
        for host in HOSTS {
            assert_eq!(self.count(host, "changed"), count, "{self}");
        }
    }
}

impl fmt::Display for Played {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.output)
    }
}

/// A file that the page shows.
fn page_file(path: &str) -> String {
    let page = Page::parse(&read(PAGE).expect("the page"));
    let mut files = page.blocks.into_iter().filter_map(|block| {
        let task = block.expect("a block").task;
        match task {
            Task::Put {
                place: Place::File { path },
                text,
            } => Some((path, text)),
            _ => None,
        }
    });
    let found = files.find(|(known, _)| known == path);
    found.unwrap_or_else(|| panic!("{PAGE} has no {path}")).1
}

/// Where Ansible looks for collections, with the project's own.
fn install_collection() {
    let folder = "/run/lab/files/collections/ansible_collections/portero";
    fs::create_dir_all(folder).expect("a folder of collections");
    let here = project().join("plugins/ansible");
    std::os::unix::fs::symlink(here, format!("{folder}/libvirt")).expect("the collection");
}
