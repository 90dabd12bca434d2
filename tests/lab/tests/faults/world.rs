//! A network and a real guest with forwards, which has to be served whatever fails for others.

use crate::act::Act;
use crate::kind::Kind;
use portero_lab::{sorted, Backend, DomainXml, From, Lab, NetworkXml, Proto, HOST_V4, HOST_V6};
use std::collections::BTreeMap;
use std::fs;

const WEB: &str = "192.168.50.10";
const WEB_MAC: &str = "52:54:00:00:50:10";
const FORWARDS: &str = "
<portero:portForward proto='tcp' guest='192.168.50.10'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='tcp' guest='fd00:50::10'><portero:range start='8080' to='80'/></portero:portForward>";

/// Lines of what is changed in one transaction: of a table of iptables, or of all tables of nftables.
pub type Tables = BTreeMap<String, Vec<String>>;

/// The host with the guest.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// The firewall with nothing but the guest's forwards.
    untouched: Tables,
}

impl World {
    /// Starts the network and the guest.
    pub fn new(lab: Lab) -> Self {
        lab.start_network(&NetworkXml {
            name: "lan",
            mode: "nat",
            number: 50,
            reservations: &[(WEB_MAC, 10)],
            portero: "",
        });
        lab.define(&DomainXml {
            name: "web",
            nics: &[("lan", WEB_MAC)],
            v6: Some((50, 10)),
            portero: FORWARDS,
        });
        lab.virsh(&["start", "web"]);
        lab.wait_guest(WEB);
        let mut world = Self {
            lab,
            untouched: Tables::new(),
        };
        world.untouched = world.tables();
        world.serves();
        world
    }

    /// Expects the guest's forwards to answer from the outside.
    pub fn serves(&self) {
        for host in [HOST_V4, HOST_V6] {
            let tcp = Proto::Tcp;
            self.lab
                .answers(From::Outside, tcp, host, 8080, "web tcp 80");
            self.lab.refuses(From::Outside, tcp, host, 8081);
        }
    }

    /// All rules and elements.
    pub fn tables(&self) -> Tables {
        let rules = self.lab.rules();
        if self.lab.backend() == Backend::Nftables {
            return Tables::from([("nftables".to_owned(), sorted(&rules))]);
        }
        let tables = rules.split_inclusive("COMMIT\n").enumerate();
        tables
            .map(|(number, table)| {
                let name = table.lines().next().unwrap_or_default();
                (format!("{number} {name}"), sorted(table))
            })
            .collect()
    }

    /// Expects the firewall to hold the guest's forwards and nothing else of portero's, and the guest
    /// to be served.
    pub fn is_untouched(&self) {
        assert_eq!(
            self.tables(),
            self.untouched,
            "the firewall is not as it was"
        );
        let records = fs::read_dir("/run/portero/records").map_or(0, Iterator::count);
        assert_eq!(records, 1, "records are left in /run/portero");
        self.serves();
    }

    /// How the firewall names port 80 of a guest as the place where a connection is sent.
    pub fn port_80_of(&self, guest: &str) -> String {
        match self.lab.backend() {
            Backend::Iptables if guest.contains(':') => format!("--to-destination [{guest}]:80\n"),
            Backend::Iptables => format!("--to-destination {guest}:80\n"),
            Backend::Nftables => format!(" : {guest} . 80"),
        }
    }

    /// Throws away the rules that lead to portero's.
    pub fn flush(&self) {
        match self.lab.backend() {
            Backend::Nftables => {
                let tables = self.lab.must("nft", &["list tables"]);
                let own = tables.lines().filter(|table| table.contains("portero"));
                for table in own {
                    self.lab.must("nft", &[&format!("flush {table}")]);
                }
            }
            Backend::Iptables => {
                for program in ["iptables", "ip6tables"] {
                    self.lab.must(program, &["-t", "nat", "-F", "PORTERO-DNAT"]);
                    self.lab.must(program, &["-F", "PORTERO-FORWARD"]);
                }
            }
        }
    }

    /// After a failure: shows what may explain it, and takes away what the scenario has left.
    pub fn explain(&self) {
        println!("--- rules\n{}", self.lab.rules());
        println!("--- log\n{}", self.lab.log().join("\n"));
        let status = self.lab.run("portero", &["status"]).stdout;
        println!("--- status\n{status}");
        for kind in Kind::all() {
            kind.undo();
        }
        let _ = Act::Sync.run();
    }
}

/// The lines that are not as often in the one as in the other.
pub fn difference(one: &Tables, other: &Tables) -> Vec<String> {
    let mut counts = BTreeMap::<(&String, &String), i32>::new();
    for (tables, count) in [(one, 1), (other, -1)] {
        for (table, lines) in tables {
            for line in lines {
                *counts.entry((table, line)).or_default() += count;
            }
        }
    }
    let differing = counts.into_iter().filter(|(_, count)| *count != 0);
    differing
        .map(|((table, line), count)| format!("{table}: {line} ({count:+})"))
        .collect()
}
