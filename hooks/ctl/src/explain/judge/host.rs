//! The hops on the host: its address, the forward and its rules, routing, and the firewalls.

use super::hop::Found;
use crate::explain::value::{Facts, GuestPath, Refusal, Wanted};
use crate::policy::Ruling;
use portero_inventory::ObjectState;
use portero_model::{Family, Owner, OwnerKind, Verdict};
use portero_system::RouteLookup;
use portero_trace::word;
use portero_trace::{mend, Base, Judgement, Leg, Packet, Scope, Stop};
use std::net::IpAddr;

const SYNC: &str = "portero sync";

/// The host's address has to be the host's.
pub(super) fn address(facts: &Facts) -> Found {
    let named = facts.way.as_ref().and_then(|way| way.address);
    let Some(address) = facts.asked.address.or(named) else {
        return Found::Ok("any address of the host's".to_owned());
    };
    if address.is_loopback() {
        return Found::Ok(format!(
            "{address} is the host's own, for the host itself alone"
        ));
    }
    let mut own = facts.own.iter();
    if let Some((dev, _)) = own.find(|(_, own)| *own == address) {
        return Found::Ok(format!("{address} is on {dev}"));
    }
    let length = if address.is_ipv4() { 32 } else { 128 };
    let outside = facts.way.as_ref().and_then(|way| way.outside.clone());
    let dev = outside.or(facts.outer.clone());
    Found::fails(
        format!("{address} is not an address of this host"),
        format!(
            "ip address add {address}/{length} dev {}",
            dev.unwrap_or_else(|| "INTERFACE".to_owned())
        ),
    )
}

/// Somebody has to want the port, and be able to have it.
pub(super) fn forward(facts: &Facts) -> Found {
    let port = facts.asked.port;
    match &facts.wanted {
        Wanted::Nobody => Found::fails(
            format!(
                "no domain or network wants {} port {port}",
                facts.asked.protocol
            ),
            format!(
                "portero forward add DOMAIN {port}:GUESTPORT/{} --persistent",
                facts.asked.protocol
            ),
        ),
        Wanted::Unclear { problem } => Found::fails(
            format!("nobody wants the port whose wishes are understood: {problem}"),
            format!("correct what is named there, then: {SYNC}"),
        ),
        Wanted::ForOthers { owner, whom } => Found::fails(
            format!("{owner} wants it for {whom} only"),
            format!(
                "give its forward another source, or none: virsh edit {}",
                word(&owner.name)
            ),
        ),
        Wanted::Off { owner, refusal } => off(owner, refusal.as_ref()),
        Wanted::Later { owner, spec } => Found::fails(
            format!("{owner} wants it from its next start on"),
            match owner.kind {
                OwnerKind::Domain => {
                    format!("portero forward add {} {spec} --live", word(&owner.name))
                }
                OwnerKind::Network => restart_network(&owner.name),
            },
        ),
        Wanted::Refused { owner, refusal } => Found::fails(
            format!("{} cannot have it: {}", owner, refusal.reason),
            format!("{}, then: {SYNC}", permission(refusal)),
        ),
        Wanted::Pending {
            owner,
            reason,
            known,
            inactive,
        } => {
            let text = format!("{owner} waits for it: {reason}");
            match (inactive, known) {
                (Some(network), _) => Found::fails(text, format!("virsh net-start {}", word(network))),
                (None, Some(address)) => {
                    Found::fails(format!("{text}; it has {address} by now"), SYNC)
                }
                (None, None) => Found::fails(
                    text,
                    format!(
                        "let the guest ask for an address by DHCP, or give the forward one (guest); \
                         then: {SYNC}"
                    ),
                ),
            }
        }
        Wanted::Untold { owner } => Found::Ok(format!("{owner} wants it")),
        Wanted::Given {
            owner,
            state: ObjectState::Off,
        } => off(owner, None),
        Wanted::Given { owner, .. } => match &facts.way {
            Some(way) => Found::Ok(format!(
                "{} wants it, to {}",
                owner,
                with_port(way.guest, way.port)
            )),
            None => Found::Ok(format!("{owner} wants it")),
        },
    }
}

