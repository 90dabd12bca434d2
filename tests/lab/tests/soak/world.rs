//! A host with one real guest and many recorded ones, and what has to be in its firewall.

use crate::act::{Act, Done};
use crate::calm::Calm;
use crate::forward::{Forward, Place};
use crate::frames::Frames;
use crate::recorded::{Around, Guest, Network};
use crate::view::{Family, View};
use crate::{iptables, nftables};
use fastrand::Rng;
use portero_lab::{Backend, DomainXml, Lab, NetworkXml, Program};
use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::Duration;

/// How many recorded networks there are.
pub const NETWORKS: usize = 20;

/// How many recorded guests can run.
pub const GUESTS: usize = 200;

/// The port of the host by which the real guest is reached.
pub const WEB_PORT: u16 = 8080;

/// The address of the real guest.
const WEB: &str = "192.168.50.10";

/// The MAC address of the real guest.
const WEB_MAC: &str = "52:54:00:00:50:10";

/// What has happened.
#[derive(Debug, Default)]
pub struct Counts {
    /// Steps.
    pub events: u32,
    /// Hooks, with what came of them.
    pub hooks: Done,
    /// How often rules were thrown away.
    pub flushes: u32,
    /// How often the firewall was compared with what has to be there.
    pub comparisons: u32,
    /// Rows that were there and had to be, all comparisons together.
    pub rows: usize,
    /// How often portero-watch was killed.
    pub watch_kills: u32,
    /// The longest time until portero-watch had mended something.
    pub longest_turn: Duration,
}

/// The host.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// Where chance comes from.
    pub rng: Rng,
    /// The recorded guests.
    pub guests: Vec<Guest>,
    /// Their networks.
    pub networks: Vec<Network>,
    /// Processes that stand for the guests' QEMUs.
    pub processes: BTreeMap<usize, Child>,
    /// portero-watch, while it runs.
    pub watch: Option<Program>,
    /// Whether libvirt's rules are there.
    pub libvirt_stands: bool,
    /// libvirt's rules with nothing of portero's, as the firewall's program reads them.
    pub libvirt: BTreeMap<&'static str, String>,
    /// Rows of others that have to be there.
    pub extra: View,
    /// Who asks the real guest all the time.
    pub calm: Calm,
    /// What has happened.
    pub counts: Counts,
    foreign: Vec<String>,
    frames: Frames,
    before: Before,
}

/// What has to be again at the end.
struct Before {
    foreign: Vec<String>,
    settings: String,
    files: Vec<String>,
}

impl World {
    /// Starts the real network and notes how the host is; then the real guest.
    pub fn new(lab: Lab) -> Self {
        lab.start_network(&NetworkXml {
            name: "lan",
            mode: "nat",
            number: 50,
            reservations: &[(WEB_MAC, 10)],
            portero: "",
        });
        let networks: Vec<Network> = (0..NETWORKS)
            .map(|number| Network::new(number, GUESTS / NETWORKS))
            .collect();
        for network in &networks {
            lab.must("ip", &["link", "add", &network.bridge(), "type", "bridge"]);
        }
        fs::create_dir_all("/run/libvirt/network").expect("libvirt's folder");
        let mut world = Self {
            libvirt: saved(&lab),
            lab,
            rng: Rng::with_seed(0),
            guests: (0..GUESTS)
                .map(|number| Guest::new(number, NETWORKS))
                .collect(),
            networks,
            processes: BTreeMap::new(),
            watch: None,
            libvirt_stands: true,
            extra: View::default(),
            calm: Calm::default(),
            counts: Counts::default(),
            foreign: Vec::new(),
            frames: Frames::default(),
            before: Before {
                foreign: Vec::new(),
                settings: settings(),
                files: Vec::new(),
            },
        };
        let (view, foreign) = world.read();
        assert_eq!(view.len(), 0, "the firewall is not empty: {view:?}");
        world.before.foreign.clone_from(&foreign);
        world.foreign = foreign;
        world.start_web();
        world
    }

