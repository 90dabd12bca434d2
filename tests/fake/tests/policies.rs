//! Runs the examples in tests/policies: a folder for each, with networks that have policies, and in
//! `expected` all that comes of them in both firewalls. `PORTERO_CASES=accept` writes down what
//! comes of them now.

use portero_event::{Element, Network, ObjectName};
use portero_fake::{compile_in, example_policies, ruleset, Policies};
use portero_plan::iptables;
use portero_plan::nftables::{self, PolicyTable};
use portero_plan::{Family, Ruleset, Way};
use portero_routed_policy::Group;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

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

#[test]
fn the_examples_of_the_readme_are_right() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).expect("README.md");
    let chapter = text.split("## Who may reach a network").nth(1);
    let chapter = chapter.expect("its chapter on policies");
    let part = |begin: &str, end: &str| {
        let at = chapter.find(begin).unwrap_or_else(|| panic!("no {begin}"));
        let length = chapter[at..]
            .find(end)
            .unwrap_or_else(|| panic!("no {end}"))
            + end.len();
        chapter[at..at + length].to_owned()
    };
    let group = part("<portero:group ", "</portero:group>");
    let group = Group::of(&Element::parse(group.as_bytes()).expect("XML")).expect("a group");
    assert_eq!(group.targets().len(), 2);
    let neighbor = part("<portero:neighbor ", "</portero:neighbor>");
    let metadata = part("<metadata>", "</metadata>");
    let metadata = metadata.replace("</portero:policy>", &format!("{neighbor}</portero:policy>"));
    let xml = format!(
        "<network><name>web</name><uuid>aaaaaaaa-0000-4000-8000-000000000010</uuid>{metadata}\
         <forward mode='route'/><bridge name='br-web'/>\
         <ip address='192.0.2.65' prefix='28'/></network>"
    );
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let network = Network::from_element(&root).expect("a network");
    let groups = |_: &ObjectName| Ok(group.clone());
    let compiled = compile_in(&network, std::slice::from_ref(&network), &groups);
    let compiled = compiled.expect("a policy that is right").expect("a policy");
    let count = |way| compiled.policy.ways[&way].len();
    // Antispoof, the rule and the default with its guard; both rules and the default.
    assert_eq!((count(Way::Out), count(Way::In)), (4, 3));
    assert_eq!(compiled.policy.neighbors.len(), 1);
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
            script.expect("a script").text
        );
        for script in iptables::change_owner(&nothing, &new, [], &Family::ALL) {
            let program = script.tool.program();
            let _ = write!(text, "= {name}, {program}\n{}", script.text);
        }
    }
    text
}
