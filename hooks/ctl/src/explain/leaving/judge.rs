//! Judges what a guest needs of the host, hop by hop. Pure.

use super::value::{AskedService, Leaving, LeavingNetwork, LeavingNic, Way};
use crate::explain::judge::{
    forwarding_mend, forwarding_sysctl, judge_firewalls, judge_ruling, Followed, Hop, Seen,
};
use crate::stop::{mend_stop, name_stop};
use portero_inventory::ObjectState;
use portero_libvirt::ForwardMode;
use portero_model::{Family, Verdict};
use portero_system::RouteLookup;
use portero_trace::{word, Judgement, Scope};

/// Whether the guest runs at all.
pub(super) fn guest(guest: &Leaving) -> Hop {
    let name = word(&guest.name);
    let virsh = |verb: &str| format!("virsh {}{verb} {name}", guest.connect);
    let seen = match guest.state {
        ObjectState::Running => Seen::Ok("it runs".to_owned()),
        ObjectState::Paused => Seen::fails("it is paused", virsh("resume")),
        ObjectState::Off => {
            let networks = guest.inactive.iter();
            let mut commands: Vec<String> = networks
                .map(|network| format!("virsh net-start {}", word(network)))
                .collect();
            commands.push(virsh("start"));
            let also = match guest.inactive.as_slice() {
                [] => String::new(),
                names => format!(", and so is network '{}'", names.join("', '")),
            };
            Seen::fails(format!("it is shut off{also}"), commands.join(" && "))
        }
    };
    seen.into_hop("guest")
}

/// All hops of an interface.
pub(super) fn hops(nic: &LeavingNic, guest: &Leaving) -> Vec<Hop> {
    let Some(network) = &nic.network else {
        let seen = Seen::Unknown(
            "it is on no active virtual network: the host's LAN, or whatever it is on, gives it addresses and a way \
             out"
                .to_owned(),
        );
        return vec![seen.into_hop("network")];
    };
    let mut hops = vec![
        tap(nic, network).into_hop("tap"),
        address(nic, network, guest).into_hop("address"),
        names(network, guest).into_hop("names"),
    ];
    let Some(way) = &nic.way else {
        let seen = Seen::Unknown("the network has no subnet of that family".to_owned());
        hops.push(seen.into_hop("route"));
        return hops;
    };
    hops.extend([
        routing(way, network).into_hop("routing"),
        route(way).into_hop("route"),
    ]);
    // Rules are asked about what the host passes on.
    if way.route == RouteLookup::Nowhere {
        return hops;
    }
    hops.extend([
        policy(way).into_hop("policy"),
        rules(way, guest).into_hop("rules"),
        firewalls(way, guest).into_hop("firewalls"),
    ]);
    hops
}

fn tap(nic: &LeavingNic, network: &LeavingNetwork) -> Seen {
    let bridge = &network.bridge;
    match &nic.tap {
        _ if network.link.as_ref().is_none_or(|link| !link.is_up) => Seen::fails(
            format!(
                "bridge {bridge} of network '{}' is down",
                network.name.escape_debug()
            ),
            format!("ip link set {bridge} up"),
        ),
        None => Seen::Unknown(format!(
            "which interface the guest has on {bridge}, nothing tells"
        )),
        Some((tap, None)) => Seen::Unknown(format!("{tap} is not there")),
        Some((tap, Some(link))) if link.master.as_ref() != Some(bridge) => Seen::fails(
            format!("{tap} is not in {bridge}"),
            format!("ip link set {tap} master {bridge}"),
        ),
        Some((tap, Some(link))) if !link.is_up => {
            Seen::fails(format!("{tap} is down"), format!("ip link set {tap} up"))
        }
        Some((tap, Some(_))) => Seen::Ok(format!("{tap} is in {bridge}")),
    }
}

