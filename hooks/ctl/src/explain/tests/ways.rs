//! Ways that are broken in one place, with what is said of them.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use super::whole::{accepted, broken, stop, tap, trouble, up, whole, HOST, MAC};
use super::Case;
use crate::explain::value::{AddressOf, Crossing, Facts, GuestPath, Wanted};
use crate::policy::Ruling;
use portero_inventory::ObjectState;
use portero_inventory::{Answer, BridgePort, LinkState};
use portero_model::{Protocol, Verdict};
use portero_system::RouteLookup;
use portero_trace::{Judgement, RuleOwner as By};
use std::net::IpAddr;
use std::time::Duration;

const SECOND: &str = "52:54:00:00:50:20";

fn lacking(whose: AddressOf) -> Facts {
    let mut facts = broken(|facts, _| drop(facts.own.remove(0)));
    facts.own.push(("eth0".to_owned(), [203, 0, 113, 5].into()));
    facts.lacking = Some(whose);
    facts
}

fn at_port(way: &mut GuestPath, port: BridgePort) {
    let link = tap(way).1.as_mut().expect("a link");
    link.port = Some(port);
}

fn second_nic(way: &mut GuestPath) {
    let domain = way.domain.as_mut().expect("a domain");
    let mut second = domain.nics[0].clone();
    second.mac = SECOND.to_owned();
    domain.nics.push(second);
}

fn crossing(table: Option<&str>) -> Crossing {
    Crossing {
        address: HOST,
        came: "eth1".to_owned(),
        table: table.map(str::to_owned),
        leaves: "eth0".to_owned(),
    }
}

