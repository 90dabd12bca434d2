//! A way that holds, and what to break it with.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use crate::doctor::Finding;
use crate::explain::value::{
    Asked, DomainNic, Facts, GuestDomain, GuestNetwork, GuestPath, Wanted, Written,
};
use crate::policy::Ruling;
use portero_inventory::{Answer, BridgePort, LinkState, ObjectState};
use portero_model::{Owner, OwnerKind, Protocol};
use portero_system::RouteLookup;
use portero_trace::{
    BaseChain, Flow, Hook, Judgement, Leg, Link, RuleOwner as By, Settings, Side, Stop, Traffic,
    Translated,
};
use std::net::IpAddr;

pub(super) const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
pub(super) const GUEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 50, 10));
pub(super) const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 50, 1));
pub(super) const MAC: &str = "52:54:00:00:50:10";

pub(super) fn owner() -> Owner {
    Owner {
        kind: OwnerKind::Domain,
        driver: None,
        uuid: uuid::Uuid::nil(),
        name: "my web".to_owned(),
    }
}

pub(super) fn accepted(text: &str) -> Ruling {
    Ruling {
        network: Some("lan".to_owned()),
        ..Ruling::accepting("libvirt", text.to_owned())
    }
}

fn flow() -> Flow {
    Flow {
        traffic: Traffic::Port {
            protocol: Protocol::Tcp,
            port: 80,
            from: None,
        },
        client: Side::Behind(Link::named(Some("eth0".to_owned()))),
        client_address: None,
        server: Side::Behind(Link::bridge("br-lan".to_owned())),
        server_address: GUEST,
        translated: Some(Translated {
            address: Some(HOST),
            port: 8080,
        }),
        is_masqueraded: false,
        judges_bridged: false,
    }
}

pub(super) fn up(master: Option<&str>) -> Option<LinkState> {
    Some(LinkState {
        is_up: true,
        port: master.map(|_| BridgePort::Forwarding),
        master: master.map(str::to_owned),
    })
}

/// A way on which every hop holds.
pub(super) fn whole() -> Facts {
    Facts {
        asked: Asked {
            address: Some(HOST),
            port: 8080,
            protocol: Protocol::Tcp,
            from: None,
        },
        own: vec![("eth0".to_owned(), HOST), ("br-lan".to_owned(), GATEWAY)],
        lacking: None,
        wanted: Wanted::Given {
            owner: owner(),
            state: ObjectState::Running,
            inactive: Vec::new(),
        },
        hooks: None,
        backend: None,
        way: Some(GuestPath {
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
            advertised: Vec::new(),
            network: Some(GuestNetwork {
                name: "lan".to_owned(),
                bridge: "br-lan".to_owned(),
                link: up(None),
                gateway: GATEWAY,
                is_isolated: false,
            }),
            route: RouteLookup::Behind {
                interface: "br-lan".to_owned(),
                mac: None,
            },
            rulings: (
                accepted("libvirt's rules for network 'lan' (mode nat) on packets to its guests"),
                Some(accepted(
                    "libvirt's rules for network 'lan' (mode nat) on packets from its guests",
                )),
            ),
            flow: flow(),
            judgements: [Leg::There, Leg::Back].map(|leg| (leg, Judgement::Passes)),
            settings: Settings::default(),
            unread: Vec::new(),
            also: None,
            diverted: None,
            domain: Some(GuestDomain {
                name: "my web".to_owned(),
                connect: "",
                state: ObjectState::Running,
                nics: vec![DomainNic {
                    mac: MAC.to_owned(),
                    tap: Some(("vnet3".to_owned(), up(Some("br-lan")))),
                    addresses: vec![GUEST],
                }],
            }),
            heard: Some(vec![MAC.to_owned()]),
            others_macs: vec![
                (MAC.to_owned(), "my web".to_owned()),
                ("52:54:00:00:50:11".to_owned(), "peer".to_owned()),
            ],
            answer: Answer::Answered,
            answer_beyond: Some((HOST, Answer::Answered)),
            host_is_kept_out: None,
            back: None,
            discovery: None,
            is_reply_refused: false,
            leaves_by: None,
            crossing: None,
            is_bare_neighbor: false,
            symmetric: None,
            reverse_path_filter: Some(0),
        }),
    }
}

/// The way broken in one place.
pub(super) fn broken(change: impl FnOnce(&mut Facts, &mut GuestPath)) -> Facts {
    let mut facts = whole();
    let mut way = facts.way.take().expect("a way");
    change(&mut facts, &mut way);
    facts.way = Some(way);
    facts
}

/// Somebody wants the port who was not given it.
pub(super) fn wanted(wanted: Wanted) -> Facts {
    Facts {
        wanted,
        way: None,
        ..whole()
    }
}

pub(super) fn trouble(what: &str) -> Finding {
    Finding {
        finding: what.to_owned(),
        mend: "a command".to_owned(),
    }
}

pub(super) fn stop(by: By) -> Stop {
    Stop {
        by,
        verdict: "reject",
        rule: "chain way, handle 7: reject".to_owned(),
        base: BaseChain::Nftables {
            family: "inet".to_owned(),
            table: "other".to_owned(),
            chain: "way".to_owned(),
            hook: Hook::Forward,
        },
    }
}

pub(super) fn tap(way: &mut GuestPath) -> &mut (String, Option<LinkState>) {
    let domain = way.domain.as_mut().expect("a domain");
    domain.nics[0].tap.as_mut().expect("a tap")
}
