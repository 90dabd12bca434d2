//! Scripts on random rulesets: a comparison gives what is desired from any start, a change and its
//! inverse are the identity, and changes of different owners may come in any order.

use portero_fake::{random_networks, Machine};
use portero_firewall::nftables::PolicyTable;
use portero_firewall::{iptables, nftables, Driver, Firewall, Script, Tool};
use portero_model::{
    Dnat, Family, Owner, OwnerKind, Policy, PortRange, Protocol, ReplyRoute, Rule, Ruleset,
};
use portero_system::{Deadline, System};
use proptest::prelude::*;
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// How many guests there are.
const GUESTS: u8 = 3;

/// Who always has forwards and a policy, so that no table comes or goes with the others.
const RESIDENT: u8 = 99;

/// What somebody does to what is in the firewall, by the places of lines in its text.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One of the rules or elements goes.
    Delete(prop::sample::Index),
    /// One of portero's chains is emptied.
    Flush(prop::sample::Index),
    /// One of portero's rules or elements is there again, for somebody else.
    Add(prop::sample::Index),
}

fn firewalls() -> impl Strategy<Value = Firewall> {
    prop::sample::select(&[Firewall::Iptables, Firewall::Nftables][..])
}

/// Whether two of them have an element of nftables' in common.
fn shares(rulesets: &[Ruleset]) -> bool {
    nftables::Observed::default().reconcile(rulesets).shared
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => index().prop_map(Damage::Delete),
        1 => index().prop_map(Damage::Flush),
        1 => index().prop_map(Damage::Add),
    ]
}

/// A guest's forwards to some of ten ports that are its own.
fn guest(number: u8) -> impl Strategy<Value = Ruleset> {
    let to = (0..10_u16, any::<bool>(), 0..3_u8, 0..5_u8);
    let forwards = prop::collection::btree_map(0..10_u16, to, 0..5);
    forwards.prop_map(move |forwards| {
        let forwards = forwards.into_iter();
        let rules = forwards.flat_map(|(port, (to, is_ipv6, protocol, kind))| {
            forward(number, port, to, is_ipv6, protocol, kind)
        });
        let mut rules: Vec<Rule> = rules.collect();
        rules.sort();
        rules.dedup();
        let uuid = Uuid::from_u128(u128::from(number));
        let name = format!("guest{number}").parse().expect("a name");
        Ruleset {
            rules,
            ..Ruleset::empty(Owner::new(OwnerKind::Domain, uuid, &name))
        }
    })
}

fn forward(number: u8, port: u16, to: u16, is_ipv6: bool, protocol: u8, kind: u8) -> Vec<Rule> {
    let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp][usize::from(protocol)];
    let single = |port| PortRange::new(port, port).expect("a port");
    let (ports, guest_ports) = (
        single(20_000 + u16::from(number) * 10 + port),
        single(80 + to),
    );
    let guest = match is_ipv6 {
        true => format!("fd00:77::{number}"),
        false => format!("10.77.0.{number}"),
    };
    let guest: IpAddr = guest.parse().expect("an address");
    let text = |is_wanted: bool, text: &str| is_wanted.then(|| text.to_owned());
    let source = match is_ipv6 {
        true => "2001:db8::/32",
        false => "192.0.2.0/24",
    };
    let source = text(kind == 1, source).map(|source| source.parse().expect("a net"));
    let address = (kind == 3 && !is_ipv6).then(|| [127, 0, 0, 1].into());
    let mut rules = vec![
        Rule::Dnat(Dnat {
            protocol,
            address,
            dev: text(kind == 2, "eth0"),
            source,
            ports,
            guest,
            guest_ports,
            is_whole_address: false,
        }),
        Rule::Masquerade {
            source,
            guest,
            bridge: source.is_some().then(|| format!("br-{number}")),
        },
    ];
    if kind == 4 && !is_ipv6 {
        let address = [203, 0, 113, number].into();
        let ports = PortRange::new(port * 1000 + 1, port * 1000 + 900).expect("ports");
        return vec![
            Rule::Dnat(Dnat {
                protocol,
                address: Some(address),
                dev: None,
                source: None,
                ports,
                guest,
                guest_ports: ports,
                is_whole_address: true,
            }),
            Rule::Address {
                address,
                guest,
                bridge: format!("br-{number}"),
            },
        ];
    }
    if kind == 2 {
        let host = match is_ipv6 {
            true => format!("2001:db8:51::{number}"),
            false => format!("198.51.100.{number}"),
        };
        rules.push(Rule::Symmetric {
            address: host.parse().expect("an address"),
            guest,
            route: ReplyRoute {
                family: Family::from(guest),
                mark: 1 + number % ReplyRoute::MOST,
                table: 101,
            },
        });
    }
    if address.is_some() {
        rules.push(Rule::Localnet {
            bridge: format!("br-{number}"),
        });
    }
    rules
}

