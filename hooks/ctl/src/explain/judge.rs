//! Judges each hop of a packet's way there and back by what was gathered. Pure.

mod guest;
mod hop;
pub(super) mod host;

pub(super) use hop::{Hop, State};
pub(crate) use host::by;

use super::value::Facts;

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
