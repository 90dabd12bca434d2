//! What a compiled rule matches, in words.

use portero_libvirt::Network;
use portero_model::{
    CompiledRule, Family, Judged, Named, Nat, NatPeer, Neighbor, Nets, Peer, PortRange, Service,
};
use std::fmt::Display;

/// A network's name as it is printed.
pub(super) fn quoted(network: impl Display) -> String {
    format!("'{}'", network.to_string().escape_debug())
}

/// What a compiled rule matches; bridges of virtual networks are given by the network's name.
pub(super) fn describe_rule(rule: &CompiledRule, networks: &[Network]) -> String {
    let mut words = vec![services(&rule.services)];
    let peers = rule.peers.iter();
    let peers: Vec<String> = peers.map(|peer| describe_peer(peer, networks)).collect();
    let (guests, others) = rule.name.direction.pick(("from", "to"), ("to", "from"));
    if !peers.is_empty() {
        words.push(format!("{others} {}", peers.join(" or ")));
    }
    words.extend(describe_nets(&rule.guests).map(|nets| format!("{guests} {nets}")));
    if let [family] = rule.families.as_slice() {
        words.push(format!("({family})"));
    }
    let mut text = words.join(" ");
    if rule.judged == Judged::EveryPacket {
        text += ", replies too";
    }
    if let Some(log) = &rule.log {
        text += &format!(", logged {}/{}", log.lines, log.unit.name());
    }
    text
}

fn services(services: &[Service]) -> String {
    if services.is_empty() {
        return "anything".to_owned();
    }
    let services: Vec<String> = services.iter().map(describe_service).collect();
    services.join(", ")
}

fn describe_service(service: &Service) -> String {
    match service {
        Service::Ports { protocol, ports } => match ports {
            None => protocol.to_string(),
            Some(ports) => format!("{protocol} {}", describe_ports(*ports)),
        },
        Service::Icmp { family, kind, code } => {
            let name = match family {
                Family::Ipv4 => "icmp",
                Family::Ipv6 => "icmpv6",
            };
            let kind = kind.map(|kind| format!(" type {kind}"));
            let code = code.map(|code| format!(" code {code}"));
            let [kind, code] = [kind, code].map(Option::unwrap_or_default);
            format!("{name}{kind}{code}")
        }
    }
}

fn describe_ports(ports: PortRange) -> String {
    let plural = if ports.is_single() { "" } else { "s" };
    format!("port{plural} {ports}")
}

fn describe_peer(peer: &Peer, networks: &[Network]) -> String {
    let mut words = Vec::new();
    words.extend(describe_nets(&peer.nets));
    words.extend(peer.interface.as_ref().map(|named| {
        let (no, name) = split_named(named);
        format!("{no}{}", behind(name, networks))
    }));
    words.extend(peer.mac.as_ref().map(|named| {
        let (no, mac) = split_named(named);
        format!("{no}MAC {mac}")
    }));
    if words.is_empty() {
        return "anybody".to_owned();
    }
    words.join(" and ")
}

fn split_named(named: &Named) -> (&'static str, &str) {
    match named {
        Named::Is(name) => ("", name),
        Named::IsNot(name) => ("not ", name),
    }
}

fn behind(interface: &str, networks: &[Network]) -> String {
    let mut networks = networks.iter();
    match networks.find(|network| network.has_bridge(interface)) {
        Some(network) => format!("network {}", quoted(&network.name)),
        None => format!("behind {interface}"),
    }
}

fn describe_nets(nets: &Nets) -> Option<String> {
    let (no, nets) = match nets {
        Nets::Any => return None,
        Nets::In(nets) if nets.is_empty() => return Some("nobody".to_owned()),
        Nets::In(nets) => ("", nets),
        Nets::NotIn(nets) => ("others than ", nets),
    };
    let nets = nets.iter().map(|net| {
        let is_host = net.prefix_len() == net.max_prefix_len();
        let host = is_host.then(|| net.addr().to_string());
        host.unwrap_or_else(|| net.to_string())
    });
    let nets: Vec<String> = nets.collect();
    Some(format!("{no}{}", nets.join(", ")))
}

