//! From a written policy and the networks that are active to compiled rules for the firewall.

use crate::context::Context;
use crate::grammar::MAC_OF_RECEIVER;
use crate::resolve::resolve;
use crate::{Mode, WrittenDirection, WrittenNeighbor, WrittenPolicy, WrittenRule};
use ipnet::IpNet;
use portero_libvirt::{ForwardMode, InterfaceName, Network};
use portero_model::{
    Antispoof, CompiledRule, Direction, Family, Judged, LogRate, Named, Nat, NatPeer, Neighbor,
    Nets, Peer, Policy, PortRange, Protocol, RuleName, RuleSource, Service, Spoof, TimeUnit,
    Verdict,
};
use portero_xml::Problem;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// A policy that can be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The policy.
    pub policy: Policy,
    /// What its guests may not pretend; whose interfaces those are is to be found out.
    pub antispoof: Option<Antispoof>,
    /// What does not work as it may be meant, one line each.
    pub warnings: Vec<String>,
}

/// Longest prefix of a line that iptables' LOG writes (`struct ipt_log_info`), less the NUL.
const LOG_PREFIX_LIMIT: usize = 29;

/// Ports on which libvirt's dnsmasq serves guests: DHCP, DHCPv6 and DNS.
const HOST_SERVICES: [(Protocol, u16); 4] = [
    (Protocol::Udp, 67),
    (Protocol::Udp, 547),
    (Protocol::Udp, 53),
    (Protocol::Tcp, 53),
];

/// ICMPv6 without which no neighbour is found: multicast listeners (RFC 2710, RFC 3810), router
/// solicitation, neighbour solicitation and advertisement (RFC 4861).
const NEIGHBOR_TYPES: [u8; 7] = [130, 131, 132, 133, 135, 136, 143];

/// Turns a network's policy into compiled rules.
///
/// # Errors
/// [`Problem`] at what cannot be had on this network, or not now.
pub fn compile(
    network: &Network,
    written: &WrittenPolicy,
    context: &Context<'_>,
) -> Result<Compiled, Problem> {
    let problem = |line: usize, element: &str, reason: String| Problem {
        line,
        element: element.to_owned(),
        reason,
    };
    let of_policy = |reason: String| problem(written.line, "policy", reason);
    let is_behind = network.mode.is_routed_by_host();
    let Some(bridge) = network.bridge.as_ref().filter(|_| is_behind) else {
        let past = match &network.bridge {
            Some(bridge) => {
                format!(": their packets pass bridge {bridge} and are not routed here")
            }
            None => String::new(),
        };
        return Err(of_policy(format!(
            "guests of network '{}' are not behind this host{past}, expected a network with forward mode nat, route or \
             open, or an isolated one (libvirt's nwfilter judges packets at a guest's interface)",
            network.name
        )));
    };
    if written.mode.is_some() && network.mode != ForwardMode::Open {
        return Err(of_policy(
            "mode is given, but libvirt has rules of its own for this network, expected \
             <forward mode='open'/>"
                .to_owned(),
        ));
    }
    let dev = network.forward_dev.as_ref().map(|dev| dev.parse());
    let dev: Option<InterfaceName> = dev
        .transpose()
        .map_err(|error| of_policy(format!("dev of the network's <forward>: {error}")))?;
    let mut compiler = Compiler {
        network,
        written,
        dev: dev.map(|dev| dev.to_string()),
        nets: nets_of(network),
        rules: BTreeMap::new(),
        nat: Vec::new(),
        warnings: Vec::new(),
    };
    compiler.antispoof();
    let mut rules: Vec<&WrittenRule> = written.rules.iter().collect();
    rules.sort_by_key(|rule| rule.priority);
    for rule in rules {
        compiler
            .rule(rule, context)
            .map_err(|reason| problem(rule.line, "rule", reason))?;
    }
    compiler.defaults();
    compiler.masquerade().map_err(of_policy)?;
    let mut neighbors = Vec::new();
    for neighbor in &written.neighbors {
        let found = compiler
            .neighbors(neighbor)
            .map_err(|reason| problem(neighbor.line, "neighbor", reason))?;
        if found.is_empty() {
            compiler.warnings.push(format!(
                "neighbor in line {}: there is no reservation that it is about, so it answers for \
                 nobody",
                neighbor.line
            ));
        }
        neighbors.extend(found);
    }
    neighbors.sort_unstable();
    neighbors.dedup();
    let antispoof = (!written.antispoof.is_empty()).then(|| Antispoof {
        against: written.antispoof.clone(),
        nets: IpNet::aggregate(&compiler.nets),
        taps: BTreeSet::new(),
        unguarded: BTreeSet::new(),
    });
    let mut rules = compiler.rules;
    rules.retain(|_, rules| !rules.is_empty());
    Ok(Compiled {
        policy: Policy {
            bridge: bridge.to_string(),
            rules,
            nat: compiler.nat,
            neighbors,
        },
        antispoof,
        warnings: compiler.warnings,
    })
}

