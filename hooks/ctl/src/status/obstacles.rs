//! Who else's rules stop, or may stop, what is forwarded and what guests need.

use super::row::{port, PrintedOwner};
use crate::everybody::RULES;
use crate::stop::name_stop;
use crate::stopped::{outer, uplink, Certainty, Host, StoppedForward};
use portero_engine::{ApplyError, Engine};
use portero_inventory::{stopping_rules, ActiveNetwork, Guest, HostFacts, OwnerStatus};
use portero_model::{Dnat, Family, Owner, Protocol};
use portero_system::Deadline;
use portero_trace::{word, RuleOwner, Rules};
use serde::Serialize;
use std::net::SocketAddr;

/// What is known of a host without the rules of others.
pub(super) struct Known<'a> {
    pub(super) networks: &'a [ActiveNetwork],
    pub(super) guests: &'a [Guest],
    pub(super) owners: &'a [OwnerStatus],
    pub(super) facts: &'a HostFacts,
}

/// What others stop, and what of their rules is not known.
#[derive(Debug, Default, Serialize)]
pub(super) struct Obstacles {
    /// One for each owner and rule.
    pub(super) stopped: Vec<Stopped>,
    /// Which rules could not be read, and why.
    #[serde(rename = "unread_rules")]
    pub(super) unread: Vec<String>,
}

/// What one rule stops of one owner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Printed")]
pub(super) struct Stopped {
    /// Whose forward it is, or whose guests need it.
    pub(super) owner: Owner,
    pub(super) what: What,
    pub(super) certainty: Certainty,
    /// The verdict and the rule: `drop by docker's iptables: ...`.
    pub(super) by: String,
    /// The command that tells more.
    pub(super) explain: String,
}

/// What is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A forward.
    Forward {
        /// `tcp 8080`.
        port: String,
        /// The interfaces of which those who come are stopped.
        outside: Vec<String>,
        /// How many more of the owner's the rule stops.
        more: usize,
    },
    /// What guests of a network ask the host for: `names (DNS)`.
    Service(&'static str),
    /// What guests of a network send to others.
    WayOut,
}

impl Stopped {
    /// All of it in one line.
    pub(super) fn line(&self) -> String {
        let Self {
            owner, by, explain, ..
        } = self;
        let is_sure = self.certainty == Certainty::Sure;
        let choose = |sure, doubtful| if is_sure { sure } else { doubtful };
        let what = match &self.what {
            What::Forward {
                port,
                outside,
                more,
            } => {
                let more = match more {
                    0 => String::new(),
                    1 => ", and one forward more,".to_owned(),
                    more => format!(", and {more} forwards more,"),
                };
                let (is, outside) = (choose("is", "may be"), outside.join(" and "));
                format!("what {owner} forwards from {port}{more} {is} stopped on {outside}")
            }
            What::Service(service) => {
                let get = choose("get", "may get");
                format!("guests of {owner} {get} no {service} from the host")
            }
            What::WayOut => {
                let are = choose("are", "may be");
                format!("connections of guests of {owner} to others {are} stopped")
            }
        };
        format!("{what}: {by} (see '{explain}')")
    }
}

/// What `--json` prints of it.
#[derive(Serialize)]
struct Printed {
    #[serde(flatten)]
    owner: PrintedOwner,
    /// `tcp 8080` of a forward, `names (DNS)`, or `way out`.
    what: String,
    /// Interfaces by which a forward is not reached.
    outside: Vec<String>,
    /// How many more forwards of the owner's the rule stops.
    more: usize,
    /// `sure` or `doubtful`.
    certainty: &'static str,
    /// The verdict and the rule.
    by: String,
    /// The command that tells more.
    explain: String,
}

impl From<Stopped> for Printed {
    fn from(stopped: Stopped) -> Self {
        let (what, outside, more) = match stopped.what {
            What::Forward {
                port,
                outside,
                more,
            } => (port, outside, more),
            What::Service(service) => (service.to_owned(), Vec::new(), 0),
            What::WayOut => ("way out".to_owned(), Vec::new(), 0),
        };
        Self {
            owner: stopped.owner.into(),
            what,
            outside,
            more,
            certainty: match stopped.certainty {
                Certainty::Sure => "sure",
                Certainty::Doubtful => "doubtful",
            },
            by: stopped.by,
            explain: stopped.explain,
        }
    }
}

