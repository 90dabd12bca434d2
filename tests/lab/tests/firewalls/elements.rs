//! Elements that the kernel is given and tells without nft, beside what nft makes of the same.

use crate::natively::{is_as_by_nft, needs_no_program};
use crate::{commit, deadline, make_libvirt_tables, Examples};
use portero_firewall::antispoof::{change_antispoof, reconcile_antispoof};
use portero_firewall::nftables::{self, Observed, Place, PolicyTable, TableContent};
use portero_firewall::{Firewall, RuleCounters, Script, Tool};
use portero_model::{
    Antispoof, Dnat, Family, Owner, OwnerKind, PortRange, Protocol, ReplyRoute, Rule, Ruleset,
    Spoof, Tap,
};
use portero_system::{Linux, System, SystemError};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

/// What nft lists of portero's tables and of libvirt's, and what it says that policies have counted.
fn listed() -> (Observed, RuleCounters) {
    let [ipv4, ipv6] = Family::ALL.map(Place::Libvirt);
    let (mut observed, mut counted) = (Observed::default(), RuleCounters::default());
    for place in [Place::Own, Place::Policy, Place::Antispoof, ipv4, ipv6] {
        let words = format!("-j -a list table {place}");
        let output = Command::new("nft").args(words.split(' ')).output();
        let output = output.expect("nft");
        if output.status.success() {
            let content = TableContent::from_json(place, &output.stdout).expect("a listing");
            if place == Place::Policy {
                counted.add_nftables(content.clone());
            }
            observed.add_content(place, content);
        }
    }
    (observed, counted)
}

/// What the kernel tells of the same, which has to be the same.
pub(crate) fn told() -> Observed {
    let mut told = Linux::default()
        .observe_nftables(deadline())
        .expect("tables");
    let antispoof = Linux::default().observe_antispoof(deadline());
    told.add_antispoof(antispoof.expect("a table"));
    let (listed, _) = listed();
    assert!(told == listed, "{told:#?}\nbut nft lists\n{listed:#?}");
    told
}

/// What the kernel tells that policies have counted, and what nft lists of that, is the same.
pub(crate) fn counts(rulesets: &[Ruleset]) {
    let told = Linux::default().count_rules(Firewall::Nftables, deadline());
    let (told, (_, listed)) = (told.expect("counters"), listed());
    for ruleset in rulesets {
        let counters = told.counters(ruleset);
        assert_eq!(counters.is_empty(), ruleset.policy.is_none());
        assert_eq!(counters, listed.counters(ruleset));
    }
}

pub(crate) fn owner(number: u8) -> Owner {
    let uuid = format!("11111111-2222-3333-4444-0000000000{number:02x}");
    Owner {
        kind: OwnerKind::Domain,
        name: format!("guest{number}"),
        uuid: uuid.parse().expect("a UUID"),
        driver: None,
    }
}

/// A guest with forwards of every shape, and with all else that has elements.
fn ruleset(number: u8) -> Ruleset {
    let port = |first: u16, count: u16| PortRange::new(first, first + count - 1).expect("ports");
    let mut rules = Vec::new();
    for (family, host, net, guest) in [
        (Family::Ipv4, "203.0.113.1", "10.0.0.0/8", "192.168.50"),
        (Family::Ipv6, "2001:db8::1", "2001:db8:1::/48", "fd00:50:"),
    ] {
        let guest = match family {
            Family::Ipv4 => format!("{guest}.{number}"),
            Family::Ipv6 => format!("{guest}:{number:x}"),
        };
        let guest = guest.parse().expect("an address");
        for shape in 0..8_u8 {
            let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
            rules.extend(protocols.map(|protocol| {
                let first = 1000 * u16::from(number) + 10 * u16::from(shape);
                Rule::Dnat(Dnat {
                    protocol,
                    address: (shape & 1 != 0).then(|| host.parse().expect("an address")),
                    dev: (shape & 2 != 0).then(|| "eth0".to_owned()),
                    source: (shape & 4 != 0).then(|| net.parse().expect("a network")),
                    ports: port(first, 3),
                    guest,
                    guest_ports: port(first + 5000, 3),
                    is_whole_address: false,
                })
            }));
        }
        rules.extend([
            Rule::Masquerade {
                source: Some(net.parse().expect("a network")),
                guest,
                bridge: None,
            },
            Rule::Masquerade {
                source: None,
                guest,
                bridge: None,
            },
            Rule::Symmetric {
                address: host.parse().expect("an address"),
                guest,
                route: ReplyRoute {
                    family,
                    mark: 2,
                    table: 101,
                },
            },
        ]);
    }
    let (address, guest) = (
        [203, 0, 113, 100 + number].into(),
        [192, 168, 50, number].into(),
    );
    for (first, count) in [(1, 21), (23, 60_000)] {
        rules.push(Rule::Dnat(Dnat {
            protocol: Protocol::Tcp,
            address: Some(address),
            dev: None,
            source: None,
            ports: port(first, count),
            guest,
            guest_ports: port(first, count),
            is_whole_address: true,
        }));
    }
    rules.extend([
        Rule::Address {
            address,
            guest,
            bridge: "virbr0".to_owned(),
        },
        Rule::Localnet {
            bridge: format!("virbr{number}"),
        },
    ]);
    let taps = [Tap {
        name: format!("vnet{number}"),
        mac: format!("52:54:00:00:00:{number:02x}"),
    }];
    Ruleset {
        rules,
        antispoof: Some(Antispoof {
            against: [Spoof::Ip, Spoof::Mac, Spoof::Dhcp, Spoof::Ra].into(),
            nets: ["192.168.50.0/24", "fd00:50::/64"]
                .map(|net| net.parse().expect("a network"))
                .into(),
            taps: taps.into(),
            unguarded: [].into(),
        }),
        ..Ruleset::empty(owner(number))
    }
}

