//! Reads what iptables-save lists of the table `filter`, and walks a packet through FORWARD.

use crate::packet::{ForwardedPacket, Leg};
use crate::verdict::{BaseChain, Judgement, RuleOwner, Stop};
use crate::walk::{is_interface, Certainty, ChainEnd, Doubts, DEPTH};
use ipnet::IpNet;
use portero_model::PortRange;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Chains with their rules, each as its words.
#[derive(Default)]
struct FilterTable {
    policies: BTreeMap<String, String>,
    rules: BTreeMap<String, Vec<Vec<String>>>,
}

/// What becomes of a packet in FORWARD.
pub(crate) fn judge(text: &str, packet: &ForwardedPacket) -> Judgement {
    let mut walk = Walk {
        table: &FilterTable::read(text),
        packet,
        doubts: Doubts::default(),
    };
    let end = walk.chain("FORWARD", Certainty::Sure, 0);
    let policy = walk.policy();
    walk.doubts.judgement(end, policy)
}

impl FilterTable {
    fn read(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            if let Some(chain) = line.strip_prefix(':') {
                let mut words = chain.split(' ').map(str::to_owned);
                let (name, policy) = (words.next(), words.next());
                let policy = policy.unwrap_or_default();
                table.policies.insert(name.unwrap_or_default(), policy);
            } else if let Some(rule) = line.strip_prefix("-A ") {
                // What is quoted in another way than a shell's is not known to anybody here.
                let mut words = shlex::split(rule).unwrap_or_default();
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
    fn owner(&self, chain: &str) -> RuleOwner {
        match chain {
            chain if chain.starts_with("LIBVIRT_") => RuleOwner::Libvirt,
            chain if chain.starts_with("PORTERO-") => RuleOwner::Portero,
            chain if chain.starts_with("ufw") => RuleOwner::Ufw,
            chain if chain.starts_with("DOCKER") && self.has("DOCKER-USER") => RuleOwner::Docker,
            _ => RuleOwner::Other,
        }
    }

    /// Who has set the policy of FORWARD to DROP.
    fn owner_of_policy(&self) -> RuleOwner {
        match (self.has("ufw"), self.has("DOCKER-USER")) {
            (true, _) => RuleOwner::Ufw,
            (false, true) => RuleOwner::Docker,
            (false, false) => RuleOwner::Other,
        }
    }
}

struct Walk<'a> {
    table: &'a FilterTable,
    packet: &'a ForwardedPacket,
    doubts: Doubts,
}

impl Walk<'_> {
    fn policy(&self) -> Option<Stop> {
        let policy = self.table.policies.get("FORWARD")?;
        (policy == "DROP").then(|| Stop {
            by: self.table.owner_of_policy(),
            verdict: "drop",
            rule: "the policy of chain FORWARD, DROP".to_owned(),
            base: BaseChain::Iptables(self.packet.family()),
        })
    }

    fn chain(&mut self, name: &str, certainty: Certainty, depth: usize) -> Option<ChainEnd> {
        let table = self.table;
        let rules = table.rules.get(name).filter(|_| depth < DEPTH)?;
        for words in rules {
            let certainty = match fits(words, self.packet) {
                Some(false) => continue,
                Some(true) => certainty,
                None => Certainty::Maybe,
            };
            let Some((option, target)) = target(words) else {
                continue;
            };
            let end = match target {
                "ACCEPT" => self.doubts.meet(ChainEnd::Accept, certainty),
                "RETURN" => self.doubts.meet(ChainEnd::Return, certainty),
                "NFQUEUE" => self.doubts.meet(ChainEnd::Accept, Certainty::Maybe),
                "DROP" | "REJECT" => {
                    let stop = self.stop(name, target, words);
                    self.doubts.meet(ChainEnd::Stop(stop), certainty)
                }
                chain if table.policies.contains_key(chain) => {
                    match self.chain(chain, certainty, depth + 1) {
                        Some(ChainEnd::Return) | None if option == "-j" => None,
                        Some(ChainEnd::Return) | None => {
                            self.doubts.meet(ChainEnd::Return, certainty)
                        }
                        end => end,
                    }
                }
                // LOG, MARK and the like.
                _ => None,
            };
            if end.is_some() {
                return end;
            }
        }
        None
    }

    fn stop(&self, chain: &str, target: &str, words: &[String]) -> Stop {
        Stop {
            by: self.table.owner(chain),
            verdict: if target == "DROP" { "drop" } else { "reject" },
            rule: format!("-A {chain} {}", words.join(" ")),
            base: BaseChain::Iptables(self.packet.family()),
        }
    }
}

fn target(words: &[String]) -> Option<(&str, &str)> {
    let mut pairs = words.windows(2);
    let pair = pairs.find(|pair| pair[0] == "-j" || pair[0] == "-g")?;
    Some((&pair[0], &pair[1]))
}

/// Whether a rule fits; nothing when that cannot be told.
fn fits(words: &[String], packet: &ForwardedPacket) -> Option<bool> {
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
            "-m" | "--comment" => {
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
            "--ctstate" | "--state" | "--ctstatus" => state(packet, words.next()?),
            "--ctorigdstport" => ports(Some(packet.host_port), words.next()?),
            "--ctorigdst" => net(packet.host, words.next()?),
            "--ctorigsrc" => net(packet.client, words.next()?),
            "--ctreplsrc" => net(Some(packet.guest), words.next()?),
            "--ctreplsrcport" => ports(Some(packet.guest_port), words.next()?),
            "--ctdir" => Some((words.next()? == "ORIGINAL") == (packet.leg == Leg::There)),
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

fn net(address: Option<IpAddr>, net: &str) -> Option<bool> {
    let single = || net.parse::<IpAddr>().map(IpNet::from);
    let net: IpNet = net.parse().or_else(|_| single()).ok()?;
    let is_any = net.prefix_len() == 0;
    is_any
        .then_some(true)
        .or(address.map(|address| net.contains(&address)))
}

fn protocol(packet: &ForwardedPacket, name: &str) -> Option<bool> {
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

fn state(packet: &ForwardedPacket, words: &str) -> Option<bool> {
    let mut words = words.split(',');
    Some(words.any(|word| {
        word.eq_ignore_ascii_case(packet.state())
            || word == "DNAT"
            || word == "SEEN_REPLY" && packet.leg == Leg::Back
    }))
}
