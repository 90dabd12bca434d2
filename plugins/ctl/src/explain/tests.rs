//! What is said of whole ways: a way that holds, and the same way broken in one place at a time. They
//! are written down in tests/explain/hops; `PORTERO_CASES=accept` writes down what is said now.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use super::firewall::{Base, Owner as By, Packet, Passage, Stop, Way as Direction};
use super::judge::{first_failing, hops, State};
use super::text;
use super::value::{Asked, Domain, Facts, Network, Nic, Owner, Trouble, Wanted, Way, Written};
use crate::policy::Ruling;
use portero_apply::inspect::{Answer, Heard, Link, Settings};
use portero_apply::{Life, Whereabouts};
use portero_plan::{Protocol, Verdict};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
const GUEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 50, 10));
const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 50, 1));
const MAC: &str = "52:54:00:00:50:10";

fn owner(life: Life) -> Owner {
    Owner {
        kind: "domain",
        name: "my web".to_owned(),
        life,
    }
}

fn accepted(text: &str) -> Ruling {
    Ruling {
        verdict: Verdict::Accept,
        by: Some("libvirt"),
        network: Some("lan".to_owned()),
        place: None,
        text: text.to_owned(),
    }
}

fn packet(way: Direction) -> Packet {
    Packet {
        protocol: Protocol::Tcp,
        way,
        outside: Some("eth0".to_owned()),
        inside: "br-lan".to_owned(),
        client: None,
        host: Some(HOST),
        host_port: 8080,
        guest: GUEST,
        guest_port: 80,
    }
}

fn up(master: Option<&str>) -> Option<Link> {
    Some(Link {
        is_up: true,
        master: master.map(str::to_owned),
    })
}

/// A way on which every hop holds.
fn whole() -> Facts {
    let others = [Direction::There, Direction::Back].map(|way| (packet(way), Passage::Passes));
    Facts {
        asked: Asked {
            address: Some(HOST),
            port: 8080,
            protocol: Protocol::Tcp,
            from: None,
        },
        own: vec![("eth0".to_owned(), HOST), ("br-lan".to_owned(), GATEWAY)],
        outer: Some("eth0".to_owned()),
        wanted: Wanted::Given {
            owner: owner(Life::Running),
        },
        hooks: None,
        backend: None,
        way: Some(Way {
            address: None,
            outside: Some("eth0".to_owned()),
            written: Some(Written {
                spec: "8080:80/tcp --guest 192.168.50.10".to_owned(),
                without_guest: "8080:80/tcp".to_owned(),
            }),
            guest: GUEST,
            port: 80,
            is_in_firewall: true,
            passes_on: true,
            network: Some(Network {
                name: "lan".to_owned(),
                bridge: "br-lan".to_owned(),
                link: up(None),
                gateway: GATEWAY,
                is_isolated: false,
            }),
            route: Whereabouts::Behind {
                interface: "br-lan".to_owned(),
                mac: None,
            },
            rulings: (
                accepted("libvirt's rules for network 'lan' (mode nat) on packets to its guests"),
                Some(accepted(
                    "libvirt's rules for network 'lan' (mode nat) on packets from its guests",
                )),
            ),
            others: others.to_vec(),
            settings: Settings::default(),
            unread: Vec::new(),
            domain: Some(Domain {
                name: "my web".to_owned(),
                life: Life::Running,
                nics: vec![Nic {
                    mac: MAC.to_owned(),
                    tap: Some(("vnet3".to_owned(), up(Some("br-lan")))),
                    addresses: vec![GUEST],
                }],
            }),
            heard: Heard::Macs(vec![MAC.to_owned()]),
            others_macs: vec![
                (MAC.to_owned(), "my web".to_owned()),
                ("52:54:00:00:50:11".to_owned(), "peer".to_owned()),
            ],
            answer: Answer::Answered,
            answer_beyond: Some((HOST, Answer::Answered)),
            host_is_kept_out: false,
            back: None,
            reverse_path_filter: Some(0),
        }),
    }
}

/// The way broken in one place.
fn broken(change: impl FnOnce(&mut Facts, &mut Way)) -> Facts {
    let mut facts = whole();
    let mut way = facts.way.take().expect("a way");
    change(&mut facts, &mut way);
    facts.way = Some(way);
    facts
}

/// Somebody wants the port who was not given it.
fn wanted(wanted: Wanted) -> Facts {
    Facts {
        wanted,
        way: None,
        ..whole()
    }
}

fn trouble(what: &str) -> Trouble {
    Trouble {
        what: what.to_owned(),
        mend: "a command".to_owned(),
    }
}

fn stop(by: By) -> Stop {
    Stop {
        by,
        verdict: "reject",
        rule: "chain way, handle 7: reject".to_owned(),
        base: Base::Nftables("inet".to_owned(), "other".to_owned(), "way".to_owned()),
    }
}

