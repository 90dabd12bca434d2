//! The hops behind the host: the guest's interface, the guest, its service, and the way back.

use super::hop::Seen;
use super::host::{judge_ruling, with_port};
use crate::explain::value::{Crossing, Facts, GuestPath};
use crate::stop::{mend_stop, name_stop};
use portero_inventory::{Answer, BridgePort, ObjectState};
use portero_model::{Protocol, Verdict};
use portero_system::RouteLookup;
use portero_trace::{word, Leg, Scope};

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
    // Of several interfaces on one network, the one that answers.
    let heard = way.heard.as_deref().unwrap_or_default();
    let answers = || domain.nics.iter().find(|nic| heard.contains(&nic.mac));
    let nic = nic.or_else(answers).or(domain.nics.first());
    let tap = nic.and_then(|nic| nic.tap.as_ref());
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
        Some((tap, Some(link))) => port(tap, bridge, link.port),
    }
}

/// The bridge has to pass on what comes by the interface.
fn port(tap: &str, bridge: &str, port: Option<BridgePort>) -> Seen {
    match port {
        Some(BridgePort::Waiting(time)) => {
            let seconds = time.as_secs().max(1);
            Seen::fails(
                format!("{bridge} does not pass on what comes by {tap} yet: it waits for the spanning tree protocol (STP)"),
                format!("wait {seconds} s, or start the network with <bridge stp='off' delay='0'/>"),
            )
        }
        Some(BridgePort::Blocking) => Seen::fails(
            format!(
                "{bridge} blocks {tap}: the spanning tree protocol (STP) knows another way there"
            ),
            format!("find the loop: bridge link show master {bridge}"),
        ),
        Some(BridgePort::Disabled) => Seen::fails(
            format!("{tap} in {bridge} has no carrier: the guest has its end down"),
            "in the guest: ip link set eth0 up, or what its interface is called",
        ),
        Some(BridgePort::Forwarding) | None => Seen::Ok(format!("{tap} is in {bridge}")),
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
    if let (true, Some((flow, stop))) = (macs.is_empty(), &way.discovery) {
        return Seen::fails(
            format!(
                "what {guest} answers to neighbour discovery does not arrive: {} by {}",
                stop.verdict,
                name_stop(stop)
            ),
            mend_stop(stop, (flow, Leg::There), &way.settings, Scope::Port),
        );
    }
    match (macs.as_slice(), &way.domain) {
        ([], _) => Seen::fails(
            format!("nobody answers for {guest}"),
            readdress(way)
                .as_deref()
                .unwrap_or("correct the guest's address, or look in the guest: ip address"),
        ),
        ([one], None) => Seen::Ok(format!("{one} answers for {guest}")),
        // A guest may answer by each of its interfaces on one network.
        (macs, Some(domain)) if macs.iter().all(|mac| domain.has(mac)) => {
            let name = domain.name.escape_debug();
            Seen::Ok(format!(
                "domain '{name}' ({}) answers for {guest}",
                macs.join(", ")
            ))
        }
        (macs, domain) => {
            let expected = domain.as_ref().map_or(String::new(), |domain| {
                format!(", not domain '{}' alone", domain.name.escape_debug())
            });
            let names = name_macs(macs, way).join(" and ");
            let other = || format!("give all but one of them another address than {guest}");
            Seen::fails(
                format!("{guest} is answered for by {names}{expected}"),
                readdress(way).unwrap_or_else(other),
            )
        }
    }
}

/// Whose MAC addresses they are, each domain once.
fn name_macs(macs: &[String], way: &GuestPath) -> Vec<String> {
    let mut named: Vec<(Option<&str>, Vec<&str>)> = Vec::new();
    for mac in macs {
        let mut known = way.others_macs.iter();
        let name = known
            .find(|(of, _)| of == mac)
            .map(|(_, name)| name.as_str());
        match named
            .iter_mut()
            .find(|(known, _)| name.is_some() && *known == name)
        {
            Some((_, macs)) => macs.push(mac),
            None => named.push((name, vec![mac])),
        }
    }
    let name = |(name, macs): (Option<&str>, Vec<&str>)| match name {
        Some(name) => format!("domain '{}' ({})", name.escape_debug(), macs.join(", ")),
        None => macs.join(", "),
    };
    named.into_iter().map(name).collect()
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
            "portero forward remove {0}{name} {1} --persistent && \
             portero forward add {0}{name} {2} --persistent",
            domain.connect, written.spec, written.without_guest
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
            format!("in the guest: start the service that listens on {port}"),
        ),
        (Protocol::Udp, Answer::Silent) => Seen::Unknown(format!(
            "{to} is silent, as many a service is that listens on UDP"
        )),
        (Protocol::Sctp, _) | (_, Answer::NotAsked) => {
            Seen::Unknown(format!("{to} cannot be asked"))
        }
        (_, Answer::Silent | Answer::Unreachable) if way.host_is_kept_out.is_some() => {
            let why = way.host_is_kept_out.as_deref().unwrap_or_default();
            Seen::Unknown(format!("{to} cannot be asked: {why}"))
        }
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
    if let (Some(from), Some(RouteLookup::Nowhere), None) =
        (facts.asked.from, &way.back, &way.symmetric)
    {
        return Seen::fails(
            format!("the host has no route back to {from}"),
            format!("ip route add {from} dev INTERFACE, or via the router that leads there"),
        );
    }
    if let (Some(from), true) = (facts.asked.from, way.is_reply_refused) {
        return Seen::fails(
            format!("what {} answers {from} has no route (ip rule)", way.guest),
            "change the rule or its table: ip rule, ip route show table TABLE",
        );
    }
    if way.is_bare_neighbor {
        return Seen::fails(
            "the client is on the guest's own bridge, and the guest answers it past the host: the network has no <ip> whose \
             clients would be masqueraded",
            "write masquerade='yes' into the portForward",
        );
    }
    let crossed = way
        .crossing
        .as_ref()
        .map(|crossing| cross(facts, way, crossing));
    if let Some(failing @ Seen::Fails { .. }) = crossed {
        return failing;
    }
    if let (Some(interface), Some(outside), Some(STRICT)) =
        (&way.leaves_by, &way.outside, way.reverse_path_filter)
    {
        if interface != outside {
            return Seen::fails(
                format!(
                    "the packet comes by {outside}, the host's route back is by {interface}, and \
                     rp_filter of {outside} is 1"
                ),
                format!(
                    "sysctl -w net.ipv4.conf.{}.rp_filter=2",
                    outside.replace('.', "/")
                ),
            );
        }
    }
    let reply = way.rulings.1.as_ref();
    if let Some(reply) = reply.filter(|reply| reply.verdict != Verdict::Accept) {
        return judge_ruling(reply, "its reply");
    }
    if let Some(unclear) = crossed {
        return unclear;
    }
    let Some(network) = &way.network else {
        return Seen::Unknown("the guest's way back cannot be seen from here".to_owned());
    };
    let symmetric = match &way.symmetric {
        Some(dev) => format!("; its answers leave by {dev}, since the forward is symmetric"),
        None => String::new(),
    };
    if way.flow.is_masqueraded {
        return Seen::Ok(format!(
            "the guest sees the host's address, and answers that{symmetric}"
        ));
    }
    let gateway = network.gateway;
    match way.answer_beyond {
        Some((beyond, Answer::Answered | Answer::Refused)) => Seen::Ok(format!(
            "the guest answers addresses beyond its network, as {beyond}{symmetric}"
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

/// A reply that leaves by another interface than the packet came by.
fn cross(facts: &Facts, way: &GuestPath, crossing: &Crossing) -> Seen {
    let Crossing {
        address,
        came,
        table,
        leaves,
    } = crossing;
    let text = format!(
        "the reply leaves by {leaves}, it came by {came}: the routes for {address} are not asked for what {} \
         answers",
        way.guest
    );
    match (facts.asked.from, table) {
        (Some(client), Some(table)) => {
            let family = if client.is_ipv4() { "" } else { "-6 " };
            Seen::fails(
                text,
                format!(
                    "ip {family}rule add from {} to {client} lookup {}",
                    way.guest,
                    word(table)
                ),
            )
        }
        (Some(_), None) => Seen::Unknown(text),
        (None, _) => Seen::Unknown(format!("to a client far away {text}; name one (--from)")),
    }
}