fn change(old: &Ruleset, new: &Ruleset) -> Script {
    let there = PolicyTable::Standing;
    let script = nftables::change_owner(old, new, &Family::ALL, there);
    let mut scripts = vec![script.expect("a script")];
    portero_firewall::append(&mut scripts, change_antispoof(old, new, there));
    let script = scripts.remove(0);
    assert!(scripts.is_empty() && needs_no_program(&script));
    script
}

pub(crate) fn come_and_go(_: &mut Examples) {
    commit(&Script::of_text(Tool::Nft, "flush ruleset\n"));
    make_libvirt_tables();
    let [one, other] = [1, 2].map(ruleset);
    let all = [one.clone(), other.clone()];
    let empty = told();
    // The first owner brings the tables.
    let antispoof = reconcile_antispoof(&empty, &all[..1]).expect("a script");
    assert!(is_as_by_nft(&antispoof, "antispoof"));
    let first = nftables::reconcile(&empty, &all[..1]).expect("a script");
    assert!(is_as_by_nft(&first, "forwards of every shape"));
    commit(&antispoof);
    let before = told();
    assert!(before.holds(&one) && before.holds_antispoof(&one));
    assert!(!before.holds(&other) && !before.holds_antispoof(&other));
    // The second is nothing but elements.
    let none = Ruleset::empty(other.owner.clone());
    commit(&change(&none, &other));
    let both = told();
    for ruleset in &all {
        assert!(both.holds(ruleset) && both.holds_antispoof(ruleset));
    }
    assert_eq!(nftables::reconcile(&both, &all), None);
    assert_eq!(reconcile_antispoof(&both, &all), None);
    // What is there already fails everything, and names the set; so does what is not there.
    let refused = |script: &Script, reason: &str| {
        let error = Linux::default().commit(script, deadline());
        let error = error.expect_err("a refusal");
        assert!(matches!(error, SystemError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(told() == both, "something of it was done");
    };
    let third = Ruleset::empty(owner(3));
    let mut much = change(&third, &ruleset(3));
    much.commands.extend(change(&none, &other).commands);
    refused(&much, "'create element inet portero localnet': File exists");
    refused(
        &change(&ruleset(3), &third),
        "'delete element inet portero localnet': No such file",
    );
    // The same as nft's text, into what nft has made and what the kernel was given.
    commit(&change(&other, &none));
    assert!(told() == before, "something is left");
    let text = change(&none, &other).text();
    commit(&Script::of_text(Tool::Nft, text));
    assert!(told() == both, "nft makes something else of it");
    commit(&change(&other, &none));
    assert!(told() == before, "something is left");
    commit(&nftables::reconcile(&before, &[]).expect("a script"));
    commit(&reconcile_antispoof(&before, &[]).expect("a script"));
    assert_eq!(told(), empty);
}

/// What began before a change of anybody's does not tell what there is after it.
pub(crate) fn begun_readings(_: &mut Examples) {
    commit(&Script::of_text(Tool::Nft, "flush ruleset\n"));
    make_libvirt_tables();
    let one = [ruleset(1)];
    commit(&nftables::reconcile(&told(), &one).expect("a script"));
    let observed_after = |change: Option<&str>| {
        let mut linux = Linux::default();
        linux.preobserve_nftables(deadline());
        // It has long read everything.
        std::thread::sleep(Duration::from_millis(500));
        if let Some(change) = change {
            commit(&Script::of_text(Tool::Nft, change));
        }
        linux.observe_nftables(deadline()).expect("tables")
    };
    assert!(observed_after(None).holds(&one[0]));
    assert!(observed_after(Some("add table inet somebody\n")).holds(&one[0]));
    // And what tells it is not read once more.
    let [begun, anew] = [true, false].map(fastest_reading_of_many);
    assert!(
        begun * 3 < anew,
        "{begun:?} after it has begun, {anew:?} anew"
    );
    let flushed = observed_after(Some("delete table inet portero\n"));
    assert!(!flushed.holds(&one[0]), "it is what there was");
    commit(&nftables::reconcile(&flushed, &one).expect("a script"));
    assert!(told().holds(&one[0]));
}

/// How long it takes to read thousands of elements, once that has begun or from the start.
fn fastest_reading_of_many(has_begun: bool) -> Duration {
    let addresses: Vec<String> = (0..20_000_u32)
        .map(|number| Ipv4Addr::from_bits(number).to_string())
        .collect();
    let addresses = addresses.join(", ");
    let many =
        format!("add set inet portero many {{ type ipv4_addr; elements = {{ {addresses} }} }}\n");
    commit(&Script::of_text(Tool::Nft, many));
    let times = (0..5).map(|_| {
        let mut linux = Linux::default();
        if has_begun {
            linux.preobserve_nftables(deadline());
            std::thread::sleep(Duration::from_millis(500));
        }
        let begin = Instant::now();
        linux.observe_nftables(deadline()).expect("tables");
        begin.elapsed()
    });
    let fastest = times.min().expect("five");
    commit(&Script::of_text(
        Tool::Nft,
        "delete set inet portero many\n",
    ));
    fastest
}
