//! Who may open connections to whom, in few words.

use super::sources::{MapSources, SegmentKind};
use portero_inventory::ActiveNetwork;
use portero_libvirt::Network;
use portero_model::{Family, Service, Verdict};
use portero_routed_policy::{is_host_service, reachability, Outcome, Place, Reachability, Routing};
use serde::Serialize;
use std::collections::BTreeMap;

/// What becomes of connections from one end to another.
#[derive(Debug, Serialize)]
pub(super) struct Connections {
    /// Who opens them.
    pub(super) from: ConnectionEnd,
    /// Who is asked for them.
    pub(super) to: ConnectionEnd,
    /// How many of them pass.
    pub(super) passes: Passes,
    /// The same of each family.
    pub(super) families: BTreeMap<Family, FamilyConnections>,
}

/// What becomes of connections of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FamilyConnections {
    /// How many of them pass.
    pub(super) passes: Passes,
    /// The same in words.
    words: String,
}

impl FamilyConnections {
    /// Beside what is said, forwards pass.
    pub(super) fn add_forwards(&mut self) {
        self.words = match self.passes {
            Passes::None => "forwards only".to_owned(),
            _ => format!("{}, forwards", self.words),
        };
        self.passes = Passes::Some;
    }
}

/// One end of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ConnectionEnd {
    /// Everybody who is on no network behind the host.
    Outside,
    /// The host itself.
    Host,
    /// The guests of a network.
    Network(String),
}

/// How many connections pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Passes {
    /// None.
    None,
    /// Some.
    Some,
    /// All.
    All,
}

impl ConnectionEnd {
    fn new(place: Place<'_>) -> Self {
        match place {
            Place::Outside => Self::Outside,
            Place::Host => Self::Host,
            Place::Network(network) => Self::Network(network.name.to_string()),
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Outside => "outside",
            Self::Host => "host",
            Self::Network(name) => name,
        }
    }
}

impl Connections {
    /// What becomes of them, in few words.
    pub(super) fn words(&self) -> String {
        let of = |(family, told): (&Family, &FamilyConnections)| format!("{family} {}", told.words);
        let families: Vec<(&Family, &FamilyConnections)> = self.families.iter().collect();
        let passing = families.iter().copied();
        let passing: Vec<_> = passing
            .filter(|(_, told)| told.passes != Passes::None)
            .collect();
        match (families.as_slice(), passing.as_slice()) {
            ([(_, first), others @ ..], _) if others.iter().all(|(_, told)| told == first) => {
                first.words.clone()
            }
            (_, [(family, told)]) if told.passes == Passes::All => format!("{family} only"),
            (_, [one]) => of(*one),
            (all, _) => all.iter().copied().map(of).collect::<Vec<_>>().join("; "),
        }
    }
}

/// All that can be opened between networks behind the host, the host and the outside.
pub(super) fn connections(sources: &MapSources) -> Vec<Connections> {
    let active = &sources.networks;
    let mut networks = ActiveNetwork::networks(active);
    networks.sort_by_cached_key(|one| (SegmentKind::from_network(one), one.name.clone()));
    let policy_of = |network: &Network| ActiveNetwork::find_policy(active, network);
    let routed = networks.iter().filter(|one| one.mode.is_routed_by_host());
    let mut places = vec![Place::Outside, Place::Host];
    places.extend(routed.map(Place::Network));
    let mut connections = Vec::new();
    for from in &places {
        for to in &places {
            let end = ConnectionEnd::new(*to);
            let of_family = |family: Family| {
                let routing = match sources.facts.passes_on.contains(&family) {
                    true => Routing::On,
                    false => Routing::Off,
                };
                let found = reachability(*from, *to, family, routing, &networks, &policy_of)?;
                let (passes, words) = (passes(&found), words(&found, &end));
                Some((family, FamilyConnections { passes, words }))
            };
            let families: BTreeMap<Family, FamilyConnections> =
                Family::ALL.into_iter().filter_map(of_family).collect();
            let all = families.values().map(|told| told.passes);
            if let Some(passes) = all.reduce(Passes::with) {
                connections.push(Connections {
                    from: ConnectionEnd::new(*from),
                    to: end,
                    passes,
                    families,
                });
            }
        }
    }
    connections
}

