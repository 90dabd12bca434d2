//! The hops on the host: the forward and its rules, routing, and the firewalls.

use super::address::edit;
use super::hop::Seen;
use super::pending::{obstacle, pending, start};
use crate::explain::value::{
    Diverted, Facts, GuestPath, MissingNetwork, Publisher, RefusalReason, Wanted,
};
use crate::policy::{Ruling, NOBODY};
use crate::stop::{mend_stop, name_stop};
use portero_inventory::ObjectState;
use portero_model::{Family, Owner, OwnerKind, Verdict};
use portero_system::RouteLookup;
use portero_trace::{word, Flow, Judgement, Leg, Scope, Settings, Stop};
use std::net::IpAddr;

const SYNC: &str = "portero sync";

/// Somebody has to want the port, and be able to have it.
pub(super) fn forward(facts: &Facts) -> Seen {
    let (protocol, port) = (facts.asked.protocol, facts.asked.port);
    match &facts.wanted {
        Wanted::Nobody => Seen::fails(
            format!("no domain or network wants {protocol} port {port}"),
            format!("portero forward add DOMAIN {port}:GUESTPORT/{protocol} --persistent"),
        ),
        Wanted::Unclear { problem } => Seen::fails(
            format!("nobody wants the port whose wishes are understood: {problem}"),
            format!("correct what is named there, then: {SYNC}"),
        ),
        Wanted::ForOthers { owner, whom } => Seen::fails(
            format!("{owner} wants it for {whom} only"),
            format!("give its forward another source, or none: {}", edit(owner)),
        ),
        Wanted::Published(publisher) => published(facts, publisher),
        Wanted::Off {
            owner,
            refusal,
            inactive,
        } => judge_off(owner, refusal.as_ref(), inactive),
        Wanted::Later { owner, spec } => Seen::fails(
            format!("{owner} wants it from its next start on"),
            match owner.kind {
                OwnerKind::Domain => {
                    let (connect, name) = (owner.connect_option(), word(&owner.name));
                    format!("portero forward add {connect}{name} {spec} --live")
                }
                OwnerKind::Network => restart_network(&owner.name),
            },
        ),
        Wanted::Refused { owner, refusal } => Seen::fails(
            format!("{} cannot have it: {}", owner, refusal.reason),
            format!("{}, then: {SYNC}", permission(refusal)),
        ),
        Wanted::Pending {
            owner,
            reason,
            waits,
        } => pending(owner, reason, waits),
        Wanted::Untold { owner } => Seen::Ok(format!("{owner} wants it")),
        Wanted::Given {
            owner,
            state: ObjectState::Off,
            inactive,
        } => judge_off(owner, None, inactive),
        Wanted::Given { owner, .. } => match &facts.way {
            Some(way) => {
                let to = with_port(way.guest, way.port);
                Seen::Ok(format!("{owner} wants it, to {to}"))
            }
            None => Seen::Ok(format!("{owner} wants it")),
        },
    }
}

fn judge_off(owner: &Owner, refusal: Option<&RefusalReason>, inactive: &[MissingNetwork]) -> Seen {
    let start = start(owner, inactive);
    let state = match owner.kind {
        OwnerKind::Domain => "is shut off",
        OwnerKind::Network => "is not active",
    };
    match (refusal, obstacle(inactive)) {
        (None, None) => Seen::fails(format!("{owner} wants it and {state}"), start),
        (None, Some(obstacle)) => Seen::fails(
            format!("{owner} wants it and {state}, and {obstacle}"),
            start,
        ),
        (Some(refusal), _) => Seen::fails(
            format!(
                "{owner} wants it, {state}, and its start is refused: {}",
                refusal.reason
            ),
            format!("{}, then: {start}", permission(refusal)),
        ),
    }
}

/// Another program of the host has the port.
fn published(facts: &Facts, publisher: &Publisher) -> Seen {
    let (protocol, port) = (facts.asked.protocol, facts.asked.port);
    // Comments are whoever's wrote them.
    let what: String = publisher
        .what
        .chars()
        .filter(|one| !one.is_control())
        .collect();
    let text = format!("no domain or network wants {protocol} port {port}");
    match publisher.is_docker {
        true => Seen::fails(
            format!("{text}: docker publishes it ({what})"),
            format!(
                "docker ps --filter publish={port}/{protocol} names the container; forward another port, or \
                 publish the container's on another"
            ),
        ),
        false => Seen::fails(
            format!("{text}: another rule sends it elsewhere ({what})"),
            "forward another port, or remove that rule first",
        ),
    }
}

/// What has to be done about a refusal.
fn permission(refusal: &RefusalReason) -> &'static str {
    match refusal.can_be_permitted {
        true => "permit it in [limits] of /etc/portero/portero.toml",
        false => "correct what is named there",
    }
}

