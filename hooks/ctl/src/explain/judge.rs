//! Judges each hop of a packet's way there and back by what was gathered. Pure.

mod address;
mod guest;
mod hop;
pub(super) mod host;
mod pending;

pub(super) use hop::{Hop, HopState, Seen};
pub(crate) use host::{forwarding_mend, forwarding_sysctl};
pub(super) use host::{judge_firewalls, judge_ruling, Followed};

use super::value::Facts;

/// All hops, in the order in which the packet meets them; those behind a forward that is not there are
/// left out.
pub(super) fn hops(facts: &Facts) -> Vec<Hop> {
    let mut hops = vec![
        address::address(facts).into_hop("address"),
        host::forward(facts).into_hop("forward"),
        host::hooks(facts).into_hop("hooks"),
    ];
    let Some(way) = &facts.way else { return hops };
    hops.extend([
        host::rule(facts, way).into_hop("rule"),
        host::routing(way).into_hop("routing"),
        host::bridge(way).into_hop("bridge"),
        host::route(facts, way).into_hop("route"),
        host::policy(way).into_hop("policy"),
        host::firewalls(way).into_hop("firewalls"),
        guest::tap(way).into_hop("tap"),
        guest::guest(way).into_hop("guest"),
        guest::service(facts, way).into_hop("service"),
        guest::back(facts, way).into_hop("back"),
    ]);
    hops
}

/// The first hop that fails.
pub(super) fn first_failing(hops: &[Hop]) -> Option<&Hop> {
    hops.iter().find(|hop| hop.state == HopState::Fails)
}
