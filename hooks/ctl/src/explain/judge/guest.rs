//! The hops behind the host: the guest's interface, the guest, its service, and the way back.

use super::hop::Seen;
use super::host::{judge_ruling, with_port};
use crate::explain::value::{Facts, GuestPath};
use portero_inventory::{Answer, ObjectState};
use portero_model::{Protocol, Verdict};
use portero_system::RouteLookup;
use portero_trace::word;

/// How strictly `rp_filter` has to be set to be in the way.
const STRICT: u32 = 1;

/// The host's end of the guest's interface has to be in the bridge.
pub(super) fn tap(way: &GuestPath) -> Seen {
    let (Some(network), Some(domain)) = (&way.network, &way.domain) else {
        return Seen::Unknown("whose address it is, nothing tells".to_owned());
    };
    let bridge = &network.bridge;
    let mut nics = domain.nics.iter();
    let nic = nics.find(|nic| nic.addresses.contains(&way.guest));
    let tap = nic.or(domain.nics.first()).and_then(|nic| nic.tap.as_ref());
    let name = domain.name.escape_debug();
    match tap {
        None => Seen::Unknown(format!(
            "which interface domain '{name}' has on {bridge}, nothing tells"
        )),
        Some((tap, None)) => Seen::fails(
            format!("{tap} of domain '{name}' is not there"),
            format!(
                "virsh {0}destroy {1} && virsh {0}start {1}",
                domain.connect,
                word(&domain.name)
            ),
        ),
        Some((tap, Some(link))) if link.master.as_ref() != Some(bridge) => Seen::fails(
            format!("{tap} of domain '{name}' is not in {bridge}"),
            format!("ip link set {tap} master {bridge}"),
        ),
        Some((tap, Some(link))) if !link.is_up => Seen::fails(
            format!("{tap} of domain '{name}' is down"),
            format!("ip link set {tap} up"),
        ),
        Some((tap, Some(_))) => Seen::Ok(format!("{tap} is in {bridge}")),
    }
}

/// The guest has to run, and to be the one that has the address.
pub(super) fn guest(way: &GuestPath) -> Seen {
    let guest = way.guest;
    let domain = way.domain.as_ref();
    if let Some(domain) = domain.filter(|domain| domain.state == ObjectState::Paused) {
        return Seen::fails(
            format!("domain '{}' is paused", domain.name.escape_debug()),
            format!("virsh {}resume {}", domain.connect, word(&domain.name)),
        );
    }
    let Some(macs) = &way.heard else {
        return Seen::Unknown(format!("nobody can be asked for {guest}"));
    };
    match (macs.as_slice(), &way.domain) {
        ([], _) => Seen::fails(
            format!("nobody answers for {guest}"),
            readdress(way)
                .as_deref()
                .unwrap_or("correct the guest's address, or look in the guest: ip address"),
        ),
        ([one], None) => Seen::Ok(format!("{one} answers for {guest}")),
        ([one], Some(domain)) if domain.nics.iter().any(|nic| nic.mac == *one) => {
            let name = domain.name.escape_debug();
            Seen::Ok(format!("domain '{name}' ({one}) answers for {guest}"))
        }
        (macs, domain) => {
            let expected = domain.as_ref().map_or(String::new(), |domain| {
                format!(", not domain '{}' alone", domain.name.escape_debug())
            });
            let names: Vec<String> = macs.iter().map(|mac| name_mac(mac, way)).collect();
            let names = names.join(" and ");
            let other = || format!("give all but one of them another address than {guest}");
            Seen::fails(
                format!("{guest} is answered for by {names}{expected}"),
                readdress(way).unwrap_or_else(other),
            )
        }
    }
}

fn name_mac(mac: &str, way: &GuestPath) -> String {
    let mut known = way.others_macs.iter();
    match known.find(|(of, _)| of == mac) {
        Some((_, name)) => format!("domain '{}' ({mac})", name.escape_debug()),
        None => mac.to_owned(),
    }
}

