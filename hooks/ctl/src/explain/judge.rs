//! Judges each hop of a packet's way there and back by what was gathered. Pure.

mod guest;
pub(super) mod host;

pub(crate) use host::by;

use super::value::Facts;
use serde::Serialize;

/// One hop, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Hop {
    /// Its name.
    pub(super) hop: &'static str,
    /// Whether it holds.
    pub(super) state: State,
    /// Why, in one line.
    pub(super) text: String,
    /// The command that mends it, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// Whether a hop holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It does.
    Ok,
    /// It does not.
    Fails,
    /// That cannot be seen from here.
    Unknown,
}

impl State {
    /// As it is printed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fails => "FAILS",
            Self::Unknown => "unknown",
        }
    }
}

/// What is found of a hop, before it has its name.
#[derive(Debug)]
enum Found {
    Ok(String),
    Fails { text: String, mend: String },
    Unknown(String),
}

impl Found {
    fn fails(text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Fails {
            text: text.into(),
            mend: mend.into(),
        }
    }

    fn named(self, hop: &'static str) -> Hop {
        let (state, text, mend) = match self {
            Self::Ok(text) => (State::Ok, text, None),
            Self::Fails { text, mend } => (State::Fails, text, Some(mend)),
            Self::Unknown(text) => (State::Unknown, text, None),
        };
        Hop {
            hop,
            state,
            text,
            mend,
        }
    }
}

/// All hops, in the order in which the packet meets them; those behind a forward that is not there are
/// left out.
pub(super) fn hops(facts: &Facts) -> Vec<Hop> {
    let mut hops = vec![
        host::address(facts).named("address"),
        host::forward(facts).named("forward"),
        host::hooks(facts).named("hooks"),
    ];
    let Some(way) = &facts.way else { return hops };
    hops.extend([
        host::rule(facts, way).named("rule"),
        host::routing(way).named("routing"),
        host::bridge(way).named("bridge"),
        host::route(way).named("route"),
        host::policy(way).named("policy"),
        host::firewalls(way).named("firewalls"),
        guest::tap(way).named("tap"),
        guest::guest(way).named("guest"),
        guest::service(facts, way).named("service"),
        guest::back(facts, way).named("back"),
    ]);
    hops
}

/// The first hop that fails.
pub(super) fn first_failing(hops: &[Hop]) -> Option<&Hop> {
    hops.iter().find(|hop| hop.state == State::Fails)
}