/// Guests and networks, each with what it may have.
fn owners() -> impl Strategy<Value = Vec<Ruleset>> {
    let guests: Vec<_> = (1..=GUESTS).map(guest).collect();
    (guests, random_networks()).prop_map(|(guests, networks)| {
        let networks = networks.with_policy().into_iter();
        guests.into_iter().chain(networks).collect()
    })
}

/// A network with forwards and a policy, whose bridge and addresses nobody else has.
fn resident() -> Ruleset {
    let networks = portero_fake::sample_networks(10);
    let policies = networks.iter().flat_map(|all| all.with_policy());
    let policy = policies.filter_map(|ruleset| ruleset.policy).next();
    let name = "resident".parse().expect("a name");
    let owner = Owner::new(OwnerKind::Network, Uuid::from_u128(9), &name);
    let forwards = [false, true].map(|is_ipv6| forward(RESIDENT, 1, 1, is_ipv6, 0, 0));
    Ruleset {
        rules: forwards.concat(),
        policy: policy.map(|policy| Policy {
            bridge: "br-resident".to_owned(),
            nat: Vec::new(),
            ..policy
        }),
        ..Ruleset::empty(owner)
    }
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

/// A machine whose libvirt uses a firewall.
fn machine(firewall: Firewall) -> Machine {
    let mut machine = Machine::default();
    match firewall {
        Firewall::Iptables => machine.use_iptables(),
        Firewall::Nftables => machine.use_nftables(),
    }
    machine
}

fn reconcile(machine: &mut Machine, firewall: Firewall, desired: &[Ruleset]) -> usize {
    let scripts: Vec<Script> = match firewall {
        Firewall::Iptables => {
            let families = Family::ALL.into_iter();
            let of = |family| {
                let observed = machine.observe_iptables(family, deadline());
                iptables::reconcile(family, &observed.expect("rules"), desired)
            };
            families.filter_map(of).collect()
        }
        Firewall::Nftables => {
            let observed = machine.observe_nftables(deadline()).expect("tables");
            nftables::reconcile(&observed, desired)
                .into_iter()
                .collect()
        }
    };
    commit(machine, &scripts);
    scripts.len()
}

/// Whether an owner's rules are there, as `portero status` asks.
fn holds(machine: &mut Machine, firewall: Firewall, ruleset: &Ruleset) -> bool {
    match firewall {
        Firewall::Iptables => Family::ALL.into_iter().all(|family| {
            let observed = machine.observe_iptables(family, deadline());
            observed.expect("rules").holds(family, ruleset)
        }),
        Firewall::Nftables => {
            let observed = machine.observe_nftables(deadline());
            observed.expect("tables").holds(ruleset)
        }
    }
}

fn commit(machine: &mut Machine, scripts: &[Script]) {
    for script in scripts {
        let done = machine.commit(script, deadline());
        done.unwrap_or_else(|error| panic!("{error} in\n{}", script.text()));
    }
}

/// Changes one owner, whose others stay.
fn change(
    machine: &mut Machine,
    firewall: Firewall,
    (old, new): (&Ruleset, &Ruleset),
    others: &[Ruleset],
) {
    let scripts: Vec<Script> = match firewall {
        Firewall::Iptables => {
            iptables::change_owner(old, new, others.iter().cloned(), &Family::ALL)
        }
        Firewall::Nftables => {
            let tables = PolicyTable::Standing;
            let script = nftables::change_owner(old, new, &Family::ALL, tables);
            script.into_iter().collect()
        }
    };
    commit(machine, &scripts);
}

/// All rules, in the order of their text: those of different owners may stand in any.
fn sorted(machine: &Machine) -> Vec<String> {
    let rules = machine.rules();
    let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Does damage, where there is something that it can be done to.
fn damaged(machine: &mut Machine, firewall: Firewall, damage: Damage) {
    let rules = machine.rules();
    let scripts: Vec<Script> = match firewall {
        Firewall::Iptables => rules
            .lines()
            .filter_map(|line| of_iptables(line, damage))
            .collect(),
        Firewall::Nftables => rules
            .lines()
            .filter_map(|line| of_nftables(line, damage))
            .collect(),
    };
    let (Damage::Delete(at) | Damage::Flush(at) | Damage::Add(at)) = damage;
    if let Some(script) = (!scripts.is_empty()).then(|| at.get(&scripts)) {
        // A chain that is in use cannot go.
        let _ = machine.commit(script, deadline());
    }
}

/// The script that damages a line as `IPv4 filter -A CHAIN RULE`.
fn of_iptables(line: &str, damage: Damage) -> Option<Script> {
    let mut words = line.splitn(5, ' ');
    let family = match words.next()? {
        "IPv4" => Family::Ipv4,
        _ => Family::Ipv6,
    };
    let (table, verb, chain) = (words.next()?, words.next()?, words.next()?);
    let rule = words.next().filter(|_| verb == "-A")?;
    let is_own = chain.starts_with("PORTERO");
    if !is_own && !rule.contains("PORTERO") {
        return None;
    }
    let command = match damage {
        Damage::Delete(_) => format!("-D {chain} {rule}"),
        Damage::Flush(_) if !is_own => return None,
        Damage::Flush(_) => format!("-F {chain}"),
        Damage::Add(_) => format!("-A {chain} {}", rule.replace("10.77.", "10.78.")),
    };
    Some(Script::of_text(
        Tool::Restore(family),
        format!("*{table}\n{command}\nCOMMIT\n"),
    ))
}

/// The script that damages a line as `ip portero SET { KEY : DATA }` or `ip portero CHAIN RULE`.
fn of_nftables(line: &str, damage: Damage) -> Option<Script> {
    let mut words = line.splitn(4, ' ');
    let (family, table, what) = (words.next()?, words.next()?, words.next()?);
    let rest = words.next()?;
    let is_element = rest.starts_with("{ ");
    let place = format!("{family} {table} {what}");
    let text = match damage {
        Damage::Delete(_) if is_element => {
            let key = rest.split(" : ").next()?.trim_end_matches(" }");
            format!("delete element {place} {key} }}\n")
        }
        Damage::Add(_) if is_element => {
            format!("add element {place} {}\n", rest.replace("10.77.", "10.78."))
        }
        Damage::Flush(_) if !is_element && table.contains("portero") => {
            format!("flush chain {place}\n")
        }
        _ => return None,
    };
    Some(Script::of_text(Tool::Nft, text))
}

proptest! {
    // A quarter of PROPTEST_CASES.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_comparison_gives_what_is_desired_from_any_start(
        firewall in firewalls(),
        start in owners(),
        desired in owners(),
        damages in prop::collection::vec(damage(), 0..12),
    ) {
        let mut machine = machine(firewall);
        reconcile(&mut machine, firewall, &start);
        for damage in damages {
            damaged(&mut machine, firewall, damage);
        }
        reconcile(&mut machine, firewall, &desired);
        let mut fresh = self::machine(firewall);
        reconcile(&mut fresh, firewall, &desired);
        prop_assert_eq!(sorted(&machine), sorted(&fresh));
        prop_assert_eq!(reconcile(&mut machine, firewall, &desired), 0);
        for ruleset in &desired {
            prop_assert!(holds(&mut machine, firewall, ruleset), "{ruleset:?}");
        }
        let has = desired.iter().find(|ruleset| ruleset.has_rules());
        let mut empty = self::machine(firewall);
        prop_assert!(!has.is_some_and(|ruleset| holds(&mut empty, firewall, ruleset)));
    }

    #[test]
    fn an_owners_change_and_its_inverse_are_the_identity(
        firewall in firewalls(),
        all in owners(),
        changed in owners(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut machine = machine(firewall);
        let new = at.get(&changed);
        let nothing = Ruleset::empty(new.owner.clone());
        let (mine, mut others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|ruleset| ruleset.owner == new.owner);
        let old = mine.first().unwrap_or(&nothing);
        others.push(resident());
        let before: Vec<Ruleset> = others.iter().chain([old]).cloned().collect();
        let after: Vec<Ruleset> = others.iter().chain([new]).cloned().collect();
        prop_assume!(!shares(&before) && !shares(&after));
        reconcile(&mut machine, firewall, &before);
        let was = sorted(&machine);
        change(&mut machine, firewall, (old, new), &others);
        let mut fresh = self::machine(firewall);
        reconcile(&mut fresh, firewall, &after);
        prop_assert_eq!(sorted(&machine), sorted(&fresh));
        change(&mut machine, firewall, (new, old), &others);
        prop_assert_eq!(sorted(&machine), was);
    }

    #[test]
    fn changes_of_different_owners_may_come_in_any_order(
        firewall in firewalls(),
        all in owners(),
        order in Just((0..u8::MAX).collect::<Vec<u8>>()).prop_shuffle(),
    ) {
        let resident = resident();
        let everybody: Vec<Ruleset> = all.iter().chain([&resident]).cloned().collect();
        prop_assume!(!shares(&everybody));
        let coming = |order: &mut dyn Iterator<Item = usize>| {
            let mut machine = machine(firewall);
            let mut there = vec![resident.clone()];
            reconcile(&mut machine, firewall, &there);
            for number in order {
                let new = &all[number];
                let nothing = Ruleset::empty(new.owner.clone());
                change(&mut machine, firewall, (&nothing, new), &there);
                there.push(new.clone());
            }
            sorted(&machine)
        };
        let shuffled = order.iter().map(|number| usize::from(*number));
        let in_order = coming(&mut (0..all.len()));
        let in_another = coming(&mut shuffled.filter(|number| *number < all.len()));
        prop_assert_eq!(in_order, in_another);
    }
}
