//! What is in the firewall, for comparisons.

use crate::{Backend, Machine};
use std::time::{Duration, Instant};

/// Rules, and elements of sets, in the order of their text: libvirt writes its networks' in another
/// order at each restart, and guests without a port in common may stand in any.
#[must_use]
pub fn sorted(rules: &str) -> Vec<String> {
    let parts = rules.replace("elements = {", "\n").replace(',', "\n");
    let trim = |part: &str| part.trim().trim_end_matches('}').trim().to_owned();
    let mut lines: Vec<String> = parts.lines().map(trim).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines
}

impl Machine {
    /// Expects that every rule of portero's is in the firewall once, and no other.
    ///
    /// # Panics
    /// When that is not so.
    pub fn is_in_order(&self) {
        if let Some(disorder) = self.disorder() {
            panic!("{disorder}");
        }
    }

    /// Waits until the firewall [is in order](Self::is_in_order): libvirt may still be at work for a
    /// while on what it was told of, and puts its own rules in front once more.
    ///
    /// # Panics
    /// When that does not come in time.
    pub fn comes_in_order(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while let Some(disorder) = self.disorder() {
            assert!(Instant::now() < end, "{disorder}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is not in order in the firewall.
    fn disorder(&self) -> Option<String> {
        let plan = self.run("portero", &["plan"]);
        if !plan.ok {
            return Some(format!("portero plan would change: {plan:?}"));
        }
        let tables: [(&str, &[&str], &str); 2] = match self.backend() {
            Backend::Iptables => [
                ("iptables-save", &[], "-j PORTERO-"),
                ("ip6tables-save", &[], "-j PORTERO-"),
            ],
            Backend::Nftables => [
                ("nft", &["list ruleset ip"], "jump portero"),
                ("nft", &["list ruleset ip6"], "jump portero"),
            ],
        };
        tables.into_iter().find_map(|(program, arguments, jump)| {
            let rules = self.must(program, arguments);
            let mut jumps: Vec<&str> = rules.lines().filter(|line| line.contains(jump)).collect();
            let all = jumps.len();
            jumps.sort_unstable();
            jumps.dedup();
            (jumps.len() != all).then(|| format!("a jump stands twice in\n{rules}"))
        })
    }
}
