//! The target of what the firewalls' programs print.

use crate::one_line::one_line;
use crate::Reached;
use portero_fake::example_policies;
use portero_firewall::iptables::{self, Table};
use portero_firewall::nftables::{self, Place, TableContent};
use portero_firewall::ForwardCounters;
use portero_firewall::RuleCounters;
use portero_model::{Dnat, Family, Owner, OwnerKind, PortRange, Protocol, Rule, Ruleset};
use std::sync::OnceLock;
use uuid::Uuid;

/// Any bytes as the output of `iptables -S`, `iptables-save -c` or `nft -j list table`, which is compared with
/// what is wanted. The first chooses.
pub fn observed(input: &[u8]) -> Reached {
    let Some((choice, output)) = input.split_first() else {
        return Reached::Nothing;
    };
    let family = if choice & 1 == 0 {
        Family::Ipv4
    } else {
        Family::Ipv6
    };
    let wanted = wanted();
    if choice & 2 == 0 {
        of_iptables(family, &String::from_utf8_lossy(output), wanted)
    } else {
        let places = [
            Place::Own,
            Place::Policy,
            Place::Antispoof,
            Place::Libvirt(family),
        ];
        of_nftables(
            places[usize::from(choice >> 2) % places.len()],
            output,
            wanted,
        )
    }
}

fn of_iptables(family: Family, output: &str, wanted: &[Ruleset]) -> Reached {
    let mut observed = iptables::Observed::default();
    for table in Table::ALL {
        observed.add(table, output.lines());
    }
    let mut counts = ForwardCounters::default();
    counts.add_iptables(family, output.lines());
    let mut counted = RuleCounters::default();
    counted.add_iptables(output.lines());
    let mut is_there = false;
    for ruleset in wanted {
        is_there |= observed.holds(family, ruleset) && ruleset.has_rules();
        let of_rules = counts.of_forwards(ruleset).len();
        assert!(of_rules <= ruleset.rules.len());
        let counters = counted.counters(ruleset);
        let rules = ruleset.policy.iter().flat_map(|policy| &policy.rules);
        let rules: usize = rules.map(|(_, rules)| rules.len()).sum();
        assert!(counters.len() <= rules);
    }
    for wanted in [wanted, &[]] {
        let Some(script) = iptables::reconcile(family, &observed, wanted) else {
            continue;
        };
        // What is taken away has been printed; all else is portero's own.
        for line in script.text().lines().filter(|line| line.starts_with("-D ")) {
            let printed = line.replacen("-D", "-A", 1);
            assert!(
                output.lines().any(|known| known.trim_end() == printed),
                "{line}"
            );
        }
    }
    if is_there {
        Reached::Taken
    } else {
        Reached::Nothing
    }
}

fn of_nftables(place: Place, output: &[u8], wanted: &[Ruleset]) -> Reached {
    let mut observed = nftables::Observed::default();
    let mut counted = RuleCounters::default();
    let content = match TableContent::from_json(place, output) {
        Ok(content) => content,
        Err(error) => {
            one_line(&error);
            return Reached::Refused;
        }
    };
    counted.add_nftables(content.clone());
    observed.add_content(place, content);
    for ruleset in wanted {
        let _ = observed.holds_antispoof(ruleset);
        let _ = observed.holds(ruleset);
        let _ = counted.counters(ruleset);
    }
    let all = nftables::reconcile(&observed, wanted);
    let nothing = nftables::reconcile(&observed, &[]);
    assert!(all.is_some(), "one table cannot hold everything");
    if nothing.is_some() {
        Reached::Taken
    } else {
        Reached::Nothing
    }
}

/// The policies of an example, and a forward.
fn wanted() -> &'static [Ruleset] {
    static WANTED: OnceLock<Vec<Ruleset>> = OnceLock::new();
    WANTED.get_or_init(|| {
        let examples = example_policies().into_iter();
        let mut examples: Vec<Vec<Ruleset>> =
            examples.map(|(_, policies)| policies.rulesets()).collect();
        examples.sort_by_key(Vec::len);
        let mut wanted = examples.pop().expect("an example");
        let owner = Owner {
            kind: OwnerKind::Domain,
            driver: None,
            uuid: Uuid::from_u128(1),
            name: "web".to_owned(),
        };
        let ports = |port| PortRange::new(port, port).expect("a port");
        let guest = [192, 168, 50, 10].into();
        let rules = vec![Rule::Dnat(Dnat {
            protocol: Protocol::Tcp,
            address: None,
            dev: None,
            source: None,
            ports: ports(8080),
            guest,
            guest_ports: ports(80),
            is_whole_address: false,
        })];
        wanted.push(Ruleset {
            rules,
            ..Ruleset::empty(owner)
        });
        wanted
    })
}