/// Reads everybody's rules, where others have what may stop packets, and finds what it stops.
pub(super) fn gather(known: &Known<'_>, engine: &mut Engine<'_>) -> Result<Obstacles, ApplyError> {
    let has_forwards = known
        .owners
        .iter()
        .any(|owner| owner.record.ruleset.dnats().next().is_some());
    if !has_forwards && known.guests.is_empty() {
        return Ok(Obstacles::default());
    }
    let rules = stopping_rules(&Family::ALL, Deadline::after(RULES));
    let mut found = Obstacles::default();
    if rules.have_stops_of_others() {
        let uplink = uplink(engine)?;
        found = find(known, &outer(known.networks), uplink.as_deref(), &rules);
    }
    found.unread.extend(rules.unread);
    Ok(found)
}

/// Finds what others stop of those who come by these interfaces, and of what guests send out by the uplink.
pub(super) fn find(
    known: &Known<'_>,
    outer: &[String],
    uplink: Option<&str>,
    rules: &Rules,
) -> Obstacles {
    let host = Host {
        networks: known.networks,
        facts: known.facts,
        outer,
        rules,
    };
    let forwards = host.stopped_forwards(known.owners);
    let unread = forwards.unknown().into_iter().collect();
    let mut stopped = name_forwards(forwards.stopped);
    let served = known
        .networks
        .iter()
        .filter(|one| one.network.mode.is_routed_by_host());
    for one in served {
        let is_on_it = |guest: &&Guest| {
            let mut nics = guest.nics.iter();
            nics.any(|nic| nic.network.as_deref() == Some(one.network.name.as_str()))
        };
        // Of a network without guests nobody lacks anything.
        let Some(guest) = known.guests.iter().find(is_on_it) else {
            continue;
        };
        let services = host.stopped_services(one).into_iter();
        let services = services.map(|stopped| (What::Service(stopped.service), stopped.obstacle));
        let way_out = uplink.and_then(|uplink| host.stopped_way_out(one, uplink));
        let way_out = way_out.map(|obstacle| (What::WayOut, obstacle));
        for (what, obstacle) in services.chain(way_out) {
            if is_of_others(obstacle.stop.by) {
                stopped.push(Stopped {
                    owner: Owner::from(&one.network),
                    what,
                    certainty: obstacle.certainty,
                    by: format!("{} by {}", obstacle.stop.verdict, name_stop(&obstacle.stop)),
                    explain: format!("portero explain {}", word(&guest.shown_name())),
                });
            }
        }
    }
    Obstacles { stopped, unread }
}

/// Of each owner and rule the first forward, and how many more the rule stops.
fn name_forwards(forwards: Vec<StoppedForward<'_>>) -> Vec<Stopped> {
    let mut all: Vec<(Stopped, Vec<&Dnat>)> = Vec::new();
    for found in forwards {
        let stop = &found.obstacle.stop;
        if !is_of_others(stop.by) {
            continue;
        }
        let stopped = Stopped {
            owner: found.owner.clone(),
            what: What::Forward {
                port: port(&found.dnat.claim()),
                outside: Vec::new(),
                more: 0,
            },
            certainty: found.obstacle.certainty,
            by: format!("{} by {}", stop.verdict, name_stop(stop)),
            explain: explain(found.dnat),
        };
        let is_it = |(known, _): &(Stopped, Vec<&Dnat>)| {
            let key = |one: &Stopped| (one.owner.uuid, one.certainty, one.by.clone());
            key(known) == key(&stopped)
        };
        let at = all.iter().position(is_it).unwrap_or_else(|| {
            all.push((stopped, Vec::new()));
            all.len() - 1
        });
        let (known, dnats) = &mut all[at];
        if !dnats.contains(&found.dnat) {
            dnats.push(found.dnat);
        }
        if let What::Forward { outside, more, .. } = &mut known.what {
            *more = dnats.len() - 1;
            if !outside.contains(&found.outside) {
                outside.push(found.outside);
            }
        }
    }
    all.into_iter().map(|(stopped, _)| stopped).collect()
}

/// Whoever writes a policy means it, and what libvirt rejects is told elsewhere.
fn is_of_others(owner: RuleOwner) -> bool {
    !matches!(owner, RuleOwner::Libvirt | RuleOwner::Portero)
}

/// What explains a forward's first port.
fn explain(dnat: &Dnat) -> String {
    let port = dnat.ports.start();
    let at = match dnat.address {
        Some(address) => SocketAddr::new(address, port).to_string(),
        None => port.to_string(),
    };
    match dnat.protocol {
        Protocol::Tcp => format!("portero explain {at}"),
        other => format!("portero explain {at}/{other}"),
    }
}
