//! Checks of what libvirt itself gives a network: its rules, and what guests ask of the host.

use super::hooks::restart_networks;
use super::leaks::quoted;
use super::value::{Facts, Finding};
use crate::everybody::anybody;
use crate::stop::{mend_stop, name_stop};
use crate::stopped::{Certainty, Obstacle, StoppedService};
use ipnet::IpNet;
use portero_inventory::{link_of, ActiveNetwork};
use portero_libvirt::{ForwardMode, Network, Subnet};
use portero_model::{Family, Protocol, Verdict};
use portero_routed_policy::{explain, At, End, Packet, PacketPath, Protocol as Service, Routing};
use portero_trace::{Flow, Judgement, Leg, Link, RuleOwner, Rules, Scope, Side, Traffic};

/// libvirt's rules go with `nft flush ruleset`, and so with a restart of nftables.service; libvirt does not hear of it.
pub(super) fn rules(facts: &Facts) -> Vec<Finding> {
    // Rules that could not be read are not rules that are gone.
    if !facts.rules.unread.is_empty()
        || facts.backends.libvirt.is_none() && facts.daemons.is_empty()
    {
        return Vec::new();
    }
    let findings = facts.networks.iter().filter_map(|one| {
        Some(Finding {
            finding: missing(one, &facts.rules)?,
            mend: restart_networks(&facts.daemons),
        })
    });
    findings.collect()
}

/// Which rules of libvirt's own for a network are gone, in a sentence.
pub(crate) fn missing(one: &ActiveNetwork, rules: &Rules) -> Option<String> {
    let mode = one.network.mode;
    let has_rules = mode.is_routed_by_host() && mode != ForwardMode::Open;
    let bridge = one.network.bridge.as_ref().filter(|_| has_rules)?;
    let mut subnets = one.network.subnets.iter();
    let missing = subnets.find_map(|subnet| {
        let family = Family::from(subnet.address);
        let missing = rules.missing_of_libvirt(family, bridge.as_str(), leaving(one, subnet));
        (!missing.is_empty()).then_some(missing)
    })?;
    Some(format!(
        "rules of libvirt's own for network {} are not in the firewall: {}",
        quoted(one),
        missing.join(", ")
    ))
}

/// A subnet whose guests get the host's address on their way out.
fn leaving(one: &ActiveNetwork, subnet: &Subnet) -> Option<IpNet> {
    let is_masqueraded = subnet.address.is_ipv4() || one.network.masquerades_ipv6;
    let net = IpNet::new(subnet.address, subnet.prefix).ok()?;
    (one.network.mode == ForwardMode::Nat && is_masqueraded).then_some(net)
}

/// docker's rules that accept what libvirt rejects, where iptables asks them first: containers reach every guest.
pub(super) fn past(facts: &Facts) -> Vec<Finding> {
    let networks = ActiveNetwork::networks(&facts.networks);
    let policy_of = |network: &Network| ActiveNetwork::find_policy(&facts.networks, network);
    let mut findings = Vec::new();
    for one in facts
        .networks
        .iter()
        .filter(|one| one.network.mode.is_routed_by_host())
    {
        let mut subnets = one.network.subnets.iter();
        let subnet = subnets.find(|subnet| subnet.address.is_ipv4());
        let (Some(bridge), Some(subnet)) = (&one.network.bridge, subnet) else {
            continue;
        };
        let end = |address, dev: &str| End {
            address,
            at: At::Behind(dev.to_owned()),
            mac: None,
        };
        for outside in &facts.outer {
            let packet = Packet {
                from: end(anybody(Family::Ipv4), outside),
                to: end(subnet.address, bridge.as_str()),
                protocol: Service::Port(Protocol::Tcp, 80),
                path: PacketPath::Direct,
                routing: Routing::On,
            };
            let flow = Flow {
                traffic: Traffic::Port {
                    protocol: Protocol::Tcp,
                    port: 80,
                    from: None,
                },
                client: Side::Behind(link_of(Some(outside.clone()))),
                client_address: None,
                server: Side::Behind(Link::bridge(bridge.to_string())),
                server_address: subnet.address,
                translated: None,
                is_masqueraded: false,
                judges_bridged: false,
            };
            let is_rejected = explain(&packet, &networks, &policy_of).verdict != Verdict::Accept;
            if !is_rejected || facts.rules.judge(&flow, Leg::There) != Judgement::Passes {
                continue;
            }
            // Who wrote another rule means it.
            let accepted = facts.rules.accepted_by_others(&flow, Leg::There);
            let Some(accepted) = accepted.filter(|accepted| accepted.by == RuleOwner::Docker)
            else {
                continue;
            };
            findings.push(Finding {
                finding: format!(
                    "connections from {outside} reach guests of network {} past libvirt's rules: {}",
                    quoted(one),
                    accepted.rule
                ),
                mend: format!(
                    "iptables -I DOCKER-USER -i {outside} -o {bridge} -m conntrack --ctstate NEW -j REJECT"
                ),
            });
        }
    }
    findings
}

