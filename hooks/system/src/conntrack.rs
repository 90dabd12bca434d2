//! Forgets tracked UDP connections of a forward that has come or gone.
//!
//! Connection tracking decides on NAT once per connection, and a UDP client that keeps sending
//! from one port keeps its old decision alive: without this, a new forward would not be seen, and
//! an old one not end.

use crate::netlink::Netlink;
use crate::{interfaces, Deadline, Flow, Result};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::ifaddrs::getifaddrs;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

/// One direction of a tracked connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ParsedTuple {
    protocol: u8,
    source: IpAddr,
    source_port: u16,
    destination: IpAddr,
    destination_port: u16,
}

/// Deletes the tracked connections of `flows`.
pub(crate) fn forget(flows: &[Flow], deadline: Deadline) -> Result<()> {
    if flows.is_empty() {
        return Ok(());
    }
    let local = local_addresses();
    let mut netlink = Netlink::open(NETLINK_NETFILTER, deadline)?;
    for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
        let is_v4 = family == NetfilterProtoFamily::IPv4;
        let is_of_family = |flow: &&Flow| flow.guest.is_ipv4() == is_v4;
        let flows = by_port(flows.iter().filter(is_of_family));
        if flows.is_empty() {
            continue;
        }
        let mut found = Vec::new();
        let header = || NetfilterHeader::new(family, 0, 0);
        let list = NetfilterMessage::new(header(), ConntrackMessage::Get(Vec::new()));
        netlink.request(&list, NLM_F_REQUEST | NLM_F_DUMP, |answer| {
            let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = answer.inner
            else {
                return;
            };
            if let Some(original) = concerned(&attributes, &flows, &local) {
                found.push(original);
            }
        })?;
        let deletions = found.into_iter().map(|original| {
            let attributes = vec![ConntrackAttribute::CtaTupleOrig(original)];
            NetfilterMessage::new(header(), ConntrackMessage::Delete(attributes))
        });
        netlink.send_all(deletions.collect(), |refused| match refused.kind() {
            // It ended by itself meanwhile.
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(refused),
        })?;
    }
    Ok(())
}

/// Flows by the host's ports: there may be as many of them as ports, and many more connections.
fn by_port<'a>(flows: impl Iterator<Item = &'a Flow>) -> HashMap<u16, Vec<&'a Flow>> {
    let mut all: HashMap<u16, Vec<&Flow>> = HashMap::new();
    // Those of several sources are the same.
    for flow in flows.collect::<HashSet<_>>() {
        for port in flow.ports.start()..=flow.ports.end() {
            all.entry(port).or_default().push(flow);
        }
    }
    all
}

/// The original tuple of a connection, if it is one of the flows.
fn concerned(
    attributes: &[ConntrackAttribute],
    flows: &HashMap<u16, Vec<&Flow>>,
    local: &BTreeSet<IpAddr>,
) -> Option<Vec<Tuple>> {
    let (mut original, mut reply) = (None, None);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => reply = Some(tuple),
            _ => {}
        }
    }
    let tuple = original?;
    let original = ParsedTuple::read(tuple)?;
    let reply = ParsedTuple::read(reply?)?;
    let mut flows = flows.get(&original.destination_port)?.iter();
    flows
        .any(|flow| is_of(flow, &original, &reply, local))
        .then(|| tuple.clone())
}

/// Whether a connection was sent to the flow's guest, or stayed with the host because it began
/// before the forward did.
fn is_of(
    flow: &Flow,
    original: &ParsedTuple,
    reply: &ParsedTuple,
    local: &BTreeSet<IpAddr>,
) -> bool {
    if original.protocol != flow.protocol.number()
        || !flow.ports.contains(original.destination_port)
    {
        return false;
    }
    let to_guest = reply.source == flow.guest && flow.guest_ports.contains(reply.source_port);
    let to_host = reply.source == original.destination
        && flow
            .address
            .map_or(local.contains(&original.destination), |address| {
                address == original.destination
            });
    to_guest || to_host
}