/// The commands that let DHCP tell the guest's address, where it tells another one.
fn readdress(way: &GuestPath) -> Option<String> {
    let (written, domain) = (way.written.as_ref()?, way.domain.as_ref()?);
    let mut addresses = domain.nics.iter().flat_map(|nic| &nic.addresses);
    let is_other = addresses.any(|one| *one != way.guest && one.is_ipv4() == way.guest.is_ipv4());
    let is_said = written.spec != written.without_guest;
    let name = word(&domain.name);
    (is_other && is_said).then(|| {
        format!(
            "portero forward remove {name} {} --persistent && \
             portero forward add {name} {} --persistent",
            written.spec, written.without_guest
        )
    })
}

/// Something has to listen in the guest.
pub(super) fn service(facts: &Facts, way: &GuestPath) -> Seen {
    let protocol = facts.asked.protocol;
    let to = with_port(way.guest, way.port);
    let port = format!("{protocol} port {}", way.port);
    match (protocol, way.answer) {
        (_, Answer::Answered) => Seen::Ok(format!("{to} answers the host")),
        (_, Answer::Refused) => Seen::fails(
            format!("the guest says that nothing listens on {port}"),
            format!("in the guest: start what shall listen on {port}"),
        ),
        (Protocol::Udp, Answer::Silent) => Seen::Unknown(format!(
            "{to} is silent, as many a service is that listens on UDP"
        )),
        (Protocol::Sctp, _) | (_, Answer::NotAsked) => {
            Seen::Unknown(format!("{to} cannot be asked"))
        }
        (_, Answer::Silent | Answer::Unreachable) if way.host_is_kept_out => Seen::Unknown(
            format!("a policy keeps the host itself from {to}, so it cannot be asked"),
        ),
        (_, answer) => Seen::fails(
            match answer {
                Answer::Silent => {
                    format!("{to} does not answer the host: its own firewall drops it, or it hangs")
                }
                _ => format!(
                    "{to} cannot be reached by the host: its own firewall rejects it, or it is not there"
                ),
            },
            format!("in the guest: let {port} through its own firewall"),
        ),
    }
}

/// The answer has to come back.
pub(super) fn back(facts: &Facts, way: &GuestPath) -> Seen {
    if let (Some(from), Some(RouteLookup::Nowhere)) = (facts.asked.from, &way.back) {
        return Seen::fails(
            format!("the host has no route back to {from}"),
            format!("ip route add {from} dev INTERFACE, or via the router that leads there"),
        );
    }
    if let (Some(RouteLookup::Behind { interface, .. }), Some(outside), Some(STRICT)) =
        (&way.back, &way.outside, way.reverse_path_filter)
    {
        if interface != outside {
            return Seen::fails(
                format!(
                    "the packet comes by {outside}, its answer would leave by {interface}, and \
                     rp_filter of {outside} is 1"
                ),
                format!("sysctl -w net.ipv4.conf.{outside}.rp_filter=2"),
            );
        }
    }
    let reply = way.rulings.1.as_ref();
    if let Some(reply) = reply.filter(|reply| reply.verdict != Verdict::Accept) {
        return judge_ruling(reply, "its reply");
    }
    let Some(network) = &way.network else {
        return Seen::Unknown("the guest's way back cannot be seen from here".to_owned());
    };
    if network.is_isolated {
        return Seen::Ok("the guest sees the host's address, and answers that".to_owned());
    }
    let gateway = network.gateway;
    match way.answer_beyond {
        Some((beyond, Answer::Answered | Answer::Refused)) => Seen::Ok(format!(
            "the guest answers addresses beyond its network, as {beyond}"
        )),
        Some((beyond, Answer::Silent | Answer::Unreachable)) => Seen::fails(
            format!(
                "the guest answers its own network, but not {beyond}: it has no default route by \
                 {gateway}, or its firewall lets nobody else in"
            ),
            format!("in the guest: ip route add default via {gateway}"),
        ),
        Some((_, Answer::NotAsked)) | None => Seen::Unknown(format!(
            "whether the guest's default route leads back by {gateway} cannot be seen from here"
        )),
    }
}
