//! Two hosts, each with a network `lan`, and the guest that moves between them.

use portero_lab::{
    DomainXml, From, Lab, Machine, NetworkXml, Proto, Ran, Second, HOST_V4, HOST_V6, SECOND_V4,
    SECOND_V6,
};
use std::time::{Duration, Instant};

/// The guest's address on both hosts.
pub const WEB: &str = "192.168.50.10";

const WEB_MAC: &str = "52:54:00:00:50:10";

/// The network, which is the same on both hosts; behind its policy nobody reaches a guest but by a
/// forward.
const LAN: NetworkXml<'_> = NetworkXml {
    name: "lan",
    mode: "nat",
    number: 50,
    reservations: &[(WEB_MAC, 10)],
    portero: "<portero:policy><portero:antispoof ip='yes' mac='yes' dhcp='yes'/></portero:policy>",
};

/// What `web` forwards.
const FORWARDS: &str = "
<portero:portForward proto='tcp' guest='192.168.50.10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='udp' guest='192.168.50.10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10'><portero:range start='8080' to='80'/></portero:portForward>
";

/// libvirt of the second host, from the first.
const SECOND_LIBVIRT: &str = "qemu+tcp://203.0.113.3/system";

/// One of the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where the guest is defined first.
    First,
    /// The other.
    Second,
}

impl Place {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Its addresses towards the outside.
    pub fn addresses(self) -> (&'static str, &'static str) {
        match self {
            Self::First => (HOST_V4, HOST_V6),
            Self::Second => (SECOND_V4, SECOND_V6),
        }
    }

    /// Its libvirt, as the first host reaches it.
    fn libvirt(self) -> &'static str {
        match self {
            Self::First => "qemu:///system",
            Self::Second => SECOND_LIBVIRT,
        }
    }
}

/// What a host is like without the guest.
struct Untouched {
    rules: Vec<String>,
    records: Vec<String>,
    doctor: String,
}

/// The two hosts.
pub struct World {
    /// The first, from which everything is asked.
    pub first: Lab,
    second: Second,
    untouched: [Untouched; 2],
}

impl World {
    /// Starts the networks.
    pub fn new(first: Lab, second: Second) -> Self {
        first.start_network(&LAN);
        second.start_network(&LAN);
        let untouched = [untouched(&first), untouched(&second)];
        Self {
            first,
            second,
            untouched,
        }
    }

    /// A host.
    pub fn at(&self, place: Place) -> &Machine {
        match place {
            Place::First => &self.first,
            Place::Second => &self.second,
        }
    }

    /// The guest is made to run at a host, and nowhere else.
    pub fn web_at(&self, place: Place) {
        if self.runs_at(place) {
            return self.serves_only_at(place);
        }
        if self.runs_at(place.other()) {
            self.at(place.other()).virsh(&["destroy", "web"]);
        }
        let machine = self.at(place);
        machine.define(&DomainXml {
            name: "web",
            nics: &[("lan", WEB_MAC)],
            v6: Some((50, 10)),
            portero: FORWARDS,
        });
        machine.virsh(&["start", "web"]);
        machine.wait_guest(WEB);
        self.serves_only_at(place);
    }

    /// Whether the guest runs at a host.
    pub fn runs_at(&self, place: Place) -> bool {
        let running = self.at(place).virsh(&["list", "--name"]);
        running.lines().any(|name| name == "web")
    }

