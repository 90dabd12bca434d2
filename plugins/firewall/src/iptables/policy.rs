//! What policies are in iptables: a chain of each network for each direction of its packets.

use super::base::{Base, Chains, LibvirtChains, LIBVIRT_FROM_GUESTS, LIBVIRT_TO_GUESTS};
use super::words::{address, network};
use portero_model::{
    CompiledRule, Direction, Family, Judged, LogRate, Named, Nat, NatPeer, Nets, Policy, Service,
    TimeUnit, Verdict,
};

/// Adds the chains of a policy in one family.
pub(crate) fn add(policy: &Policy, family: Family, libvirt: LibvirtChains, chains: &mut Chains) {
    for (direction, rules) in &policy.rules {
        let lines = direction_lines(*direction, &policy.bridge, rules, family);
        chains.insert((family, base(*direction)), lines);
    }
    let nat: Vec<String> = policy
        .nat
        .iter()
        .filter(|nat| Family::from(nat.guests().addr()) == family)
        .flat_map(|nat| nat_lines(nat, family))
        .collect();
    if !nat.is_empty() {
        chains.insert((family, Base::Nat), nat);
    }
    if libvirt == LibvirtChains::Missing {
        return;
    }
    let accept = || "-j ACCEPT".to_owned();
    chains.insert((family, Base::Known), vec![accept()]);
    let bridge = &policy.bridge;
    let to = vec![
        format!("-i {bridge} -j RETURN"),
        format!("-j {}", Base::Known.chain()),
        verdict_of_libvirt(LIBVIRT_FROM_GUESTS),
        accept(),
    ];
    chains.insert((family, Base::To), to);
    let from = vec![
        format!("-o {bridge} -j RETURN"),
        verdict_of_libvirt(LIBVIRT_TO_GUESTS),
        accept(),
    ];
    chains.insert((family, Base::From), from);
}

/// A jump to a chain of libvirt's. It needs a match of its own: libvirt takes the last rule that is
/// nothing but `-j CHAIN` for its own jump to that chain, and where it is not in `FORWARD` puts
/// another there at each of its starts, above everybody else's (`iptablesPrivateChainCreate` in
/// src/network/network_iptables.c).
fn verdict_of_libvirt(chain: &str) -> String {
    format!("-m comment --comment libvirt -j {chain}")
}

/// The base chain of a direction.
pub(crate) fn base(direction: Direction) -> Base {
    match direction {
        Direction::Out => Base::Out,
        Direction::In => Base::In,
        Direction::ToHost => Base::ToHost,
        Direction::FromHost => Base::FromHost,
    }
}

fn direction_lines(
    direction: Direction,
    bridge: &str,
    rules: &[CompiledRule],
    family: Family,
) -> Vec<String> {
    let mut lines = Vec::new();
    match direction {
        Direction::Out => lines.push(format!("-o {bridge} -j RETURN")),
        Direction::In => lines.push(format!("-i {bridge} -j RETURN")),
        Direction::ToHost | Direction::FromHost => {}
    }
    for rule in CompiledRule::judging(rules, Judged::EveryPacket) {
        add_rule(direction, rule, family, &mut lines);
    }
    lines.push(pass("--ctdir REPLY", "replies"));
    lines.push(pass("--ctstate RELATED", "related"));
    if direction == Direction::In {
        lines.push(pass("--ctstate DNAT", "forwards"));
    }
    for rule in CompiledRule::judging(rules, Judged::Opener) {
        add_rule(direction, rule, family, &mut lines);
    }
    lines
}

fn pass(what: &str, comment: &str) -> String {
    format!("-m conntrack {what} -m comment --comment {comment} -j RETURN")
}