fn restart_network(name: &str) -> String {
    let name = word(name);
    format!("virsh net-destroy {name} && virsh net-start {name}")
}

/// libvirt has to run the hooks; what is in the firewall already needs none.
pub(super) fn hooks(facts: &Facts) -> Seen {
    let is_there = facts.way.as_ref().is_some_and(|way| way.is_in_firewall);
    match (&facts.hooks, &facts.wanted) {
        (Some(trouble), _) if is_there => Seen::Ok(format!(
            "not needed for what is in the firewall already; but {}",
            trouble.finding
        )),
        (Some(trouble), _) => Seen::fails(&trouble.finding, &trouble.mend),
        (None, Wanted::Untold { owner }) => Seen::fails(
            format!("no hook has told portero what {owner} wants now"),
            SYNC,
        ),
        (None, _) => Seen::Ok("libvirt runs them".to_owned()),
    }
}

/// The rules have to be in the firewall.
pub(super) fn rule(facts: &Facts, way: &GuestPath) -> Seen {
    let to = with_port(way.guest, way.port);
    if let Some(trouble) = &facts.backend {
        return Seen::fails(&trouble.finding, &trouble.mend);
    }
    if way.is_in_firewall {
        Seen::Ok(format!("DNAT to {to} is in the firewall, and is accepted"))
    } else {
        Seen::fails(
            format!("rules of the forward to {to} are not in the firewall"),
            SYNC,
        )
    }
}

/// The host has to be a router.
pub(super) fn routing(way: &GuestPath) -> Seen {
    let family = Family::from(way.guest);
    let sysctl = forwarding_sysctl(family);
    if way.passes_on {
        return Seen::Ok(format!("{sysctl} is 1"));
    }
    let mut text = format!("{sysctl} is 0: the host passes no {family} packets on");
    if let Some(uplink) = way.advertised.first() {
        text += &format!(
            "; the default route by {uplink} comes from router advertisements, which a router takes only if \
             accept_ra is 2"
        );
    }
    Seen::fails(text, forwarding_mend(family, &way.advertised))
}

/// What makes the host a router, and lets it keep the default routes that it has from router advertisements.
pub(crate) fn forwarding_mend(family: Family, advertised: &[String]) -> String {
    let uplinks = advertised.iter().filter(|_| family == Family::Ipv6);
    // sysctl(8) has dots and slashes change places in the name of an interface.
    let keep = uplinks.map(|dev| format!("net.ipv6.conf.{}.accept_ra=2 ", dev.replace('.', "/")));
    let keep: String = keep.collect();
    format!("sysctl -w {keep}{}=1", forwarding_sysctl(family))
}

/// The setting that makes the host a router.
pub(crate) fn forwarding_sysctl(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "net.ipv4.ip_forward",
        Family::Ipv6 => "net.ipv6.conf.all.forwarding",
    }
}

/// The network's bridge has to be there and up.
pub(super) fn bridge(way: &GuestPath) -> Seen {
    let Some(network) = &way.network else {
        return Seen::Unknown(format!("no active network has {} in a subnet", way.guest));
    };
    let (name, bridge) = (network.name.escape_debug(), &network.bridge);
    match &network.link {
        Some(link) if link.is_up => Seen::Ok(format!("{bridge} of network '{name}' is up")),
        Some(_) => Seen::fails(
            format!("{bridge} of network '{name}' is down"),
            format!("ip link set {bridge} up"),
        ),
        None => Seen::fails(
            format!("{bridge} of network '{name}' is not there"),
            restart_network(&network.name),
        ),
    }
}

/// The host has to send the guest's packets there.
pub(super) fn route(facts: &Facts, way: &GuestPath) -> Seen {
    let guest = way.guest;
    let length = if guest.is_ipv4() { 32 } else { 128 };
    let bridge = way.network.as_ref().map(|network| network.bridge.as_str());
    let mend = match bridge {
        Some(bridge) => format!("ip route replace {guest}/{length} dev {bridge}"),
        None => "virsh net-list --all, and start the guest's network".to_owned(),
    };
    if let Some(diverted) = &way.diverted {
        return divert(guest, diverted);
    }
    match (&way.route, bridge) {
        (RouteLookup::Behind { interface, .. }, Some(bridge)) if interface == bridge => {
            Seen::Ok(format!("{guest} is behind {bridge}"))
        }
        (RouteLookup::Behind { interface, .. }, _) => Seen::fails(
            format!("the host's route to {guest} leads to {interface}"),
            mend,
        ),
        (RouteLookup::Nowhere, _) => Seen::fails(format!("the host has no route to {guest}"), mend),
        (RouteLookup::Host, _) => Seen::fails(
            format!("{guest} is an address of the host itself"),
            match facts.own.iter().find(|(_, own)| *own == guest) {
                Some((dev, _)) => format!("ip address delete {guest}/{length} dev {}", word(dev)),
                None => format!("find what makes it local: ip route show table local {guest}"),
            },
        ),
    }
}