/// Whether every network's guests may use a service of the host, whatever its policy is.
#[must_use]
pub fn is_host_service(service: &Service) -> bool {
    host_services().any(|known| known == *service)
}

/// DHCP and DNS, and what finds neighbours.
fn host_services() -> impl Iterator<Item = Service> {
    let ports = HOST_SERVICES.map(|(protocol, port)| Service::Ports {
        protocol,
        ports: PortRange::new(port, port).ok(),
    });
    let neighbors = NEIGHBOR_TYPES.map(|kind| Service::Icmp {
        family: Family::Ipv6,
        kind: Some(kind),
        code: None,
    });
    ports.into_iter().chain(neighbors)
}

/// A network's subnets.
pub(crate) fn nets_of(network: &Network) -> Vec<IpNet> {
    let subnets = network.subnets.iter();
    subnets
        .filter_map(|subnet| IpNet::new(subnet.address, subnet.prefix).ok())
        .map(|net| net.trunc())
        .collect()
}

struct Compiler<'a> {
    network: &'a Network,
    written: &'a WrittenPolicy,
    /// The one interface that libvirt lets its guests use.
    dev: Option<String>,
    nets: Vec<IpNet>,
    rules: BTreeMap<Direction, Vec<CompiledRule>>,
    nat: Vec<Nat>,
    warnings: Vec<String>,
}

