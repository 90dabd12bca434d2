//! Scripts for iptables-restore: what an owner's change and a comparison come to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use portero_firewall::iptables::{change_owner, reconcile, Observed, Table};
use portero_firewall::{Script, Tool};
use portero_model::{Dnat, Family, Owner, OwnerKind, PortRange, Protocol, Rule, Ruleset};
use uuid::Uuid;

fn ruleset(name: &str, number: u8) -> Ruleset {
    let ports = |port| PortRange::new(port, port).expect("a port");
    let owner = Owner {
        kind: OwnerKind::Domain,
        driver: None,
        uuid: Uuid::from_u128(u128::from(number)),
        name: name.to_owned(),
    };
    let guest = [192, 168, 122, number].into();
    let (host, inside) = (ports(8000 + u16::from(number)), ports(80));
    let rules = vec![Rule::Dnat(Dnat {
        protocol: Protocol::Tcp,
        address: None,
        dev: None,
        source: None,
        ports: host,
        guest,
        guest_ports: inside,
        is_whole_address: false,
    })];
    Ruleset {
        rules,
        ..Ruleset::empty(owner)
    }
}

fn only(scripts: Vec<Script>) -> String {
    assert_eq!(scripts.len(), 1, "{scripts:?}");
    assert_eq!(scripts[0].tool, Tool::Restore(Family::Ipv4));
    scripts[0].text()
}

/// What `iptables -S` would print after a script on an empty firewall.
fn after(script: &str) -> Observed {
    let mut observed = Observed::default();
    for table in Table::ALL {
        let start = format!("*{}\n", table.name());
        let Some(text) = script.split(&start).nth(1) else {
            continue;
        };
        let text = text.split("COMMIT").next().expect("a table");
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.strip_prefix(':') {
                Some(chain) => format!("-N {}", chain.replace(" - [0:0]", "")),
                None => line.replacen("-I ", "-A ", 1),
            })
            .collect();
        observed.add(table, lines.iter().map(String::as_str));
    }
    observed
}

#[test]
fn the_first_owner_brings_the_base_chains_and_the_last_takes_them() {
    let (a, b) = (ruleset("a", 1), ruleset("b", 2));
    let nothing = Ruleset::empty(a.owner.clone());
    let first = only(change_owner(&nothing, &a, [], &[]));
    assert!(
        first.contains("-I FORWARD ") && first.contains(":PORTERO-DNAT "),
        "{first}"
    );
    let second = only(change_owner(&nothing, &a, [b.clone()], &[]));
    assert!(
        !second.contains("-I FORWARD ") && !second.contains(":PORTERO-DNAT "),
        "{second}"
    );
    let leaves = only(change_owner(&a, &nothing, [b], &[]));
    assert!(!leaves.contains("-X PORTERO-DNAT\n"), "{leaves}");
    let last = only(change_owner(&a, &nothing, [], &[]));
    assert!(
        last.contains("-D FORWARD ") && last.contains("-X PORTERO-DNAT\n"),
        "{last}"
    );
    assert_eq!(change_owner(&a, &a, [], &[]), []);
}

#[test]
fn a_comparison_after_a_change_finds_nothing_to_do() {
    let a = ruleset("a", 1);
    let script = only(change_owner(&Ruleset::empty(a.owner.clone()), &a, [], &[]));
    let observed = after(&script);
    assert!(observed.holds(Family::Ipv4, &a));
    assert_eq!(
        reconcile(Family::Ipv4, &observed, std::slice::from_ref(&a)),
        None
    );
    let gone = reconcile(Family::Ipv4, &observed, &[])
        .expect("a script")
        .text();
    assert!(
        gone.contains("-X PORTERO-FORWARD\n") && gone.contains("-D PREROUTING "),
        "{gone}"
    );
    assert_eq!(reconcile(Family::Ipv6, &Observed::default(), &[a]), None);
}

#[test]
fn a_jump_below_libvirts_or_there_twice_is_mended() {
    let a = ruleset("a", 1);
    let script = only(change_owner(&Ruleset::empty(a.owner.clone()), &a, [], &[]));
    let jump =
        "-I FORWARD -m conntrack --ctstate DNAT -m comment --comment portero -j PORTERO-FORWARD\n";
    assert!(script.contains(jump));
    let below = after(&script.replace(jump, &format!("-I FORWARD -j LIBVIRT_FWX\n{jump}")));
    let mended = reconcile(Family::Ipv4, &below, std::slice::from_ref(&a))
        .expect("a script")
        .text();
    assert_eq!(
        mended,
        format!("*filter\n{}{jump}COMMIT\n", jump.replace("-I", "-D"))
    );
    let twice = after(&script.replace(jump, &format!("{jump}{jump}")));
    let mended = reconcile(Family::Ipv4, &twice, &[a])
        .expect("a script")
        .text();
    assert_eq!(mended.matches("-D FORWARD ").count(), 2);
    assert_eq!(mended.matches("-I FORWARD ").count(), 1);
}

#[test]
fn libvirts_jumps_are_below_in_every_chain() {
    let mut a = ruleset("a", 1);
    a.rules.push(Rule::Localnet {
        bridge: "br-a".to_owned(),
    });
    a.rules.push(Rule::Masquerade {
        source: None,
        guest: [192, 168, 122, 1].into(),
        bridge: None,
    });
    let script = only(change_owner(&Ruleset::empty(a.owner.clone()), &a, [], &[]));
    let jumps: Vec<&str> = script
        .lines()
        .filter(|line| line.starts_with("-I "))
        .collect();
    assert_eq!(jumps.len(), 6, "{script}");
    let chain = |jump: &str| jump.split(' ').nth(1).map(str::to_owned);
    for jump in &jumps {
        let built_in = chain(jump).expect("a chain");
        // Between two of portero's nobody else may stand.
        if jumps
            .iter()
            .filter(|other| chain(other) == chain(jump))
            .count()
            > 1
        {
            continue;
        }
        for (other, is_mended) in [("LIBVIRT_ANY", true), ("OTHERS", false)] {
            let above = format!("-I {built_in} -j {other}\n{jump}\n");
            let below = after(&script.replace(&format!("{jump}\n"), &above));
            let mended = reconcile(Family::Ipv4, &below, std::slice::from_ref(&a));
            let mended = mended.map(|script| script.text()).unwrap_or_default();
            assert_eq!(mended.contains(jump), is_mended, "{above}{mended}");
        }
    }
}

#[test]
fn a_name_cannot_leave_its_comment() {
    let mut owner = ruleset("a", 1).owner;
    owner.name = "-A; reboot \"x\"\n\u{e9}".to_owned();
    assert_eq!(owner.comment(), "domain -A__reboot__x___");
    owner.name = "n".repeat(5000);
    assert!(owner.comment().len() < 100);
    assert_eq!(owner.hash().len(), 16);
}

#[test]
fn everybody_as_source_is_no_match_since_iptables_prints_none() {
    let of = |source: &str| {
        let mut a = ruleset("a", 1);
        let Rule::Dnat(Dnat { source: from, .. }) = &mut a.rules[0] else {
            panic!("no DNAT");
        };
        *from = Some(source.parse().expect("a network"));
        only(change_owner(&Ruleset::empty(a.owner.clone()), &a, [], &[]))
    };
    assert!(of("192.0.2.7/24").contains("-s 192.0.2.0/24 "));
    assert!(!of("0.0.0.0/0").contains("-s "));
}