    /// The words of a migration of the guest to a host, with these options.
    pub fn migration(to: Place, options: &[&'static str]) -> Vec<String> {
        let migrate = format!("tcp://{}", to.addresses().0);
        let mut words = vec!["-q", "-c", to.other().libvirt(), "migrate", "--live"];
        words.extend(options);
        words.extend(["web", to.libvirt(), "--migrateuri", &migrate]);
        words.into_iter().map(str::to_owned).collect()
    }

    /// Tries to migrate the guest to a host.
    pub fn try_migrate(&self, to: Place, options: &[&'static str]) -> Ran {
        let words = Self::migration(to, options);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.first.run("virsh", &words)
    }

    /// Migrates the guest to a host.
    pub fn migrate(&self, to: Place, options: &[&'static str]) {
        let begin = Instant::now();
        let ran = self.try_migrate(to, options);
        assert!(ran.ok, "the guest does not migrate: {ran:?}");
        println!("  migrated within {} ms", begin.elapsed().as_millis());
    }

    /// Expects the guest's ports to be served at this host, and the other to be as if it had never
    /// heard of the guest.
    pub fn serves_only_at(&self, place: Place) {
        let (v4, v6) = place.addresses();
        let begin = Instant::now();
        for (proto, address, answer) in [
            (Proto::Tcp, v4, "web tcp 80"),
            (Proto::Udp, v4, "web udp 80"),
            (Proto::Tcp, v6, "web tcp 80"),
        ] {
            let asked = &self.first;
            asked.answers(From::Outside, proto, address, 8080, answer);
        }
        println!("  served within {} ms", begin.elapsed().as_millis());
        let (v4, v6) = place.other().addresses();
        for (proto, address) in [(Proto::Tcp, v4), (Proto::Udp, v4), (Proto::Tcp, v6)] {
            self.first.refuses(From::Outside, proto, address, 8080);
        }
        self.is_untouched(place.other());
        let (plan, doctor) = (self.plan(place), doctor(self.at(place)));
        assert!(plan.ok, "portero plan would change {place:?}: {plan:?}");
        assert_eq!(doctor, self.untouched[place as usize].doctor, "{place:?}");
    }

    fn plan(&self, place: Place) -> Ran {
        self.at(place).run("portero", &["plan"])
    }

    /// Expects a host to be as before it heard of the guest.
    fn is_untouched(&self, place: Place) {
        let (now, before) = (untouched(self.at(place)), &self.untouched[place as usize]);
        assert_eq!(now.rules, before.rules, "the firewall of {place:?}");
        assert_eq!(now.records, before.records, "/run/portero of {place:?}");
        assert_eq!(now.doctor, before.doctor, "{place:?}");
        let plan = self.plan(place);
        assert!(plan.ok, "portero plan would change {place:?}: {plan:?}");
    }

    /// After a failure: shows what may explain it, and ends what the scenario has left.
    pub fn explain(&self) {
        for place in [Place::First, Place::Second] {
            let machine = self.at(place);
            println!("--- rules of {place:?}\n{}", machine.rules());
            println!("--- log of {place:?}\n{}", machine.log().join("\n"));
            let status = machine.run("portero", &["status"]);
            println!("--- status of {place:?}\n{}", status.stdout);
            for (path, count) in [
                ("/run/lab/libvirtd.log", 25),
                ("/var/log/libvirt/qemu/web.log", 5),
                ("/run/lab/files/web.console", 10),
            ] {
                let text = std::fs::read(machine.path(path)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                let tail: Vec<&str> = text.lines().rev().take(count).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                println!("--- end of {path} of {place:?}\n{}", tail.join("\n"));
            }
            let _ = machine.try_virsh(&["destroy", "web"]);
            let _ = machine.try_virsh(&["undefine", "web"]);
        }
    }
}

/// What can be told of a host, in an order of its own.
fn untouched(machine: &Machine) -> Untouched {
    let parts = machine.rules().replace("elements = {", "\n");
    let mut rules: Vec<String> = parts
        .replace(',', "\n")
        .lines()
        .map(|line| line.trim().trim_end_matches('}').trim().to_owned())
        .collect();
    rules.retain(|line| !line.is_empty());
    rules.sort();
    let files = ["domains", "networks", "ports", "records"].map(|folder| {
        let files = machine.run("find", &[&format!("/run/portero/{folder}"), "-type", "f"]);
        files.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let mut records = files.concat();
    records.sort();
    Untouched {
        rules,
        records,
        doctor: doctor(machine),
    }
}

/// What `portero doctor` finds.
fn doctor(machine: &Machine) -> String {
    let found = machine.run("portero", &["doctor"]);
    assert!(found.stderr.is_empty(), "{found:?}");
    found.stdout
}

/// Waits until something is so.
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    portero_lab::wait_until(Duration::from_secs(20), what, is_so);
}
