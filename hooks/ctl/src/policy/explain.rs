//! `portero policy explain`: the verdict on one packet, and who gives it.

use super::end::end;
use super::{forward, words, Error};
use crate::args::{ProtocolName, Question};
use crate::exit::DONE;
use crate::json::to_json;
use crate::terminal;
use portero_engine::Engine;
use portero_inventory::{ActiveNetwork, Snapshot};
use portero_libvirt::{ForwardMode, Network, ObjectName};
use portero_model::{Family, Verdict, Way};
use portero_routed_policy::{
    explain, explain_reply, rule_of_clause, At, Decider, Decision, Packet, PacketPath, Protocol,
    Refusal, Routing,
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
    let mut snapshot = Snapshot::take(engine)?;
    let (active, owners) = (snapshot.networks(), snapshot.owners()?);
    drop(snapshot);
    let forward = forward::follow(&mut packet, &owners, engine)?;
    let mut answer = answer(&packet, &active);
    answer.deciders.splice(0..0, forward.map(Said::forward));
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
    let routing = if engine.system.passes_on(family) {
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
    let mut answer = said_of(&explain(packet, &networks, &policy_of), active);
    if answer.verdict == Verdict::Accept {
        let reply = explain_reply(packet, &networks, &policy_of);
        answer.reply = Some(Box::new(said_of(&reply, active)));
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
    let back = there.reply.take().map(|reply| Ruling::of(*reply));
    (Ruling::of(there), back)
}

impl Ruling {
    fn of(mut answer: Answer) -> Self {
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

fn said_of(decision: &Decision, active: &[ActiveNetwork]) -> Answer {
    let last = decision.deciders.len().saturating_sub(1);
    let deciders = decision.deciders.iter().enumerate();
    let said = deciders.map(|(index, decider)| {
        let verdict = if index == last {
            decision.verdict
        } else {
            Verdict::Accept
        };
        said(decider, verdict, active)
    });
    Answer {
        verdict: decision.verdict,
        deciders: said.collect(),
        reply: None,
    }
}

impl Said {
    fn by(by: &'static str, verdict: Verdict) -> Self {
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
            text: String::new(),
        }
    }

    /// A forward, which sends the packet elsewhere.
    fn forward(text: String) -> Self {
        Self {
            text,
            ..Self::by("portero", Verdict::Accept)
        }
    }
}

fn said(decider: &Decider, verdict: Verdict, active: &[ActiveNetwork]) -> Said {
    let (by, network, way) = match decider {
        Decider::Clause { network, way, .. } | Decider::Unsaid { network, way } => {
            ("portero", Some(network), Some(*way))
        }
        Decider::Libvirt { network, way, .. } => ("libvirt", Some(network), Some(*way)),
        Decider::Bridge { network } => ("bridge", Some(network), None),
        Decider::Host(_) => ("host", None, None),
    };
    let mut said = Said {
        network: network.map(ToString::to_string),
        way: way.map(Way::name),
        ..Said::by(by, verdict)
    };
    let of = |network: &ObjectName| format!("network {}", words::quoted(network));
    said.text = match decider {
        Decider::Clause {
            network, clause, ..
        } => {
            said.clause = Some(clause.clone());
            said.rule = rule_of_clause(clause);
            written(&mut said, network, active);
            let place = match (&said.origin, said.line) {
                (Some(origin), Some(line)) => format!(" ({origin}, line {line})"),
                _ => String::new(),
            };
            let what = match said.rule {
                Some(rule) => format!("rule {rule}"),
                None => format!("'{clause}'"),
            };
            format!("{what} of the policy of {}{place}", of(network))
        }
        Decider::Unsaid { network, .. } => {
            format!("the policy of {}, which says nothing of it", of(network))
        }
        Decider::Libvirt { network, mode, .. } => {
            said.mode = Some(mode_name(*mode));
            let way = way.map_or("", direction);
            format!(
                "libvirt's rules for {} (mode {}) on packets {way}",
                of(network),
                mode_name(*mode)
            )
        }
        Decider::Bridge { network } => {
            format!("nobody: both ends are on the bridge of {}", of(network))
        }
        Decider::Host(Refusal::NoRouter) => {
            "the host, which passes no packets on (sysctl net.ipv4.ip_forward, \
             net.ipv6.conf.all.forwarding)"
                .to_owned()
        }
        Decider::Host(Refusal::NoRoute) => "the host, which has no route there".to_owned(),
    };
    said
}

/// Where a clause is written, as far as that is still what was given to the firewall.
fn written(said: &mut Said, network: &ObjectName, active: &[ActiveNetwork]) {
    let network = active.iter().find(|one| one.network.name == *network);
    let Some(policy) = network.and_then(ActiveNetwork::written_as_given) else {
        return;
    };
    said.origin = Some(policy.origin.to_string());
    said.line = match said.rule {
        None => Some(policy.written.line),
        Some(number) => {
            let mut rules = policy.written.rules.iter();
            rules
                .find(|rule| rule.number == number)
                .map(|rule| rule.line)
        }
    };
}

fn mode_name(mode: ForwardMode) -> &'static str {
    match mode {
        ForwardMode::Isolated => "isolated",
        ForwardMode::Nat => "nat",
        ForwardMode::Route => "route",
        ForwardMode::Open => "open",
        ForwardMode::Bridge => "bridge",
        ForwardMode::Direct => "direct",
    }
}

fn direction(way: Way) -> &'static str {
    match way {
        Way::Out => "from its guests",
        Way::In => "to its guests",
        Way::ToHost => "from its guests to the host",
        Way::FromHost => "from the host to its guests",
    }
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