fn add_rule(direction: Direction, rule: &CompiledRule, family: Family, lines: &mut Vec<String>) {
    if !rule.families.contains(&family) {
        return;
    }
    let Some(guests) = rule.guests.only(family) else {
        return;
    };
    let interface_side = direction.pick("-o", "-i");
    let services = services_of(rule, family);
    for peer in rule.any_peers() {
        let Some(nets) = peer.nets.only(family) else {
            continue;
        };
        // iptables prints the source first.
        let (sources, destinations) = direction.pick((&guests, &nets), (&nets, &guests));
        for source in each_net(Side::Source, sources) {
            for destination in each_net(Side::Destination, destinations) {
                let interface = peer.interface.as_ref();
                let interface = interface.map(|named| is_named(interface_side, named));
                let mac = peer.mac.as_ref();
                let mac = mac.map(|mac| format!("-m mac {}", is_named("--mac-source", mac)));
                for (protocol, detail) in &services {
                    let parts = [
                        &source.address,
                        &destination.address,
                        interface.as_deref().unwrap_or_default(),
                        protocol,
                        &source.ranges,
                        &destination.ranges,
                        mac.as_deref().unwrap_or_default(),
                        detail,
                    ];
                    add_lines(rule, family, &parts.concat(), lines);
                }
            }
        }
    }
}

fn add_lines(rule: &CompiledRule, family: Family, matches: &str, lines: &mut Vec<String>) {
    if let Some(log) = &rule.log {
        lines.push(format!(
            "{matches}-m limit {} -m comment --comment \"log {}\" -j LOG --log-prefix \"{}\"",
            limit(log),
            rule.name,
            log.prefix
        ));
    }
    let target = match (rule.verdict, family) {
        (Verdict::Accept, _) => "RETURN",
        (Verdict::Drop, _) => "DROP",
        (Verdict::Reject, Family::Ipv4) => "REJECT --reject-with icmp-port-unreachable",
        (Verdict::Reject, Family::Ipv6) => "REJECT --reject-with icmp6-port-unreachable",
    };
    lines.push(format!(
        "{matches}-m comment --comment \"{}\" -j {target}",
        rule.name
    ));
}

/// An end of a packet.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// What is asked of one end: iptables' own match, and those of its extension `iprange`.
#[derive(Default)]
struct NetMatch {
    address: String,
    ranges: String,
}

/// A match for each network that fits. Of those that must not fit all but the first are ranges:
/// that match may be there several times.
fn each_net(side: Side, nets: &Nets) -> Vec<NetMatch> {
    let (option, range) = match side {
        Side::Source => ("-s", "--src-range"),
        Side::Destination => ("-d", "--dst-range"),
    };
    match nets {
        Nets::Any => vec![NetMatch::default()],
        Nets::In(nets) => {
            let nets = nets.iter();
            nets.map(|net| NetMatch {
                address: format!("{option} {} ", network(*net)),
                ranges: String::new(),
            })
            .collect()
        }
        Nets::NotIn(nets) => {
            let mut all = NetMatch::default();
            for net in nets {
                if all.address.is_empty() {
                    all.address = format!("! {option} {} ", network(*net));
                } else {
                    let (first, last) = (address(net.network()), address(net.broadcast()));
                    all.ranges += &format!("-m iprange ! {range} {first}-{last} ");
                }
            }
            vec![all]
        }
    }
}

fn is_named(what: &str, named: &Named) -> String {
    match named {
        Named::Is(name) => format!("{what} {name} "),
        Named::IsNot(name) => format!("! {what} {name} "),
    }
}

/// For each service of the family, its protocol and the rest of what it matches.
fn services_of(rule: &CompiledRule, family: Family) -> Vec<(String, String)> {
    if rule.services.is_empty() {
        return vec![(String::new(), String::new())];
    }
    let services = rule.services.iter().filter(|service| service.is_of(family));
    services
        .map(|service| match service {
            Service::Ports { protocol, ports } => {
                let detail =
                    ports.map(|ports| format!("-m {protocol} --dport {} ", ports.joined(':')));
                (format!("-p {protocol} "), detail.unwrap_or_default())
            }
            Service::Icmp { kind, code, .. } => {
                let (protocol, name, option) = match family {
                    Family::Ipv4 => ("icmp", "icmp", "--icmp-type"),
                    Family::Ipv6 => ("ipv6-icmp", "icmp6", "--icmpv6-type"),
                };
                let code = code.map(|code| format!("/{code}")).unwrap_or_default();
                let detail = kind.map(|kind| format!("-m {name} {option} {kind}{code} "));
                (format!("-p {protocol} "), detail.unwrap_or_default())
            }
        })
        .collect()
}