/// What guests ask of the host: an address, and names.
pub(super) fn services(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for one in facts
        .networks
        .iter()
        .filter(|one| one.network.mode.is_routed_by_host())
    {
        if one.dnsmasq.is_some_and(|dnsmasq| !dnsmasq.is_running) {
            findings.push(Finding {
                finding: format!(
                    "dnsmasq of network {} does not run: its guests get no addresses and no names",
                    quoted(one)
                ),
                mend: restart_networks(&facts.daemons),
            });
            continue;
        }
        for StoppedService { service, obstacle } in facts.others().stopped_services(one) {
            let Obstacle {
                flow, leg, stop, ..
            } = &obstacle;
            if obstacle.certainty != Certainty::Sure {
                continue;
            }
            // Who wrote a policy means it.
            if stop.by == RuleOwner::Portero {
                continue;
            }
            let mend = mend_stop(stop, (flow, *leg), &facts.settings, Scope::Port);
            if findings.iter().any(|known| known.mend == mend) {
                continue;
            }
            findings.push(Finding {
                finding: format!(
                    "guests of network {} get no {service} from the host: {} by {}",
                    quoted(one),
                    stop.verdict,
                    name_stop(stop)
                ),
                mend,
            });
        }
    }
    findings
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::doctor::tests::{facts, network};
    use portero_inventory::{Daemon, Dnsmasq};
    use portero_trace::Iptables;
    use std::time::SystemTime;

    const IPTABLES: &str =
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:LIBVIRT_FWI - [0:0]\n:LIBVIRT_FWO - [0:0]\n\
        -A FORWARD -j LIBVIRT_FWI\n-A FORWARD -j LIBVIRT_FWO\n\
        -A LIBVIRT_FWI -o br1 -j REJECT --reject-with icmp-port-unreachable\n\
        -A LIBVIRT_FWO -i br1 -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n\
        *nat\n:POSTROUTING ACCEPT [0:0]\n:LIBVIRT_PRT - [0:0]\n-A POSTROUTING -j LIBVIRT_PRT\n\
        -A LIBVIRT_PRT -s 10.1.0.0/24 ! -d 10.1.0.0/24 -j MASQUERADE\nCOMMIT\n";

    const NFTABLES: &str = r#"{"nftables": [
        {"chain": {"family": "ip", "table": "libvirt_network", "name": "forward", "type": "filter", "hook": "forward", "prio": 0}},
        {"chain": {"family": "ip", "table": "libvirt_network", "name": "guest_nat", "type": "nat", "hook": "postrouting", "prio": 100}},
        {"rule": {"family": "ip", "table": "libvirt_network", "chain": "forward", "expr": [{"jump": {"target": "guest_input"}}]}},
        {"rule": {"family": "ip", "table": "libvirt_network", "chain": "forward", "expr": [{"jump": {"target": "guest_output"}}]}},
        {"rule": {"family": "ip", "table": "libvirt_network", "chain": "guest_input", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "oif"}}, "right": "br1"}},
            {"counter": {"packets": 0, "bytes": 0}}, {"reject": null}]}},
        {"rule": {"family": "ip", "table": "libvirt_network", "chain": "guest_output", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "br1"}},
            {"counter": {"packets": 0, "bytes": 0}}, {"reject": null}]}},
        {"rule": {"family": "ip", "table": "libvirt_network", "chain": "guest_nat", "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                       "right": {"prefix": {"addr": "10.1.0.0", "len": 24}}}},
            {"counter": {"packets": 0, "bytes": 0}}, {"masquerade": null}]}}]}"#;

    fn save(text: &str) -> Rules {
        let mut rules = Rules::default();
        let of = Iptables {
            program: "iptables".to_owned(),
            family: Family::Ipv4,
            is_in_nftables: true,
        };
        rules.add_iptables(of, text);
        rules
    }

    fn nft(text: &str) -> Rules {
        let mut rules = Rules::default();
        rules.add_nftables(text);
        rules
    }

    fn daemon(name: &str) -> Daemon {
        Daemon {
            name: name.to_owned(),
            started: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn rules_of_libvirt_that_are_gone_are_found_one_by_one() {
        let mut facts = facts(vec![network(
            "nat",
            1,
            "<forward/><ip address='10.1.0.1' prefix='24'/>",
        )]);
        facts.daemons = vec![daemon("libvirtd")];
        for rules in [save(IPTABLES), nft(NFTABLES)] {
            facts.rules = rules;
            assert_eq!(super::rules(&facts), []);
        }
        let found = |rules: Rules, facts: &mut Facts| {
            facts.rules = rules;
            let findings = super::rules(facts);
            assert_eq!(findings.len(), 1);
            findings.into_iter().next().expect("a finding")
        };
        let all = found(Rules::default(), &mut facts);
        assert_eq!(
            all.finding,
            "rules of libvirt's own for network 'nat' are not in the firewall: what rejects \
             connections to its guests, what rejects connections from its guests, what gives its \
             guests the host's address on their way out"
        );
        assert_eq!(all.mend, "systemctl restart libvirtd");
        for rules in [
            save(&IPTABLES.replace("-A LIBVIRT_FWI -o br1", "-A LIBVIRT_FWI -o br2")),
            nft(&NFTABLES.replace(r#"oif"}}, "right": "br1"#, r#"oif"}}, "right": "br2"#)),
        ] {
            let one = found(rules, &mut facts);
            assert!(
                one.finding
                    .ends_with(": what rejects connections to its guests"),
                "{}",
                one.finding
            );
        }
        facts.daemons = vec![daemon("virtqemud"), daemon("virtnetworkd")];
        let one = found(save(&IPTABLES.replace("MASQUERADE", "ACCEPT")), &mut facts);
        assert_eq!(one.mend, "systemctl restart virtnetworkd");
    }

    #[test]
    fn a_firewall_that_keeps_guests_from_dnsmasq_is_found() {
        let mut one = network("nat", 1, "<forward/>");
        one.dnsmasq = Some(Dnsmasq {
            has_dhcp: true,
            has_dns: true,
            is_running: true,
        });
        let mut facts = facts(vec![one]);
        facts.rules = save(IPTABLES);
        assert_eq!(services(&facts), []);
        facts.rules = save(&IPTABLES.replace("INPUT ACCEPT", "INPUT DROP"));
        let findings = services(&facts);
        let mends: Vec<&str> = findings.iter().map(|one| one.mend.as_str()).collect();
        let expected = [
            "iptables -I INPUT -i br1 -p udp --dport 67 -j ACCEPT",
            "iptables -I INPUT -i br1 -p udp --dport 53 -j ACCEPT",
        ];
        assert_eq!(mends, expected);
        assert_eq!(
            findings[0].finding,
            "guests of network 'nat' get no addresses (DHCP) from the host: drop by iptables: the \
             policy of chain INPUT, DROP"
        );
        facts.networks[0]
            .dnsmasq
            .as_mut()
            .expect("dnsmasq")
            .is_running = false;
        let findings = services(&facts);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].mend, "systemctl restart libvirtd");
        facts.networks[0].dnsmasq = None;
        assert_eq!(services(&facts), []);
    }
}