    fn start_web(&mut self) {
        self.before.files = self.files();
        self.lab.define(&DomainXml {
            name: "web",
            nics: &[("lan", WEB_MAC)],
            v6: None,
            portero: "<portero:portForward proto='tcp' guest='192.168.50.10'>\
                      <portero:range start='8080' to='80'/></portero:portForward>",
        });
        self.lab.virsh(&["start", "web"]);
        self.lab.wait_guest(WEB);
    }

    /// What the rows depend on besides owners.
    pub fn around(&self) -> Around {
        Around {
            backend: self.lab.backend(),
            libvirt_stands: self.libvirt_stands,
        }
    }

    /// What has to be in the firewall now.
    pub fn expected(&self) -> View {
        let (mut view, around) = (self.extra.clone(), self.around());
        let web = Place {
            bridge: "br-lan".to_owned(),
            addresses: [WEB.to_owned(), String::new()],
            subnets: ["192.168.50.0/24".to_owned(), String::new()],
            is_isolated: false,
        };
        around.rows(&Forward::plain("tcp", WEB_PORT, 80), &web, &mut view);
        for network in &self.networks {
            network.rows(&around, &mut view);
        }
        for guest in &self.guests {
            guest.rows(&self.networks[guest.network], &around, &mut view);
        }
        for network in &self.networks {
            let bridge = network.bridge();
            if view.has(&format!("loopback {bridge}")) {
                view.add(format!("route_localnet {bridge}"));
            }
        }
        view
    }

    /// What is in the firewall, and the rules of others.
    pub fn read(&mut self) -> (View, Vec<String>) {
        let (mut view, mut foreign) = (View::default(), Vec::new());
        match self.lab.backend() {
            Backend::Iptables => {
                for (program, family) in SAVE.into_iter().zip(Family::ALL) {
                    let text = self.lab.must(program, &[]);
                    let frames = &mut self.frames;
                    iptables::read(&text, family, frames, &mut view, &mut foreign);
                }
            }
            Backend::Nftables => {
                let json = self.lab.must("nft", &["-j", "list", "ruleset"]);
                nftables::read(&json, &mut self.frames, &mut view, &mut foreign);
            }
        }
        for network in &self.networks {
            let bridge = network.bridge();
            let path = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
            if fs::read_to_string(path).expect("a setting").trim() == "1" {
                view.add(format!("route_localnet {bridge}"));
            }
        }
        (view, foreign)
    }

    /// Notes the rules of others, after something has happened to them.
    pub fn note_foreign(&mut self) {
        self.foreign = self.read().1;
    }

    /// What differs between the firewall and what has to be there.
    pub fn difference(&mut self) -> Vec<String> {
        let (view, foreign) = self.read();
        let expected = self.expected();
        let mut difference = view.difference(&expected);
        let gone = self.foreign.iter().filter(|rule| !foreign.contains(rule));
        difference.extend(gone.map(|rule| format!("- others' {rule}")));
        let new = foreign.iter().filter(|rule| !self.foreign.contains(rule));
        difference.extend(new.map(|rule| format!("+ others' {rule}")));
        self.counts.comparisons += 1;
        self.counts.rows += expected.len();
        difference
    }

    /// Expects the firewall to be exactly as it has to be.
    pub fn is_right(&mut self, after: &str) {
        let difference = self.difference();
        let events = self.counts.events;
        assert!(
            difference.is_empty(),
            "after {after}, event {events}, the firewall differs:\n{}",
            difference.join("\n")
        );
    }

