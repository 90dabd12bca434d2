//! What is in the firewall, for comparisons.

use crate::{Backend, Machine};

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
        let plan = self.run("portero", &["plan"]);
        assert!(plan.ok, "portero plan would change: {plan:?}");
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
        for (program, arguments, jump) in tables {
            let rules = self.must(program, arguments);
            let mut jumps: Vec<&str> = rules.lines().filter(|line| line.contains(jump)).collect();
            let all = jumps.len();
            jumps.sort_unstable();
            jumps.dedup();
            assert_eq!(jumps.len(), all, "a jump stands twice in\n{rules}");
        }
    }
}
