//! Many rules of others, and whether what looks at them is fast enough for whoever waits for it.

use crate::{limit_by_load, Backend, Machine, Urgent};
use std::time::{Duration, Instant};

/// How many rules: half of them in nftables, half in iptables.
const RULES: u16 = 10_000;

/// How long an answer may take beside them, on a machine that does nothing else.
const ANSWER: Duration = Duration::from_secs(2);

/// The table of those in nftables; it has a chain `way` at the hook `forward`.
const TABLE: &str = "inet crowd";

impl Machine {
    /// Has rules in both firewalls that drop what a machine that is nowhere sends.
    ///
    /// # Panics
    /// When a firewall refuses them.
    pub fn begin_crowd(&self) {
        let ports = 20_000..20_000 + RULES / 2;
        let nft: String = ports
            .clone()
            .map(|port| format!("        ip saddr 198.51.100.7 tcp dport {port} counter drop\n"))
            .collect();
        let table = format!(
            "table {TABLE} {{\n    chain way {{\n        type filter hook forward priority 5; policy accept;\n{nft}    }}\n}}\n"
        );
        self.must("nft", &["-f", &self.file("crowd.nft", &table)]);
        let rules: String = ports
            .map(|port| {
                format!("-A CROWD -s 198.51.100.7/32 -p tcp -m tcp --dport {port} -j DROP\n")
            })
            .collect();
        let script = format!("*filter\n:CROWD - [0:0]\n{rules}-A FORWARD -j CROWD\nCOMMIT\n");
        let restore = format!(
            "iptables-restore --noflush <{}",
            self.file("crowd", &script)
        );
        self.must("sh", &["-c", &restore]);
    }

    /// Takes them away.
    ///
    /// # Panics
    /// When they are not there.
    pub fn end_crowd(&self) {
        self.must("nft", &["delete", "table", "inet", "crowd"]);
        for words in ["-D FORWARD -j CROWD", "-F CROWD", "-X CROWD"] {
            let words: Vec<&str> = words.split(' ').collect();
            self.must("iptables", &words);
        }
        // Nobody else writes to iptables here.
        if self.backend() == Backend::Nftables {
            self.must("nft", &["delete", "table", "ip", "filter"]);
        }
    }

    /// Each of these commands of `portero` has its answer in time; `asked` are those that also ask a guest, with how long that
    /// takes without the rules.
    ///
    /// # Panics
    /// When one takes longer, or says nothing.
    pub fn answers_in_time(&self, commands: &[&[&str]], asked: &[(&[&str], Duration)]) {
        let limit = limit_by_load(ANSWER);
        let plain = commands.iter().map(|words| (*words, limit));
        let asked = asked.iter().map(|(words, alone)| (*words, *alone + limit));
        let _urgent = Urgent::begin();
        for (words, limit) in plain.chain(asked) {
            let begin = Instant::now();
            let ran = self.run("portero", words);
            let took = begin.elapsed();
            println!(
                "  portero {}: {} ms of {}",
                words.join(" "),
                took.as_millis(),
                limit.as_millis()
            );
            assert!(!ran.stdout.is_empty(), "{ran:?}");
            assert!(took < limit, "{words:?} took {took:?}, limit {limit:?}");
        }
    }
}