impl Compiler<'_> {
    /// The mode whose defaults hold.
    fn mode(&self) -> ForwardMode {
        match self.written.mode {
            Some(Mode::Nat) => ForwardMode::Nat,
            Some(Mode::Route) => ForwardMode::Route,
            Some(Mode::Isolated) => ForwardMode::Isolated,
            None => self.network.mode,
        }
    }

    fn add(&mut self, rule: CompiledRule) {
        let rules = self.rules.entry(rule.name.direction).or_default();
        rules.push(rule);
    }

    fn log(&self, name: RuleName, rate: Option<(u32, TimeUnit)>) -> Option<LogRate> {
        let (lines, unit) = rate?;
        // The name of the network gives way to that of the rule.
        let end = format!(" {name}: ");
        let room = LOG_PREFIX_LIMIT.saturating_sub("portero ".len() + end.len());
        let plain = |character: char| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => character,
            _ => '_',
        };
        let network = self.network.name.as_str().chars();
        let network: String = network.take(room).map(plain).collect();
        Some(LogRate {
            prefix: format!("portero {network}{end}"),
            lines,
            unit,
        })
    }

    fn rule(&mut self, rule: &WrittenRule, context: &Context<'_>) -> Result<(), String> {
        let mut warnings = Vec::new();
        let resolved = resolve(&rule.peers, context, &mut warnings)?;
        let news = warnings
            .into_iter()
            .map(|warning| format!("rule in line {}: {warning}", rule.line));
        self.warnings.extend(news);
        let families: Vec<Family> = match rule.family {
            Some(family) => vec![family],
            None => Family::ALL.to_vec(),
        };
        let (peers, services) = (&resolved.peers, &rule.services);
        let is_possible = |family: &Family| {
            (services.is_empty() || services.iter().any(|service| service.is_of(*family)))
                && (peers.is_empty() || peers.iter().any(|peer| peer.nets.only(*family).is_some()))
        };
        if !families.iter().any(is_possible) {
            return Err("no packet is of its family, its peers and its services at once".into());
        }
        let tells_by_mac = peers.iter().any(|peer| peer.mac.is_some());
        if tells_by_mac && rule.direction != WrittenDirection::In {
            return Err(MAC_OF_RECEIVER.to_owned());
        }
        let is_through = rule.peers.is_empty() || !peers.is_empty();
        for direction in Direction::ALL {
            let is_towards = direction.pick(rule.direction.is_out(), rule.direction.is_in());
            let (is_meant, peers) = match direction {
                Direction::In | Direction::Out => (is_through, peers.clone()),
                Direction::ToHost | Direction::FromHost => (resolved.host, Vec::new()),
            };
            if !is_towards || !is_meant {
                continue;
            }
            let name = RuleName::new(direction, RuleSource::Rule(rule.number));
            self.add(CompiledRule {
                families: families.clone(),
                peers,
                services: services.clone(),
                judged: rule.judged,
                log: self.log(name, rule.log),
                ..CompiledRule::of_all(name, rule.verdict)
            });
        }
        self.keep_sources(rule, context)
    }

    /// `nat='no'`: connections that stay as they are.
    fn keep_sources(&mut self, rule: &WrittenRule, context: &Context<'_>) -> Result<(), String> {
        let keeping: Vec<_> = rule
            .peers
            .iter()
            .filter(|peer| peer.keeps_sources)
            .cloned()
            .collect();
        if keeping.is_empty() {
            return Ok(());
        }
        if self.mode() != ForwardMode::Nat {
            return Err(
                "nat='no', but connections of this network keep their addresses anyway, expected \
                 mode nat"
                    .to_owned(),
            );
        }
        let resolved = resolve(&keeping, context, &mut Vec::new())?;
        let is_meant = |net: &IpNet| {
            rule.family
                .is_none_or(|only| only == Family::from(net.addr()))
        };
        for from in self.nets.iter().copied().filter(is_meant) {
            for peer in &resolved.peers {
                if let Some(Named::Is(bridge)) = &peer.interface {
                    self.nat.push(Nat::Keep {
                        from,
                        to: NatPeer::Interface(bridge.clone()),
                    });
                }
                let Nets::In(nets) = &peer.nets else {
                    continue;
                };
                let same = |net: &&IpNet| Family::from(net.addr()) == Family::from(from.addr());
                self.nat
                    .extend(nets.iter().filter(same).map(|net| Nat::Keep {
                        from,
                        to: NatPeer::Net(*net),
                    }));
            }
        }
        Ok(())
    }

    /// What happens to packets that no rule speaks of.
    fn defaults(&mut self) {
        let mode = self.mode();
        let by_mode = |direction: Direction| match (mode, direction) {
            (ForwardMode::Isolated, _) | (ForwardMode::Nat, Direction::In) => Verdict::Reject,
            _ => Verdict::Accept,
        };
        let asked = [
            (Direction::Out, self.written.default_out),
            (Direction::In, self.written.default_in),
        ];
        let is_open = mode == ForwardMode::Open;
        let names_none = asked.iter().all(|(_, verdict)| verdict.is_none())
            && self.written.default_host.is_none();
        for (direction, asked) in asked {
            let verdict = asked.unwrap_or_else(|| by_mode(direction));
            let default = RuleName::new(direction, RuleSource::Default);
            // Who asks for the log of one direction does not ask for all that passes in the other.
            let is_told = names_none || asked.is_some() || verdict != Verdict::Accept;
            let log = self.written.default_log().filter(|_| is_told);
            let log = self.log(default, log);
            // Open to guests' own addresses, as libvirt is.
            let guests = match verdict {
                Verdict::Accept if !is_open => Nets::In(self.nets.clone()),
                _ => Nets::Any,
            };
            let is_guarded = guests != Nets::Any;
            let is_needed = verdict != Verdict::Accept || is_guarded || log.is_some();
            if !is_needed && !self.rules.contains_key(&direction) {
                continue;
            }
            // Nor does it open what libvirt leaves closed with <forward dev='...'/>.
            let dev = self.dev.clone().filter(|_| is_guarded);
            let peers = dev.map(|dev| Peer {
                interface: Some(Named::Is(dev)),
                ..Peer::default()
            });
            self.add(CompiledRule {
                log,
                guests,
                peers: peers.into_iter().collect(),
                ..CompiledRule::of_all(default, verdict)
            });
            if is_guarded {
                let foreign = RuleName::new(direction, RuleSource::Foreign);
                self.add(CompiledRule::of_all(foreign, Verdict::Reject));
            }
        }
        let verdict = self.written.default_host.unwrap_or(Verdict::Accept);
        if verdict == Verdict::Accept {
            return;
        }
        let services = RuleName::new(Direction::ToHost, RuleSource::Services);
        self.add(CompiledRule {
            services: host_services().collect(),
            ..CompiledRule::of_all(services, Verdict::Accept)
        });
        let default = RuleName::new(Direction::ToHost, RuleSource::Default);
        self.add(CompiledRule {
            log: self.log(default, self.written.default_log()),
            ..CompiledRule::of_all(default, verdict)
        });
    }

    /// Guests send with their network's addresses only, here as far as the host routes what they
    /// send: [`Antispoof`] are more, for interfaces that are known. Clients of DHCP have no address yet,
    /// and an IPv6 link has addresses of its own.
    fn antispoof(&mut self) {
        if !self.written.antispoof.contains(&Spoof::Ip) {
            return;
        }
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        let mut to_host = self.nets.clone();
        let unspecified = Family::ALL.map(|family| family.all().addr());
        to_host.extend(unspecified.map(IpNet::from));
        to_host.push(IpNet::new_assert(IpAddr::V6(link_local), 10));
        for (direction, nets) in [
            (Direction::Out, self.nets.clone()),
            (Direction::ToHost, to_host),
        ] {
            let antispoof = RuleName::new(direction, RuleSource::Antispoof);
            self.add(CompiledRule {
                judged: Judged::EveryPacket,
                guests: Nets::NotIn(nets),
                ..CompiledRule::of_all(antispoof, Verdict::Drop)
            });
        }
    }

    /// The mode `nat` of an open network.
    fn masquerade(&mut self) -> Result<(), String> {
        if self.written.mode != Some(Mode::Nat) {
            return Ok(());
        }
        let nat = self.written.nat;
        let mut unused = nat.addresses;
        for from in self.nets.clone() {
            let family = Family::from(from.addr());
            if family == Family::Ipv6 && !nat.ipv6 {
                continue;
            }
            let addresses = nat
                .addresses
                .filter(|(first, _)| Family::from(*first) == family);
            unused = unused.filter(|_| addresses.is_none());
            self.nat.push(Nat::Masquerade {
                from,
                addresses,
                ports: nat.ports,
            });
        }
        match unused {
            Some((first, _)) => Err(format!(
                "the addresses from {first} on are of a family that is not masqueraded"
            )),
            None => Ok(()),
        }
    }

    fn neighbors(&self, written: &WrittenNeighbor) -> Result<Vec<Neighbor>, String> {
        if Some(&written.dev) == self.network.bridge.as_ref() {
            return Err(format!("{} is the network's own bridge", written.dev));
        }
        let reserved = self.network.reservations.iter();
        let reserved: Vec<IpAddr> = reserved.map(|reservation| reservation.address).collect();
        let addresses = if written.addresses.is_empty() {
            &reserved
        } else {
            &written.addresses
        };
        let own = self.network.subnets.iter();
        let own: Vec<IpAddr> = own.map(|subnet| subnet.address).collect();
        // Where the network has no subnet the host's own routes say what is behind it.
        let behind = self.nets.iter().chain(&self.network.routes);
        let is_behind = |address| own.is_empty() || behind.clone().any(|net| net.contains(address));
        for address in addresses {
            if own.contains(address) || !is_behind(address) {
                return Err(format!("{address} cannot be a guest's of this network"));
            }
        }
        let answered = |address: &&IpAddr| match address {
            IpAddr::V4(_) => written.arp,
            IpAddr::V6(_) => written.ndp,
        };
        let neighbors = addresses.iter().filter(answered).map(|address| Neighbor {
            dev: written.dev.to_string(),
            address: *address,
        });
        Ok(neighbors.collect())
    }
}