/// What happens to addresses.
pub(super) fn describe_nat(nat: &Nat, networks: &[Network]) -> String {
    match nat {
        Nat::Keep { from, to } => {
            let to = match to {
                NatPeer::Interface(name) => behind(name, networks),
                NatPeer::Net(net) => net.to_string(),
            };
            format!("{from} keeps its addresses to {to}")
        }
        Nat::Masquerade {
            from,
            addresses,
            ports,
        } => {
            let taken = match addresses {
                None => "the host's address".to_owned(),
                Some((first, last)) if first == last => first.to_string(),
                Some((first, last)) => format!("{first}-{last}"),
            };
            format!("{from} takes {taken} to others, {}", describe_ports(*ports))
        }
    }
}

/// Whom the host answers for.
pub(super) fn describe_neighbor(neighbor: &Neighbor) -> String {
    format!(
        "the host answers for {} on {}",
        neighbor.address, neighbor.dev
    )
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use portero_model::{LogRate, Protocol, TimeUnit, Verdict};
    use portero_xml::Element;
    use std::fmt::Debug;
    use std::str::FromStr;

    fn rule(name: &str) -> CompiledRule {
        CompiledRule::of_all(name.parse().expect("a name"), Verdict::Accept)
    }

    fn nets<T: FromStr<Err: Debug>>(nets: &[&str]) -> Vec<T> {
        let nets = nets.iter();
        nets.map(|net| net.parse().expect("a network")).collect()
    }

    fn network() -> Network {
        let xml = b"<network><name>it's</name><uuid>00000000-0000-4000-8000-000000000001</uuid>\
            <bridge name='virbr7'/></network>";
        Network::from_element(&Element::parse(xml).expect("XML")).expect("a network")
    }

    #[test]
    fn a_rule_is_said_from_the_guests_side() {
        let words = |rule: &CompiledRule| describe_rule(rule, &[network()]);
        assert_eq!(words(&rule("in 1")), "anything");
        let ports = |protocol, first, last| Service::Ports {
            protocol,
            ports: PortRange::new(first, last).ok(),
        };
        let full = CompiledRule {
            guests: Nets::In(nets(&["10.1.0.0/24"])),
            peers: vec![
                Peer {
                    nets: Nets::NotIn(nets(&["198.51.100.7/32", "203.0.113.0/24"])),
                    interface: Some(Named::Is("virbr7".to_owned())),
                    mac: None,
                },
                Peer {
                    interface: Some(Named::IsNot("eth0".to_owned())),
                    mac: Some(Named::IsNot("52:54:00:00:00:01".to_owned())),
                    ..Peer::default()
                },
            ],
            services: vec![
                ports(Protocol::Tcp, 22, 22),
                ports(Protocol::Udp, 60, 70),
                Service::Ports {
                    protocol: Protocol::Sctp,
                    ports: None,
                },
                Service::Icmp {
                    family: Family::Ipv6,
                    kind: Some(1),
                    code: Some(4),
                },
            ],
            families: vec![Family::Ipv4],
            judged: Judged::EveryPacket,
            log: Some(LogRate {
                prefix: String::new(),
                lines: 10,
                unit: TimeUnit::Minute,
            }),
            ..rule("in 1")
        };
        let services = "tcp port 22, udp ports 60-70, sctp, icmpv6 type 1 code 4";
        let peers =
            "others than 198.51.100.7, 203.0.113.0/24 and network 'it\\'s' or not behind eth0 \
                     and not MAC 52:54:00:00:00:01";
        let end = "(IPv4), replies too, logged 10/minute";
        assert_eq!(
            words(&full),
            format!("{services} from {peers} to 10.1.0.0/24 {end}")
        );
        let out = CompiledRule {
            name: rule("out 1").name,
            ..full
        };
        assert_eq!(
            words(&out),
            format!("{services} to {peers} from 10.1.0.0/24 {end}")
        );
    }
}
