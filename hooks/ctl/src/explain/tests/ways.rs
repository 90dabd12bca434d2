//! Ways that are broken in one place, with what is said of them.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use super::whole::{accepted, broken, stop, tap, trouble, up, whole, HOST, MAC};
use super::Case;
use crate::explain::value::Facts;
use crate::policy::Ruling;
use portero_inventory::ObjectState;
use portero_inventory::{Answer, LinkState};
use portero_model::{Protocol, Verdict};
use portero_system::RouteLookup;
use portero_trace::{Judgement, RuleOwner as By};

/// Every hop behind the forward: its name, the hop that fails first, and what is known.
pub(super) fn ways() -> Vec<Case> {
    vec![
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
                network.link = Some(LinkState {
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
            broken(|_, way| way.others[0].1 = Judgement::Stopped(stop(By::Other))),
        ),
        (
            "another table, the answer",
            Some("firewalls"),
            broken(|_, way| way.others[1].1 = Judgement::Stopped(stop(By::Other))),
        ),
        (
            "another table, perhaps",
            None,
            broken(|_, way| way.others[0].1 = Judgement::Doubtful(stop(By::Other))),
        ),
        (
            "firewalld",
            Some("firewalls"),
            broken(|_, way| {
                way.settings.is_firewalld_strict = true;
                way.others[0].1 = Judgement::Stopped(stop(By::Firewalld));
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
                way.back = Some(RouteLookup::Nowhere);
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
                way.reverse_path_filter = Some(2);
            }),
        ),
    ]
}
