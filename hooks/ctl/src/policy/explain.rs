//! `portero policy explain`: the verdict on one packet, and who gives it.

use super::forward::{end, follow};
use super::rules::{flow, set_right, Known};
use super::ruling::{answer, Explanation, Ruling, NOBODY_SAYS};
use super::{words, Error};
use crate::args::{PacketArgs, ProtocolName};
use crate::everybody::RULES;
use crate::exit::DONE;
use crate::json::to_json;
use crate::terminal;
use crate::who::pair;
use portero_engine::Engine;
use portero_inventory::{daemons, foreign_rules, Snapshot};
use portero_model::{Family, Verdict};
use portero_routed_policy::{At, Packet, PacketPath, Protocol, Routing};
use portero_system::Deadline;
use portero_trace::Leg;
use std::net::IpAddr;

/// Answers a question.
pub(super) fn run(question: &PacketArgs, engine: &mut Engine<'_>) -> Result<(String, u8), Error> {
    let mut snapshot = Snapshot::take(engine)?;
    let (active, owners) = (snapshot.networks(), snapshot.owners()?);
    let guests = snapshot.guests()?;
    drop(snapshot);
    let from = question.source.addresses(&guests, &active)?;
    let to = question.destination.addresses(&guests, &active)?;
    let ends = pair(&from, &to).ok_or(Error::TwoFamilies {
        from: from[0],
        to: to[0],
    })?;
    let mut packet = packet(question, ends, engine)?;
    let forward = follow(&mut packet, &owners, engine)?;
    let family = Family::from(packet.from.address);
    let rules = foreign_rules(&[family], Deadline::after(RULES));
    let known = Known {
        active: &active,
        guests: &guests,
        daemons: &daemons(),
        rules: &rules,
        judges_bridged: engine.system.judges_bridged(family),
    };
    let flow = flow(&packet, forward.as_ref().map(|one| one.translated), &known);
    let mut answer = answer(&packet, &active);
    let forward = forward.map(|one| Ruling::accepting("portero", one.text));
    answer.deciders.splice(0..0, forward);
    if let Some(reply) = &mut answer.reply {
        set_right(reply, &flow, Leg::Back, &known);
    }
    set_right(&mut answer, &flow, Leg::There, &known);
    for problem in &rules.unread {
        terminal::warning(format_args!("not all rules could be read: {problem}"));
    }
    for network in active.iter().filter(|network| !network.is_in_firewall) {
        let name = words::quoted(&network.network.name);
        terminal::warning(format_args!(
            "what network {name} was given is not in the firewall; run 'portero sync'"
        ));
    }
    let text = if question.json {
        to_json(&answer)
    } else {
        text(&answer)
    };
    Ok((text, DONE))
}

fn packet(
    question: &PacketArgs,
    (from, to): (IpAddr, IpAddr),
    engine: &mut Engine<'_>,
) -> Result<Packet, Error> {
    let family = Family::from(from);
    let mut from = end(from, engine.route_lookup(from)?);
    if let Some(dev) = &question.dev {
        let at = At::Behind(dev.to_string());
        from.mac = from.mac.filter(|_| from.at == at);
        from.at = at;
    }
    if let Some(mac) = question.mac {
        from.mac = Some(mac.to_string());
    }
    if from.at == At::Nowhere {
        let address = from.address;
        return Err(Error::NoWayBack { address });
    }
    let passes_on = engine.system.passes_on(family);
    Ok(Packet {
        from,
        to: end(to, engine.route_lookup(to)?),
        protocol: protocol(question, family)?,
        path: PacketPath::Direct,
        routing: if passes_on { Routing::On } else { Routing::Off },
    })
}

fn protocol(question: &PacketArgs, family: Family) -> Result<Protocol, Error> {
    let protocol = match question.protocol {
        ProtocolName::Tcp => portero_model::Protocol::Tcp,
        ProtocolName::Udp => portero_model::Protocol::Udp,
        ProtocolName::Sctp => portero_model::Protocol::Sctp,
        ProtocolName::Icmp => {
            let asked = question.port.unwrap_or(match family {
                // Echo requests (RFC 792, RFC 4443).
                Family::Ipv4 => 8,
                Family::Ipv6 => 128,
            });
            let kind = u8::try_from(asked).map_err(|_| Error::IcmpType { found: asked })?;
            return Ok(Protocol::Icmp(kind, 0));
        }
    };
    match question.port {
        Some(port) if port > 0 => Ok(Protocol::Port(protocol, port)),
        _ => Err(Error::Port { protocol }),
    }
}

fn text(answer: &Explanation) -> String {
    let mut text = format!("{}\n{}", answer.verdict, by_whom(answer));
    if answer.deciders.is_empty() {
        text += &format!("  {NOBODY_SAYS}\n");
    }
    // Of replies only what stops them is news.
    let reply = answer.reply.as_deref();
    let is_news = |reply: &&Explanation| reply.verdict != Verdict::Accept || reply.doubt.is_some();
    if let Some(reply) = reply.filter(is_news) {
        text += &format!("its reply: {}\n{}", reply.verdict, by_whom(reply));
    }
    text
}

fn by_whom(answer: &Explanation) -> String {
    let lines = answer.deciders.iter();
    let lines = lines.map(|ruling| format!("  {} by {}\n", ruling.verdict, ruling.text));
    let doubt = answer.doubt.iter();
    let doubt =
        doubt.map(|doubt| format!("  perhaps {doubt}; what decides cannot be seen from here\n"));
    lines.chain(doubt).collect()
}
