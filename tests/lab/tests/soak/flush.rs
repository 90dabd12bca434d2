//! Rules are thrown away, and libvirt's come back, with whatever mends portero's.

use crate::act::{perform, Act};
use crate::world::{World, SAVE};
use portero_lab::{Backend, Event};

/// What is thrown away.
#[derive(Debug, Clone, Copy)]
enum Flush {
    /// Everything; libvirt's rules come back at once, as when the firewall's own service reloads.
    Reload,
    /// Everything; libvirt's rules come back later.
    Everything,
    /// What portero has made.
    Own,
    /// The rules in libvirt's chains.
    OfLibvirt,
    /// One rule or element of portero's.
    One,
}

/// How much of portero's own is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// All chains, or tables.
    All,
    /// Any of the chains; the rules in tables.
    Some,
}

/// The programs that take rules back, in the order of [`SAVE`].
const RESTORE: [&str; 2] = ["iptables-restore", "ip6tables-restore"];

/// portero's tables in nftables.
const OWN_TABLES: [&str; 2] = ["inet portero", "inet portero_policy"];

impl World {
    /// Throws rules away, and waits for what mends that.
    pub fn flush(&mut self) -> &'static str {
        let flush = [
            Flush::Reload,
            Flush::Everything,
            Flush::Own,
            Flush::OfLibvirt,
            Flush::One,
        ];
        let flush = flush[self.rng.usize(..flush.len())];
        self.counts.flushes += 1;
        let calm = self.calm.pause();
        let after = match flush {
            Flush::Reload => {
                self.clear();
                self.put_back("-A");
                "a reload of the firewall"
            }
            Flush::Everything => {
                self.clear();
                self.libvirt_stands = false;
                self.note_foreign();
                self.mends("a flush of everything");
                self.put_back("-I");
                self.libvirt_stands = true;
                "the return of libvirt's rules"
            }
            Flush::Own => {
                let what = [Own::All, Own::Some][self.rng.usize(..2)];
                self.flush_own(what);
                "a flush of portero's rules"
            }
            Flush::OfLibvirt => {
                self.flush_libvirts();
                self.note_foreign();
                self.mends("a flush of libvirt's rules");
                self.clear();
                self.put_back("-A");
                "a reload of the firewall"
            }
            Flush::One => {
                self.delete_one();
                "one rule less"
            }
        };
        self.note_foreign();
        self.mends(after);
        drop(calm);
        after
    }

    /// Waits for portero-watch, or lets something else compare everything.
    fn mends(&mut self, after: &str) {
        if self.watch.is_some() && self.rng.bool() {
            return self.watch_mends(after);
        }
        if self.rng.bool() {
            self.sync();
        } else {
            let done = perform(&[Act::Hook(Event::daemon_start())], None);
            assert_eq!(done.failed, None);
        }
        self.is_right(after);
    }

    fn clear(&self) {
        if self.lab.backend() == Backend::Nftables {
            self.lab.must("nft", &["flush", "ruleset"]);
            return;
        }
        // All at once: portero-watch would put a chain back between a flush and a deletion.
        let tables = ["filter", "nat", "mangle"];
        let empty = tables.map(|table| format!("*{table}\nCOMMIT\n")).concat();
        let path = self.lab.file("empty", &empty);
        for program in RESTORE {
            self.lab.must(program, &[&path]);
        }
    }

    /// Lets libvirt's rules come back; `-I` puts its jumps above everybody else's, as libvirt does.
    fn put_back(&self, how: &str) {
        for (program, rules) in &self.libvirt {
            let built_in = ["INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"];
            let lines = rules.lines().map(|line| {
                let chain = line
                    .strip_prefix("-A ")
                    .and_then(|rule| rule.split(' ').next());
                match chain.filter(|chain| built_in.contains(chain)) {
                    Some(_) => line.replacen("-A", how, 1),
                    None => line.to_owned(),
                }
            });
            let text = lines.collect::<Vec<_>>().join("\n") + "\n";
            let path = self.lab.file("libvirts-rules", &text);
            match *program {
                "nft" => self.lab.must("nft", &["-f", &path]),
                program => self.lab.must(program, &["--noflush", &path]),
            };
        }
    }

    /// Flushes what portero has made, all of it or some chains of it; of nftables' tables none is left.
    pub fn flush_own(&mut self, what: Own) {
        if self.lab.backend() == Backend::Nftables {
            for table in OWN_TABLES {
                let how = match what {
                    Own::All => "delete table",
                    Own::Some => "flush table",
                };
                let _ = self.lab.run("nft", &[&format!("{how} {table}")]);
            }
            return;
        }
        for (save, restore) in SAVE.into_iter().zip(RESTORE) {
            let mut script = String::new();
            for line in self.lab.must(save, &[]).lines() {
                let chain = line
                    .strip_prefix(":PORTERO-")
                    .and_then(|line| line.split(' ').next());
                match chain {
                    Some(chain) if what == Own::All || self.rng.bool() => {
                        script += &format!("-F PORTERO-{chain}\n");
                    }
                    None if line.starts_with('*') || line == "COMMIT" => {
                        script += &format!("{line}\n");
                    }
                    _ => {}
                }
            }
            let path = self.lab.file("flush", &script);
            self.lab.must(restore, &["--noflush", &path]);
        }
    }

    fn flush_libvirts(&self) {
        if self.lab.backend() == Backend::Nftables {
            for family in ["ip", "ip6"] {
                for chain in ["forward", "guest_input", "guest_output", "guest_cross"] {
                    let table = format!("{family} libvirt_network {chain}");
                    self.lab.must("nft", &["flush", "chain", &table]);
                }
            }
            return;
        }
        for program in ["iptables", "ip6tables"] {
            for chain in ["LIBVIRT_FWI", "LIBVIRT_FWO", "LIBVIRT_FWX", "LIBVIRT_INP"] {
                self.lab.must(program, &["-F", chain]);
            }
            self.lab.must(program, &["-t", "nat", "-F", "LIBVIRT_PRT"]);
        }
    }

    /// Deletes any one rule or element of portero's.
    pub fn delete_one(&mut self) {
        match self.lab.backend() {
            Backend::Iptables => self.delete_rule(),
            Backend::Nftables => self.delete_element(),
        }
    }

    fn delete_rule(&mut self) {
        let rules = self.lab.must("iptables-save", &[]);
        let mut table = "";
        let mut own = Vec::new();
        for line in rules.lines() {
            table = line.strip_prefix('*').unwrap_or(table);
            if line.starts_with("-A PORTERO-") {
                own.push((table, line));
            }
        }
        let (table, rule) = own[self.rng.usize(..own.len())];
        let text = format!("*{table}\n{}\nCOMMIT\n", rule.replacen("-A", "-D", 1));
        let path = self.lab.file("one-rule", &text);
        self.lab.must("iptables-restore", &["--noflush", &path]);
    }

    fn delete_element(&mut self) {
        let set = ["v4", "v4_masquerade"][self.rng.usize(..2)];
        let listing = self.lab.must(
            "nft",
            &["list", "set", "inet", "portero", set].map(|word| match (word, set) {
                ("set", "v4") => "map",
                _ => word,
            }),
        );
        let elements = listing.split_once("elements = {").expect("elements").1;
        let elements = elements.split('}').next().expect("elements");
        let elements: Vec<&str> = elements.split(',').map(str::trim).collect();
        let element = elements[self.rng.usize(..elements.len())];
        let element = format!("{{ {} }}", element.split(" : ").next().expect("a key"));
        self.lab.must(
            "nft",
            &["delete", "element", "inet", "portero", set, &element],
        );
    }
}