/// Every hop behind the forward: its name, the hop that fails first, and what is known.
pub(super) fn ways() -> Vec<Case> {
    vec![
        (
            "not the host's address",
            Some("address"),
            lacking(AddressOf::Nobody {
                dev: "eth0".to_owned(),
            }),
        ),
        (
            "somebody else's address",
            Some("address"),
            lacking(AddressOf::Somebody {
                dev: "eth0".to_owned(),
                who: "domain 'lamp' (52:54:00:00:00:07)".to_owned(),
            }),
        ),
        (
            "a guest's address",
            Some("address"),
            lacking(AddressOf::Network {
                name: "lan".to_owned(),
                leads: Some("8080/tcp".to_owned()),
            }),
        ),
        (
            "a guest's address that nothing leads to",
            Some("address"),
            lacking(AddressOf::Network {
                name: "lan".to_owned(),
                leads: None,
            }),
        ),
        (
            "an address far away",
            Some("address"),
            Facts {
                wanted: Wanted::Nobody,
                way: None,
                ..lacking(AddressOf::Unknown)
            },
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
            "no router of IPv6 that is advertised",
            Some("routing"),
            broken(|_, way| {
                way.passes_on = false;
                way.guest = IpAddr::from([0xfd00, 0x50, 0, 0, 0, 0, 0, 0x10]);
                way.advertised = vec!["eth0".to_owned()];
            }),
        ),
        (
            "bridge is down",
            Some("bridge"),
            broken(|_, way| {
                let network = way.network.as_mut().expect("a network");
                network.link = Some(LinkState {
                    is_up: false,
                    master: None,
                    port: None,
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
                way.route = RouteLookup::Behind {
                    interface: "eth0".to_owned(),
                    mac: None,
                }
            }),
        ),
        (
            "no route",
            Some("route"),
            broken(|_, way| way.route = RouteLookup::Nowhere),
        ),
        (
            "policy",
            Some("policy"),
            broken(|_, way| {
                way.rulings.0 = Ruling {
                    verdict: Verdict::Reject,
                    by: "portero",
                    origin: Some("/etc/portero/networks/lan.xml".to_owned()),
                    line: Some(3),
                    ..accepted("rule 1 of the policy of network 'lan'")
                }
            }),
        ),
        (
            "policy of the answer",
            Some("back"),
            broken(|_, way| {
                way.rulings.1 = Some(Ruling {
                    verdict: Verdict::Drop,
                    by: "portero",
                    network: Some("my lan".to_owned()),
                    ..accepted("the policy of network 'my lan', which says nothing of it")
                })
            }),
        ),
        (
            "another table",
            Some("firewalls"),
            broken(|_, way| way.judgements[0].1 = Judgement::Stopped(stop(By::Other))),
        ),
        (
            "another table, the answer",
            Some("firewalls"),
            broken(|_, way| way.judgements[1].1 = Judgement::Stopped(stop(By::Other))),
        ),
        (
            "another table, perhaps",
            None,
            broken(|_, way| way.judgements[0].1 = Judgement::Doubtful(stop(By::Other))),
        ),
        (
            "firewalld",
            Some("firewalls"),
            broken(|_, way| {
                way.settings.is_firewalld_strict = true;
                way.judgements[0].1 = Judgement::Stopped(stop(By::Firewalld));
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
                tap(way).1 = Some(LinkState {
                    is_up: false,
                    master: Some("br-lan".to_owned()),
                    port: Some(BridgePort::Disabled),
                })
            }),
        ),
        (
            "the bridge waits for STP",
            Some("tap"),
            broken(|_, way| {
                at_port(way, BridgePort::Waiting(Duration::from_secs(30)));
                way.heard = Some(Vec::new());
            }),
        ),
        (
            "STP blocks",
            Some("tap"),
            broken(|_, way| at_port(way, BridgePort::Blocking)),
        ),
        (
            "the guest has its end down",
            Some("tap"),
            broken(|_, way| at_port(way, BridgePort::Disabled)),
        ),
        (
            "tap is gone",
            Some("tap"),
            broken(|_, way| tap(way).1 = None),
        ),
        (
            "paused",
            Some("guest"),
            broken(|_, way| way.domain.as_mut().expect("a domain").state = ObjectState::Paused),
        ),
        (
            "nobody answers",
            Some("guest"),
            broken(|_, way| way.heard = Some(Vec::new())),
        ),
        (
            "nobody answers, DHCP says another",
            Some("guest"),
            broken(|_, way| {
                way.domain.as_mut().expect("a domain").nics[0].addresses =
                    vec![[192, 168, 50, 9].into()];
                way.heard = Some(Vec::new());
            }),
        ),
        (
            "another guest answers",
            Some("guest"),
            broken(|_, way| way.heard = Some(vec!["52:54:00:00:50:11".to_owned()])),
        ),
        (
            "two answer",
            Some("guest"),
            broken(|_, way| way.heard = Some(vec![MAC.to_owned(), "02:00:00:00:00:01".to_owned()])),
        ),
        (
            "a guest answers by each of its interfaces",
            None,
            broken(|_, way| {
                second_nic(way);
                way.heard = Some(vec![MAC.to_owned(), SECOND.to_owned()]);
            }),
        ),
        (
            "another guest answers by two interfaces, too",
            Some("guest"),
            broken(|_, way| {
                let peer = ["52:54:00:00:50:11", "52:54:00:00:50:12"];
                way.others_macs
                    .push((peer[1].to_owned(), "peer".to_owned()));
                way.heard = Some([MAC, peer[0], peer[1]].map(str::to_owned).to_vec());
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
                way.host_is_kept_out = Some("a policy keeps the host itself out".to_owned());
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
            "a neighbour that is not masqueraded",
            Some("back"),
            broken(|_, way| way.is_bare_neighbor = true),
        ),
        (
            "isolated",
            None,
            broken(|_, way| way.flow.is_masqueraded = true),
        ),
        (
            "no route to the client",
            Some("back"),
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(RouteLookup::Nowhere);
            }),
        ),
        (
            "the reply leaves by another uplink",
            Some("back"),
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.crossing = Some(crossing(Some("100")));
            }),
        ),
        (
            "the reply leaves by another uplink, to anybody",
            None,
            broken(|_, way| way.crossing = Some(crossing(Some("100")))),
        ),
        (
            "symmetric",
            None,
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(RouteLookup::Nowhere);
                way.symmetric = Some("eth1".to_owned());
            }),
        ),
        (
            "reverse path",
            Some("back"),
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(RouteLookup::Behind {
                    interface: "eth1".to_owned(),
                    mac: None,
                });
                way.leaves_by = Some("eth1".to_owned());
                way.reverse_path_filter = Some(1);
            }),
        ),
        (
            "loose reverse path",
            None,
            broken(|facts, way| {
                facts.asked.from = Some([198, 51, 100, 7].into());
                way.back = Some(RouteLookup::Behind {
                    interface: "eth1".to_owned(),
                    mac: None,
                });
                way.leaves_by = Some("eth1".to_owned());
                way.reverse_path_filter = Some(2);
            }),
        ),
    ]
}