/// How iptables itself prints a rate (`print_rate` in extensions/libxt_limit.c): it keeps the time
/// between two lines only, in ten thousandths of a second.
fn limit(log: &LogRate) -> String {
    const SCALE: u32 = 10_000;
    /// iptables' own, of which it prints nothing.
    const BURST: u32 = 5;
    let period = SCALE * log.unit.seconds() / log.lines.max(1);
    let length = |unit: TimeUnit| SCALE * unit.seconds();
    let mut best = TimeUnit::Day;
    for unit in [TimeUnit::Hour, TimeUnit::Minute, TimeUnit::Second] {
        if period > length(unit) || length(unit) / period < length(unit) % period {
            break;
        }
        best = unit;
    }
    let name = match best {
        TimeUnit::Second => "sec",
        TimeUnit::Minute => "min",
        TimeUnit::Hour => "hour",
        TimeUnit::Day => "day",
    };
    let rate = length(best) / period.max(1);
    // The kernel has 32 bits for the time of all of a burst (`limit_mt_check` in xt_limit.c).
    let burst = match period.checked_mul(BURST) {
        Some(_) => "",
        None => " --limit-burst 1",
    };
    format!("--limit {rate}/{name}{burst}")
}

fn nat_lines(nat: &Nat, family: Family) -> Vec<String> {
    match nat {
        Nat::Keep { from, to } => {
            let from = network(*from);
            let to = match to {
                NatPeer::Interface(name) => format!("-s {from} -o {name}"),
                NatPeer::Net(net) if net.prefix_len() == 0 => format!("-s {from}"),
                NatPeer::Net(net) => format!("-s {from} -d {}", network(*net)),
            };
            // Whoever accepts here first decides that nothing is changed.
            vec![format!("{to} -m comment --comment keep -j ACCEPT")]
        }
        Nat::Masquerade {
            from,
            addresses,
            ports,
        } => {
            let local: &[&str] = match family {
                Family::Ipv4 => &["224.0.0.0/24", "255.255.255.255/32"],
                Family::Ipv6 => &["ff02::/16"],
            };
            let mut lines: Vec<String> = local
                .iter()
                .map(|net| format!("-s {from} -d {net} -m comment --comment local -j RETURN"))
                .collect();
            let ports = ports.joined('-');
            let (with_ports, without) = match addresses {
                None => (
                    format!("MASQUERADE --to-ports {ports}"),
                    "MASQUERADE".to_owned(),
                ),
                Some((first, last)) => {
                    let range = if first == last {
                        first.to_string()
                    } else {
                        format!("{first}-{last}")
                    };
                    let bracketed = match family {
                        Family::Ipv4 => range.clone(),
                        Family::Ipv6 => format!("[{range}]"),
                    };
                    (
                        format!("SNAT --to-source {bracketed}:{ports}"),
                        format!("SNAT --to-source {range}"),
                    )
                }
            };
            let away = format!("-s {from} ! -d {from}");
            let comment = "-m comment --comment masquerade";
            for protocol in ["tcp", "udp"] {
                lines.push(format!("{away} -p {protocol} {comment} -j {with_ports}"));
            }
            lines.push(format!("{away} {comment} -j {without}"));
            lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{limit, LogRate, TimeUnit};

    /// As iptables 1.8 prints them, or a comparison would never end.
    #[test]
    fn rates_are_in_the_unit_that_iptables_prints() {
        for (lines, unit, expected) in [
            (1, TimeUnit::Second, "--limit 1/sec"),
            (1, TimeUnit::Minute, "--limit 1/min"),
            (1, TimeUnit::Hour, "--limit 1/hour"),
            (1, TimeUnit::Day, "--limit 1/day --limit-burst 1"),
            (60, TimeUnit::Minute, "--limit 1/sec"),
            (90, TimeUnit::Minute, "--limit 90/min"),
        ] {
            let prefix = String::new();
            let text = limit(&LogRate {
                prefix,
                lines,
                unit,
            });
            assert_eq!(text, expected, "{lines} in a {unit:?}");
        }
    }
}