fn off(owner: &Owner, refusal: Option<&Refusal>) -> Found {
    let name = word(&owner.name);
    let (state, start) = match owner.kind {
        OwnerKind::Domain => ("is shut off", format!("virsh start {name}")),
        OwnerKind::Network => ("is not active", format!("virsh net-start {name}")),
    };
    match refusal {
        None => Found::fails(format!("{owner} wants it and {state}"), start),
        Some(refusal) => Found::fails(
            format!(
                "{} wants it, {state}, and its start is refused: {}",
                owner, refusal.reason
            ),
            format!("{}, then: {start}", permission(refusal)),
        ),
    }
}

/// What has to be done about a refusal.
fn permission(refusal: &Refusal) -> &'static str {
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
pub(super) fn hooks(facts: &Facts) -> Found {
    let is_there = facts.way.as_ref().is_some_and(|way| way.is_in_firewall);
    match (&facts.hooks, &facts.wanted) {
        (Some(trouble), _) if is_there => Found::Ok(format!(
            "not needed for what is in the firewall already; but {}",
            trouble.finding
        )),
        (Some(trouble), _) => Found::fails(&trouble.finding, &trouble.mend),
        (None, Wanted::Untold { owner }) => Found::fails(
            format!("no hook has told portero what {owner} wants now"),
            SYNC,
        ),
        (None, _) => Found::Ok("libvirt runs them".to_owned()),
    }
}

/// The rules have to be in the firewall.
pub(super) fn rule(facts: &Facts, way: &GuestPath) -> Found {
    let to = with_port(way.guest, way.port);
    if let Some(trouble) = &facts.backend {
        return Found::fails(&trouble.finding, &trouble.mend);
    }
    if way.is_in_firewall {
        Found::Ok(format!("DNAT to {to} is in the firewall, and is accepted"))
    } else {
        Found::fails(
            format!("rules of the forward to {to} are not in the firewall"),
            SYNC,
        )
    }
}

/// The host has to be a router.
pub(super) fn routing(way: &GuestPath) -> Found {
    let family = Family::from(way.guest);
    let sysctl = match family {
        Family::Ipv4 => "net.ipv4.ip_forward",
        Family::Ipv6 => "net.ipv6.conf.all.forwarding",
    };
    if way.passes_on {
        Found::Ok(format!("{sysctl} is 1"))
    } else {
        Found::fails(
            format!("{sysctl} is 0: the host passes no {family} packets on"),
            format!("sysctl -w {sysctl}=1"),
        )
    }
}

/// The network's bridge has to be there and up.
pub(super) fn bridge(way: &GuestPath) -> Found {
    let Some(network) = &way.network else {
        return Found::Unknown(format!("no active network has {} in a subnet", way.guest));
    };
    let (name, bridge) = (network.name.escape_debug(), &network.bridge);
    match &network.link {
        Some(link) if link.is_up => Found::Ok(format!("{bridge} of network '{name}' is up")),
        Some(_) => Found::fails(
            format!("{bridge} of network '{name}' is down"),
            format!("ip link set {bridge} up"),
        ),
        None => Found::fails(
            format!("{bridge} of network '{name}' is not there"),
            restart_network(&network.name),
        ),
    }
}

/// The host has to send the guest's packets there.
pub(super) fn route(way: &GuestPath) -> Found {
    let guest = way.guest;
    let length = if guest.is_ipv4() { 32 } else { 128 };
    let bridge = way.network.as_ref().map(|network| network.bridge.as_str());
    let mend = match bridge {
        Some(bridge) => format!("ip route replace {guest}/{length} dev {bridge}"),
        None => "virsh net-list --all, and start the guest's network".to_owned(),
    };
    match (&way.route, bridge) {
        (RouteLookup::Behind { interface, .. }, Some(bridge)) if interface == bridge => {
            Found::Ok(format!("{guest} is behind {bridge}"))
        }
        (RouteLookup::Behind { interface, .. }, _) => Found::fails(
            format!("the host's route to {guest} leads to {interface}"),
            mend,
        ),
        (RouteLookup::Nowhere, _) => {
            Found::fails(format!("the host has no route to {guest}"), mend)
        }
        (RouteLookup::Host, _) => Found::fails(
            format!("{guest} is an address of the host itself"),
            format!("ip address delete {guest}/{length} dev INTERFACE, whichever has it"),
        ),
    }
}