    /// Expects as much in /run/portero as there are guests and networks.
    pub fn keeps_no_more(&self) {
        let count = |folder: &str| {
            let path = format!("/run/portero/{folder}");
            fs::read_dir(path).map_or(0, Iterator::count)
        };
        let guests = self.guests.iter();
        let running = guests.clone().filter(|guest| guest.is_running).count() + 1;
        let networks = self.networks.iter();
        let active = networks.clone().filter(|network| network.is_active).count() + 1;
        let records = guests.filter(|guest| guest.has_record()).count()
            + networks.filter(|network| network.has_record()).count()
            + 1;
        assert_eq!(count("records"), records, "{:?}", self.files());
        assert_eq!(count("networks"), active, "{:?}", self.files());
        assert!(count("domains") <= running, "{:?}", self.files());
        assert!(count("ports") <= running, "{:?}", self.files());
        assert!(count("") < 16, "{:?}", self.files());
    }

    /// All files in /run/portero.
    fn files(&self) -> Vec<String> {
        let found = self.lab.run("find", &["/run/portero", "-type", "f"]);
        // These say where the rules are and since when, and what portero-watch has counted; they stay.
        let is_kept = |file: &&str| {
            !["base", "clean", "compared", "lock", "watched"]
                .contains(&file.rsplit('/').next().unwrap_or_default())
        };
        let files = found.stdout.lines().filter(is_kept);
        let mut files: Vec<String> = files.map(str::to_owned).collect();
        files.sort();
        files
    }

    /// Stops all recorded networks.
    pub fn stop_networks(&mut self) {
        for number in 0..self.networks.len() {
            if self.networks[number].is_active {
                self.networks[number].is_active = false;
                let network = &self.networks[number];
                let status = Act::Forget(network.status().0);
                let acts = [status, Act::Hook(network.event("stopped"))];
                self.does(&acts);
            }
        }
    }

    /// Expects the firewall, settings and /run/portero to be as they were with the real guest alone,
    /// and with that one stopped as they were before it; starts it again.
    pub fn has_stopped(&mut self) {
        self.lab.virsh(&["destroy", "web"]);
        let (view, mut foreign) = self.read();
        assert_eq!(view.difference(&View::default()), [""; 0]);
        foreign.sort();
        self.before.foreign.sort();
        assert_eq!(foreign, self.before.foreign);
        assert_eq!(settings(), self.before.settings);
        assert_eq!(self.files(), self.before.files);
        self.lab.virsh(&["start", "web"]);
        self.lab.wait_guest(WEB);
        self.note_foreign();
    }

    /// After a failure: shows what may explain it.
    pub fn explain(&self) {
        println!("--- rules\n{}", self.lab.rules());
        println!("--- log\n{}", self.lab.log().join("\n"));
        println!("--- files\n{}", self.files().join("\n"));
    }
}

/// The programs that print the rules of iptables, by family.
pub const SAVE: [&str; 2] = ["iptables-save", "ip6tables-save"];

/// The firewall's rules, by the program that takes them back.
fn saved(lab: &Lab) -> BTreeMap<&'static str, String> {
    match lab.backend() {
        Backend::Iptables => BTreeMap::from([
            ("iptables-restore", lab.must(SAVE[0], &[])),
            ("ip6tables-restore", lab.must(SAVE[1], &[])),
        ]),
        Backend::Nftables => BTreeMap::from([("nft", lab.must("nft", &["list", "ruleset"]))]),
    }
}

/// The settings of interfaces that portero may change.
fn settings() -> String {
    let mut settings = Vec::new();
    for (family, name) in [("ipv4", "route_localnet"), ("ipv6", "proxy_ndp")] {
        let folder = fs::read_dir(format!("/proc/sys/net/{family}/conf")).expect("settings");
        for entry in folder.flatten() {
            let path = entry.path().join(name);
            // Taps of guests come and go.
            if let Ok(value) = fs::read_to_string(&path) {
                if !path.to_string_lossy().contains("vnet") {
                    settings.push(format!("{}={}", path.display(), value.trim()));
                }
            }
        }
    }
    settings.sort();
    settings.join("\n")
}
