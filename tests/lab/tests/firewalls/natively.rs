//! Tables, chains and rules that the kernel is given without nft, beside what nft makes of the same text.

use crate::elements::{owner, told};
use crate::{commit, likes, make_libvirt_tables, Examples, LIBVIRT_TABLES};
use portero_firewall::nftables::{
    self, KnownSets, NewChain, NewRule, Object, ObjectChange, Place, PolicyTable,
};
use portero_firewall::{Command, Script, Tool};
use portero_model::{Family, Nat, Policy, PortRange, Ruleset};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command as Process;

/// The program, and where it is while nobody shall find it.
const NFT: &str = "/usr/sbin/nft";
const ASIDE: &str = "/usr/sbin/nft.aside";

/// All tables, as nft lists them.
fn listed() -> String {
    let output = Process::new("nft").args(["list", "ruleset"]).output();
    String::from_utf8(output.expect("nft").stdout).expect("a listing")
}

fn read(text: &str) {
    likes("nft", &["--file"], text).unwrap_or_else(|error| panic!("{error}\n{text}"));
}

/// Does something while nft is not there.
fn without_nft<T>(what: impl FnOnce() -> T) -> T {
    fs::rename(NFT, ASIDE).expect("nft");
    let done = what();
    fs::rename(ASIDE, NFT).expect("nft");
    done
}

/// Whether the words of all rules of a script are known.
pub(crate) fn needs_no_program(script: &Script) -> bool {
    let mut sets = KnownSets::default();
    script.commands.iter().all(|command| match command {
        Command::Text(_) => false,
        Command::Object(change) => {
            let mut is_known = |rule: &NewRule| sets.raw_rule(change.place, rule).is_some();
            match &change.object {
                Object::Table { chains, .. } => {
                    let mut rules = chains.iter().flat_map(|chain| &chain.rules);
                    rules.all(is_known)
                }
                Object::Chain(chain) => chain.rules.iter().all(is_known),
                Object::FirstRule { rule, .. } => is_known(rule),
                _ => true,
            }
        }
        Command::Elements(_) => true,
    })
}

/// Commits a script into nothing but libvirt's tables. nft lists of it exactly what it lists where nft itself has read the text.
/// Says whether it was done without nft, which is not there then.
pub(crate) fn is_as_by_nft(script: &Script, place: &str) -> bool {
    read("flush ruleset\n");
    make_libvirt_tables();
    let is_without = needs_no_program(script);
    match is_without {
        true => without_nft(|| commit(script)),
        false => commit(script),
    }
    let without = listed();
    read(&format!("flush ruleset\n{LIBVIRT_TABLES}"));
    read(&script.text());
    let by_nft = listed();
    assert!(
        without == by_nft,
        "{place}: without nft\n{without}\nby nft\n{by_nft}"
    );
    // The control: an order of rules, a bit or a set that is another is seen.
    assert!(without.contains("portero 2: "), "{without}");
    is_without
}

/// Rules with more in their sets than one message has room for, and with what touches in them.
pub(crate) fn large_sets(_: &mut Examples) {
    let numbers = 0..5_000_u32;
    let addresses = numbers.clone().map(|number| {
        let [_, _, high, low] = number.to_be_bytes();
        format!("198.18.{high}.{low}")
    });
    let networks = numbers.clone().map(|number| {
        let [_, _, high, low] = (2 * number).to_be_bytes();
        format!("10.{high}.{low}.0/24")
    });
    let ipv6 = numbers.map(|number| format!("2001:db8:{:x}::/48", 2 * number));
    let set = |words: &mut dyn Iterator<Item = String>| {
        let words: Vec<String> = words.collect();
        format!("{{ {} }}", words.join(", "))
    };
    let rules = [
        format!("ip saddr {} counter drop", set(&mut { addresses })),
        format!("ip saddr {} counter return", set(&mut { networks })),
        format!("ip6 saddr != {} counter drop", set(&mut { ipv6 })),
        "ip daddr { 10.0.0.0/24, 10.0.1.0/24, 10.0.3.0/24 } counter return".to_owned(),
        "tcp dport { 80-90, 91-95, 443 } counter return".to_owned(),
        "tcp dport { 1-1024, 80, 60000-65535 } counter return".to_owned(),
    ];
    let rules = rules.into_iter().enumerate().map(|(index, words)| NewRule {
        comment: format!("portero 2: {index}"),
        words,
    });
    let chain = NewChain {
        name: "large".to_owned(),
        hook: None,
        rules: rules.collect(),
    };
    let (sets, chains) = (Vec::new(), Vec::new());
    let objects = [Object::Table { sets, chains }, Object::Chain(chain)];
    let place = Place::Policy;
    let commands = objects.map(|object| Command::Object(ObjectChange { place, object }));
    let script = Script {
        tool: Tool::Nft,
        commands: commands.into(),
    };
    assert!(is_as_by_nft(&script, "large sets"));
}

/// A network whose guests' connections become the host's.
fn masquerading(number: u8) -> Ruleset {
    let net = format!("192.168.{number}.0/24");
    let nat = Nat::Masquerade {
        from: net.parse().expect("a network"),
        addresses: None,
        ports: PortRange::new(1024, 65535).expect("ports"),
    };
    let policy = Policy {
        bridge: format!("virbr{number}"),
        rules: BTreeMap::new(),
        nat: vec![nat],
        neighbors: Vec::new(),
    };
    Ruleset {
        policy: Some(policy),
        ..Ruleset::empty(owner(number))
    }
}

/// A network's guests are one interval of a map. It goes without nft, and neither of those that it touches goes with it or
/// becomes larger, whoever has made the map.
pub(crate) fn intervals_come_and_go(_: &mut Examples) {
    let all = [1, 2, 3].map(masquerading);
    let [one, two, three] = &all;
    let none = Ruleset::empty(two.owner.clone());
    let change = |old, new| {
        let there = PolicyTable::Standing;
        nftables::change_owner(old, new, &Family::ALL, there).expect("a script")
    };
    let is_in_map = |number: u8| {
        let address = format!("192.168.{number}.7");
        let words = ["get", "element", "inet", "portero_policy", "nat_v4"];
        let get = Process::new("nft")
            .args(words)
            .arg(format!("{{ {address} }}"))
            .output();
        get.expect("nft").status.success()
    };
    for is_made_by_nft in [false, true] {
        read("flush ruleset\n");
        make_libvirt_tables();
        let script = nftables::reconcile(&told(), &all).expect("a script");
        match is_made_by_nft {
            true => read(&script.text()),
            false => without_nft(|| commit(&script)),
        }
        assert!([1, 2, 3].map(is_in_map).iter().all(|is_in| *is_in));
        assert!(!is_in_map(4));
        without_nft(|| commit(&change(two, &none)));
        assert_eq!(
            [0, 1, 2, 3, 4].map(is_in_map),
            [false, true, false, true, false]
        );
        assert_eq!(
            nftables::reconcile(&told(), &[one.clone(), three.clone()]),
            None
        );
        without_nft(|| commit(&change(&none, two)));
        assert_eq!(
            [0, 1, 2, 3, 4].map(is_in_map),
            [false, true, true, true, false]
        );
        assert_eq!(nftables::reconcile(&told(), &all), None);
    }
}
