//! The verdict on one packet, and who gives it: by policies and libvirt's modes.

use super::words;
use portero_inventory::ActiveNetwork;
use portero_libvirt::{Network, ObjectName};
use portero_model::{RuleName, Verdict};
use portero_routed_policy::{explain, explain_reply, Decider, Decision, Packet, Refusal};
use serde::Serialize;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    pub(super) verdict: Verdict,
    /// In their order; the last has decided.
    pub(super) deciders: Vec<Ruling>,
    /// Who may stop it all the same: what decides cannot be seen from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) doubt: Option<String>,
    /// The same of the reply, when the packet arrives and somebody else judges that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply: Option<Box<Explanation>>,
}

/// Who decides where nobody has a say, and how that is said.
pub(crate) const NOBODY: &str = "nobody";
pub(super) const NOBODY_SAYS: &str = "neither portero nor libvirt has a say";

/// What one of those who have a say says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Ruling {
    /// `portero`, `libvirt`, `bridge`, `host`, `docker`, `ufw`, `firewalld`, `other` or [`NOBODY`].
    pub(crate) by: &'static str,
    pub(crate) verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    /// `out`, `in`, `host` or `fromhost`, seen from the network's guests.
    #[serde(rename = "way", skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<&'static str>,
    /// The compiled rule of portero's, `in 3` or `in default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clause: Option<String>,
    /// Which rule of the policy it is, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<usize>,
    /// Where the policy is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// The rule's line there, or the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// libvirt's forward mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<&'static str>,
    /// The same for people.
    pub(crate) text: String,
}

impl Explanation {
    pub(super) fn into_last(mut self) -> Ruling {
        let nobody = || Ruling::accepting(NOBODY, NOBODY_SAYS.to_owned());
        self.deciders.pop().unwrap_or_else(nobody)
    }

    pub(super) fn new(decision: &Decision, active: &[ActiveNetwork]) -> Self {
        let deciders = decision.deciders.iter();
        let deciders = deciders.map(|decider| Ruling::new(decider, active));
        let mut deciders: Vec<Ruling> = deciders.collect();
        if let Some(last) = deciders.last_mut() {
            last.verdict = decision.verdict;
        }
        Self {
            verdict: decision.verdict,
            deciders,
            doubt: None,
            reply: None,
        }
    }
}

impl Ruling {
    /// Somebody who accepts.
    pub(crate) fn accepting(by: &'static str, text: String) -> Self {
        Self {
            by,
            verdict: Verdict::Accept,
            network: None,
            direction: None,
            clause: None,
            rule: None,
            origin: None,
            line: None,
            mode: None,
            text,
        }
    }

    fn new(decider: &Decider, active: &[ActiveNetwork]) -> Self {
        let quoted = |network: &ObjectName| format!("network {}", words::quoted(network));
        match decider {
            Decider::Policy {
                network,
                direction,
                rule,
            } => {
                let place = rule.and_then(|rule| place(network, rule, active));
                let of = quoted(network);
                let mut text = match (rule, rule.and_then(RuleName::number)) {
                    (None, _) => format!("the policy of {of}, which says nothing of it"),
                    (_, Some(number)) => format!("rule {number} of the policy of {of}"),
                    (Some(rule), None) => format!("'{rule}' of the policy of {of}"),
                };
                if let Some((origin, Some(line))) = &place {
                    text += &format!(" ({origin}, line {line})");
                }
                let (origin, line) = place.unzip();
                Self {
                    network: Some(network.to_string()),
                    direction: Some(direction.name()),
                    clause: rule.map(|rule| rule.to_string()),
                    rule: rule.and_then(RuleName::number),
                    origin,
                    line: line.flatten(),
                    ..Self::accepting("portero", text)
                }
            }
            Decider::Libvirt {
                network,
                direction,
                mode,
            } => {
                let (of, mode) = (quoted(network), mode.name());
                let end = direction.pick("from", "to");
                let text =
                    format!("libvirt's rules for {of} (mode {mode}) on packets {end} its guests");
                Self {
                    network: Some(network.to_string()),
                    direction: Some(direction.name()),
                    mode: Some(mode),
                    ..Self::accepting("libvirt", text)
                }
            }
            Decider::Bridge { network } => {
                let text = format!("nobody: both ends are on the bridge of {}", quoted(network));
                Self {
                    network: Some(network.to_string()),
                    ..Self::accepting("bridge", text)
                }
            }
            Decider::Host(Refusal::NoRouter) => Self::accepting(
                "host",
                "the host, which passes no packets on (sysctl net.ipv4.ip_forward, \
                 net.ipv6.conf.all.forwarding)"
                    .to_owned(),
            ),
            Decider::Host(Refusal::NoRoute) => {
                Self::accepting("host", "the host, which has no route there".to_owned())
            }
        }
    }
}

/// Where a compiled rule is written, and its line, as far as that is still what was given to the
/// firewall.
fn place(
    network: &ObjectName,
    rule: RuleName,
    active: &[ActiveNetwork],
) -> Option<(String, Option<usize>)> {
    let network = active.iter().find(|one| one.network.name == *network)?;
    let policy = network.written_as_given()?;
    let line = match rule.number() {
        None => Some(policy.written.line),
        Some(_) => policy.written.rule(rule).map(|rule| rule.line),
    };
    Some((policy.origin.to_string(), line))
}

/// What is said of a packet, and of its reply if it arrives.
pub(super) fn answer(packet: &Packet, active: &[ActiveNetwork]) -> Explanation {
    let networks = ActiveNetwork::networks(active);
    let policy_of = |network: &Network| ActiveNetwork::find_policy(active, network);
    let mut answer = Explanation::new(&explain(packet, &networks, &policy_of), active);
    if answer.verdict == Verdict::Accept {
        let reply = explain_reply(packet, &networks, &policy_of);
        answer.reply = Some(Box::new(Explanation::new(&reply, active)));
    }
    answer
}

/// Who decides about a packet, and about its reply if it arrives.
pub(crate) fn rulings(packet: &Packet, active: &[ActiveNetwork]) -> (Ruling, Option<Ruling>) {
    let mut there = answer(packet, active);
    let back = there.reply.take().map(|reply| reply.into_last());
    (there.into_last(), back)
}
