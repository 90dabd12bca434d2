//! `portero policy explain`: the verdict on one packet, and who gives it.

use super::end::end;
use super::{forward, words, Error};
use crate::args::{ProtocolName, Question};
use crate::exit::DONE;
use crate::json::to_json;
use crate::terminal;
use portero_engine::{ActiveNetwork, Engine};
use portero_libvirt::{Network, ObjectName};
use portero_model::{Family, RuleName, Verdict};
use portero_routed_policy::{
    explain, explain_reply, At, Decider, Decision, Packet, PacketPath, Protocol, Refusal, Routing,
};
use serde::Serialize;

/// Type and code of an echo request, of ICMP (RFC 792) and of ICMPv6 (RFC 4443).
const ECHO_REQUEST: [(Family, u8); 2] = [(Family::Ipv4, 8), (Family::Ipv6, 128)];

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    verdict: Verdict,
    /// In their order; the last has decided.
    deciders: Vec<Said>,
    /// The same of the reply, when the packet arrives and somebody else judges that.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Box<Answer>>,
}

/// What one of those who have a say says.
#[derive(Debug, Serialize)]
struct Said {
    /// `portero`, `libvirt`, `bridge` or `host`.
    by: &'static str,
    /// Its verdict.
    verdict: Verdict,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    /// `out`, `in`, `host` or `fromhost`, seen from the network's guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    /// The clause of portero's, `in 3` or `in default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    clause: Option<String>,
    /// Which rule of the policy it is, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<usize>,
    /// Where the policy is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The rule's line there, or the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// libvirt's forward mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    /// The same for people.
    text: String,
}

/// Answers a question.
pub(super) fn run(question: &Question, engine: &mut Engine<'_>) -> Result<(String, u8), Error> {
    let mut packet = packet(question, engine)?;
    let forward = forward::follow(&mut packet, engine)?;
    let active = engine.networks()?;
    let mut answer = answer(&packet, &active);
    answer.deciders.splice(
        0..0,
        forward.map(|text| Said::by("portero", Verdict::Accept, text)),
    );
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

fn packet(question: &Question, engine: &mut Engine<'_>) -> Result<Packet, Error> {
    let (from, to) = (question.source, question.destination);
    let family = Family::of(from);
    if family != Family::of(to) {
        return Err(Error::TwoFamilies { from, to });
    }
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
        return Err(Error::NoWayBack {
            address: from.address,
        });
    }
    let routing = if engine.passes_on(family) {
        Routing::On
    } else {
        Routing::Off
    };
    Ok(Packet {
        from,
        to: end(to, engine.route_lookup(to)?),
        protocol: protocol(question, family)?,
        course: PacketPath::Direct,
        routing,
    })
}

fn protocol(question: &Question, family: Family) -> Result<Protocol, Error> {
    let with_ports = match question.protocol {
        ProtocolName::Tcp => portero_model::Protocol::Tcp,
        ProtocolName::Udp => portero_model::Protocol::Udp,
        ProtocolName::Sctp => portero_model::Protocol::Sctp,
        ProtocolName::Icmp => {
            let echo = ECHO_REQUEST.iter().find(|(of, _)| *of == family);
            let kind = match (question.port, echo) {
                (Some(kind), _) => {
                    u8::try_from(kind).map_err(|_| Error::IcmpType { found: kind })?
                }
                (None, echo) => echo.map_or(0, |(_, kind)| *kind),
            };
            return Ok(Protocol::Icmp(kind, 0));
        }
    };
    match question.port {
        Some(port) if port > 0 => Ok(Protocol::Port(with_ports, port)),
        _ => Err(Error::Port {
            protocol: with_ports,
        }),
    }
}

fn answer(packet: &Packet, active: &[ActiveNetwork]) -> Answer {
    let networks: Vec<Network> = active.iter().map(|one| one.network.clone()).collect();
    let policy_of = |network: &Network| {
        let known = active.iter().find(|one| one.network.uuid == network.uuid);
        known.and_then(ActiveNetwork::policy)
    };
    let mut answer = Answer::new(&explain(packet, &networks, &policy_of), active);
    if answer.verdict == Verdict::Accept {
        let reply = explain_reply(packet, &networks, &policy_of);
        answer.reply = Some(Box::new(Answer::new(&reply, active)));
    }
    answer
}

/// What the last of those who have a say says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// Its verdict.
    pub(crate) verdict: Verdict,
    /// `portero`, `libvirt`, `bridge` or `host`; nothing when nobody has a say.
    pub(crate) by: Option<&'static str>,
    /// The network.
    pub(crate) network: Option<String>,
    /// Where the policy is written, and the line.
    pub(crate) place: Option<(String, usize)>,
    /// The same for people.
    pub(crate) text: String,
}

/// Who decides about a packet, and about its reply if it arrives.
pub(crate) fn rulings(packet: &Packet, active: &[ActiveNetwork]) -> (Ruling, Option<Ruling>) {
    let mut there = answer(packet, active);
    let back = there.reply.take().map(|reply| Ruling::last_of(*reply));
    (Ruling::last_of(there), back)
}