impl Passes {
    pub(super) fn with(self, other: Self) -> Self {
        if self == other {
            self
        } else {
            Self::Some
        }
    }
}

fn passes(reachability: &Reachability) -> Passes {
    let services = reachability.services.iter().map(|(_, outcome)| *outcome);
    let outcomes = [reachability.anything].into_iter().chain(services);
    let passes = outcomes.map(|outcome| match outcome {
        Outcome::Always(Verdict::Accept) => Passes::All,
        Outcome::Always(_) => Passes::None,
        Outcome::Mostly(_) => Passes::Some,
    });
    passes.reduce(Passes::with).unwrap_or(Passes::All)
}

/// `reject`, `tcp 22, 80, some udp 53`, `all but tcp 25`: what passes, or else what becomes of it.
fn words(reachability: &Reachability, to: &ConnectionEnd) -> String {
    let list = |wanted: &dyn Fn(Outcome) -> Option<&'static str>| {
        let services = reachability.services.iter();
        let named = services.filter_map(|(service, outcome)| Some((wanted(*outcome)?, *service)));
        listed(named, to)
    };
    let passing = list(&|outcome| match outcome {
        Outcome::Always(Verdict::Accept) => Some(""),
        Outcome::Mostly(Verdict::Accept) => Some("most "),
        Outcome::Mostly(_) => Some("some "),
        Outcome::Always(_) => None,
    });
    let failing = list(&|outcome| match outcome {
        Outcome::Always(Verdict::Accept) => None,
        Outcome::Mostly(Verdict::Accept) => Some("some "),
        Outcome::Mostly(_) => Some("most "),
        Outcome::Always(_) => Some(""),
    });
    match reachability.anything {
        Outcome::Always(Verdict::Accept) if failing.is_empty() => "accept".to_owned(),
        Outcome::Always(Verdict::Accept) => format!("all but {failing}"),
        Outcome::Mostly(Verdict::Accept) if failing.is_empty() => "most".to_owned(),
        Outcome::Mostly(Verdict::Accept) => format!("most, not {failing}"),
        Outcome::Always(verdict) if passing.is_empty() => verdict.to_string(),
        Outcome::Always(_) => passing,
        Outcome::Mostly(_) if passing.is_empty() => "some".to_owned(),
        Outcome::Mostly(_) => format!("some, {passing}"),
    }
}

/// Services, each with a word before it: `tcp 22, 80, some udp 53`.
fn listed(services: impl Iterator<Item = (&'static str, Service)>, to: &ConnectionEnd) -> String {
    let mut words = Vec::new();
    let (mut has_basics, mut before) = (false, String::new());
    for (word, service) in services {
        if *to == ConnectionEnd::Host && word.is_empty() && is_host_service(&service) {
            has_basics = true;
            continue;
        }
        let (name, detail) = name_service(service);
        let head = format!("{word}{name}");
        match detail {
            // The one before says of what it is.
            Some(detail) if head == before => words.push(detail),
            Some(detail) => words.push(format!("{head} {detail}")),
            None => words.push(head.clone()),
        }
        before = head;
    }
    if has_basics {
        words.insert(0, "DHCP, DNS".to_owned());
    }
    words.join(", ")
}

fn name_service(service: Service) -> (&'static str, Option<String>) {
    match service {
        Service::Ports { protocol, ports } => {
            (protocol.name(), ports.map(|ports| ports.to_string()))
        }
        Service::Icmp { kind, .. } => ("icmp", kind.map(|kind| kind.to_string())),
    }
}