/// libvirt and the policies have to let the packet pass.
pub(super) fn policy(way: &GuestPath) -> Found {
    of_ruling(&way.rulings.0, "the packet")
}

/// The same of a reply.
pub(super) fn of_ruling(ruling: &Ruling, what: &str) -> Found {
    let text = format!("{} of {what} by {}", ruling.verdict, ruling.text);
    if ruling.verdict == Verdict::Accept {
        return Found::Ok(match ruling.by {
            Some(_) => text,
            None => ruling.text.clone(),
        });
    }
    let network = ruling.network.as_deref().unwrap_or_default();
    match (ruling.by, &ruling.place) {
        (Some("host"), _) => Found::Unknown("the host does not pass the packet on".to_owned()),
        (Some("portero"), Some((origin, line))) => Found::fails(
            text,
            format!("change {origin}, line {line}, so that it passes; then: {SYNC}"),
        ),
        (Some("portero"), None) => Found::fails(
            text,
            format!(
                "let its policy say so: portero policy show {}; then: {SYNC}",
                word(network)
            ),
        ),
        _ => Found::fails(text, SYNC),
    }
}

/// Everybody else has to let it pass.
pub(super) fn firewalls(way: &GuestPath) -> Found {
    let stopped = way
        .others
        .iter()
        .find_map(|(packet, judgement)| match judgement {
            Judgement::Stopped(stop) => Some((packet, stop)),
            _ => None,
        });
    if let Some((packet, stop)) = stopped {
        let text = format!("{} of {}, {}", stop.verdict, which(packet), by(stop));
        return Found::fails(text, mend(stop, packet, &way.settings, Scope::Port));
    }
    let doubtful = way
        .others
        .iter()
        .find_map(|(packet, judgement)| match judgement {
            Judgement::Doubtful(stop) => Some((packet, stop)),
            _ => None,
        });
    if let Some((packet, stop)) = doubtful {
        return Found::Unknown(format!(
            "perhaps {} of {}, {}",
            stop.verdict,
            which(packet),
            by(stop)
        ));
    }
    match way.unread.first() {
        Some(problem) => Found::Unknown(format!("not all rules could be read: {problem}")),
        None => Found::Ok("nobody else stops the packet or its reply".to_owned()),
    }
}

fn which(packet: &Packet) -> &'static str {
    match packet.leg {
        Leg::There => "the packet",
        Leg::Back => "its reply",
    }
}

/// Who has stopped a packet.
pub(crate) fn by(stop: &Stop) -> String {
    use portero_trace::Owner as By;
    let whose = match stop.by {
        By::Docker => "docker's ",
        By::Ufw => "ufw's ",
        By::Firewalld => "firewalld's ",
        By::Libvirt => "libvirt's ",
        By::Portero => "portero's ",
        By::Other => "",
    };
    // Comments are whoever's wrote them.
    let rule: String = stop.rule.chars().filter(|one| !one.is_control()).collect();
    match &stop.base {
        Base::Iptables(Family::Ipv4) => format!("by {whose}iptables: {rule}"),
        Base::Iptables(Family::Ipv6) => format!("by {whose}ip6tables: {rule}"),
        Base::Nftables(family, table, _) => {
            format!("by {whose}nftables table {family} {table}: {rule}")
        }
    }
}

/// `192.0.2.1 port 80`.
pub(super) fn with_port(address: IpAddr, port: u16) -> String {
    format!("{address} port {port}")
}
