//! Checks of the host itself.

use super::leaks::quoted;
use super::value::{Facts, Finding};
use crate::explain::{forwarding_mend, forwarding_sysctl};
use portero_libvirt::ForwardMode;
use portero_model::Family;

/// A host that is no router has guests that reach nobody.
pub(super) fn forwarding(facts: &Facts) -> Vec<Finding> {
    let families = Family::ALL.into_iter();
    let families = families.filter(|family| !facts.host.passes_on.contains(family));
    let findings = families.filter_map(|family| {
        let networks = facts.networks.iter().filter(|one| {
            let mode = one.network.mode;
            let is_routed = mode.is_routed_by_host() && mode != ForwardMode::Isolated;
            let mut subnets = one.network.subnets.iter();
            is_routed && subnets.any(|subnet| Family::from(subnet.address) == family)
        });
        let names: Vec<String> = networks.map(quoted).collect();
        let sysctl = forwarding_sysctl(family);
        (!names.is_empty()).then(|| Finding {
            finding: format!(
                "{sysctl} is 0: {family} packets of guests are not passed on, of network {}",
                names.join(", ")
            ),
            mend: forwarding_mend(family, &facts.advertised),
        })
    });
    findings.collect()
}

/// With `br_netfilter`, rules that are about routing also meet what never leaves a bridge.
pub(super) fn bridge_netfilter(facts: &Facts) -> Vec<Finding> {
    let mut networks = facts.networks.iter();
    // Docker needs it, and sets it again.
    if facts.has_docker || !networks.any(|one| one.network.bridge.is_some()) {
        return Vec::new();
    }
    let findings = facts.host.judges_bridged.iter().map(|family| {
        let sysctl = match family {
            Family::Ipv4 => "net.bridge.bridge-nf-call-iptables",
            Family::Ipv6 => "net.bridge.bridge-nf-call-ip6tables",
        };
        Finding {
            finding: format!(
                "{sysctl} is 1: the firewall judges {family} packets between guests on one bridge, and a \
                 guest does not reach itself by the host's address"
            ),
            mend: format!("sysctl -w {sysctl}=0"),
        }
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::{facts, network};

    #[test]
    fn a_host_that_is_no_router_is_found_where_it_should_be_one() {
        let v4 = "<ip address='10.1.0.1' prefix='24'/>";
        let mut facts = facts(vec![
            network("nat", 1, &format!("<forward/>{v4}")),
            network("route", 2, "<forward mode='route'/>"),
            network("iso", 3, ""),
            network("lan", 4, "<forward mode='bridge'/>"),
        ]);
        let mends = |facts: &Facts| -> Vec<String> {
            let findings = forwarding(facts).into_iter();
            findings.map(|finding| finding.mend).collect()
        };
        let (v4, v6) = (
            "sysctl -w net.ipv4.ip_forward=1",
            "sysctl -w net.ipv6.conf.all.forwarding=1",
        );
        assert_eq!(mends(&facts), [v4, v6]);
        facts.advertised = vec!["eth0.7".to_owned()];
        let both = "sysctl -w net.ipv6.conf.eth0/7.accept_ra=2 net.ipv6.conf.all.forwarding=1";
        assert_eq!(mends(&facts), [v4, both]);
        facts.advertised.clear();
        let finding = forwarding(&facts).remove(0).finding;
        assert!(finding.ends_with("of network 'nat', 'route'"), "{finding}");
        facts.host.passes_on = vec![Family::Ipv4];
        assert_eq!(mends(&facts), [v6]);
        facts.networks.remove(1);
        assert_eq!(mends(&facts), [""; 0]);
        facts.networks.remove(0);
        facts.host.passes_on.clear();
        assert_eq!(mends(&facts), [""; 0]);
    }

    #[test]
    fn bridged_packets_that_are_judged_are_found_where_there_is_a_bridge() {
        let mut with = facts(vec![network("iso", 1, "")]);
        assert_eq!(bridge_netfilter(&with), []);
        with.host.judges_bridged = vec![Family::Ipv4];
        let findings = bridge_netfilter(&with);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].mend,
            "sysctl -w net.bridge.bridge-nf-call-iptables=0"
        );
        with.has_docker = true;
        assert_eq!(bridge_netfilter(&with), []);
        with.has_docker = false;
        with.networks.clear();
        assert_eq!(bridge_netfilter(&with), []);
    }
}