/// What rules stop of a question to dnsmasq, and whether that runs.
fn question(of: &str, network: &LeavingNetwork, guest: &Leaving) -> Option<Seen> {
    let asked = || {
        network
            .questions
            .iter()
            .filter(|one| one.service.starts_with(of))
    };
    asked().next()?;
    if network.has_dnsmasq == Some(false) {
        return Some(Seen::fails(
            format!(
                "dnsmasq of network '{}' does not run",
                network.name.escape_debug()
            ),
            guest.restart.clone(),
        ));
    }
    let certain = asked().find(|one| matches!(one.judgement, Judgement::Stopped(_)));
    let doubtful = || asked().find(|one| matches!(one.judgement, Judgement::Doubtful(_)));
    let AskedService {
        service,
        flow,
        leg,
        judgement,
    } = certain.or_else(doubtful)?;
    match judgement {
        Judgement::Stopped(stop) => Some(Seen::fails(
            format!(
                "the host gives no {service}: {} by {}",
                stop.verdict,
                name_stop(stop)
            ),
            mend_stop(stop, (flow, *leg), &guest.settings, Scope::Port),
        )),
        Judgement::Doubtful(stop) => Some(Seen::Unknown(format!(
            "perhaps the host gives no {service}: {} by {}",
            stop.verdict,
            name_stop(stop)
        ))),
        Judgement::Passes => None,
    }
}

fn address(nic: &LeavingNic, network: &LeavingNetwork, guest: &Leaving) -> Seen {
    if let Some(seen) = question("addresses", network, guest) {
        return seen;
    }
    let has_dhcp = network
        .questions
        .iter()
        .any(|one| one.service.starts_with("addresses"));
    let addresses: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
    match (addresses.is_empty(), has_dhcp) {
        (false, _) => Seen::Ok(addresses.join(", ")),
        (true, true) => Seen::Unknown(
            "the host gives addresses by DHCP, and the guest has none yet: it has not asked, or has one of its own"
                .to_owned(),
        ),
        (true, false) => Seen::Unknown(
            "the network has no DHCP: the guest needs an address of its own".to_owned(),
        ),
    }
}

fn names(network: &LeavingNetwork, guest: &Leaving) -> Seen {
    if let Some(seen) = question("names", network, guest) {
        return seen;
    }
    let has_dns = network
        .questions
        .iter()
        .any(|one| one.service.starts_with("names"));
    match has_dns {
        true => Seen::Ok("the host answers for names (DNS)".to_owned()),
        false => {
            Seen::Unknown("the network has no DNS: the guest needs a server of its own".to_owned())
        }
    }
}

fn routing(way: &Way, network: &LeavingNetwork) -> Seen {
    let family = Family::from(way.from);
    if network.mode == ForwardMode::Isolated {
        return Seen::fails(
            format!(
                "network '{}' is isolated: its guests reach the host and each other, nobody else",
                network.name.escape_debug()
            ),
            "give the guest an interface on a network with a <forward> element",
        );
    }
    let sysctl = forwarding_sysctl(family);
    match way.passes_on {
        true => Seen::Ok(format!("{sysctl} is 1")),
        false => Seen::fails(
            format!("{sysctl} is 0: the host passes no {family} packets on"),
            forwarding_mend(family, &way.advertised),
        ),
    }
}

fn route(way: &Way) -> Seen {
    let table = way.table.as_ref();
    let table = table.map_or(String::new(), |table| {
        format!(", by table {table} (ip rule)")
    });
    match &way.route {
        RouteLookup::Behind { interface, .. } => {
            Seen::Ok(format!("{} is behind {interface}{table}", way.to))
        }
        RouteLookup::Nowhere if way.is_refused => Seen::fails(
            format!(
                "the host has a route to {}, and what {} sends there has none (ip rule)",
                way.to, way.from
            ),
            "change the rule or its table: ip rule, ip route show table TABLE",
        ),
        RouteLookup::Host => Seen::Ok(format!("{} is the host itself", way.to)),
        RouteLookup::Nowhere => Seen::fails(
            format!("the host itself has no route to {}", way.to),
            "give the host a route there: ip route add default via ROUTER",
        ),
    }
}

fn policy(way: &Way) -> Seen {
    let (there, back) = &way.rulings;
    match back {
        Some(back) if back.verdict != Verdict::Accept => judge_ruling(back, "the reply"),
        _ => judge_ruling(there, "the packet"),
    }
}

fn rules(way: &Way, guest: &Leaving) -> Seen {
    match way.missing.as_slice() {
        [] => Seen::Ok("libvirt's own are in the firewall".to_owned()),
        missing => Seen::fails(
            format!(
                "rules of libvirt's own are not in the firewall: {}",
                missing.join(", ")
            ),
            guest.restart.clone(),
        ),
    }
}

fn firewalls(way: &Way, guest: &Leaving) -> Seen {
    judge_firewalls(&Followed {
        flow: &way.flow,
        judgements: &way.judgements,
        settings: &guest.settings,
        unread: &guest.unread,
        also: way.also.as_deref(),
    })
}
