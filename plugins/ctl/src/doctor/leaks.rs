//! Checks of what libvirt's own rules let through, though nobody said so. A policy closes both.

use super::mend::plain_policy;
use super::{Facts, Finding};
use portero_apply::ActiveNetwork;
use portero_event::{ForwardMode, Network};
use portero_plan::{Family, Verdict};
use portero_routed_policy::{explain, At, Course, End, Packet, Protocol, Routing};

/// Guests of isolated networks send to routed ones: libvirt accepts what comes to these before it
/// rejects what comes from those. No answer comes back, but a datagram needs none.
pub(super) fn isolated_to_routed(facts: &Facts) -> Vec<Finding> {
    let networks: Vec<Network> = facts
        .networks
        .iter()
        .map(|one| one.network.clone())
        .collect();
    let without_policy = || facts.networks.iter().filter(|one| one.policy().is_none());
    let isolated = || without_policy().filter(|one| one.network.mode == ForwardMode::Isolated);
    without_policy()
        .filter_map(|to| {
            let reaching: Vec<String> = isolated()
                .filter(|from| reaches(&from.network, &to.network, &networks))
                .map(quoted)
                .collect();
            (!reaching.is_empty()).then(|| Finding {
                finding: format!(
                    "packets of guests of isolated network {} reach guests of network {}, which has \
                     no policy",
                    reaching.join(", "),
                    quoted(to)
                ),
                mend: plain_policy(to),
            })
        })
        .collect()
}

fn quoted(one: &ActiveNetwork) -> String {
    format!("'{}'", one.network.name.as_str().escape_debug())
}

/// Whether packets of one network's guests reach those of another, in any family, while neither has
/// a policy.
fn reaches(from: &Network, to: &Network, networks: &[Network]) -> bool {
    if from.uuid == to.uuid {
        return false;
    }
    Family::ALL.into_iter().any(|family| {
        let (Some(from), Some(to)) = (guest(from, family), guest(to, family)) else {
            return false;
        };
        let packet = Packet {
            from,
            to,
            protocol: Protocol::Other,
            course: Course::Direct,
            routing: Routing::On,
        };
        explain(&packet, networks, &|_| None).verdict == Verdict::Accept
    })
}

/// Somebody on a network; the host's own address will do, since its rules name the subnet only.
fn guest(network: &Network, family: Family) -> Option<End> {
    let mut subnets = network.subnets.iter();
    let subnet = subnets.find(|subnet| Family::of(subnet.address) == family)?;
    Some(End {
        address: subnet.address,
        at: At::Behind(network.bridge.as_ref()?.to_string()),
        mac: None,
    })
}

/// A NAT network whose IPv6 subnet is not masqueraded is routed, and open to the outside.
pub(super) fn ipv6_into_nat(facts: &Facts) -> Vec<Finding> {
    let networks = facts.networks.iter().filter(|one| {
        let network = &one.network;
        let mut subnets = network.subnets.iter();
        network.mode == ForwardMode::Nat
            && !network.masquerades_ipv6
            && subnets.any(|subnet| subnet.address.is_ipv6())
            && one.policy().is_none()
    });
    networks
        .map(|one| Finding {
            finding: format!(
                "IPv6 connections from outside reach guests of NAT network {}: without \
                 <nat ipv6='yes'/> libvirt routes its IPv6 subnet, and it has no policy",
                quoted(one)
            ),
            mend: plain_policy(one),
        })
        .collect()
}
