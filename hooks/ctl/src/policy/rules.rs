//! What the rules that are in the firewall make of a packet, beside what follows from policies and from libvirt's
//! modes: others have rules too, and those of libvirt's can be gone.

use super::ruling::{Explanation, Ruling, NOBODY};
use crate::doctor::restart_networks;
use crate::stop::name_stop;
use portero_inventory::{link_of, ActiveNetwork, Daemon, Guest};
use portero_libvirt::ForwardMode;
use portero_model::Verdict;
use portero_routed_policy::{At, End, Packet, Protocol};
use portero_trace::{
    Flow, Judgement, Leg, Link, RuleOwner, Rules, Side, Stop, Traffic, Translated,
};

/// What is known of the host besides a packet.
pub(super) struct Known<'a> {
    pub(super) active: &'a [ActiveNetwork],
    pub(super) guests: &'a [Guest],
    pub(super) daemons: &'a [Daemon],
    /// Everybody's rules.
    pub(super) rules: &'a Rules,
    /// Whether rules of IP are asked about what stays on a bridge.
    pub(super) judges_bridged: bool,
}

/// The connection that a packet opens, as rules meet it.
pub(super) fn flow(packet: &Packet, translated: Option<Translated>, known: &Known<'_>) -> Flow {
    let from = packet.from.interface();
    let network = known
        .active
        .iter()
        .find(|one| from.is_some_and(|from| one.network.has_bridge(from)));
    let is_masqueraded = network.is_some_and(|one| {
        let network = &one.network;
        let is_of_family = packet.from.address.is_ipv4() || network.masquerades_ipv6;
        network.mode == ForwardMode::Nat
            && is_of_family
            && one.subnet_of(packet.to.address).is_none()
    });
    Flow {
        traffic: match packet.protocol {
            Protocol::Port(protocol, port) => Traffic::Port {
                protocol,
                port,
                from: None,
            },
            Protocol::Icmp(kind, code) => Traffic::Icmp { kind, code },
            Protocol::Other => Traffic::Other,
        },
        client: side(&packet.from, known),
        client_address: Some(packet.from.address),
        server: side(&packet.to, known),
        server_address: packet.to.address,
        translated,
        is_masqueraded,
        judges_bridged: known.judges_bridged,
    }
}

fn side(end: &End, known: &Known<'_>) -> Side {
    let At::Behind(interface) = &end.at else {
        return Side::Host;
    };
    let nics = known.guests.iter().flat_map(|guest| &guest.nics);
    let mut of_it = nics.filter(|nic| {
        end.mac
            .as_ref()
            .is_some_and(|mac| *mac == nic.mac.to_string())
    });
    let port = of_it.next().and_then(|nic| nic.target.as_ref());
    Side::Behind(Link {
        port: port.map(ToString::to_string),
        mac: end.mac.clone(),
        ..link_of(Some(interface.clone()))
    })
}

/// Sets right what follows from policies and modes where the rules that are there do something else.
pub(super) fn set_right(answer: &mut Explanation, flow: &Flow, leg: Leg, known: &Known<'_>) {
    let decider = answer.deciders.last();
    // The host itself refuses before any rule is asked.
    if decider.is_some_and(|decider| decider.by == "host") {
        return;
    }
    match (answer.verdict, known.rules.judge(flow, leg)) {
        (Verdict::Accept, Judgement::Stopped(stop)) => {
            answer.verdict = verdict(&stop);
            answer.deciders.push(ruling(&stop));
        }
        (_, Judgement::Stopped(stop)) => {
            // Of their own rules more is known by what they are made of.
            if !matches!(stop.by, RuleOwner::Libvirt | RuleOwner::Portero) {
                answer.verdict = verdict(&stop);
                answer.deciders.push(ruling(&stop));
            }
        }
        (Verdict::Accept, Judgement::Doubtful(stop)) => {
            answer.doubt = Some(format!("{} by {}", stop.verdict, name_stop(&stop)));
        }
        (_, Judgement::Doubtful(_)) | (Verdict::Accept, Judgement::Passes) => {}
        // Rules that could not be read are not rules that are gone.
        (_, Judgement::Passes) if !known.rules.unread.is_empty() => {}
        (_, Judgement::Passes) => {
            let passing = answer
                .deciders
                .pop()
                .map(|decider| passing(decider, flow, leg, known));
            answer.verdict = Verdict::Accept;
            answer.deciders.extend(passing);
        }
    }
}

/// Why a packet passes though somebody would stop it.
fn passing(decider: Ruling, flow: &Flow, leg: Leg, known: &Known<'_>) -> Ruling {
    let mut active = known.active.iter();
    let network = active.find(|one| Some(one.network.name.as_str()) == decider.network.as_deref());
    let is_gone = network.is_none_or(|one| match &one.network.bridge {
        Some(bridge) if decider.by == "libvirt" => {
            let missing = known
                .rules
                .missing_of_libvirt(flow.family(), bridge.as_str(), None);
            !missing.is_empty()
        }
        _ => !one.is_in_firewall,
    });
    let (by, text) = match known.rules.accepted_by_others(flow, leg) {
        Some(accepted) if !is_gone => (
            accepted.by.name(),
            format!("{}, which is asked before {}", accepted.rule, decider.text),
        ),
        _ => {
            let repair = match decider.by {
                "libvirt" => restart_networks(known.daemons),
                _ => "portero sync".to_owned(),
            };
            let why = match is_gone {
                true => format!(": that is not in the firewall; run '{repair}'"),
                false => ", which is not asked".to_owned(),
            };
            let text = format!(
                "nobody, though {} would be a {}{why}",
                decider.text, decider.verdict
            );
            (NOBODY, text)
        }
    };
    Ruling {
        by,
        verdict: Verdict::Accept,
        text,
        ..decider
    }
}

fn verdict(stop: &Stop) -> Verdict {
    match stop.verdict {
        "reject" => Verdict::Reject,
        _ => Verdict::Drop,
    }
}

fn ruling(stop: &Stop) -> Ruling {
    Ruling {
        verdict: verdict(stop),
        ..Ruling::accepting(stop.by.name(), name_stop(stop))
    }
}