impl ParsedTuple {
    fn read(tuple: &[Tuple]) -> Option<Self> {
        let (mut source, mut destination) = (None, None);
        let (mut protocol, mut source_port, mut destination_port) = (None, None, None);
        for part in tuple {
            match part {
                Tuple::Ip(addresses) => {
                    for address in addresses {
                        match address {
                            IPTuple::SourceAddress(address) => source = Some(*address),
                            IPTuple::DestinationAddress(address) => destination = Some(*address),
                            _ => {}
                        }
                    }
                }
                Tuple::Proto(parts) => {
                    for part in parts {
                        match part {
                            ProtoTuple::Protocol(number) => protocol = Some(u8::from(*number)),
                            ProtoTuple::SourcePort(port) => source_port = Some(*port),
                            ProtoTuple::DestinationPort(port) => destination_port = Some(*port),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(Self {
            protocol: protocol?,
            source: source?,
            source_port: source_port?,
            destination: destination?,
            destination_port: destination_port?,
        })
    }
}

/// The host's own addresses; none when they cannot be listed.
fn local_addresses() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return BTreeSet::new();
    };
    interfaces
        .filter_map(|interface| interfaces::ip(interface.address.as_ref()?))
        .collect()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use portero_model::{PortRange, Protocol};
    use std::net::SocketAddr;

    /// The host's address, and another of its own.
    const HOST: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

    fn port(port: u16) -> PortRange {
        PortRange::new(port, port).expect("a port")
    }

    fn flow(address: Option<&str>) -> Flow {
        Flow {
            protocol: Protocol::Udp,
            address: address.map(|address| address.parse().expect("an address")),
            ports: PortRange::new(5300, 5301).expect("ports"),
            guest: [10, 77, 1, 1].into(),
            guest_ports: port(53),
        }
    }

    fn direction(protocol: Protocol, source: &str, destination: &str) -> ParsedTuple {
        let [source, destination] =
            [source, destination].map(|end| end.parse::<SocketAddr>().expect("an end"));
        ParsedTuple {
            protocol: protocol.number(),
            source: source.ip(),
            source_port: source.port(),
            destination: destination.ip(),
            destination_port: destination.port(),
        }
    }

    /// Whether a connection from a client to `to`, answered by `by`, is a flow's.
    fn is_forgotten(flow: &Flow, protocol: Protocol, to: &str, by: &str) -> bool {
        const CLIENT: &str = "198.51.100.1:40000";
        let local = HOST.map(|address| address.parse().expect("an address"));
        let original = direction(protocol, CLIENT, to);
        let reply = direction(protocol, by, CLIENT);
        is_of(flow, &original, &reply, &local.into())
    }

    #[test]
    fn what_stayed_with_the_host_before_a_forward_came_is_forgotten() {
        let udp = Protocol::Udp;
        let any = flow(None);
        for to in ["192.0.2.1:5300", "192.0.2.2:5301"] {
            assert!(is_forgotten(&any, udp, to, to), "{to}");
        }
        let one = flow(Some("192.0.2.2"));
        assert!(is_forgotten(&one, udp, "192.0.2.2:5300", "192.0.2.2:5300"));
        assert!(!is_forgotten(&one, udp, "192.0.2.1:5300", "192.0.2.1:5300"));
        // Another port, another protocol, somebody who is not the host.
        assert!(!is_forgotten(&any, udp, "192.0.2.1:5302", "192.0.2.1:5302"));
        let tcp = Protocol::Tcp;
        assert!(!is_forgotten(&any, tcp, "192.0.2.1:5300", "192.0.2.1:5300"));
        assert!(!is_forgotten(&any, udp, "192.0.2.3:5300", "192.0.2.3:5300"));
    }

    #[test]
    fn what_went_to_the_guest_is_forgotten_and_what_went_to_others_is_not() {
        let flow = flow(None);
        let to = "192.0.2.1:5300";
        assert!(is_forgotten(&flow, Protocol::Udp, to, "10.77.1.1:53"));
        for by in ["10.77.1.1:54", "10.77.1.2:53"] {
            assert!(!is_forgotten(&flow, Protocol::Udp, to, by), "{by}");
        }
    }
}
