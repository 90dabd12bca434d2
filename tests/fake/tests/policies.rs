//! Runs the examples in tests/policies: a folder for each, with networks that have policies, and in
//! `expected` all that comes of them in both firewalls. `PORTERO_CASES=accept` writes down what
//! comes of them now.

use portero_fake::{example_policies, ruleset, Policies};
use portero_firewall::iptables;
use portero_firewall::nftables::{self, PolicyTable};
use portero_model::{Family, Ruleset};
use std::fmt::Write as _;
use std::fs;

#[test]
fn policies_become_what_is_expected() {
    let accepts = std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept");
    let examples = example_policies();
    assert!(examples.len() >= 15, "only {} examples", examples.len());
    let mut failed = Vec::new();
    for (folder, policies) in examples {
        let shown = show(&policies);
        let path = folder.join("expected");
        if accepts {
            fs::write(&path, &shown).expect("expected");
        } else if fs::read_to_string(&path).unwrap_or_default() != shown {
            failed.push(format!("--- {}\n{shown}", folder.display()));
        }
    }
    assert!(failed.is_empty(), "not as expected:\n{}", failed.join("\n"));
}

fn show(policies: &Policies) -> String {
    let mut text = String::new();
    for network in &policies.networks {
        let compiled = policies.compile(network).expect("a policy");
        let compiled = compiled.expect("a network with a policy");
        for warning in &compiled.warnings {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "warning: {warning}");
        }
        for neighbor in &compiled.policy.neighbors {
            let _ = writeln!(text, "answers for {} on {}", neighbor.address, neighbor.dev);
        }
        let new = ruleset(network, compiled);
        let nothing = Ruleset::empty(new.owner.clone());
        let script = nftables::change_owner(&nothing, &new, &[], PolicyTable::Standing);
        let name = &network.name;
        let _ = write!(
            text,
            "= {name}, nftables\n{}",
            script.expect("a script").text()
        );
        for script in iptables::change_owner(&nothing, &new, [], &Family::ALL) {
            let program = script.tool.program();
            let _ = write!(text, "= {name}, {program}\n{}", script.text());
        }
    }
    text
}
