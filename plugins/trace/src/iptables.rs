//! Reads what iptables-save lists of the table `filter`, and walks a packet through FORWARD.

use crate::packet::{Leg, Packet};
use crate::verdict::{Base, Judgement, Owner, Stop};
use crate::walk::{is_interface, Certainty, Doubts, End, DEPTH};
use ipnet::IpNet;
use portero_model::PortRange;
use std::collections::BTreeMap;

/// Chains with their rules, each as its words.
struct Table {
    policies: BTreeMap<String, String>,
    rules: BTreeMap<String, Vec<Vec<String>>>,
}

/// What becomes of a packet in FORWARD.
pub(crate) fn judge(text: &str, packet: &Packet) -> Judgement {
    let table = Table::read(text);
    let mut doubts = Doubts::default();
    let mut walk = Walk {
        table: &table,
        packet,
        doubts: &mut doubts,
    };
    let stopped = match walk.chain("FORWARD", Certainty::Sure, 0) {
        Some(End::Accept) => None,
        Some(End::Stop(stop)) => Some(stop),
        Some(End::Return) | None => walk.policy(),
    };
    doubts.judgement(stopped)
}

impl Table {
    fn read(text: &str) -> Self {
        let mut table = Self {
            policies: BTreeMap::new(),
            rules: BTreeMap::new(),
        };
        for line in text.lines() {
            if let Some(chain) = line.strip_prefix(':') {
                let mut words = chain.split(' ');
                let (name, policy) = (words.next(), words.next());
                let policy = policy.unwrap_or_default().to_owned();
                table
                    .policies
                    .insert(name.unwrap_or_default().to_owned(), policy);
            } else if let Some(rule) = line.strip_prefix("-A ") {
                // What is quoted in another way than a shell's is not known to anybody here.
                let Some(mut words) = shlex::split(rule) else {
                    continue;
                };
                if !words.is_empty() {
                    let chain = words.remove(0);
                    table.rules.entry(chain).or_default().push(words);
                }
            }
        }
        table
    }

    fn has(&self, start: &str) -> bool {
        self.policies.keys().any(|chain| chain.starts_with(start))
    }

    /// Whose a chain is. Of docker's there is one for the administrator since 17.06.
    fn owner(&self, chain: &str) -> Owner {
        match chain {
            chain if chain.starts_with("LIBVIRT_") => Owner::Libvirt,
            chain if chain.starts_with("PORTERO-") => Owner::Portero,
            chain if chain.starts_with("ufw") => Owner::Ufw,
            chain if chain.starts_with("DOCKER") && self.has("DOCKER-USER") => Owner::Docker,
            _ => Owner::Other,
        }
    }

    /// Who has set the policy of FORWARD to DROP.
    fn owner_of_policy(&self) -> Owner {
        if self.has("ufw") {
            Owner::Ufw
        } else if self.has("DOCKER-USER") {
            Owner::Docker
        } else {
            Owner::Other
        }
    }
}

struct Walk<'a> {
    table: &'a Table,
    packet: &'a Packet,
    doubts: &'a mut Doubts,
}

impl Walk<'_> {
    fn policy(&self) -> Option<Stop> {
        let policy = self.table.policies.get("FORWARD")?;
        (policy == "DROP").then(|| Stop {
            by: self.table.owner_of_policy(),
            verdict: "drop",
            rule: "the policy of chain FORWARD, DROP".to_owned(),
            base: Base::Iptables(self.packet.family()),
        })
    }

    fn chain(&mut self, name: &str, certainty: Certainty, depth: usize) -> Option<End> {
        let rules = self.table.rules.get(name).filter(|_| depth < DEPTH)?;
        for words in rules {
            let certainty = match fits(words, self.packet) {
                Some(false) => continue,
                Some(true) => certainty,
                None => Certainty::Maybe,
            };
            let target = target(words);
            let (jumps, target) = match target {
                Some((option, target)) => (option == "-j", target),
                None => continue,
            };
            match (target, certainty) {
                ("ACCEPT", Certainty::Sure) => return Some(End::Accept),
                ("RETURN", Certainty::Sure) => return Some(End::Return),
                ("ACCEPT" | "RETURN" | "NFQUEUE", _) => self.doubts.may_have_passed = true,
                ("DROP" | "REJECT", _) => {
                    let stop = self.stop(name, target, words);
                    match certainty {
                        Certainty::Sure => return Some(End::Stop(stop)),
                        Certainty::Maybe if !self.doubts.may_have_passed => {
                            self.doubts.stop.get_or_insert(stop);
                        }
                        Certainty::Maybe => {}
                    }
                }
                (chain, certainty) if self.table.policies.contains_key(chain) => {
                    let end = self.chain(chain, certainty, depth + 1);
                    match end {
                        Some(End::Return) | None if jumps => {}
                        Some(End::Return) | None if certainty == Certainty::Sure => {
                            return Some(End::Return)
                        }
                        Some(End::Return) | None => self.doubts.may_have_passed = true,
                        end => return end,
                    }
                }
                // LOG, MARK and the like.
                _ => {}
            }
        }
        None
    }

    fn stop(&self, chain: &str, target: &str, words: &[String]) -> Stop {
        Stop {
            by: self.table.owner(chain),
            verdict: if target == "DROP" { "drop" } else { "reject" },
            rule: format!("-A {chain} {}", words.join(" ")),
            base: Base::Iptables(self.packet.family()),
        }
    }
}