impl Ruling {
    fn last_of(mut answer: Answer) -> Self {
        let last = answer.deciders.pop();
        let mut ruling = Self {
            verdict: answer.verdict,
            by: None,
            network: None,
            place: None,
            text: "neither portero nor libvirt has a say".to_owned(),
        };
        if let Some(said) = last {
            ruling.by = Some(said.by);
            ruling.place = said.origin.zip(said.line);
            ruling.network = said.network;
            ruling.text = said.text;
        }
        ruling
    }
}

impl Answer {
    fn new(decision: &Decision, active: &[ActiveNetwork]) -> Self {
        let last = decision.deciders.len().saturating_sub(1);
        let deciders = decision.deciders.iter().enumerate();
        let said = deciders.map(|(index, decider)| {
            let is_last = index == last;
            let verdict = if is_last {
                decision.verdict
            } else {
                Verdict::Accept
            };
            Said::new(decider, verdict, active)
        });
        Self {
            verdict: decision.verdict,
            deciders: said.collect(),
            reply: None,
        }
    }
}

impl Said {
    fn by(by: &'static str, verdict: Verdict, text: String) -> Self {
        Self {
            by,
            verdict,
            network: None,
            way: None,
            clause: None,
            rule: None,
            origin: None,
            line: None,
            mode: None,
            text,
        }
    }

    fn new(decider: &Decider, verdict: Verdict, active: &[ActiveNetwork]) -> Self {
        let quoted = |network: &ObjectName| format!("network {}", words::quoted(network));
        match decider {
            Decider::Clause { network, clause } => {
                let place = place(network, *clause, active);
                let what = match clause.number() {
                    Some(rule) => format!("rule {rule}"),
                    None => format!("'{clause}'"),
                };
                let mut text = format!("{what} of the policy of {}", quoted(network));
                if let Some((origin, Some(line))) = &place {
                    text += &format!(" ({origin}, line {line})");
                }
                let (origin, line) = place.unzip();
                Self {
                    network: Some(network.to_string()),
                    way: Some(clause.way.name()),
                    clause: Some(clause.to_string()),
                    rule: clause.number(),
                    origin,
                    line: line.flatten(),
                    ..Self::by("portero", verdict, text)
                }
            }
            Decider::Unsaid { network, way } => {
                let of = quoted(network);
                let text = format!("the policy of {of}, which says nothing of it");
                Self {
                    network: Some(network.to_string()),
                    way: Some(way.name()),
                    ..Self::by("portero", verdict, text)
                }
            }
            Decider::Libvirt { network, way, mode } => {
                let (of, mode) = (quoted(network), mode.name());
                let end = if way.is_from_guests() { "from" } else { "to" };
                let text =
                    format!("libvirt's rules for {of} (mode {mode}) on packets {end} its guests");
                Self {
                    network: Some(network.to_string()),
                    way: Some(way.name()),
                    mode: Some(mode),
                    ..Self::by("libvirt", verdict, text)
                }
            }
            Decider::Bridge { network } => {
                let of = quoted(network);
                let text = format!("nobody: both ends are on the bridge of {of}");
                Self {
                    network: Some(network.to_string()),
                    ..Self::by("bridge", verdict, text)
                }
            }
            Decider::Host(refusal) => {
                let text = match refusal {
                    Refusal::NoRouter => {
                        "the host, which passes no packets on (sysctl net.ipv4.ip_forward, \
                         net.ipv6.conf.all.forwarding)"
                    }
                    Refusal::NoRoute => "the host, which has no route there",
                };
                Self::by("host", verdict, text.to_owned())
            }
        }
    }
}

/// Where a clause is written, and its line, as far as that is still what was given to the firewall.
fn place(
    network: &ObjectName,
    clause: RuleName,
    active: &[ActiveNetwork],
) -> Option<(String, Option<usize>)> {
    let network = active.iter().find(|one| one.network.name == *network)?;
    let policy = network.written_as_given()?;
    let line = match clause.number() {
        None => Some(policy.written.line),
        Some(_) => policy.written.rule(clause).map(|rule| rule.line),
    };
    Some((policy.origin.to_string(), line))
}

fn text(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.verdict);
    text += &by_whom(answer);
    if answer.deciders.is_empty() {
        text += "  neither portero nor libvirt has a say\n";
    }
    // Of replies only what stops them is news.
    let stopped = answer.reply.as_ref();
    if let Some(reply) = stopped.filter(|reply| reply.verdict != Verdict::Accept) {
        text += &format!("its reply: {}\n{}", reply.verdict, by_whom(reply));
    }
    text
}

fn by_whom(answer: &Answer) -> String {
    let lines = answer.deciders.iter();
    lines
        .map(|said| format!("  {} by {}\n", said.verdict, said.text))
        .collect()
}