/// Every case: its name, the hop that fails first, and what is known.
fn cases() -> Vec<(&'static str, Option<&'static str>, Facts)> {
    let pending = |known, inactive: Option<&str>| Wanted::Pending {
        owner: owner(Life::Running),
        reason: "network 'lan' has neither a DHCP reservation nor a lease".to_owned(),
        known,
        inactive: inactive.map(str::to_owned),
    };
    let off = |refusal: Option<&str>| Wanted::Off {
        owner: owner(Life::Off),
        refusal: refusal.map(str::to_owned),
    };
    let running = || owner(Life::Running);
    vec![
        ("whole", None, whole()),
        ("nobody", Some("forward"), wanted(Wanted::Nobody)),
        (
            "unclear",
            Some("forward"),
            wanted(Wanted::Unclear {
                problem: "metadata of domain 'x', line 3".to_owned(),
            }),
        ),
        (
            "for others",
            Some("forward"),
            wanted(Wanted::ForOthers {
                owner: running(),
                whom: "clients in 198.51.100.0/24".to_owned(),
            }),
        ),
        ("shut off", Some("forward"), wanted(off(None))),
        (
            "shut off and refused",
            Some("forward"),
            wanted(off(Some(
                "host port 8080 is not among the ports that [limits] in portero.toml permits",
            ))),
        ),
        (
            "from its next start",
            Some("forward"),
            wanted(Wanted::Later {
                owner: running(),
                spec: "8080:80/tcp".to_owned(),
            }),
        ),
        (
            "refused",
            Some("forward"),
            wanted(Wanted::Refused {
                owner: running(),
                reason: "tcp port 8080 is held by domain 'other'".to_owned(),
            }),
        ),
        ("no lease", Some("forward"), wanted(pending(None, None))),
        (
            "a lease by now",
            Some("forward"),
            wanted(pending(Some(GUEST), None)),
        ),
        (
            "network is not active",
            Some("forward"),
            wanted(pending(None, Some("my lan"))),
        ),
        (
            "shut off, with rules",
            Some("forward"),
            Facts {
                wanted: Wanted::Given {
                    owner: owner(Life::Off),
                },
                ..whole()
            },
        ),
        (
            "untold",
            Some("hooks"),
            wanted(Wanted::Untold { owner: running() }),
        ),
        (
            "untold for a reason",
            Some("hooks"),
            Facts {
                hooks: Some(trouble("libvirtd is older")),
                ..wanted(Wanted::Untold { owner: running() })
            },
        ),
        (
            "hooks are missing, rules are there",
            None,
            Facts {
                hooks: Some(trouble("a hook is missing")),
                ..whole()
            },
        ),
        (
            "not the host's address",
            Some("address"),
            broken(|facts, _| drop(facts.own.remove(0))),
        ),
        (
            "two firewalls",
            Some("rule"),
            Facts {
                backend: Some(trouble("two firewalls")),
                ..whole()
            },
        ),
        (
            "no rules",
            Some("rule"),
            broken(|_, way| way.is_in_firewall = false),
        ),
        (
            "no router",
            Some("routing"),
            broken(|_, way| way.passes_on = false),
        ),
        (
            "bridge is down",
            Some("bridge"),
            broken(|_, way| {
                let network = way.network.as_mut().expect("a network");
                network.link = Some(Link {
                    is_up: false,
                    master: None,
                });
            }),
        ),
        (
            "no bridge",
            Some("bridge"),
            broken(|_, way| way.network.as_mut().expect("a network").link = None),
        ),
        (
            "route elsewhere",
            Some("route"),
            broken(|_, way| {
                way.route = Whereabouts::Behind {
                    interface: "eth0".to_owned(),
                    mac: None,
                }
            }),
        ),
        (
            "no route",
            Some("route"),
            broken(|_, way| way.route = Whereabouts::Nowhere),
        ),
        (
            "policy",
            Some("policy"),
            broken(|_, way| {
                way.rulings.0 = Ruling {
                    verdict: Verdict::Reject,
                    by: Some("portero"),
                    network: Some("lan".to_owned()),
                    place: Some(("/etc/portero/networks/lan.xml".to_owned(), 3)),
                    text: "rule 1 of the policy of network 'lan'".to_owned(),
                }
            }),
        ),
        (
            "policy of the answer",
            Some("back"),
            broken(|_, way| {
                way.rulings.1 = Some(Ruling {
                    verdict: Verdict::Drop,
                    by: Some("portero"),
                    network: Some("my lan".to_owned()),
                    place: None,
                    text: "the policy of network 'my lan', which says nothing of it".to_owned(),
                })
            }),
        ),
        (
            "another table",
            Some("firewalls"),
            broken(|_, way| way.others[0].1 = Passage::Stopped(stop(By::Other))),
        ),
        (
            "another table, the answer",
            Some("firewalls"),
            broken(|_, way| way.others[1].1 = Passage::Stopped(stop(By::Other))),
        ),
        (
            "another table, perhaps",
            None,
            broken(|_, way| way.others[0].1 = Passage::Doubtful(stop(By::Other))),
        ),
        (
            "firewalld",
            Some("firewalls"),
            broken(|_, way| {
                way.settings.is_firewalld_strict = true;
                way.others[0].1 = Passage::Stopped(stop(By::Firewalld));
            }),
        ),
        (
            "unread",
            None,
            broken(|_, way| way.unread.push("nft did not end within 10 s".to_owned())),
        ),
        (
            "tap out of the bridge",
            Some("tap"),
            broken(|_, way| tap(way).1 = up(None)),
        ),
        (
            "tap is down",
            Some("tap"),
            broken(|_, way| {
                tap(way).1 = Some(Link {
                    is_up: false,
                    master: Some("br-lan".to_owned()),
                })
            }),
        ),
        (
            "tap is gone",
            Some("tap"),
            broken(|_, way| tap(way).1 = None),
        ),
        (
            "paused",
            Some("guest"),
            broken(|_, way| way.domain.as_mut().expect("a domain").life = Life::Paused),
        ),
        (
            "nobody answers",
            Some("guest"),
            broken(|_, way| way.heard = Heard::Macs(Vec::new())),
        ),
        (
            "nobody answers, DHCP says another",
            Some("guest"),
            broken(|_, way| {
                way.domain.as_mut().expect("a domain").nics[0].addresses =
                    vec![[192, 168, 50, 9].into()];
                way.heard = Heard::Macs(Vec::new());
            }),
        ),
        (
            "another guest answers",
            Some("guest"),
            broken(|_, way| way.heard = Heard::Macs(vec!["52:54:00:00:50:11".to_owned()])),
        ),
        (
            "two answer",
            Some("guest"),
            broken(|_, way| {
                way.heard = Heard::Macs(vec![MAC.to_owned(), "02:00:00:00:00:01".to_owned()])
            }),
        ),
        (
            "a network's forward",
            None,
            broken(|_, way| way.domain = None),
        ),
        (
            "not listening",
            Some("service"),
            broken(|_, way| way.answer = Answer::Refused),
        ),
        (
            "silent",
            Some("service"),
            broken(|_, way| {
                way.answer = Answer::Silent;
                way.answer_beyond = None;
            }),
        ),
        (
            "silent to a host that is kept out",
            None,
            broken(|_, way| {
                way.answer = Answer::Silent;
                way.answer_beyond = None;
                way.host_is_kept_out = true;
            }),
        ),
        (
            "silent UDP",
            None,
            broken(|facts, way| {
                facts.asked.protocol = Protocol::Udp;
                way.answer = Answer::Silent;
                way.answer_beyond = None;
            }),
        ),
        (
            "SCTP",
            None,
            broken(|facts, way| {
                facts.asked.protocol = Protocol::Sctp;
                way.answer = Answer::NotAsked;
                way.answer_beyond = None;
            }),
        ),
        (
            "no default route",
            Some("back"),
            broken(|_, way| way.answer_beyond = Some((HOST, Answer::Silent))),
        ),
        (
            "isolated",
            None,
            broken(|_, way| way.network.as_mut().expect("a network").is_isolated = true),
        ),
        (
            "no route to the client",
            Some("back"),
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(Whereabouts::Nowhere);
            }),
        ),
        (
            "reverse path",
            Some("back"),
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(Whereabouts::Behind {
                    interface: "eth1".to_owned(),
                    mac: None,
                });
                way.reverse_path_filter = Some(1);
            }),
        ),
        (
            "loose reverse path",
            None,
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(Whereabouts::Behind {
                    interface: "eth1".to_owned(),
                    mac: None,
                });
                way.reverse_path_filter = Some(2);
            }),
        ),
    ]
}

fn tap(way: &mut Way) -> &mut (String, Option<Link>) {
    let domain = way.domain.as_mut().expect("a domain");
    domain.nics[0].tap.as_mut().expect("a tap")
}

#[test]
fn every_case_is_said_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/explain/hops");
    let said: String = cases()
        .iter()
        .map(|(name, _, facts)| format!("# {name}\n{}\n", text(facts, &hops(facts))))
        .collect();
    if std::env::var("PORTERO_CASES").is_ok_and(|word| word == "accept") {
        fs::write(&path, said).expect("the file");
    } else {
        let before = fs::read_to_string(&path).expect("the file");
        assert_eq!(said, before);
    }
}

#[test]
fn the_first_hop_that_fails_is_the_one_that_is_broken() {
    for (name, broken, facts) in cases() {
        let hops = hops(&facts);
        let failing = first_failing(&hops);
        assert_eq!(failing.map(|hop| hop.hop), broken, "{name}");
        for hop in hops {
            assert_eq!(
                hop.mend.is_some(),
                hop.state == State::Fails,
                "{name}: {hop:?}"
            );
        }
    }
}