fn target(words: &[String]) -> Option<(&str, &str)> {
    let mut pairs = words.windows(2);
    let pair = pairs.find(|pair| pair[0] == "-j" || pair[0] == "-g")?;
    Some((&pair[0], &pair[1]))
}

/// Whether a rule fits; nothing when that cannot be told.
fn fits(words: &[String], packet: &Packet) -> Option<bool> {
    let mut all = Some(true);
    let mut words = words.iter().map(String::as_str);
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let fit = match word {
            // What follows is about the target.
            "-j" | "-g" => break,
            "-m" => {
                words.next();
                continue;
            }
            "--comment" => {
                words.next();
                continue;
            }
            "-i" => interface(packet.in_dev(), words.next()?),
            "-o" => interface(packet.out_dev(), words.next()?),
            "-s" => net(packet.source(), words.next()?),
            "-d" => net(packet.destination(), words.next()?),
            "-p" => protocol(packet, words.next()?),
            "--dport" | "--dports" => ports(packet.ports().1, words.next()?),
            "--sport" | "--sports" => ports(packet.ports().0, words.next()?),
            "--ctstate" | "--state" => state(packet, words.next()?),
            "--ctstatus" => state(packet, words.next()?),
            "--ctorigdstport" => ports(Some(packet.host_port), words.next()?),
            "--ctorigdst" => net(packet.host, words.next()?),
            "--ctorigsrc" => net(packet.client, words.next()?),
            "--ctreplsrc" => net(Some(packet.guest), words.next()?),
            "--ctreplsrcport" => ports(Some(packet.guest_port), words.next()?),
            "--ctdir" => {
                let is_original = words.next()? == "ORIGINAL";
                Some(is_original == (packet.leg == Leg::There))
            }
            _ => None,
        };
        match fit.map(|fit| fit != std::mem::take(&mut negated)) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => {
                negated = false;
                all = None;
            }
        }
    }
    all
}

fn interface(name: Option<&str>, pattern: &str) -> Option<bool> {
    name.map(|name| is_interface(name, pattern, '+'))
}

fn net(address: Option<std::net::IpAddr>, net: &str) -> Option<bool> {
    let net: IpNet = match net.parse() {
        Ok(net) => net,
        Err(_) => IpNet::from(net.parse::<std::net::IpAddr>().ok()?),
    };
    if net.prefix_len() == 0 {
        return Some(true);
    }
    address.map(|address| net.contains(&address))
}

fn protocol(packet: &Packet, name: &str) -> Option<bool> {
    let protocol = packet.protocol;
    let is_it = name == protocol.name() || name == protocol.number().to_string();
    Some(is_it || name == "all")
}

/// `80`, `1:100`, or several of them.
fn ports(port: Option<u16>, text: &str) -> Option<bool> {
    let port = port?;
    let ranges: Option<Vec<PortRange>> = text
        .split(',')
        .map(|range| {
            let (start, end) = range.split_once(':').unwrap_or((range, range));
            let start = if start.is_empty() { "0" } else { start };
            let end = if end.is_empty() { "65535" } else { end };
            PortRange::new(start.parse::<u16>().ok()?.max(1), end.parse().ok()?).ok()
        })
        .collect();
    Some(ranges?.iter().any(|range| range.contains(port)))
}

fn state(packet: &Packet, words: &str) -> Option<bool> {
    let mut words = words.split(',');
    Some(words.any(|word| {
        word.eq_ignore_ascii_case(packet.state())
            || word == "DNAT"
            || word == "SEEN_REPLY" && packet.leg == Leg::Back
    }))
}