/// Rules of ip-rule(8) send what comes from outside elsewhere.
fn divert(guest: IpAddr, diverted: &Diverted) -> Seen {
    let Diverted { from, came, leaves } = diverted;
    let text = format!("what {from} sends to {guest} by {came}");
    let text = match leaves {
        Some(exit) => {
            let table = exit.table.as_deref();
            let table = table.map_or(String::new(), |table| format!(", by table {table}"));
            format!("{text} leaves by {}{table} (ip rule)", exit.interface)
        }
        None => format!("{text} has no route (ip rule)"),
    };
    let (family, length) = match guest {
        IpAddr::V4(_) => ("", 32),
        IpAddr::V6(_) => ("-6 ", 128),
    };
    Seen::fails(
        text,
        format!("ip {family}rule add to {guest}/{length} lookup main priority 1"),
    )
}

/// libvirt and the policies have to let the packet pass.
pub(super) fn policy(way: &GuestPath) -> Seen {
    judge_ruling(&way.rulings.0, "the packet")
}

/// The same of a reply.
pub(in crate::explain) fn judge_ruling(ruling: &Ruling, what: &str) -> Seen {
    let text = format!("{} of {what} by {}", ruling.verdict, ruling.text);
    if ruling.by == NOBODY {
        return Seen::Ok(ruling.text.clone());
    }
    if ruling.verdict == Verdict::Accept {
        return Seen::Ok(text);
    }
    let network = word(ruling.network.as_deref().unwrap_or_default());
    match (ruling.by, &ruling.origin, ruling.line) {
        ("host", ..) => Seen::Unknown("the host does not pass the packet on".to_owned()),
        ("portero", Some(origin), Some(line)) => Seen::fails(
            text,
            format!("change {origin}, line {line}, so that it passes; then: {SYNC}"),
        ),
        ("portero", ..) => Seen::fails(
            text,
            format!("let its policy say so: portero policy show {network}; then: {SYNC}"),
        ),
        // Its mode means it.
        ("libvirt", ..) => Seen::fails(
            text,
            format!(
                "forward a port of the host to that guest (portero forward add), or let a policy of network {network} \
                 accept it (portero-xml(5))"
            ),
        ),
        _ => Seen::fails(text, SYNC),
    }
}

/// Everybody's rules have to let it pass.
pub(super) fn firewalls(way: &GuestPath) -> Seen {
    judge_firewalls(&Followed {
        flow: &way.flow,
        judgements: &way.judgements,
        settings: &way.settings,
        unread: &way.unread,
        also: way.also.as_deref(),
    })
}

/// A connection that was followed through everybody's rules.
pub(in crate::explain) struct Followed<'a> {
    pub(in crate::explain) flow: &'a Flow,
    /// What the rules make of the packet and its reply.
    pub(in crate::explain) judgements: &'a [(Leg, Judgement)],
    pub(in crate::explain) settings: &'a Settings,
    /// Rules that could not be read.
    pub(in crate::explain) unread: &'a [String],
    /// What else decides, in words.
    pub(in crate::explain) also: Option<&'a str>,
}

/// Whether everybody's rules let a packet and its reply pass.
pub(in crate::explain) fn judge_firewalls(followed: &Followed<'_>) -> Seen {
    const PASSES: &str = "nobody's rules stop the packet or its reply";
    let tell = |leg: Leg, stop: &Stop| {
        let what = match leg {
            Leg::There => "the packet",
            Leg::Back => "its reply",
        };
        format!("{} of {what}, by {}", stop.verdict, name_stop(stop))
    };
    for (leg, judgement) in followed.judgements {
        if let Judgement::Stopped(stop) = judgement {
            let at = (followed.flow, *leg);
            let mend = mend_stop(stop, at, followed.settings, Scope::Port);
            return Seen::fails(tell(*leg, stop), mend);
        }
    }
    for (leg, judgement) in followed.judgements {
        if let Judgement::Doubtful(stop) = judgement {
            return Seen::Unknown(format!("perhaps {}", tell(*leg, stop)));
        }
    }
    match (followed.unread.first(), followed.also) {
        (Some(problem), _) => Seen::Unknown(format!("not all rules could be read: {problem}")),
        (None, Some(also)) => Seen::Unknown(format!("{PASSES}, but {also}")),
        (None, None) => Seen::Ok(PASSES.to_owned()),
    }
}

/// `192.0.2.1 port 80`.
pub(super) fn with_port(address: IpAddr, port: u16) -> String {
    format!("{address} port {port}")
}
