//! Checks of what libvirt's own rules let through, though nobody said so. A policy closes both.

use super::mend::plain_policy;
use super::value::{Facts, Finding};
use portero_inventory::ActiveNetwork;
use portero_libvirt::{ForwardMode, Network};
use portero_model::{Family, Verdict};
use portero_routed_policy::{explain, At, End, Packet, PacketPath, Protocol, Routing};

/// Guests of isolated networks send to routed ones: libvirt accepts what comes to these before it
/// rejects what comes from those. No answer comes back, but a datagram needs none.
pub(super) fn isolated_to_routed(facts: &Facts) -> Vec<Finding> {
    let networks = ActiveNetwork::networks(&facts.networks);
    let without_policy = || facts.networks.iter().filter(|one| one.policy().is_none());
    let isolated = || without_policy().filter(|one| one.network.mode == ForwardMode::Isolated);
    let findings = without_policy().filter_map(|to| {
        let reaching = isolated().filter(|from| reaches(&from.network, &to.network, &networks));
        let reaching: Vec<String> = reaching.map(quoted).collect();
        (!reaching.is_empty()).then(|| Finding {
            finding: format!(
                "packets of guests of isolated network {} reach guests of network {}, which has no policy",
                reaching.join(", "),
                quoted(to)
            ),
            mend: plain_policy(to),
        })
    });
    findings.collect()
}

pub(super) fn quoted(one: &ActiveNetwork) -> String {
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
            path: PacketPath::Direct,
            routing: Routing::On,
        };
        explain(&packet, networks, &|_| None).verdict == Verdict::Accept
    })
}

/// Somebody on a network; the host's own address will do, since its rules name the subnet only.
fn guest(network: &Network, family: Family) -> Option<End> {
    let mut subnets = network.subnets.iter();
    let subnet = subnets.find(|subnet| Family::from(subnet.address) == family)?;
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

#[cfg(test)]
#[allow(clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::doctor::tests::{facts, network, with_policy};

    const ROUTE: &str = "<forward mode='route'/>";
    const V4: &str = "<ip address='10.1.0.1' prefix='24'/>";

    #[test]
    fn isolated_guests_reach_routed_networks_without_a_policy() {
        let iso = || network("iso", 1, "");
        let cell = || network("my cell", 2, "");
        let route = || network("route", 3, ROUTE);
        let found = |networks| isolated_to_routed(&facts(networks));
        let findings = found(vec![cell(), iso(), route()]);
        let [Finding { finding, mend }] = &findings[..] else {
            panic!("{findings:?}");
        };
        assert_eq!(
            finding,
            "packets of guests of isolated network 'my cell', 'iso' reach guests of network \
             'route', which has no policy"
        );
        assert_eq!(
            mend,
            "echo '<network xmlns=\"urn:portero:1\"><policy/></network>' > \
             /etc/portero/networks/route.xml && portero sync"
        );
        assert_eq!(found(vec![iso(), with_policy(route())]), []);
        assert_eq!(found(vec![with_policy(iso()), route()]), []);
        assert_eq!(found(vec![iso(), cell()]), []);
        assert_eq!(
            found(vec![iso(), network("open", 3, "<forward mode='open'/>")]),
            []
        );
        assert_eq!(
            found(vec![iso(), network("lan", 3, "<forward mode='bridge'/>")]),
            []
        );
        let nat =
            |inside: &str| network("nat", 3, &format!("<forward mode='nat'>{inside}</forward>"));
        assert_eq!(found(vec![iso(), nat("")]).len(), 1, "by IPv6");
        assert_eq!(found(vec![iso(), nat("<nat ipv6='yes'/>")]), []);
        assert_eq!(found(vec![network("iso", 1, V4), nat("")]), []);
        // It leads out by one interface only, and takes packets from there only.
        let dev = network("dev", 3, "<forward mode='route' dev='eth0'/>");
        assert_eq!(found(vec![iso(), dev]), []);
    }

    #[test]
    fn ipv6_comes_into_nat_networks_without_a_policy() {
        let nat =
            |inside: &str| network("nat", 1, &format!("<forward mode='nat'>{inside}</forward>"));
        let found = |network| ipv6_into_nat(&facts(vec![network])).len();
        assert_eq!(found(nat("")), 1);
        assert_eq!(found(nat("<nat ipv6='yes'/>")), 0);
        assert_eq!(found(with_policy(nat(""))), 0);
        assert_eq!(found(network("nat", 1, &format!("<forward/>{V4}"))), 0);
        assert_eq!(found(network("route", 1, ROUTE)), 0);
    }
}
